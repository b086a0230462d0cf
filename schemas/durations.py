"""Spans of time as people write them: `10m`, `1h30m`, `2s`, or a number of seconds."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")
#: Units as people write them out.
_WORD = re.compile(r"(sec|min|hr|hour|day|week)(?:ond|ute)?s?\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*|([0-9]+(\.[0-9]+)?\s*(ms|[smhdw])\s*)+)$"

#: Ten years: a longer span is a slip of the pen, and would overflow a date.
LONGEST = 10 * 365 * 86400.0

EXPECTED = "a span of time such as 30s, 10m or 1h30m, or a number of seconds"


def seconds(value: object) -> float:
    """Return the number of seconds that `value` says.

    Parameters
    ----------
    value : str, int or float
        Number of seconds, as text too (the environment knows nothing else), or number-unit
        pairs (ms, s, m, h, d, w) in any order.

    Raises
    ------
    ValueError
        If it is not a span of time, is negative, or is longer than ten years.

    Examples
    --------
    >>> seconds("1h30m")
    5400.0
    >>> seconds(2)
    2.0
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if _NUMBER.fullmatch(text):
            text += "s"
        if len(text) > 40 or not _PART.match(text) or _PART.sub("", text):
            short = _WORD.sub(lambda word: word[1][:1], text).replace(" ", "")
            meant = f"; did you mean {short}?" if short != text and not _PART.sub("", short) else ""
            raise ValueError(f"this is not {EXPECTED}{meant}")
        total = math.fsum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        total = float(value) if abs(value) <= LONGEST else math.inf
    else:
        raise ValueError(f"this is not {EXPECTED}")
    if not 0 <= total <= LONGEST:
        raise ValueError("a span of time lies between 0 and ten years")
    return total


#: A pydantic field that holds seconds and reads `10m`.
Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _PATTERN}]}
    ),
]
