"""What a report is made of, read from the records once: the table, the axes, the times."""

import json
import sqlite3
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.exports import top
from service.records import Job, parse_time
from service.report.axes import Axis, axes
from service.results import CVResults, Folds, cv_results, read_folds

#: Candidates drawn one by one in a plot; of larger searches the best and an even sample.
MAX_POINTS = 1000
#: How many of those are the best ones.
_BEST_POINTS = 300


@dataclass(frozen=True)
class Material:
    """One search as its plots and tables need it.

    Attributes
    ----------
    job : Job
    folds : Folds
    table : CVResults
        `cv_results_` with the job file's spelling, without `param_*` columns.
    """

    job: Job
    folds: Folds
    table: CVResults
    records: sqlite3.Connection

    @classmethod
    def read(cls, records: sqlite3.Connection, job: Job) -> "Material":
        """Read what the records hold of a job."""
        folds = read_folds(records, job)
        table = cv_results(folds, folds.candidates, with_param_columns=False)
        return cls(job, folds, table, records)

    @property
    def metric(self) -> str:
        """The metric that the plots show: the one the winner is chosen by."""
        return self.job.chosen_metric

    @property
    def metric_label(self) -> str:
        """The metric in words: of a single one its scorer, where the job file names one."""
        return metric_label(self.job, self.metric)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean test score of each candidate; NaN where there is none that is finite."""
        means: NDArray[np.float64] = np.array(self.table[f"mean_test_{self.metric}"], dtype=float)
        return np.where(np.isfinite(means), means, np.nan)

    @cached_property
    def sems(self) -> NDArray[np.float64]:
        """Standard error of each mean; NaN for fewer than two folds."""
        return standard_errors(self.table, self.folds, self.metric)

    @cached_property
    def ranked(self) -> list[int]:
        """The rows of the table, best first; of halving, the last iteration first."""
        return top(self.table, len(self.folds.candidates), self.metric)

    @cached_property
    def resource(self) -> str | None:
        """The parameter that halving gives more and more of; None if there is none."""
        resource = self.job.spec.get("search", {}).get("resource")
        return resource if isinstance(resource, str) and resource != "n_samples" else None

    @cached_property
    def latest(self) -> NDArray[np.intp]:
        """The rows that stand for the candidates: of halving, the last iteration of each."""
        if self.folds.iteration is None:
            return np.arange(len(self.folds.candidates))
        last: dict[str, int] = {}
        for row, params in enumerate(self.folds.candidates):
            last[self._identity(params)] = row
        return np.array(sorted(last.values()), dtype=np.intp)

    @cached_property
    def scored(self) -> NDArray[np.intp]:
        """Those of `latest` that have a mean."""
        return self.latest[~np.isnan(self.means[self.latest])]

    @cached_property
    def lives(self) -> dict[str, list[int]]:
        """Of halving: each candidate's rows, iteration by iteration."""
        lives: dict[str, list[int]] = {}
        for row, params in enumerate(self.folds.candidates):
            lives.setdefault(self._identity(params), []).append(row)
        return lives

    def _identity(self, params: dict[str, Any]) -> str:
        own = {name: value for name, value in params.items() if name != self.resource}
        return json.dumps(own, sort_keys=True)

    @cached_property
    def axes(self) -> list[Axis]:
        """The parameters that tell candidates apart."""
        every = axes(self.folds.candidates, self.job.spec.get("search", {}))
        return [axis for axis in every if axis.varies and axis.name != self.resource]

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """When each candidate's last fold was finished, in seconds after the start of the job."""
        times = np.full(len(self.folds.candidates), np.nan)
        start = parse_time(self.job.started_at)
        if start is None:
            return times
        # SQLite finds the last one in an index, and gives times in days.
        rows = self.records.execute(
            "SELECT candidate.number, max(julianday(task.finished_at)) FROM candidate"
            " JOIN task ON task.candidate_id = candidate.id AND task.job_id = candidate.job_id"
            " WHERE candidate.job_id = ? GROUP BY candidate.id",
            (self.job.id,),
        )
        (begun,) = self.records.execute("SELECT julianday(?)", (self.job.started_at,)).fetchone()
        for number, finished in rows:
            if finished is not None and number < len(times):
                times[number] = max(0.0, (finished - begun) * 86400)
        return times


def thinned(rows: NDArray[np.intp], means: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return at most that many rows: the best of them and an even sample of the others."""
    if len(rows) <= most:
        return rows
    order = np.argsort(-means[rows], kind="stable")
    n_best = min(_BEST_POINTS, most // 2)
    others = np.sort(order[n_best:])
    even = others[np.linspace(0, len(others) - 1, most - n_best).astype(np.intp)]
    chosen: NDArray[np.intp] = rows[np.sort(np.concatenate([order[:n_best], even]))]
    return chosen


def standard_errors(table: CVResults, folds: Folds, metric: str) -> NDArray[np.float64]:
    """Return the standard error of each candidate's mean: `std / sqrt(n - 1)`.

    `std_test_*` divides by n, so n − 1 stands where textbooks have n. NaN for fewer than two folds.
    """
    n_folds = folds.present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors: NDArray[np.float64] = table[f"std_test_{metric}"] / np.sqrt(n_folds - 1.0)
    return np.where((n_folds > 1) & np.isfinite(errors), errors, np.nan)


def with_error(told: str, mean: float, sem: float) -> str:
    """Add the standard error to what is told of a mean, with as many digits; none where it is NaN.

    Examples
    --------
    >>> with_error("0.9733", 0.9733, 0.00512), with_error("-4200.76", -4200.76, 11.3808)
    ('0.9733 ± 0.0051', '-4200.76 ± 11.38')
    """
    if np.isnan(sem):
        return told
    return f"{told} ± {sem:.{2 if abs(mean) >= 100 else 4}f}".strip()


def metric_label(job: Job, metric: str) -> str:
    """Return the name of a metric for people: `score` alone says little."""
    scoring = job.spec.get("scoring")
    if metric == "score":
        return scoring if isinstance(scoring, str) else "score"
    return metric
