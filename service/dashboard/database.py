"""The records as Datasette asks them: each question on a connection of its own that cannot write.

`mode=ro`, like every command that looks: SQLite then reads the write-ahead log too, and sees what
was committed a moment ago. `immutable=1`, Datasette's other way, would read the database file alone
and believe that it never changes: stale or torn rows while a scheduler writes.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasette.app import Datasette
from datasette.database import Database
from datasette.plugins import pm

from service.records import open_records

T = TypeVar("T")

#: Largest text or blob that a query may make (bytes), so that `zeroblob(1e9)` is nobody's end.
_MAX_BYTES = 64 << 20

#: What a query may not do: open other files, or write, which the connection could not do anyway.
_FORBIDDEN = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_WRITING = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})

#: Pragmas that only tell; Datasette looks at the tables with them.
_PRAGMAS = frozenset(
    {
        "database_list", "foreign_key_list", "function_list", "index_info", "index_list",
        "index_xinfo", "page_count", "page_size", "schema_version", "table_info", "table_list",
        "table_xinfo",
    }
)  # fmt: skip


class LiveRecords(Database):  # type: ignore[misc]
    """The records of a spool, which a scheduler may be writing, replacing or only about to make.

    A connection for each question rather than one for each thread: none is left that holds a file
    which somebody moved away, and no reader keeps the write-ahead log from being folded in.
    """

    def __init__(self, datasette: Datasette, path: Path) -> None:
        super().__init__(datasette, path=str(path), is_mutable=True)
        self._file = path

    def connect(self, write: bool = False) -> Any:  # noqa: ARG002
        """Refuse: there is no connection that stays, and none that writes."""
        raise PermissionError("the records are only read here")

    async def execute_write_fn(self, fn: Any, block: bool = True) -> Any:  # noqa: ARG002
        """Refuse.

        Raises
        ------
        PermissionError
        """
        raise PermissionError("the records are only read here")

    async def execute(self, *args: Any, **options: Any) -> Any:
        """Run SQL as Datasette does, without its note on stderr about every mistake in it.

        Raises
        ------
        sqlite3.OperationalError
            Also for what is forbidden; Datasette shows it beside the query.
        """
        try:
            return await super().execute(*args, **{**options, "log_sql_errors": False})
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH:
                raise sqlite3.OperationalError("only reading these records is allowed") from error
            raise

    async def execute_fn(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Ask a question in one of Datasette's threads.

        Raises
        ------
        NoRecords, NewerDatabase, OlderDatabase, RecordsUnusable, RecordsDamaged
        """

        def ask() -> T:
            with open_records(self._file) as records:
                records.text_factory = lambda text: str(text, "utf-8", "replace")
                pm.hook.prepare_connection(conn=records, database=self.name, datasette=self.ds)
                records.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
                records.set_authorizer(_authorize)
                return fn(records)

        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, ask)


def _authorize(action: int, name: str | None, *_: object) -> int:
    refused = (
        action in _FORBIDDEN
        # A virtual table such as json_each is declared, for itself alone, by a row in the schema.
        or (action in _WRITING and name != "sqlite_master")
        or (action == sqlite3.SQLITE_PRAGMA and name not in _PRAGMAS)
    )
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK
