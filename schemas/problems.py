"""What is wrong with a job file or a setting, in words that help to put it right."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

#: Longest piece of the user's own text that a message repeats.
SHOWN = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it stands, and what to do about it.

    Attributes
    ----------
    where : str
        The field (`search.space.svc__C`, `estimator.steps[1]`), or a place in the file
        (`line 3, column 7`), or the whole file (an empty string).
    message : str
        One sentence: what is wrong.
    given, expected, nearest : str or None
        What stands there, what may stand there, and the valid name closest to it.
    hint : str or None
        The next step.
    severity : {"error", "warning"}
        A warning does not keep a job from being admitted.
    line : int or None
        Line in the file, from 1, where the format tells.
    """

    where: str
    message: str
    given: str | None = None
    expected: str | None = None
    nearest: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    line: int | None = None

    @property
    def is_error(self) -> bool:
        """Whether the problem keeps the job from being admitted."""
        return self.severity == "error"

    def below(self, parent: str) -> "Problem":
        """Return the same problem, its place told from `parent` on."""
        return replace(self, where=join(parent, self.where))

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON values, without the fields that say nothing."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        """Return one line: the place, the sentence, and what helps."""
        place = self.where
        if self.line is not None:
            place = f"{place} (line {self.line})" if place else f"line {self.line}"
        parts = [f"{place}: {self.message}" if place else self.message]
        if self.given is not None and self.given not in self.message:
            parts.append(f"Given: {self.given}.")
        if self.expected is not None:
            parts.append(f"Expected: {self.expected}.")
        if self.nearest is not None:
            parts.append(f"Did you mean {self.nearest}?")
        if self.hint is not None:
            parts.append(self.hint)
        if len(parts) > 1 and not parts[0].endswith((".", "!", "?", ":", "…")):
            parts[0] += "."
        return " ".join(parts)


class InvalidJob(ValueError):
    """A job cannot be run as it stands; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return one problem per line."""
        return "\n".join(str(problem) for problem in self.problems)


def join(parent: str, child: str) -> str:
    """Return the place `child` within `parent`: `a` and `b` give `a.b`, `a` and `[1]` give `a[1]`.

    Examples
    --------
    >>> join("estimator", "steps[1]")
    'estimator.steps[1]'
    >>> join("search.space", "[0].svc__C")
    'search.space[0].svc__C'
    """
    if not parent or not child:
        return parent or child
    return parent + child if child.startswith("[") else f"{parent}.{child}"


def nearest(name: object, valid: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the valid name closest to `name`, or None when nothing comes close.

    Parameters
    ----------
    cutoff : float
        Least similarity, from 0 (anything) to 1 (the same but for upper and lower case).

    Examples
    --------
    >>> nearest("Standardscaler", ["MinMaxScaler", "StandardScaler"])
    'StandardScaler'
    >>> nearest("LinearSCV", ["LinearSVR", "LinearSVC"])
    'LinearSVC'
    """
    text = str(name)[:SHOWN].casefold()
    folded = {candidate.casefold(): candidate for candidate in valid}
    close = difflib.get_close_matches(text, folded, n=5, cutoff=cutoff)
    # Swapped letters are the commonest slip, and difflib makes little of them.
    swapped = [match for match in close if sorted(match) == sorted(text)]
    best = next(iter(swapped + close), None)
    return folded[best] if best is not None else None


def shown(value: object) -> str:
    """Return `value` as a job file would spell it, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
