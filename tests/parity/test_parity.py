"""The same numbers as scikit-learn, to the last bit, through real engines.

Every case (see `parity_case`) is a job file beside the search that a scikit-learn user would write
by hand. All job files go to one scheduler at once; each test then compares what the records and
the result files say with what scikit-learn computes in this process.
"""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import cases_data
import cases_estimators
import cases_failing
import cases_metrics
import cases_splitters
import cases_strategies
import numpy as np
import pytest
from cluster import Scheduler
from parity_case import Case
from parity_compare import assert_same_csv, assert_same_json, assert_same_table, comparable
from parity_data import make_files
from scipy.stats import randint
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, StratifiedShuffleSplit
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from schemas.job import JobSpec
from service.cli import app
from service.records import find_job
from service.results import best_index, cv_results, decode_params, read_folds

#: Seconds that the searches of all cases together may take, on a busy machine.
PATIENCE = 900.0

#: What a model can be asked for.
ANSWERS = ("predict", "predict_proba", "decision_function", "score_samples", "transform")


def each_of(*modules: ModuleType) -> pytest.MarkDecorator:
    cases = [case for module in modules for case in module.CASES]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the data files, as the scikit-learn user has it."""
    directory = tmp_path_factory.mktemp("data")
    make_files(directory)
    return directory


@pytest.fixture(scope="module")
def running(scheduler: Scheduler, data: Path, request: pytest.FixtureRequest) -> Scheduler:
    """A scheduler that was given the job files of all tests that are to run."""
    for file in data.iterdir():
        scheduler.add_data(file)
    for item in request.session.items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        # Other modules have cases of their own, some by the same names.
        if isinstance(case, Case) and item.path == Path(__file__):
            scheduler.drop(case.job, f"{case.name}.yaml")
    return scheduler


@contextmanager
def as_on_an_engine() -> Iterator[list[Any]]:
    """Compute as engines do, with one thread, and keep the X that the search is fitted on.

    Linear algebra with more threads adds in another order, in scikit-learn as well.
    """
    kept: list[Any] = []
    fit = BaseSearchCV.fit

    def keeping(self: BaseSearchCV, X: Any, y: Any = None, **params: Any) -> Any:
        kept.append(X)
        return fit(self, X, y, **params)

    with (
        threadpool_limits(1),
        warnings.catch_warnings(),
        patch.object(BaseSearchCV, "fit", keeping),
    ):
        warnings.simplefilter("ignore")
        yield kept


@each_of(cases_strategies, cases_splitters, cases_metrics, cases_estimators, cases_data)
def test_search_equals_scikit_learn(case: Case, running: Scheduler, data: Path) -> None:
    with as_on_an_engine() as kept, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = case.search(data)
    n_failed = sum(
        int(str(warning.message).split(maxsplit=1)[0])
        for warning in caught
        if warning.category is FitFailedWarning
    )

    job_id = running.wait(case.name, timeout=PATIENCE)["id"]

    with running.records() as records:
        job = find_job(records, job_id)
        results = cv_results(read_folds(records, job))
    directory = running.results(job_id)
    assert_same_table(results, search.cv_results_)
    assert_same_csv(directory / "cv_results.csv", search.cv_results_)
    assert_same_json(directory / "cv_results.json", search.cv_results_)
    assert job.n_failed == n_failed
    assert job.n_splits == search.n_splits_
    assert job.best_index == getattr(search, "best_index_", None)
    assert best_index(results, JobSpec.model_validate(job.spec)) == job.best_index
    if hasattr(search, "best_params_"):
        assert comparable(decode_params([job.best_params])) == comparable([search.best_params_])
    if hasattr(search, "best_score_"):  # not when `refit` is a function
        best_score = np.nan if job.best_score is None else job.best_score
        assert np.array_equal(best_score, search.best_score_, equal_nan=True)
    best = json.loads((directory / "best.json").read_text())
    if not hasattr(search, "best_estimator_"):
        assert best["estimator"] is None
        assert list(directory.glob("best_estimator*")) == []
        return
    model = loaded_as_told(directory, best["estimator"]["load"])
    with as_on_an_engine():
        assert_same_answers(model, search.best_estimator_, kept[0])


#: Searches whose printed scripts are run: each strategy, kind of data and way to choose.
SCRIPTED = (
    cases_strategies.grid_of_three_spaces,
    cases_strategies.random_from_everything,
    cases_strategies.random_of_two_spaces_and_metrics,
    cases_strategies.halving_grid_on_samples,
    cases_strategies.halving_random_that_draws_by_the_data,
    cases_strategies.halving_random_on_boosting_rounds,
    cases_data.text,
    cases_data.sparse_counts,
    cases_data.weights_with_groups_and_metrics,
    cases_metrics.one_standard_error,
    cases_metrics.one_standard_error_of_a_metric,
)


@pytest.mark.parametrize(
    "case",
    [
        case
        for module in (cases_strategies, cases_data, cases_metrics)
        for case in module.CASES
        if case.name in {search.__name__ for search in SCRIPTED}
    ],
    ids=lambda case: case.name,
)
def test_the_printed_script_repeats_the_search(case: Case, running: Scheduler) -> None:
    job_id = running.wait(case.name, timeout=PATIENCE)["id"]
    exported = CliRunner().invoke(app, ["export", str(job_id), "--spool", str(running.spool)])
    assert exported.exit_code == 0

    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(exported.stdout, f"{case.name}.py", "exec"), names)

    with running.records() as records:
        job = find_job(records, job_id)
        results = cv_results(read_folds(records, job))
    assert_same_table(results, names["search"].cv_results_)
    assert job.best_index == names["search"].best_index_


def loaded_as_told(directory: Path, line: str) -> Any:
    """Run the line of Python that `best.json` gives, and return the model."""
    names: dict[str, Any] = {}
    with chdir(directory):
        exec(line, names)
    return names["model"]


def assert_same_answers(ours: Any, theirs: Any, X: Any) -> None:
    """Ask both models everything they can be asked, of all samples."""
    asked = [name for name in ANSWERS if hasattr(theirs, name)]
    assert asked
    for name in asked:
        answers, expected = getattr(ours, name)(X), getattr(theirs, name)(X)
        if hasattr(expected, "toarray"):
            answers, expected = answers.toarray(), expected.toarray()
        is_number = np.asarray(expected).dtype.kind == "f"
        assert np.array_equal(answers, expected, equal_nan=is_number), name


@each_of(cases_failing)
def test_search_fails_as_scikit_learn_raises(case: Case, running: Scheduler, data: Path) -> None:
    with as_on_an_engine(), pytest.raises((ValueError, AttributeError)) as raised:
        case.search(data)
    said = [line for line in str(raised.value).splitlines() if line.strip()]

    job = running.wait(case.name, state="failed", timeout=PATIENCE)

    if all_failed := re.search(r"All the \d+ fits failed", str(raised.value)):
        assert all_failed.group() in job["reason"]
    assert said[-1].split(": ", 1)[-1] in job["reason"]
    assert job["best_index"] is None
    assert not list(running.results(job["id"]).glob("best_estimator*"))


def test_seeds_that_are_drawn_repeat_the_search(scheduler: Scheduler) -> None:
    scheduler.drop(
        """
        data: {make: classification, params: {n_samples: 200}}
        estimator: KNeighborsClassifier
        search: {strategy: halving_random, n_candidates: 9, factor: 2, min_resources: 40,
                 space: {n_neighbors: {$randint: [1, 20]}, weights: [uniform, distance]}}
        cv: {$type: StratifiedShuffleSplit, n_splits: 3}
        """,
        "without_seeds.yaml",
    )
    job = scheduler.wait("without_seeds")
    spec = json.loads(job["spec"])

    search = HalvingRandomSearchCV(
        KNeighborsClassifier(),
        {"n_neighbors": randint(1, 20), "weights": ["uniform", "distance"]},
        random_state=spec["search"]["seed"],
        n_candidates=9,
        factor=2,
        min_resources=40,
        cv=StratifiedShuffleSplit(3, random_state=spec["cv"]["random_state"]),
        return_train_score=False,
    )
    with as_on_an_engine():
        search.fit(*make_classification(200, random_state=spec["data"]["params"]["random_state"]))

    with scheduler.records() as records:
        results = cv_results(read_folds(records, job["id"]))
    assert_same_table(results, search.cv_results_)
    assert job["best_score"] == search.best_score_
