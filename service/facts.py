"""What happens at engines, as it is told to the daemon."""

from dataclasses import dataclass

from schemas.task import BatchReport, EngineReport, Prepared, Refitted, TaskFailure


@dataclass(frozen=True, slots=True)
class Welcomed:
    """An engine answered the welcome."""

    number: int
    identity: str
    report: EngineReport


@dataclass(frozen=True, slots=True)
class Gone:
    """An engine that was enlisted is no longer there; blameless when its controller was lost."""

    engine_id: int
    because: str
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class NeverCame:
    """An engine process ended before it joined."""

    because: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A batch came back."""

    batch_id: int
    outcome: BatchReport | Prepared | Refitted | TaskFailure


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch could not be carried out at all: its order did not even start to run there."""

    batch_id: int
    error: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class ClusterFailed:
    """The cluster could not be started or reached."""

    because: str


Fact = Welcomed | Gone | NeverCame | Returned | Refused | ClusterFailed
