"""One candidate's estimator, and what has to be known of it before it is given data."""

import copy
from functools import cached_property
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

#: Values of which a copy may share the very object.
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class Prototype:
    """One candidate's estimator, from which each of its folds takes a copy.

    `clone` looks up signatures each time, which takes longer than a small fit. It is done once for
    a candidate; where nothing could be shared by accident (scikit-learn's own class, plain
    parameters) a shallow copy of what `clone` made is the same as another clone.

    Parameters
    ----------
    estimator : BaseEstimator
        Unfitted, with the candidate's parameters. It is kept and never fitted.
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator
        values = vars(estimator).values()
        self._is_plain = is_own(estimator) and all(type(value) in _PLAIN for value in values)

    def copy(self) -> BaseEstimator:
        """Return another unfitted estimator with these parameters."""
        return copy.copy(self.estimator) if self._is_plain else clone(self.estimator)

    @cached_property
    def is_pairwise(self) -> bool:
        """Whether it takes a square matrix, of which a split selects columns as well as rows."""
        return bool(get_tags(self.estimator).input_tags.pairwise)

    @cached_property
    def is_own(self) -> bool:
        """Whether it and all estimators in it are scikit-learn's own."""
        return all(is_own(part) for part in self._parts)

    @cached_property
    def may_write(self) -> bool:
        """Whether it was told, or is free, to write into the data that it is given."""
        return any(
            _allows_writing(name, value)
            for part in self._parts
            for name, value in part.get_params(deep=False).items()
        )

    @cached_property
    def _parts(self) -> list[BaseEstimator]:
        inner = self.estimator.get_params(deep=True).values()
        return [self.estimator, *(value for value in inner if isinstance(value, BaseEstimator))]


def is_own(estimator: object) -> bool:
    """Tell whether an object's class is scikit-learn's own."""
    return type(estimator).__module__.startswith("sklearn.")


def _allows_writing(name: str, value: Any) -> bool:
    """Tell whether a parameter gives leave to overwrite the data: `copy=False`, `overwrite_a=True`.

    Any `copy` that is not plainly true counts, as `copy_X="auto"` would.
    """
    if name in {"copy", "copy_X", "copy_x"}:
        return value is not True
    return name.startswith("overwrite") and value is not False
