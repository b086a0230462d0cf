"""What `foldq doctor` looks at: whether this machine and this spool can be relied on.

Every check is a function that looks and returns a `Finding`; none changes anything, and the
database is opened for reading only. A check that fails itself is a finding too: the command is
meant for days on which things are broken. The checks stand here and in `service/doctor_files.py`,
`doctor_machine.py` and `doctor_records.py`.
"""

import importlib.metadata
import platform
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from service import doctor_files as files
from service import doctor_machine as machine
from service import doctor_records as records
from service.patient import Finding, Notes, Patient

Check = Callable[[Patient], Finding | None]


def examine(spool: Path | None) -> Iterator[Finding]:
    """Look at everything, one after the other; a check that does not apply yields nothing.

    Parameters
    ----------
    spool : Path or None
        As given on the command line; else `FOLDQ_SPOOL`, else `./spool`.
    """
    patient = Patient(spool)
    for subsystem, check in all_checks():
        try:
            found = check(patient)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            found = Finding(
                subsystem, "critical", f"This could not be looked at. {said}", _way_out(error)
            )
        if found is not None:
            yield found


def all_checks() -> list[tuple[str, Check]]:
    """Give every check with the name of what it looks at, in the order of the report."""
    return [
        ("Python", packages),
        ("SQLite", sqlite_version),
        ("settings", settings),
        ("spool", files.rights),
        ("disk", files.file_systems),
        ("space", files.space),
        ("database", records.integrity),
        ("tables", records.tables),
        ("scheduler", records.scheduler),
        ("engines", records.engines),
        ("processes", machine.processes),
        ("connection", files.connection_files),
        ("memory", machine.memory),
        ("open files", machine.open_files),
    ]


def _way_out(error: Exception) -> str | None:
    if isinstance(error, PermissionError):
        return "run the command as the owner of the spool"
    return getattr(error, "next_step", None)


# --- the programs --------------------------------------------------------------------------------


def packages(_: Patient) -> Finding:
    """Tell the versions that decide the numbers."""
    from workers.welcome import versions

    try:
        found = versions()
    except importlib.metadata.PackageNotFoundError as error:
        return Finding(
            "Python", "critical", f"the package {error.name} is not installed", "make setup"
        )
    others = ", ".join(f"{name} {found[name]}" for name in found if name != "python")
    return Finding("Python", "ok", f"{platform.python_version()}, {others}")


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Tell whether a version of SQLite has the WAL-reset bug (https://sqlite.org/wal.html).

    It came with 3.7.0 and went with 3.51.3; 3.50.7 and 3.44.6 are repaired releases of older
    branches.
    """
    repaired = (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51)
    return (3, 7) <= version < (3, 51, 3) and not repaired


def sqlite_version(_: Patient) -> Finding:
    """Tell the version of SQLite, and whether it has a bug that could damage the records."""
    version = sqlite3.sqlite_version_info
    major, minor, patch = version[:3]
    if not has_wal_reset_bug((major, minor, patch)):
        return Finding("SQLite", "ok", f"{sqlite3.sqlite_version}, without the WAL-reset bug")
    # Only a warning: readers open the file with mode=ro, which can neither write nor checkpoint,
    # and whoever holds the spool's lock does both, over one connection.
    return Finding(
        "SQLite",
        "warning",
        f"{sqlite3.sqlite_version} has the WAL-reset bug (3.7.0 to 3.51.2): two connections that"
        " write or checkpoint at the same instant can damage a database. Only one of foldq's ever"
        " does, so the records are safe while no other program writes to them.",
        "let other programs only read foldq.db (mode=ro), or use a Python with SQLite 3.51.3 or"
        " newer, 3.50.7 or 3.44.6",
    )


# --- the settings --------------------------------------------------------------------------------


def settings(patient: Patient) -> Finding:
    """Tell whether flags, environment and foldq.toml can be used, and lead anywhere."""
    notes = Notes()
    if patient.settings_problem is not None:
        for problem in patient.settings_problem.problems:
            notes.fail(str(problem).rstrip("."))
    for root in patient.settings.data_roots:
        if not root.is_dir():
            notes.warn(f"data_roots names {root}, which is no directory", f"mkdir {root}")
    connection_file = patient.settings.cluster.connection_file
    if connection_file is not None and not connection_file.is_file():
        notes.fail(
            f"cluster.connection_file names {connection_file}, which is not there",
            "start that cluster, or name its ipcontroller-client.json",
        )
    file = patient.spool / "foldq.toml"
    return notes.finding("settings", f"{file} is valid" if file.is_file() else "no foldq.toml")
