"""Read YAML 1.2 that nobody vouches for: bounded in time and memory, with a line for each field.

The parser's events are put together here rather than by a constructor. So nothing but plain data
can come out, `on:` is a word and `1e-3` a number (the core schema of YAML 1.2), a key that stands
twice is told, and deep nesting or aliases of aliases end the reading at once.
"""

import io
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from schemas.problems import InvalidJob, Problem, join, nearest, shown

#: Most values (of lists and mappings, and those that aliases stand for) in one document.
MAX_VALUES = 20_000
MAX_DEPTH = 64
#: Longest run of characters without a space that may hold a tag or an anchor: the scanner needs
#: time in the square of their length.
_MAX_WORD = 10_000

#: A key whose colon has no space behind it, or that has an equals sign in its place.
_NO_SPACE = re.compile(r"\s*(\w+)(?::|\s*=\s*)([^\s:].*)")

_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}  # fmt: skip
_TAGS = {"tag:yaml.org,2002:str": str, "tag:yaml.org,2002:seq": list, "tag:yaml.org,2002:map": dict}


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read."""

    value: list[Any] | dict[Any, Any]
    where: str
    anchor: str | None
    key: Any = None
    has_key: bool = False
    n_values: int = 0
    merged: set[Any] = field(default_factory=set)


class _Reader:
    """Puts the events of one document together.

    Attributes
    ----------
    lines : dict of str to int
        Place of each value, as problems name it -> its line, from 1.
    """

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._being_read: set[str] = set()
        self._n_values = 0
        self._root: list[Any] = []

    def read(self, text: str) -> Any:
        n_documents = 0
        for event in YAML(typ="safe", pure=True).parse(io.StringIO(text)):
            if isinstance(event, DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise _refusal(event, "The file holds more than one document.",
                                   hint="Put each job into a file of its own.")  # fmt: skip
            elif isinstance(event, NodeEvent):
                self._node(event)
            elif self._stack and type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
                self._close()
        return self._root[0] if self._root else None

    def _node(self, event: Any) -> None:
        if isinstance(event, AliasEvent):
            if event.anchor in self._being_read:
                raise _refusal(event, f"*{event.anchor} stands within itself.")
            if event.anchor not in self._anchors:
                raise _refusal(
                    event,
                    f"There is no &{event.anchor} above.",
                    nearest=nearest(event.anchor, self._anchors),
                )
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            self._place(event, value, size)
        elif isinstance(event, ScalarEvent):
            self._count(event, 1)
            value = _scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
            self._place(event, value, 1)
        else:
            self._open(event)

    def _open(self, event: SequenceStartEvent | MappingStartEvent) -> None:
        kind = dict if isinstance(event, MappingStartEvent) else list
        if event.tag is not None and _TAGS.get(str(event.tag)) is not kind:
            raise _refusal(event, f"The tag {shown(str(event.tag))} is not used in job files.",
                           hint="Objects are written with $type.")  # fmt: skip
        if len(self._stack) >= MAX_DEPTH:
            raise _refusal(event, f"The file is nested more than {MAX_DEPTH} deep.")
        self._count(event, 1)
        where = self._where_next(event)
        if event.anchor:
            self._being_read.add(event.anchor)
        self._stack.append(_Open(kind(), where, event.anchor, n_values=1))
        self.lines.setdefault(where, event.start_mark.line + 1)

    def _close(self) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._being_read.discard(done.anchor)
            self._anchors[done.anchor] = (done.value, done.n_values)
        self._place(None, done.value, done.n_values)

    def _count(self, event: Any, n: int) -> None:
        self._n_values += n
        if self._n_values > MAX_VALUES:
            raise _refusal(
                event,
                f"The file stands for more than {MAX_VALUES:,} values.",
                hint="Write long lists as $range, $linspace or $logspace, and fewer aliases.",
            )

    def _where_next(self, event: Any) -> str:
        """Return the place of the value that comes next."""
        if not self._stack:
            return ""
        top = self._stack[-1]
        if isinstance(top.value, list):
            return f"{top.where}[{len(top.value)}]"
        if not top.has_key:
            raise _refusal(event, "A key is a word or a number, not a list or a mapping.")
        return join(top.where, str(top.key)[:100])

    def _place(self, event: Any, value: Any, size: int) -> None:
        """Put a value that is complete where it belongs; `event` is None for a closed one."""
        if not self._stack:
            self._root.append(value)
            return
        top = self._stack[-1]
        top.n_values += size
        if isinstance(top.value, list):
            if event is not None:
                self.lines[self._where_next(event)] = event.start_mark.line + 1
            top.value.append(value)
        elif not top.has_key:
            self._take_key(top, event, value)
        else:
            if event is not None:
                self.lines[self._where_next(event)] = event.start_mark.line + 1
            self._set(top, value, event)

    def _take_key(self, top: _Open, event: Any, key: Any) -> None:
        if isinstance(key, list | dict):
            raise _refusal(event, "A key is a word or a number, not a list or a mapping.")
        if key in top.value and key not in top.merged:
            raise _refusal(event, f"The key {shown(key)} stands twice in the same mapping.",
                           where=join(top.where, str(key)[:100]))  # fmt: skip
        top.key, top.has_key = key, True

    def _set(self, top: _Open, value: Any, event: Any) -> None:
        assert isinstance(top.value, dict)
        if top.key == "<<":
            for mapping in value if isinstance(value, list) else [value]:
                if not isinstance(mapping, dict):
                    raise _refusal(event, "<< takes a mapping in.", where=top.where)
                for key, item in mapping.items():
                    if key not in top.value:
                        top.value[key] = item
                        top.merged.add(key)
        else:
            top.value[top.key] = value
            top.merged.discard(top.key)
        top.has_key = False


def read_yaml(text: str) -> tuple[Any, dict[str, int]]:
    """Return the one document in `text` as plain data, and the line of each place in it.

    Raises
    ------
    InvalidJob
        When it is not YAML 1.2, or not one bounded document of plain data.
    """
    reader = _Reader()
    for word in text.split():
        if len(word) > _MAX_WORD and not set("!&*").isdisjoint(word):
            message = f"More than {_MAX_WORD:,} characters stand together without a space."
            raise InvalidJob([Problem("", message, given=shown(word), hint="Put spaces between.")])
    try:
        return reader.read(text), reader.lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(
            part.strip() for part in (error.context, error.problem) if part and part.strip()
        )
        raise InvalidJob(
            [
                Problem(
                    f"line {mark.line + 1}, column {mark.column + 1}" if mark else "",
                    f"The file is not valid YAML: {message}.",
                    hint=_hint(text, mark.line) if mark else None,
                )
            ]
        ) from None
    except InvalidJob:
        raise
    except Exception as error:  # the parser was not written for hostile text (ValueError, …)
        message = str(error).strip().splitlines()[0] if str(error).strip() else "it cannot be read"
        raise InvalidJob([Problem("", f"The file is not valid YAML: {message}.")]) from None


def _hint(text: str, line: int) -> str | None:
    around = text.splitlines()[max(0, line - 1) : line + 1]
    if any("\t" in part[: len(part) - len(part.lstrip())] for part in around):
        return "Indent with spaces, not with tabs."
    for part in around:
        if slip := _NO_SPACE.match(part):
            return f"A key ends with a colon and a space: write {slip[1]}: {slip[2][:40]}"
    return None


def _refusal(event: Any, message: str, where: str | None = None, **facts: str | None) -> InvalidJob:
    mark = event.start_mark if event is not None else None
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    line = mark.line + 1 if mark is not None and where else None
    return InvalidJob([Problem(where or place, message, line=line, **facts)])  # type: ignore[arg-type]


def _scalar(event: Any) -> Any:
    """Return a scalar by the core schema of YAML 1.2; what is quoted is text."""
    text: str = event.value
    if event.tag is not None:
        if _TAGS.get(str(event.tag)) is str or str(event.tag) == "!":
            return text
        raise _refusal(
            event,
            f"The tag {shown(str(event.tag))} is not used in job files.",
            hint="Objects are written with $type.",
        )
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
    except ValueError:  # thousands of digits
        raise _refusal(event, "The number has too many digits.") from None
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise _refusal(event, "The number is too large.", hint="Infinity is .inf.")
        return number
    return text
