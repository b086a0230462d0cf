"""The spool that is measured, and where in its life the big search stands."""

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scale.clock import Measurements
from benchmarks.scale.madeup import N_SPLITS, now, small_searches
from schemas.settings import Settings
from schemas.task import EngineReport
from service.dossier import Dossiers
from service.searches import Searches
from service.store import Store


@dataclass
class Scale:
    """A spool with made-up records, and what was measured of it.

    Parameters
    ----------
    spool : Path
    n_jobs : int
        Small searches that have ended.
    n_candidates : int
        Of the big one, each on five splits.

    Attributes
    ----------
    job_id : int
        Of the big search, once it is admitted.
    engine_id : int
        Of the engine that its folds are sent to.
    """

    spool: Path
    n_jobs: int
    n_candidates: int
    measured: Measurements = field(default_factory=Measurements)
    job_id: int = 0

    def __post_init__(self) -> None:
        self.settings = Settings(spool=self.spool)
        self.store = Store(self.settings.database_path)
        with self.measured.of(f"(making up {self.n_jobs:,} small searches)"):
            small_searches(self.store, self.n_jobs)
        report = EngineReport("node-1", 4000, {})
        self.engine_id = self.store.engine_joined("made-up", 0, "a", report, now())

    @property
    def n_folds(self) -> int:
        """Folds of the big search."""
        return self.n_candidates * N_SPLITS

    def open(self) -> None:
        """Open the records anew."""
        self.store = Store(self.settings.database_path)

    def dossiers(self) -> Dossiers:
        """Return what a scheduler keeps at hand of its jobs, nothing yet."""
        return Dossiers(self.settings, self.store)

    def searches(self) -> Searches:
        """Return what plans and concludes searches in a scheduler that has just begun."""
        return Searches(self.settings, self.store, self.dossiers())
