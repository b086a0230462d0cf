"""Whether fitting an estimator again gives the same model: nothing in it draws without a seed."""

from collections.abc import Callable
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
        Looked at with all estimators within it. Classes that are not scikit-learn's are only
        trusted to say by a `random_state` whether they draw.
    """
    params = estimator.get_params(deep=True)
    return all(
        _is_seeded(part)
        for part in (estimator, *params.values())
        if isinstance(part, BaseEstimator)
    )


def _is_seeded(estimator: BaseEstimator) -> bool:
    params = estimator.get_params(deep=False)
    if params.get("random_state", 0) is not None:
        return True
    draws_nothing = _DRAWS_NOTHING.get(type(estimator).__name__)
    is_own = type(estimator).__module__.startswith("sklearn.")
    return is_own and draws_nothing is not None and draws_nothing(estimator)
