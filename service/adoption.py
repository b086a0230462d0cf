"""Batches that outlived the last scheduler: what their jobs have to know of them."""

from collections.abc import Iterable
from dataclasses import replace

from schemas.lifecycle import TaskKind
from service.fleet import Flight
from service.queue import JobQueue
from service.stimuli import Task


def adopt(job: JobQueue, flights: Iterable[Flight]) -> None:
    """Count what is out of a job that is being admitted: folds, or its prepare or refit task."""
    out: dict[int, tuple[int, Task, Flight]] = {}
    for flight in sorted(flights, key=lambda flight: flight.batch.batch_id):
        flight.awaits_job = False
        job.sent(flight.batch.engine_id)
        match flight.batch.kind:
            case TaskKind.FOLD:
                _adopt_folds(job, flight, out)
            case TaskKind.PREPARE:
                job.blocked, job.todo = True, None
            case TaskKind.REFIT:
                job.todo = None


def _adopt_folds(job: JobQueue, flight: Flight, out: dict[int, tuple[int, Task, Flight]]) -> None:
    tasks: list[tuple[int, Task]] = []
    for attempt_id, task in flight.batch.tasks:
        if task.task_id not in out:
            out[task.task_id] = (attempt_id, task, flight)
            job.know([task])
            tasks.append((attempt_id, task))
        else:  # the copy of a straggler
            first, same_task, original = out[task.task_id]
            job.twins.pair(task.task_id, (first, original), (attempt_id, flight))
            flight.is_copy, original.n_copies = True, 1
            tasks.append((attempt_id, same_task))
    flight.batch = replace(flight.batch, tasks=tuple(tasks))
