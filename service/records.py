"""The records, read: a connection that cannot write, and typed rows.

Only the daemon writes the database (`service/store.py`); everything else comes through here.
Plain `sqlite3` on purpose: importing sqlite-utils brings pandas with it, 0.7 s that a command
such as `foldq status` would spend on nothing.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from schemas.lifecycle import JobState
from schemas.problems import nearest, shown
from service.recordfaults import NewerDatabase, OlderDatabase, faults_named

#: The names of `service.migrations.migrations`: importing those would take half a second.
KNOWN_MIGRATIONS = frozenset(
    {
        "m001_tables",
        "m002_engine_identity",
        "m003_spared_time",
        "m004_scale",
        "m005_steering",
        "m006_hooks",
    }
)

#: Decimal places of an id, one more than SQLite has.
_ID_DIGITS = 19
#: The latest jobs, whose names are compared with one that there is not.
_NAMES_COMPARED = 1_000


class NoRecords(Exception):
    """There is no database yet: no scheduler has run on this spool."""

    def __init__(self, database: Path) -> None:
        super().__init__(f"There are no records at {database}.")
        self.database = database


class NoSuchJob(LookupError):
    """The records hold no job with that id, or of that name."""

    def __init__(self, job_id: int | str, near: str | None = None) -> None:
        named = f"of the name {shown(job_id)}" if isinstance(job_id, str) else str(job_id)
        meant = f" Did you mean {near}?" if near else ""
        super().__init__(f"There is no job {named}.{meant}")
        self.job_id = job_id


@contextmanager
def open_records(database: Path, *, older: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the database for reading only.

    Every read sees one moment of the records and never makes the writer wait (the database is
    in WAL mode). Rows can be indexed by column name.

    Parameters
    ----------
    database : Path
    older : bool, default=False
        Open records of an older foldq too, of which some columns may be missing.

    Raises
    ------
    NoRecords
        The file is not there, or no scheduler has made its tables yet.
    NewerDatabase
        A newer version of foldq has changed the tables.
    OlderDatabase
        No scheduler of this version has brought the tables up to date yet.
    RecordsUnusable, RecordsDamaged
        Also for what a question in the block comes upon.
    """
    if not database.is_file():
        raise NoRecords(database)
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    with faults_named(database), closing(sqlite3.connect(uri, uri=True, timeout=10.0)) as records:
        records.row_factory = sqlite3.Row
        if not _has_tables(records):
            raise NoRecords(database)
        _refuse_others(records, database, older=older)
        yield records


def _has_tables(records: sqlite3.Connection) -> bool:
    made = "SELECT 1 FROM sqlite_master WHERE name = 'event'"
    try:
        return records.execute(made).fetchone() is not None
    except sqlite3.OperationalError as error:
        # Its scheduler was killed as it made the file, before the file could be read beside it.
        if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
            return False
        raise


def _refuse_others(records: sqlite3.Connection, database: Path, *, older: bool) -> None:
    made = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if records.execute(made).fetchone() is None:
        return
    applied = records.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'foldq'")
    names = {row["name"] for row in applied}
    if unknown := names - KNOWN_MIGRATIONS:
        raise NewerDatabase(database, unknown)
    if names != KNOWN_MIGRATIONS and not older:
        raise OlderDatabase(database)


def timestamp(moment: datetime) -> str:
    """Write a moment as the records do: ISO 8601, UTC, milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str | None) -> datetime | None:
    """Read an ISO-8601 time of the records; one without an offset is UTC."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def seconds_between(start: str | None, end: str | None, now: datetime) -> float | None:
    """Seconds from `start` to `end` (to `now` while there is no end); None before the start."""
    begun = parse_time(start)
    if begun is None:
        return None
    return max(0.0, ((parse_time(end) or now) - begun).total_seconds())


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `job`, its JSON columns decoded.

    Attributes
    ----------
    spec : dict
        The job file as validated, every default filled in: `JobSpec.model_validate(job.spec)`.
    metrics : tuple of str
        Names of the metrics as they stand in `cv_results_`; ("score",) for a single one.
    n_reused : int
        Folds whose results were in the records already.
    spared_seconds : float
        What the fits of its folds were spared, because another fold had done that part.
    best_index : int or None
        Row in `cv_results_`.
    refitted : dict or None
        `schemas.task.Refitted`, once the winner has been saved.
    """

    id: int
    name: str
    state: JobState
    reason: str | None
    file_name: str
    file_digest: str
    same_content_as: int | None
    spec: dict[str, Any]
    strategy: str
    estimator: str
    data: str
    metrics: tuple[str, ...]
    tags: tuple[str, ...]
    priority: int
    max_engines: int | None
    data_fingerprint: str | None
    n_samples: int | None
    n_features: int | None
    n_splits: int | None
    versions: dict[str, str]
    n_candidates: int
    n_tasks: int
    n_done: int
    n_failed: int
    fold_seconds: float
    n_reused: int
    spared_seconds: float
    best_index: int | None
    best_score: float | None
    best_params: dict[str, Any] | None
    refitted: dict[str, Any] | None
    submitted_at: str
    started_at: str | None
    finished_at: str | None

    @property
    def chosen_metric(self) -> str:
        """The metric its winner is chosen by; the first one when none is to be chosen."""
        refit = self.spec.get("refit")
        wanted = refit.get("one_se") if isinstance(refit, dict) else refit
        return wanted if isinstance(wanted, str) and wanted in self.metrics else self.metrics[0]

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Self:
        """Make one from a row that holds at least `JOB_COLUMNS`."""

        def decoded(column: str) -> Any:
            return None if row[column] is None else json.loads(row[column])

        return cls(
            id=row["id"],
            name=row["name"],
            state=JobState(row["state"]),
            reason=row["reason"],
            file_name=row["file_name"],
            file_digest=row["file_digest"],
            same_content_as=row["same_content_as"],
            spec=decoded("spec"),
            strategy=row["strategy"],
            estimator=row["estimator"],
            data=row["data"],
            metrics=tuple(decoded("scoring")),
            tags=tuple(decoded("tags")),
            priority=row["priority"],
            max_engines=row["max_engines"],
            data_fingerprint=row["data_fingerprint"],
            n_samples=row["n_samples"],
            n_features=row["n_features"],
            n_splits=row["n_splits"],
            versions=decoded("versions") or {},
            n_candidates=row["n_candidates"],
            n_tasks=row["n_tasks"],
            n_done=row["n_done"],
            n_failed=row["n_failed"],
            fold_seconds=row["fold_seconds"],
            n_reused=row["n_reused"],
            spared_seconds=row["spared_seconds"],
            best_index=row["best_index"],
            best_score=row["best_score"],
            best_params=decoded("best_params"),
            refitted=decoded("refitted"),
            submitted_at=row["submitted_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
        )


#: Every column of `job` but the bytes of its file, which few questions need.
JOB_COLUMNS = (
    "id, name, state, reason, file_name, file_digest, same_content_as, spec, strategy, estimator,"
    " data, scoring, tags, priority, max_engines, data_fingerprint, n_samples, n_features,"
    " n_splits, versions, n_candidates, n_tasks, n_done, n_failed, fold_seconds, n_reused,"
    " spared_seconds, best_index, best_score, best_params, refitted, submitted_at, started_at,"
    " finished_at"
)


def find_job(records: sqlite3.Connection, job_id: int) -> Job:
    """Give the job with that id.

    Raises
    ------
    NoSuchJob
    """
    row = select(records, f"SELECT {JOB_COLUMNS} FROM job WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(job_id)
    return Job.from_row(row)


def find_named(records: sqlite3.Connection, word: str) -> Job:
    """Give the job that somebody means by a word: its id, else the latest job of that name.

    Raises
    ------
    NoSuchJob
    """
    if word.isascii() and word.isdigit() and len(word) < _ID_DIGITS:
        return find_job(records, int(word))
    asked = f"SELECT {JOB_COLUMNS} FROM job WHERE name = ? ORDER BY id DESC LIMIT 1"
    row = select(records, asked, (word,)).fetchone()
    if row is None:
        latest = records.execute(
            "SELECT name FROM job ORDER BY id DESC LIMIT ?", (_NAMES_COMPARED,)
        )
        raise NoSuchJob(word, nearest(word, [name for (name,) in latest]))
    return Job.from_row(row)


def draws_unseeded(records: sqlite3.Connection, job: Job) -> bool:
    """Tell whether a job is known to draw random numbers without a seed.

    Its candidates have no content key then. Those of a job with `reuse: false` have none either
    way, so of such a job nothing is known.
    """
    if not job.spec.get("reuse", True):
        return False
    asked = "SELECT 1 FROM candidate WHERE job_id = ? AND content_key IS NULL LIMIT 1"
    return records.execute(asked, (job.id,)).fetchone() is not None


def select(
    records: sqlite3.Connection,
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> sqlite3.Cursor:
    """Run a query whose rows are indexed by name, whatever the connection's own row factory is."""
    cursor = records.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(sql, parameters)
