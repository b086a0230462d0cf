"""Read back from SQLite's own DDL what the tables of the records are, with the comments in it."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import sqlite_utils

from service import migrations

_CONSTRAINTS = ("CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "CONSTRAINT")
_WORD = re.compile(r"\w+")
_SOURCE = re.compile(r"\b([a-z]\w*)\.(\w+)(?: AS (\w+))?")


@dataclass(frozen=True)
class Column:
    """A column of a table or a view; of a view's, `origin` is the table and column it shows."""

    name: str
    type: str
    comment: str = ""
    definition: str = ""
    origin: tuple[str, str] | None = None

    @property
    def may_be_null(self) -> bool:
        """Whether the column need not hold anything."""
        return "NOT NULL" not in self.definition and "PRIMARY KEY" not in self.definition


@dataclass(frozen=True)
class Table:
    """A table with its columns, its rules for whole rows, its indexes and its triggers."""

    name: str
    columns: tuple[Column, ...]
    rules: tuple[str, ...]
    indexes: tuple[str, ...]
    triggers: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A view with its columns, and the SELECT that it stands for."""

    name: str
    columns: tuple[Column, ...]
    select: str


def read() -> tuple[list[Table], list[View]]:
    """Return the tables and views of new records, in the order in which they are first made."""
    with closing(sqlite3.connect(":memory:")) as connection:
        migrations.migrations.apply(sqlite_utils.Database(connection))
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        later = _comments_of_later_columns()
        tables = [
            _table(
                name,
                sql,
                later,
                [s for kind, _, of, s in made if (kind, of) == ("index", name) and s],
                [s for kind, _, of, s in made if (kind, of) == ("trigger", name)],
            )
            for kind, name, _, sql in made
            if kind == "table" and not name.startswith(("_", "sqlite_"))
        ]
        order = re.findall(r"CREATE TABLE (\w+) ", Path(migrations.__file__).read_text())
        tables.sort(key=lambda table: order.index(table.name))
        views = [
            _view(connection, name, sql, {table.name: table for table in tables})
            for kind, name, _, sql in made
            if kind == "view"
        ]
    return tables, views


def _comments_of_later_columns() -> dict[tuple[str, str], str]:
    """Return what stands beside each ALTER TABLE of the migrations: SQLite keeps no comment there.

    Returns
    -------
    dict
        Comment, by table and column.
    """
    source = Path(migrations.__file__).read_text()
    added = re.findall(r'"ALTER TABLE (\w+) ADD COLUMN (\w+)[^"\n]*"[),]*\s*# (.+)', source)
    return {(table, column): comment for table, column, comment in added}


def _table(
    name: str,
    sql: str,
    later: dict[tuple[str, str], str],
    indexes: list[str],
    triggers: list[str],
) -> Table:
    columns, rules = [], []
    for text, comment in _items(sql):
        first = _WORD.findall(text)[0]
        if first.upper() in _CONSTRAINTS:
            rules.append(text)
            continue
        words = text.split()
        columns.append(Column(first, words[1], comment or later.get((name, first), ""), text))
    return Table(name, tuple(columns), tuple(rules), tuple(indexes), tuple(triggers))


def _items(sql: str) -> Iterator[tuple[str, str]]:
    """Yield what stands between the commas of a CREATE TABLE, each with the comment at its end."""
    text, comment, depth = "", "", 0
    pending: str | None = None  # an item whose line may yet end with a comment
    for token in re.findall(r"'[^']*'|--[^\n]*|\n|.", sql):
        if token.startswith("--"):
            said = token.removeprefix("--").strip()
            if pending is not None or text.strip():
                comment = said
            continue
        if token == "\n" and pending is not None:
            yield pending, comment
            pending, comment = None, ""
        depth += (token == "(") - (token == ")")
        if depth == 0:
            if token == ")":
                break
            continue
        if depth == 1 and token == "(" and not text.strip():
            continue
        if depth == 1 and token == ",":
            if pending is not None:
                yield pending, comment
                comment = ""
            pending, text = " ".join(text.split()), ""
            continue
        text += token
    if pending is not None:
        yield pending, comment
        comment = ""
    if text.strip():
        yield " ".join(text.split()), comment


def _view(connection: sqlite3.Connection, name: str, sql: str, tables: dict[str, Table]) -> View:
    select = sql[sql.index("SELECT") :]
    shown, _, rest = select.removeprefix("SELECT").partition("FROM")
    sources = {alias or column: (table, column) for table, column, alias in _SOURCE.findall(shown)}
    if shown.strip() == "*":
        (table,) = _WORD.findall(rest)[:1]
        sources = {column.name: (table, column.name) for column in tables[table].columns}
    columns = []
    for _, column, *_ in connection.execute(f"PRAGMA table_info({name})"):
        origin = sources[column]
        (of,) = (c for c in tables[origin[0]].columns if c.name == origin[1])
        columns.append(replace(of, name=column, origin=origin))
    return View(name, tuple(columns), select)
