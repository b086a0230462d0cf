"""What a prune would delete: jobs that ended long ago, and what they left in the spool.

A job that was pruned leaves one event, "job pruned". Files are only chosen on the strength of such
an event, of a row, or of a report of refusal: what somebody else put into the spool stays.
"""

import os
import re
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from schemas.lifecycle import FINAL_JOB_STATES, JobState
from service.layout import REPORT_SUFFIX
from workers.cache import is_digest

#: What the events are called that tell which jobs are gone, and how their text begins.
PRUNED = "job pruned"
_MESSAGE = re.compile(r"job (\d+) ")

#: A directory that is being deleted has this name for the while.
DOOMED = re.compile(r"\.(.+)\.pruned")

#: Engines of a scheduler that was killed may still be at a job that was cancelled just before.
STILL_AT_WORK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be forgotten: jobs that ended in one of the states before the moment."""

    before: datetime
    states: tuple[JobState, ...] = tuple(sorted(FINAL_JOB_STATES))

    def __post_init__(self) -> None:
        if not FINAL_JOB_STATES.issuperset(self.states):
            raise ValueError("only jobs that have ended are pruned")


@dataclass(frozen=True, slots=True)
class OldJob:
    """A job that is to go."""

    id: int
    name: str
    state: str
    finished_at: str
    n_folds: int


@dataclass
class Plan:
    """What would go.

    Attributes
    ----------
    jobs : list of OldJob
    n_folds : int
    files : list of Path
        Within the spool: results, job files, refused files, prepared data.
    file_bytes : int
    record_bytes : int
        What the rows take in the database, about.
    remarks : list of str
        What stays though one might think that it goes, and why.
    is_unswept : bool
        A prune was interrupted, and left rows of jobs that are gone.
    """

    jobs: list[OldJob] = field(default_factory=list)
    n_folds: int = 0
    files: list[Path] = field(default_factory=list)
    file_bytes: int = 0
    record_bytes: int = 0
    remarks: list[str] = field(default_factory=list)
    is_unswept: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.jobs or self.files or self.is_unswept)


def plan(records: sqlite3.Connection, spool: Path, wanted: Wanted, now: datetime) -> Plan:
    """Find out what a prune would delete now; changes nothing.

    Parameters
    ----------
    records : sqlite3.Connection
        May be one that only reads.
    """
    found = Plan(is_unswept=bool(unswept(records)))
    found.jobs, still_at_work = old_jobs(records, wanted, now)
    if still_at_work:
        jobs = ", ".join(f"job {job_id}" for job_id in still_at_work)
        found.remarks.append(f"for an hour engines may still be at it, so it stays: {jobs}")
    going = {job.id for job in found.jobs}
    found.n_folds = sum(job.n_folds for job in found.jobs)
    total, page, free = (
        records.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "freelist_count")
    )
    (n_tasks,) = records.execute("SELECT count(*) FROM task").fetchone()
    found.record_bytes = int((total - free) * page * min(1, found.n_folds / max(n_tasks, 1)))
    for place in places(records, spool, wanted, going):
        if place.remark:
            found.remarks.append(place.remark)
        for name in place.names:
            found.files.append(place.directory / name)
            found.file_bytes += _size(place.directory / name)
    return found


def old_jobs(
    records: sqlite3.Connection, wanted: Wanted, now: datetime
) -> tuple[list[OldJob], list[int]]:
    """Return the jobs that may go, and the ids of those that a stray engine may be at."""
    states = ", ".join("?" * len(wanted.states))
    rows = records.execute(
        f"SELECT id, name, state, finished_at, n_tasks FROM job WHERE state IN ({states})"
        " AND julianday(finished_at) < julianday(?) ORDER BY id",
        (*wanted.states, wanted.before.isoformat()),
    )
    jobs = [OldJob(*row) for row in rows]
    still: list[int] = []
    if records.execute("SELECT 1 FROM live_engine LIMIT 1").fetchone():
        still = [
            job.id
            for job in jobs
            if job.state != "completed"
            and now - datetime.fromisoformat(job.finished_at) < STILL_AT_WORK
        ]
    return [job for job in jobs if job.id not in still], still


@dataclass(frozen=True, slots=True)
class Place:
    """What goes of one directory of the spool."""

    directory: Path
    names: list[str]
    remark: str | None = None


def places(
    records: sqlite3.Connection, spool: Path, wanted: Wanted, going: Collection[int]
) -> Iterator[Place]:
    """Find what goes with these jobs, and what earlier prunes left, directory by directory."""
    gone = set(going) | set(_unrecorded(records))
    entries, remark = entries_of(spool / "results")
    yield Place(spool / "results", _of_jobs(entries, gone, ""), remark)
    entries, remark = entries_of(spool / "accepted")
    yield Place(spool / "accepted", _of_jobs(entries, gone, "-"), remark)
    entries, remark = entries_of(spool / "rejected")
    yield Place(spool / "rejected", _refused_before(entries, wanted.before), remark)
    entries, remark = entries_of(spool / "cache")
    names, busy = _unused(records, entries, going, wanted.before)
    yield Place(spool / "cache", names, remark or busy)


def entries_of(directory: Path) -> tuple[list["os.DirEntry[str]"], str | None]:
    """List a directory of the spool; nothing, and why, when it leads out of the spool."""
    try:
        if stat.S_ISLNK(directory.lstat().st_mode):
            return [], f"{directory} is a link: what it leads to is left as it is"
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name), None
    except FileNotFoundError:
        return [], None


def _of_jobs(
    entries: Iterable["os.DirEntry[str]"], job_ids: Collection[int], after: str
) -> list[str]:
    """Return the names that begin with the number of one of the jobs, and those half deleted."""
    names = []
    for entry in entries:
        number, found, _ = entry.name.partition(after) if after else (entry.name, "", "")
        is_job = number.isascii() and number.isdigit() and found == after
        if (is_job and int(number) in job_ids) or DOOMED.fullmatch(entry.name):
            names.append(entry.name)
    return names


def _refused_before(entries: list["os.DirEntry[str]"], before: datetime) -> list[str]:
    """Return the refused files whose report is that old, and their reports."""
    names = {entry.name for entry in entries}
    chosen = [entry.name for entry in entries if DOOMED.fullmatch(entry.name)]
    for entry in entries:
        is_report = (
            entry.name.endswith(REPORT_SUFFIX)
            and f"{entry.name}{REPORT_SUFFIX}" not in names  # else a refused file of that name
            and entry.is_file(follow_symlinks=False)
        )
        if is_report and entry.stat(follow_symlinks=False).st_mtime < before.timestamp():
            refused = entry.name.removesuffix(REPORT_SUFFIX)
            # The report last: without it nobody would know how old the file is.
            chosen += [refused, entry.name] if refused in names else [entry.name]
    return chosen


def _unused(
    records: sqlite3.Connection,
    entries: Iterable["os.DirEntry[str]"],
    going: Collection[int],
    before: datetime,
) -> tuple[list[str], str | None]:
    """Return the prepared data sets that no job needs that stays."""
    preparing = records.execute(
        "SELECT 1 FROM task JOIN job ON job.id = task.job_id"
        " WHERE task.kind = 'prepare' AND task.kind != 'fold'"
        " AND task.state IN ('pending', 'dispatched')"
        " AND job.state NOT IN ('completed', 'failed', 'cancelled') LIMIT 1"
    ).fetchone()
    rows = records.execute(
        "SELECT id, data_fingerprint FROM job WHERE data_fingerprint IS NOT NULL"
    )
    used = {fingerprint for job_id, fingerprint in rows if job_id not in going}
    names = []
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            continue
        is_unused = is_digest(entry.name) and entry.name not in used
        is_debris = (  # of a process that was killed while it wrote
            entry.name.startswith(".")
            and entry.name.endswith(".tmp")
            and entry.stat(follow_symlinks=False).st_mtime < before.timestamp()
        )
        if is_unused or is_debris or DOOMED.fullmatch(entry.name):
            names.append(entry.name)
    if preparing and names:
        return [], "prepared data stay for now: a job is being prepared and may need them"
    return names, None


def unswept(records: sqlite3.Connection) -> list[int]:
    """Return the jobs that a prune has begun to forget and of which rows are left."""
    return [
        job_id
        for job_id in _unrecorded(records)
        if any(
            records.execute(f"SELECT 1 FROM {table} WHERE job_id = ? LIMIT 1", (job_id,)).fetchone()
            for table in ("task", "candidate", "event")
        )
    ]


def _unrecorded(records: sqlite3.Connection) -> list[int]:
    """Return the jobs that were forgotten, by the events that say so."""
    rows = records.execute(f"SELECT message FROM event WHERE kind = '{PRUNED}' ORDER BY id")
    pruned = [
        int(match[1]) for (message,) in map(tuple, rows) if (match := _MESSAGE.match(message))
    ]
    return [
        job_id
        for job_id in pruned
        if not records.execute("SELECT 1 FROM job WHERE id = ?", (job_id,)).fetchone()
    ]


def _size(path: Path) -> int:
    """Add up what a file or a directory takes on the disk, links not followed."""
    try:
        total = path.lstat().st_blocks * 512
        if stat.S_ISDIR(path.lstat().st_mode):
            for directory, names, files in os.walk(path):
                for name in names + files:
                    with suppress(FileNotFoundError):
                        total += (Path(directory) / name).lstat().st_blocks * 512
    except FileNotFoundError:
        return 0
    return total
