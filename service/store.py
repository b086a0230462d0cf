"""The records: every write to the database goes through here, from the one writer.

What a turn of the daemon's loop changes is written in ONE transaction (`record`), before any of
its effects are carried out. `synchronous=FULL`: what is committed survives a power cut, because a
file was moved or a batch sent on the strength of it.

Every method is one read or one transaction, and can therefore be repeated as it is. When the
machine refuses it (a full disk, a lost right) it is: see `Store.wait`.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.lifecycle import FINAL_JOB_STATES, JobState, TaskKind, TaskState
from schemas.task import EngineReport
from service.database import Writer, enduring
from service.plans import Params, PlannedCandidate, write_plan
from service.recorder import Recorder
from service.recordfaults import NewerDatabase
from service.records import timestamp
from service.stimuli import Record, Task
from workers.failpoints import failpoint

__all__ = ["Admission", "NewerDatabase", "PlannedCandidate", "Store", "timestamp"]


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


class Store(Writer):
    """The writer of the records: what the daemon asks of them, and what it changes.

    See `Writer` for how it is opened, and for what it does when the machine refuses.
    """

    def __init__(self, path: Path, *, synchronous: str = "FULL"):
        super().__init__(path, synchronous=synchronous)
        self._recorder = Recorder(self.connection)

    @property
    def hooks(self) -> Mapping[str, frozenset[str]]:
        """What is to be called when a job ends, by the endings that it is for."""
        return self._recorder.hooks

    @hooks.setter
    def hooks(self, hooks: Mapping[str, frozenset[str]]) -> None:
        self._recorder.hooks = hooks

    # --- admission ---------------------------------------------------------------------------

    @enduring
    def find_submission(self, name: str, digest: str) -> Admission | None:
        """Return the job that this very file became, if it was admitted before."""
        row = self.connection.execute(
            "SELECT id, same_content_as FROM job WHERE file_name = ? AND file_digest = ?",
            (name, digest),
        ).fetchone()
        return None if row is None else Admission(row[0], False, row[1])

    @enduring
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

    @enduring
    def n_planned(self, job_id: int, iteration: int) -> int:
        """Candidates of this iteration that stand in the records."""
        return int(
            self.connection.execute(
                "SELECT count(*) FROM candidate WHERE job_id = ? AND iteration = ?",
                (job_id, iteration),
            ).fetchone()[0]
        )

    @enduring
    def plan(
        self, job_id: int, candidates: Sequence[PlannedCandidate], n_splits: int, now: datetime
    ) -> int:
        """Record candidates and their fold tasks; return how many of these are to be computed.

        Folds whose results are in the records already, under a candidate of the same content, are
        recorded as done with their origin.
        """
        at = timestamp(now)
        with self.transaction() as db:
            n_folds, n_known = write_plan(db, job_id, candidates, n_splits, at)
            if n_known:
                self._recorder.note(
                    at,
                    "folds reused",
                    f"{n_known} of {n_folds} folds are in the records already",
                    job_id=job_id,
                )
            failpoint("store.plan.commit.before")
        failpoint("store.plan.commit.after")
        return n_folds - n_known

    @enduring
    def expect_tasks(self, job_id: int, n_tasks: int) -> None:
        """Record how many fold tasks there will be, before all of them are planned."""
        with self.transaction() as db:
            db.execute("UPDATE job SET n_tasks = ? WHERE id = ?", (n_tasks, job_id))
            failpoint("store.expect.commit.before")
        failpoint("store.expect.commit.after")

    @enduring
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
                    " WHERE job_id = ? AND kind = 'refit' AND kind != 'fold' AND state = 'done'",
                    (job_id,),
                )
            failpoint("store.choose_best.commit.before")
        failpoint("store.choose_best.commit.after")

    # --- what the core asks for --------------------------------------------------------------

    @enduring
    def load_folds(self, job_id: int, after: int, limit: int) -> tuple[Task, ...]:
        """Read pending fold tasks beyond task `after`, in order."""
        rows = self.connection.execute(
            f"{_FOLD_TASKS} WHERE task.job_id = ? AND task.state = 'pending' AND task.id > ?"
            " AND task.kind = 'fold' ORDER BY task.id LIMIT ?",
            (job_id, after, limit),
        )
        return tuple(_as_tasks(rows))

    @enduring
    def single_task(self, job_id: int, kind: TaskKind) -> tuple[Task, TaskState] | None:
        """Read the job's prepare or refit task."""
        row = self.connection.execute(
            # That it is no fold has to be said: else SQLite looks through all the folds for it.
            "SELECT id, state, n_attempts, n_engines_lost FROM task"
            " WHERE job_id = ? AND kind = ? AND kind != 'fold'",
            (job_id, kind),
        ).fetchone()
        if row is None:
            return None
        return Task(row[0], kind, n_attempts=row[2], n_engines_lost=row[3]), TaskState(row[1])

    @enduring
    def next_numbers(self) -> tuple[int, int]:
        """Return the first unused attempt number and batch number."""
        attempt, batch = self.connection.execute(
            "SELECT coalesce(max(id), 0) + 1, coalesce(max(batch), 0) + 1 FROM attempt"
        ).fetchone()
        return attempt, batch

    # --- the turn ----------------------------------------------------------------------------

    @enduring
    def record(self, records: Sequence[Record], now: datetime) -> None:
        """Write what a turn of the loop changed, in order, in one transaction."""
        with self.transaction():
            self._recorder.write(records, timestamp(now))
            failpoint("store.record.commit.before")
        failpoint("store.record.commit.after")

    @enduring
    def first_warning(self, job_id: int) -> str | None:
        """Return what the first fold that gave a warning said."""
        row = self.connection.execute(
            "SELECT json_extract(warnings, '$[0]') FROM task WHERE job_id = ?"
            " AND warnings IS NOT NULL ORDER BY id LIMIT 1",
            (job_id,),
        ).fetchone()
        return None if row is None else str(row[0])

    @enduring
    def note(self, kind: str, message: str, now: datetime, **about: int | None) -> None:
        """Record an event on its own."""
        with self.transaction():
            self._recorder.note(timestamp(now), kind, message, **about)
            failpoint("store.note.commit.before")
        failpoint("store.note.commit.after")

    # --- engines -----------------------------------------------------------------------------

    @enduring
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

    @enduring
    def recover(
        self,
        now: datetime,
        still_there: Collection[int] = (),
        *,
        begins: str | None = None,
        ended: datetime | None = None,
    ) -> int:
        """Put right what a scheduler left open that did not stop by itself.

        What the engines that are gone had in hand is to be done again; return how many tasks these
        are.

        Parameters
        ----------
        still_there : collection of int
            Engines that were found again with what they had in hand.
        begins : str, optional
            Which scheduler this is: recorded, if it has only just begun.
        ended : datetime, optional
            When the one before was alive for the last time.
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
            if begins is not None:
                if ended is not None:
                    last = timestamp(min(ended, now))
                    self._recorder.note(last, "scheduler ended", "last sign of life")
                self._recorder.note(at, "scheduler started", begins)
            failpoint("store.recover.commit.before")
        failpoint("store.recover.commit.after")
        return n_tasks

    @enduring
    def retry(self, job_id: int, now: datetime, *, listed: bool = True) -> tuple[Task, ...]:
        """Put the job's failed and cancelled tasks back; return the folds among them.

        A finished job goes back to the queue with them.

        Parameters
        ----------
        listed : bool, default=True
            Without, none is returned: of a job that was given up there may be a million.
        """
        at = timestamp(now)
        with self.transaction() as db:
            folds = tuple(
                _as_tasks(
                    db.execute(
                        f"{_FOLD_TASKS} WHERE task.job_id = ?"
                        " AND task.state IN ('failed', 'cancelled') ORDER BY task.id LIMIT ?",
                        (job_id, -1 if listed else 0),
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

    @enduring
    def has_job(self, job_id: int) -> bool:
        """Whether the records hold such a job."""
        row = self.connection.execute("SELECT 1 FROM job WHERE id = ?", (job_id,)).fetchone()
        return row is not None

    @enduring
    def unfinished_jobs(self) -> list[int]:
        """Return the ids of the jobs that are neither completed nor failed nor cancelled."""
        rows = self.connection.execute(f"SELECT id FROM job WHERE {_UNFINISHED} ORDER BY id")
        return [row[0] for row in rows]

    @enduring
    def has_open_folds(self, job_id: int) -> bool:
        """Whether a fold of the job is still to be done, or at an engine."""
        row = self.connection.execute(
            "SELECT 1 FROM task WHERE job_id = ? AND state IN ('pending', 'dispatched')"
            " AND kind = 'fold' LIMIT 1",
            (job_id,),
        ).fetchone()
        return row is not None

    @enduring
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
