"""What foldq uses of scikit-learn that is private there, held to what foldq needs of it.

A new scikit-learn may change these without a word. Then these tests tell which, and where it is
used. What foldq says anew in its own words (the table, the steps of halving, the order of a fold)
is held to scikit-learn's by the parity tests and by the unit tests of each.
"""

import ast
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cluster import ROOT
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedKFold
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.svm import SVC
from sklearn.utils import all_estimators
from sklearn.utils._param_validation import StrOptions, make_constraint
from sklearn.utils.metaestimators import _safe_split

from workers import names
from workers.constraints import violation
from workers.jobcheck import GROUP_SPLITTERS

#: Everything private that is imported from scikit-learn, and by which module.
IMPORTED = {
    ("workers.constraints", "sklearn.utils._param_validation", "StrOptions"),
    ("workers.constraints", "sklearn.utils._param_validation", "make_constraint"),
    ("workers.datachecks", "sklearn.model_selection._split", "GroupsConsumerMixin"),
    ("workers.splitdata", "sklearn.utils.metaestimators", "_safe_split"),
}

X = np.arange(24.0).reshape(6, 4)
y = np.array(list("aabbcc"))
TRAIN, TEST = np.array([4, 0, 3]), np.array([5, 1])


def is_private(dotted: str) -> bool:
    return any(part.startswith("_") for part in dotted.split("."))


def imports_of(file: Path) -> set[tuple[str, str, str]]:
    """Return (module, where from, name) of everything private that a file imports of sklearn."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            found |= {(module, str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                (module, alias.name, "") for alias in node.names if alias.name.startswith("sklearn")
            }
    return {entry for entry in found if is_private(f"{entry[1]}.{entry[2]}")}


def test_these_are_all_that_foldq_imports() -> None:
    files = [*(ROOT / "schemas").glob("*.py"), *(ROOT / "workers").glob("*.py")]
    files += (ROOT / "service").glob("*.py")

    assert {entry for file in files for entry in imports_of(file)} == IMPORTED


def test_the_only_class_from_a_private_module_is_still_there() -> None:
    private = {
        name: module
        for name, module in (*names.TYPES.items(), *names.FUNCTIONS.items())
        if is_private(module)
    }

    assert list(private) == ["IterativeImputer"]
    assert hasattr(importlib.import_module(private["IterativeImputer"]), "IterativeImputer")


# --- _safe_split: the rows of a fold ----------------------------------------------------------


def as_array(X: object) -> np.ndarray:
    return X.toarray() if sp.issparse(X) else np.asarray(X)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [np.array, sp.csr_matrix, sp.csr_array, pd.DataFrame])
def test_safe_split_takes_rows_in_the_order_asked_for(kind: type) -> None:
    X_test, y_test = _safe_split(LogisticRegression(), kind(X), y, TEST, TRAIN)

    assert type(X_test) is type(kind(X))
    assert as_array(X_test).tolist() == X[TEST].tolist()
    assert list(y_test) == ["c", "a"]


def test_safe_split_of_a_precomputed_kernel_takes_columns_too() -> None:
    gram = np.arange(36.0).reshape(6, 6)
    model = SVC(kernel="precomputed")

    X_train, _ = _safe_split(model, gram, y, TRAIN)
    X_test, _ = _safe_split(model, gram, y, TEST, TRAIN)

    assert X_train.tolist() == gram[np.ix_(TRAIN, TRAIN)].tolist()
    assert X_test.tolist() == gram[np.ix_(TEST, TRAIN)].tolist()


def test_safe_split_without_a_target_gives_none() -> None:
    assert _safe_split(SVC(), X, None, TRAIN)[1] is None


# --- GroupsConsumerMixin: splitters that need groups ------------------------------------------


def test_the_splitters_that_need_groups_are_those_of_the_mixin() -> None:
    consumers = {
        name for name in names.SPLITTERS if issubclass(names.listed(name), GroupsConsumerMixin)
    }

    assert consumers == GROUP_SPLITTERS
    for splitter in (GroupKFold(2), LeaveOneGroupOut()):
        with pytest.raises(ValueError, match="groups"):
            list(splitter.split(X, y))
    assert len(list(StratifiedKFold(2).split(X, y))) == 2


# --- _parameter_constraints: which values a parameter takes -------------------------------------


def test_every_estimator_says_what_its_parameters_take_in_a_form_that_is_understood() -> None:
    silent = {n for n, kind in all_estimators() if not hasattr(kind, "_parameter_constraints")}
    assert silent == {"FeatureUnion", "FrozenEstimator", "KernelCenterer", "LabelEncoder"}
    for name, kind in all_estimators():
        table = getattr(kind, "_parameter_constraints", {})
        assert isinstance(table, dict), name
        for param, rules in table.items():
            if rules == "no_validation":
                continue
            assert isinstance(rules, list), f"{name}.{param}"
            for rule in map(make_constraint, rules):
                assert isinstance(rule.hidden, bool), f"{name}.{param}"
                assert isinstance(rule.is_satisfied_by(object()), bool), f"{name}.{param}"
                assert str(rule), f"{name}.{param}"


def test_words_that_a_parameter_takes_can_be_listed() -> None:
    rule = make_constraint(StrOptions({"rbf", "poly"}))

    assert set(rule.options) == {"rbf", "poly"}
    assert str(rule).startswith("a str among {")


def test_functions_say_what_their_parameters_take() -> None:
    assert isinstance(make_classification._skl_parameter_constraints["n_samples"], list)
    assert violation(make_classification, "n_samples", -1) is not None
    assert violation(make_classification, "n_samples", 10) is None


def test_a_value_that_is_refused_is_told_with_what_would_be_taken() -> None:
    broken = violation(SVC, "kernel", "rfb")

    assert broken is not None
    assert broken.nearest == "rbf"
    assert "linear, poly, precomputed, rbf, sigmoid" in broken.expected


# --- _accept_sample_weight: scorers that are given the weights -----------------------------------


def test_every_scorer_says_whether_it_takes_weights() -> None:
    takes = {name: get_scorer(name)._accept_sample_weight() for name in get_scorer_names()}

    assert set(takes.values()) == {True, False}
    assert takes["accuracy"]
    assert takes["r2"]
    assert not takes["neg_max_error"]
    assert not takes["adjusted_rand_score"]


@pytest.mark.parametrize(
    ("scoring", "takes"),
    [
        (None, True),
        ("accuracy", True),
        ("neg_max_error", False),
        (["neg_max_error", "accuracy"], True),
        (["neg_max_error", "adjusted_rand_score"], False),
    ],
)
def test_a_scorer_made_for_an_estimator_says_whether_it_takes_weights(
    scoring: str | list[str] | None, takes: bool
) -> None:
    scorer = check_scoring(SVC(), scoring=scoring)

    assert bool(scorer._accept_sample_weight()) is takes
