"""Small searches that between them take every step a scheduler can take, and their undisturbed end.

A workload is played in phases: files and requests are put into the spool, a scheduler runs until it
has nothing left to do. Whatever happens to the schedulers of a phase, what stands in the spool at
its end must be what stands there when nothing happened.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.settings import Settings
from schemas.steering import JobChanges, TagChanges
from service import control, spool
from service.layout import make_directories
from service.store import Store

IRIS = {"loader": "iris"}

GRID: Mapping[str, Any] = {
    "data": IRIS,
    "estimator": {"$type": "LogisticRegression", "max_iter": 200},
    "search": {"space": {"C": [0.01, 0.1, 1, 10, 100, 1000]}},
    "scoring": ["accuracy", "neg_log_loss"],
    "refit": "neg_log_loss",
}
HALVING: Mapping[str, Any] = {
    "data": IRIS,
    "estimator": "GaussianNB",
    "search": {
        "strategy": "halving_grid",
        "space": {"var_smoothing": [1e-9, 1e-6, 1e-3, 1e-2, 0.1, 1.0]},
        "seed": 1,
    },
    "cv": 3,
}
TINY: Mapping[str, Any] = {
    "data": IRIS,
    "estimator": "DummyClassifier",
    "search": {"space": {"strategy": ["prior", "most_frequent"]}},
    "cv": 3,
}
SLOW: Mapping[str, Any] = {
    "data": IRIS,
    "estimator": {"$type": "GradientBoostingClassifier", "n_estimators": 600},
    "search": {"space": {"learning_rate": [0.1, 0.2, 0.3]}},
    "refit": False,
}
WIDE: Mapping[str, Any] = {
    "data": IRIS,
    "estimator": "DummyClassifier",
    "search": {"space": {"random_state": {"$range": [0, 1100]}}},
    "cv": 2,
    "reuse": False,
}


def as_file(spec: Mapping[str, Any], **changes: Any) -> bytes:
    """A job file."""
    return json.dumps({**spec, **changes}).encode()


@dataclass(frozen=True)
class Phase:
    """What is put into the spool before a scheduler runs, or while it does.

    Attributes
    ----------
    files : mapping of str to bytes
        Dropped into `incoming/`.
    requests : tuple of (action, job)
        Made as the commands make them.
    once_running : bool
        The requests are made when the job's folds are running, not before the scheduler starts.
    steers : bool
        Also sets something of job 1 and of a tag, and holds the queue and lets it go on.
    unreadable_request : bool
        Also leaves a file in `control/` that is no request.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    requests: tuple[tuple[control.Action, int], ...] = ()
    once_running: bool = False
    steers: bool = False
    unreadable_request: bool = False


@dataclass(frozen=True)
class Workload:
    """Phases, after jobs that were admitted before any of them.

    Attributes
    ----------
    admitted : mapping of str to bytes
    is_local : bool
        The scheduler starts a controller and engines of its own, and ends them.
    is_large : bool
        Its searches are concluded beside the scheduler, as those of many folds are.
    """

    name: str
    phases: tuple[Phase, ...]
    admitted: Mapping[str, bytes] = field(default_factory=dict)
    is_local: bool = False
    is_large: bool = False

    def set_up(self, directory: Path) -> None:
        """Make a spool that holds the jobs which were admitted before."""
        make_directories(directory)
        if not self.admitted:
            return
        settings = Settings(spool=directory, settle=0)
        store = Store(settings.database_path)
        try:
            intake = spool.Intake(settings, store)
            for name, data in self.admitted.items():
                drop(directory, name, data)
                assert isinstance(intake.take(name, 0.0), spool.Admitted), name
        finally:
            store.close()

    def begin(self, phase: Phase, directory: Path) -> None:
        """Put in what the phase starts with."""
        for name, data in phase.files.items():
            drop(directory, name, data)
        if phase.unreadable_request:
            (directory / "control" / "00-odd.json").write_bytes(b"{'action': 'cancel'}")
        if not phase.once_running:
            self.ask(phase, directory)

    @staticmethod
    def ask(phase: Phase, directory: Path) -> None:
        for action, job_id in phase.requests:
            control.request(directory, action, job_id)
        if phase.steers:
            control.request_set(directory, 1, JobChanges.read({"priority": 3, "tags": ["lab"]}))
            control.request_limit(directory, "lab", TagChanges.read({"max_engines": 1}))
            control.request_hold(directory, held=True)
            control.request_hold(directory, held=False)

    def dropped(self, n_phases: int | None = None) -> Counter[tuple[str, str]]:
        """Name and SHA-256 of every file that was dropped up to a phase, and how often."""
        files = list(self.admitted.items())
        for phase in self.phases[:n_phases]:
            files += phase.files.items()
        return Counter((name, hashlib.sha256(data).hexdigest()) for name, data in files)


def drop(directory: Path, name: str, data: bytes) -> None:
    """Drop a file as `cp` would, but whole at once."""
    beside = directory / "incoming" / f".{name}"
    beside.write_bytes(data)
    beside.rename(directory / "incoming" / name)


#: 30 folds and a refit, started with one more job of the same content, whose folds are reused.
GRID_WITH_REFIT = Workload(
    "grid", (Phase({"grid.json": as_file(GRID), "zz-again.json": as_file(GRID, name="again")}),)
)

HALVING_SEARCH = Workload("halving", (Phase({"halving.json": as_file(HALVING)}),), is_large=True)

#: Job 1 is paused and let go on, job 2 cancelled and tried again; files are refused or known.
FILES_AND_REQUESTS = Workload(
    "requests",
    (
        Phase(
            {
                "bad.json": as_file(TINY, estimator="NoSuchClassifier"),
                "good.json": as_file(TINY),
                "held.json": as_file(TINY, name="held"),  # the very file of job 1
                "not.json": b"{",
            },
            (("pause", 1), ("cancel", 2)),
            steers=True,
            unreadable_request=True,
        ),
        Phase({"bad.json": b"worse: [", "late.json": as_file(TINY)}, (("resume", 1), ("retry", 2))),
    ),
    admitted={"held.json": as_file(TINY, name="held"), "struck.json": as_file(TINY, cv=4)},
)

#: A job is cancelled while its folds run: engines are interrupted.
INTERRUPTED = Workload(
    "interrupted",
    (Phase(requests=(("cancel", 1),), once_running=True),),
    admitted={"slow.json": as_file(SLOW)},
)

#: More candidates than are planned in one turn.
WIDE_GRID = Workload("wide", (Phase({"wide.json": as_file(WIDE)}),))

#: 400 folds, long enough to be killed in many times.
MANY_FOLDS = Workload(
    "many",
    (
        Phase(
            {
                "many.json": as_file(
                    GRID,
                    name="many",
                    search={"space": {"C": {"$logspace": [-3, 3, 80]}}},
                    reuse=False,
                )
            }
        ),
    ),
)

#: A small search on engines of the scheduler's own.
OWN_ENGINES = Workload(
    "own engines", (Phase({"own.json": as_file(HALVING, name="own")}),), is_local=True
)

#: A fold that nothing but the end of its engine stops.
DEAF: Mapping[str, Any] = {
    "data": {
        "make": "classification",
        "params": {"n_samples": 20_000, "flip_y": 1.0, "random_state": 0},
    },
    "estimator": {"$type": "SVC", "C": 1000.0, "cache_size": 1},
    "search": {"space": {"gamma": [1.0]}},
    "cv": 2,
    "timeout": 0.3,
    "refit": False,
}
KILLED_ENGINES = Workload(
    "killed engines", (Phase({"deaf.json": as_file(DEAF, name="deaf")}),), is_local=True
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        GRID_WITH_REFIT,
        HALVING_SEARCH,
        FILES_AND_REQUESTS,
        INTERRUPTED,
        WIDE_GRID,
        MANY_FOLDS,
        OWN_ENGINES,
        KILLED_ENGINES,
    )
}
