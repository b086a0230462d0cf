"""What jobs wait for that could go on: an engine, their turn, a limit of a tag, the paused queue.

Seen from the records alone, as commands do; it goes by the order of `service.jobs.Jobs.next_for`.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from schemas.lifecycle import JobState
from schemas.sections import TagSettings
from schemas.settings import Settings
from service.history import Query, find_jobs
from service.lives import Load, live_engines, loads_by_engine
from service.lock import holder
from service.records import Job
from service.steering import AT_WORK, Reached, held_since, limits_reached, tag_limits

#: Jobs that go first and are named.
TOLD = 4


class Cause(StrEnum):
    """What can keep a job from going on."""

    SCHEDULER = "scheduler"  #: none is running
    QUEUE = "queue"  #: the whole of it is paused
    TAG = "tag"  #: a limit that its jobs share is reached
    TURN = "turn"  #: jobs of a higher priority, or older ones, go first
    ENGINE = "engine"  #: it gets the next one that is free


@dataclass(frozen=True, slots=True)
class Wait:
    """What a job waits for.

    Attributes
    ----------
    tag : str or None
        Whose limit it is.
    behind : tuple of int
        The jobs that go first.
    """

    cause: Cause
    tag: str | None = None
    behind: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.said_of(1)

    def said_of(self, n_jobs: int) -> str:
        """Say in words what so many jobs wait for."""
        match self.cause:
            case Cause.SCHEDULER:
                return "a scheduler: none is running"
            case Cause.QUEUE:
                return "the whole queue, which is paused"
            case Cause.TAG:
                return f"the limit of tag {self.tag}"
            case Cause.TURN:
                return f"{'its' if n_jobs == 1 else 'their'} turn after {jobs_named(self.behind)}"
            case Cause.ENGINE:
                return "an engine"

    def as_json(self) -> dict[str, Any]:
        """Give it as the commands write it in JSON."""
        return {"for": self.cause.value, "tag": self.tag, "behind": list(self.behind)}


def jobs_named(job_ids: Sequence[int]) -> str:
    """Name some jobs: job 3; jobs 3, 4; jobs 3, 4, 5, 6 and 12 more."""
    more = f" and {len(job_ids) - TOLD} more" if len(job_ids) > TOLD else ""
    return f"job{'s'[: len(job_ids) > 1]} {', '.join(map(str, job_ids[:TOLD]))}{more}"


def waits(
    records: sqlite3.Connection,
    jobs: Iterable[Job],
    tags: Mapping[str, TagSettings],
    loads: Mapping[int, Iterable[Load]] | None = None,
) -> dict[int, Wait]:
    """Tell which jobs wait, and for what, while a scheduler runs.

    Parameters
    ----------
    jobs : iterable of Job
        All that have not ended, at least.
    tags : mapping of str to TagSettings
        Limits of tags in the settings.
    loads : mapping of int to iterable of Load, optional
        What `service.lives.loads_by_engine` saw, when it has been asked already.
    """
    jobs = list(jobs)
    at_engines = {
        engine_id: {load.job_id for load in had}
        for engine_id, had in (loads_by_engine(records) if loads is None else loads).items()
    }
    working = set().union(*at_engines.values())
    waiting = _with_tasks(records, [job for job in jobs if _may_wait(job, working)])
    if not waiting:
        return {}
    if held_since(records) is not None:
        return {job.id: Wait(Cause.QUEUE) for job in waiting}
    places = {job.id: _place(job) for job in jobs}
    full = _full_tags(limits_reached(tag_limits(records, tags), jobs, at_engines))
    n_idle = sum(engine.id not in at_engines for engine in live_engines(records))
    found: dict[int, Wait] = {}
    for job in waiting:
        tag = next((tag for tag in job.tags if job.state in full.get(tag, ())), None)
        if tag is not None:
            found[job.id] = Wait(Cause.TAG, tag)
        elif n_idle == 0:  # else it is about to go on
            first = tuple(sorted(n for n in working if n in places and places[n] < places[job.id]))
            is_behind_all = bool(first) and len(first) == len(working)
            found[job.id] = Wait(Cause.TURN, behind=first) if is_behind_all else Wait(Cause.ENGINE)
    return found


def wait_of(records: sqlite3.Connection, job: Job, settings: Settings) -> Wait | None:
    """Tell what one job waits for."""
    if job.state.is_final or job.state is JobState.PAUSED:
        return None
    if holder(settings.spool) is None:
        return Wait(Cause.SCHEDULER)
    unfinished = tuple(state for state in JobState if not state.is_final)
    jobs = find_jobs(records, Query(states=unfinished), datetime.now(UTC))
    return waits(records, jobs, settings.tags).get(job.id)


def _may_wait(job: Job, working: set[int]) -> bool:
    return (job.state is JobState.QUEUED or job.state in AT_WORK) and job.id not in working


def _with_tasks(records: sqlite3.Connection, jobs: list[Job]) -> list[Job]:
    """Leave out the jobs that have nothing to send: they are being planned, or concluded."""
    rows = records.execute(
        "SELECT value FROM json_each(?) WHERE EXISTS"
        " (SELECT 1 FROM task WHERE job_id = value AND state = 'pending')",
        (json.dumps([job.id for job in jobs]),),
    )
    with_tasks = {job_id for (job_id,) in rows}
    return [job for job in jobs if job.id in with_tasks]


def _place(job: Job) -> tuple[int, int]:
    return -job.priority, job.id


def _full_tags(reached: Iterable[Reached]) -> dict[str, frozenset[JobState]]:
    """Tell whom the limits of tags that are reached keep waiting: {tag: jobs in these states}."""
    full: dict[str, frozenset[JobState]] = {}
    for limit in reached:
        if limit.max_engines is not None and limit.n_engines >= limit.max_engines:
            full[limit.tag] = AT_WORK | {JobState.QUEUED}
        elif limit.max_jobs is not None and limit.n_jobs >= limit.max_jobs:
            full[limit.tag] = frozenset({JobState.QUEUED})
    return full
