"""The parameters of a search as axes: numbers on a line, straight or logarithmic, or categories."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.commands.terminal import value_text

#: What stands for a parameter that a candidate does not have.
ABSENT = "–"

#: Numbers whose largest is this many times the smallest are shown by their logarithms.
_WIDE = 100.0

_LOGARITHMIC = ("$logspace", "$geomspace", "$loguniform")
_STRAIGHT = ("$linspace", "$range", "$uniform", "$randint")


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter over all candidates.

    Attributes
    ----------
    name : str
        As in the job file: `svc__C`.
    label : str
        The shortest end of the name that no other parameter shares: `C`.
    places : ndarray of float, shape (n_candidates,)
        The numbers themselves, or of categories the index in `categories`. NaN where the candidate
        does not have the parameter.
    categories : tuple of str or None
        Spelled as in the job file; numbers first, by size, then words as they come up.
    is_log : bool
        Whether its numbers, all above zero, are spaced by their logarithms.
    """

    name: str
    label: str
    places: NDArray[np.float64]
    categories: tuple[str, ...] | None
    is_log: bool

    @property
    def is_numeric(self) -> bool:
        """Whether its places are numbers."""
        return self.categories is None

    @property
    def distinct(self) -> NDArray[np.float64]:
        """The places there are, ascending."""
        return np.unique(self.places[~np.isnan(self.places)])

    @property
    def varies(self) -> bool:
        """Whether it tells candidates apart."""
        n_absent = int(np.isnan(self.places).any())
        return len(self.distinct) + n_absent > 1

    def spelled(self, place: float) -> str:
        """Return the text of a place."""
        if math.isnan(place):
            return ABSENT
        return value_text(place) if self.categories is None else self.categories[int(place)]

    def ticks(self, places: NDArray[np.float64]) -> list[str]:
        """Return short texts of places: four digits of each number, where these tell them apart."""
        spelled = [self.spelled(place) for place in places]
        if not self.is_numeric:
            return spelled
        short = [
            text if float(place).is_integer() else f"{place:.4g}"
            for text, place in zip(spelled, places, strict=True)
        ]
        return short if len(set(short)) == len(set(spelled)) else spelled

    def scaled(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places as they lie on the axis: the logarithms of those of a logarithmic one."""
        return np.log10(places) if self.is_log else places


def axes(candidates: Sequence[dict[str, Any]], search: dict[str, Any]) -> list[Axis]:
    """Return the parameters of the candidates as axes, in the order of the job file.

    Parameters
    ----------
    candidates : sequence of dict
        In the job file's value grammar.
    search : dict
        `search` of the job file.
    """
    names: dict[str, None] = {}
    for candidate in candidates:
        names.update(dict.fromkeys(candidate))
    labels = short_labels(list(names))
    return [
        _axis(name, labels[name], [candidate.get(name, _NOTHING) for candidate in candidates],
              logarithmic=_says_logarithmic(search, name))
        for name in names
    ]  # fmt: skip


_NOTHING = object()


def _axis(name: str, label: str, values: list[Any], *, logarithmic: bool | None) -> Axis:
    there = [value for value in values if value is not _NOTHING]
    if there and all(map(_is_number, there)):
        places = np.array([math.nan if v is _NOTHING else float(v) for v in values])
        is_log = _is_logarithmic(np.unique(places[~np.isnan(places)]), logarithmic)
        return Axis(name, label, places, None, is_log)
    spelled = [None if value is _NOTHING else _spelled(value) for value in values]
    by_text: dict[str, Any] = {}
    for text, value in zip(spelled, values, strict=True):
        if text is not None:
            by_text.setdefault(text, value)
    numbers = sorted((t for t, v in by_text.items() if _is_number(v)), key=lambda t: by_text[t])
    categories = (*numbers, *(text for text, value in by_text.items() if not _is_number(value)))
    index = {text: place for place, text in enumerate(categories)}
    places = np.array([math.nan if text is None else index[text] for text in spelled])
    return Axis(name, label, places, categories, is_log=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _spelled(value: Any) -> str:
    text = value_text(value)
    # Two objects may have one short text; then the whole spelling tells them apart.
    return text if not isinstance(value, (dict, list)) or len(text) < 60 else json.dumps(value)


def _is_logarithmic(distinct: NDArray[np.float64], says: bool | None) -> bool:
    if len(distinct) < 2 or distinct[0] <= 0:
        return False
    if says is not None:
        return says
    if distinct[-1] / distinct[0] >= _WIDE:
        return True
    if len(distinct) < 3:
        return False
    ratios, steps = distinct[1:] / distinct[:-1], np.diff(distinct)
    return bool(ratios.max() / ratios.min() < 1.3 < steps.max() / steps.min())


def _says_logarithmic(search: dict[str, Any], name: str) -> bool | None:
    """Return whether the job file spaces a parameter by logarithms; None if it lists values."""
    space = search.get("space") or {}
    spaces = space if isinstance(space, list) else [space]
    keys = {
        key
        for mapping in spaces
        if isinstance(mapping.get(name), dict)
        for key in mapping[name].keys() & {*_LOGARITHMIC, *_STRAIGHT}
    }
    return bool(keys & {*_LOGARITHMIC}) if keys else None


def short_labels(names: Sequence[str]) -> dict[str, str]:
    """Return for each parameter the shortest end of its name that tells it from the others.

    Examples
    --------
    >>> short_labels(["svc__C", "svc__gamma", "pca__n", "ica__n"])
    {'svc__C': 'C', 'svc__gamma': 'gamma', 'pca__n': 'pca__n', 'ica__n': 'ica__n'}
    """
    labels: dict[str, str] = {}
    for name in names:
        parts = name.split("__")
        for start in range(len(parts) - 1, -1, -1):
            end = "__".join(parts[start:])
            alike = [other for other in names if other == end or other.endswith("__" + end)]
            if alike == [name] or start == 0:
                labels[name] = end
                break
    return labels
