"""Look at what a spool knows: its jobs past and present, and its engines. Nothing is written."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.settings import Settings
from service.history import as_json, find_jobs, parse_query
from service.notebook.jobs import Job
from service.records import NoRecords, NoSuchJob, find_job, open_records

if TYPE_CHECKING:
    import pandas as pd

#: Columns of `history`, first what is looked at most.
_COLUMNS = (
    "name", "state", "best_score", "best_params", "n_candidates", "n_splits", "n_tasks", "n_done",
    "n_failed", "n_reused", "strategy", "estimator", "data", "tags", "priority", "submitted_at",
    "started_at", "finished_at", "seconds", "reason", "file_name",
)  # fmt: skip
_TIMES = ("submitted_at", "started_at", "finished_at")


def job(job_id: int, *, spool: str | Path | None = None) -> Job:
    """Give a job by its number.

    Parameters
    ----------
    job_id : int
    spool : path, optional
        Default: `FOLDQ_SPOOL`, else `./spool`.

    Raises
    ------
    NoSuchJob

    Examples
    --------
    >>> foldq.job(7).results(top=3)  # doctest: +SKIP
    """
    settings = Settings.load(spool)
    try:
        with open_records(settings.database_path) as records:
            find_job(records, job_id)
    except NoRecords:
        raise NoSuchJob(job_id) from None
    return Job(settings, job_id)


def history(
    *,
    spool: str | Path | None = None,
    state: str | Sequence[str] = (),
    name: str | None = None,
    tags: str | Sequence[str] = (),
    estimator: str | None = None,
    data: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    sort: str = "-id",
    limit: int | None = 1000,
) -> "pd.DataFrame":
    """Find jobs, past and present: the filters are those of the command `foldq history`.

    Parameters
    ----------
    state : str or sequence of str
        Any of these.
    name : str, optional
        The whole name, with `*`, `?` and `[…]`; letter case ignored.
    tags : str or sequence of str
        All of these.
    estimator, data : str, optional
        A part of the label (`SVC`, `.csv`), or a pattern.
    since, until : str or datetime, optional
        When it was submitted: `30m`, `12h`, `7d` ago, `2026-03-01`, or a moment.
    min_score, max_score : float, optional
        Of the best candidate.
    sort : str, default="-id"
        id, name, score, submitted or duration; with `-` in front the largest first.
    limit : int or None, default=1000
        Most jobs; None for all.

    Returns
    -------
    DataFrame
        A row for each job; the index is its number. Times are in UTC, `seconds` is how long it ran.

    Examples
    --------
    >>> foldq.history(state="completed", since="7d", sort="-score", limit=5)  # doctest: +SKIP
    """
    import pandas as pd

    now = datetime.now(UTC)
    query = parse_query(
        now,
        states=_listed(state),
        name=name,
        tags=_listed(tags),
        estimator=estimator,
        data=data,
        since=since,
        until=until,
        min_score=min_score,
        max_score=max_score,
        sort=sort,
        limit=limit,
    )
    rows: list[dict[str, Any]] = []
    settings = Settings.load(spool)
    with suppress(NoRecords), open_records(settings.database_path) as records:
        rows = [as_json(records, found, now) for found in find_jobs(records, query, now)]
    index = pd.Index([row["id"] for row in rows], name="id", dtype="int64")
    frame = pd.DataFrame(rows, index=index, columns=list(_COLUMNS))
    for column in _TIMES:
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    frame[["best_score", "seconds"]] = frame[["best_score", "seconds"]].astype(float)
    return frame


def engines(*, spool: str | Path | None = None, past: bool = False) -> "pd.DataFrame":
    """List the live engines, and what is at each.

    Parameters
    ----------
    past : bool, default=False
        Those that left, too, and why.

    Returns
    -------
    DataFrame
        `state`, `host`, `pid`, `joined_at`, `n_done` (tasks), `doing`, `left_at`, `left_because`;
        the index is the engine's number in the records.
    """
    import pandas as pd

    from service import lives

    columns = ["state", "host", "pid", "joined_at", "n_done", "doing", "left_at", "left_because"]
    found: list[lives.Engine] = []
    doing: dict[int, list[str]] = {}
    settings = Settings.load(spool)
    with suppress(NoRecords), open_records(settings.database_path) as records:
        found = [engine for engine in lives.engines(records) if past or engine.is_live]
        for load in lives.loads(records):
            told = f"job {load.job_id}: {load.n_tasks} × {load.kind}"
            doing.setdefault(load.engine_id, []).append(told)
    rows = [
        {
            "state": "live" if engine.is_live else "left",
            "host": engine.host,
            "pid": engine.pid,
            "joined_at": engine.joined_at,
            "n_done": engine.n_done,
            "doing": ", ".join(doing.get(engine.id, [])),
            "left_at": engine.left_at,
            "left_because": engine.left_because,
        }
        for engine in found
    ]
    index = pd.Index([engine.id for engine in found], name="id", dtype="int64")
    frame = pd.DataFrame(rows, index=index, columns=columns)
    for column in ("joined_at", "left_at"):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def _listed(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
