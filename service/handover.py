"""What a scheduler that died left at engines that live on: read from the records at start-up."""

import json
import sqlite3
from dataclasses import dataclass
from itertools import groupby

from schemas.lifecycle import TaskKind
from service.records import select
from service.stimuli import Batch, Task


@dataclass(frozen=True, slots=True)
class KnownEngine:
    """An engine that the records hold as there.

    Attributes
    ----------
    cluster, number
        The cluster it belongs to, and ipyparallel's number for it there.
    identity : str or None
        ipyparallel's unique name of it.
    """

    id: int
    cluster: str
    number: int
    identity: str | None
    host: str
    pid: int


def known_engines(records: sqlite3.Connection) -> list[KnownEngine]:
    """Return the engines that had not left when the last scheduler ended."""
    rows = select(records, "SELECT id, cluster, number, identity, host, pid FROM live_engine")
    return [KnownEngine(**dict(row)) for row in rows]


def open_batches(records: sqlite3.Connection, engine_id: int, budget: float) -> tuple[Batch, ...]:
    """Return the batches that were sent to an engine and not answered, in the order of sending.

    Parameters
    ----------
    budget : float
        Of each batch, in seconds: what `Batch.budget` says.
    """
    rows = select(
        records,
        "SELECT attempt.batch, attempt.id AS attempt_id, task.job_id, task.kind, task.id,"
        " candidate.params, task.split, candidate.n_resources, task.n_attempts,"
        " task.n_engines_lost"
        " FROM attempt JOIN task ON task.id = attempt.task_id"
        " LEFT JOIN candidate ON candidate.id = task.candidate_id"
        " WHERE attempt.outcome IS NULL AND attempt.engine_id = ?"
        " ORDER BY attempt.batch, attempt.id",
        (engine_id,),
    )
    batches = []
    for (batch_id, job_id, kind), members in groupby(
        rows, key=lambda row: (row["batch"], row["job_id"], row["kind"])
    ):
        tasks = tuple((row["attempt_id"], _task(row)) for row in members)
        batches.append(Batch(batch_id, job_id, engine_id, TaskKind(kind), tasks, budget))
    return tuple(batches)


def _task(row: sqlite3.Row) -> Task:
    return Task(
        row["id"],
        TaskKind(row["kind"]),
        params=None if row["params"] is None else json.loads(row["params"]),
        split=row["split"],
        n_resources=row["n_resources"],
        n_attempts=row["n_attempts"],
        n_engines_lost=row["n_engines_lost"],
    )
