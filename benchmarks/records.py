"""What foldq's records tell of a job that was timed."""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Phases:
    """The times of one job, as seconds since the epoch, and what its folds took.

    Attributes
    ----------
    prepared : float
        The data were loaded and split.
    first, last : float
        The first fold was sent, the last one was recorded.
    computed : float
        Seconds of all fits and scores that were done, not those that were spared or taken over.
    spared : float
        Seconds of fitting that a fit of its own would have taken and that were not spent.
    n_computed : int
        Folds that were done.
    """

    admitted: float
    prepared: float
    first: float
    last: float
    finished: float
    computed: float
    spared: float
    n_computed: int

    def overhead(self, engines: int) -> float:
        """From the first dispatch to the last record, in parts of the fits and scores alone."""
        return (self.last - self.first) / (self.computed / engines)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Records:
    """One connection, kept, for reading only."""

    def __init__(self, path: Path):
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def _row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        if self._connection is None:
            self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        return self._connection.execute(query, values).fetchone()

    def state(self, job_id: int) -> str | None:
        """Give the state of a job; None when it is not there yet."""
        with suppress(sqlite3.OperationalError):  # the records are only being made
            if row := self._row("SELECT state FROM job WHERE id = ?", job_id):
                return row[0]
        return None

    def reason(self, job_id: int) -> str | None:
        """Give why a job failed."""
        row = self._row("SELECT reason FROM job WHERE id = ?", job_id)
        return row[0] if row else None

    def phases(self, job_id: int) -> Phases:
        """Give the times of a completed job."""
        admitted, finished = self._row(
            "SELECT submitted_at, finished_at FROM job WHERE id = ?", job_id
        ) or ("", "")
        (prepared,) = self._row(
            "SELECT finished_at FROM task WHERE job_id = ? AND kind = 'prepare'", job_id
        ) or ("",)
        first, last = self._row(
            "SELECT min(attempt.submitted_at), max(attempt.finished_at) FROM attempt"
            " JOIN task ON task.id = attempt.task_id WHERE task.job_id = ? AND kind = 'fold'",
            job_id,
        ) or (finished, finished)
        computed, spared, n = self._row(
            "SELECT sum(fit_time + score_time), sum(coalesce(spared_time, 0)), count(*) FROM task"
            " WHERE job_id = ? AND kind = 'fold' AND origin_task_id IS NULL",
            job_id,
        ) or (0.0, 0.0, 0)
        moments = [_epoch(text) for text in (admitted, prepared, first, last, finished)]
        return Phases(*moments, computed=computed, spared=spared, n_computed=n)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
