"""Questions about jobs, past and present: which, how far, how long, how good."""

import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schemas.lifecycle import JobState
from schemas.problems import nearest
from service.layout import Refusal
from service.pace import Pace, pace
from service.ranking import Best, best_so_far
from service.records import JOB_COLUMNS, Job, seconds_between, select, timestamp

if TYPE_CHECKING:
    from service.waits import Wait


class SortKey(StrEnum):
    """What a list of jobs can be ordered by."""

    ID = "id"
    NAME = "name"
    SCORE = "score"
    SUBMITTED = "submitted"
    DURATION = "duration"


_ORDER_BY = {
    SortKey.ID: "id",
    SortKey.NAME: "name COLLATE NOCASE",
    SortKey.SCORE: "best_score",
    SortKey.SUBMITTED: "submitted_at",
    SortKey.DURATION: "julianday(coalesce(finished_at, :now)) - julianday(started_at)",
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs are asked for. What is None or empty does not narrow the answer.

    Attributes
    ----------
    ids : tuple of int
    states : tuple of JobState
        Any of these.
    name : str or None
        Glob pattern of the whole name (`digits-*`), letter case ignored.
    tags : tuple of str
        All of these.
    estimator, data : str or None
        Glob pattern, or a part of the text, letter case ignored.
    since, until : datetime or None
        Submitted at or after, before.
    min_score, max_score : float or None
        Of the best candidate's mean test score.
    sort : SortKey
    descending : bool
        Jobs without a value come last either way.
    limit : int or None
    offset : int
        Jobs left out at the beginning of the answer, for one page after another.
    """

    ids: tuple[int, ...] = ()
    states: tuple[JobState, ...] = ()
    name: str | None = None
    tags: tuple[str, ...] = ()
    estimator: str | None = None
    data: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_score: float | None = None
    max_score: float | None = None
    sort: SortKey = SortKey.ID
    descending: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(slots=True)
class _Conditions:
    clauses: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)

    def add(self, clause: str, **values: object) -> None:
        self.clauses.append(clause)
        self.values.update(values)

    def __str__(self) -> str:
        return f" WHERE {' AND '.join(self.clauses)}" if self.clauses else ""


def find_jobs(records: sqlite3.Connection, query: Query, now: datetime) -> list[Job]:
    """Answer a query. Every value is bound, none is pasted into the SQL."""
    where = _conditions(query)
    direction = "DESC" if query.descending else "ASC"
    sql = (
        f"SELECT {JOB_COLUMNS} FROM job{where}"
        f" ORDER BY {_ORDER_BY[query.sort]} {direction} NULLS LAST, id {direction} LIMIT :limit"
        " OFFSET :offset"
    )
    bounds = {"limit": _limit(query.limit), "offset": query.offset}
    values = {**where.values, **bounds, "now": now.isoformat()}
    return [Job.from_row(row) for row in select(records, sql, values)]


def still_refused(records: sqlite3.Connection, refused: Iterable[Refusal]) -> list[Refusal]:
    """Give those refusals after which no file of the same name was admitted.

    Whoever put a file right and dropped it again need not be told of the old one.
    """
    asked = "SELECT 1 FROM job WHERE file_name = ? AND submitted_at > ? LIMIT 1"
    return [
        refusal
        for refusal in refused
        if records.execute(
            asked, (refusal.name, timestamp(datetime.fromtimestamp(refusal.at, UTC)))
        ).fetchone()
        is None
    ]


def count_jobs(records: sqlite3.Connection, query: Query) -> int:
    """Count the jobs that a query would find without its limit."""
    where = _conditions(query)
    (n_jobs,) = records.execute(f"SELECT count(*) FROM job{where}", where.values).fetchone()
    return int(n_jobs)


def _conditions(query: Query) -> _Conditions:
    where = _Conditions()
    if query.ids:
        where.add("id IN (SELECT value FROM json_each(:ids))", ids=json.dumps(query.ids))
    if query.states:
        names = {f"state{i}": state.value for i, state in enumerate(query.states)}
        where.add(f"state IN ({', '.join(':' + name for name in names)})", **names)
    if query.name is not None:
        where.add("lower(name) GLOB :name", name=query.name.lower())
    for i, tag in enumerate(query.tags):
        where.add(
            f"EXISTS (SELECT 1 FROM json_each(job.tags) WHERE value = :tag{i})", **{f"tag{i}": tag}
        )
    for column, pattern in (("estimator", query.estimator), ("data", query.data)):
        if pattern is not None:
            where.add(f"lower({column}) GLOB :{column}", **{column: as_glob(pattern)})
    if query.since is not None:
        where.add("julianday(submitted_at) >= julianday(:since)", since=query.since.isoformat())
    if query.until is not None:
        where.add("julianday(submitted_at) < julianday(:until)", until=query.until.isoformat())
    if query.min_score is not None:
        where.add("best_score >= :min_score", min_score=query.min_score)
    if query.max_score is not None:
        where.add("best_score <= :max_score", max_score=query.max_score)
    return where


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit  # SQLite's spelling of none


def as_glob(pattern: str) -> str:
    """Give the pattern for GLOB: as it is when it has wildcards, else "contains" it."""
    folded = pattern.lower()
    return folded if any(mark in folded for mark in "*?[") else f"*{folded}*"


def parse_query(
    now: datetime,
    *,
    states: Iterable[str] = (),
    name: str | None = None,
    tags: Iterable[str] = (),
    estimator: str | None = None,
    data: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    sort: str = "-id",
    limit: int | None = None,
) -> Query:
    """Read which jobs a person asks for: the filters of `foldq history` and `foldq.history`.

    Parameters
    ----------
    since, until : str or datetime, optional
        As `parse_moment` reads it, or a moment.
    sort : str, default="-id"
        As `parse_sort` reads it.

    Raises
    ------
    ValueError
        Says what is wrong, and on a line of its own what is expected.
    """
    wanted = tuple(map(_parse_state, states))
    key, descending = parse_sort(sort)
    return Query(
        states=wanted,
        name=name,
        tags=tuple(tags),
        estimator=estimator,
        data=data,
        since=_parse_bound(since, now),
        until=_parse_bound(until, now),
        min_score=min_score,
        max_score=max_score,
        sort=key,
        descending=descending,
        limit=limit,
    )


def _parse_state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        close = nearest(text, list(JobState))
        hint = f" Did you mean {close}?" if close else ""
        states = ", ".join(JobState)
        raise ValueError(f"There is no state {text!r}.{hint}\nThe states are: {states}") from None


def _parse_bound(given: str | datetime | None, now: datetime) -> datetime | None:
    if isinstance(given, datetime):
        return given.astimezone(UTC)
    return None if given is None else parse_moment(given, now)


def parse_moment(text: str, now: datetime) -> datetime:
    """Read a point in time: "7d" and "12h" ago, a date, or a date and time.

    A date or time without an offset is local time. Units: s, m, h, d, w.

    Raises
    ------
    ValueError
        Says what is expected.
    """
    text = text.strip()
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text):
        seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[ago[2]]
        try:
            return now - timedelta(seconds=float(ago[1]) * seconds)
        except OverflowError:
            raise ValueError(f"{text!r} is longer ago than a calendar goes back.") from None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: give 30m, 12h, 7d or 2w (that long ago),"
            " 2026-03-01, or 2026-03-01T12:30."
        ) from None


def parse_sort(text: str) -> tuple[SortKey, bool]:
    """Read a sort key: "score" ascending, "-score" descending.

    Raises
    ------
    ValueError
        Lists the keys.
    """
    name = text.removeprefix("-")
    try:
        return SortKey(name), name != text
    except ValueError:
        raise ValueError(
            f"{text!r} is not a sort key: give one of {', '.join(SortKey)},"
            " with - in front for the largest first."
        ) from None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    best : Best
        The best so far.
    time_left : float or None
        Seconds.
    rate : float or None
        Folds that ended each second lately.
    wait : Wait or None
        What it waits for, if somebody asked `service.waits`.
    """

    job: Job
    best: Best
    time_left: float | None
    rate: float | None = None
    wait: "Wait | None" = None


def progress(
    records: sqlite3.Connection,
    job: Job,
    now: datetime,
    lately: Pace | None = None,
    wait: "Wait | None" = None,
) -> Progress:
    """Tell how far a job is.

    Parameters
    ----------
    lately : Pace, optional
        What `service.pace.pace` saw, when it has been asked already: it is of all jobs.
    wait : Wait, optional
        What `service.waits.waits` said of the job.
    """
    if lately is None and job.state == JobState.RUNNING:
        lately = pace(records, now)
    return Progress(
        job,
        best_so_far(records, job),
        None if lately is None else lately.time_left(records, job),
        None if lately is None else lately.rate(job),
        wait,
    )


def time_left(records: sqlite3.Connection, job: Job, now: datetime) -> float | None:
    """Estimate the seconds until the planned folds of a running job are finished."""
    if job.state != JobState.RUNNING:
        return None
    return pace(records, now).time_left(records, job)


def as_json(
    records: sqlite3.Connection, job: Job, now: datetime, lately: Pace | None = None
) -> dict[str, Any]:
    """Give a job as the commands write it in JSON; times are ISO-8601 UTC, durations seconds."""
    line = progress(records, job, now, lately)
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state.value,
        "reason": job.reason,
        "tags": list(job.tags),
        "priority": job.priority,
        "strategy": job.strategy,
        "estimator": job.estimator,
        "data": job.data,
        "metrics": list(job.metrics),
        "n_candidates": job.n_candidates,
        "n_splits": job.n_splits,
        "n_tasks": job.n_tasks,
        "n_done": job.n_done,
        "n_failed": job.n_failed,
        "n_reused": job.n_reused,
        "spared_seconds": job.spared_seconds,
        "best_index": job.best_index,
        "best_score": line.best.score,
        "best_partial": line.best.partial,
        "best_params": job.best_params,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "seconds": seconds_between(job.started_at, job.finished_at, now),
        "folds_per_second": line.rate,
        "time_left": line.time_left,
        "file_name": job.file_name,
        "file_digest": job.file_digest,
        "same_content_as": job.same_content_as,
        "data_fingerprint": job.data_fingerprint,
    }
