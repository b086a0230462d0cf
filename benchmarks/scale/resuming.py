"""A scheduler that starts anew in the middle of the big search; cancel and retry."""

from collections.abc import Callable

from benchmarks.scale.clock import Clock
from benchmarks.scale.madeup import now
from benchmarks.scale.subject import Scale
from schemas.lifecycle import JobState
from schemas.task import EngineReport
from service.handover import known_engines, open_batches
from service.stimuli import CancelTasks, MoveJob, Record


def resume(scale: Scale) -> None:
    """Do what a scheduler does from its start to its first dispatch."""
    scale.store.close()
    with scale.measured.of("resume: from start to first dispatch", 5.0):
        steps: list[tuple[str, Callable[[], object]]] = [
            ("open", scale.open),
            ("next numbers", lambda: scale.store.next_numbers()),
            ("known engines", lambda: scale.store.read(known_engines)),
            ("open batches", lambda: open_batches(scale.store.connection, scale.engine_id, 1.0)),
            ("recover", lambda: scale.store.recover(now())),
            ("unfinished jobs", lambda: scale.store.unfinished_jobs()),
            ("admission", lambda: scale.dossiers().admission(scale.job_id)),
            ("next step", lambda: list(scale.searches().next_step(scale.job_id))),
            ("load folds", lambda: scale.store.load_folds(scale.job_id, 0, 4000)),
        ]
        took: dict[str, tuple[float, float]] = {}
        for name, step in steps:
            clock = Clock()
            step()
            took[name] = clock.read()
    for name, both in took.items():
        scale.measured.add(f"   {name}", *both)
    report = EngineReport("node-1", 4001, {})
    scale.engine_id = scale.store.engine_joined("made-up", 1, "b", report, now())


def cancel_and_retry(scale: Scale) -> None:
    """Give the big search up, and take it up again."""
    given_up: list[Record] = [
        CancelTasks(scale.job_id),
        MoveJob(scale.job_id, JobState.CANCELLED, "on request"),
    ]
    with scale.measured.of("cancel (half of the folds)", 5.0):
        scale.store.record(given_up, now())
    with scale.measured.of("retry (half of the folds)", 10.0):
        scale.store.retry(scale.job_id, now(), listed=False)
    scale.store.record([MoveJob(scale.job_id, JobState.RUNNING)], now())
