"""What people set while searches run, in the records: of jobs, of tags, and of the whole queue.

The scheduler writes and follows it; it stands after a restart.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.lifecycle import JobState
from schemas.sections import TagSettings
from schemas.steering import JobChanges, TagChanges
from service.recorder import insert_event
from service.records import Job, find_job, select, timestamp
from service.stimuli import JobSet
from service.tags import TagLimit

if TYPE_CHECKING:  # commands that look need no writer
    from service.store import Store


def tag_limits(
    records: sqlite3.Connection | None, defaults: Mapping[str, TagSettings]
) -> dict[str, TagLimit]:
    """Return the limits of tags that hold: as they were set, else as the settings have them."""
    limits = {tag: TagLimit(limit.max_jobs, limit.max_engines) for tag, limit in defaults.items()}
    asked = "SELECT tag, max_jobs, max_engines FROM tag_limit"
    for row in () if records is None else select(records, asked):
        limits[row["tag"]] = TagLimit(row["max_jobs"], row["max_engines"])
    return {tag: limit for tag, limit in sorted(limits.items()) if limit != TagLimit()}


#: States of jobs that count among the `max_jobs` of their tags.
AT_WORK = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.REFITTING})


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that is reached while jobs of its tag wait, or could use more engines.

    Attributes
    ----------
    n_jobs, n_waiting, n_engines : int
        Of the tag: jobs at work and jobs that wait, engines that work for them.
    """

    tag: str
    max_jobs: int | None
    max_engines: int | None
    n_jobs: int
    n_waiting: int
    n_engines: int


def limits_reached(
    limits: Mapping[str, TagLimit], jobs: Iterable[Job], engines: Mapping[int, Iterable[int]]
) -> list[Reached]:
    """Return the limits that hold something up.

    Parameters
    ----------
    jobs : iterable of Job
        All that have not ended, at least.
    engines : mapping of int to iterable of int
        The jobs that each engine has something of.
    """
    found: list[Reached] = []
    of_tag: dict[str, list[Job]] = {tag: [] for tag in limits}
    for job in jobs:
        for tag in job.tags:
            if tag in of_tag:
                of_tag[tag].append(job)
    for tag, limit in limits.items():
        at_work = {job.id for job in of_tag[tag] if job.state in AT_WORK}
        n_waiting = sum(job.state is JobState.QUEUED for job in of_tag[tag])
        n_engines = sum(not at_work.isdisjoint(job_ids) for job_ids in engines.values())
        is_full = limit.max_jobs is not None and len(at_work) >= limit.max_jobs and n_waiting > 0
        is_wide = limit.max_engines is not None and n_engines >= limit.max_engines
        if is_full or is_wide:
            numbers = (len(at_work), n_waiting, n_engines)
            found.append(Reached(tag, limit.max_jobs, limit.max_engines, *numbers))
    return found


@dataclass(frozen=True, slots=True)
class Listed:
    """A limit that holds, whether it holds something up or not.

    Attributes
    ----------
    n_jobs, n_waiting : int
        Of the tag: jobs at work, and jobs in the queue.
    source : str
        "set" by somebody while the scheduler ran, or of the "settings".
    """

    tag: str
    max_jobs: int | None
    max_engines: int | None
    n_jobs: int
    n_waiting: int
    source: str


def limits_listed(
    records: sqlite3.Connection | None, defaults: Mapping[str, TagSettings], jobs: Iterable[Job]
) -> list[Listed]:
    """Return all the limits of tags that hold.

    Parameters
    ----------
    records : sqlite3.Connection or None
        None when there are none yet.
    jobs : iterable of Job
        All that have not ended, at least.
    """
    were_set: set[str] = set()
    if records is not None:
        were_set = {tag for (tag,) in records.execute("SELECT tag FROM tag_limit")}
    found: list[Listed] = []
    jobs = list(jobs)
    for tag, limit in tag_limits(records, defaults).items():
        states = [job.state for job in jobs if tag in job.tags]
        numbers = sum(state in AT_WORK for state in states), states.count(JobState.QUEUED)
        source = "set" if tag in were_set else "settings"
        found.append(Listed(tag, limit.max_jobs, limit.max_engines, *numbers, source))
    return found


def known_tags(records: sqlite3.Connection) -> set[str]:
    """Return the tags that jobs have."""
    rows = records.execute("SELECT DISTINCT value FROM job, json_each(job.tags)")
    return {tag for (tag,) in rows}


def held_since(records: sqlite3.Connection) -> str | None:
    """Return since when the whole queue is held (ISO-8601, UTC); None when it is not."""
    row = records.execute("SELECT since FROM hold").fetchone()
    return None if row is None else str(row[0])


class Steering:
    """Writes what people set.

    Parameters
    ----------
    store : Store
        The writer.
    defaults : mapping of str to TagSettings
        Limits of tags in the settings.
    """

    def __init__(self, store: "Store", defaults: Mapping[str, TagSettings]):
        self._store = store
        self._defaults = defaults

    def limits(self) -> dict[str, TagLimit]:
        """Return the limits of tags that hold."""
        return self._store.read(lambda records: tag_limits(records, self._defaults))

    def is_held(self) -> bool:
        """Tell whether the whole queue is held."""
        return self._store.read(held_since) is not None

    def hold(self, held: bool, now: datetime) -> None:
        """Hold the whole queue, or let it go on."""
        at = timestamp(now)

        def change(db: sqlite3.Connection) -> None:
            if held == (held_since(db) is not None):
                return
            if held:
                db.execute("INSERT INTO hold (id, since) VALUES (1, ?)", (at,))
            else:
                db.execute("DELETE FROM hold")
            insert_event(db, at, "queue paused" if held else "queue resumed", "on request")

        self._store.write(change)

    def limit(self, tag: str, changes: TagChanges, now: datetime) -> None:
        """Set what the jobs of a tag may use together."""
        at = timestamp(now)

        def change(db: sqlite3.Connection) -> None:
            limit = tag_limits(db, self._defaults).get(tag, TagLimit())
            row: dict[str, Any] = {
                "max_jobs": limit.max_jobs, "max_engines": limit.max_engines, **changes.given,
            }  # fmt: skip
            db.execute(
                "INSERT INTO tag_limit (tag, max_jobs, max_engines, set_at)"
                " VALUES (:tag, :max_jobs, :max_engines, :at) ON CONFLICT (tag) DO UPDATE SET"
                " max_jobs = :max_jobs, max_engines = :max_engines, set_at = :at",
                {**row, "tag": tag, "at": at},
            )
            insert_event(db, at, "tag limited", f"{tag}: {_told(changes.given)}")

        self._store.write(change)

    def set_job(self, job_id: int, changes: JobChanges, now: datetime) -> JobSet:
        """Set something of a job; return all that may be set of it as it is now.

        Raises
        ------
        NoSuchJob
        """
        at = timestamp(now)

        def change(db: sqlite3.Connection) -> JobSet:
            before = find_job(db, job_id)
            row = {
                "priority": before.priority,
                "max_engines": before.max_engines,
                "tags": list(before.tags),
                **changes.given,
            }
            db.execute(
                "UPDATE job SET priority = ?, max_engines = ?, tags = ? WHERE id = ?",
                (row["priority"], row["max_engines"], json.dumps(row["tags"]), job_id),
            )
            insert_event(db, at, "job set", _told(changes.given), job_id=job_id)
            return JobSet(job_id, row["priority"], row["max_engines"], tuple(row["tags"]))

        return self._store.write(change)


def _told(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {spelled(value)}" for key, value in given.items())


def spelled(value: int | list[str] | None) -> str:
    """Spell a value as `foldq set` takes it."""
    if isinstance(value, list):
        return ",".join(value)
    return "none" if value is None else str(value)
