"""What can be wrong with the records: no room, no right, damage, a newer version; told in words.

Shortage is the machine's: what could not be written is written later, the same. Damage is the
file's: going on would make it worse. Light: every command that reads uses it.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: SQLite's primary result codes for what has nothing to do with the statement or the file.
_SHORTAGES: dict[int, str] = {
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "is the disk full, at a quota, mounted read-only, or broken?",
    sqlite3.SQLITE_READONLY: "give the scheduler's user the right to write there",
    sqlite3.SQLITE_CANTOPEN: "give the scheduler's user the right to write there",
    sqlite3.SQLITE_PERM: "give the scheduler's user the right to write there",
    sqlite3.SQLITE_BUSY: "another program holds them: let it commit, or end it",
    sqlite3.SQLITE_LOCKED: "another program holds them: let it commit, or end it",
    sqlite3.SQLITE_PROTOCOL: "another program holds them: let it commit, or end it",
    sqlite3.SQLITE_NOLFS: "the file system takes no file that large",
}

_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class RecordsUnusable(RuntimeError):
    """The records cannot be opened, read or written where they are: no room, no right."""

    def __init__(self, database: Path, error: Exception) -> None:
        super().__init__(f"The records ({database}) cannot be used: {said(error)}.")
        self.next_step = hint(error)


class RecordsDamaged(RuntimeError):
    """The database file is not a database, or parts of it contradict each other."""

    def __init__(self, database: Path, error: Exception) -> None:
        super().__init__(f"The records ({database}) are damaged: {said(error)}.")
        self.next_step = (
            "Nothing more was written to them. Copy the file aside, with its -wal and -shm; see "
            "how much is well: foldq doctor; put a copy in its place that foldq backup made, or "
            f"what SQLite can rescue: sqlite3 {database} .recover | sqlite3 rescued.db"
        )


class NewerDatabase(RuntimeError):
    """The database was made by a newer foldq than this one."""

    def __init__(self, database: Path, unknown: set[str]) -> None:
        super().__init__(
            f"The records ({database}) were made by a newer foldq: they have "
            f"{', '.join(sorted(unknown))}, which this version does not know."
        )
        self.next_step = "Use that version again, or another spool. Nothing was changed."


class OlderDatabase(RuntimeError):
    """The database was made by an older foldq, and no scheduler of this one has opened it yet."""

    def __init__(self, database: Path) -> None:
        super().__init__(f"The records ({database}) were made by an older foldq.")
        self.next_step = "A scheduler brings them up to date when it starts: foldq serve"


class StoppedWaiting(BaseException):
    """The operator ended the wait for room: what is not recorded is computed again.

    Not an Exception: whoever catches those would take it for the failure of a job or a file.
    """

    def __init__(self, because: str) -> None:
        super().__init__(
            f"Stopped while {because}. What was not recorded is computed again by the next start."
        )
        self.next_step = "When the cause is gone: foldq serve"


def is_shortage(error: BaseException) -> bool:
    """Tell whether the machine refused it: the same again may well succeed later."""
    return _code(error) in _SHORTAGES


def is_damage(error: BaseException) -> bool:
    """Tell whether the database file itself is damaged."""
    return _code(error) in _DAMAGES


def said(error: Exception) -> str:
    """Give the error in SQLite's or the system's own words."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)


def hint(error: Exception) -> str:
    """Say what to do about a shortage."""
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_PERM
    else:
        code = _code(error)
    told = _SHORTAGES.get(code, "see whether they lie where they should, and who may write there")
    return told[0].upper() + told[1:] + ("" if told.endswith("?") else ".")


@contextmanager
def damage_named(database: Path) -> Iterator[None]:
    """Turn SQLite's word of a damaged file into one that says which, and what to do.

    Raises
    ------
    RecordsDamaged
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise RecordsDamaged(database, error) from error
        raise


@contextmanager
def faults_named(database: Path) -> Iterator[None]:
    """Do as `damage_named`, and name the file where there is no room or no right as well.

    Raises
    ------
    RecordsDamaged, RecordsUnusable
    """
    try:
        with damage_named(database):
            yield
    except (sqlite3.OperationalError, PermissionError) as error:
        if isinstance(error, OSError) or is_shortage(error):
            raise RecordsUnusable(database, error) from error
        raise


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code; 0 for what is no error of SQLite."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
