"""The candidates of a search in order, from the records alone: the best first.

For screens: `service/results.py` makes the whole of `cv_results_`, and needs NumPy for it. The
order is that of `service.exports.top`.
"""

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from service.records import Job, select

#: Finished folds that are looked at for a screen; of larger searches the winner alone is told.
MAX_FOLDS = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate stands.

    Attributes
    ----------
    number : int
        Its row in `cv_results_`.
    mean : float
        Mean test score over its finished folds, a failed one counting as the job's `error_score`;
        NaN when that is NaN, or a score is.
    sem : float
        Standard error of that mean: the standard deviation (with n - 1) over the square root of
        n; NaN for one fold. Training parts overlap, so it is too small rather than too large.
    n_finished, n_failed : int
        Folds; the failed ones are among the finished.
    iteration, n_resources : int or None
        Of successive halving.
    """

    number: int
    params: dict[str, Any]
    mean: float
    sem: float
    n_finished: int
    n_failed: int
    iteration: int
    n_resources: int | None

    def is_complete(self, n_splits: int | None) -> bool:
        """Whether all its folds are finished."""
        return n_splits is not None and self.n_finished >= n_splits


def standings(records: sqlite3.Connection, job: Job, n: int) -> list[Standing] | None:
    """Give the best `n` candidates that have a finished fold, best first.

    First come those with a mean; of halving those of later iterations; those all of whose folds
    are finished; those with more finished folds; those of the higher mean; the earlier ones.

    Returns
    -------
    list or None
        None for a search of more than `MAX_FOLDS` finished folds: it would take too long to see.
    """
    if _is_too_large(job):
        return None
    rows = _sums(records, job)
    means = {row["candidate_id"]: _mean(row) for row in rows}
    about = {
        row["id"]: row
        for row in select(
            records,
            "SELECT id, number, iteration, n_resources FROM candidate WHERE job_id = ?",
            (job.id,),
        )
    }
    halving = job.strategy.startswith("halving")

    def place(row: sqlite3.Row) -> tuple[Any, ...]:
        candidate, mean = about[row["candidate_id"]], means[row["candidate_id"]]
        return (
            math.isnan(mean),
            -candidate["iteration"] if halving else 0,
            -row["n_finished"],
            0.0 if math.isnan(mean) else -mean,
            candidate["number"],
        )

    chosen = sorted(rows, key=place)[:n]
    return [_standing(records, job, row, about[row["candidate_id"]]) for row in chosen]


def _standing(
    records: sqlite3.Connection, job: Job, row: sqlite3.Row, candidate: sqlite3.Row
) -> Standing:
    of_candidate = f"SELECT score FROM ({_SCORES} AND candidate_id = :candidate) ORDER BY split"
    asked = {**_asked(job), "candidate": row["candidate_id"]}
    scores = [math.nan if s is None else s for (s,) in records.execute(of_candidate, asked)]
    (params,) = records.execute(
        "SELECT params FROM candidate WHERE id = ?", (row["candidate_id"],)
    ).fetchone()
    return Standing(
        number=candidate["number"],
        params=json.loads(params),
        mean=_mean(row),
        sem=standard_error(scores),
        n_finished=row["n_finished"],
        n_failed=row["n_failed"],
        iteration=candidate["iteration"],
        n_resources=candidate["n_resources"],
    )


#: The scores of a job's finished folds; NaN is null.
_SCORES = (
    "SELECT candidate_id, split, state, finished_at, CASE WHEN state = 'failed' THEN :error_score"
    " ELSE json_extract(test_scores, :path) END AS score"
    " FROM task WHERE job_id = :job AND kind = 'fold' AND state IN ('done', 'failed')"
)


def _asked(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "path": f'$."{job.chosen_metric}"',
        "error_score": _error_score(job),
    }


def standard_error(scores: Sequence[float]) -> float:
    """Give the standard error of a mean; NaN for a single score, or one that is not finite."""
    n = len(scores)
    if n < 2 or not all(map(math.isfinite, scores)):
        return math.nan
    return stdev(scores) / math.sqrt(n)


def _error_score(job: Job) -> float | None:
    value = job.spec.get("error_score", "nan")
    return float(value) if isinstance(value, int | float) else None


def _mean(row: sqlite3.Row) -> float:
    if row["n_scored"] < row["n_finished"]:  # a NaN score is null
        return math.nan
    return float(row["total"] / row["n_finished"])


@dataclass(frozen=True, slots=True)
class Best:
    """The best mean test score that a search has come to.

    Attributes
    ----------
    score : float or None
        The winner's; while folds run, the highest among the candidates all of whose folds are
        finished, so that it never sinks. None before there is one. Of successive halving it is
        that of the latest iteration that has one: scores of several iterations do not compare.
    partial : float or None
        As long as there is no such candidate: the highest among those with the most finished
        folds. It may sink, because one lucky fold is no mean.
    """

    score: float | None = None
    partial: float | None = None


def best_so_far(records: sqlite3.Connection, job: Job) -> Best:
    """Give the best there is. Nothing for a running search of more than `MAX_FOLDS` folds."""
    if job.best_score is not None or not job.n_done or _is_too_large(job):
        return Best(job.best_score)
    halving = job.strategy.startswith("halving")
    complete: list[tuple[int, float]] = []
    partial: list[tuple[int, float]] = []
    for row in _sums(records, job):
        if math.isnan(mean := _mean(row)):
            continue
        if job.n_splits is not None and row["n_finished"] >= job.n_splits:
            complete.append((row["iteration"] if halving else 0, mean))
        else:
            partial.append((row["n_finished"], mean))
    if complete:
        return Best(max(complete)[1])
    return Best(partial=max(partial)[1] if partial else None)


def _is_too_large(job: Job) -> bool:
    return job.n_done + job.n_failed > MAX_FOLDS or '"' in job.chosen_metric


def _sums(records: sqlite3.Connection, job: Job) -> list[sqlite3.Row]:
    """Add up the finished folds of each candidate."""
    return select(
        records,
        "SELECT candidate_id, count(*) AS n_finished, sum(finished.state = 'failed') AS n_failed,"
        " count(score) AS n_scored, total(score) AS total, candidate.iteration"
        f" FROM ({_SCORES}) AS finished JOIN candidate ON candidate.id = candidate_id"
        " GROUP BY candidate_id",
        _asked(job),
    ).fetchall()


def best_over_time(records: sqlite3.Connection, job: Job) -> list[float]:
    """Give the best mean so far after each candidate that was finished, first things first.

    Empty for a search of more than `MAX_FOLDS` finished folds.
    """
    if _is_too_large(job) or not job.n_splits:
        return []
    scores: dict[int, list[float]] = {}
    best: list[float] = []
    for candidate_id, score in records.execute(
        f"SELECT candidate_id, score FROM ({_SCORES}) ORDER BY finished_at, candidate_id",
        _asked(job),
    ):
        found = scores.setdefault(candidate_id, [])
        found.append(math.nan if score is None else score)
        if len(found) == job.n_splits and not math.isnan(mean := sum(found) / len(found)):
            best.append(max(mean, best[-1]) if best else mean)
    return best
