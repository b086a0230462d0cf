"""What is to be done at a later moment, in the loop's own thread."""

import heapq
import math
import time
from collections.abc import Callable


class Timers:
    """Actions that wait for their moment. Moments are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._n_set = 0

    @property
    def next_due(self) -> float:
        """When the next action is due; infinite when none waits."""
        return self._waiting[0][0] if self._waiting else math.inf

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something done when some time has passed."""
        self._n_set += 1
        heapq.heappush(self._waiting, (time.monotonic() + seconds, self._n_set, action))

    def run(self, now: float) -> None:
        """Do what is due."""
        while self._waiting and self._waiting[0][0] <= now:
            heapq.heappop(self._waiting)[2]()
