"""The writer's connection to the records: opened with care, patient, with a small write-ahead log.

`synchronous=FULL`: what is committed survives a power cut, because a file was moved or a batch sent
on the strength of it.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlite_utils import Database

from service.migrations import migrations
from service.recordfaults import NewerDatabase, faults_named, hint, is_shortage, said
from workers.failpoints import failpoint

log = logging.getLogger("foldq.store")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: Seconds for which SQLite itself waits for another program's write to end.
_BUSY = 5.0

#: Bytes of the write-ahead log: what is left of it after it was folded in, the size from which the
#: loop folds it in by force, and the one from which it takes its time to.
_WAL_KEPT = 4 * 2**20
_WAL_FOLDED = 16 * 2**20
_WAL_PRESSING = 32 * 2**20

#: Milliseconds that folding in may wait for readers, and seconds between two tries.
_READERS_MS = 200
_READERS_PRESSING_MS = 2000
_FOLD_RETRY = 1.0


def enduring(method: F) -> F:
    """Repeat a method of a Writer until the machine lets it happen."""

    @wraps(method)
    def repeated(self: "Writer", *args: Any, **kwargs: Any) -> Any:
        waited = False
        while True:
            try:
                answer = method(self, *args, **kwargs)
            except sqlite3.OperationalError as error:
                if self.wait is None or not is_shortage(error):
                    raise
                waited = True
                told = hint(error)
                self.wait(f"the records ({self.path}) cannot be written: {said(error)}. {told}")
            else:
                if waited and self.wait is not None:
                    self.wait(None)
                return answer

    return cast(F, repeated)


class Writer:
    """The connection of the one that writes the records.

    Parameters
    ----------
    path : Path
        The database file, made with its tables if it is not there.
    synchronous : {"FULL", "NORMAL"}
        SQLite's care: with NORMAL a power cut may undo the last commits.

    Attributes
    ----------
    wait : callable or None
        What to do when the machine refuses a read or a transaction (no room, no right, another
        program's lock): it is given the reason, takes its time, and the same is tried again; None
        tells it that the wait is over. What it raises ends the wait. Without it the error of
        SQLite is raised.

    Raises
    ------
    NewerDatabase
        If its tables were made by a newer version.
    RecordsUnusable
        If the file cannot be opened or written.
    RecordsDamaged
        If it is not a database.
    """

    def __init__(self, path: Path, *, synchronous: str = "FULL"):
        self.path = path
        self._log = path.with_name(f"{path.name}-wal")
        self.wait: Callable[[str | None], None] | None = None
        self._fold_again = 0.0
        self._pinned = False
        with faults_named(path):
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY)
            try:
                self._open(synchronous)
            except BaseException:
                self.connection.close()
                raise

    def _open(self, synchronous: str) -> None:
        self.path.chmod(0o600)
        self.db = Database(self.connection, execute_plugins=False)
        self._refuse_newer()  # before anything of it is changed
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute(f"PRAGMA synchronous={synchronous}")
        self.connection.execute("PRAGMA cache_size=-65536")
        self.connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT}")
        self.connection.execute("PRAGMA foreign_keys=OFF")  # migrations may write tables anew
        with self.transaction():  # all or none: who reads meanwhile finds no half-made tables
            migrations.apply(self.db)
        self.connection.execute("PRAGMA foreign_keys=ON")
        failpoint("store.migrated")
        # Found out now, not when the first job has come: may it be written?
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("ROLLBACK")

    def _refuse_newer(self) -> None:
        known = {migration.name for migration in migrations.pending(Database(memory=True))}
        unknown = {migration.name for migration in migrations.applied(self.db)} - known
        if unknown:
            raise NewerDatabase(self.path, unknown)

    def close(self) -> None:
        """Close the database; the WAL is folded in."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. Begun IMMEDIATE: a deferred one could fail half-way with BUSY."""
        self._roll_back()  # what the disk did not even let be rolled back the last time
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.OperationalError):
                self._roll_back()
            raise

    def _roll_back(self) -> None:
        """End a transaction that is open still: after some errors SQLite has ended it itself."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @enduring
    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question to the records that only reads, and so can be asked again."""
        return question(self.connection)

    @enduring
    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Make a change in a transaction of its own."""
        with self.transaction() as db:
            answer = change(db)
            failpoint("store.change.commit.before")
        failpoint("store.change.commit.after")
        return answer

    # --- the write-ahead log -----------------------------------------------------------------

    def fold_in(self) -> None:
        """Keep the write-ahead log small. To be called all the time: it looks at a size, mostly.

        SQLite begins the log anew only at a moment when nobody reads from it, and with commands
        that look at the records all the time there may be none: then one has to be made.
        """
        now = time.monotonic()
        if now < self._fold_again:
            return
        try:
            size = self._log.stat().st_size
        except OSError:
            return
        if size < _WAL_FOLDED:
            self._pinned = False
            return
        self._fold_again = now + _FOLD_RETRY
        patience = _READERS_MS if size < _WAL_PRESSING else _READERS_PRESSING_MS
        # What cannot be done now is done later; that the disk is full is told by who writes.
        with suppress(sqlite3.OperationalError):
            self.connection.execute(f"PRAGMA busy_timeout={patience}")
            try:
                busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                self.connection.execute(f"PRAGMA busy_timeout={int(_BUSY * 1000)}")
            if busy and size >= _WAL_PRESSING and not self._pinned:
                self._pinned = True
                log.warning(
                    "%s-wal has grown to %d MB: another program has been reading the records in "
                    "one transaction for long; end it",
                    self.path,
                    size // 2**20,
                )
