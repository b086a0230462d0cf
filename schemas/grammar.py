"""The form of values in a job file: which `$` keys there are, and what each is given."""

import re
from collections.abc import Callable, Iterator
from typing import cast

from pydantic import JsonValue

from schemas.problems import SHOWN, Problem, join, nearest, shown
from schemas.values import (
    DISTRIBUTIONS,
    FLOATS,
    MAX_DEPTH,
    MAX_SIZE,
    SPACINGS,
    as_range,
    grammar_key,
)

#: Every `$` key and how it is written; also the text of messages and of the JSON Schema.
USAGE = {
    "$logspace": "{$logspace: [a, b, n]}: n numbers from 10^a to 10^b, evenly apart in the "
    "exponent",
    "$linspace": "{$linspace: [a, b, n]}: n numbers from a to b, evenly apart",
    "$geomspace": "{$geomspace: [a, b, n]}: n numbers from a to b, evenly apart in their "
    "logarithms",
    "$range": "{$range: [start, stop, step]}: whole numbers, stop left out, as Python's range",
    "$choice": "{$choice: [value, value, …]}: any of the values",
    "$uniform": "{$uniform: [low, high]}: a random number from low to high",
    "$loguniform": "{$loguniform: [low, high]}: a random number, evenly likely in its logarithm",
    "$randint": "{$randint: [low, high]}: a random whole number, high left out",
    "$tuple": "{$tuple: [value, value, …]}: a Python tuple",
    "$dict": "{$dict: [[key, value], …]}: a Python dict whose keys are not all text",
    "$float": '{$float: nan}: one of the numbers "nan", "inf" and "-inf"',
    "$dtype": "{$dtype: float32}: a NumPy dtype",
    "$function": "{$function: f_classif}: a function of scikit-learn, by name",
    "$null": "{$null: true}: null, for TOML, which has none",
    "$type": "{$type: SVC, C: 10}: an object, with its parameters beside its name",
}

#: A call in Python, as of `np.logspace(0, 3, 4)`.
_CALL = re.compile(r"(?:[a-z]+\.)*([a-z]+)\(([-+.,\s\w]*)\)")


def check_space_value(value: JsonValue, where: str = "") -> list[Problem]:
    """Return what is wrong with the values of one parameter of a search space.

    Parameters
    ----------
    value : canonical JSON
        A list, one of `$logspace`, `$linspace`, `$geomspace`, `$range`, `$choice`, or a
        distribution.
    where : str
        The place to name in the problems.
    """
    key = grammar_key(value)
    if key == "$choice" and isinstance(value, dict):
        value, key = value["$choice"] if len(value) == 1 else value, None
    if isinstance(value, list):
        if not value:
            return [
                Problem(where, "The list of values to try is empty.", hint="Name at least one.")
            ]
        if len(value) > MAX_SIZE:
            return [_too_many(where, len(value))]
        return [
            problem
            for i, item in enumerate(value)
            for problem in check_value(item, f"{where}[{i}]", depth=1)
        ]
    if key in DISTRIBUTIONS or key in SPACINGS or key == "$range":
        return check_value(value, where, allow_distribution=True)
    if key is not None and key not in USAGE:
        return check_value(value, where)
    return [_no_list(value, where)]


def _no_list(value: JsonValue, where: str) -> Problem:
    """Return the problem of a parameter with one value, or with what was meant for several."""
    near, hint = None, f"To try this one value, write [{shown(value)}]."
    if isinstance(value, dict) and len(value) == 1:
        near = nearest(f"${next(iter(value))}", USAGE, cutoff=0.8)
    elif isinstance(value, str) and len(value) <= SHOWN:
        called = _CALL.fullmatch(value)
        if called and f"${called[1]}" in USAGE:
            near = f"{{${called[1]}: [{called[2]}]}}"
        elif "," in value:
            near = f"[{value.strip('()[]')}]"
    return Problem(
        where,
        "A parameter of the search space needs a list of values.",
        given=shown(value),
        expected="a list, $logspace, $linspace, $geomspace, $range, or a distribution",
        nearest=near,
        hint=hint if near is None else None,
    )


def check_value(
    value: JsonValue, where: str = "", *, allow_distribution: bool = False, depth: int = 0
) -> list[Problem]:
    """Return what is wrong with the form of one canonical value and all it holds.

    Parameters
    ----------
    value : canonical JSON
    where : str
        The place to name in the problems.
    allow_distribution : bool
        Whether the value stands where a search space may draw.
    depth : int
        How deep the value already lies.
    """
    return list(_problems(value, where, allow_distribution, depth))


def _problems(
    value: JsonValue, where: str, allow_distribution: bool, depth: int
) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(where, f"The value is nested more than {MAX_DEPTH} deep.")
        return
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _problems(item, f"{where}[{i}]", False, depth + 1)
        return
    if not isinstance(value, dict):
        return
    dollars = [key for key in value if key.startswith("$")]
    if not dollars:
        for name, item in value.items():
            yield from _problems(item, join(where, name), False, depth + 1)
        return
    unknown = [key for key in dollars if key not in USAGE]
    for key in unknown:
        yield Problem(
            join(where, key),
            f"There is no {shown(key)} in the grammar of values.",
            expected="one of " + ", ".join(USAGE),
            nearest=nearest(key, USAGE),
        )
    if unknown:
        return
    if len(dollars) > 1:
        yield Problem(where, "A mapping holds one $ key only.", given=" and ".join(dollars))
        return
    key = dollars[0]
    if key == "$type":
        yield from _object_problems(value, where, depth)
        return
    if len(value) > 1:
        other = next(name for name in value if name != key)
        yield Problem(
            where,
            f"{key} stands alone in its mapping.",
            given=shown(other),
            expected=USAGE[key],
        )
        return
    if key in DISTRIBUTIONS and not allow_distribution:
        yield Problem(
            where,
            f"{key} stands only as the whole of a parameter in search.space.",
            hint="To draw single values, list them.",
        )
        return
    if key == "$choice":
        yield Problem(
            where,
            "$choice stands only as the whole of a parameter in search.space.",
            hint="For a list as one value, write the list itself.",
        )
        return
    yield from _FORMS[key](key, value[key], where, depth)


def _object_problems(value: dict[str, JsonValue], where: str, depth: int) -> Iterator[Problem]:
    name = value["$type"]
    if not isinstance(name, str) or not name:
        yield Problem(
            join(where, "$type"), "$type is the name of a class", given=shown(name),
            expected=USAGE["$type"],
        )  # fmt: skip
    for parameter, item in value.items():
        if parameter != "$type":
            yield from _problems(item, join(where, parameter), False, depth + 1)


def _wrong(key: str, argument: JsonValue, where: str, message: str) -> Problem:
    return Problem(where, f"{key}: {message}.", given=shown(argument), expected=USAGE[key])


def _too_many(where: str, n: int) -> Problem:
    return Problem(
        where,
        f"{n:,} values are more than the {MAX_SIZE:,} that one parameter may have.",
        hint="Draw from a distribution with strategy: random, or try fewer values.",
    )


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_int(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _spacing_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    if not (isinstance(argument, list) and len(argument) == 3):
        yield _wrong(key, argument, where, "three numbers are needed")
        return
    if not (_is_number(argument[0]) and _is_number(argument[1])):
        yield _wrong(key, argument, where, "the ends are numbers")
        return
    low, high = cast(list[float], argument[:2])
    if not _is_int(argument[2]) or cast(int, argument[2]) < 1:
        yield _wrong(key, argument, where, "the third number, how many, is a whole number from 1")
    elif cast(int, argument[2]) > MAX_SIZE:
        yield _too_many(where, cast(int, argument[2]))
    if key == "$logspace" and max(abs(low), abs(high)) > 300:
        yield Problem(
            where,
            "$logspace: its ends are exponents of ten, and 10^300 is as far as numbers go.",
            given=shown(argument),
            expected=USAGE[key],
            hint="For the ends themselves, write $geomspace.",
        )
    if key == "$geomspace" and low * high <= 0:
        yield _wrong(key, argument, where, "both ends lie on the same side of zero")


def _range_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    numbers = argument if isinstance(argument, list) else [argument]
    if not 1 <= len(numbers) <= 3 or not all(_is_int(number) for number in numbers):
        yield _wrong(key, argument, where, "one to three whole numbers are needed")
    elif len(numbers) == 3 and numbers[2] == 0:
        yield _wrong(key, argument, where, "the step is not zero")
    else:
        span = as_range(argument)
        if not span:
            yield _wrong(key, argument, where, "the range is empty")
        elif span[-1:] and (span.stop - span.start) // span.step >= MAX_SIZE:
            yield _too_many(where, (span.stop - span.start) // span.step)


def _distribution_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    right_type = _is_int if key == "$randint" else _is_number
    if not (
        isinstance(argument, list)
        and len(argument) == 2
        and all(right_type(number) for number in argument)
    ):
        kind = "whole numbers" if key == "$randint" else "numbers"
        yield _wrong(key, argument, where, f"two {kind}, low and high, are needed")
        return
    low, high = cast(list[float], argument)
    if key == "$loguniform" and low <= 0:
        yield _wrong(key, argument, where, "low is above zero")
    elif low >= high:
        yield _wrong(key, argument, where, "low is below high")


def _tuple_form(key: str, argument: JsonValue, where: str, depth: int) -> Iterator[Problem]:
    if isinstance(argument, list):
        yield from _problems(argument, where, False, depth + 1)
    else:
        yield _wrong(key, argument, where, "a list of values is needed")


def _dict_form(key: str, argument: JsonValue, where: str, depth: int) -> Iterator[Problem]:
    if not isinstance(argument, list):
        yield _wrong(key, argument, where, "a list of [key, value] pairs is needed")
        return
    seen: set[JsonValue] = set()
    for i, pair in enumerate(argument):
        if not (isinstance(pair, list) and len(pair) == 2) or isinstance(pair[0], list | dict):
            yield _wrong(key, pair, f"{where}[{i}]", "a [key, value] pair is needed")
            continue
        if pair[0] in seen:
            yield _wrong(key, pair, f"{where}[{i}]", "the key stands twice")
        seen.add(pair[0])
        yield from _problems(pair[1], f"{where}[{i}]", False, depth + 1)


def _float_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    if argument not in FLOATS:
        yield _wrong(key, argument, where, "one of nan, inf and -inf is needed")


def _name_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    if not isinstance(argument, str) or not argument:
        yield _wrong(key, argument, where, "a name is needed")


def _null_form(key: str, argument: JsonValue, where: str, _depth: int) -> Iterator[Problem]:
    yield _wrong(key, argument, where, "true is needed")


_FORMS: dict[str, Callable[[str, JsonValue, str, int], Iterator[Problem]]] = {
    **dict.fromkeys(SPACINGS, _spacing_form),
    **dict.fromkeys(DISTRIBUTIONS, _distribution_form),
    "$range": _range_form,
    "$tuple": _tuple_form,
    "$dict": _dict_form,
    "$float": _float_form,
    "$dtype": _name_form,
    "$function": _name_form,
    "$null": _null_form,
}
