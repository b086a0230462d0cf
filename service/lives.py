"""What happened to a job, and what engines do: events, tasks, attempts, losses, failures."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.lifecycle import Outcome
from service.records import select

#: Outcomes after which a task was sent again.
RESENT = (Outcome.ENGINE_LOST, Outcome.RETURNED)


#: Attempts that ended otherwise than well: few, and in an index of their own, which SQLite uses
#: where a question holds these very words.
_NOTABLE = "outcome NOT IN ('ok', 'returned')"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `at` is ISO-8601 UTC."""

    at: str
    kind: str
    message: str
    task_id: int | None
    engine_id: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed tasks of one job that share their error.

    Attributes
    ----------
    reason : str
        error, timeout or poison.
    error : str or None
        The traceback, when there is one.
    count : int
    example : str
        The first of them in words: "candidate 3, split 1".
    """

    kind: str
    reason: str
    error: str | None
    count: int
    example: str

    @property
    def title(self) -> str:
        """The exception's own line, or what happened when there is none."""
        lines = [line.strip() for line in (self.error or "").splitlines() if line.strip()]
        if lines:
            return lines[-1]
        return {
            "timeout": "ran past the time limit for one fold",
            "poison": "took down every engine it was tried on",
        }.get(self.reason, "failed without a traceback")


@dataclass(frozen=True, slots=True)
class LostEngine:
    """An engine that was lost while it had tasks of the job; they were sent to others."""

    engine_id: int
    number: int
    host: str
    pid: int
    left_at: str | None
    because: str | None
    n_tasks: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A task sent to an engine once. An open attempt has neither end nor outcome."""

    id: int
    task_id: int
    kind: str
    candidate: int | None
    split: int | None
    engine_id: int
    host: str
    pid: int
    submitted_at: str
    finished_at: str | None
    outcome: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, living or past.

    Attributes
    ----------
    number : int
        ipyparallel's id within its cluster; `id` is unique in the records.
    n_done : int
        Attempts it finished well.
    """

    id: int
    cluster: str
    number: int
    host: str
    pid: int
    joined_at: str
    left_at: str | None
    left_because: str | None
    n_done: int

    @property
    def is_live(self) -> bool:
        """Whether it has not left."""
        return self.left_at is None


@dataclass(frozen=True, slots=True)
class LiveEngine:
    """An engine that has not left."""

    id: int
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Load:
    """Open attempts of one job on one engine: running there, or waiting to."""

    engine_id: int
    job_id: int
    job: str
    kind: str
    n_tasks: int
    since: str


#: What happened to all jobs and is told of each.
_ENDED, _STARTED = "scheduler ended", "scheduler started"
_OF_ALL = f"kind IN ('{_ENDED}', '{_STARTED}', 'queue paused', 'queue resumed')"


def events(records: sqlite3.Connection, job_id: int) -> list[Event]:
    """Give what happened to a job, first things first.

    Among it when the scheduler ended and started, and the whole queue was paused, until the job
    ended for the last time.
    """
    rows = select(
        records,
        "SELECT id, at, kind, message, task_id, engine_id FROM event WHERE job_id = ?1"
        " UNION ALL SELECT id, at, kind, message, task_id, engine_id FROM event"
        f" WHERE job_id IS NULL AND {_OF_ALL}"
        " AND id > (SELECT min(id) FROM event WHERE job_id = ?1)"
        " AND (SELECT finished_at IS NULL OR event.at < finished_at"
        "  AND event.id < (SELECT max(id) FROM event WHERE job_id = ?1) FROM job WHERE id = ?1)"
        " ORDER BY at, id",
        (job_id,),
    )
    return [
        Event(row["at"], row["kind"], row["message"], row["task_id"], row["engine_id"])
        for row in rows
    ]


def seconds_unserved(happened: Iterable[Event], begun: str | None, end: str | None) -> float:
    """Add up the seconds between two moments in which no scheduler ran.

    Parameters
    ----------
    happened : iterable of Event
        Of a job.
    begun, end : str or None
        Without a begin it is none; without an end, up to the last start of a scheduler.
    """
    seconds, gone = 0.0, None
    for event in happened:
        if event.kind == _ENDED:
            gone = event.at
        elif event.kind == _STARTED and gone is not None and begun is not None:
            since, until = max(gone, begun), min(event.at, end or event.at)
            seconds += _seconds(since, until) if since < until else 0.0
            gone = None
    return seconds


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def task_states(records: sqlite3.Connection, job_id: int) -> dict[str, dict[str, int]]:
    """Count a job's tasks: {kind: {state: count}}."""
    others = records.execute(
        "SELECT kind, state FROM task WHERE job_id = ? AND kind != 'fold' ORDER BY kind", (job_id,)
    ).fetchall()
    # All together: that needs no look at the tasks themselves, and there may be a million.
    together = records.execute(
        "SELECT state, count(*) FROM task WHERE job_id = ? GROUP BY state ORDER BY state", (job_id,)
    )
    folds = Counter(dict(map(tuple, together)))
    folds.subtract(state for _, state in others)
    counts = {"fold": {state: count for state, count in folds.items() if count}}
    counts |= {kind: {state: 1} for kind, state in others}
    return {kind: states for kind, states in counts.items() if states}


def failures(records: sqlite3.Connection, job_id: int) -> list[Failure]:
    """Group a job's failed tasks by error, the most frequent first."""
    rows = records.execute(
        "SELECT task.kind, task.reason, task.error, count(*), candidate.number, task.split,"
        " min(task.id)"
        " FROM task LEFT JOIN candidate ON candidate.id = task.candidate_id"
        " WHERE task.job_id = ? AND task.state = 'failed'"
        " GROUP BY task.kind, task.reason, task.error ORDER BY count(*) DESC, min(task.id)",
        (job_id,),
    )
    return [
        Failure(
            kind=kind,
            reason=reason,
            error=error,
            count=count,
            example=f"the {kind} task" if split is None else f"candidate {number}, split {split}",
        )
        for kind, reason, error, count, number, split, _ in rows
    ]


def lost_engines(records: sqlite3.Connection, job_id: int) -> list[LostEngine]:
    """Name the engines that were lost under a job, and how many of its tasks each had.

    CROSS JOIN has SQLite begin with the few attempts that ended oddly, not with all of its tasks.
    """
    rows = select(
        records,
        "SELECT engine.id AS engine_id, engine.number, engine.host, engine.pid, engine.left_at,"
        " engine.left_because AS because, count(DISTINCT attempt.task_id) AS n_tasks"
        " FROM attempt CROSS JOIN task ON task.id = attempt.task_id"
        " JOIN engine ON engine.id = attempt.engine_id"
        f" WHERE task.job_id = ? AND attempt.outcome = 'engine_lost' AND attempt.{_NOTABLE}"
        " GROUP BY engine.id ORDER BY engine.left_at, engine.id",
        (job_id,),
    )
    return [LostEngine(**row) for row in map(dict, rows)]


def resubmitted(records: sqlite3.Connection, job_id: int) -> list[int]:
    """Give the ids of the job's tasks that a lost engine had, and that were sent again since."""
    rows = records.execute(
        "SELECT DISTINCT lost.task_id FROM attempt AS lost"
        " JOIN task ON task.id = lost.task_id"
        f" WHERE task.job_id = ? AND lost.outcome = 'engine_lost' AND lost.{_NOTABLE} AND EXISTS"
        " (SELECT 1 FROM attempt AS later"
        "  WHERE later.task_id = lost.task_id AND later.id > lost.id)"
        " ORDER BY lost.task_id",
        (job_id,),
    )
    return [task_id for (task_id,) in rows]


def attempts(records: sqlite3.Connection, job_id: int, *, notable: bool = False) -> list[Attempt]:
    """Give the attempts of a job's tasks in the order of their sending.

    Parameters
    ----------
    notable : bool, default=False
        Only those that ended otherwise than well.
    """
    rows = select(
        records,
        "SELECT attempt_id AS id, task_id, kind, candidate, split, engine_id, host, pid,"
        " submitted_at, finished_at, outcome, error FROM task_attempt WHERE job_id = ?"
        + (f" AND {_NOTABLE}" if notable else "")
        + " ORDER BY attempt_id",
        (job_id,),
    )
    return [Attempt(**row) for row in map(dict, rows)]


def engines(records: sqlite3.Connection) -> list[Engine]:
    """Give the engines, the living first, then those that left last."""
    rows = select(
        records,
        "SELECT engine.id, cluster, engine.number, host, pid, joined_at, left_at, left_because,"
        " coalesce(n_done, 0) AS n_done FROM engine LEFT JOIN"
        " (SELECT engine_id, count(*) AS n_done FROM attempt WHERE outcome = 'ok'"
        "  GROUP BY engine_id) AS done ON done.engine_id = engine.id"
        " ORDER BY left_at IS NOT NULL, left_at DESC, engine.id",
    )
    return [Engine(**row) for row in map(dict, rows)]


def live_engines(records: sqlite3.Connection) -> list[LiveEngine]:
    """Give the engines that live."""
    rows = select(records, "SELECT id, host, pid FROM live_engine ORDER BY id")
    return [LiveEngine(**row) for row in map(dict, rows)]


def loads(records: sqlite3.Connection) -> list[Load]:
    """Tell what is at each engine now: its open attempts, by job."""
    rows = select(
        records,
        "SELECT attempt.engine_id, task.job_id, job.name AS job, task.kind,"
        " count(*) AS n_tasks, min(attempt.submitted_at) AS since"
        " FROM attempt JOIN task ON task.id = attempt.task_id JOIN job ON job.id = task.job_id"
        " WHERE attempt.outcome IS NULL"
        " GROUP BY attempt.engine_id, task.job_id, task.kind ORDER BY min(attempt.id)",
    )
    return [Load(**row) for row in map(dict, rows)]


def loads_by_engine(records: sqlite3.Connection) -> dict[int, list[Load]]:
    """Tell what is at each engine now: {engine: its open attempts, by job}."""
    at_engine: dict[int, list[Load]] = defaultdict(list)
    for load in loads(records):
        at_engine[load.engine_id].append(load)
    return dict(at_engine)


def life_as_json(records: sqlite3.Connection, job_id: int, *, all_attempts: bool) -> dict[str, Any]:
    """Give the life of a job as `foldq show --json` writes it."""
    from dataclasses import asdict

    return {
        "tasks": task_states(records, job_id),
        "events": [asdict(event) for event in events(records, job_id)],
        "failures": [
            {**asdict(failure), "title": failure.title} for failure in failures(records, job_id)
        ],
        "lost_engines": [asdict(engine) for engine in lost_engines(records, job_id)],
        "resubmitted_tasks": resubmitted(records, job_id),
        "attempts": [
            asdict(attempt) for attempt in attempts(records, job_id, notable=not all_attempts)
        ],
    }
