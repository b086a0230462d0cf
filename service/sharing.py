"""What the folds of a search have in common, so that one engine can do it once for all of them.

Candidates that set the first steps of a pipeline alike can share these steps, fitted, on each
split; those that differ in an ensemble's size alone can share one ensemble that grows. These are
hints for the order and the places of folds: what is shared indeed, an engine decides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue

from workers.growable import GROWING

if TYPE_CHECKING:
    from schemas.job import JobSpec

#: What a fold has in common with others, in parts: those with more leading parts in common can
#: share more. The first part is the split.
Group = tuple[str, ...]


class Share(NamedTuple):
    """Where a fold belongs.

    Attributes
    ----------
    group : tuple of str
        Folds of one group share all they can.
    rank : float
        Place in a chain.
    chained : bool
        The folds of the group build on one another in the order of their ranks: one engine takes
        them all.
    """

    group: Group
    rank: float = 0.0
    chained: bool = False


@dataclass(frozen=True, slots=True)
class Sharing:
    """Tells of each fold of one search what it shares; as it stands, the data of its split.

    Attributes
    ----------
    heads : tuple of str
        Names of the pipeline's steps but for the last; none without a pipeline.
    last : str
        What the names of the last step's parameters begin with: ``"svc__"``, or nothing without a
        pipeline.
    grows : str or None
        The parameter that grows, as the search space names it.
    """

    heads: tuple[str, ...] = ()
    last: str = ""
    grows: str | None = None

    def of(
        self, params: Mapping[str, JsonValue], split: int | None, n_resources: int | None = None
    ) -> Share:
        """Return what the fold of a candidate on a split shares.

        Examples
        --------
        >>> Sharing(heads=("pca",), last="svc__").of({"pca__n_components": 2, "svc__C": 1}, 0)
        Share(group=('0', '[["pca__n_components", 2]]'), rank=0.0, chained=False)
        """
        place = str(split) if n_resources is None else f"{split} of {n_resources}"
        if self.grows is not None and _is_number(size := params.get(self.grows)):
            others = {name: value for name, value in params.items() if name != self.grows}
            return Share((place, *self._steps(params), _text(others)), float(size), True)  # type: ignore[arg-type]
        return Share((place, *self._steps(params)) if self.heads else (place,))

    def _steps(self, params: Mapping[str, JsonValue]) -> tuple[str, ...]:
        if not self.heads:
            return ()
        parts: dict[str, dict[str, JsonValue]] = {name: {} for name in self.heads}
        for name, value in params.items():
            step = name.partition("__")[0]
            if step in parts:
                parts[step][name] = value
        return tuple(map(_text, parts.values()))


def sharing(spec: "JobSpec", *, forests: bool = True) -> Sharing:
    """Return what the folds of this search share.

    Parameters
    ----------
    forests : bool
        Whether engines grow ensembles.
    """
    estimator: Any = spec.model_dump(mode="json")["estimator"]
    heads: tuple[str, ...] = ()
    last = ""
    if _type(estimator) == "Pipeline":
        steps = [_pair(step) for step in estimator.get("steps", ())]
        if not steps or None in steps:
            return Sharing()
        *firsts, (name, estimator) = steps  # type: ignore[misc]
        heads, last = tuple(first[0] for first in firsts if first), f"{name}__"
    grown = GROWING.get(_type(estimator) or "") if forests else None
    if grown is None or not isinstance(estimator, dict):
        return Sharing(heads, last)
    # Without a seed of its own every forest is another one.
    seeded = isinstance(estimator.get("random_state"), int)
    return Sharing(heads, last, f"{last}{grown}" if seeded else None)


def _type(value: Any) -> str | None:
    return value.get("$type") if isinstance(value, dict) else value


def _pair(step: Any) -> tuple[str, Any] | None:
    if isinstance(step, dict):
        step = step.get("$tuple")
    if isinstance(step, list) and len(step) == 2 and isinstance(step[0], str):
        return step[0], step[1]
    return None


def _text(params: Mapping[str, JsonValue]) -> str:
    return json.dumps(sorted(params.items()), default=str) if params else ""


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: Of a search whose folds share no more than the data of their splits.
OF_DATA = Sharing()
