"""On which line of a TOML file each key stands: `tomllib` does not say."""

import tomllib
from collections.abc import Iterator
from typing import Any

Keys = tuple[str, ...]


def lines_of(text: str) -> dict[Keys, int]:
    r"""Return the line of each key of a valid TOML text, from 1.

    Statements are read one by one, each under the header of its table.

    Examples
    --------
    >>> lines_of('engines = 2\n\n[limits]\nfits = 3\n')
    {('engines',): 1, ('limits',): 3, ('limits', 'fits'): 4}
    """
    found: dict[Keys, int] = {}
    header = statement = ""
    begun = 1
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not statement:
            begun = number
        statement += line
        is_header = statement.lstrip().startswith("[")
        try:
            said = tomllib.loads(statement if is_header else header + statement)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue  # it goes on in the next line
        if is_header:
            header = statement
        for keys in _keys(said):
            found.setdefault(keys, begun)
        statement = ""
    return found


def _keys(said: dict[str, Any]) -> Iterator[Keys]:
    for name, value in said.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *keys) for keys in _keys(value))
