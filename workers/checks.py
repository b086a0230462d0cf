"""scikit-learn's own checks, done once where they would be done for every fold.

Two of them are left out, where leaving them out changes nothing:

- *Parameters.* A rule concerns one parameter of one class, so a value that was found good once is
  good in every candidate. This holds for the classes in `VALIDATED` and pipelines of them: all that
  their fits validate is their own parameters. scikit-learn itself validates nothing within their
  fits (`prefer_skip_nested_validation`), and their predictions validate nothing at all.
- *Finiteness.* The data set is looked through once. Classes in `FINITE` look at the very arrays
  they are given, or at copies of them in the same precision. Not so trees, which make float32 of
  float64: a number may be finite in one and not in the other. And not what stands behind another
  step of a pipeline: what that makes of finite numbers may not be finite.

The unit tests hold every class in these lists to what is said here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from workers.constraints import violation
from workers.dataset import is_sparse
from workers.prototype import Prototype, is_own, parts_of

#: Classes that validate nothing in `fit` but their own parameters, and nothing in `predict`.
VALIDATED = frozenset(
    {
        "DecisionTreeClassifier", "DecisionTreeRegressor", "DummyClassifier", "DummyRegressor",
        "ElasticNet", "GaussianNB", "Lasso", "LinearRegression", "LinearSVC", "LinearSVR",
        "LogisticRegression", "MinMaxScaler", "MultinomialNB", "NuSVC", "NuSVR", "PCA",
        "PolynomialFeatures", "RandomForestClassifier", "RandomForestRegressor", "Ridge",
        "RidgeClassifier", "RobustScaler", "SGDClassifier", "SGDRegressor", "SVC", "SVR",
        "SimpleImputer", "StandardScaler",
    }
)  # fmt: skip

#: Classes of which `fit` and `predict` look for NaN and infinity in what they are given only.
FINITE = frozenset(
    {
        "DummyClassifier", "GaussianNB", "LinearSVC", "LogisticRegression", "NuSVC", "NuSVR",
        "SGDClassifier", "SVC", "SVR",
    }
)  # fmt: skip

#: Most values that are remembered as good.
_REMEMBERED = 200_000

_good: set[tuple[type, str, type, Any]] = set()


def may_skip_validation(base: Prototype, candidate: Prototype) -> bool:
    """Tell whether a candidate's parameters are good, and are all that its fits would validate.

    Parameters
    ----------
    base : Prototype
        The search's estimator before the candidate's parameters are set.
    candidate : Prototype
    """
    if candidate.is_valid is None:
        candidate.is_valid = _is_valid(base, candidate)
    return candidate.is_valid


def _is_valid(base: Prototype, candidate: Prototype) -> bool:
    if not candidate.is_own:
        return False
    if candidate.settings is None:
        return _is_good(candidate.estimator)
    if base.is_valid is None:
        base.is_valid = _is_good(base.estimator)
    return base.is_valid and all(
        _is_good_value(type(owner), name, value) for owner, name, value in candidate.settings
    )


def _is_good(estimator: BaseEstimator) -> bool:
    return all(
        (type(part) is Pipeline or type(part).__name__ in VALIDATED)
        and is_own(part)
        and all(
            _is_good_value(type(part), name, value)
            for name, value in part.get_params(deep=False).items()
        )
        for part in parts_of(estimator)
    )


def _is_good_value(owner: type, name: str, value: Any) -> bool:
    kind = type(value)
    if kind not in (int, float, bool, str, type(None)):
        return violation(owner, name, value) is None
    key = (owner, name, kind, value)
    if key in _good:
        return True
    if violation(owner, name, value) is not None:
        return False
    if len(_good) >= _REMEMBERED:
        _good.clear()
    _good.add(key)
    return True


def suits_finite(estimator: BaseEstimator) -> bool:
    """Tell whether an estimator, given finite data, has no need to look whether they are."""
    return type(estimator).__name__ in FINITE and is_own(estimator)


def is_finite(*values: Any) -> bool:
    """Tell whether data hold neither NaN nor infinity: arrays and sparse matrices of numbers.

    False for everything in which it is not known, such as tables.
    """
    return all(value is None or _is_finite(value) for value in values)


def _is_finite(value: Any) -> bool:
    if is_sparse(value):
        value = value.data
    if not isinstance(value, np.ndarray):
        return False
    if value.dtype.kind in "iub":
        return True
    if value.dtype not in (np.float32, np.float64):
        return bool(value.dtype.kind == "U")
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is finite if its terms are, unless it overflows: then each has to be looked at.
        return bool(np.isfinite(value.sum()) or all(np.isfinite(rows).all() for rows in value))


@contextmanager
def leaving_out(*, validation: bool, finiteness: bool) -> Iterator[None]:
    """Do without scikit-learn's validation of parameters, or its look for NaN and infinity."""
    if not (validation or finiteness):
        yield
        return
    before = sklearn.get_config()
    sklearn.set_config(
        skip_parameter_validation=validation or before["skip_parameter_validation"],
        assume_finite=finiteness or before["assume_finite"],
    )
    try:
        yield
    finally:
        sklearn.set_config(
            skip_parameter_validation=before["skip_parameter_validation"],
            assume_finite=before["assume_finite"],
        )
