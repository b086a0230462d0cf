"""What a search needs next, seen from its records alone: more folds, the refit, or nothing.

Because only the records are asked, the same answer comes after a crash as without one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.lifecycle import TaskKind, TaskState
from schemas.problems import InvalidJob
from schemas.search import SearchSpec
from schemas.task import Prepared
from service import halving
from service.conclusion import Conclusion
from service.failures import fit_failures
from service.records import Job
from service.results import cv_results, read_folds
from service.reuse import ContentKeys
from service.stimuli import Task
from service.store import PlannedCandidate, Store
from workers.catalog import Catalog

Params = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PlanFolds:
    """More candidates are to be planned.

    Attributes
    ----------
    candidates : iterator of PlannedCandidate or None
        None for each that stands in the records already: to pass by those takes time as well, if
        they have to be drawn.
    """

    candidates: Iterator[PlannedCandidate | None]


@dataclass(frozen=True, slots=True)
class Await:
    """Everything is planned; folds of it, or the refit, are still under way."""


@dataclass(frozen=True, slots=True)
class Refit:
    """The winner is to be fitted."""

    task: Task


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more is to be done.

    Attributes
    ----------
    failure : str or None
        Why the job failed, if it did.
        Without, its result files are written.
    """

    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Conclude:
    """All folds are finished; who won is being found out, beside the loop."""


Step = PlanFolds | Await | Refit | End | Conclude

#: Draws the conclusion of a search whose folds are finished, given the candidate that was fitted
#: (see `service.conclusion.conclude`). None: it is under way.
Concluding = Callable[[int | None], Conclusion | None]


def candidates(
    search: SearchSpec, catalog: Catalog, n_drawn: int | None = None
) -> Iterator[Params]:
    """Yield the candidates of a search in scikit-learn's order, values in the job file's grammar.

    Parameters
    ----------
    n_drawn : int, optional
        For the random strategies, how many to draw; `n_iter` if not given.
    """
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    space = catalog.build_space(search.space)
    if search.strategy in ("grid", "halving_grid"):
        yield from ParameterGrid(space)
        return
    sampler = ParameterSampler(
        space, n_drawn if n_drawn is not None else search.n_iter, random_state=search.seed
    )
    for drawn in sampler:
        # Distributions draw NumPy scalars; lists hold plain values already.
        yield {name: v.item() if isinstance(v, np.generic) else v for name, v in drawn.items()}


def count(search: SearchSpec, prepared: Prepared | None = None) -> int | None:
    """Count the candidates a search evaluates, over all iterations.

    None where only the data can tell and they are not known.
    """
    n_first = search.n_first_candidates
    if not search.is_halving:
        return n_first
    if prepared is None:
        return None
    if n_first is None:
        n_first = _n_drawn(search, prepared)
    total = 0
    for _ in halving.schedule(search, prepared, n_first).n_resources:
        total += n_first
        n_first = halving.n_kept(n_first, search)
    return total


def _n_drawn(search: SearchSpec, prepared: Prepared) -> int:
    n_drawn = halving.n_first_candidates(search, prepared)
    return n_drawn if search.grid_size is None else min(n_drawn, search.grid_size)


def next_step(
    store: Store,
    job: Job,
    spec: JobSpec,
    prepared: Prepared,
    catalog: Catalog,
    conclude: Concluding,
) -> Step:
    """See what the search needs next.

    The plan of an iteration is complete when all its candidates stand in the records; it is over
    when none of its folds is open.
    """
    try:
        if spec.search.is_halving:
            return _halving_step(store, job, spec, prepared, catalog, conclude)
        n_planned = job.n_candidates
        n_wanted = spec.search.n_first_candidates or 0
        if n_planned < n_wanted:
            store.expect_tasks(job.id, n_wanted * prepared.n_splits)
            keys = ContentKeys(spec, prepared, catalog)
            return PlanFolds(
                None if known else PlannedCandidate(params, content_key=keys.of(params))
                for params, known in _beyond(n_planned, candidates(spec.search, catalog))
            )
    except InvalidJob as invalid:
        return End("; ".join(str(problem) for problem in invalid.problems))
    return _after_folds(store, job, spec, conclude)


def _beyond(n_known: int, params: Iterator[Params]) -> Iterator[tuple[Params, bool]]:
    """Tell the first ones, which are known, from the rest."""
    return zip(params, chain(repeat(True, n_known), repeat(False)), strict=False)


def _halving_step(
    store: Store,
    job: Job,
    spec: JobSpec,
    prepared: Prepared,
    catalog: Catalog,
    conclude: Concluding,
) -> Step:
    search = spec.search
    n_first = search.n_first_candidates or _n_drawn(search, prepared)
    plan = halving.schedule(search, prepared, n_first)
    n_wanted = n_first
    for iteration, n_resources in enumerate(plan.n_resources):
        n_planned = store.n_planned(job.id, iteration)
        if n_planned < n_wanted:
            if iteration == 0:
                params: Iterator[Params] = candidates(search, catalog, n_first)
            elif store.has_open_folds(job.id):
                return Await()
            elif (failure := _all_failed(store, job, iteration - 1)) is not None:
                return End(failure)
            else:
                params = _survivors(store, job, search, iteration - 1)
            keys = ContentKeys(spec, prepared, catalog)
            full = (_with_resource(p, search, n_resources) for p in params)
            return PlanFolds(
                None
                if known
                else PlannedCandidate(p, iteration, n_resources, keys.of(p, n_resources))
                for p, known in _beyond(n_planned, full)
            )
        n_wanted = halving.n_kept(n_wanted, search)
    return _after_folds(store, job, spec, conclude, iteration=len(plan) - 1)


def _survivors(store: Store, job: Job, search: SearchSpec, iteration: int) -> Iterator[Params]:
    folds = read_folds(store.connection, job.id)
    results = cv_results(folds, folds.candidates, with_param_columns=False)
    of_iteration = np.flatnonzero(results["iter"] == iteration)
    scores = results["mean_test_score"][of_iteration]
    for position in halving.survivors(scores, search):
        yield dict(folds.candidates[of_iteration[position]])


def _with_resource(params: Params, search: SearchSpec, n_resources: int) -> Params:
    if search.resource is None or search.resource == "n_samples":
        return params
    return {**params, search.resource: n_resources}


def _after_folds(
    store: Store, job: Job, spec: JobSpec, conclude: Concluding, iteration: int = 0
) -> Step:
    """All is planned: wait for the last folds, then choose the winner and have it fitted."""
    if store.has_open_folds(job.id):
        return Await()
    if (failure := _all_failed(store, job, iteration)) is not None:
        return End(failure)
    known = store.single_task(job.id, TaskKind.REFIT)
    if known is not None and known[1] is TaskState.DISPATCHED:
        return Await()  # an engine that outlived the last scheduler is at it
    fitted = job.best_index if known is not None and known[1] is TaskState.DONE else None
    conclusion = conclude(fitted)
    if conclusion is None:
        return Conclude()
    index, score, params = conclusion.index, conclusion.score, conclusion.params
    if index is None or index == fitted:
        return End()
    assert score is not None
    assert params is not None
    store.choose_best(job.id, index, score, params, refit=spec.wants_refit)
    if not spec.wants_refit:
        return End()
    task = store.single_task(job.id, TaskKind.REFIT)
    assert task is not None
    return Refit(task[0])


def _all_failed(store: Store, job: Job, iteration: int) -> str | None:
    """Say so if every fit of the iteration failed: scikit-learn raises then."""
    if not job.n_failed:
        return None
    failures = fit_failures(store.connection, job.id, iteration)
    return failures.summary if failures.all_failed else None
