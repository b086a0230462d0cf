"""Two searches or more beside each other: on shared splits, split by split.

**What the test is.** Scores of two models on the splits of one cross-validation are paired, and not
independent: the training parts overlap. Dividing the variance of their differences by the number of
splits, as a plain paired t-test does, makes it far too small. Nadeau and Bengio, "Inference for the
Generalization Error", Machine Learning 52 (2003), 239-281, section 3, put ``1/k + n_test/n_train``
in the place of ``1/k``: the *corrected resampled t-test*, with ``k - 1`` degrees of freedom.
scikit-learn's example "Statistical comparison of models using grid search" uses it likewise, also
for repeated k-fold.

**What it cannot say.** The two candidates were chosen for being the best on these very splits, so
the difference between them, and its p-value, are more flattering than data that nobody has chosen
by would be. With few splits it sees large differences only. It compares these two candidates, not
the two ways to search.
"""

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.differing import ABSENT, Difference, differences
from service.exports import top
from service.ranking import standard_error
from service.records import Job
from service.results import CVResults, Folds, cv_results, read_folds


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidate of a job, split by split.

    Attributes
    ----------
    row : int
        In `cv_results_`.
    scores : tuple of float
        One for each split; NaN where the fold is not finished, or failed.
    mean, sem : float
        Over the splits that have a score.
    n_resources : int or None
        Of successive halving.
    """

    row: int
    params: dict[str, Any]
    scores: tuple[float, ...]
    mean: float
    sem: float
    n_resources: int | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """The differences between two candidates' scores on shared splits: the second less the first.

    Attributes
    ----------
    n : int
        Splits on which both have a score.
    mean : float
    sem : float
        Corrected standard error (see above); NaN for a single split.
    t, p : float
        Of the corrected resampled t-test, two-sided; NaN where all differences are equal.
    """

    differences: tuple[float, ...]
    n: int
    mean: float
    sem: float
    t: float
    p: float


@dataclass(frozen=True, slots=True)
class Common:
    """What two searches make of the candidates that both have tried.

    Attributes
    ----------
    n : int
        Candidates of equal parameters with a mean score in both.
    n_better, n_worse : int
        Of them, those whose mean the second search puts higher, or lower, than the first.
    mean : float
        Mean difference of their mean scores.
    """

    n: int
    n_better: int
    n_worse: int
    mean: float


@dataclass(frozen=True, slots=True)
class Against:
    """A job compared with the first one.

    Attributes
    ----------
    unpaired_because : str or None
        Why no split is the other's; None when they are shared.
    paired : Paired or None
        None when splits are not shared.
    difference : float
        Of the means of the best candidates.
    sem : float
        Its standard error: of paired scores the corrected one, else as if both were independent.
    """

    job_id: int
    unpaired_because: str | None
    paired: Paired | None
    difference: float
    sem: float
    common: Common | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Jobs beside each other.

    Attributes
    ----------
    metric : str or None
        What they are compared by; None when no metric is common to all.
    bests : dict of int to Best or None
        Job -> its best candidate by that metric, or else by its own; None when it has no score yet.
    against : list of Against
        One for each job but the first; none without a common metric.
    own_metrics : dict of int to str
        Job -> the metric that it chooses its winner by.
    """

    jobs: list[Job]
    differences: list[Difference]
    metric: str | None
    bests: dict[int, Best | None]
    against: list[Against]
    own_metrics: dict[int, str]


class NoSuchMetric(LookupError):
    """A metric was asked for that one of the jobs does not have."""


def compare(
    records: sqlite3.Connection, jobs: Sequence[Job], *, cache: Path, metric: str | None = None
) -> Comparison:
    """Compare jobs with the first of them.

    Parameters
    ----------
    cache : Path
        Where prepared data lie: the sizes of the splits are read there.
    metric : str, optional
        By default the one that the first job chooses its winner by, if all have it.

    Raises
    ------
    NoSuchMetric
    """
    columns = [_metrics(job) for job in jobs]
    chosen = _chosen(jobs, columns, metric)
    differing = differences(jobs)
    tables = []
    for job, names in zip(jobs, columns, strict=True):
        folds = read_folds(records, job)
        table = cv_results(folds, folds.candidates, with_param_columns=False)
        tables.append((folds, table, job.chosen_metric if chosen is None else names[chosen]))
    bests = [_best(job, *found) for job, found in zip(jobs, tables, strict=True)]
    named = {job.id: best for job, best in zip(jobs, bests, strict=True)}
    own = {job.id: _own(job, names) for job, names in zip(jobs, columns, strict=True)}
    if chosen is None:
        return Comparison(list(jobs), differing, None, named, [], own)
    splits = [_splits(records, job) for job in jobs]
    against = []
    for i, job in enumerate(jobs[1:], start=1):
        because = _unpaired((jobs[0], splits[0], bests[0]), (job, splits[i], bests[i]))
        ratio = math.nan if because is not None else _ratio(job, splits[i], cache)
        common = _common(tables[0], tables[i])
        against.append(_against(job, because, bests[0], bests[i], ratio, common))
    return Comparison(list(jobs), differing, chosen, named, against, own)


# --- what is compared ----------------------------------------------------------------------------


def _metrics(job: Job) -> dict[str, str]:
    """Give a job's metrics under the names of scikit-learn's scorers: {name: its column}."""
    scoring = job.spec.get("scoring")
    if isinstance(scoring, str):
        return {scoring: "score"}
    if isinstance(scoring, dict):
        return {str(scorer): name for name, scorer in scoring.items()}
    return {name: name for name in job.metrics}


def _own(job: Job, columns: dict[str, str]) -> str:
    """Name the metric that a job chooses its winner by, as its scorer where there is one."""
    own = (name for name, column in columns.items() if column == job.chosen_metric)
    return next(own, job.chosen_metric)


def _chosen(
    jobs: Sequence[Job], columns: Sequence[dict[str, str]], metric: str | None
) -> str | None:
    shared = [name for name in columns[0] if all(name in names for names in columns)]
    if metric is not None:
        if metric not in shared:
            raise NoSuchMetric(metric)
        return metric
    preferred = [n for n, column in columns[0].items() if column == jobs[0].chosen_metric]
    return next((name for name in [*preferred, *shared] if name in shared), None)


def _best(job: Job, folds: Folds, table: CVResults, column: str) -> Best | None:
    """Give a job's winner, if it was chosen by this metric, else its best by it so far."""
    if not table["params"]:
        return None
    row = top(table, 1, column)[0]
    if job.best_index is not None and column == job.chosen_metric:
        row = job.best_index
    scores = np.where(folds.present[row], folds.test_scores[column][row], np.nan)
    known = [float(score) for score in scores if not math.isnan(score)]
    if not known:
        return None
    return Best(
        row=row,
        params=folds.candidates[row],
        scores=tuple(map(float, scores)),
        mean=fmean(known),
        sem=standard_error(known),
        n_resources=None if folds.n_resources is None else int(folds.n_resources[row]),
    )


@dataclass(frozen=True, slots=True)
class _Splits:
    """How a job's data were split, as its prepare task told."""

    fingerprint: str
    digest: str
    n_samples: int
    min_train_size: int


def _splits(records: sqlite3.Connection, job: Job) -> _Splits | None:
    (text,) = records.execute("SELECT prepared FROM job WHERE id = ?", (job.id,)).fetchone()
    if text is None:
        return None
    told = json.loads(text)
    return _Splits(told["fingerprint"], told["splits"], told["n_samples"], told["min_train_size"])


def _unpaired(
    one: tuple[Job, _Splits | None, Best | None], other: tuple[Job, _Splits | None, Best | None]
) -> str | None:
    """Say why the scores of two jobs cannot be paired; None when they can."""
    (job, splits, best), (others_job, others_splits, others_best) = one, other
    if splits is None or others_splits is None:
        return "the data of one of them are not prepared yet"
    if best is None or others_best is None:
        return "one of them has no score yet"
    if splits.fingerprint != others_splits.fingerprint:
        return "their data differ"
    if splits.digest != others_splits.digest:
        return "their data are split in different ways"
    if _rows(job, splits, best) != _rows(others_job, others_splits, others_best):
        return "halving scored them on different parts of the splits"
    return None


def _rows(job: Job, splits: _Splits, best: Best) -> tuple[int, int] | None:
    """Tell which part of the splits a candidate was scored on: (seed, samples); None: all."""
    search = job.spec["search"]
    on_samples = job.strategy.startswith("halving") and search.get("resource") == "n_samples"
    if not on_samples or best.n_resources is None or best.n_resources == splits.n_samples:
        return None
    return search["seed"], best.n_resources


# --- how they compare ----------------------------------------------------------------------------


def _against(
    job: Job,
    because: str | None,
    one: Best | None,
    other: Best | None,
    ratio: float,
    common: Common | None,
) -> Against:
    if one is None or other is None:
        return Against(job.id, because, None, math.nan, math.nan, common)
    if because is None:
        paired = pair(one.scores, other.scores, ratio)
        return Against(job.id, None, paired, paired.mean, paired.sem, common)
    return Against(
        job.id, because, None, other.mean - one.mean, math.hypot(one.sem, other.sem), common
    )


def pair(one: Sequence[float], other: Sequence[float], ratio: float) -> Paired:
    """Compare two candidates on the same splits, by the corrected resampled t-test.

    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003),
    239-281: the variance of the mean difference over k splits is
    ``(1/k + n_test/n_train) * s^2``, with s^2 the variance of the differences (with k - 1).

    Parameters
    ----------
    one, other : sequence of float
        Scores on each split; NaN where there is none.
    ratio : float
        Samples of a test part over those of its training part.

    Examples
    --------
    >>> pair([0.8, 0.8, 0.8], [0.9, 0.8, 0.85], 1 / 2).mean.__round__(3)
    0.05
    """
    each = tuple(b - a for a, b in zip(one, other, strict=True))
    known = [difference for difference in each if math.isfinite(difference)]
    k = len(known)
    mean = fmean(known) if known else math.nan
    if k < 2:
        return Paired(each, k, mean, math.nan, math.nan, math.nan)
    sem = math.sqrt((1 / k + ratio) * variance(known))
    if sem == 0:
        return Paired(each, k, mean, 0.0, math.nan, math.nan)
    from scipy.special import stdtr  # Student's t; scipy.stats takes a second to import

    t = mean / sem
    return Paired(each, k, mean, sem, t, float(2 * stdtr(k - 1, -abs(t))))


#: Splitters that may leave samples out of a split, so that the sizes of its parts do not add up.
_LEAVING_OUT = frozenset(
    {
        "GroupShuffleSplit", "PredefinedSplit", "ShuffleSplit", "StratifiedShuffleSplit",
        "TimeSeriesSplit",
    }
)  # fmt: skip


def _ratio(job: Job, splits: _Splits | None, cache: Path) -> float:
    """Give n_test / n_train of a job's splits.

    Of splits that use every sample it is that of the smallest training part, which errs on the
    careful side; of others the mean, as long as the prepared data are in the cache.
    """
    assert splits is not None
    cv = job.spec.get("cv")
    name = cv.get("$type") if isinstance(cv, dict) else cv
    if name in _LEAVING_OUT:
        from workers.cache import DataMissing
        from workers.splits import Splits

        with suppress(DataMissing), Splits(cache, splits.fingerprint, splits.digest) as kept:
            return fmean(len(test) / len(train) for train, test in kept)
    return (splits.n_samples - splits.min_train_size) / splits.min_train_size


def _common(
    one: tuple[Folds, CVResults, str], other: tuple[Folds, CVResults, str]
) -> Common | None:
    """Compare the candidates that both searches have tried; of halving their last trial counts."""
    means = [_means(*found) for found in (one, other)]
    shared = [key for key in means[0] if key in means[1]]
    each = [means[1][key] - means[0][key] for key in shared]
    known = [difference for difference in each if math.isfinite(difference)]
    if not known:
        return None
    return Common(
        n=len(known),
        n_better=sum(difference > 0 for difference in known),
        n_worse=sum(difference < 0 for difference in known),
        mean=fmean(known),
    )


def _means(folds: Folds, table: CVResults, column: str) -> dict[str, float]:
    """Give the mean of each candidate all of whose folds are finished, by its parameters."""
    means: NDArray[np.float64] = table[f"mean_test_{column}"]
    complete = folds.present.all(axis=1) & (folds.present.shape[1] > 0)
    return {
        json.dumps(params, sort_keys=True): float(mean)
        for params, mean, whole in zip(folds.candidates, means, complete, strict=True)
        if whole
    }


# --- as JSON -------------------------------------------------------------------------------------


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as `foldq compare --json` writes it."""
    return {
        "metric": comparison.metric,
        "jobs": [
            {
                "id": job.id,
                "name": job.name,
                "state": job.state.value,
                "n_candidates": job.n_candidates,
                "n_splits": job.n_splits,
                "metric": comparison.metric or comparison.own_metrics[job.id],
                "best": None if (best := comparison.bests[job.id]) is None else asdict(best),
            }
            for job in comparison.jobs
        ],
        "differences": [
            {
                "path": difference.path,
                "values": [None if v is ABSENT else v for v in difference.values],
                "absent": [v is ABSENT for v in difference.values],
            }
            for difference in comparison.differences
        ],
        "against_first": [asdict(against) for against in comparison.against],
    }
