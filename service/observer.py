"""What others get to know of a scheduler: its log and, where they are switched on, its metrics."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from schemas.settings import Settings
from service.facts import Returned
from service.journal import Journal, batch_returned
from service.scheduler import Scheduler
from service.searches import Searches
from service.stimuli import Batch, Record
from service.store import Store
from service.troubles import Troubles, reason

if TYPE_CHECKING:
    from service.metrics import Metrics

#: Seconds before a port for the metrics is tried again that was taken.
_PORT_RETRY = 10.0

#: Seconds between two looks at what is a state.
_LOOK = 1.0


class Observer:
    """Tells of what one scheduler does, and changes nothing of it.

    Parameters
    ----------
    settings : Settings
    store : Store
    core : Scheduler
    searches : Searches
    troubles : Troubles
        Where it says that the port is taken.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        core: Scheduler,
        searches: Searches,
        troubles: Troubles,
    ) -> None:
        self._store = store
        self._core = core
        self._searches = searches
        self._troubles = troubles
        self._journal = Journal()
        self._port = settings.metrics.port
        self._next_look = 0.0
        self.metrics = None if self._port is None else _new_metrics()

    def listen(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        """Give out metrics, if they are wanted; where the port is taken, later.

        Parameters
        ----------
        after : callable
            Has something done after so many seconds.
        """
        if self.metrics is None or self._port is None:
            return
        try:
            self.metrics.listen(self._port)
        except OSError as error:
            told = f"no metrics at 127.0.0.1:{self._port}: {reason(error)}"
            self._troubles.report("metrics", f"{told}; trying again every {_PORT_RETRY:g} s")
            after(_PORT_RETRY, lambda: self.listen(after))
        else:
            self._troubles.report("metrics", None)

    def record(self, records: Sequence[Record], now: datetime) -> None:
        """Have what a turn changed recorded, and tell of it."""
        with nullcontext() if self.metrics is None else self.metrics.committing():
            self._store.record(records, now)
        self._journal.tell(records)
        if self.metrics is not None:
            self.metrics.recorded(records)

    def returned(self, fact: Returned, batch: Batch | None) -> None:
        """Tell of a batch that came back."""
        batch_returned(fact, batch)
        if self.metrics is not None:
            self.metrics.batch_returned(fact.outcome)

    def rejoined(self, batches: Iterable[Batch]) -> None:
        """Take note of what an engine has in hand that outlived the last scheduler."""
        if self.metrics is not None:
            self.metrics.rejoined(batches)

    def hook_called(self, outcome: str) -> None:
        """Take note of how a call of a hook went: "ok", "failed" or "given_up"."""
        if self.metrics is not None:
            self.metrics.hook_called(outcome)

    def turned(self, began: float) -> None:
        """Take note of the end of a turn.

        Parameters
        ----------
        began : float
            When it had waited for what it is about (monotonic seconds).
        """
        if self.metrics is None:
            return
        now = time.monotonic()
        self.metrics.turned(now - began)
        if now >= self._next_look:
            self._next_look = now + _LOOK
            self.metrics.reused(self._searches.n_reused)
            look, core, present = self.metrics.look, self._core, self._troubles.present
            self._store.read(lambda records: look(core, records, present))

    def close(self) -> None:
        """Give out nothing any more."""
        if self.metrics is not None:
            self.metrics.close()


def _new_metrics() -> "Metrics":
    from service.metrics import Metrics  # for those who want them: it takes a while

    return Metrics()
