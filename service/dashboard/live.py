"""What the pages ask for again and again: the jobs and the scheduler as they are now.

Every question is bounded: a page of jobs, the engines that live, counts that an index holds.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any, Self

from schemas.lifecycle import JobState
from schemas.problems import nearest
from schemas.settings import Settings
from service.history import Query, as_glob, as_json, count_jobs, find_jobs, still_refused
from service.layout import has_waiting, refusals
from service.lives import live_engines, loads
from service.lock import Holder, holder
from service.printable import printable
from service.records import Job, find_job, open_records, select

#: Jobs on a page of the list.
PAGE_SIZE = 50
#: Engines that the list names; the others are counted.
ENGINES_NAMED = 64
#: Tags offered for choosing from.
TAGS_OFFERED = 200
#: Seconds for which a refused file is told, as in `foldq status`, and how many are.
REFUSALS_SHOWN = 3600.0
REFUSALS_TOLD = 5

_COUNTS_OF_STATES = "SELECT state, count(*) FROM job GROUP BY state"

_TAGS = (
    "SELECT value, count(*) AS n FROM job, json_each(job.tags)"
    " GROUP BY value ORDER BY n DESC, value LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs a page shows.

    Attributes
    ----------
    state, tag : str or None
    name : str or None
        A part of the name, or a pattern with `*`, `?` and `[…]`.
    page : int
        From 1, the newest jobs first.
    unknown : str or None
        A state that was asked for and is none.
    """

    state: JobState | None = None
    tag: str | None = None
    name: str | None = None
    page: int = 1
    unknown: str | None = None

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Self:
        """Read a choice from the arguments of an address; what means nothing is left out."""
        state, page = arguments.get("state", ""), arguments.get("page", "")
        is_known = state in set(JobState)
        return cls(
            state=JobState(state) if is_known else None,
            unknown=state if state and not is_known else None,
            tag=arguments.get("tag") or None,
            name=arguments.get("name") or None,
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 9 else 1,
        )

    @property
    def note(self) -> str | None:
        """What is to be said of a choice that could not be followed."""
        if self.unknown is None:
            return None
        near = nearest(self.unknown, list(JobState))
        meant = f"Did you mean {near}?" if near else f"States are {', '.join(JobState)}."
        return f"No state is called {printable(self.unknown[:40])!r}. {meant} Jobs in any state:"

    @property
    def query(self) -> Query:
        """The question to the records, without its page."""
        return Query(
            states=() if self.state is None else (self.state,),
            tags=() if self.tag is None else (self.tag,),
            name=None if self.name is None else as_glob(self.name),
            descending=True,
        )


def jobs_document(settings: Settings, choice: Choice) -> dict[str, Any]:
    """Give what the list of jobs shows.

    Raises
    ------
    NoRecords, NewerDatabase, OlderDatabase, RecordsUnusable, RecordsDamaged
    """
    from dataclasses import replace

    now = datetime.now(UTC)
    held = holder(settings.spool)
    with open_records(settings.database_path) as records:
        n_jobs = count_jobs(records, choice.query)
        n_pages = max(1, ceil(n_jobs / PAGE_SIZE))
        page = min(choice.page, n_pages)
        query = replace(choice.query, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
        return {
            "jobs": [_job(records, job, held, now) for job in find_jobs(records, query, now)],
            "n_jobs": n_jobs,
            "page": page,
            "n_pages": n_pages,
            "note": choice.note,
            "states": dict(map(tuple, records.execute(_COUNTS_OF_STATES))),
            **_surroundings(settings, held, records, now),
        }


def job_document(settings: Settings, job_id: int) -> dict[str, Any]:
    """Give how far one job is.

    Raises
    ------
    NoSuchJob, NoRecords, NewerDatabase, OlderDatabase, RecordsUnusable, RecordsDamaged
    """
    now = datetime.now(UTC)
    held = holder(settings.spool)
    with open_records(settings.database_path) as records:
        return {
            "job": _job(records, find_job(records, job_id), held, now),
            "scheduler": _scheduler(held, records),
        }


def bare_document(settings: Settings) -> dict[str, Any]:
    """Give what the list of jobs shows where there are no records to be read."""
    held = holder(settings.spool)
    nothing = {"jobs": [], "n_jobs": 0, "page": 1, "n_pages": 1, "note": None, "states": {}}
    return {**nothing, **_surroundings(settings, held, None, datetime.now(UTC))}


def tags(settings: Settings) -> list[str]:
    """Give the tags there are, the commonest first."""
    with open_records(settings.database_path) as records:
        return [tag for tag, _ in records.execute(_TAGS, (TAGS_OFFERED,))]


def _job(
    records: sqlite3.Connection, job: Job, held: Holder | None, now: datetime
) -> dict[str, Any]:
    document = as_json(records, job, now)
    if held is None:  # then no time is left: it stands still
        document["time_left"] = None
    return document


def _surroundings(
    settings: Settings, held: Holder | None, records: sqlite3.Connection | None, now: datetime
) -> dict[str, Any]:
    refused = refusals(settings.spool, now.timestamp() - REFUSALS_SHOWN)
    if records is not None:
        refused = still_refused(records, refused)
    return {
        "scheduler": _scheduler(held, records),
        "engines": _engines(records) if held is not None and records is not None else [],
        "waiting": has_waiting(settings.spool),
        "refused": [
            {"file": refusal.file.name, "message": _first_problem(refusal.problems)}
            for refusal in refused[-REFUSALS_TOLD:]
        ],
        "n_refused": len(refused),
    }


def _scheduler(held: Holder | None, records: sqlite3.Connection | None) -> dict[str, Any]:
    """Give the fields of `foldq status --json`, but the spool's path."""
    n_engines = len(live_engines(records)) if held is not None and records is not None else 0
    about = {} if held is None else asdict(held)
    return {"running": held is not None, "trouble": None, **about, "n_engines": n_engines}


def _engines(records: sqlite3.Connection) -> list[dict[str, Any]]:
    """Name the engines that live, and what is at each."""
    doing: dict[int, list[dict[str, Any]]] = {}
    for load in loads(records):
        doing.setdefault(load.engine_id, []).append(
            {"job_id": load.job_id, "job": load.job, "kind": load.kind, "n_tasks": load.n_tasks}
        )
    rows = select(
        records,
        "SELECT id, number, host, pid, joined_at FROM live_engine ORDER BY id LIMIT ?",
        (ENGINES_NAMED,),
    )
    return [{**dict(row), "running": doing.get(row["id"], [])} for row in rows]


def _first_problem(problems: list[dict[str, str | None]]) -> str:
    if not problems:
        return ""
    where, message = problems[0].get("where"), problems[0].get("message") or ""
    return f"{where}: {message}" if where else message
