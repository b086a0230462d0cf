"""Fit one fold's estimator: plainly, or with less work where the result is the same."""

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from schemas.task import FoldTask
from workers.growing import can_grow, fit_grown
from workers.prefix import FittedHead, fit_head, is_divisible
from workers.prototype import is_own
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
    score_time : float
        Seconds spent on what scoring would have done.
    """

    model: BaseEstimator
    X_test: Any
    X_train: Any
    fit_time: float
    spared_time: float = 0.0
    score_time: float = 0.0


def fit(search: "Search", task: FoldTask, estimator: BaseEstimator, part: Part) -> Fitted:
    """Fit a candidate on the training part of a split.

    Raises
    ------
    Exception
        Whatever the fit raises. The fold is then done again with `fit_plainly`.
    """
    shortcuts = search.shortcuts
    if (
        shortcuts.prefixes
        and is_divisible(estimator, task.params, search.scorer)
        and not search.prototype(task.params).may_write
    ):
        with_train = search.spec.return_train_score
        fitted = fit_head(estimator, part, task.params, with_train=with_train)
        if fitted.head.n_steps:
            return _fit_rest(search, task, estimator, part, fitted)
    if shortcuts.forests and can_grow(estimator, part.X_train.shape[0]):
        grown = fit_grown(estimator, part.key, task.params, partial(_fit, part=part))
        if grown is not None:
            return Fitted(grown.model, part.X_test, part.X_train, grown.fit_time, grown.spared_time)
    return fit_plainly(estimator, part)


def _fit_rest(
    search: "Search", task: FoldTask, pipeline: Pipeline, part: Part, fitted: FittedHead
) -> Fitted:
    """Fit what comes behind the shared head of a pipeline.

    A last step that is alone is fitted and scored as `Pipeline` would do it, without one. Only to
    scikit-learn's own estimators a pipeline adds nothing; it looks whether others are fitted.
    """
    head = fitted.head
    steps = pipeline.steps[head.n_steps :]
    name, last = steps[-1]
    if len(steps) > 1 or not isinstance(last, BaseEstimator) or not is_own(last):
        rest = Pipeline(steps)
        start = time.perf_counter()
        rest.fit(head.X_fit, part.y_train, **part.fit_params)
        seconds = time.perf_counter() - start
        return _of(fitted, rest, seconds, 0.0)
    params = {param.partition("__")[2]: value for param, value in part.fit_params.items()}

    def fit_last(model: BaseEstimator) -> None:
        model.fit(head.X_fit, part.y_train, **params)

    if search.shortcuts.forests and head.is_repeatable and can_grow(last, head.X_fit.shape[0]):
        grown = fit_grown(last, part.key, task.params, fit_last, step=name)
        if grown is not None:
            return _of(fitted, grown.model, grown.fit_time, grown.spared_time)
    start = time.perf_counter()
    fit_last(last)
    return _of(fitted, last, time.perf_counter() - start, 0.0)


def _of(fitted: FittedHead, model: BaseEstimator, fit_time: float, spared_time: float) -> Fitted:
    return Fitted(
        model,
        fitted.head.X_test,
        fitted.head.X_train,
        fitted.fit_time + fit_time,
        fitted.spared_time + spared_time,
        fitted.score_time,
    )


def fit_plainly(estimator: BaseEstimator, part: Part) -> Fitted:
    """Fit with no shortcut at all, as scikit-learn does."""
    start = time.time()
    _fit(estimator, part)
    return Fitted(estimator, part.X_test, part.X_train, time.time() - start)


def _fit(estimator: BaseEstimator, part: Part) -> None:
    if part.y_train is None:
        estimator.fit(part.X_train, **part.fit_params)
    else:
        estimator.fit(part.X_train, part.y_train, **part.fit_params)
