"""Searches that nobody ran, written into the tables as the scheduler would have."""

import json
from datetime import UTC, datetime
from typing import Any

from schemas.job import JobSpec
from schemas.lifecycle import JobState
from schemas.task import Prepared
from service.stimuli import CancelTasks, MoveJob, Record, RecordPrepared
from service.store import Store

N_SPLITS = 5

#: Folds in a batch.
BATCH = 100

SMALL = {
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [1.0, 10.0]}},
    "cv": 5,
}


def big_search(n_candidates: int) -> dict[str, Any]:
    """Return the job file of a grid of that many candidates."""
    width = max(d for d in range(1, int(n_candidates**0.5) + 1) if n_candidates % d == 0)
    space = {
        "C": {"$logspace": [-3, 3, n_candidates // width]},
        "gamma": {"$logspace": [-5, 1, width]},
    }
    return {**SMALL, "name": "big", "search": {"space": space}}


PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, N_SPLITS, 3, True, 120, {"numpy": "2.4.6"})


def admit(store: Store, job: dict[str, Any], name: str, number: int) -> int:
    """Record a job and what its data are, as if a prepare task had found that out."""
    spec = JobSpec.model_validate({"name": name, **job})
    job_id = store.admit(
        spec,
        name=f"{name}.yaml",
        data=json.dumps(job).encode(),
        digest=f"{number:064x}",
        estimator="SVC",
        now=now(),
    ).job_id
    begin: list[Record] = [MoveJob(job_id, JobState.PREPARING), RecordPrepared(job_id, PREPARED)]
    store.record(begin, now())
    end_prepare(store, job_id)
    return job_id


def end_prepare(store: Store, job_id: int) -> None:
    """Say that the data are prepared, and that the folds have begun."""
    with store.transaction() as db:
        at = text(now())
        db.execute(
            "UPDATE task SET state = 'done', finished_at = ? WHERE job_id = ? AND kind = 'prepare'",
            (at, job_id),
        )
        db.execute("UPDATE job SET state = 'running' WHERE id = ?", (job_id,))


def small_searches(store: Store, n_jobs: int) -> None:
    """Record that many searches of two candidates that ended well, by multiplying one."""
    first = admit(store, SMALL, "small", 1)
    with store.transaction() as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(job)")]
        changed = {
            "id": f"{first} + n",
            "name": "'small-' || n",
            "file_name": "'small-' || n || '.yaml'",
            "file_digest": "printf('%064x', 1000 + n)",
            "state": "'completed'",
            "finished_at": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || n || ' minutes')",
            "n_candidates": "2",
            "n_tasks": str(2 * N_SPLITS),
            "n_done": str(2 * N_SPLITS),
            "best_index": "0",
            "best_score": "0.9 + (n % 100) / 1000.0",
            "best_params": """'{"C": 1.0}'""",
        }
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
        numbers += f" WHERE n < {n_jobs}) "
        db.execute(
            f"{numbers} INSERT INTO job ({', '.join(columns)})"
            f" SELECT {', '.join(changed.get(name, name) for name in columns)}"
            " FROM job, numbers WHERE id = ?",
            (first,),
        )
        db.execute(
            f"{numbers} INSERT INTO candidate (job_id, number, params)"
            """ SELECT ? + n, number, '{"C": ' || number || '.5}' FROM numbers,"""
            " (SELECT 0 AS number UNION SELECT 1)",
            (first,),
        )
        db.execute(
            "INSERT INTO task (job_id, kind, candidate_id, split, state, test_scores, fit_time,"
            " score_time, finished_at)"
            " SELECT job_id, 'fold', candidate.id, split, 'done',"
            " '{\"score\": 0.' || (90 + number) || '}', 0.01, 0.001, ?"
            f" FROM candidate, ({_splits()}) WHERE job_id > ?",
            (text(now()), first),
        )
        for kind in ("job admitted", "job moved", "data prepared", "job moved", "job moved"):
            db.execute(
                f"{numbers} INSERT INTO event (at, kind, job_id, message)"
                " SELECT ?, ?, ? + n, 'as it goes' FROM numbers",
                (text(now()), kind, first),
            )
    store.record([CancelTasks(first), MoveJob(first, JobState.CANCELLED, "made up")], now())


def _splits() -> str:
    return " UNION ".join(f"SELECT {split} AS split" for split in range(N_SPLITS))


def finish_folds(store: Store, job_id: int, engine_id: int, up_to: int) -> None:
    """Record attempts and results of the pending folds up to a task number."""
    pending = "job_id = ? AND kind = 'fold' AND state = 'pending' AND id <= ?"
    with store.transaction() as db:
        at = text(now())
        db.execute(
            "INSERT INTO attempt (task_id, engine_id, batch, submitted_at, finished_at, outcome)"
            f" SELECT id, ?, id / {BATCH}, ?, ?, 'ok' FROM task WHERE {pending}",
            (engine_id, at, at, job_id, up_to),
        )
        db.execute(f"UPDATE task SET state = 'dispatched' WHERE {pending}", (job_id, up_to))
        n_done = db.execute(
            "UPDATE task SET state = 'done', n_attempts = 1, started_at = ?1, finished_at = ?1,"
            " fit_time = 0.001 + (id % 997) / 1e6, score_time = 0.0005,"
            " test_scores = '{\"score\": 0.' || (500000 + id * 7919 % 499979) || '}'"
            " WHERE job_id = ?2 AND state = 'dispatched' AND id <= ?3",
            (at, job_id, up_to),
        ).rowcount
        db.execute("UPDATE job SET n_done = n_done + ? WHERE id = ?", (n_done, job_id))


def now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def text(moment: datetime) -> str:
    """Write a moment as the records do."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
