"""The engines as the scheduler core sees them: which batches are on each, and since when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from service.stimuli import Batch


@dataclass(slots=True)
class Flight:
    """A batch in flight. It runs once it is the first on its engine, `since` when."""

    batch: Batch
    since: datetime | None = None
    #: When its attempts were closed (job cancelled or failed): it only occupies the engine.
    void_since: datetime | None = None
    #: Why the core had its engine ended.
    killed_because: str | None = None


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
    """All engines that can be sent to."""

    def __init__(self) -> None:
        self._engines: dict[int, Engine] = {}
        self._at: dict[int, Engine] = {}  # by batch

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

    def join(self, engine_id: int, now: datetime) -> Engine:
        """Take in an engine."""
        return self._engines.setdefault(engine_id, Engine(engine_id, now))

    def leave(self, engine_id: int) -> Engine | None:
        """Take out an engine and return it with what it had in hand."""
        engine = self._engines.pop(engine_id, None)
        if engine is not None:
            for flight in engine.flights:
                del self._at[flight.batch.batch_id]
        return engine

    def send(self, engine: Engine, batch: Batch, now: datetime) -> Flight:
        """Put a batch on an engine; it runs at once if nothing else is there."""
        flight = Flight(batch, since=None if engine.flights else now)
        engine.flights.append(flight)
        self._at[batch.batch_id] = engine
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
        return self._at[flight.batch.batch_id].running is flight
