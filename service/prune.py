"""Forgetting old jobs: their rows in the records, and their files in the spool.

Rows go first, in transactions, then the files (`service/outdated.py` says which). The transaction
that removes a job records an event, "job pruned": a prune that was killed at any moment is taken
up by the next one, which finds by it what is left.

Rows are deleted without SQLite's foreign keys: the cascade would look through the whole table of
tasks once for every candidate. What refers to what is known here.
"""

import logging
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from service.control import PruneRequest
from service.logs import about
from service.outdated import DOOMED, PRUNED, OldJob, Wanted, entries_of, old_jobs, places, unswept
from service.store import Store, timestamp
from workers.cache import is_digest

log = logging.getLogger("foldq.prune")

#: Rows of tasks deleted in one transaction: about a tenth of a second.
ROWS = 10_000

#: Small jobs that go in one transaction.
JOBS = 100

#: Free bytes and share of the database from which it is worth making the file smaller.
WORTH_VACUUM = 16 << 20
WORTH_VACUUM_SHARE = 0.25

#: Seconds of one turn of the scheduler's loop that may go into pruning.
STEP_SECONDS = 0.1


# --- carrying it out -----------------------------------------------------------------------------


def prune(
    store: Store,
    spool: Path,
    wanted: Wanted,
    now: datetime,
    busy: Collection[int] = frozenset(),
) -> Iterator[str]:
    """Delete, step by step; whoever iterates may do other things in between.

    Parameters
    ----------
    store : Store
        The writer: the caller holds the spool's lock.
    busy : collection of int
        Jobs that must stay, whatever the records say.

    Yields
    ------
    str
        What a step did.
    """
    db = store.connection
    jobs, _ = old_jobs(db, wanted, now)
    for job in jobs:
        if job.id in busy:
            log.info("job %d stays: it is being worked on", job.id)
    jobs = [job for job in jobs if job.id not in busy]
    _detach_origins(store, {job.id for job in jobs})
    for group in _grouped(jobs):
        for job in _forget(store, group, now):
            yield f"job {job.id}"
    for job_id in unswept(db):
        while _delete_rows(store, job_id):
            yield f"rows of job {job_id}"
    for place in list(places(db, spool, wanted, going=())):
        if place.names:
            with _opened(place.directory) as directory:
                for name in place.names:
                    try:
                        _delete_file(directory, name)
                    except OSError as error:
                        log.error("%s stays: %s", place.directory / name, error)
                    yield f"{place.directory.name}/{name}"
    _forget_sources(spool / "cache")
    _forget_engines(store, wanted)
    yield "engines"


@contextmanager
def _without_cascade(store: Store) -> Iterator[sqlite3.Connection]:
    """Open a transaction in which the caller answers for the foreign keys."""
    store.connection.execute("PRAGMA foreign_keys=OFF")
    try:
        with store.transaction() as db:
            yield db
    finally:
        store.connection.execute("PRAGMA foreign_keys=ON")


def _grouped(jobs: Iterable[OldJob]) -> Iterator[list[OldJob]]:
    """Put jobs together that go in one transaction: one for each of thousands takes long."""
    group: list[OldJob] = []
    n_folds = 0
    for job in jobs:
        if group and (n_folds + job.n_folds > ROWS or len(group) == JOBS):
            yield group
            group, n_folds = [], 0
        group.append(job)
        n_folds += job.n_folds
    if group:
        yield group


def _forget(store: Store, jobs: Sequence[OldJob], now: datetime) -> list[OldJob]:
    """Remove jobs, with their rows if they are not too many; the others are unreachable then."""
    with _without_cascade(store) as db:
        gone = [job for job in jobs if _forget_job(db, job, now)]
    for job in gone:
        told = (job.id, job.name, job.state, job.finished_at)
        log.info("job %d pruned: %s, %s %s", *told, extra=about(PRUNED, job=job.id))
    return gone


def _forget_job(db: sqlite3.Connection, job: OldJob, now: datetime) -> bool:
    # Looked at again: between two steps somebody may have asked to retry it.
    if not db.execute(
        "DELETE FROM job WHERE id = ? AND state = ? AND finished_at = ?",
        (job.id, job.state, job.finished_at),
    ).rowcount:
        return False
    db.execute("UPDATE job SET same_content_as = NULL WHERE same_content_as = ?", (job.id,))
    db.execute("DELETE FROM hook_call WHERE job_id = ?", (job.id,))
    db.execute(
        "INSERT INTO event (at, kind, message) VALUES (?, ?, ?)",
        (
            timestamp(now.astimezone(UTC)),
            PRUNED,
            f"job {job.id} ({job.name}), {job.state} {job.finished_at}, with its"
            f" {job.n_folds} folds",
        ),
    )
    _delete_chunk(db, job.id)
    return True


def _detach_origins(store: Store, going: Collection[int]) -> None:
    """Let no fold that stays seem to come from a task number that will be given anew.

    SQLite gives the number after the highest. So numbers are given anew when the newest tasks go,
    and a fold that stays may have come from one of those.
    """
    newest = store.connection.execute("SELECT job_id FROM task ORDER BY id DESC LIMIT 1").fetchone()
    if newest is None or newest[0] not in going:
        return
    with store.transaction() as db:
        ids = ", ".join(map(str, going))
        db.execute(
            "UPDATE task SET origin_task_id = NULL WHERE origin_task_id >"
            f" (SELECT coalesce(max(id), 0) FROM task WHERE job_id NOT IN ({ids}))"
        )


def _delete_rows(store: Store, job_id: int) -> bool:
    with _without_cascade(store) as db:
        return _delete_chunk(db, job_id)


def _delete_chunk(db: sqlite3.Connection, job_id: int) -> bool:
    """Delete rows of a job that is gone, children first; tell whether there were any."""
    tasks = [
        row[0] for row in db.execute("SELECT id FROM task WHERE job_id = ? LIMIT ?", (job_id, ROWS))
    ]
    db.executemany("DELETE FROM attempt WHERE task_id = ?", ((task,) for task in tasks))
    db.executemany("DELETE FROM task WHERE id = ?", ((task,) for task in tasks))
    if len(tasks) == ROWS:
        return True
    n_rows = len(tasks)
    for table in ("candidate", "event"):
        n_rows += db.execute(
            f"DELETE FROM {table} WHERE id IN"
            f" (SELECT id FROM {table} WHERE job_id = ? LIMIT {ROWS})",
            (job_id,),
        ).rowcount
    return n_rows > 0


def _forget_engines(store: Store, wanted: Wanted) -> None:
    """Remove engines that left before, and have no attempt left; and events as old of no job."""
    before = timestamp(wanted.before.astimezone(UTC))
    with _without_cascade(store) as db:
        # The highest number stays, so that none is given twice.
        db.execute(
            "DELETE FROM engine WHERE left_at < ? AND id < (SELECT max(id) FROM engine)"
            " AND id NOT IN (SELECT engine_id FROM attempt)",
            (before,),
        )
        db.execute(
            "DELETE FROM event WHERE job_id IS NULL AND at < ? AND kind != ?"
            " AND (engine_id IS NULL OR engine_id NOT IN (SELECT id FROM engine))",
            (before, PRUNED),
        )


# --- files ---------------------------------------------------------------------------------------


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Open a directory of the spool itself, not one that a link leads to."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _delete_file(directory: int, name: str) -> None:
    """Delete a file, a link (not what it leads to), or a directory with all in it.

    A directory is renamed first: whoever looks sees it whole or not at all, and the next prune
    knows it by its name when this one is killed.
    """
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    doomed = name if DOOMED.fullmatch(name) else f".{name}.pruned"
    if doomed != name:
        os.rename(name, doomed, src_dir_fd=directory, dst_dir_fd=directory)
    shutil.rmtree(doomed, dir_fd=directory)


def _forget_sources(cache: Path) -> None:
    """Remove the notes on sources whose prepared data are gone."""
    entries, _ = entries_of(cache / "sources")
    if not entries or stat.S_ISLNK(cache.lstat().st_mode):
        return
    for entry in entries:
        with suppress(OSError, UnicodeDecodeError):
            fingerprint = Path(entry.path).read_text()
            if is_digest(fingerprint) and not (cache / fingerprint).exists():
                Path(entry.path).unlink()


# --- space ---------------------------------------------------------------------------------------


def is_worth_vacuum(db: sqlite3.Connection) -> bool:
    """Tell whether much of the database file is free, so that it is worth writing anew."""
    total, page, free = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "freelist_count")
    )
    return bool(free * page >= WORTH_VACUUM and free >= WORTH_VACUUM_SHARE * total)


def vacuum(store: Store, path: Path) -> int:
    """Write the database anew without its free pages; return how many bytes smaller it is.

    Only without a scheduler: nothing else can be recorded meanwhile. Nothing is done where the
    disk has no room for a second copy.
    """
    before = path.stat().st_size
    if shutil.disk_usage(path.parent).free < 2 * before:
        return 0
    store.connection.execute("VACUUM")
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before - path.stat().st_size


# --- within the scheduler ------------------------------------------------------------------------


class Pruner:
    """Carries prune requests out while a scheduler runs, a little in each turn of its loop.

    A request's file stays until it is carried out: the next scheduler goes on with it.

    Parameters
    ----------
    store : Store
    spool : Path
    """

    def __init__(self, store: Store, spool: Path):
        self._store = store
        self._spool = spool
        self._steps: Iterator[str] | None = None
        self._file: Path | None = None

    def ask(self, request: PruneRequest, busy: Collection[int]) -> None:
        """Begin with a request, unless one is being carried out: then it waits.

        Parameters
        ----------
        busy : collection of int
            Jobs that must stay.
        """
        if self._steps is None:
            wanted = Wanted(request.before, request.states)
            self._file = request.path
            self._steps = prune(self._store, self._spool, wanted, datetime.now(UTC), busy)

    @property
    def is_at_work(self) -> bool:
        """Whether there is something left to forget."""
        return self._steps is not None

    def step(self) -> None:
        """Go on for a moment; what goes wrong ends this prune, and nothing else."""
        if self._steps is None:
            return
        deadline = time.monotonic() + STEP_SECONDS
        try:
            for _ in self._steps:
                if time.monotonic() >= deadline:
                    return
        except (OSError, sqlite3.Error):
            log.exception("the prune was given up; ask again to go on with it")
        self._steps = None
        if self._file is not None:
            self._file.unlink(missing_ok=True)
