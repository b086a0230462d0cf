"""An ensemble that is grown from size to size is the one that is fitted at each size, bit for bit.

This is the proof for every estimator in `workers.growing.GROWING`, with the parameters that decide
what its members are made of.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from parity_compare import comparable, same_bits
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.manifold import Isomap
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from workers.growing import GROWING, can_grow, fit_grown
from workers.kept import kept

SIZES = (1, 2, 5, 9)

#: What a model can be asked for.
ANSWERS = ("predict", "predict_proba", "decision_function", "score_samples", "apply")
#: What a model says of itself.
FACTS = ("feature_importances_", "offset_", "train_score_", "oob_improvement_", "n_iter_")

three_classes = make_classification(150, 8, n_informative=5, n_classes=3, random_state=0)
two_classes = make_classification(150, 8, n_informative=5, random_state=1)
amounts = make_regression(150, 8, n_informative=5, noise=20.0, random_state=2)
counts = (sp.random(150, 30, density=0.2, random_state=3, format="csr"), three_classes[1])
with_gaps = (np.where(amounts[0] > 1.4, np.nan, amounts[0]), amounts[1])
two_targets = (amounts[0], np.c_[amounts[1], amounts[1] ** 2])
outliers = (three_classes[0], None)

Data = tuple[Any, Any]

ENSEMBLES: list[tuple[BaseEstimator, Data]] = [
    (RandomForestClassifier(random_state=0), three_classes),
    (RandomForestClassifier(random_state=0), counts),
    (RandomForestClassifier(random_state=1, max_samples=0.5, max_features=3), three_classes),
    (RandomForestClassifier(random_state=2, bootstrap=False, max_features=0.4), three_classes),
    (RandomForestClassifier(random_state=3, class_weight={0: 1, 1: 5, 2: 2}), three_classes),
    (RandomForestClassifier(random_state=4, class_weight="balanced"), three_classes),
    (RandomForestClassifier(random_state=5, class_weight="balanced_subsample"), three_classes),
    (RandomForestClassifier(random_state=6, max_leaf_nodes=7, ccp_alpha=0.01), two_classes),
    (RandomForestRegressor(random_state=0), amounts),
    (RandomForestRegressor(random_state=0, max_features=2), with_gaps),
    (RandomForestRegressor(random_state=0, criterion="absolute_error"), amounts),
    (RandomForestRegressor(random_state=0, max_samples=60), two_targets),
    (ExtraTreesClassifier(random_state=0), three_classes),
    (ExtraTreesClassifier(random_state=0, bootstrap=True, class_weight="balanced"), two_classes),
    (ExtraTreesRegressor(random_state=0, max_features=0.5, min_samples_leaf=3), amounts),
    (BaggingClassifier(random_state=0), three_classes),
    (BaggingClassifier(random_state=0, max_features=0.5, bootstrap_features=True), counts),
    (BaggingClassifier(SVC(), random_state=0, max_samples=0.6, bootstrap=False), three_classes),
    (BaggingClassifier(SGDClassifier(), random_state=0), two_classes),
    (BaggingClassifier(make_pipeline(StandardScaler(), SVC()), random_state=0), two_classes),
    (BaggingRegressor(random_state=0, max_samples=0.4, max_features=5), amounts),
    (IsolationForest(random_state=0), outliers),
    (IsolationForest(random_state=0, max_samples=0.3, max_features=4), outliers),
    (IsolationForest(random_state=0, contamination=0.1, bootstrap=True), outliers),
    (GradientBoostingClassifier(random_state=0), three_classes),
    (GradientBoostingClassifier(random_state=0), counts),
    (GradientBoostingClassifier(random_state=0, subsample=0.6, max_features=3), two_classes),
    (GradientBoostingClassifier(random_state=0, loss="exponential"), two_classes),
    (GradientBoostingClassifier(random_state=0, init="zero", learning_rate=0.37), three_classes),
    (GradientBoostingRegressor(random_state=0, subsample=0.5), amounts),
    (GradientBoostingRegressor(random_state=0, loss="huber", learning_rate=0.3), amounts),
    (GradientBoostingRegressor(random_state=0, loss="quantile", alpha=0.3), amounts),
    (GradientBoostingRegressor(random_state=0, loss="absolute_error", max_depth=1), amounts),
    (HistGradientBoostingClassifier(random_state=0), three_classes),
    (HistGradientBoostingClassifier(random_state=0, class_weight="balanced"), two_classes),
    (HistGradientBoostingClassifier(random_state=0, max_features=0.4, max_bins=20), two_classes),
    (HistGradientBoostingRegressor(random_state=0, max_features=0.5), with_gaps),
    (HistGradientBoostingRegressor(random_state=0, loss="quantile", quantile=0.7), amounts),
    (HistGradientBoostingRegressor(random_state=0, early_stopping=False, max_depth=2), amounts),
]  # fmt: skip


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """An engine that keeps nothing yet, and computes with one thread."""
    kept.clear()
    kept.limit = 64 << 20
    with threadpool_limits(1):
        yield
    kept.clear()


def sized(ensemble: BaseEstimator, size: int) -> BaseEstimator:
    return clone(ensemble).set_params(**{GROWING[type(ensemble).__name__]: size})


def grown_through(
    ensemble: BaseEstimator, data: Data, sizes: tuple[int, ...], weight: Any = None
) -> Iterator[Any]:
    """Yield what `fit_grown` gives for each size in turn."""
    X, y = data
    parameter = GROWING[type(ensemble).__name__]
    for size in sizes:
        yield fit_grown(
            sized(ensemble, size),
            "a part",
            {parameter: size, "max_depth": 3},
            lambda model: model.fit(X, y, sample_weight=weight),
        )


def is_same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, np.ndarray) and theirs.dtype.kind == "f":
        return same_bits(ours, theirs)
    return bool(np.all(ours == theirs))


def assert_same_model(ours: Any, theirs: Any, X: Any) -> None:
    asked = [name for name in ANSWERS if hasattr(theirs, name)]
    assert "predict" in asked
    for name in asked:
        assert is_same(getattr(ours, name)(X), getattr(theirs, name)(X)), name
    for name in FACTS:
        assert hasattr(ours, name) == hasattr(theirs, name)
        if hasattr(theirs, name):
            assert is_same(getattr(ours, name), getattr(theirs, name)), name
    assert members(ours) == members(theirs)


def members(ensemble: Any) -> list[Any]:
    """Return the trees of an ensemble as bytes; how many members, where they are none."""
    if hasattr(ensemble, "_predictors"):
        return [tree.nodes.tobytes() for stage in ensemble._predictors for tree in stage]
    found = np.asarray(ensemble.estimators_, dtype=object).ravel()
    if not hasattr(found[0], "tree_"):
        return [len(found)]
    return [
        (state["nodes"].tobytes(), state["values"].tobytes())
        for state in (tree.tree_.__getstate__() for tree in found)
    ]


@pytest.mark.parametrize(
    ("ensemble", "data"), ENSEMBLES, ids=[str(ensemble) for ensemble, _ in ENSEMBLES]
)
@pytest.mark.parametrize("is_weighted", [False, True], ids=["", "weighted"])
def test_what_is_grown_is_what_is_fitted(
    ensemble: BaseEstimator, data: Data, is_weighted: bool
) -> None:
    X, y = data
    weight = np.random.default_rng(5).uniform(0.5, 2.0, X.shape[0]) if is_weighted else None
    assert can_grow(sized(ensemble, 3), X.shape[0])

    for size, grown in zip(SIZES, grown_through(ensemble, data, SIZES, weight), strict=True):
        with warnings.catch_warnings(record=True):
            fresh = sized(ensemble, size).fit(X, y, sample_weight=weight)
        assert_same_model(grown.model, fresh, X)
        assert comparable(grown.model) == comparable(fresh)
        assert (grown.spared_time > 0) == (size > SIZES[0])


def test_every_estimator_that_can_grow_is_proved() -> None:
    assert {type(ensemble).__name__ for ensemble, _ in ENSEMBLES} == set(GROWING)


FOREST = RandomForestClassifier(random_state=0)


def test_the_same_size_again_costs_nothing_and_a_smaller_one_is_left_to_be_fitted() -> None:
    first, again, smaller, larger = grown_through(FOREST, three_classes, (5, 5, 2, 7))

    assert again.fit_time == 0
    assert again.spared_time == first.fit_time
    assert len(again.model.estimators_) == 5
    assert smaller is None
    assert len(larger.model.estimators_) == 7
    assert larger.spared_time == first.fit_time


def test_candidates_that_differ_otherwise_grow_apart() -> None:
    X, y = three_classes

    def fitted(part: str, params: dict[str, Any]) -> Any:
        model = clone(FOREST).set_params(**params)
        return fit_grown(model, part, params, lambda model: model.fit(X, y))

    fitted("one split", {"n_estimators": 3, "max_depth": 2})

    assert fitted("one split", {"n_estimators": 4, "max_depth": 3}).spared_time == 0
    assert fitted("another split", {"n_estimators": 4, "max_depth": 2}).spared_time == 0
    assert fitted("one split", {"n_estimators": 4, "max_depth": 2}).spared_time > 0


def test_a_fit_that_is_interrupted_leaves_nothing_half_grown() -> None:
    X, y = three_classes
    list(grown_through(FOREST, three_classes, (5,)))

    def interrupted(model: BaseEstimator) -> None:
        model.fit(X, y)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_grown(sized(FOREST, 9), "a part", {"n_estimators": 9, "max_depth": 3}, interrupted)

    (after,) = grown_through(FOREST, three_classes, (7,))
    assert after.spared_time == 0
    assert_same_model(after.model, sized(FOREST, 7).fit(X, y), X)


def test_what_is_grown_counts_in_bytes() -> None:
    sizes = (2, 4, 40)
    held = [kept.n_bytes for _ in grown_through(FOREST, three_classes, sizes)]

    assert held[0] > 2 * 1000
    assert held[1] == pytest.approx(2 * held[0], rel=0.2)
    assert held[2] == pytest.approx(20 * held[0], rel=0.2)

    kept.limit = held[0]
    (fitted,) = grown_through(FOREST, three_classes, (50,))
    assert len(fitted.model.estimators_) == 50
    assert len(kept) == 0


def test_it_warns_as_a_fit_of_its_own_does() -> None:
    X, y = make_classification(60, 4, random_state=0)
    never_done = LogisticRegression(max_iter=1)
    isolated = IsolationForest(random_state=0, max_samples=500)
    bagged = BaggingClassifier(never_done, random_state=0)
    balanced = RandomForestClassifier(random_state=0, class_weight="balanced")
    for ensemble, n_expected in ((isolated, 1), (bagged, 1), (balanced, 0)):
        kept.clear()
        for size, grown in zip((2, 4, 4), grown_through(ensemble, (X, y), (2, 4, 4)), strict=True):
            assert grown is not None
            with warnings.catch_warnings(record=True) as alone:
                warnings.simplefilter("always")
                sized(ensemble, size).fit(X, y)
            assert len({str(warning.message) for warning in alone}) == n_expected
        kept.clear()
        steps = grown_through(ensemble, (X, y), (2, 4, 4))
        for _ in range(3):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                next(steps)
            said = {str(warning.message) for warning in caught}
            assert said == {str(warning.message) for warning in alone}


@pytest.mark.parametrize(
    "ensemble",
    [
        RandomForestClassifier(),
        RandomForestClassifier(random_state=np.random.RandomState(0)),
        RandomForestClassifier(random_state=0, warm_start=True),
        RandomForestClassifier(random_state=0, oob_score=True),
        RandomForestClassifier(random_state=0, n_estimators=0),
        RandomForestClassifier(random_state=0, n_estimators=2.5),
        BaggingClassifier(random_state=0, oob_score=True),
        BaggingClassifier(make_pipeline(Isomap(), SVC()), random_state=0),
        BaggingClassifier(
            RandomizedSearchCV(SVC(), {"C": [1, 2]}, n_iter=1, cv=KFold(2, shuffle=True)),
            random_state=0,
        ),
        GradientBoostingClassifier(random_state=0, n_iter_no_change=3),
        GradientBoostingClassifier(random_state=0, init=DecisionTreeClassifier()),
        HistGradientBoostingClassifier(random_state=0, early_stopping=True),
        DecisionTreeClassifier(random_state=0),
        type("RandomForestClassifier", (RandomForestClassifier,), {})(random_state=0),
    ],
    ids=lambda ensemble: re.sub(r" at 0x\w+", "", repr(ensemble)),
)
def test_what_might_come_out_otherwise_is_not_grown(ensemble: BaseEstimator) -> None:
    assert not can_grow(ensemble, 150)


def test_boosting_stops_early_by_itself_with_many_samples() -> None:
    boosting = HistGradientBoostingClassifier(random_state=0)

    assert can_grow(boosting, 10_000)
    assert not can_grow(boosting, 10_001)
