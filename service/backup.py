"""A consistent copy of the records while the scheduler writes them.

The copy is of one moment: one read transaction lasts as long as the copying, and in WAL mode the
writer goes on beside it. It is written to `FILE.part`, looked through, and renamed, so that a file
of the given name is always a whole copy.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.records import open_records
from workers.atomic import OWNER_FILE, sync_directory

#: Pages copied in one step, between two reports of progress.
PAGES = 4096


class BackupFailed(RuntimeError):
    """There is no copy; what was at its place is as it was.

    Attributes
    ----------
    next_step : str
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


class UnfitPlace(BackupFailed):
    """The copy cannot go where it is wanted."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made and looked through."""

    file: Path
    n_bytes: int
    n_jobs: int
    n_folds: int


def back_up(
    database: Path,
    file: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Backup:
    """Copy the records.

    Parameters
    ----------
    database, file : Path
        From, to.
    force : bool
        Put the copy in the place of a file that is there already.
    progress : callable, optional
        Told (pages copied, pages in all) after each step.

    Raises
    ------
    BackupFailed
    service.records.NoRecords
    """
    _refuse(database, file, force=force)
    with open_records(database, older=True) as records:
        n_bytes = database.stat().st_size
        directory = file.absolute().parent
        if (free := shutil.disk_usage(directory).free) < n_bytes:
            raise UnfitPlace(
                f"{directory} has {free:,} bytes free, and the copy takes {n_bytes:,}.",
                "Name a file on another disk.",
            )
        with _part(file) as part:
            _copy(records, part, progress)
            n_jobs, n_folds = _look_through(part)
            _sync(part)
            _refuse(database, file, force=force)  # it may have come meanwhile
            for beside in ("-wal", "-shm"):  # of the file that was there: they would spoil the new
                file.with_name(file.name + beside).unlink(missing_ok=True)
            part.replace(file)
    sync_directory(file.absolute().parent)
    return Backup(file, file.stat().st_size, n_jobs, n_folds)


def _refuse(database: Path, file: Path, *, force: bool) -> None:
    own = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm", ".part")]
    if os.path.realpath(file) in map(os.path.realpath, own):
        raise UnfitPlace(f"{file} is the database itself.", "Name another file.")
    if file.is_dir():
        raise UnfitPlace(f"{file} is a directory.", f"Name a file: {file / 'foldq-backup.db'}")
    if not file.absolute().parent.is_dir():
        raise UnfitPlace(f"There is no directory {file.absolute().parent}.", "Make it first.")
    if os.path.lexists(file) and not force:
        raise UnfitPlace(
            f"{file} is there already.", "Name another file, or put the copy in its place: --force"
        )


@contextmanager
def _part(file: Path) -> Iterator[Path]:
    """Give the empty file that is written first, this process's own; gone if it was not renamed."""
    part = file.with_name(f"{file.name}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, OWNER_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(
                f"Another backup is writing {part}.", "Wait for it, or name another file."
            ) from None
        # One that was killed may have left it.
        os.fchmod(descriptor, OWNER_FILE)
        os.ftruncate(descriptor, 0)
        for beside in ("-journal", "-wal", "-shm"):
            part.with_name(part.name + beside).unlink(missing_ok=True)
        try:
            yield part
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    finally:
        os.close(descriptor)


def _copy(
    records: sqlite3.Connection, part: Path, progress: Callable[[int, int], None] | None
) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        # Begun anew if it is interrupted, synced as a whole when it is complete.
        copy.execute("PRAGMA synchronous=OFF")
        copy.execute("PRAGMA journal_mode=MEMORY")
        # Without a transaction around it a copy starts anew whenever something is recorded.
        records.execute("BEGIN")
        records.execute("SELECT 1 FROM sqlite_master").fetchone()

        def tell(_status: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(total - remaining, total)

        records.backup(copy, pages=PAGES, progress=tell, sleep=0)
        records.execute("ROLLBACK")
        # One file that opens anywhere; a scheduler puts its own back into WAL mode.
        copy.execute("PRAGMA journal_mode=DELETE")


def _look_through(part: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro", uri=True)) as copy:
        try:
            damages = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
            n_jobs, n_folds = copy.execute(
                "SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM task WHERE kind = 'fold')"
            ).fetchone()
        except sqlite3.DatabaseError as error:
            damages = [str(error)]
    if damages != ["ok"]:
        raise BackupFailed(
            f"The records are damaged, and so was the copy: {'; '.join(damages)}.",
            "To see more: foldq doctor",
        )
    return n_jobs, n_folds


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
