"""Peers in turn, round by round, and what came out of it as plain numbers.

First each peer alone does every search once, while its memory is looked at. Then all of them are
there side by side, and stand still but for foldq and the one whose turn it is; each warms up, and
the counted rounds begin, each with another peer first. So a machine that becomes slower or faster
does so for all.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.peers import Peer, PeerFailed, Run
from benchmarks.workloads import Workload

#: The peer that gives the scores to compare with, and the time to be faster than.
REFERENCE = "scikit-learn"

#: These are counted in every round, however long they take.
_PRINCIPALS = ("foldq", REFERENCE)

#: Seconds of a first search from which on another peer is counted once only, …
_LONG = 15.0

#: … and from which on that first search is the one counted.
_VERY_LONG = 60.0

#: Seconds after which a peer that was started has nothing more to do for that.
_SETTLED = 15.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Measured:
    """What one peer needed for one search.

    Attributes
    ----------
    seconds, cpu_seconds : list of float
        Of each counted round.
    memory : int or None
        Bytes of all its processes together at their most, in a search that is not timed.
    difference : float or None
        Largest difference of a score from scikit-learn's; 0: equal bit for bit.
    note : str or None
        Why there is nothing, or less than for the others.
    """

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    memory: int | None = None
    first_seconds: float | None = None
    difference: float | None = None
    note: str | None = None

    @property
    def median(self) -> float | None:
        """Seconds; None when no round was counted."""
        return statistics.median(self.seconds) if self.seconds else None


#: By workload, by peer.
Table = dict[str, dict[str, Measured]]


def difference(scores: np.ndarray, reference: np.ndarray) -> float:
    """Give the largest difference between scores: 0 when every bit is equal."""
    if scores.shape != reference.shape:
        return float("inf")
    if scores.tobytes() == reference.tobytes():
        return 0.0
    return float(np.max(np.abs(scores - reference)))


def counted_rounds(peer: str, first_seconds: float, rounds: int) -> int:
    """Give how many rounds of a search are counted for a peer, by how long its first one took."""
    if peer in _PRINCIPALS or first_seconds <= _LONG:
        return rounds
    return 1 if first_seconds <= _VERY_LONG else 0


def order(peers: Sequence[str], step: int) -> list[str]:
    """Give the peers in the order of one round: each round another one is first."""
    turn = step % len(peers)
    return [*peers[turn:], *peers[:turn]]


def ratio(table: Table, workload: str, peer: str, other: str = REFERENCE) -> float | None:
    """Give how many times faster a peer is than another one, by their medians."""
    mine, theirs = table[workload].get(peer), table[workload].get(other)
    if not mine or not theirs or not mine.median or not theirs.median:
        return None
    return theirs.median / mine.median


class Rounds:
    """All searches with all peers.

    Parameters
    ----------
    peers : dict of name to Peer
        None of them started.
    limit : float
        Seconds that one search may take.
    say : callable
        Told each figure as it comes.
    """

    def __init__(
        self,
        peers: dict[str, Peer],
        workloads: Iterable[Workload],
        *,
        rounds: int,
        quick: bool,
        limit: float,
        say: Say,
    ):
        self._peers = peers
        self._workloads = list(workloads)
        self._rounds = rounds
        self._quick = quick
        self._limit = limit
        self._say = say
        self.table: Table = {w.name: {name: Measured() for name in peers} for w in self._workloads}
        self._first: dict[tuple[str, str], Run] = {}
        #: CPU seconds per second that each peer needs while it has nothing to do.
        self.idle: dict[str, float] = {}

    def measure(self) -> None:
        """Fill the table."""
        for name in self._peers:
            self._first_alone(name)
        try:
            for name, peer in self._peers.items():
                try:
                    peer.start()
                except PeerFailed as error:
                    self._say(f"{name}: {error}")
            self._look_at_idle()
            for peer in self._peers.values():
                peer.rest()
            for workload in self._workloads:
                self._compare(workload)
        finally:
            for peer in self._peers.values():
                peer.stop()

    def _first_alone(self, name: str) -> None:
        """Do every search once, with nobody else there, and look at the memory meanwhile."""
        peer = self._peers[name]
        try:
            for workload in self._workloads:
                measured = self.table[workload.name][name]
                try:
                    peer.start()
                    with processes.MemoryPeak(peer.pid) as peak:
                        run = self._run(name, workload, step=0)
                except PeerFailed as error:
                    measured.note = str(error)
                    self._say(f"{workload.name:8} {name:12} {error}")
                    continue
                self._first[workload.name, name] = run
                measured.memory, measured.first_seconds = peak.bytes, run.seconds
                self._say(
                    f"{workload.name:8} {name:12} first {run.seconds:7.2f} s"
                    f"  {peak.bytes / 1e6:6.0f} MB"
                )
                if counted_rounds(name, run.seconds, self._rounds) == 0:
                    measured.seconds.append(run.seconds)
                    measured.cpu_seconds.append(run.cpu_seconds)
                    measured.note = "its first search is the one counted"
        finally:
            peer.stop()

    def _run(self, name: str, workload: Workload, *, step: int, sliced: bool = False) -> Run:
        try:
            return self._peers[name].run(
                workload.name, quick=self._quick, step=step, limit=self._limit, sliced=sliced
            )
        finally:
            self._peers[name].rest()

    def _look_at_idle(self, seconds: float = 5.0) -> None:
        time.sleep(_SETTLED)
        there = {name: peer for name, peer in self._peers.items() if peer.is_running}
        before = {name: processes.cpu_seconds(peer.pid) for name, peer in there.items()}
        time.sleep(seconds)
        for name, peer in there.items():
            used = processes.spent(before[name], processes.cpu_seconds(peer.pid))
            self.idle[name] = used / seconds

    def _compare(self, workload: Workload) -> None:
        row = self.table[workload.name]
        counted = {
            name: counted_rounds(name, row[name].first_seconds or 0.0, self._rounds)
            for name in self._peers
            if row[name].first_seconds is not None
        }
        for name, n in counted.items():
            if n < self._rounds and n > 0:
                row[name].note = "one round counted"
        self._hold_together(row, {name: self._first[workload.name, name] for name in counted})
        for name in counted:
            self._warm_up(name, workload)
        for step in range(1, self._rounds + 1):
            done: dict[str, Run] = {}
            for name in order(list(self._peers), step):
                if counted.get(name, 0) < step:
                    continue
                try:
                    run = done[name] = self._run(name, workload, step=step)
                except PeerFailed as error:
                    row[name].note = str(error)
                    counted[name] = 0
                    self._say(f"{workload.name:8} {name:12} {error}")
                    continue
                row[name].seconds.append(run.seconds)
                row[name].cpu_seconds.append(run.cpu_seconds)
                self._say(f"{workload.name:8} {name:12} {run.seconds:7.2f} s")
            self._hold_together(row, done)

    def _warm_up(self, name: str, workload: Workload) -> None:
        first = self.table[workload.name][name].first_seconds or 0.0
        try:
            self._run(name, workload, step=0, sliced=first > _LONG or name not in _PRINCIPALS)
        except PeerFailed as error:
            self._say(f"{workload.name:8} {name:12} warm-up: {error}")

    def _hold_together(self, row: dict[str, Measured], done: dict[str, Run]) -> None:
        if REFERENCE not in done:
            return
        for name, run in done.items():
            found = difference(run.scores, done[REFERENCE].scores)
            row[name].difference = max(row[name].difference or 0.0, found)


def as_json(table: Table) -> dict[str, Any]:
    """Give the table as JSON values."""
    return {
        workload: {
            peer: {
                "seconds": [round(value, 4) for value in measured.seconds],
                "cpu_seconds": [round(value, 2) for value in measured.cpu_seconds],
                "first_seconds": measured.first_seconds and round(measured.first_seconds, 4),
                "memory": measured.memory,
                "difference": measured.difference,
                "note": measured.note,
            }
            for peer, measured in row.items()
        }
        for workload, row in table.items()
    }


def from_json(values: dict[str, Any]) -> Table:
    """Give back what `as_json` gave."""
    return {
        workload: {peer: Measured(**measured) for peer, measured in row.items()}
        for workload, row in values.items()
    }
