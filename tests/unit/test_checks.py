"""Checks of scikit-learn that are left out: only those that would have found nothing."""

import inspect
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from inprocess import NONE, context, outcomes, run, search
from sklearn.datasets import load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.utils import _param_validation, all_estimators
from sklearn.utils import validation as finding

from schemas.task import Shortcuts
from workers import checks
from workers.dataset import Dataset
from workers.fold import fit_and_score
from workers.kept import kept
from workers.scoring import accuracy

CLASSES = dict(all_estimators())
X, Y = load_iris(return_X_y=True)


def grid(estimator: Any, **space: list[Any]) -> dict[str, Any]:
    return {"estimator": estimator, "search": {"strategy": "grid", "space": space or {"any": [1]}}}


# --- the lists ------------------------------------------------------------------------------


def validates_its_own_parameters_only(method: Any) -> bool:
    """Tell whether scikit-learn itself validates nothing more within this `fit`."""
    while hasattr(method, "__wrapped__"):
        names = inspect.getclosurevars(method).nonlocals
        if "prefer_skip_nested_validation" in names:
            return bool(names["prefer_skip_nested_validation"])
        method = method.__wrapped__
    return False


def answers_of(model: Any, X: Any) -> list[Any]:
    names = ("predict", "transform", "predict_proba", "decision_function")
    return [getattr(model, name)(X) for name in names if hasattr(model, name)]


def fresh(name: str) -> Any:
    kind = CLASSES[name]
    return kind(**({"random_state": 0} if "random_state" in kind().get_params() else {}))


def data_for(name: str) -> tuple[Any, Any]:
    return X, Y.astype(float) if "Regress" in name or name.endswith("SVR") else Y


@pytest.mark.parametrize("name", sorted(checks.VALIDATED))
def test_those_trusted_validate_nothing_but_their_own_parameters(name: str) -> None:
    kind = CLASSES[name]
    fits = [kind.fit, getattr(kind, "partial_fit", None)]  # scalers do all in the second
    assert any(map(validates_its_own_parameters_only, fits))
    model = fresh(name).fit(*data_for(name))
    with patch.object(
        _param_validation, "validate_parameter_constraints", side_effect=AssertionError
    ):
        answers_of(model, X)


@pytest.mark.parametrize("name", sorted(checks.FINITE))
def test_those_that_need_not_look_for_infinity_look_at_what_they_were_given_only(name: str) -> None:
    """Every array that is looked through during fit and predict is X or y, as they are."""
    X, y = data_for(name)
    X = X.astype(float)
    looked_at: list[np.ndarray] = []
    look = finding._assert_all_finite

    def watch(array: Any, *args: Any, **kwargs: Any) -> None:
        looked_at.append(np.asarray(array))
        look(array, *args, **kwargs)

    with patch.object(finding, "_assert_all_finite", watch):
        model = fresh(name).fit(X, y)
        predicted = model.predict(X)

    assert all(
        array.dtype.kind in "iub"
        or np.array_equal(array, X)
        or np.array_equal(array.ravel(), np.ravel(y))
        for array in looked_at
    ), looked_at
    with sklearn.config_context(assume_finite=True):
        assert np.array_equal(fresh(name).fit(X, y).predict(X), predicted)
    assert not any(array.dtype == np.float32 for array in looked_at)


@pytest.mark.parametrize(
    ("data", "finite"),
    [
        (np.ones((3, 2)), True),
        (np.array([[1.0, np.nan]]), False),
        (np.array([[1.0, np.inf]]), False),
        (np.full((2, 2), 1.7e308), True),  # the sum is not
        (np.array([[np.inf, -np.inf]]), False),
        (np.array([[1, 2]]), True),
        (np.array([[1, None]], dtype=object), False),  # not known
        (np.array([["a"]]), True),
        (sp.csr_array(np.eye(3)), True),
        (sp.csr_array(np.eye(3) * np.nan), False),
        (None, True),
    ],
)
def test_data_are_finite_when_every_value_is(data: Any, finite: bool) -> None:
    assert checks.is_finite(data) is finite


def test_what_was_left_out_is_back_afterwards() -> None:
    before = sklearn.get_config()
    with checks.leaving_out(validation=True, finiteness=True):
        within = sklearn.get_config()
    with pytest.raises(KeyError), checks.leaving_out(validation=True, finiteness=True):
        raise KeyError

    assert within["assume_finite"]
    assert within["skip_parameter_validation"]

    assert sklearn.get_config() == before


# --- folds ----------------------------------------------------------------------------------


def assert_same_with_and_without(tmp_path, job, candidates, **data: Any) -> list[Any]:
    kept.clear()
    found, expected = (
        outcomes(run(context(tmp_path, job, shortcuts=shortcuts, **data), candidates))
        for shortcuts in (Shortcuts(), NONE)
    )
    for one, other in zip(found, expected, strict=True):
        assert one[:2] == other[:2]
        assert (one[2] or "").splitlines()[-1:] == (other[2] or "").splitlines()[-1:]
        assert one[3:] == other[3:]
    return found


@pytest.mark.parametrize("scoring", [None, "accuracy", "f1_macro", ["accuracy", "f1_macro"]])
@pytest.mark.parametrize(
    "job",
    [
        grid("SVC"),
        grid("GaussianNB"),
        grid("DummyClassifier"),
        grid({"$type": "Pipeline", "steps": [["s", "StandardScaler"], ["c", "SVC"]]}),
        grid("KNeighborsClassifier"),
    ],
    ids=lambda job: str(job["estimator"])[:30],
)
def test_scores_are_the_same(tmp_path, job, scoring) -> None:
    job |= {"scoring": scoring, "return_train_score": True}

    found = assert_same_with_and_without(tmp_path, job, [{}])

    assert all(
        0 < test["score" if isinstance(scoring, str | None) else "accuracy"] <= 1
        for test, *_ in found
    )


@pytest.mark.parametrize(
    "labels",
    [
        Y,
        Y == 0,
        Y.astype(float),
        np.array(["ab", "c", "d"])[Y],
        np.array(["a", "b", "c"], object)[Y],
    ],
    ids=["int", "bool", "float", "text", "objects"],
)
def test_accuracy_is_the_same_for_all_kinds_of_labels(tmp_path, labels) -> None:
    assert_same_with_and_without(tmp_path, grid("SVC"), [{}], dataset=Dataset(X, labels))


def test_labels_of_two_kinds_are_left_to_scikit_learn() -> None:
    model = DummyClassifier(strategy="constant", constant=[1.0]).fit(X, Y)

    assert accuracy(model, X, Y) is None
    assert accuracy(model, X, Y.astype(float)) is None
    assert accuracy(DummyClassifier().fit(X, Y), X, Y) == {"score": 1 / 3}


def test_a_bad_parameter_is_refused_after_a_good_one(tmp_path) -> None:
    candidates = [{"C": 1.0}, {"C": -1.0}, {"gamma": "no"}, {"max_iter": 9}, {"max_iter": 9.0}]

    found = assert_same_with_and_without(tmp_path, grid("SVC"), candidates)

    assert "The 'C' parameter of SVC must be a float in the range (0.0, inf]" in found[1][2]
    assert "The 'gamma' parameter of SVC must be" in found[2][2]
    assert "The 'max_iter' parameter of SVC must be" in found[4][2]  # equal to a good one
    assert found[0][2] is None


def test_a_bad_parameter_within_a_pipeline_is_refused(tmp_path) -> None:
    job = grid({"$type": "Pipeline", "steps": [["s", "StandardScaler"], ["c", "LinearSVC"]]})

    found = assert_same_with_and_without(tmp_path, job, [{"c__tol": 0.1}, {"c__tol": -1.0}])

    assert "The 'tol' parameter of LinearSVC must be" in found[1][2]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("estimator", ["SVC", "SGDClassifier", "RidgeClassifier"])
def test_data_that_are_not_finite_are_refused_in_scikit_learns_words(
    tmp_path, estimator: str, bad: float
) -> None:
    data = X.copy()
    data[7, 1] = bad

    found = assert_same_with_and_without(tmp_path, grid(estimator), [{}], dataset=Dataset(data, Y))

    assert any("Input X contains" in (error or "") for _, _, error, *_ in found)


def test_numbers_too_large_for_float32_are_refused_by_trees(tmp_path) -> None:
    data = X.copy()
    data[7, 1] = 1e300
    job = grid({"$type": "DecisionTreeClassifier", "random_state": 0})

    found = assert_same_with_and_without(tmp_path, job, [{}], dataset=Dataset(data, Y))

    assert any("value too large for dtype('float32')" in (error or "") for _, _, error, *_ in found)


@pytest.mark.filterwarnings("default")
def test_warnings_stay_the_same(tmp_path) -> None:
    X, y = make_classification(60, 5, random_state=0)
    job = grid({"$type": "LogisticRegression", "max_iter": 1})

    found = assert_same_with_and_without(
        tmp_path, job, [{"C": 1.0}, {"C": 2.0}], dataset=Dataset(X, y)
    )

    assert all("ConvergenceWarning: lbfgs failed to converge" in notes[0] for *_, notes in found)


def test_parameters_and_finiteness_are_asked_about_once(tmp_path) -> None:
    made = context(tmp_path, grid("SVC"))
    candidates = [{"C": 1.5}, {"C": 2.5}]
    with (
        patch.object(checks, "violation", wraps=checks.violation) as asked,
        patch("workers.search.is_finite", wraps=checks.is_finite) as looked,
    ):
        run(made, candidates)
        n_asked = asked.call_count
        run(made, candidates)

    assert asked.call_count == n_asked > 0
    assert looked.call_count == 1


# --- falling back -----------------------------------------------------------------------------


def test_a_fold_that_writes_into_its_data_is_done_again_with_its_own(tmp_path) -> None:
    made = context(tmp_path, grid("Scribbler"), catalog={"Scribbler": f"{__name__}.Scribbler"})

    report = run(made, [{}])

    assert [result.error for result in report.results] == [None] * 3
    assert [dict(result.test_scores) for result in report.results] == [{"score": 1.0}] * 3


def test_a_search_that_shortcuts_do_not_suit_goes_on_without(tmp_path) -> None:
    job = grid("Scribbler")
    made = context(tmp_path, job, catalog={"Scribbler": f"{__name__}.Scribbler"})

    with patch("workers.fold.fit_and_score", wraps=fit_and_score) as computed:
        run(made, [{}, {}])

    assert computed.call_count == 3 * 2 + 3


def test_estimators_of_others_are_tried_once_with_data_of_their_own(tmp_path) -> None:
    made = context(tmp_path, grid("Strange"), catalog={"Strange": f"{__name__}.Strange"})

    kept.clear()
    with patch("workers.fold.fit_and_score", wraps=fit_and_score) as computed:
        report = run(made, [{}])

    assert ["on strike" in (result.error or "") for result in report.results] == [True] * 3
    assert computed.call_count == 3
    assert len(kept) == 0


class Strange(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    def fit(self, X, y):
        X -= 1
        raise OSError("on strike")


def test_a_fit_that_fails_reads_as_without_shortcuts(tmp_path) -> None:
    data = Dataset(X, np.zeros(len(X), dtype=int))

    found = assert_same_with_and_without(tmp_path, grid("SVC"), [{}], dataset=data)

    assert "The number of classes has to be greater than one" in found[0][2]


def test_memory_is_given_back_before_a_fold_is_done_again_for_want_of_it(tmp_path) -> None:
    made = context(tmp_path, grid("Hungry"), catalog={"Hungry": f"{__name__}.Hungry"})

    report = run(made, [{}], n_splits=1)

    assert report.results[0].error is None


class Scribbler(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    __module__ = "sklearn.unknown"  # only those of scikit-learn take shortcuts at all

    def fit(self, X, y):
        X -= X.mean(axis=0)
        return self

    def score(self, X, y):
        return 1.0


class Hungry(Scribbler):
    __module__ = "sklearn.unknown"

    def fit(self, X, y):
        if len(kept):
            raise MemoryError
        return self


def test_search_is_built_with_its_own_candidates(tmp_path) -> None:
    """Parameters set by hand give what `set_params` gives."""
    steps = [["s", "StandardScaler"], ["c", {"$type": "SVC", "C": 2.0}]]
    made = search(tmp_path, grid({"$type": "Pipeline", "steps": steps}))
    for params in (
        {},
        {"c__C": 5.0, "s__with_mean": False},
        {"c__kernel": "linear"},
        {"c": "GaussianNB"},
        {"s": "passthrough"},
        {"c__class_weight": {"$dict": [[0, 1.0]]}},
    ):
        by_hand = made.family.prototype(params)
        first, second = by_hand.copy(), by_hand.copy()

        assert repr(first) == repr(made.candidate(params)) == repr(second)
        assert first.steps[-1][1] is not second.steps[-1][1]
        assert first.steps[-1][1] is not by_hand.estimator.steps[-1][1]
    boosted = search(tmp_path, grid("AdaBoostClassifier")).family
    assert repr(boosted.prototype({"estimator": "GaussianNB"}).copy().estimator) == "GaussianNB()"
    with pytest.raises(ValueError, match="Invalid parameter"):
        made.family.prototype({"c__no": 1})
