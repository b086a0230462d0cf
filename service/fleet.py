"""The engines as the scheduler core sees them: which batches are on each, and since when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from service.stimuli import Batch, Task


@dataclass(slots=True, eq=False)
class Flight:
    """A batch in flight. It runs once it is the first on its engine, `since` when."""

    batch: Batch
    since: datetime | None = None
    #: When the last of its attempts was closed (job given up, another copy faster): from then on
    #: it only occupies the engine.
    void_since: datetime | None = None
    #: Why the core had its engine ended.
    killed_because: str | None = None
    #: Attempts that were closed before it came back.
    closed: set[int] = field(default_factory=set)
    #: Whether it repeats what was out already, and how often it was itself repeated.
    is_copy: bool = False
    n_copies: int = 0
    #: Its engine rejoined with it, and its job is not admitted yet.
    awaits_job: bool = False
    #: Seconds that it should take, if that was known when it was sent.
    expected: float | None = None

    @property
    def open_tasks(self) -> tuple[tuple[int, Task], ...]:
        """Attempts, with their tasks, of which no end is known."""
        if not self.closed:
            return self.batch.tasks
        return tuple(item for item in self.batch.tasks if item[0] not in self.closed)

    def elapsed(self, now: datetime) -> float:
        """Seconds for which it has been running."""
        return 0.0 if self.since is None else (now - self.since).total_seconds()


class Twins:
    """Tasks of which two attempts are out at the same time, each on a batch of its own."""

    def __init__(self) -> None:
        self._attempts: dict[int, dict[int, Flight]] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def __contains__(self, task_id: int) -> bool:
        return task_id in self._attempts

    def pair(self, task_id: int, one: tuple[int, Flight], other: tuple[int, Flight]) -> None:
        """Take note that both attempts of the task are out."""
        self._attempts[task_id] = dict((one, other))

    def part(self, task_id: int, attempt_id: int) -> tuple[int, Flight] | None:
        """Take note that one attempt ended; return the other one, if the task was out twice."""
        if (attempts := self._attempts.pop(task_id, None)) is None:
            return None
        del attempts[attempt_id]
        return next(iter(attempts.items()))


@dataclass(slots=True)
class Engine:
    """An engine since it `joined`, and its batches, the running one first."""

    engine_id: int
    joined: datetime
    flights: list[Flight] = field(default_factory=list)

    @property
    def running(self) -> Flight | None:
        """The batch that the engine computes at this moment."""
        return self.flights[0] if self.flights else None


class Fleet:
    """All engines that can be sent to.

    Those with room for another batch are known by how many they have, so that nobody has to look
    for them; those that changed since they were last offered something come first.

    Parameters
    ----------
    window : int
        Batches that an engine may have.
    """

    def __init__(self, window: int = 2) -> None:
        self._window = window
        self._engines: dict[int, Engine] = {}
        self._at: dict[int, Engine] = {}  # by batch
        self._with_room: list[dict[int, Engine]] = [{} for _ in range(window)]
        self._changed: dict[int, Engine] = {}
        self._parked: dict[int, Engine] = {}

    def __len__(self) -> int:
        return len(self._engines)

    def __contains__(self, engine_id: int) -> bool:
        return engine_id in self._engines

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    @property
    def n_in_flight(self) -> int:
        """Batches at engines."""
        return len(self._at)

    # --- room ----------------------------------------------------------------------------------

    def changed(self) -> list[Engine]:
        """Return the engines that changed since the last call, and have room."""
        changed, self._changed = self._changed, {}
        return [engine for engine in changed.values() if self._has_room(engine)]

    def with_room(self, n_flights: int) -> list[Engine]:
        """Return the engines that have so many batches, but for those that are parked."""
        return list(self._with_room[n_flights].values())

    @property
    def idle(self) -> list[Engine]:
        """The engines that have nothing to do."""
        return self.with_room(0)

    def park(self, engine: Engine) -> None:
        """Offer an engine nothing more until it changes or `unpark` is called."""
        self._with_room[len(engine.flights)].pop(engine.engine_id, None)
        self._parked[engine.engine_id] = engine

    def unpark(self) -> None:
        """Offer something to all engines with room again."""
        parked, self._parked = self._parked, {}
        for engine in parked.values():
            self._note(engine, len(engine.flights))

    def _has_room(self, engine: Engine) -> bool:
        return len(engine.flights) < self._window and engine.engine_id in self._engines

    def _note(self, engine: Engine, n_before: int) -> None:
        """Take note that an engine had `n_before` batches and may have others now."""
        if n_before < self._window:
            self._with_room[n_before].pop(engine.engine_id, None)
        self._parked.pop(engine.engine_id, None)
        if self._has_room(engine):
            self._with_room[len(engine.flights)][engine.engine_id] = engine
            self._changed[engine.engine_id] = engine

    # --- coming and going ----------------------------------------------------------------------

    def join(self, engine_id: int, now: datetime) -> Engine:
        """Take in an engine."""
        if (engine := self._engines.get(engine_id)) is None:
            engine = self._engines[engine_id] = Engine(engine_id, now)
            self._note(engine, 0)
        return engine

    def leave(self, engine_id: int) -> Engine | None:
        """Take out an engine and return it with what it had in hand."""
        engine = self._engines.pop(engine_id, None)
        if engine is not None:
            self._note(engine, len(engine.flights))
            for flight in engine.flights:
                del self._at[flight.batch.batch_id]
        return engine

    def send(self, engine: Engine, batch: Batch, now: datetime) -> Flight:
        """Put a batch on an engine; it runs at once if nothing else is there."""
        flight = Flight(batch, since=None if engine.flights else now)
        engine.flights.append(flight)
        self._at[batch.batch_id] = engine
        self._note(engine, len(engine.flights) - 1)
        return flight

    def land(self, batch_id: int, now: datetime) -> Flight | None:
        """Take a batch off its engine, where the next one starts to run.

        None if its engine was given up before.
        """
        engine = self._at.pop(batch_id, None)
        if engine is None:
            return None
        place = next(i for i, f in enumerate(engine.flights) if f.batch.batch_id == batch_id)
        flight = engine.flights.pop(place)
        self._note(engine, len(engine.flights) + 1)
        if place == 0 and engine.running is not None:
            engine.running.since = now
        return flight

    def of_job(self, job_id: int) -> list[Flight]:
        """Return the batches of a job whose results count."""
        return [
            flight
            for engine in self
            for flight in engine.flights
            if flight.batch.job_id == job_id and flight.void_since is None
        ]

    def void(self, flight: Flight, now: datetime) -> bool:
        """Let a batch count no more; say whether its engine runs it."""
        flight.void_since = now
        engine = self._at.get(flight.batch.batch_id)
        return engine is not None and engine.running is flight

    def running_on(self, engine_id: int) -> Flight | None:
        """Return the batch that this engine computes."""
        engine = self._engines.get(engine_id)
        return None if engine is None else engine.running
