"""What `foldq doctor` sees in the records: the file, its tables, the scheduler and its engines."""

import json
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.doctor_machine import is_alive
from service.patient import MEBI, Finding, Notes, Patient
from service.recordfaults import NewerDatabase, OlderDatabase, RecordsDamaged, RecordsUnusable
from service.records import NoRecords, open_records
from service.sizes import size

RESTORE = "stop the scheduler and put a backup in its place: docs/commands.md, backup"

#: A larger database is looked through without its indexes, which is not as thorough.
THOROUGH_UP_TO = 512 * MEBI

#: Why records that are there cannot be read.
_UNUSABLE = (RecordsUnusable, RecordsDamaged, NewerDatabase, OlderDatabase)

#: Damages that are told; a damaged file can have thousands.
TOLD_DAMAGES = 3


@contextmanager
def _records(patient: Patient, *, older: bool = False) -> Iterator[sqlite3.Connection | None]:
    """Open the records; None when there are none, or when `integrity` cannot even open them."""
    with ExitStack() as stack:
        try:
            records = stack.enter_context(open_records(patient.database, older=older))
        except (NoRecords, *_UNUSABLE):
            records = None
        yield records


def integrity(patient: Patient) -> Finding:
    """Look through the file for damage."""
    path = patient.database
    try:
        with open_records(path, older=True) as records:
            n_pages, page_size = (
                records.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size")
            )
            n_bytes = n_pages * page_size
            pragma = "integrity_check" if n_bytes <= THOROUGH_UP_TO else "quick_check"
            notes = Notes()
            damages = [row[0] for row in records.execute(f"PRAGMA {pragma}({TOLD_DAMAGES})")]
            if damages != ["ok"]:
                notes.fail(f"{path} is damaged: {'; '.join(damages)}", RESTORE)
            _references(records, notes)
            (n_jobs,) = records.execute("SELECT count(*) FROM job").fetchone()
    except NoRecords:
        if path.exists() and path.stat().st_size:
            told = f"{path} is no database of foldq: it has none of its tables"
            return Finding("database", "critical", told, "name another: `database` in foldq.toml")
        return Finding("database", "ok", f"none at {path} yet: the first scheduler makes it")
    except RecordsDamaged as error:
        return Finding("database", "critical", str(error), RESTORE)
    except _UNUSABLE as error:
        return Finding("database", "critical", str(error), error.next_step)
    jobs = f"{n_jobs} job{'' if n_jobs == 1 else 's'}"
    how = "intact" if pragma == "integrity_check" else "intact (indexes not looked at)"
    return notes.finding("database", f"{path}: {how}, {size(n_bytes)}, {jobs}")


def _references(records: sqlite3.Connection, notes: Notes) -> None:
    """Look for rows that refer to what is not there."""
    dangling = Counter((row[0], row[2]) for row in records.execute("PRAGMA foreign_key_check"))
    if not dangling:
        return
    from service.outdated import unswept

    told = ", ".join(f"{n} of {table} to {parent}" for (table, parent), n in dangling.items())
    if unswept(records):
        told = f"rows of pruned jobs are left ({told}): the prune was interrupted"
        notes.warn(told, "foldq prune --older-than 90d goes on with it")
    else:
        notes.fail(f"rows refer to what is not there: {told}", RESTORE)


def tables(patient: Patient) -> Finding | None:
    """Compare tables, indexes, triggers and views with those that the migrations make."""
    from sqlite_utils import Database

    from service.migrations import migrations

    with _records(patient, older=True) as records:
        if records is None:
            return None
        applied = [m.name for m in migrations.applied(Database(records, execute_plugins=False))]
        found = _objects(records)
    ours = Database(memory=True, execute_plugins=False)
    known = [migration.name for migration in migrations.pending(ours)]
    pending = [name for name in known if name not in applied]
    migrations.apply(ours, stop_before=pending)
    wanted = _objects(ours.conn)
    notes = Notes()
    for name, (kind, sql) in wanted.items():
        if name not in found:
            notes.fail(f"the {kind} {name} is missing", RESTORE)
        elif found[name][1] != sql:
            notes.fail(f"the {kind} {name} is not as foldq made it", RESTORE)
    for name in found.keys() - wanted.keys():
        kind = found[name][0]
        told = f"the {kind} {name} is not foldq's"
        if kind == "trigger":
            notes.warn(f"{told}, and may change what is recorded", f"DROP TRIGGER {name}")
        else:
            notes.warn(told, "keep your own tables and views in a database of their own")
    if pending:
        told = f"made by an older foldq: {', '.join(pending)} to come"
        notes.warn(told, "the next foldq serve brings them up to date; make a foldq backup first")
    counts = Counter(kind for kind, _ in wanted.values())
    told = ", ".join(f"{n} {kind}{'es' if kind[-1] == 'x' else 's'}" for kind, n in counts.items())
    return notes.finding("tables", f"as foldq made them: {told}")


def _objects(records: sqlite3.Connection | None) -> dict[str, tuple[str, str]]:
    """Return {name: (kind, its SQL)} of what a database is made of, but SQLite's own."""
    assert records is not None
    rows = records.execute(
        "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name != '_sqlite_migrations'"
        " ORDER BY type, name"
    )
    return {name: (kind, " ".join(sql.split())) for name, kind, sql in rows}


def scheduler(patient: Patient) -> Finding:
    """Tell whether a scheduler runs, and whether there is anything for it to do."""
    held = patient.holder
    if held is not None:
        told = f"running: process {held.pid} on {held.host}, since {held.started_at}"
        trouble = getattr(held, "trouble", None)
        if trouble:
            fix = f"what it says in {patient.spool / 'logs' / 'foldq.log'}"
            return Finding("scheduler", "critical", f"{told}. It stands still: {trouble}", fix)
        return Finding("scheduler", "ok", told)
    with _records(patient) as records:
        n_jobs = n_open = n_engines = 0
        if records is not None:
            n_jobs, n_open, n_engines = records.execute(
                "SELECT (SELECT count(*) FROM job"
                " WHERE state NOT IN ('completed', 'failed', 'cancelled', 'paused')),"
                " (SELECT count(*) FROM attempt WHERE outcome IS NULL),"
                " (SELECT count(*) FROM live_engine)"
            ).fetchone()
    notes = Notes()
    if n_jobs:
        waiting = "1 unfinished job waits" if n_jobs == 1 else f"{n_jobs} unfinished jobs wait"
        notes.warn(f"none is running, and {waiting} for one", "foldq serve")
    if n_open or n_engines:
        notes.warn(
            f"the last one was killed: {n_engines} engines and {n_open} attempts stand open in the"
            " records",
            "foldq serve puts that right, and computes nothing twice that is recorded",
        )
    return notes.finding("scheduler", "none is running, and none is needed")


def engines(patient: Patient) -> Finding | None:
    """Tell whether the engines live, and compute with the packages that this Python has."""
    from workers.welcome import versions

    if patient.holder is None:
        return None  # `scheduler` tells what stands open
    with _records(patient) as records:
        if records is None:
            return None
        rows = records.execute("SELECT id, host, pid, versions FROM live_engine").fetchall()
    if not rows:
        fix = f"wait a moment, then look at {patient.spool / 'logs' / 'foldq.log'}"
        return Finding("engines", "warning", "none has joined the scheduler", fix)
    here, notes = versions(), Notes()
    odd: Counter[str] = Counter()
    for engine_id, host, pid, recorded in rows:
        if host == socket.gethostname() and not is_alive(pid):
            told = f"engine {engine_id} (process {pid}) is dead, and recorded as alive"
            notes.warn(told, "look again in a moment: the scheduler should have noticed")
        there = json.loads(recorded)
        odd.update(
            f"{name} {there[name]} there, {here[name]} here"
            for name in here
            if name in there and there[name] != here[name]
        )
    for told, n in odd.items():
        notes.warn(
            f"{n} of {len(rows)} engines differ from this Python: {told}",
            "run foldq from the environment that the scheduler was started from, or start the"
            " scheduler anew",
        )
    hosts = len({row["host"] for row in rows})
    where = "" if hosts == 1 else f" on {hosts} hosts"
    return notes.finding("engines", f"{len(rows)} live{where}, with the packages of this Python")
