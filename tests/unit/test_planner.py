"""Which candidates a search tries, and on how much: what scikit-learn's own searches do."""

import math
import os
import warnings
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import (
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    ParameterGrid,
    ParameterSampler,
)
from sklearn.model_selection._search_successive_halving import _top_k

from schemas.job import JobSpec
from schemas.lifecycle import Outcome, TaskKind, TaskState
from schemas.problems import InvalidJob
from schemas.search import SearchSpec
from schemas.task import EngineReport, FoldResult, Prepared
from service import halving, planner
from service.conclusion import conclude
from service.records import find_job
from service.results import read_folds
from service.stimuli import Batch, Dispatch, EndTask, RecordPrepared, Task
from service.store import PlannedCandidate, Store
from workers.catalog import Catalog

SEEDS = st.integers(0, 2**32 - 1)

#: Random halvings of each kind; `make torture` has more.
N_HALVINGS = int(os.environ.get("TEST_EXAMPLES", "50"))

# --- candidates --------------------------------------------------------------------------------

PARAMETERS = st.sampled_from(["alpha", "beta", "step__gamma", "Zeta", "a", "tol"])

#: Values that mean themselves in a job file.
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["auto", "scale", "passthrough", "größer", ""])
)


def listed() -> st.SearchStrategy[tuple[Any, Any]]:
    """Values of a parameter: as the job file says them, and as a scikit-learn user does."""
    few = st.integers(1, 4)
    end = st.floats(-3, 3)
    # fmt: off
    return st.one_of(
        st.lists(PLAIN, min_size=1, max_size=4).map(lambda v: (v, v)),
        st.lists(PLAIN, min_size=1, max_size=3).map(lambda v: ({"$choice": v}, v)),
        st.tuples(end, end, few).map(lambda a: ({"$linspace": list(a)}, np.linspace(*a))),
        st.tuples(end, end, few).map(lambda a: ({"$logspace": list(a)}, np.logspace(*a))),
        st.tuples(st.floats(0.01, 9), st.floats(0.01, 9), few).map(
            lambda a: ({"$geomspace": list(a)}, np.geomspace(*a))),
        st.tuples(st.integers(-5, 5), few).map(
            lambda a: ({"$range": [a[0], a[0] + a[1]]}, range(a[0], a[0] + a[1]))),
    )
    # fmt: on


def drawn() -> st.SearchStrategy[tuple[Any, Any]]:
    """Distributions: as the job file says them, by both ends, and as SciPy does."""
    low, width = st.floats(0.001, 100), st.floats(0.01, 1000)
    return st.one_of(
        st.tuples(low, width).map(
            lambda a: (
                {"$uniform": [a[0], a[0] + a[1]]},
                stats.uniform(a[0], (a[0] + a[1]) - a[0]),
            )
        ),
        st.tuples(low, width).map(
            lambda a: ({"$loguniform": [a[0], a[0] + a[1]]}, stats.loguniform(a[0], a[0] + a[1]))
        ),
        st.tuples(st.integers(-9, 9), st.integers(1, 50)).map(
            lambda a: ({"$randint": [a[0], a[0] + a[1]]}, stats.randint(a[0], a[0] + a[1]))
        ),
    )


def spaces(
    values: st.SearchStrategy[tuple[Any, Any]],
) -> st.SearchStrategy[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """One to three mappings: as the job file says them, and as a scikit-learn user does."""
    mapping = st.dictionaries(PARAMETERS, values, min_size=1, max_size=4)
    return st.lists(mapping, min_size=1, max_size=3).map(
        lambda all_: (
            [{name: value[0] for name, value in space.items()} for space in all_],
            [{name: value[1] for name, value in space.items()} for space in all_],
        )
    )


def plain(candidates: Any) -> list[list[tuple[str, str, Any]]]:
    """Return candidates as lists of (name, type, value) in order; NumPy's numbers are Python's."""
    return [
        [
            (name, type(value).__name__, value)
            for name, value in (
                (name, value.item() if isinstance(value, np.generic) else value)
                for name, value in candidate.items()
            )
        ]
        for candidate in candidates
    ]


@given(spaces(listed()))
def test_a_grid_is_the_parameter_grid(space):
    job, expected = space
    search = SearchSpec(strategy="grid", space=job)

    candidates = list(planner.candidates(search, Catalog()))

    assert plain(candidates) == plain(ParameterGrid(expected))
    assert planner.count(search) == len(candidates) == len(ParameterGrid(expected))


@given(spaces(listed() | drawn()), SEEDS, st.integers(1, 30))
def test_random_candidates_are_those_of_the_sampler_with_that_seed(space, seed, n_iter):
    job, expected = space
    search = SearchSpec(strategy="random", space=job, seed=seed, n_iter=n_iter)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a space may be smaller than n_iter
        candidates = list(planner.candidates(search, Catalog()))
        sampled = list(ParameterSampler(expected, n_iter, random_state=seed))

    assert plain(candidates) == plain(sampled)
    assert planner.count(search) == len(candidates)


@given(spaces(listed() | drawn()), SEEDS)
def test_the_same_candidates_come_again_after_a_restart(space, seed):
    search = SearchSpec(strategy="random", space=space[0], seed=seed)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, again = (list(planner.candidates(search, Catalog())) for _ in range(2))

    assert plain(first) == plain(again)


def test_a_single_mapping_is_a_list_of_one():
    search = SearchSpec(strategy="grid", space={"alpha": [1, 2]})

    assert list(planner.candidates(search, Catalog())) == [{"alpha": 1}, {"alpha": 2}]


def test_estimators_among_the_values_stay_in_the_job_files_spelling():
    search = SearchSpec(strategy="grid", space={"model": ["SVC", {"$type": "SVC", "C": 2}]})

    assert list(planner.candidates(search, Catalog())) == [
        {"model": {"$type": "SVC"}},
        {"model": {"$type": "SVC", "C": 2}},
    ]


# --- successive halving ------------------------------------------------------------------------

N_SAMPLES = 130


def prepared(n_splits: int, n_classes: int | None) -> Prepared:
    return Prepared(
        fingerprint="f" * 64,
        splits="s" * 64,
        n_samples=N_SAMPLES,
        n_features=1,
        n_splits=n_splits,
        n_classes=n_classes,
        is_classifier=n_classes is not None,
        min_train_size=N_SAMPLES // n_splits,
        versions={},
    )


def data(n_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    X = np.linspace(0, 1, N_SAMPLES)[:, np.newaxis]
    y = np.arange(N_SAMPLES)
    return X, y if n_classes is None else y % n_classes


@st.composite
def halving_options(draw: Any) -> dict[str, Any]:
    """Options of successive halving that a job file may give together."""
    options = {
        "factor": draw(st.sampled_from([2, 3, 4, 1.5, 2.5, 3.0, 1.1])),
        "aggressive_elimination": draw(st.booleans()),
        "min_resources": draw(st.sampled_from(["exhaust", "smallest", 6, 20, 60])),
    }
    if draw(st.booleans()):
        options |= {"resource": "n_samples"}
        options |= {"max_resources": draw(st.sampled_from(["auto", 50, 100, N_SAMPLES]))}
    else:
        options |= {"resource": "max_iter", "max_resources": draw(st.integers(1, 200))}
    return options


def fit_of_no_work(*_: Any, parameters: dict[str, Any], **__: Any) -> dict[str, Any]:
    """Stand in for `_fit_and_score`: which steps are taken does not depend on the scores."""
    score = math.sin(parameters["alpha"])
    return {
        "fit_error": None,
        "test_scores": score,
        "n_test_samples": 1,
        "fit_time": 0.0,
        "score_time": 0.0,
    }


def run_halving(search: Any, n_classes: int | None) -> Any | None:
    """Let scikit-learn take the steps of a search; None when it refuses."""
    with (
        patch("sklearn.model_selection._search._fit_and_score", fit_of_no_work),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return search.set_params(refit=False).fit(*data(n_classes))
        except ValueError as error:
            if "is greater than max_resources_" not in str(error):
                raise
            return None


@settings(deadline=None, max_examples=N_HALVINGS)
@given(
    options=halving_options(),
    n_candidates=st.integers(1, 30),
    n_splits=st.integers(2, 5),
    n_classes=st.sampled_from([None, 2, 3]),
)
def test_halving_grid_takes_the_steps_that_scikit_learn_takes(
    options, n_candidates, n_splits, n_classes
):
    alphas = [float(i + 1) for i in range(n_candidates)]
    search = SearchSpec(strategy="halving_grid", seed=0, space={"alpha": alphas}, **options)
    theirs = run_halving(
        HalvingGridSearchCV(
            RidgeClassifier() if n_classes else Ridge(),
            {"alpha": alphas},
            random_state=0,
            cv=KFold(n_splits),
            return_train_score=False,
            **options,
        ),
        n_classes,
    )
    facts = prepared(n_splits, n_classes)
    if theirs is None:
        with pytest.raises(InvalidJob):
            planner.count(search, facts)
        return

    plan = halving.schedule(search, facts, n_candidates)

    assert list(plan.n_resources) == theirs.n_resources_
    assert planner.count(search, facts) == sum(theirs.n_candidates_)
    for of_one, of_next in pairwise(theirs.n_candidates_):
        assert halving.n_kept(of_one, search) == of_next


@settings(deadline=None, max_examples=N_HALVINGS)
@given(
    options=halving_options(),
    n_candidates=st.just("exhaust") | st.integers(1, 20),
    n_splits=st.integers(2, 4),
    n_classes=st.sampled_from([None, 2]),
    seed=SEEDS,
    finite=st.booleans(),
)
def test_halving_random_draws_as_many_as_scikit_learn_draws(
    options, n_candidates, n_splits, n_classes, seed, finite
):
    assume(not (n_candidates == "exhaust" and options["min_resources"] == "exhaust"))
    job, theirs_space = {"alpha": {"$uniform": [0.5, 2.0]}}, {"alpha": stats.uniform(0.5, 1.5)}
    if finite:
        job, theirs_space = {"alpha": [1.0, 2.0, 3.0, 4.0]}, {"alpha": [1.0, 2.0, 3.0, 4.0]}
    search = SearchSpec(
        strategy="halving_random", seed=seed, space=job, n_candidates=n_candidates, **options
    )
    theirs = run_halving(
        HalvingRandomSearchCV(
            RidgeClassifier() if n_classes else Ridge(),
            theirs_space,
            random_state=seed,
            n_candidates=n_candidates,
            cv=KFold(n_splits),
            return_train_score=False,
            **options,
        ),
        n_classes,
    )
    facts = prepared(n_splits, n_classes)
    if theirs is None:
        with pytest.raises(InvalidJob):
            planner.count(search, facts)
        return

    assert planner.count(search, facts) == sum(theirs.n_candidates_)
    n_first = theirs.n_candidates_[0]
    assert list(halving.schedule(search, facts, n_first).n_resources) == theirs.n_resources_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidates = list(planner.candidates(search, Catalog(), n_first))
    tried = theirs.cv_results_["param_alpha"][theirs.cv_results_["iter"] == 0]
    assert [candidate["alpha"] for candidate in candidates] == tried.tolist()


@given(
    scores=st.lists(
        st.sampled_from([math.nan, 0.0, 0.5, 1.0]) | st.floats(-1, 1), min_size=1, max_size=40
    ),
    factor=st.sampled_from([2, 3, 1.5]),
)
def test_the_best_go_on_in_scikit_learns_order(scores, factor):
    search = SearchSpec(strategy="halving_grid", seed=0, factor=factor, space={"alpha": [1]})
    results = {
        "iter": np.zeros(len(scores), dtype=int),
        "mean_test_score": np.array(scores),
        "params": np.arange(len(scores)),
    }
    n_kept = math.ceil(len(scores) / factor)

    kept = halving.survivors(np.array(scores), search)

    assert halving.n_kept(len(scores), search) == n_kept
    assert kept.tolist() == _top_k(results, n_kept, 0).tolist()


def test_only_the_data_tell_how_many_candidates_halving_tries():
    search = SearchSpec(strategy="halving_random", seed=0, space={"alpha": {"$uniform": [0, 1]}})

    assert planner.count(search) is None
    # 2 samples for each of 5 splits are the least: 130 // 10 = 13, then 5, then 2.
    assert planner.count(search, prepared(5, None)) == 13 + 5 + 2


def test_a_resource_that_is_a_parameter_needs_a_number_for_the_most():
    search = SearchSpec(
        strategy="halving_grid", seed=0, resource="max_iter", space={"alpha": [1, 2]}
    )

    with pytest.raises(InvalidJob, match="max_resources"):
        planner.count(search, prepared(5, None))


def test_too_few_samples_for_the_first_iteration_are_told():
    search = SearchSpec(strategy="halving_grid", seed=0, min_resources=500, space={"alpha": [1, 2]})

    with pytest.raises(InvalidJob, match="500"):
        planner.count(search, prepared(5, None))


# --- going on with what is under way --------------------------------------------------------------

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = JobSpec.model_validate(
    {
        "name": "job",
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"strategy": "grid", "space": {"C": [1, 2]}},
    }
)


@pytest.fixture
def store(tmp_path):
    """One engine, and a job whose two candidates are planned on two splits: tasks 2 to 5."""
    store = Store(tmp_path / "foldq.db")
    store.admit(SPEC, name="job.json", data=b"{}", digest="d", estimator="SVC", now=NOW)
    store.engine_joined("local", 0, "identity", EngineReport("host", 123, {}), NOW)
    store.record([RecordPrepared(1, prepared(2, None))], NOW)
    store.plan(1, [c for c in next_step(store).candidates if c is not None], 2, NOW)
    yield store
    store.close()


def next_step(store):
    job = find_job(store.connection, 1)

    def concluded(fitted):
        folds = read_folds(store.connection, job)
        return conclude(job, folds, store.path.parent / "results", fitted)

    return planner.next_step(store, job, SPEC, prepared(2, None), Catalog(), concluded)


def send(store, task_id, kind=TaskKind.FOLD):
    """Dispatch a task as the attempt of the same number."""
    batch = Batch(task_id, 1, 1, kind, ((task_id, Task(task_id, kind)),), 0.5)
    store.record([Dispatch(batch)], NOW)


def finish(store, task_id, score=0.5, kind=TaskKind.FOLD):
    result = FoldResult(task_id, task_id, {"score": score}) if kind is TaskKind.FOLD else None
    end = EndTask(
        1, task_id, task_id, kind, TaskState.DONE, Outcome.OK, n_attempts=1, result=result
    )
    store.record([end], NOW)


def test_folds_that_an_engine_still_has_are_awaited(store):
    for task_id in (2, 3, 4, 5):
        send(store, task_id)
    for task_id in (2, 3, 4):
        finish(store, task_id)
    assert next_step(store) == planner.Await(), "nothing is pending, and one fold is out"
    finish(store, 5, score=0.9)
    assert isinstance(next_step(store), planner.Refit)


def test_a_refit_that_an_engine_still_has_is_awaited_and_its_winner_stays(store):
    for task_id in (2, 3, 4, 5):
        send(store, task_id)
        finish(store, task_id)
    step = next_step(store)
    send(store, step.task.task_id, TaskKind.REFIT)
    store.connection.execute("UPDATE job SET best_score = 0.25")
    assert next_step(store) == planner.Await()
    assert find_job(store.connection, 1).best_score == 0.25, "not chosen anew meanwhile"
    finish(store, step.task.task_id, kind=TaskKind.REFIT)
    assert next_step(store) == planner.End()


def test_a_refined_grid_costs_only_its_new_points(store):
    for task_id in (2, 3, 4, 5):
        send(store, task_id)
        finish(store, task_id)
    job = store.admit(SPEC, name="finer.json", data=b"", digest="e", estimator="SVC", now=NOW)
    known = {"C": 1}
    keyed = [PlannedCandidate(known, content_key="one"), PlannedCandidate({"C": 3})]
    store.connection.execute("UPDATE candidate SET content_key = 'one' WHERE number = 0")

    assert store.plan(job.job_id, keyed, 2, NOW) == 2, "the two folds of the new point"

    folds = store.connection.execute(
        "SELECT split, state, origin_task_id, test_scores = (SELECT test_scores FROM task AS first"
        " WHERE first.id = fold.origin_task_id) FROM fold WHERE job_id = ? ORDER BY task_id",
        (job.job_id,),
    ).fetchall()
    assert folds == [
        (0, "done", 2, 1),
        (1, "done", 3, 1),
        (0, "pending", None, None),
        (1, "pending", None, None),
    ]
    row = find_job(store.connection, job.job_id)
    assert (row.n_done, row.n_reused, row.spared_seconds) == (2, 2, 0.0)
