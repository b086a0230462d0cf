"""The candidates of a search: one estimator with ever other parameters, made without much ado.

scikit-learn's `clone` and `set_params` look up signatures every time, which takes longer than a
small fit. They are used once for a search, to see what its estimator consists of; a candidate
with plain values for parameters is then copied and set by hand, to the same result. Whatever is
not plain goes through `clone` and `set_params`.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import JsonValue
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from workers.catalog import Catalog

#: Values of which a copy may share the very object.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})

#: A parameter within an estimator: where it is, its name there and its value.
Setting = tuple[BaseEstimator, str, Any]


class Prototype:
    """One candidate: its estimator, unfitted, from which each of its folds takes a copy.

    Attributes
    ----------
    estimator : BaseEstimator
        Kept, and never fitted.
    is_pairwise : bool
        It takes a square matrix, of which a split selects columns as well as rows.
    is_own : bool
        It and all estimators in it are scikit-learn's own.
    may_write : bool
        It was told that it may write into the data that it is given.
    settings : list of Setting or None
        The parameters in which it differs from the family's estimator; None if that is not known,
        and all count.
    is_valid : bool or None
        What `workers.checks` found out about its parameters; None before it was asked.
    """

    __slots__ = (
        "estimator", "is_own", "is_pairwise", "is_plain", "is_valid", "may_write", "settings",
    )  # fmt: skip

    def __init__(self, estimator: BaseEstimator):
        parts = list(parts_of(estimator))
        self.estimator = estimator
        self.settings: list[Setting] | None = None
        self.is_valid: bool | None = None
        self.is_pairwise = is_pairwise(estimator)
        self.is_own = all(is_own(part) for part in parts)
        self.may_write = any(
            allows_writing(name, value)
            for part in parts
            for name, value in part.get_params(deep=False).items()
        )
        self.is_plain = is_copyable(estimator)

    def varied(self, estimator: BaseEstimator, settings: list[Setting]) -> "Prototype":
        """Return the prototype of a copy of this estimator in which plain parameters were set."""
        other = Prototype.__new__(Prototype)
        other.estimator = estimator
        other.settings = settings
        other.is_valid = None
        other.is_own = True
        other.is_plain = True
        other.is_pairwise = self.is_pairwise
        other.may_write = self.may_write
        for _, name, value in settings:
            if type(value) is str:  # "precomputed", whatever it is a parameter of
                other.is_pairwise = is_pairwise(estimator)
            other.may_write = other.may_write or allows_writing(name, value)
        return other

    def copy(self) -> BaseEstimator:
        """Return another unfitted estimator with these parameters."""
        return duplicate(self.estimator) if self.is_plain else clone(self.estimator)


class Family:
    """All candidates of a search.

    Parameters
    ----------
    estimator : BaseEstimator
        The job's, before any candidate's parameters are set.
    catalog : Catalog
        Makes objects of what a candidate's parameters spell.
    """

    def __init__(self, estimator: BaseEstimator, catalog: Catalog):
        self._estimator = estimator
        self._catalog = catalog

    @cached_property
    def base(self) -> Prototype:
        """The job's estimator itself."""
        return Prototype(clone(self._estimator))

    def prototype(self, params: Mapping[str, JsonValue]) -> Prototype:
        """Return the candidate with these parameters.

        Raises
        ------
        ValueError
            For parameters that the estimator does not have.
        """
        return self._by_hand(params) or Prototype(self.candidate(params))

    def candidate(self, params: Mapping[str, JsonValue]) -> BaseEstimator:
        """Return a new estimator with these parameters, made as `GridSearchCV` makes it.

        Raises
        ------
        ValueError
            For parameters that the estimator does not have.
        """
        return clone(self._estimator).set_params(**self._catalog.build_params(params))

    def _by_hand(self, params: Mapping[str, JsonValue]) -> Prototype | None:
        """Return the candidate, where only plain values of plain parameters are set."""
        if not self.base.is_plain:
            return None
        estimator = duplicate(self.base.estimator)
        settings: list[Setting] = []
        for path, value in params.items():
            if type(value) not in _PLAIN:
                return None
            if type(value) is str and value != self._catalog.build_params({path: value})[path]:
                return None  # the name of an object
            *steps, name = path.split("__")
            owner: Any = estimator
            for step in steps:
                owner = _inner(owner, step)
            attributes = getattr(owner, "__dict__", {})
            if name not in attributes or type(attributes[name]) not in _PLAIN:
                return None
            attributes[name] = value
            settings.append((owner, name, value))
        return self.base.varied(estimator, settings)


def parts_of(estimator: BaseEstimator) -> Iterator[BaseEstimator]:
    """Return an estimator and all estimators within it."""
    yield estimator
    for value in estimator.get_params(deep=True).values():
        if isinstance(value, BaseEstimator):
            yield value


def is_own(estimator: object) -> bool:
    """Tell whether an object's class is scikit-learn's own."""
    return type(estimator).__module__.startswith("sklearn.")


def is_pairwise(estimator: BaseEstimator) -> bool:
    """Tell whether an estimator takes a square matrix: distances or a kernel."""
    return bool(get_tags(estimator).input_tags.pairwise)


def allows_writing(name: str, value: Any) -> bool:
    """Tell whether a parameter gives leave to overwrite the data: `copy=False`, `overwrite_a=True`.

    Any `copy` that is not plainly true counts.
    """
    if name in {"copy", "copy_X", "copy_x"}:
        return value is not True
    return name.startswith("overwrite") and value is not False


def is_copyable(value: Any) -> bool:
    """Tell whether `duplicate` does the same as `clone`: an estimator of plain parts, all own."""
    if type(value) in _PLAIN:
        return True
    if type(value) in (list, tuple):
        return all(is_copyable(item) for item in value)
    return (
        isinstance(value, BaseEstimator)
        and is_own(value)
        and type(value).__sklearn_clone__ is BaseEstimator.__sklearn_clone__
        and vars(value).keys() >= value.get_params(deep=False).keys()
        and all(is_copyable(item) for item in vars(value).values())
    )


def duplicate(value: Any) -> Any:
    """Return another estimator with the same parameters, for one that `is_copyable`."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (list, tuple):
        return kind([duplicate(item) for item in value])
    other: Any = object.__new__(kind)
    attributes = other.__dict__
    for name, item in value.__dict__.items():
        attributes[name] = item if type(item) in _PLAIN else duplicate(item)
    return other


def _inner(owner: Any, step: str) -> Any:
    """Return what `step__…` means in an estimator, None where only `set_params` knows."""
    if type(owner) is Pipeline:
        return next((item for name, item in owner.steps if name == step), None)
    inner = getattr(owner, "__dict__", {}).get(step)
    return inner if isinstance(inner, BaseEstimator) else None
