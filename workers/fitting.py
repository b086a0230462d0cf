"""Fit one fold's estimator: plainly, or with less work where the result is the same."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator

from schemas.task import FoldTask
from workers.splitdata import Part

if TYPE_CHECKING:
    from workers.search import Search


@dataclass(slots=True)
class Fitted:
    """A fitted model and the data to score it on.

    Attributes
    ----------
    model : BaseEstimator
        What the scorers get.
    X_test, X_train
        What they get it on: transformed already where the head of a pipeline was shared, and then
        `model` is the rest of the pipeline.
    fit_time : float
        Seconds really spent.
    spared_time : float
        Seconds not spent, because an earlier fold did that part.
    """

    model: BaseEstimator
    X_test: Any
    X_train: Any
    fit_time: float
    spared_time: float = 0.0


def fit(search: "Search", task: FoldTask, estimator: BaseEstimator, part: Part) -> Fitted:  # noqa: ARG001
    """Fit a candidate on the training part of a split.

    Raises
    ------
    Exception
        Whatever the fit raises. The fold is then done again with `fit_plainly`.
    """
    return fit_plainly(estimator, part)


def fit_plainly(estimator: BaseEstimator, part: Part) -> Fitted:
    """Fit with no shortcut at all, as scikit-learn does."""
    start = time.time()
    if part.y_train is None:
        estimator.fit(part.X_train, **part.fit_params)
    else:
        estimator.fit(part.X_train, part.y_train, **part.fit_params)
    return Fitted(estimator, part.X_test, part.X_train, time.time() - start)
