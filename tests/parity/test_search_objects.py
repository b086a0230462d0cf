"""From a search object and data in memory, through engines, to scikit-learn's own numbers."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cluster import Scheduler
from parity_compare import assert_same_table, comparable
from scipy.stats import loguniform, randint
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_digits, load_wine, make_classification, make_regression
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import foldq

#: (search, X, y, what else `fit` gets)
Written = tuple[Any, Any, Any, dict[str, Any]]
CASES: list[Callable[[], Written]] = []


def case(made: Callable[[], Written]) -> Callable[[], Written]:
    CASES.append(made)
    return made


@case
def arrays_and_several_metrics() -> Written:
    X, y = load_digits(n_class=4, return_X_y=True)
    grid = {"svc__C": np.logspace(-1, 1, 3), "svc__gamma": [0.001, "scale"]}
    model = make_pipeline(StandardScaler(), SVC())
    scorers = {"accuracy": "accuracy", "f1": make_scorer(f1_score, average="macro")}
    return GridSearchCV(model, grid, scoring=scorers, refit="f1", n_jobs=2), X, y, {}


@case
def a_table_that_lies_in_memory_row_by_row() -> Written:
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return GridSearchCV(model, {"logisticregression__C": [0.01, 1.0]}, cv=4), X, y, {}


@case
def a_table_of_numbers_and_words_with_missing_cells() -> Written:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(40, 10, 120), "port": rng.choice(["S", "C", "Q"], 120)})
    X.loc[::7, "age"] = np.nan
    X["class"] = pd.Categorical(rng.choice(["first", "second"], 120))
    X.index = rng.permutation(120)
    y = pd.Series(np.where(rng.random(120) < 0.5, "no", "yes"), name="age", index=X.index)
    columns = make_column_transformer(
        (SimpleImputer(), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(handle_unknown="ignore"), ["port", "class"]),
    )
    tree = DecisionTreeClassifier(random_state=0)
    grid = {
        "decisiontreeclassifier__max_depth": range(2, 5),
        "columntransformer__simpleimputer__strategy": ["mean", "median"],
    }
    return GridSearchCV(make_pipeline(columns, tree), grid, cv=3), X, y, {}


@case
def a_sparse_matrix_and_labels_of_text() -> Written:
    X, y = make_classification(150, 20, random_state=1)
    X[np.abs(X) < 0.5] = 0
    labels = np.array(["ham", "spam"], dtype=object)[y]
    space = {"C": loguniform(1e-3, 10), "fit_intercept": [True, False]}
    search = RandomizedSearchCV(
        LinearSVC(random_state=0), space, n_iter=5, random_state=np.int64(3), cv=3
    )
    return search, sp.csc_matrix(X), labels, {}


@case
def texts() -> Written:
    rng = np.random.default_rng(2)
    words = np.array(["fold", "grid", "search", "kernel", "tree", "leaf"])
    X = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    y = [int("tree" in text) for text in X]
    grid = {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)], "multinomialnb__alpha": [0.1, 1]}
    return GridSearchCV(make_pipeline(TfidfVectorizer(), MultinomialNB()), grid, cv=3), X, y, {}


@case
def halving_with_train_scores() -> Written:
    X, y = make_classification(300, random_state=5)
    space = {"max_depth": randint(1, 9), "criterion": ["gini", "entropy"]}
    tree = DecisionTreeClassifier(random_state=0)
    search = HalvingRandomSearchCV(tree, space, random_state=0, factor=2, n_candidates=8, cv=3)
    return search, X, y, {}


@case
def groups_weights_and_columns_in_fortran_order() -> Written:
    X, y = make_regression(120, 6, noise=9.0, random_state=4)
    groups = np.repeat([f"patient {i}" for i in range(12)], 10)
    weights = np.linspace(0.5, 2, 120)
    search = GridSearchCV(
        Ridge(), {"alpha": [0.1, 1, 10]}, cv=GroupKFold(4), scoring="neg_mean_absolute_error"
    )
    return search, np.asfortranarray(X), y, {"groups": groups, "sample_weight": weights}


@case
def some_fits_that_fail() -> Written:
    X, y = make_classification(80, random_state=6)
    grid = {"C": [1.0, -1.0], "kernel": ["linear"]}
    return GridSearchCV(SVC(), grid, cv=3, return_train_score=True, error_score=0), X, y, {}


@pytest.fixture(scope="module")
def jobs(scheduler: Scheduler) -> dict[str, tuple[foldq.Job, Written]]:
    """Every case, submitted; none waited for."""
    submitted = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that will fail
        for make in CASES:
            search, X, y, more = written = make()
            job = foldq.submit(search, X, y, **more, name=make.__name__, spool=scheduler.spool)
            submitted[make.__name__] = (job, written)
    return submitted


@pytest.mark.parametrize("name", [make.__name__ for make in CASES])
def test_the_numbers_are_those_of_the_search_itself(name: str, jobs: dict[str, Any]) -> None:
    job, (search, X, y, more) = jobs[name]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y, **more)

    job.wait(timeout=300, progress=False)

    assert_same_table(job.cv_results_, search.cv_results_)
    assert job.best_index_ == search.best_index_
    assert job.best_score_ == search.best_score_
    assert comparable(job.best_params_) == comparable(search.best_params_)
    with threadpool_limits(1):
        predicted = job.best_estimator_.predict(X)
        assert np.array_equal(predicted, search.best_estimator_.predict(X))
    frame = job.results()
    assert (frame["n_splits_done"] == search.n_splits_).all()
    assert [*frame.columns.drop("n_splits_done")] == list(search.cv_results_)


def test_the_same_search_on_the_same_data_is_one_job_and_one_file(
    jobs: dict[str, Any], scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    job, (search, X, y, _) = jobs["arrays_and_several_metrics"]
    job.wait(timeout=300, progress=False)
    before = sorted((scheduler.spool / "data").iterdir())

    name = "arrays_and_several_metrics"
    again = foldq.submit(search, X.copy(), y.copy(), name=name, spool=scheduler.spool)
    other = foldq.submit(search, X, y, name="arrays_once_more", spool=scheduler.spool).wait()

    assert again.id == job.id
    assert other.id != job.id
    assert other.status()["n_reused"] == other.status()["n_tasks"]
    assert sorted((scheduler.spool / "data").iterdir()) == before
    assert "Saved" not in capsys.readouterr().out
    assert (scheduler.spool / "data" / other.spec["data"]["file"]).is_file()
