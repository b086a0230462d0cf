"""Copies of a live database, cut anywhere: each is a whole earlier moment."""

import contextlib
import random
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invariants import check_records
from proving import Ground
from state import State, say
from workloads import GRID, Phase, Workload, as_file

from service.store import Store

_SPACE = {"space": {"C": {"$logspace": [-3, 3, 120]}}}
_RECORDED = Workload(
    "recorded",
    (Phase({"recorded.json": as_file(GRID, name="recorded", search=_SPACE, reuse=False)}),),
    admitted={"earlier.json": as_file(GRID, name="earlier")},
)


def copies(ground: Ground, state: State, wanted: int, seed: int) -> None:
    """Record a search in one long WAL, and open so many copies of it that end at a random byte.

    A reader that looks at the first moment keeps SQLite from folding the WAL into the database, so
    the two files together hold the whole history, and any prefix of the WAL is what a power cut
    leaves. Every second copy ends in a torn page: bytes that were never written whole.
    """
    part = state["copies"]
    part.update(n_copies=0)
    history, wal = _record(ground, state.directory / "copies")
    chance = random.Random(seed)
    size = wal.stat().st_size
    part["wal_bytes"] = size
    content = wal.read_bytes()
    lengths = sorted([0, size, *(chance.randrange(size) for _ in range(wanted - 2))])
    full = _moment(_opened(history, content, b"", state.directory / "copies" / "copy"))
    before: dict[str, Any] = {}
    for n, length in enumerate(lengths, start=1):
        torn = chance.randbytes(chance.randrange(1, 4096)) if n % 2 else b""
        where = _opened(history, content[:length], torn, state.directory / "copies" / "copy")
        try:
            moment = _moment(where)
            _check_prefix(moment, full)
            _check_prefix(before, moment)
            before = moment
            _check_goes_on(where)
        except (AssertionError, sqlite3.Error) as error:
            state.fail("copies", f"cut at {length} of {size}: {type(error).__name__}: {error}")
        part["n_copies"] = n
        if n % 100 == 0:
            say(f"copies: {n}/{wanted}")
            state.save()
    shutil.rmtree(state.directory / "copies")


def _record(ground: Ground, directory: Path) -> tuple[Path, Path]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with ground.play(_RECORDED) as play:
        play.begin(play.workload.phases[0])
        database = play.spool / "foldq.db"
        with contextlib.closing(sqlite3.connect(database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM job").fetchone()
            play.run()
            history = Path(shutil.copy(database, directory / "history.db"))
            wal = Path(shutil.copy(f"{database}-wal", directory / "history.wal"))
    return history, wal


def _opened(history: Path, wal: bytes, torn: bytes, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    shutil.copy(history, to / "foldq.db")
    (to / "foldq.db-wal").write_bytes(wal + torn)
    return to / "foldq.db"


def _moment(database: Path) -> dict[str, Any]:
    """Check the copy and say what it holds, as sets that only grow."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row

        def query(sql: str, *parameters: object) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(sql, parameters)]

        check_records(query)

        def rows(sql: str) -> set[tuple[Any, ...]]:
            return {tuple(row) for row in connection.execute(sql)}

        return {
            "events": rows("SELECT id, at, kind, message FROM event"),
            "jobs": rows("SELECT id, file_name FROM job"),
            "candidates": rows("SELECT id, number, params FROM candidate"),
            "results": rows(
                "SELECT id, test_scores, fit_time FROM task WHERE kind = 'fold' AND state = 'done'"
            ),
            "attempts": rows("SELECT id, task_id, engine_id, submitted_at FROM attempt"),
            "ended": rows("SELECT id, outcome, finished_at FROM attempt WHERE outcome IS NOT NULL"),
        }


def _check_prefix(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    for name, rows in earlier.items():
        assert rows <= later[name], f"{name} that the later moment does not have"


def _check_goes_on(database: Path) -> None:
    """A scheduler can take it up: what was open is put back."""
    store = Store(database)
    try:
        store.recover(datetime.now(UTC))
        open_tasks = "SELECT count(*) FROM task WHERE state = 'dispatched'"
        assert store.connection.execute(open_tasks).fetchone() == (0,)
    finally:
        store.close()
