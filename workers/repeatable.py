"""Whether fitting an estimator again gives the same model: nothing in it draws without a seed."""

from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from types import FunctionType
from typing import Any

from sklearn.base import BaseEstimator

#: Estimators of scikit-learn that have a `random_state` and still draw nothing, and when. Each is
#: documented so on the parameter's own page; whatever is not listed counts as drawing.
_DRAWS_NOTHING: dict[str, Callable[[Any], bool]] = {
    "SVC": lambda e: e.probability in (False, "deprecated"),
    "NuSVC": lambda e: e.probability in (False, "deprecated"),
    "LogisticRegression": lambda e: e.solver in ("lbfgs", "newton-cg", "newton-cholesky"),
    "Ridge": lambda e: e.solver not in ("sag", "saga"),
    "RidgeClassifier": lambda e: e.solver not in ("sag", "saga"),
    "Lasso": lambda e: e.selection == "cyclic",
    "ElasticNet": lambda e: e.selection == "cyclic",
    "PCA": lambda e: e.svd_solver in ("full", "covariance_eigh"),
    "KernelPCA": lambda e: e.eigen_solver == "dense",
    "DummyClassifier": lambda e: e.strategy in ("prior", "most_frequent", "constant"),
    "GaussianProcessRegressor": lambda e: e.n_restarts_optimizer == 0,
    "GaussianProcessClassifier": lambda e: e.n_restarts_optimizer == 0,
}

#: Estimators that have no `random_state` and may draw nevertheless, and when they do not: what
#: `Isomap` hands to ARPACK begins with a vector drawn from NumPy's global generator.
_DRAWS_UNSAID: dict[str, Callable[[Any], bool]] = {"Isomap": lambda e: e.eigen_solver == "dense"}

#: Functions for `score_func` that draw, and that `SelectKBest` gives no seed: they add noise.
_DRAWING_FUNCTIONS = frozenset({"mutual_info_classif", "mutual_info_regression"})

#: Parameters on which the answer can depend, by the last part of their names.
DECIDING = frozenset(
    {"random_state", "probability", "solver", "selection", "svd_solver", "eigen_solver",
     "strategy", "n_restarts_optimizer"}
)  # fmt: skip


def is_repeatable(estimator: BaseEstimator) -> bool:
    """Tell whether another fit on the same data gives the same model.

    Parameters
    ----------
    estimator : BaseEstimator
        Looked at with all estimators, splitters and functions within it, also those that are
        values of an inner search. Classes that are not scikit-learn's are only trusted to say by a
        `random_state` whether they draw.
    """
    return all(_is_seeded(part) for part in everything_in(estimator))


def draws_where_seen(estimator: BaseEstimator) -> bool:
    """Tell whether whatever a fit draws without a seed moves NumPy's global generator.

    Then a fit that left the generator where it was drew nothing, whatever its parameters would
    have allowed: `PCA(svd_solver="auto")` decides by the shape of the data. scikit-learn's own
    estimators draw from that generator, with two exceptions: other processes have their own, and a
    splitter without a seed may be given a new one.

    Parameters
    ----------
    estimator : BaseEstimator
        One of scikit-learn's own, with all that is in it.
    """
    return all(
        getattr(part, "n_jobs", None) in (None, 1)
        and (not hasattr(part, "get_n_splits") or _is_seeded_splitter(part))
        for part in everything_in(estimator)
    )


def everything_in(value: Any) -> Iterator[Any]:
    """Yield a value and all that is within it: parameters of objects, items of lists and mappings.

    Parameters
    ----------
    value : object
        An unfitted estimator, or anything among its parameters.
    """
    yield value
    inner: Any = ()
    if isinstance(value, BaseEstimator):
        inner = value.get_params(deep=False).values()
    elif isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inner = value
    for item in inner:
        yield from everything_in(item)


def _is_seeded(part: Any) -> bool:
    if isinstance(part, FunctionType):
        return part.__name__ not in _DRAWING_FUNCTIONS
    if not isinstance(part, BaseEstimator):
        return not hasattr(part, "get_n_splits") or _is_seeded_splitter(part)
    name = type(part).__name__
    is_own = type(part).__module__.startswith("sklearn.")
    if is_own and name in _DRAWS_UNSAID:
        return _DRAWS_UNSAID[name](part)
    random_state = part.get_params(deep=False).get("random_state", 0)
    if random_state is not None:
        return isinstance(random_state, Integral)
    draws_nothing = _DRAWS_NOTHING.get(name)
    return is_own and draws_nothing is not None and draws_nothing(part)


def _is_seeded_splitter(part: Any) -> bool:
    if getattr(part, "shuffle", True) is False:
        return True
    return isinstance(getattr(part, "random_state", 0), Integral)
