"""Score a fitted model by the metrics of a search."""

import traceback
import warnings
from collections.abc import Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from schemas.job import JobSpec
from workers.prototype import is_own

if TYPE_CHECKING:
    from workers.search import Search

#: Kinds of labels of which accuracy is the share of equal ones: whole numbers, booleans, text.
_LABELS = "iubU"


class ScorerFailed(Exception):
    """One of several scorers failed in a fold with shortcuts."""


def score(
    search: "Search",
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    *,
    plainly: bool,
) -> dict[str, float]:
    """Score by every metric; a scorer that fails gives `error_score`, and a warning.

    Parameters
    ----------
    params : mapping
        What the scorers take besides: the sample weights.
    plainly : bool
        Without shortcuts. With them, any scorer that fails raises, for the fold to be done again.

    Raises
    ------
    Exception
        Whatever a scorer raises when `error_score` is "raise", and whatever several scorers raise
        together, before any of them is asked: scikit-learn raises that too.
    """
    error_score = search.spec.error_score
    try:
        if y is None:
            scores = search.scorer(estimator, X, **params)
        else:
            scores = search.scorer(estimator, X, y, **params)
    except Exception:
        if not plainly or error_score == "raise" or search.spec.is_multimetric:
            raise
        warnings.warn(f"Scoring failed:\n{traceback.format_exc()}", UserWarning, stacklevel=1)
        scores = error_score
    if not isinstance(scores, dict):
        scores = {"score": scores}
    plain: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, str):  # how scikit-learn's multimetric scorer tells a failure
            if not plainly:
                raise ScorerFailed(name)
            warnings.warn(f"Scoring failed: {name}\n{value}", UserWarning, stacklevel=1)
            value = error_score
        plain[name] = _as_number(name, value)
    return plain


def is_accuracy(spec: JobSpec, estimator: BaseEstimator) -> bool:
    """Tell whether the search scores by accuracy and nothing else.

    A search without `scoring` does, if its estimator's own `score` is a classifier's.
    """
    return spec.scoring in (None, "accuracy") and _scores_by_accuracy(estimator)


def accuracy(estimator: BaseEstimator, X: Any, y: Any) -> dict[str, float] | None:
    """Return the share of labels predicted right, as `accuracy_score` computes it.

    That function spends a hundred times as long on finding out what kind of labels it was given.
    Here they are of one simple kind, or the answer is None, and it is to be asked.

    Parameters
    ----------
    estimator : BaseEstimator
        Of a search that `is_accuracy`.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or not len(y) or y.dtype.kind not in _LABELS:
        return None
    if not _scores_by_accuracy(estimator):
        return None
    predicted = estimator.predict(X)
    if (
        type(predicted) is not np.ndarray
        or predicted.shape != y.shape
        or predicted.dtype.kind != y.dtype.kind
    ):
        return None
    return {"score": int(np.count_nonzero(y == predicted)) / len(y)}


def _scores_by_accuracy(estimator: BaseEstimator) -> bool:
    last = estimator.steps[-1][1] if type(estimator) is Pipeline else estimator
    # DummyClassifier's own differs for X=None only.
    own = (ClassifierMixin.score, DummyClassifier.score)
    return is_own(last) and getattr(type(last), "score", None) in own


def _as_number(name: str, value: Any) -> float:
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, Number):
        raise ValueError(f"scoring must return a number, got {value!r} for {name}")
    return float(value)  # type: ignore[arg-type]
