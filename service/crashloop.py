"""Engines that keep dying before anything is finished: when to stop sending to them, when to go on.

Whatever takes them down (a broken library, no memory left, a faulty machine), sending more tasks
would only charge these for it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from service.policy import Policy
from service.stimuli import Note, Trouble


class CrashLoop:
    """Counts losses in a row, over all engines and jobs; any finished task ends the row.

    Attributes
    ----------
    n_losses : int
        Engines that died, or never came, since something was last finished.
    stalled_since : datetime or None
        Since when nothing is dispatched.
    """

    def __init__(self, policy: Policy):
        self._policy = policy
        self.n_losses = 0
        self.stalled_since: datetime | None = None
        self._n_stalls = 0

    @property
    def is_stalled(self) -> bool:
        """Whether dispatch stands still."""
        return self.stalled_since is not None

    @property
    def is_on_probation(self) -> bool:
        """Whether dispatch goes on after it stood still, and nothing has been finished yet."""
        return self._n_stalls > 0 and not self.is_stalled

    def lost(self, because: str, now: datetime) -> Iterator[Trouble | Note]:
        """Count an engine that died of what it ran, or never came."""
        self.n_losses += 1
        if self.n_losses < self._policy.crash_losses:
            return
        begins = self.stalled_since is None
        if begins:
            self._n_stalls += 1
            self.stalled_since = now
        trouble = (
            f"engines keep dying without finishing anything: {self.n_losses} in a row,"
            f" last: {because}; tasks go out again once an engine stays alive for"
            f" {self._proof.total_seconds():g} s"
        )
        yield Trouble(trouble)
        if begins:
            yield Note("dispatch stopped", trouble)

    def finished(self) -> Iterator[Trouble | Note]:
        """Take note that a task was finished: engines work."""
        self.n_losses = self._n_stalls = 0
        if self.is_stalled:
            yield from self._go_on("a task was finished")

    def look(self, joined: Iterable[datetime], now: datetime) -> Iterator[Trouble | Note]:
        """Go on if an engine has stayed alive long enough.

        Parameters
        ----------
        joined : iterable of datetime
            When the engines that are there joined.
        """
        if self.stalled_since is None:
            return
        if any(now - max(moment, self.stalled_since) >= self._proof for moment in joined):
            seconds = self._proof.total_seconds()
            yield from self._go_on(f"an engine has stayed alive for {seconds:g} s")

    def _go_on(self, because: str) -> Iterator[Trouble | Note]:
        self.stalled_since = None
        yield Trouble(None)
        yield Note("dispatch goes on", because)

    @property
    def _proof(self) -> timedelta:
        return timedelta(seconds=self._policy.proof_wait(self._n_stalls - 1))
