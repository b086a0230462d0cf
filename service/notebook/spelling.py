"""Spell Python objects in the value grammar of job files: the way back of `workers.catalog`.

What is spelled is built again and compared, so that a search is either submitted as it is meant,
or refused.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from schemas.problems import Problem, join, nearest
from schemas.sections import Limits
from workers import forbidden, names
from workers.catalog import Catalog
from workers.objectcheck import parameters_of
from workers.spelling import FREE_TEXT_PARAMS, NAMED_LISTS, SPACE_PARAMS, TUPLE_PARAMS

#: Arrays with more values than this are data, not parameters.
MAX_ARRAY = 10_000

#: What `set_output` and its like leave on an estimator, and `clone` keeps: it has no spelling.
_HIDDEN = {
    "_sklearn_output_config": "set_output(…)",
    "_metadata_request": "set_fit_request(…) and its like",
    "_skl_callbacks": "callbacks",
}

#: Values that are compared by how they are written: 1 is not 1.0 nor True, nan is nan.
_PLAIN = (bool, int, float, str, tuple, type(None))


class Speller:
    """Spells objects, and collects what has no spelling.

    Parameters
    ----------
    catalog : Catalog
        The names a job file may use.

    Attributes
    ----------
    problems : list of Problem
        Each names the parameter and the way out.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.problems: list[Problem] = []

    def object(self, value: Any, where: str) -> JsonValue:
        """Spell an estimator or splitter, and see that the spelling means the same."""
        n_before = len(self.problems)
        spelled = self._spell(value, where, "")
        if len(self.problems) == n_before:
            self._verify(partial(self.catalog.build, spelled), value, where)
        return spelled

    def value(self, value: Any, where: str, param: str) -> JsonValue:
        """Spell a value of the search space, and see that the spelling means the same."""
        n_before = len(self.problems)
        spelled = self._spell(value, where, param.rpartition("__")[2])
        if _is_bare(spelled) and param.rpartition("__")[2] not in FREE_TEXT_PARAMS:
            spelled = cast(dict[str, JsonValue], spelled)["$type"]
        if len(self.problems) == n_before:
            build = partial(self.catalog.build_params, {param: spelled})
            self._verify(lambda: build()[param], value, where)
        return spelled

    def refuse(self, where: str, message: str, **facts: Any) -> None:
        """Note what cannot be spelled."""
        self.problems.append(Problem(where, message, **facts))

    def _verify(self, build: Callable[[], Any], value: Any, where: str) -> None:
        try:
            same = means_the_same(build(), value)
        except Exception:  # told, with its place, when the job is checked
            return
        if not same:
            self.refuse(
                where,
                "A job file cannot say exactly this.",
                given=_cut(value),
                hint="A text that is also the name of an estimator, a list where scikit-learn "
                "takes a tuple, or an object with a state of its own may be the cause.",
            )

    # --- values ------------------------------------------------------------------------------

    def _spell(self, value: Any, where: str, param: str) -> JsonValue:
        if isinstance(value, np.generic):
            value = value.item()
        if param in ("memory", "func", "inverse_func") and value is not None:
            self.problems += forbidden.value_problems(param, _cut(value), where, Limits())
            return None
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if math.isfinite(value) else {"$float": str(value)}
            case str():
                return str(value)
            case dict() if param in SPACE_PARAMS:
                return self._inner_space(value, where)
            case dict():
                return self._mapping(value, where)
            case list() | tuple() if param in SPACE_PARAMS:
                return [self._inner_space(v, f"{where}[{i}]") for i, v in enumerate(value)]
            case list() | tuple() if param in NAMED_LISTS:
                return [self._entry(entry, where, i) for i, entry in enumerate(value)]
            case list() | range():
                return [self._spell(item, f"{where}[{i}]", "") for i, item in enumerate(value)]
            case tuple():
                items: list[JsonValue] = [
                    self._spell(item, f"{where}[{i}]", "") for i, item in enumerate(value)
                ]
                return items if param in TUPLE_PARAMS else {"$tuple": items}
            case np.ndarray():
                return self._array(value, where)
            case np.random.RandomState() | np.random.Generator():
                self.refuse(
                    where,
                    "A generator of random numbers changes as it is used, so that nobody could "
                    "repeat or resume the search.",
                    given=type(value).__name__,
                    expected="a whole number, or None",
                    hint="For example: random_state=0.",
                )
                return None
            case type() | np.dtype():
                return self._dtype(value, where)
        return self._object(value, where, param)

    def _mapping(self, value: dict[Any, Any], where: str) -> JsonValue:
        pairs: list[tuple[Any, JsonValue]] = [
            (
                key.item() if isinstance(key, np.generic) else key,
                self._spell(item, join(where, str(key)), ""),
            )
            for key, item in value.items()
        ]
        if any(isinstance(key, str) and key.startswith("$") for key, _ in pairs):
            return {"$dict": [[key, item] for key, item in pairs]}
        return dict(pairs)

    def _inner_space(self, value: Any, where: str) -> JsonValue:
        """Spell the space of a search within the search, whose values are lists."""
        if not isinstance(value, Mapping):
            return self._spell(value, where, "")
        return {
            key: [self._spell(v, f"{where}.{key}[{i}]", key) for i, v in enumerate(listed)]
            if isinstance(listed, list | tuple | range | np.ndarray)
            else self._spell(listed, join(where, key), "")
            for key, listed in value.items()
        }

    def _entry(self, entry: Any, parent: str, index: int) -> JsonValue:
        """Spell a step, `(name, estimator)` or `(name, estimator, columns)`."""
        where = f"{parent}[{index}]"
        if not isinstance(entry, list | tuple) or len(entry) < 2:
            return self._spell(entry, where, "")
        head, estimator, *columns = entry
        place = join(parent, head) if isinstance(head, str) else f"{where}[1]"
        spelled = self._spell(estimator, place, "")
        return [
            head if isinstance(head, str) else self._spell(head, f"{where}[0]", ""),
            cast(dict[str, JsonValue], spelled)["$type"] if _is_bare(spelled) else spelled,
            *(self._spell(item, f"{where}[2]", "") for item in columns),
        ]

    def _array(self, value: "np.ndarray[Any, Any]", where: str) -> JsonValue:
        if value.size > MAX_ARRAY or value.dtype.kind not in "biufU":
            self.refuse(
                where,
                "This array is too much for a job file.",
                given=f"{value.dtype} of shape {value.shape}",
                expected=f"at most {MAX_ARRAY:,} numbers or texts",
                hint="Give a scalar, or have the estimator learn it from the data.",
            )
            return None
        return self._spell(value.tolist(), where, "")

    def _dtype(self, value: Any, where: str) -> JsonValue:
        for name in names.DTYPES:
            if value is names.dtype(name) or (
                isinstance(value, np.dtype) and value == names.dtype(name)
            ):
                return {"$dtype": name}
        self.refuse(
            where,
            "This type has no name in job files.",
            given=getattr(value, "__name__", str(value)),
            expected="an instance, or one of the dtypes " + ", ".join(names.DTYPES),
        )
        return None

    # --- objects -----------------------------------------------------------------------------

    def _object(self, value: Any, where: str, param: str) -> JsonValue:
        for name in names.FUNCTIONS:
            if value is names.listed(name):
                return {"$function": name}
        kind = type(value)
        if (refused := forbidden.class_problem(kind.__name__, where)) is not None:
            self.problems.append(refused)
            return None
        found = self.name_of(kind)
        if found is None:
            self._refuse_unknown(value, where, param)
            return None
        if kind.__name__ == "FrozenEstimator":
            self.refuse(
                where,
                "A job file holds no fitted estimator.",
                given=_cut(value),
                hint="Put the unfitted estimator in its place; it is fitted on every split.",
            )
            return None
        self._refuse_hidden(value, where)
        spelled: dict[str, JsonValue] = {"$type": found}
        for name, item in changed_params(value).items():
            place = join(where, name)
            if (name == "prefit" and item is True) or (
                name == "cv" and isinstance(item, str) and item == "prefit"
            ):
                self.refuse(
                    place,
                    "A job file holds no fitted estimator.",
                    given=_cut(item),
                    hint="Let it be fitted: leave the parameter out.",
                )
            elif found == "make_column_selector" and item is np.number:
                spelled[name] = "number"  # pandas' own word for the same
            else:
                spelled[name] = self._spell(item, place, name)
        return spelled

    def name_of(self, kind: type) -> str | None:
        """Give the name that job files use for a class; None if nobody listed it."""
        name = kind.__name__
        if name in names.TYPES and names.listed(name) is kind:
            return name
        for listed, path in self.catalog.extra.items():
            if path.rpartition(".")[2] == name and self.catalog.find(listed) is kind:
                return listed
        return None

    def _refuse_hidden(self, value: Any, where: str) -> None:
        for attribute, told in _HIDDEN.items():
            if vars(value).get(attribute):
                self.refuse(
                    where,
                    f"{told} of {type(value).__name__} cannot be said in a job file.",
                    hint="Use an estimator without it; NumPy arrays and X's own columns work.",
                )

    def _refuse_unknown(self, value: Any, where: str, param: str) -> None:
        kind = type(value)
        if hasattr(value, "get_params"):
            self.refuse(
                where,
                f"{kind.__name__} is not an estimator of scikit-learn's, nor one that the spool's "
                "operator listed.",
                given=f"{kind.__module__}.{kind.__qualname__}",
                nearest=nearest(kind.__name__, self.catalog.estimator_names, cutoff=0.8),
                hint="If it can be imported on the engines, write into foldq.toml of the spool: "
                f'[catalog.estimators] {kind.__name__} = "{kind.__module__}.{kind.__qualname__}"',
            )
        elif callable(value):
            takes = param in forbidden.FUNCTION_PARAMS
            self.refuse(
                where,
                "A function cannot be put into a job file, which runs no code.",
                given=getattr(value, "__name__", kind.__name__),
                expected="one of " + ", ".join(names.FUNCTIONS) if takes else "a plain value",
                hint="Use an estimator of your own in a module, listed by the operator in "
                "[catalog.estimators], or transform the data beforehand.",
            )
        else:
            self.refuse(
                where,
                f"A {kind.__name__} has no spelling in a job file.",
                given=_cut(value),
                expected="a number, a text, a list, a tuple, a dict, an array or an estimator",
            )


def params_of(value: Any) -> dict[str, Any]:
    """Give the parameters of an estimator, kernel, splitter or column selector."""
    if hasattr(value, "get_params"):
        return dict(value.get_params(deep=False))
    # As scikit-learn writes a splitter's repr: repeated ones keep theirs in `cvargs`.
    kept = getattr(value, "cvargs", {})
    return {name: getattr(value, name, kept.get(name)) for name in parameters_of(type(value)) or {}}


def changed_params(value: Any) -> dict[str, Any]:
    """Give the parameters that differ from their defaults, in the order of the signature."""
    try:
        signature = inspect.signature(type(value)).parameters
    except (TypeError, ValueError):
        signature = {}  # type: ignore[assignment]
    changed = {}
    for name, given in params_of(value).items():
        default = signature[name].default if name in signature else None
        if not _is_default(given, default):
            changed[name] = given
    return {name: changed[name] for name in sorted(changed, key=_position(list(signature)))}


def _position(order: list[str]) -> Any:
    return lambda name: order.index(name) if name in order else len(order)


def _is_default(given: Any, default: Any) -> bool:
    if given is default:
        return True
    return (
        isinstance(given, _PLAIN) and type(given) is type(default) and repr(given) == repr(default)
    )


def means_the_same(one: Any, other: Any) -> bool:
    """Tell whether two parameters are the same to scikit-learn: classes, values and their types."""
    one, other = _plain(one), _plain(other)
    if isinstance(one, list | tuple | dict) or type(one) is not type(other):
        if isinstance(one, dict) and isinstance(other, dict):
            return list(one) == list(other) and all(means_the_same(one[k], other[k]) for k in one)
        if type(one) is not type(other):
            # pandas' word and NumPy's type for any number; a dtype and its type.
            return {"number", np.number} == {one, other} if _are_hashable(one, other) else False
        return len(one) == len(other) and all(map(means_the_same, one, other))
    if isinstance(one, _PLAIN):
        return repr(one) == repr(other)
    if isinstance(one, type) or inspect.isroutine(one):
        return one is other
    if one is other:
        return True
    return means_the_same(params_of(one), params_of(other))


def _are_hashable(*values: Any) -> bool:
    return all(isinstance(value, str | type) for value in values)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | range):
        return list(value)
    if isinstance(value, np.dtype):
        return value.type
    return str(value) if isinstance(value, str) else value


def _is_bare(spelled: JsonValue) -> bool:
    """Tell whether an object is spelled by its name alone."""
    return isinstance(spelled, dict) and list(spelled) == ["$type"]


def _cut(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:79] + "…"
