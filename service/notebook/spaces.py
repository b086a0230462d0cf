"""Spell what a search draws from: lists, ranges and spacings, and SciPy's distributions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from schemas import values
from schemas.problems import join
from service.notebook.spelling import Speller

#: Fewer numbers than this read best as they are.
_LISTED = 6

#: Job file's word for each of SciPy's distributions that it has.
DISTRIBUTIONS = {
    "uniform": "$uniform",
    "loguniform": "$loguniform",
    "reciprocal": "$loguniform",
    "randint": "$randint",
}


def spell_space(speller: Speller, space: Any, where: str) -> JsonValue:
    """Spell `param_grid` or `param_distributions`.

    Parameters
    ----------
    speller : Speller
        Collects what has no spelling.
    space : dict, or list of dict
        Parameter -> values, or a frozen distribution of SciPy.
    where : str
        The parameter's name.
    """
    if isinstance(space, Mapping):
        return {
            str(name): _spell_values(speller, listed, join(where, str(name)), str(name))
            for name, listed in space.items()
        }
    if isinstance(space, Sequence) and not isinstance(space, str):
        return [spell_space(speller, part, f"{where}[{i}]") for i, part in enumerate(space)]
    speller.refuse(
        where,
        "A search space is a dict of parameters to the values to try, or a list of such dicts.",
        given=type(space).__name__,
    )
    return None


def _spell_values(speller: Speller, listed: Any, where: str, param: str) -> JsonValue:
    if hasattr(listed, "rvs"):
        return _spell_distribution(speller, listed, where)
    if isinstance(listed, str) or not hasattr(listed, "__iter__"):
        speller.refuse(
            where,
            "A parameter of the search space needs a list of values.",
            given=repr(listed)[:80],
            hint=f"To try this one value, write [{repr(listed)[:60]}].",
        )
        return None
    numbers = list(listed)
    if (spacing := as_spacing(numbers)) is not None:
        return spacing
    return [speller.value(item, f"{where}[{i}]", param) for i, item in enumerate(numbers)]


def as_spacing(numbers: list[Any]) -> JsonValue:
    """Give the range or spacing that lists exactly these numbers; None if none does.

    Examples
    --------
    >>> as_spacing(list(np.logspace(-3, 4, 8)))
    {'$logspace': [-3, 4, 8]}
    >>> as_spacing([1, 3, 5, 7, 9, 11, 13])
    {'$range': [1, 15, 2]}
    >>> as_spacing([1, 2]) is None
    True
    """
    plain = [n.item() if isinstance(n, np.generic) else n for n in numbers]
    if len(plain) < _LISTED:
        return None
    if all(type(n) is int for n in plain):
        step = plain[1] - plain[0]
        end = plain[-1] + (1 if step == 1 else step)
        guesses: list[tuple[str, list[Any]]] = [("$range", [plain[0], end, step])] if step else []
    elif all(type(n) is float and math.isfinite(n) for n in plain):
        first, last, n = plain[0], plain[-1], len(plain)
        guesses = [("$linspace", [first, last, n])]
        if first > 0 < last:
            exponents = [_whole(float(f"{math.log10(end):.12g}")) for end in (first, last)]
            guesses += [("$logspace", [*exponents, n]), ("$geomspace", [first, last, n])]
    else:
        return None
    for key, ends in guesses:
        argument: list[JsonValue] = [_whole(end) for end in ends]
        if key == "$range" and argument[2] == 1:
            del argument[2]
        if values.expand({key: argument}) == plain:
            return {key: argument}
    return None


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _spell_distribution(speller: Speller, frozen: Any, where: str) -> JsonValue:
    name = getattr(getattr(frozen, "dist", None), "name", type(frozen).__name__)
    key = DISTRIBUTIONS.get(name)
    if key is None:
        speller.refuse(
            where,
            f"There is no distribution {name!r} in job files.",
            given=name,
            expected="scipy.stats.loguniform, uniform or randint, or a list of values",
            hint="Draw the values beforehand: dist.rvs(size=100, random_state=0).tolist().",
        )
        return None
    shape, loc, scale = frozen.dist._parse_args(*frozen.args, **frozen.kwds)
    shape, loc, scale = [_number(n) for n in shape], _number(loc), _number(scale)
    if key == "$uniform":
        ends = uniform_ends(loc, scale)
        if ends is None:
            speller.refuse(
                where,
                "The ends of this uniform distribution have no exact spelling.",
                given=f"uniform({loc}, {scale})",
                hint=f"Write uniform({loc}, {loc + scale} - {loc}), which is the same but for "
                "the last bits.",
            )
            return None
        return {key: list(ends)}
    if loc != 0 or scale != 1:
        speller.refuse(
            where,
            f"A {name} that is shifted or stretched cannot be said in a job file.",
            given=f"loc={loc}, scale={scale}",
            expected="loc=0, scale=1",
            hint="Put it into the ends.",
        )
        return None
    return {key: cast(list[JsonValue], shape)}


def uniform_ends(low: float, scale: float) -> tuple[float, float] | None:
    """Give low and high such that ``high - low`` is `scale` to the last bit; None if none are.

    Examples
    --------
    >>> uniform_ends(0.2, 0.7)
    (0.2, 0.8999999999999999)
    """
    high = low + scale
    for end in (high, math.nextafter(high, math.inf), math.nextafter(high, -math.inf)):
        if end - low == scale:
            return low, _whole(end) if isinstance(low, int) else end
    return None


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value
