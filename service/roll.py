"""Which engines of a cluster are there, and by which numbers they are known."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enlisted:
    """An engine that batches may be sent to.

    Attributes
    ----------
    number : int
        ipyparallel's.
    pid : int or None
        Its process; None when it is not one of the scheduler's own.
    """

    number: int
    pid: int | None


class Roll:
    """The engines of one cluster. Several threads ask and change it.

    Attributes
    ----------
    lock : threading.RLock
        For whoever does more than one thing that has to be seen together.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._identities: dict[int, str] = {}  # of the engines that calls may be made to
        self._greeted: set[int] = set()
        self._ids: dict[int, int] = {}  # ipyparallel's number -> our engine id
        self._enlisted: dict[int, Enlisted] = {}

    @property
    def ids(self) -> list[int]:
        """Our ids of the engines enlisted."""
        return list(self._enlisted)

    @property
    def pids(self) -> list[int]:
        """Processes of the scheduler's own engines that are enlisted."""
        return [each.pid for each in list(self._enlisted.values()) if each.pid is not None]

    @property
    def greeted(self) -> set[int]:
        """Ipyparallel's numbers of the engines that were greeted and are still there."""
        return set(self._greeted)

    def greet(self, number: int, identity: str) -> None:
        """Note an engine that joined, by ipyparallel's number and name of it."""
        self._greeted.add(number)
        self._identities[number] = identity

    def miss(self, number: int) -> int | None:
        """Note that an engine is there no more; return our id of it, if it was enlisted."""
        with self.lock:
            self._greeted.discard(number)
            self._identities.pop(number, None)
            return self._ids.get(number)

    def enlist(self, engine_id: int, number: int, pid: int | None) -> None:
        """Give an engine our id."""
        with self.lock:
            self._ids[number] = engine_id
            self._enlisted[engine_id] = Enlisted(number, pid)

    def strike(self, engine_id: int) -> Enlisted | None:
        """Take an engine off; None when it is not enlisted, or no more."""
        with self.lock:
            enlisted = self._enlisted.pop(engine_id, None)
            if enlisted is not None:
                self._ids.pop(enlisted.number, None)
            return enlisted

    def get(self, engine_id: int) -> Enlisted | None:
        """Return an engine by our id."""
        return self._enlisted.get(engine_id)

    def identity(self, engine_id: int) -> str | None:
        """Return ipyparallel's name of an engine; None when no calls may be made to it."""
        enlisted = self._enlisted.get(engine_id)
        return None if enlisted is None else self._identities.get(enlisted.number)

    def with_process(self, pid: int) -> int | None:
        """Return our id of the engine that is a process of our own."""
        with self.lock:
            return next(
                (engine_id for engine_id, each in self._enlisted.items() if each.pid == pid), None
            )

    def clear(self) -> None:
        """Forget all."""
        with self.lock:
            for known in (self._identities, self._greeted, self._ids, self._enlisted):
                known.clear()
