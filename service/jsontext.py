"""JSON as every reader takes it: NaN is null, the infinities are numbers beyond a double.

Python's own `NaN` and `Infinity` are not JSON. `1e999` is, and whoever reads it as a double
gets infinity back.
"""

import json
import math
from typing import Any

#: Version of every JSON document foldq writes; raised when a field changes its meaning or goes.
SCHEMA_VERSION = 1

# Stand-ins for the infinities that no text holds: a private-use character, then the spelling.
_INFINITE = {math.inf: "\ue000+1e999", -math.inf: "\ue000-1e999"}
_SPELLINGS = {'"\\ue000+1e999"': "1e999", '"\\ue000-1e999"': "-1e999"}


def document(**fields: Any) -> dict[str, Any]:
    """Give the JSON document with these fields, its version first."""
    return {"schema_version": SCHEMA_VERSION, **fields}


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write `value` as JSON text.

    NumPy scalars and arrays become numbers and lists; what is masked becomes null; other objects
    that JSON does not know become their text.
    """
    try:  # ten times as fast, and most of what is written is plain
        return json.dumps(value, indent=indent, allow_nan=False)
    except (TypeError, ValueError):
        pass
    # ASCII only, so that the stand-ins look the same in every text.
    text = json.dumps(_plain(value), indent=indent, allow_nan=False)
    if "\\ue000" in text:
        for stand_in, spelling in _SPELLINGS.items():
            text = text.replace(stand_in, spelling)
    return text


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return None if math.isnan(value) else _INFINITE[float(value)]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy array or scalar; what is masked is None in the list
        return _plain(value.tolist())
    return str(value)
