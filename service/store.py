"""The records: every write to the database goes through here, from the one writer.

What a turn of the daemon's loop changes is written in ONE transaction (`record`), before any of
its effects are carried out. `synchronous=FULL`: what is committed survives a power cut, because a
file was moved or a batch sent on the strength of it.

Every method is one read or one transaction, and can therefore be repeated as it is. When the
machine refuses it (a full disk, a lost right) it is: see `Store.wait`.
"""

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import JsonValue
from sqlite_utils import Database

from schemas.job import JobSpec
from schemas.lifecycle import FINAL_JOB_STATES, JobState, TaskKind, TaskState
from schemas.task import EngineReport
from service.migrations import migrations
from service.recorder import Recorder
from service.recordfaults import NewerDatabase, faults_named, hint, is_shortage, said
from service.stimuli import Record, Task
from workers.failpoints import failpoint

__all__ = ["Admission", "NewerDatabase", "PlannedCandidate", "Store", "timestamp"]

log = logging.getLogger("foldq.store")

Params = Mapping[str, JsonValue]

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


def _enduring(method: F) -> F:
    """Repeat a method of Store until the machine lets it happen."""

    @wraps(method)
    def repeated(self: "Store", *args: Any, **kwargs: Any) -> Any:
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


@dataclass(frozen=True, slots=True)
class Admission:
    """What came of a submission.

    Attributes
    ----------
    is_new : bool
        False when the very same file (name and content) was admitted before.
    same_content_as : int or None
        An earlier job whose file had another name but the same bytes.
    """

    job_id: int
    is_new: bool
    same_content_as: int | None


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One row of `cv_results_` that is to be computed on every split."""

    params: Params
    iteration: int = 0
    n_resources: int | None = None
    content_key: str | None = None


def timestamp(moment: datetime) -> str:
    """Write a moment as the records do: ISO 8601, UTC, milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """The writer of the records.

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
        migrations.apply(self.db)
        self.connection.execute("PRAGMA foreign_keys=ON")
        failpoint("store.migrated")
        # Found out now, not when the first job has come: may it be written?
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("ROLLBACK")
        self._recorder = Recorder(self.connection)

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

    @_enduring
    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question to the records that only reads, and so can be asked again."""
        return question(self.connection)

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
            size = self.path.with_name(f"{self.path.name}-wal").stat().st_size
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

    # --- admission ---------------------------------------------------------------------------

    @_enduring
    def find_submission(self, name: str, digest: str) -> Admission | None:
        """Return the job that this very file became, if it was admitted before."""
        row = self.connection.execute(
            "SELECT id, same_content_as FROM job WHERE file_name = ? AND file_digest = ?",
            (name, digest),
        ).fetchone()
        return None if row is None else Admission(row[0], False, row[1])

    @_enduring
    def admit(
        self,
        spec: JobSpec,
        *,
        name: str,
        data: bytes,
        digest: str,
        estimator: str,
        now: datetime,
        warnings: Sequence[str] = (),
    ) -> Admission:
        """Record a job with its prepare task, once for each submission (file name and content).

        Parameters
        ----------
        name, data, digest
            The file as it lay in `incoming/`: its name, bytes, and their SHA-256.
        estimator : str
            Short text for people: "Pipeline(StandardScaler, SVC)".
        warnings : sequence of str
            What checking the file found odd, though not wrong.
        """
        if (known := self.find_submission(name, digest)) is not None:
            return known
        with self.transaction() as db:
            twin = db.execute(
                "SELECT min(id) FROM job WHERE file_digest = ?", (digest,)
            ).fetchone()[0]
            row = {
                "name": spec.name,
                "file_name": name,
                "file_digest": digest,
                "file_bytes": data,
                "same_content_as": twin,
                "spec": json.dumps(spec.model_dump(mode="json")),
                "strategy": spec.search.strategy,
                "estimator": estimator,
                "data": spec.data.label,
                "scoring": json.dumps(spec.metrics),
                "tags": json.dumps(list(spec.tags)),
                "priority": spec.priority,
                "max_engines": spec.max_engines,
                "submitted_at": timestamp(now),
            }
            job_id = int(self.db.table("job").insert(row).last_rowid or 0)
            self.db.table("task").insert({"job_id": job_id, "kind": TaskKind.PREPARE})
            message = f"admitted from {name}"
            if twin is not None:
                message += f"; its content is the same as job {twin}'s"
            self._recorder.note(timestamp(now), "job admitted", message, job_id=job_id)
            for warning in warnings:
                self._recorder.note(timestamp(now), "warning", warning, job_id=job_id)
            failpoint("store.admit.commit.before")
        failpoint("store.admit.commit.after")
        return Admission(job_id, True, twin)

    # --- planning ----------------------------------------------------------------------------

    @_enduring
    def n_planned(self, job_id: int, iteration: int) -> int:
        """Candidates of this iteration that stand in the records."""
        return int(
            self.connection.execute(
                "SELECT count(*) FROM candidate WHERE job_id = ? AND iteration = ?",
                (job_id, iteration),
            ).fetchone()[0]
        )

    @_enduring
    def plan(
        self, job_id: int, candidates: Sequence[PlannedCandidate], n_splits: int, now: datetime
    ) -> int:
        """Record candidates and their fold tasks; return how many of these are to be computed.

        Folds whose results are in the records already, under a candidate of the same content, are
        recorded as done with their origin.
        """
        at = timestamp(now)
        with self.transaction() as db:
            first_number: int = db.execute(
                "SELECT n_candidates FROM job WHERE id = ?", (job_id,)
            ).fetchone()[0]
            first_id: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM candidate").fetchone()[
                0
            ]
            known = self._known_folds(candidates)
            db.executemany(
                "INSERT INTO candidate (id, job_id, number, iteration, n_resources, params,"
                " content_key) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        first_id + i,
                        job_id,
                        first_number + i,
                        candidate.iteration,
                        candidate.n_resources,
                        json.dumps(candidate.params),
                        candidate.content_key,
                    )
                    for i, candidate in enumerate(candidates)
                ),
            )
            folds = [
                (job_id, first_id + i, split, *known.get((candidate.content_key, split), _UNKNOWN))
                for i, candidate in enumerate(candidates)
                for split in range(n_splits)
            ]
            db.executemany(
                "INSERT INTO task (job_id, kind, candidate_id, split, state, origin_task_id,"
                " test_scores, train_scores, fit_time, score_time, spared_time, warnings,"
                " finished_at) VALUES (?, 'fold', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                f" CASE WHEN ?4 = 'done' THEN '{at}' END)",
                folds,
            )
            n_known = sum(1 for fold in folds if fold[3] == "done")
            db.execute(
                "UPDATE job SET n_candidates = n_candidates + ?1,"
                " n_tasks = max(n_tasks, (n_candidates + ?1) * ?2), n_done = n_done + ?3,"
                " n_reused = n_reused + ?3"
                " WHERE id = ?4",
                (len(candidates), n_splits, n_known, job_id),
            )
            if n_known:
                self._recorder.note(
                    at,
                    "folds reused",
                    f"{n_known} of {len(folds)} folds are in the records already",
                    job_id=job_id,
                )
            failpoint("store.plan.commit.before")
        failpoint("store.plan.commit.after")
        return len(folds) - n_known

    def _known_folds(
        self, candidates: Sequence[PlannedCandidate]
    ) -> dict[tuple[str | None, int], tuple[object, ...]]:
        """Find finished folds of candidates with the same content: (key, split) -> their result."""
        keys = list({c.content_key for c in candidates if c.content_key is not None})
        rows = self.connection.execute(
            "SELECT candidate.content_key, task.split, 'done',"
            " coalesce(task.origin_task_id, task.id), task.test_scores, task.train_scores,"
            " task.fit_time, task.score_time, task.spared_time, task.warnings"
            # By candidate, not by state: +state keeps SQLite from looking through all done ones.
            " FROM candidate CROSS JOIN task ON task.candidate_id = candidate.id"
            f" WHERE candidate.content_key IN ({', '.join('?' * len(keys))})"
            " AND task.job_id = candidate.job_id AND +task.state = 'done' ORDER BY task.id",
            keys,
        )
        return {(row[0], row[1]): row[2:] for row in rows}

    @_enduring
    def expect_tasks(self, job_id: int, n_tasks: int) -> None:
        """Record how many fold tasks there will be, before all of them are planned."""
        with self.transaction() as db:
            db.execute("UPDATE job SET n_tasks = ? WHERE id = ?", (n_tasks, job_id))
            failpoint("store.expect.commit.before")
        failpoint("store.expect.commit.after")

    @_enduring
    def choose_best(
        self, job_id: int, index: int, score: float, params: Params, *, refit: bool
    ) -> None:
        """Record the best candidate and, if wanted, the task that fits it on all the data."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET best_index = ?, best_score = ?, best_params = ? WHERE id = ?",
                (
                    index,
                    None if math.isnan(score) else score,
                    json.dumps(params),
                    job_id,
                ),
            )
            if refit:
                db.execute(
                    "INSERT OR IGNORE INTO task (job_id, kind) VALUES (?, 'refit')", (job_id,)
                )
                # Fitted already, but another candidate won since then, after a `retry`.
                db.execute(
                    "UPDATE task SET state = 'pending', finished_at = NULL"
                    " WHERE job_id = ? AND kind = 'refit' AND state = 'done'",
                    (job_id,),
                )
            failpoint("store.choose_best.commit.before")
        failpoint("store.choose_best.commit.after")

    # --- what the core asks for --------------------------------------------------------------

    @_enduring
    def load_folds(self, job_id: int, after: int, limit: int) -> tuple[Task, ...]:
        """Read pending fold tasks beyond task `after`, in order."""
        rows = self.connection.execute(
            f"{_FOLD_TASKS} WHERE task.job_id = ? AND task.state = 'pending' AND task.id > ?"
            " AND task.kind = 'fold' ORDER BY task.id LIMIT ?",
            (job_id, after, limit),
        )
        return tuple(_as_tasks(rows))

    @_enduring
    def single_task(self, job_id: int, kind: TaskKind) -> tuple[Task, TaskState] | None:
        """Read the job's prepare or refit task."""
        row = self.connection.execute(
            "SELECT id, state, n_attempts, n_engines_lost FROM task WHERE job_id = ? AND kind = ?",
            (job_id, kind),
        ).fetchone()
        if row is None:
            return None
        return Task(row[0], kind, n_attempts=row[2], n_engines_lost=row[3]), TaskState(row[1])

    @_enduring
    def next_numbers(self) -> tuple[int, int]:
        """Return the first unused attempt number and batch number."""
        attempt, batch = self.connection.execute(
            "SELECT coalesce(max(id), 0) + 1, coalesce(max(batch), 0) + 1 FROM attempt"
        ).fetchone()
        return attempt, batch

    # --- the turn ----------------------------------------------------------------------------

    @_enduring
    def record(self, records: Sequence[Record], now: datetime) -> None:
        """Write what a turn of the loop changed, in order, in one transaction."""
        with self.transaction():
            self._recorder.write(records, timestamp(now))
            failpoint("store.record.commit.before")
        failpoint("store.record.commit.after")

    @_enduring
    def first_warning(self, job_id: int) -> str | None:
        """Return what the first fold that gave a warning said."""
        row = self.connection.execute(
            "SELECT json_extract(warnings, '$[0]') FROM task WHERE job_id = ?"
            " AND warnings IS NOT NULL ORDER BY id LIMIT 1",
            (job_id,),
        ).fetchone()
        return None if row is None else str(row[0])

    @_enduring
    def note(self, kind: str, message: str, now: datetime, **about: int | None) -> None:
        """Record an event on its own."""
        with self.transaction():
            self._recorder.note(timestamp(now), kind, message, **about)
            failpoint("store.note.commit.before")
        failpoint("store.note.commit.after")

    # --- engines -----------------------------------------------------------------------------

    @_enduring
    def engine_joined(
        self, cluster: str, number: int, identity: str, report: EngineReport, now: datetime
    ) -> int:
        """Record an engine that was welcomed; return its number in the records."""
        with self.transaction():
            row = {
                "cluster": cluster,
                "number": number,
                "identity": identity,
                "host": report.host,
                "pid": report.pid,
                "versions": json.dumps(report.versions),
                "joined_at": timestamp(now),
            }
            engine_id = int(self.db.table("engine").insert(row).last_rowid or 0)
            self._recorder.note(
                timestamp(now),
                "engine joined",
                f"engine {engine_id} on {report.host}, pid {report.pid}",
                engine_id=engine_id,
            )
            failpoint("store.engine_joined.commit.before")
        failpoint("store.engine_joined.commit.after")
        return engine_id

    # --- starting again, trying again ----------------------------------------------------------

    @_enduring
    def recover(self, now: datetime, still_there: Collection[int] = ()) -> int:
        """Put right what a scheduler left open that did not stop by itself.

        What the engines that are gone had in hand is to be done again; return how many tasks these
        are.

        Parameters
        ----------
        still_there : collection of int
            Engines that were found again with what they had in hand.
        """
        at = timestamp(now)
        gone = f"engine_id NOT IN ({', '.join(map(str, still_there))})"
        with self.transaction() as db:
            db.execute(
                "UPDATE attempt SET outcome = 'engine_lost', finished_at = ?,"
                " error = 'the scheduler ended before the result came'"
                f" WHERE outcome IS NULL AND {gone}",
                (at,),
            )
            n_tasks = db.execute(
                "UPDATE task SET state = 'pending' WHERE state = 'dispatched' AND job_id IN"
                f" (SELECT id FROM job WHERE {_UNFINISHED}) AND id NOT IN"
                " (SELECT task_id FROM attempt WHERE outcome IS NULL)"
            ).rowcount
            db.execute(
                "UPDATE engine SET left_at = ?, left_because = 'the scheduler ended'"
                f" WHERE left_at IS NULL AND {gone.removeprefix('engine_')}",
                (at,),
            )
            failpoint("store.recover.commit.before")
        failpoint("store.recover.commit.after")
        return n_tasks

    @_enduring
    def retry(self, job_id: int, now: datetime) -> tuple[Task, ...]:
        """Put the job's failed and cancelled tasks back; return the folds among them.

        A finished job goes back to the queue with them.
        """
        at = timestamp(now)
        with self.transaction() as db:
            folds = tuple(
                _as_tasks(
                    db.execute(
                        f"{_FOLD_TASKS} WHERE task.job_id = ?"
                        " AND task.state IN ('failed', 'cancelled') ORDER BY task.id",
                        (job_id,),
                    )
                )
            )
            n_tasks = db.execute(
                "UPDATE task SET state = 'pending', reason = NULL, finished_at = NULL,"
                " error = NULL, n_attempts = 0, n_engines_lost = 0"
                " WHERE job_id = ? AND state IN ('failed', 'cancelled')",
                (job_id,),
            ).rowcount
            db.execute("UPDATE job SET n_failed = 0 WHERE id = ?", (job_id,))
            db.execute(
                "UPDATE job SET state = 'queued', reason = NULL, finished_at = NULL"
                " WHERE id = ? AND state IN ('completed', 'failed', 'cancelled')",
                (job_id,),
            )
            self._recorder.note(
                at,
                "job retried",
                f"{n_tasks} tasks put back that had failed or were cancelled",
                job_id=job_id,
            )
            failpoint("store.retry.commit.before")
        failpoint("store.retry.commit.after")
        for fold in folds:
            fold.n_attempts = fold.n_engines_lost = 0
        return folds

    @_enduring
    def has_job(self, job_id: int) -> bool:
        """Whether the records hold such a job."""
        row = self.connection.execute("SELECT 1 FROM job WHERE id = ?", (job_id,)).fetchone()
        return row is not None

    @_enduring
    def unfinished_jobs(self) -> list[int]:
        """Return the ids of the jobs that are neither completed nor failed nor cancelled."""
        rows = self.connection.execute(f"SELECT id FROM job WHERE {_UNFINISHED} ORDER BY id")
        return [row[0] for row in rows]

    @_enduring
    def has_open_folds(self, job_id: int) -> bool:
        """Whether a fold of the job is still to be done, or at an engine."""
        row = self.connection.execute(
            "SELECT 1 FROM task WHERE job_id = ? AND state IN ('pending', 'dispatched')"
            " AND kind = 'fold' LIMIT 1",
            (job_id,),
        ).fetchone()
        return row is not None

    @_enduring
    def n_pending_folds(self, job_id: int) -> int:
        """Count the job's fold tasks that wait to be sent to an engine."""
        return int(
            self.connection.execute(
                "SELECT count(*) FROM task WHERE job_id = ? AND state = 'pending'"
                " AND kind = 'fold'",
                (job_id,),
            ).fetchone()[0]
        )


#: Said by what it is, not by what it is not: so SQLite uses the index on states.
_UNFINISHED = "state IN ({})".format(
    ", ".join(f"'{state}'" for state in sorted(set(JobState) - FINAL_JOB_STATES))
)

#: State, origin and result of a fold that is to be computed.
_UNKNOWN = ("pending", *[None] * 7)

_FOLD_TASKS = (
    "SELECT task.id, candidate.params, task.split, candidate.n_resources, task.n_attempts,"
    " task.n_engines_lost, task.candidate_id"
    " FROM task JOIN candidate ON candidate.id = task.candidate_id"
)


def _as_tasks(rows: Iterable[tuple[Any, ...]]) -> Iterator[Task]:
    """Read fold tasks; neighbours are mostly of one candidate, and have its parameters together."""
    text = None
    params: dict[str, JsonValue] = {}
    for row in rows:
        if row[1] != text:
            text, params = row[1], json.loads(row[1])
        yield Task(
            task_id=row[0],
            kind=TaskKind.FOLD,
            params=params,
            split=row[2],
            n_resources=row[3],
            n_attempts=row[4],
            n_engines_lost=row[5],
            candidate_id=row[6],
        )
