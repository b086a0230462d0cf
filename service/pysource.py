"""Python source for the values of a job file: estimators, splitters, lists, distributions.

What `workers.catalog.Catalog` builds as objects is written here as the code that builds them, with
the imports it needs. scikit-learn is not imported: names stand in `workers.names`.
"""

import keyword
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import JsonValue

from schemas import values
from workers import names
from workers.spelling import spell_out, spell_out_object

#: Longest line of the source, in characters.
WIDTH = 88


class NotListed(ValueError):
    """A name that is neither scikit-learn's nor the operator's."""


@dataclass(frozen=True, slots=True)
class Group:
    """A bracket with parts in it, on one line where that has room, else a line for each part."""

    before: str
    parts: tuple["Source", ...]
    after: str
    is_tuple: bool = False

    def flat(self) -> str:
        """Return it on one line."""
        alone = self.is_tuple and len(self.parts) == 1
        inside = ", ".join(_flat(part) for part in self.parts)
        return self.before + inside + ("," if alone else "") + self.after


#: Source that is a piece of text, or a bracket that may be broken into lines.
Source = str | Group


def _flat(source: Source) -> str:
    return source if isinstance(source, str) else source.flat()


def lines(source: Source, indent: int = 0, tail: str = "") -> list[str]:
    """Break source into lines of at most `WIDTH` characters where that can be done.

    Parameters
    ----------
    indent : int
        Blanks before each line.
    tail : str
        What follows on the last line, such as a comma.
    """
    whole = " " * indent + _flat(source) + tail
    if isinstance(source, str) or len(whole) <= WIDTH or not source.parts:
        return [whole]
    broken = [" " * indent + source.before]
    for part in source.parts:
        broken += lines(part, indent + 4, ",")
    return [*broken, " " * indent + source.after + tail]


class Writer:
    """Writes values as source, and notes the imports they need.

    Parameters
    ----------
    extra : mapping of str to str
        The operator's estimators: name -> dotted path of the class.
    """

    def __init__(self, extra: Mapping[str, str]) -> None:
        self._extra = dict(extra)
        self._names = frozenset(names.ESTIMATORS) | self._extra.keys()
        self._imports: dict[str, set[str]] = defaultdict(set)
        self._modules: set[str] = set()

    def needs(self, module: str, name: str) -> str:
        """Note `from module import name`; return the name."""
        self._imports[module].add(name)
        return name

    def needs_module(self, statement: str) -> None:
        """Note an import as it is written: `import numpy as np`."""
        self._modules.add(statement)

    def imports(self) -> list[str]:
        """Return the lines that import what was noted: experimental ones before their classes."""
        experimental = [
            f"from {module} import {name}  # noqa: F401"
            for module in sorted(self._imports)
            for name in sorted(self._imports[module])
            if module == "sklearn.experimental"
        ]
        others = [
            line
            for module in sorted(self._imports)
            if module != "sklearn.experimental"
            for line in _import(module, sorted(self._imports[module]))
        ]
        return [*sorted(self._modules), *experimental, *others]

    def param(self, name: str, value: JsonValue) -> Source:
        """Write the value of a parameter of that name."""
        return self.value(spell_out(name, value, self._names))

    def object(self, value: JsonValue) -> Source:
        """Write an object: a name, or a mapping with `$type`."""
        return self.value(spell_out_object(value, self._names))

    def value(self, value: JsonValue) -> Source:
        """Write a value that is spelled out.

        Raises
        ------
        NotListed
        """
        if isinstance(value, list):
            return Group("[", tuple(map(self.value, value)), "]")
        if not isinstance(value, dict):
            return repr(value)
        key = values.grammar_key(value)
        if key is None:
            return mapping((repr(name), self.value(item)) for name, item in value.items())
        if key == "$type":
            params = {name: item for name, item in value.items() if name != "$type"}
            return self.call(
                self._class(str(value["$type"])),
                {name: self.value(item) for name, item in params.items()},
            )
        argument = value[key]
        match key:
            case "$tuple":
                items = tuple(map(self.value, cast(list[JsonValue], argument)))
                return Group("(", items, ")", is_tuple=True)
            case "$dict":
                pairs = cast(list[list[JsonValue]], argument)
                return mapping((repr(name), self.value(item)) for name, item in pairs)
            case "$float":
                self.needs_module("import numpy as np")
                return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}[str(argument)]
            case "$dtype":
                return self._dtype(str(argument))
            case "$function":
                return self._function(str(argument))
            case _:
                return self.listing(value)

    def listing(self, value: JsonValue) -> Source:
        """Write the values to try of one parameter: a list, or what stands for one.

        `tolist` gives the very numbers that foldq tries, as Python's floats.
        """
        if isinstance(value, list):
            return self.value(value)
        key, argument = next(iter(cast(dict[str, Any], value).items()))
        if key == "$choice":
            return self.value(argument)
        arguments = argument if isinstance(argument, list) else [argument]
        inside = ", ".join(map(repr, arguments))
        if key == "$range":
            return f"list(range({inside}))"
        if key not in values.SPACINGS:
            raise NotListed(f"{key} stands for no list of values")
        self.needs_module("import numpy as np")
        return f"np.{key[1:]}({inside}).tolist()"

    def distribution(self, value: JsonValue) -> Source:
        """Write the frozen SciPy distribution that a `$uniform`, … says as [low, high]."""
        key = str(values.grammar_key(value))
        low, high = cast(dict[str, list[float]], value)[key]
        name = self.needs("scipy.stats", key[1:])
        if key == "$uniform":
            return f"{name}(loc={low!r}, scale={high!r} - {_factor(low)})"
        return f"{name}({low!r}, {high!r})"

    def call(self, name: str, arguments: Mapping[str, Source]) -> Group:
        """Write a call with arguments by name."""
        odd = {n: s for n, s in arguments.items() if not n.isidentifier() or keyword.iskeyword(n)}
        parts = [_prefixed(f"{n}=", source) for n, source in arguments.items() if n not in odd]
        if odd:
            named = mapping((repr(n), source) for n, source in odd.items())
            parts.append(_prefixed("**", named))
        return Group(f"{name}(", tuple(parts), ")")

    def _class(self, name: str) -> str:
        if name in self._extra:
            module, _, found = self._extra[name].rpartition(".")
            self.needs(module, found)
            return found
        if name not in names.TYPES:
            raise NotListed(f"there is no class {name!r} in scikit-learn or in the settings")
        module = names.TYPES[name]
        if name == "IterativeImputer":
            self.needs("sklearn.experimental", "enable_iterative_imputer")
            module = "sklearn.impute"
        return self.needs(module, name)

    def _function(self, name: str) -> str:
        if name not in names.FUNCTIONS:
            raise NotListed(f"there is no function {name!r}")
        if names.FUNCTIONS[name] == "numpy":  # max and min are Python's own as well
            self.needs_module("import numpy as np")
            return f"np.{name}"
        return self.needs(names.FUNCTIONS[name], name)

    def _dtype(self, name: str) -> str:
        if name not in names.DTYPES:
            raise NotListed(f"there is no dtype {name!r}")
        if name in ("object", "str", "bool"):
            return name
        self.needs_module("import numpy as np")
        return f"np.{name}"


def mapping(pairs: Any) -> Group:
    """Write a dict from pairs of source: key and value."""
    return Group("{", tuple(_prefixed(f"{key}: ", source) for key, source in pairs), "}")


def _prefixed(prefix: str, source: Source) -> Source:
    if isinstance(source, str):
        return prefix + source
    return replace(source, before=prefix + source.before)


def _factor(number: float) -> str:
    """Write a number behind a minus sign."""
    return repr(number) if number >= 0 else f"({number!r})"


def _import(module: str, found: Sequence[str]) -> list[str]:
    line = f"from {module} import {', '.join(found)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in found), ")"]
