"""Each shortcut of an engine, alone and with the others, gives scikit-learn's numbers to the bit.

The cases are chosen for what one fold can leave to the next. They run on an engine in this process,
split after split, so that it is known what is shared, and it is asserted that it was.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from engine_alone import EngineAlone
from parity_case import Case, Cases
from parity_compare import same_bits
from parity_data import make_files
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine, make_classification
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomTreesEmbedding,
)
from sklearn.ensemble._forest import _parallel_build_trees as build
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from schemas.task import FoldResult, Shortcuts
from workers.kept import kept

NONE = Shortcuts(data=False, checks=False, prefixes=False, forests=False)
PREFIXES, FORESTS = replace(NONE, prefixes=True), replace(NONE, forests=True)
WAYS = {
    "none": NONE,
    "data": replace(NONE, data=True),
    "checks": replace(NONE, checks=True),
    "prefixes": PREFIXES,
    "forests": FORESTS,
    "all": Shortcuts(),
    "all, in little memory": Shortcuts(memory=60_000),
}

Folds = Mapping[tuple[int, int], FoldResult]

SHARING = Cases()
GROWING = Cases()
ALONE = Cases()

#: Folds of a split that find something done already: by case, in the order of the grid.
N_SPARED = {
    "scaled_reduced_and_classified": 14,  # of 16, with two scalings; the reductions come twice
    "union_of_features": 4,
    "columns_of_a_table": 6,
    "steps_left_out_and_swapped": 7,  # of 12; two have no head at all
    "a_head_that_fails": 1,
    "sparse_counts": 5,
    "text_by_several_metrics": 4,
    "weights_for_the_last_step": 3,
    "fitted_on_other_numbers_than_it_is_asked_about": 1,
    "a_forest_behind_a_scaler": 5,
    "extra_trees": 4,
    "boosted_trees": 2,
    "boosted_histograms": 2,
    "bagged_trees": 3,
}


@SHARING.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [reduce, PCA], [model, SVC]]}
    search: {space: {scale__with_std: [true, false], reduce__n_components: [2, 0.9],
             model__C: [0.1, 1], model__gamma: [scale, 0.01]}}
    cv: 2
    return_train_score: true
""")
def scaled_reduced_and_classified(_data: Path) -> Any:
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA()), ("model", SVC())])
    grid = {
        "scale__with_std": [True, False],
        "reduce__n_components": [2, 0.9],
        "model__C": [0.1, 1],
        "model__gamma": ["scale", 0.01],
    }
    search = GridSearchCV(pipeline, grid, cv=2, return_train_score=True)
    return search.fit(*load_iris(return_X_y=True))


@SHARING.case("""
    data: {loader: iris}
    estimator:
      $type: Pipeline
      steps:
        - - features
          - {$type: FeatureUnion, transformer_list: [[some, PCA], [others, MinMaxScaler]]}
        - [model, {$type: LogisticRegression, max_iter: 200}]
    search: {space: {features__some__n_components: [1, 2], features__others: [drop, MinMaxScaler],
             model__C: [0.1, 1.0]}}
    cv: 2
    scoring: neg_log_loss
""")
def union_of_features(_data: Path) -> Any:
    features = FeatureUnion([("some", PCA()), ("others", MinMaxScaler())])
    grid = {
        "features__some__n_components": [1, 2],
        "features__others": ["drop", MinMaxScaler()],
        "model__C": [0.1, 1.0],
    }
    pipeline = Pipeline([("features", features), ("model", LogisticRegression(max_iter=200))])
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss")
    return search.fit(*load_iris(return_X_y=True))


@SHARING.case("""
    data: {file: clinics.csv, target: outcome, features: [pulse, fever, iron, clinic]}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            transformers:
              - - numbers
                - {$type: Pipeline, steps: [[fill, SimpleImputer], [scale, StandardScaler]]}
                - [pulse, fever, iron]
              - [words, OneHotEncoder, [clinic]]
        - [again, StandardScaler]
        - [model, {$type: LogisticRegression, max_iter: 200}]
    search: {space: {columns__numbers__fill__strategy: [mean, median],
             again__with_std: [true, false], model__C: [0.1, 1.0]}}
    cv: 2
    scoring: [accuracy, f1_macro, neg_log_loss]
    refit: false
""")
def columns_of_a_table(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    numbers = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    columns = ColumnTransformer(
        [("numbers", numbers, ["pulse", "fever", "iron"]), ("words", OneHotEncoder(), ["clinic"])]
    )
    model = LogisticRegression(max_iter=200)
    search = GridSearchCV(
        Pipeline([("columns", columns), ("again", StandardScaler()), ("model", model)]),
        {
            "columns__numbers__fill__strategy": ["mean", "median"],
            "again__with_std": [True, False],
            "model__C": [0.1, 1.0],
        },
        cv=2,
        scoring=["accuracy", "f1_macro", "neg_log_loss"],
        refit=False,
    )
    return search.fit(frame[["pulse", "fever", "iron", "clinic"]], frame["outcome"])


@SHARING.case("""
    data: {make: classification, params: {n_samples: 90, random_state: 0}}
    estimator: {$type: Pipeline,
                steps: [[first, passthrough], [second, passthrough], [model, LogisticRegression]]}
    search: {space: {first: [passthrough, StandardScaler, MinMaxScaler],
             second: [null, {$type: PCA, n_components: 5}],
             model: [LogisticRegression, {$type: Ridge, alpha: 2.0}]}}
    cv: 2
    scoring: neg_mean_squared_error
""")
def steps_left_out_and_swapped(_data: Path) -> Any:
    pipeline = Pipeline(
        [("first", "passthrough"), ("second", "passthrough"), ("model", LogisticRegression())]
    )
    grid = {
        "first": ["passthrough", StandardScaler(), MinMaxScaler()],
        "second": [None, PCA(5)],
        "model": [LogisticRegression(), Ridge(2.0)],
    }
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_mean_squared_error")
    return search.fit(*make_classification(90, random_state=0))


@SHARING.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [reduce, PCA], [model, SVC]]}
    search: {space: {reduce__n_components: [2, 40], model__C: [0.1, 1.0, -1.0]}}
    cv: 2
""")
def a_head_that_fails(_data: Path) -> Any:
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA()), ("model", SVC())])
    grid = {"reduce__n_components": [2, 40], "model__C": [0.1, 1.0, -1.0]}
    return GridSearchCV(pipeline, grid, cv=2).fit(*load_iris(return_X_y=True))


@SHARING.case("""
    data: {file: counts.npz, y_file: counts_labels.npz}
    estimator:
      $type: Pipeline
      steps: [[scale, MaxAbsScaler], [select, {$type: SelectKBest, score_func: {$function: chi2}}],
              [model, {$type: LinearSVC, random_state: 0}]]
    search: {space: {select: [{$type: SelectKBest, score_func: {$function: chi2}, k: 8},
                              {$type: TruncatedSVD, n_components: 4, random_state: 1}],
             model: [{$type: LinearSVC, random_state: 0}, SVC, {$type: SGDClassifier,
                      random_state: 0}]}}
    cv: 2
""")
def sparse_counts(data: Path) -> Any:
    scores = [SelectKBest(chi2, k=8), TruncatedSVD(4, random_state=1)]
    models = [LinearSVC(random_state=0), SVC(), SGDClassifier(random_state=0)]
    pipeline = Pipeline(
        [("scale", MaxAbsScaler()), ("select", SelectKBest(chi2)), ("model", LinearSVC())]
    )
    search = GridSearchCV(pipeline, {"select": scores, "model": models}, cv=2)
    return search.fit(sp.load_npz(data / "counts.npz"), np.load(data / "counts_labels.npz")["y"])


@SHARING.case("""
    data: {file: reviews.csv, target: verdict, features: text}
    estimator:
      $type: Pipeline
      steps: [[words, TfidfVectorizer], [model, {$type: SGDClassifier, random_state: 0}]]
    search: {space: {words__ngram_range: [{$tuple: [1, 1]}, [1, 2]],
             model__alpha: [0.0001, 0.001, 0.01]}}
    cv: 2
    scoring: [accuracy, roc_auc, f1_macro]
    refit: false
""")
def text_by_several_metrics(data: Path) -> Any:
    frame = pd.read_csv(data / "reviews.csv")
    search = GridSearchCV(
        Pipeline([("words", TfidfVectorizer()), ("model", SGDClassifier(random_state=0))]),
        {"words__ngram_range": [(1, 1), (1, 2)], "model__alpha": [0.0001, 0.001, 0.01]},
        cv=2,
        scoring=["accuracy", "roc_auc", "f1_macro"],
        refit=False,
    )
    return search.fit(frame["text"], frame["verdict"])


@SHARING.case("""
    data: {file: clinics.csv, target: outcome, weights: weight, features: [pulse, iron, sugar]}
    estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [model, LogisticRegression]]}
    search: {space: {model__C: [0.01, 0.1, 1.0, 10.0]}}
    cv: 2
    return_train_score: true
""")
def weights_for_the_last_step(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())]),
        {"model__C": [0.01, 0.1, 1.0, 10.0]},
        cv=2,
        return_train_score=True,
    )
    X = frame[["pulse", "iron", "sugar"]]
    return search.fit(X, frame["outcome"], model__sample_weight=frame["weight"])


@SHARING.case("""
    data: {file: clinics.csv, target: outcome, features: [clinic, visits]}
    estimator:
      $type: Pipeline
      steps: [[encode, {$type: TargetEncoder, random_state: 0}], [model, LogisticRegression]]
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 2
    scoring: neg_log_loss
    return_train_score: true
""")
def fitted_on_other_numbers_than_it_is_asked_about(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    encode = TargetEncoder(random_state=0)  # encodes the data it is fitted on by halves
    search = GridSearchCV(
        Pipeline([("encode", encode), ("model", LogisticRegression())]),
        {"model__C": [0.1, 1.0]},
        cv=2,
        scoring="neg_log_loss",
        return_train_score=True,
    )
    return search.fit(frame[["clinic", "visits"]], frame["outcome"])


# --- ensembles that differ in size --------------------------------------------------------------


@GROWING.case("""
    data: {make: classification, params: {n_samples: 120, random_state: 0}}
    estimator:
      $type: Pipeline
      steps: [[scale, StandardScaler], [model, {$type: RandomForestClassifier, random_state: 0}]]
    search: {space: {model__n_estimators: [2, 5, 9], model__max_features: [2, 6],
             scale__with_mean: [true]}}
    cv: 2
    return_train_score: true
""")
def a_forest_behind_a_scaler(_data: Path) -> Any:
    forest = RandomForestClassifier(random_state=0)
    grid = {
        "model__n_estimators": [2, 5, 9],
        "model__max_features": [2, 6],
        "scale__with_mean": [True],
    }
    pipeline = Pipeline([("scale", StandardScaler()), ("model", forest)])
    search = GridSearchCV(pipeline, grid, cv=2, return_train_score=True)
    return search.fit(*make_classification(120, random_state=0))


@GROWING.case("""
    data: {file: counts.npz, y_file: counts_labels.npz}
    estimator: {$type: ExtraTreesClassifier, random_state: 3, class_weight: balanced}
    search: {space: {n_estimators: [3, 1, 4, 6], bootstrap: [true, false]}}
    cv: 2
    scoring: [roc_auc, neg_log_loss]
    refit: false
""")
def extra_trees(data: Path) -> Any:
    search = GridSearchCV(
        ExtraTreesClassifier(random_state=3, class_weight="balanced"),
        {"n_estimators": [3, 1, 4, 6], "bootstrap": [True, False]},
        cv=2,
        scoring=["roc_auc", "neg_log_loss"],
        refit=False,
    )
    return search.fit(sp.load_npz(data / "counts.npz"), np.load(data / "counts_labels.npz")["y"])


@GROWING.case("""
    data: {loader: iris}
    estimator: {$type: GradientBoostingClassifier, random_state: 0, subsample: 0.7}
    search: {space: {n_estimators: [2, 4], max_depth: [1, 2]}}
    cv: 2
    scoring: neg_log_loss
""")
def boosted_trees(_data: Path) -> Any:
    boosting = GradientBoostingClassifier(random_state=0, subsample=0.7)
    grid = {"n_estimators": [2, 4], "max_depth": [1, 2]}
    search = GridSearchCV(boosting, grid, cv=2, scoring="neg_log_loss")
    return search.fit(*load_iris(return_X_y=True))


@GROWING.case("""
    data: {file: prices.parquet, target: price, features: [light, rooms, size, garden]}
    estimator: {$type: HistGradientBoostingRegressor, random_state: 0, max_features: 0.5}
    search: {space: {max_iter: [3, 6, 7]}}
    cv: 2
""")
def boosted_histograms(data: Path) -> Any:
    frame = pd.read_parquet(data / "prices.parquet")
    boosting = HistGradientBoostingRegressor(random_state=0, max_features=0.5)
    search = GridSearchCV(boosting, {"max_iter": [3, 6, 7]}, cv=2)
    return search.fit(frame[["light", "rooms", "size", "garden"]], frame["price"])


@GROWING.case("""
    data: {file: sites.npz, x: features, y: amount, weights: weight}
    estimator: {$type: BaggingRegressor, random_state: 0, max_samples: 0.5}
    search: {space: {n_estimators: [2, 5, 5, 9]}}
    cv: 2
""")
def bagged_trees(data: Path) -> Any:
    arrays = np.load(data / "sites.npz")
    bagging = BaggingRegressor(random_state=0, max_samples=0.5)
    search = GridSearchCV(bagging, {"n_estimators": [2, 5, 5, 9]}, cv=2)
    return search.fit(arrays["features"], arrays["amount"], sample_weight=arrays["weight"])


# --- what is never shared -----------------------------------------------------------------------


class Counting(TransformerMixin, BaseEstimator):
    """An operator's transformer that changes with every fit of its class: it must not be shared."""

    n_fits = 0

    def fit(self, X: Any, y: Any = None) -> "Counting":
        """Count."""
        type(self).n_fits += 1
        self.n_fits_ = type(self).n_fits
        return self

    def transform(self, X: Any) -> Any:
        """Return the data as they are."""
        return np.array(X)


@ALONE.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[own, Counting], [scale, StandardScaler], [model, SVC]]}
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 2
""")
def a_step_of_the_operator(_data: Path) -> Any:
    steps = [("own", Counting()), ("scale", StandardScaler()), ("model", SVC())]
    search = GridSearchCV(Pipeline(steps), {"model__C": [0.1, 1.0]}, cv=2)
    return search.fit(*load_iris(return_X_y=True))


@ALONE.case("""
    data: {loader: wine}
    estimator: {$type: Pipeline, steps: [[scale, {$type: StandardScaler, copy: false}],
                                         [model, {$type: LogisticRegression, max_iter: 40}]]}
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 2
    return_train_score: true
""")
def a_step_that_overwrites_the_data(_data: Path) -> Any:
    model = LogisticRegression(max_iter=40)
    pipeline = Pipeline([("scale", StandardScaler(copy=False)), ("model", model)])
    search = GridSearchCV(pipeline, {"model__C": [0.1, 1.0]}, cv=2, return_train_score=True)
    return search.fit(*load_wine(return_X_y=True))


@ALONE.case("""
    data: {file: clinics.csv, target: outcome, features: [pulse, fever, iron, age]}
    estimator:
      $type: Pipeline
      steps: [[fill, {$type: IterativeImputer, sample_posterior: true, max_iter: 1,
                      random_state: 0}], [model, {$type: LogisticRegression}]]
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 2
    scoring: [accuracy, neg_log_loss, f1_macro]
    refit: false
    return_train_score: true
""")
def a_step_that_draws_when_it_transforms(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    fill = IterativeImputer(sample_posterior=True, max_iter=1, random_state=0)
    search = GridSearchCV(
        Pipeline([("fill", fill), ("model", LogisticRegression())]),
        {"model__C": [0.1, 1.0]},
        cv=2,
        scoring=["accuracy", "neg_log_loss", "f1_macro"],
        refit=False,
        return_train_score=True,
    )
    return search.fit(frame[["pulse", "fever", "iron", "age"]], frame["outcome"])


@ALONE.case("""
    data: {loader: iris}
    estimator: {$type: RandomForestClassifier, random_state: 0, oob_score: true}
    search: {space: {n_estimators: [9, 12]}}
    cv: 2
""")
def a_forest_scored_out_of_bag(_data: Path) -> Any:
    forest = RandomForestClassifier(random_state=0, oob_score=True)
    search = GridSearchCV(forest, {"n_estimators": [9, 12]}, cv=2)
    return search.fit(*load_iris(return_X_y=True))


# --- tests --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the data files."""
    directory = tmp_path_factory.mktemp("data")
    make_files(directory)
    return directory


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as engines do, and leave nothing to others."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    kept.clear()
    kept.limit = 0


def engine(job: str, data: Path, cache: Path) -> EngineAlone:
    return EngineAlone(job, data, cache, {"Counting": f"{__name__}.Counting"})


def assert_same_scores(folds: Folds, expected: Mapping[str, Any], way: str) -> None:
    """Compare each fold's scores with the columns `split…` of a `cv_results_`."""
    columns = [name for name in expected if name.startswith("split")]
    assert columns
    n_compared = 0
    for column in columns:
        where, part, metric = column.split("_", 2)
        for candidate, theirs in enumerate(expected[column]):
            fold = folds[candidate, int(where.removeprefix("split"))]
            scores = fold.test_scores if part == "test" else fold.train_scores
            ours = np.nan if fold.error else scores[metric]
            assert same_bits(np.array(ours), np.array(theirs)), f"{way}: {column}[{candidate}]"
            n_compared += 1
    assert n_compared >= len(folds)


def n_spared(folds: Folds, split: int) -> int:
    return sum(fold.spared_time > 0 for (_, where), fold in folds.items() if where == split)


@pytest.mark.parametrize("case", [*SHARING, *GROWING, *ALONE], ids=lambda case: case.name)
def test_every_way_gives_the_scores_of_scikit_learn(case: Case, data: Path, tmp_path: Path) -> None:
    alone = engine(case.job, data, tmp_path)
    expected = case.search(data).cv_results_
    for way, shortcuts in WAYS.items():
        if (way == "forests" and case in SHARING) or (way == "prefixes" and case in GROWING):
            continue
        folds = alone.folds(shortcuts)

        assert_same_scores(folds, expected, way)
        spared = [n_spared(folds, split) for split in range(alone.prepared.n_splits)]
        if case in ALONE or not (shortcuts.prefixes or shortcuts.forests):
            assert spared == [0, 0], way
        elif way == "all" or (shortcuts != Shortcuts(memory=60_000) and case is not BEHIND):
            assert spared == [N_SPARED[case.name]] * 2, way


BEHIND = next(case for case in GROWING if case.name == "a_forest_behind_a_scaler")


def test_a_forest_grows_behind_a_head_that_is_shared(data: Path, tmp_path: Path) -> None:
    alone = engine(BEHIND.job, data, tmp_path)

    def n_trees_built(shortcuts: Shortcuts) -> int:
        with patch("sklearn.ensemble._forest._parallel_build_trees", wraps=build) as built:
            alone.folds(shortcuts)
        return built.call_count

    assert n_trees_built(PREFIXES) == 2 * 2 * (2 + 5 + 9)
    assert n_trees_built(replace(PREFIXES, forests=True)) == 2 * 2 * 9
    assert n_trees_built(FORESTS) == 2 * 2 * (2 + 5 + 9)  # without its head it is left alone


def test_each_step_is_fitted_once_for_all_candidates_that_share_it(
    data: Path, tmp_path: Path
) -> None:
    alone = engine(SHARING[0].job, data, tmp_path)
    with (
        patch.object(StandardScaler, "fit", autospec=True, side_effect=StandardScaler.fit) as scale,
        patch.object(PCA, "_fit", autospec=True, side_effect=PCA._fit) as reduce,
    ):
        alone.folds(PREFIXES)

    assert scale.call_count == 2 * 2
    assert reduce.call_count == 2 * 2 * 2


def test_a_part_of_the_samples_has_heads_and_ensembles_of_its_own(
    data: Path, tmp_path: Path
) -> None:
    for case in (SHARING[0], BEHIND):
        alone = engine(halving(case.job), data, tmp_path)
        for fraction in (0.4, 0.8):
            plain = alone.folds(NONE, fraction=fraction)
            folds = alone.folds(Shortcuts(), fraction=fraction)

            assert n_spared(folds, 0) == N_SPARED[case.name]
            assert {key: fold.test_scores for key, fold in folds.items()} == {
                key: fold.test_scores for key, fold in plain.items()
            }


def halving(job: str) -> str:
    return job.replace("search: {", "search: {strategy: halving_grid, seed: 3, ")


UNSEEDED = """
    data: {loader: iris}
    estimator:
      $type: Pipeline
      steps: [[scale, StandardScaler], [grow, {$type: RandomTreesEmbedding, n_estimators: 3}],
              [select, {$type: SelectKBest, k: 4}],
              [model, {$type: RandomForestClassifier, random_state: 0}]]
    search: {space: {model__n_estimators: [1, 2, 3]}}
    cv: 2
"""


def test_what_is_drawn_without_a_seed_is_drawn_for_each_fold(data: Path, tmp_path: Path) -> None:
    alone = engine(dedent(UNSEEDED), data, tmp_path)
    fits = {name: kind.fit_transform for name, kind in
            (("scale", StandardScaler), ("grow", RandomTreesEmbedding))}  # fmt: skip
    with (
        patch.object(StandardScaler, "fit", autospec=True, side_effect=StandardScaler.fit) as scale,
        patch.object(
            RandomTreesEmbedding, "fit_transform", autospec=True, side_effect=fits["grow"]
        ) as grow,
    ):
        folds = alone.folds(Shortcuts())

    assert scale.call_count == 2
    assert grow.call_count == len(folds) == 6
    assert all(fold.error is None for fold in folds.values())


TOLD = """
    data: {loader: iris}
    estimator:
      $type: Pipeline
      steps: [[bins, {$type: KBinsDiscretizer, n_bins: 40, quantile_method: averaged_inverted_cdf}],
              [model, SVC]]
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 2
"""


def test_a_fold_is_told_what_the_shared_step_warned_of(data: Path, tmp_path: Path) -> None:
    alone = engine(dedent(TOLD), data, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        plain, folds = alone.folds(NONE), alone.folds(PREFIXES)

    assert n_spared(folds, 0) == 1
    assert all("Bins whose width are too small" in fold.warnings[0] for fold in folds.values())
    assert {key: fold.warnings for key, fold in folds.items()} == {
        key: fold.warnings for key, fold in plain.items()
    }


def test_a_fold_fails_as_it_does_alone(data: Path, tmp_path: Path) -> None:
    job = next(case.job for case in SHARING if case.name == "a_head_that_fails")
    alone = engine(job, data, tmp_path)
    plain, folds = alone.folds(NONE), alone.folds(Shortcuts())

    failed = [key for key, fold in folds.items() if fold.error]
    assert len(failed) == 2 * 4
    for key in folds:
        assert folds[key].error_types == plain[key].error_types
        assert (folds[key].error or "").splitlines()[-1:] == (
            (plain[key].error or "").splitlines()[-1:]
        )
