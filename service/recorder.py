"""How each order of the scheduler core changes the records."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import groupby
from typing import Any

from schemas.lifecycle import JobState, Outcome, TaskKind, TaskState
from service import jsontext
from service.stimuli import (
    CancelTasks,
    Dispatch,
    EndAttempt,
    EndTask,
    EngineLeft,
    MoveJob,
    Note,
    PutBackTask,
    Record,
    RecordPrepared,
    RecordRefitted,
    ReopenPrepare,
)


class Recorder:
    """Writes orders into the tables, within the transaction of its caller.

    Parameters
    ----------
    connection : sqlite3.Connection
        The writer's.

    Attributes
    ----------
    hooks : mapping of str to frozenset of str
        What is to be called when a job ends so: see `service/hooks.py`.
    """

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self.hooks: Mapping[str, frozenset[str]] = {}
        self._writers: dict[type, Callable[[Sequence[Any], str], None]] = {
            Dispatch: self._dispatched,
            EndTask: self._ended,
            PutBackTask: self._put_back,
            EndAttempt: self._close_attempts,
            MoveJob: self._moved,
            CancelTasks: self._cancelled,
            RecordPrepared: self._prepared,
            RecordRefitted: self._refitted,
            ReopenPrepare: self._reopened,
            EngineLeft: self._left,
            Note: self._noted,
        }

    def write(self, records: Iterable[Record], at: str) -> None:
        """Write the records in their order; neighbours of one kind go in together."""
        for kind, group in groupby(records, key=type):
            self._writers[kind](list(group), at)

    def _dispatched(self, orders: Sequence[Dispatch], at: str) -> None:
        # One statement for all of a batch, whose attempts have numbers in a row.
        for batch in (order.batch for order in orders):
            first, _ = batch.tasks[0]
            task_ids = str([task.task_id for _, task in batch.tasks])
            self.connection.execute(
                "INSERT INTO attempt (id, task_id, engine_id, batch, submitted_at)"
                " SELECT ?1 + key, value, ?2, ?3, ?4 FROM json_each(?5)",
                (first, batch.engine_id, batch.batch_id, at, task_ids),
            )
            self.connection.execute(
                "UPDATE task SET state = 'dispatched', started_at = coalesce(started_at, ?1)"
                " WHERE id IN (SELECT value FROM json_each(?2))",
                (at, task_ids),
            )

    def _ended(self, orders: Sequence[EndTask], at: str) -> None:
        self._close_attempts(orders, at)
        self.connection.executemany(
            "UPDATE task SET state = ?, reason = ?, n_attempts = ?, n_engines_lost = ?,"
            " test_scores = ?, train_scores = ?, fit_time = ?, score_time = ?, spared_time = ?,"
            " error = ?, warnings = ?, finished_at = ? WHERE id = ?",
            (_ended_row(order, at) for order in orders),
        )
        progress: dict[int, list[float]] = {}
        for order in orders:
            if order.kind is TaskKind.FOLD:
                sums = progress.setdefault(order.job_id, [0, 0, 0.0, 0.0])
                sums[order.state is TaskState.FAILED] += 1
                if order.result is not None:
                    sums[2] += order.result.fit_time + order.result.score_time
                    sums[3] += order.result.spared_time
        self.connection.executemany(
            "UPDATE job SET n_done = n_done + ?, n_failed = n_failed + ?,"
            " fold_seconds = fold_seconds + ?, spared_seconds = spared_seconds + ? WHERE id = ?",
            ((*numbers, job_id) for job_id, numbers in progress.items()),
        )

    def _put_back(self, orders: Sequence[PutBackTask], at: str) -> None:
        self._close_attempts(orders, at)
        self.connection.executemany(
            "UPDATE task SET state = 'pending', n_attempts = ?, n_engines_lost = ? WHERE id = ?",
            ((order.n_attempts, order.n_engines_lost, order.task_id) for order in orders),
        )

    def _close_attempts(
        self, orders: Sequence[EndTask | PutBackTask | EndAttempt], at: str
    ) -> None:
        # Those of a batch have numbers in a row, and mostly ended alike: one statement for them.
        for outcome, error, first, last in _alike(orders):
            self.connection.execute(
                "UPDATE attempt SET outcome = ?, finished_at = ?, error = ?"
                " WHERE id BETWEEN ? AND ?",
                (outcome, at, error, first, last),
            )

    def _moved(self, orders: Sequence[MoveJob], at: str) -> None:
        for order in orders:
            finished_at = at if order.state.is_final else None
            self.connection.execute(
                "UPDATE job SET state = ?, reason = ?, finished_at = ?,"
                " started_at = CASE WHEN ? THEN coalesce(started_at, ?) ELSE started_at END"
                " WHERE id = ?",
                (
                    order.state,
                    order.reason,
                    finished_at,
                    order.state in _STARTED,
                    at,
                    order.job_id,
                ),
            )
            message = order.state if order.reason is None else f"{order.state}: {order.reason}"
            self.note(at, "job moved", message, job_id=order.job_id)
            if order.state.is_final:
                self.connection.executemany(
                    "INSERT INTO hook_call (job_id, hook, state, ended_at, due_at)"
                    " VALUES (?1, ?2, ?3, ?4, ?4)",
                    (
                        (order.job_id, hook, order.state.value, at)
                        for hook, endings in self.hooks.items()
                        if order.state in endings
                    ),
                )

    def _cancelled(self, orders: Sequence[CancelTasks], at: str) -> None:
        for order in orders:
            self.connection.execute(
                "UPDATE attempt SET outcome = ?, finished_at = ? WHERE outcome IS NULL"
                " AND task_id IN (SELECT id FROM task WHERE job_id = ? AND state = 'dispatched')",
                (Outcome.CANCELLED, at, order.job_id),
            )
            self.connection.execute(
                "UPDATE task SET state = 'cancelled', finished_at = ?"
                " WHERE job_id = ? AND state IN ('pending', 'dispatched')",
                (at, order.job_id),
            )

    def _prepared(self, orders: Sequence[RecordPrepared], at: str) -> None:
        for order in orders:
            prepared = order.prepared
            self.connection.execute(
                "UPDATE job SET prepared = ?, data_fingerprint = ?, n_samples = ?,"
                " n_features = ?, n_splits = ?, versions = ? WHERE id = ?",
                (
                    json.dumps(asdict(prepared)),
                    prepared.fingerprint,
                    prepared.n_samples,
                    prepared.n_features,
                    prepared.n_splits,
                    json.dumps(prepared.versions),
                    order.job_id,
                ),
            )
            shape = f"{prepared.n_samples} samples"
            if prepared.n_features is not None:
                shape += f" × {prepared.n_features} features"
            self.note(
                at,
                "data prepared",
                f"{shape}, {prepared.n_splits} splits, fingerprint {prepared.fingerprint[:12]}",
                job_id=order.job_id,
            )

    def _refitted(self, orders: Sequence[RecordRefitted], at: str) -> None:
        for order in orders:
            self.connection.execute(
                "UPDATE job SET refitted = ? WHERE id = ?",
                (json.dumps(asdict(order.refitted)), order.job_id),
            )
            self.note(at, "best model saved", f"{order.refitted.file}", job_id=order.job_id)

    def _reopened(self, orders: Sequence[ReopenPrepare], _at: str) -> None:
        for order in orders:
            self.connection.execute(
                "UPDATE task SET state = 'pending', finished_at = NULL"
                " WHERE job_id = ? AND kind = 'prepare' AND kind != 'fold'",
                (order.job_id,),
            )

    def _left(self, orders: Sequence[EngineLeft], at: str) -> None:
        self.connection.executemany(
            "UPDATE engine SET left_at = ?, left_because = ? WHERE id = ? AND left_at IS NULL",
            ((at, order.because, order.engine_id) for order in orders),
        )

    def _noted(self, orders: Sequence[Note], at: str) -> None:
        for order in orders:
            self.note(
                at,
                order.kind,
                order.message,
                job_id=order.job_id,
                task_id=order.task_id,
                engine_id=order.engine_id,
            )

    def note(self, at: str, kind: str, message: str, **about: int | None) -> None:
        """Write an event down."""
        insert_event(self.connection, at, kind, message, **about)


def insert_event(
    connection: sqlite3.Connection,
    at: str,
    kind: str,
    message: str,
    *,
    job_id: int | None = None,
    task_id: int | None = None,
    engine_id: int | None = None,
) -> None:
    """Write an event down, within the transaction of the caller."""
    connection.execute(
        "INSERT INTO event (at, kind, message, job_id, task_id, engine_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (at, kind, message, job_id, task_id, engine_id),
    )


#: States that a job can only be in once it was begun.
_STARTED = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.REFITTING, JobState.COMPLETED})


def _alike(
    orders: Sequence[EndTask | PutBackTask | EndAttempt],
) -> Iterator[tuple[str, str | None, int, int]]:
    """Yield outcome, error, first and last number of attempts in a row that ended alike."""
    outcome, error, first, last = orders[0].outcome, orders[0].error, 0, -1
    for order in orders:
        attempt_id = order.attempt_id
        if attempt_id != last + 1 or order.outcome is not outcome or order.error != error:
            if first:
                yield outcome.value, error, first, last
            outcome, error, first = order.outcome, order.error, attempt_id
        last = attempt_id
    yield outcome.value, error, first, last


def _ended_row(order: EndTask, at: str) -> tuple[Any, ...]:
    """Return the row that `_ended` writes; enums as plain words, which SQLite takes much faster."""
    result = order.result
    state, reason = order.state.value, order.reason and order.reason.value
    if result is None:
        return (
            state, reason, order.n_attempts, order.n_engines_lost,
            None, None, None, None, None, order.error, None, at, order.task_id,
        )  # fmt: skip
    return (
        state,
        reason,
        order.n_attempts,
        order.n_engines_lost,
        _scores(result.test_scores) if order.state is TaskState.DONE else None,
        _scores(result.train_scores) if result.train_scores else None,
        result.fit_time,
        result.score_time,
        result.spared_time or None,
        order.error,
        json.dumps(result.warnings) if result.warnings else None,
        at,
        order.task_id,
    )


def _scores(scores: Mapping[str, float]) -> str:
    if all(map(math.isfinite, scores.values())):
        # As `json.dumps` writes it, in a fraction of the time.
        return (
            "{" + ", ".join([f"{_quoted(name)}: {float(v)!r}" for name, v in scores.items()]) + "}"
        )
    return jsontext.dumps(scores)


@cache
def _quoted(name: str) -> str:
    return json.dumps(name)
