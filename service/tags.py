"""Limits that jobs share by a tag: how many are at work at once, and on how many engines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TagLimit:
    """What the jobs of one tag may use together; None: as much as there is.

    Attributes
    ----------
    max_jobs : int or None
        Jobs at work at once: begun, neither ended nor paused. The others wait in the queue.
    max_engines : int or None
        Engines that work for them at once.
    """

    max_jobs: int | None = None
    max_engines: int | None = None


def takes(engines: Mapping[int, int], most: int | None, engine_id: int | None) -> bool:
    """Tell whether one more batch keeps within a limit of engines.

    Parameters
    ----------
    engines : mapping of int to int
        Batches in flight, by the engines that have some.
    most : int or None
        When it was lowered and there are more, none of them gets another batch for now.
    engine_id : int or None
        Where the batch would go; None: to an engine that has nothing of them.
    """
    if most is None:
        return True
    return len(engines) < most or (engine_id in engines and len(engines) == most)


@dataclass(slots=True, eq=False)
class TagUse:
    """What the jobs of a tag use of its limit.

    Attributes
    ----------
    begun : set of int
        Jobs at work.
    engines : Counter
        Their batches in flight, by engine.
    """

    limit: TagLimit
    begun: set[int] = field(default_factory=set)
    engines: Counter[int] = field(default_factory=Counter)

    @property
    def has_place(self) -> bool:
        """Whether one more job may begin."""
        return self.limit.max_jobs is None or len(self.begun) < self.limit.max_jobs

    def takes(self, engine_id: int | None) -> bool:
        """Whether a batch may go to this engine; None: to one that has nothing of the tag."""
        return takes(self.engines, self.limit.max_engines, engine_id)

    def leave(self, job_id: int, engines: Mapping[int, int]) -> None:
        """Count a job no more, nor its batches."""
        self.begun.discard(job_id)
        for engine_id, n_batches in engines.items():
            self.came_back(engine_id, n_batches)

    def came_back(self, engine_id: int, n_batches: int = 1) -> None:
        """Count batches less on an engine."""
        self.engines[engine_id] -= n_batches
        if self.engines[engine_id] <= 0:
            del self.engines[engine_id]
