"""The grammar of values in a job file: what JSON cannot say is a mapping with one `$` key.

Here a value is brought to its canonical form, and ranges and lists are read. Whether a value is
well formed is told by `schemas.grammar`, what names mean (`$type`, `$function`, `$dtype`) by
`workers.catalog`.

Canonical values are JSON: null, booleans, integers, finite floats, strings, lists, mappings
with string keys. NaN and the infinities are `{"$float": "nan"}`; a mapping with other keys is
`{"$dict": [[key, value], …]}`.
"""

import math
from typing import cast

from pydantic import JsonValue

from schemas.problems import Problem, join, shown

#: A value nested deeper than this is refused: nothing in scikit-learn comes near.
MAX_DEPTH = 32
#: Most values that one list or range of a search space may hold.
MAX_SIZE = 1_000_000
_MAX_INT = 2**63 - 1

SPACINGS = ("$logspace", "$linspace", "$geomspace")
#: What lists numbers wherever it stands.
LISTINGS = (*SPACINGS, "$range")
DISTRIBUTIONS = ("$uniform", "$loguniform", "$randint")

FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class UnusableValueError(ValueError):
    """Something a job file cannot hold; `problem` says what and where."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def canonical(value: object, where: str = "", depth: int = 0) -> JsonValue:
    """Return `value`, as a YAML, JSON or TOML reader gives it, in canonical JSON.

    Raises
    ------
    UnusableValueError
        On a date, on text that is not Unicode, on an integer beyond 64 bits, on deep nesting.
    """

    def refuse(message: str, **facts: str) -> UnusableValueError:
        return UnusableValueError(Problem(where, message, **facts))  # type: ignore[arg-type]

    if depth > MAX_DEPTH:
        raise refuse(f"The value is nested more than {MAX_DEPTH} deep.")
    match value:
        case None | bool():
            return value
        case int():
            if abs(value) > _MAX_INT:
                raise refuse("The integer does not fit into 64 bits.")
            return value
        case float():
            return value if math.isfinite(value) else {"$float": str(value)}
        case str():
            _check_text(value, where)
            return value
        case list():
            return [canonical(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        case {"$null": True, **rest} if not rest:
            return None
        case {"$float": float(number), **rest} if not rest and not math.isfinite(number):
            return {"$float": str(number)}
        case dict():
            pairs = [
                (_key(key, where), canonical(item, join(where, str(key)[:80]), depth + 1))
                for key, item in value.items()
            ]
            if all(isinstance(key, str) for key, _ in pairs):
                return cast(dict[str, JsonValue], dict(pairs))
            if any(isinstance(key, str) and key.startswith("$") for key, _ in pairs):
                odd = next(key for key, _ in pairs if not isinstance(key, str))
                raise refuse(
                    "Beside a $ key, keys are words.",
                    given=shown(odd),
                    hint="A list stands in brackets, as in {$logspace: [0, 3, 4]}.",
                )
            return {"$dict": [[key, item] for key, item in pairs]}
        case _:
            raise refuse(
                f"A {type(value).__name__} cannot be used as a value.",
                hint="Put it in quotes to make it text.",
            )


def _check_text(text: str, where: str) -> None:
    if "\0" in text:
        raise UnusableValueError(Problem(where, "The text holds a NUL character."))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnusableValueError(Problem(where, "The text holds half a surrogate pair.")) from None


def _key(key: object, where: str) -> str | int | float | bool | None:
    if isinstance(key, str):
        _check_text(key, where)
    if key is None or isinstance(key, str | bool | int):
        return key
    if isinstance(key, float) and math.isfinite(key):
        return key
    raise UnusableValueError(
        Problem(where, "A mapping's keys are text or numbers.", given=shown(key))
    )


def grammar_key(value: JsonValue) -> str | None:
    """Return the `$` key of a mapping that is grammar, else None."""
    if isinstance(value, dict):
        return next((key for key in value if key.startswith("$")), None)
    return None


def is_distribution(value: JsonValue) -> bool:
    """Whether the value is drawn from (`$uniform`, `$loguniform`, `$randint`), not listed."""
    return grammar_key(value) in DISTRIBUTIONS


def special_float(value: JsonValue) -> float | None:
    """Return the float that a `$float` mapping says, or None if it is no such mapping."""
    if isinstance(value, dict) and "$float" in value:
        return FLOATS.get(str(value["$float"]))
    return None


def _key_and_argument(value: JsonValue) -> tuple[str, JsonValue]:
    key = grammar_key(value)
    if key is None or not isinstance(value, dict):
        raise ValueError(f"{shown(value)} has no list of values")
    return key, value[key]


def size(value: JsonValue) -> int | None:
    """Return how many values a checked parameter of a search space lists, without listing them.

    None for a distribution, which has no end.
    """
    if isinstance(value, list):
        return len(value)
    key, argument = _key_and_argument(value)
    if key in SPACINGS:
        return cast(int, cast(list[JsonValue], argument)[2])
    if key == "$range":
        return len(as_range(argument))
    if key == "$choice":
        return len(cast(list[JsonValue], argument))
    return None


def expand(value: JsonValue) -> list[JsonValue]:
    """Return the values that a checked parameter of a search space lists, in canonical JSON.

    Numbers are exactly those of `numpy.logspace`, `numpy.linspace` and `numpy.geomspace`.

    Examples
    --------
    >>> expand({"$logspace": [-2, 1, 4]})
    [0.01, 0.1, 1.0, 10.0]
    >>> expand({"$range": [2, 8, 2]})
    [2, 4, 6]
    """
    if isinstance(value, list):
        return value
    key, argument = _key_and_argument(value)
    if key == "$choice":
        return cast(list[JsonValue], argument)
    if key == "$range":
        return list(as_range(argument))
    if key in SPACINGS:
        import numpy as np  # NumPy only where numbers are asked for: the schemas import fast

        spacing = getattr(np, key[1:])
        return cast(list[JsonValue], spacing(*cast(list[float], argument)).tolist())
    raise ValueError(f"{key} has no list of values")


def as_range(argument: JsonValue) -> range:
    """Return the range that the argument of a `$range` says."""
    return range(*argument) if isinstance(argument, list) else range(cast(int, argument))  # type: ignore[arg-type]
