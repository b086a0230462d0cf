"""`cv_results_` and the best candidate of a search, from its records.

The table is scikit-learn's own: the formulas and their order follow
`BaseSearchCV._format_results` (scikit-learn 1.9), so that every number agrees to the last bit;
a contract test compares the two. scikit-learn itself is imported only when a candidate holds
an estimator, a function or a dtype as a value.
"""

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.records import Job, find_job

if TYPE_CHECKING:
    from schemas.job import JobSpec

FloatArray = NDArray[np.float64]

#: Folds whose texts are in memory together while they are read.
FOLDS_AT_A_TIME = 20_000

#: As `cv_results_`: column name -> array of shape (n_candidates,), `params` -> list of dicts.
CVResults = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Folds:
    """What the records hold of all folds of one job.

    Attributes
    ----------
    candidates : list of dict
        Parameters of each candidate in the job file's value grammar, in the order of
        `cv_results_`.
    present : ndarray of bool, shape (n_candidates, n_splits)
        Whether the fold is finished. Where it is not, every other array holds NaN.
    failed : ndarray of bool, shape (n_candidates, n_splits)
        Whether it finished by failing; its scores are then the job's `error_score`.
    fit_time, score_time : ndarray of float, shape (n_candidates, n_splits)
        Seconds; of the fit what it would have taken by itself, with what it was spared. As in
        scikit-learn, a failed fold has a `score_time` of 0; its `fit_time` is 0 too when it is not
        known (the fold took its engine down).
    test_scores, train_scores : dict of metric name to ndarray, shape (n_candidates, n_splits)
        `train_scores` is empty unless the job asks for them.
    iteration, n_resources : ndarray of int, shape (n_candidates,), or None
        Of successive halving, else None.
    """

    candidates: list[dict[str, Any]]
    present: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    fit_time: FloatArray
    score_time: FloatArray
    test_scores: dict[str, FloatArray]
    train_scores: dict[str, FloatArray] = field(default_factory=dict)
    iteration: NDArray[np.int64] | None = None
    n_resources: NDArray[np.int64] | None = None

    @property
    def n_splits(self) -> int:
        """Number of splits; 0 before they have been chosen."""
        return int(self.present.shape[1])

    @property
    def complete(self) -> bool:
        """Whether every planned fold is finished (and there is one)."""
        return bool(self.present.size and self.present.all())


def read_folds(records: sqlite3.Connection, job: Job | int) -> Folds:
    """Read every finished fold of a job.

    Never raises for an unfinished job: before the data are prepared there are no candidates and
    no splits, and the arrays are empty.

    Raises
    ------
    NoSuchJob
    """
    if isinstance(job, int):
        job = find_job(records, job)
    candidates = records.execute(
        "SELECT id, iteration, n_resources, params FROM candidate WHERE job_id = ? ORDER BY number",
        (job.id,),
    ).fetchall()
    ids = np.array([row[0] for row in candidates], dtype=np.int64)
    by_id = np.argsort(ids)
    shape = (len(candidates), job.n_splits or 0)
    metrics = job.metrics
    with_train = bool(job.spec.get("return_train_score"))
    present, failed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    fit_time, score_time = np.full(shape, np.nan), np.full(shape, np.nan)
    test_scores = {metric: np.full(shape, np.nan) for metric in metrics}
    train_scores = {metric: np.full(shape, np.nan) for metric in metrics if with_train}

    tasks = records.execute(
        "SELECT candidate_id, split, state = 'failed', fit_time + coalesce(spared_time, 0),"
        " score_time, test_scores, train_scores FROM task"
        " WHERE job_id = ? AND kind = 'fold' AND state IN ('done', 'failed')",
        (job.id,),
    )
    while part := tasks.fetchmany(FOLDS_AT_A_TIME):
        columns = list(zip(*part, strict=True))
        where = (
            by_id[np.searchsorted(ids, np.array(columns[0]), sorter=by_id)],
            np.array(columns[1], dtype=np.intp),
        )
        present[where] = True
        failed[where] = columns[2]
        fit_time[where] = np.array(columns[3], dtype=np.float64)  # None is NaN
        score_time[where] = np.array(columns[4], dtype=np.float64)
        for tables, texts in ((test_scores, columns[5]), (train_scores, columns[6])):
            scores = _parse_all(text or "{}" for text in texts) if tables else []
            for metric, table in tables.items():
                table[where] = np.array([score.get(metric) for score in scores], dtype=np.float64)

    fit_time[failed & np.isnan(fit_time)] = 0.0
    score_time[failed] = 0.0
    error_score = _error_score(job.spec)
    for table in (*test_scores.values(), *train_scores.values()):
        table[failed] = error_score
    halving = job.strategy.startswith("halving")
    return Folds(
        candidates=_parse_all(candidate[3] for candidate in candidates),
        present=present,
        failed=failed,
        fit_time=fit_time,
        score_time=score_time,
        test_scores=test_scores,
        train_scores=train_scores,
        iteration=np.array([row[1] for row in candidates], dtype=np.int64) if halving else None,
        n_resources=np.array([row[2] for row in candidates], dtype=np.int64) if halving else None,
    )


def _parse_all(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Parse JSON objects as one long array: five times as fast as one by one."""
    parsed: list[dict[str, Any]] = json.loads("[" + ",".join(texts) + "]")
    return parsed


def _error_score(spec: Mapping[str, Any]) -> float:
    """Score of a failed fold. With `raise` the job fails; its table shows NaN there."""
    value = decode(spec.get("error_score", "nan"))
    return math.nan if value == "raise" else float(value)


# --- the candidates' values --------------------------------------------------------------------

_NEEDS_CATALOG = frozenset({"$type", "$function", "$dtype"})


def decode(value: Any) -> Any:
    """Turn a value of the job file's grammar into the Python value scikit-learn is given.

    Raises
    ------
    ValueError
        The value is an estimator, a function or a dtype; `workers.catalog.Catalog` builds those.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(decode(item) for item in value["$tuple"])
    if "$float" in value:
        return float(value["$float"])
    if "$dict" in value:
        return {key: decode(item) for key, item in value["$dict"]}
    if _NEEDS_CATALOG & value.keys():
        raise ValueError(f"Only the catalog can build {json.dumps(value)}.")
    return {key: decode(item) for key, item in value.items()}


def _needs_catalog(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_needs_catalog, value))
    if isinstance(value, dict):
        return bool(_NEEDS_CATALOG & value.keys()) or any(map(_needs_catalog, value.values()))
    return False


def decode_params(
    candidates: Sequence[Mapping[str, Any]], names: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Decode the parameters of every candidate.

    Parameters
    ----------
    candidates : sequence of dict
        In the job file's value grammar.
    names : dict of str to str, optional
        What the operator adds to scikit-learn's names: name -> dotted path.

    Returns
    -------
    list of dict
        Equal spellings become one object, as they are in a scikit-learn search where every
        candidate refers to the values in the grid.
    """
    objects: dict[str, Any] = {}
    catalog: Any = None

    def decoded(value: Any) -> Any:
        nonlocal catalog
        if not isinstance(value, (list, dict)):
            return value
        if not _needs_catalog(value):
            return decode(value)
        spelling = json.dumps(value)
        if spelling not in objects:
            if catalog is None:
                from workers.catalog import Catalog

                catalog = Catalog(dict(names or {}))
            objects[spelling] = catalog.build_params({"value": value})["value"]
        return objects[spelling]

    return [{name: decoded(value) for name, value in params.items()} for params in candidates]


# --- the table ---------------------------------------------------------------------------------


def cv_results(
    folds: Folds,
    params: Sequence[Mapping[str, Any]] | None = None,
    *,
    with_param_columns: bool = True,
) -> CVResults:
    """Make `cv_results_` as scikit-learn's searches do.

    Parameters
    ----------
    folds : Folds
    params : sequence of dict, optional
        The decoded parameters of each candidate; by default `decode_params(folds.candidates)`.
        Pass `folds.candidates` itself for a table that keeps the job file's spelling.
    with_param_columns : bool, default=True
        Who only wants the scores can do without `param_*`, and of many candidates more quickly.

    Returns
    -------
    dict of str to ndarray of shape (n_candidates,), and `params` to a list of dicts
        With scikit-learn's keys in scikit-learn's order. When folds are missing, their columns
        hold NaN, means and standard deviations are those of the folds there are, ranks are among
        the candidates with a mean (all others share the last one), and one more column,
        `n_splits_done`, counts the finished folds.
    """
    if params is None:
        params = decode_params(folds.candidates)
    results: CVResults = {}
    if folds.iteration is not None and folds.n_resources is not None:
        results["iter"] = folds.iteration
        results["n_resources"] = folds.n_resources
    _store(results, "fit_time", folds.fit_time, folds.present)
    _store(results, "score_time", folds.score_time, folds.present)
    if with_param_columns:
        results.update(_param_columns(params))
    results["params"] = list(params)
    for metric, scores in folds.test_scores.items():
        _store(results, f"test_{metric}", scores, folds.present, splits=True, rank=True)
        if folds.train_scores:
            train_scores = folds.train_scores[metric]
            _store(results, f"train_{metric}", train_scores, folds.present, splits=True)
    if not folds.complete:
        results["n_splits_done"] = folds.present.sum(axis=1)
    return results


def _store(
    results: CVResults,
    name: str,
    table: FloatArray,
    present: NDArray[np.bool_],
    *,
    splits: bool = False,
    rank: bool = False,
) -> None:
    """Add the columns of one quantity: its splits, mean, standard deviation and rank."""
    if splits:
        for split in range(table.shape[1]):
            results[f"split{split}_{name}"] = table[:, split]
    means, stds = _mean_and_std(table, present)
    results[f"mean_{name}"] = means
    results[f"std_{name}"] = stds
    if rank:
        results[f"rank_{name}"] = _ranks(means)


def _mean_and_std(table: FloatArray, present: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Mean and population standard deviation of each row over the folds that are present."""
    partly = ~present.all(axis=1)
    # Infinite scores give NaN deviations, in scikit-learn too.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if not table.size:  # no splits yet, or no candidates
            nothing = np.full(len(table), np.nan)
            return nothing, nothing.copy()
        means = np.average(table, axis=1)
        stds = np.sqrt(np.average((table - means[:, np.newaxis]) ** 2, axis=1))
        if partly.any():
            there = present[partly]
            count = there.sum(axis=1)
            scores = np.where(there, table[partly], 0.0)
            means[partly] = scores.sum(axis=1) / count
            deviations = np.where(there, scores - means[partly, np.newaxis], 0.0)
            stds[partly] = np.sqrt((deviations**2).sum(axis=1) / count)
    return means, stds


def _ranks(means: FloatArray) -> NDArray[np.int32]:
    """Rank from 1 (highest), ties sharing the smallest rank, NaN last: `rankdata(method="min")`."""
    if np.isnan(means).all():
        return np.ones_like(means, dtype=np.int32)
    # Infinities become the largest finite numbers, as in scikit-learn.
    filled = np.nan_to_num(means, nan=np.nanmin(means) - 1)
    ordered = np.sort(-filled)
    return (np.searchsorted(ordered, -filled, side="left") + 1).astype(np.int32)


def _param_columns(params: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One masked array per parameter, masked where a candidate does not have it.

    The dtype is NumPy's for the values together, but `object` for text and for sequences.
    """
    values: dict[str, dict[int, Any]] = defaultdict(dict)
    for index, candidate in enumerate(params):
        for name, value in candidate.items():
            values[f"param_{name}"][index] = value
    columns: dict[str, Any] = {}
    for name, by_index in values.items():
        try:
            together = np.array(list(by_index.values()))
        except ValueError:  # lists of different lengths
            dtype = np.dtype(object)
        else:
            plain = together.dtype.kind != "U" and together.ndim == 1
            dtype = together.dtype if plain else np.dtype(object)
        data: NDArray[Any] = np.empty(len(params), dtype=dtype)
        mask = np.ones(len(params), dtype=bool)
        for index, value in by_index.items():
            data[index] = value
            mask[index] = False
        columns[name] = np.ma.MaskedArray(data, mask=mask)
    return columns


# --- the best ----------------------------------------------------------------------------------


def best_index(results: CVResults, spec: "JobSpec") -> int | None:
    """Choose the winner's row, as scikit-learn's searches do.

    - By a metric (or the only one): the first candidate of rank 1.
    - Successive halving: the highest mean of the last iteration, its first candidate if all
      are NaN.
    - One standard error: among the candidates whose mean lies within one standard error of the
      best mean, the first in the order of the table, which is the order in which the job file
      lists values: list the simplest model first. The rule is that of Breiman, Friedman, Olshen
      and Stone, "Classification and Regression Trees" (1984), section 3.4.3. `std_test_*` divides
      by n, so the standard error of the mean over n splits is ``std / sqrt(n - 1)``.
    - `refit: false` with several metrics: none, as in scikit-learn.

    Returns
    -------
    int or None
        None also while there is no candidate.
    """
    metric = spec.refit_metric
    if metric is None or not results["params"]:
        return None
    means: FloatArray = results[f"mean_test_{metric}"]
    eligible = np.arange(len(means))
    if "iter" in results:
        eligible = np.flatnonzero(results["iter"] == results["iter"].max())
        of_last = means[eligible]
        winner = 0 if np.isnan(of_last).all() else int(np.nanargmax(of_last))
    else:
        winner = int(results[f"rank_test_{metric}"].argmin())
    best = int(eligible[winner])
    if not spec.wants_one_se:
        return best
    n_splits = sum(
        name.startswith("split") and name.partition("_")[2] == f"test_{metric}" for name in results
    )
    std = results[f"std_test_{metric}"][best]
    # One split has no standard error, an infinite or missing score none either.
    margin = std / math.sqrt(n_splits - 1) if n_splits > 1 and math.isfinite(std) else 0.0
    within = eligible[means[eligible] >= means[best] - margin]
    return int(within[0]) if within.size else best
