"""How planned candidates and their folds get into the tables, known folds with their results."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

Params = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One row of `cv_results_` that is to be computed on every split."""

    params: Params
    iteration: int = 0
    n_resources: int | None = None
    content_key: str | None = None


#: State, origin and result of a fold that is to be computed.
_UNKNOWN = ("pending", *[None] * 7)


def write_plan(
    db: sqlite3.Connection,
    job_id: int,
    candidates: Sequence[PlannedCandidate],
    n_splits: int,
    at: str,
) -> tuple[int, int]:
    """Write candidates and their fold tasks, within the transaction of the caller.

    Returns
    -------
    tuple of int
        How many folds these are, and of how many the results were in the records already.
    """
    first_number: int = db.execute(
        "SELECT n_candidates FROM job WHERE id = ?", (job_id,)
    ).fetchone()[0]
    first_id: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM candidate").fetchone()[0]
    known = _known_folds(db, candidates)
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
    n_known = 0
    if known:
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
    else:  # one statement for all, in a fifth of the time; CROSS JOIN keeps the order
        db.execute(
            "INSERT INTO task (job_id, kind, candidate_id, split)"
            " SELECT candidate.job_id, 'fold', candidate.id, split.value"
            " FROM candidate CROSS JOIN json_each(?) AS split"
            " WHERE candidate.id BETWEEN ? AND ? ORDER BY candidate.id",
            (json.dumps([*range(n_splits)]), first_id, first_id + len(candidates) - 1),
        )
    db.execute(
        "UPDATE job SET n_candidates = n_candidates + ?1,"
        " n_tasks = max(n_tasks, (n_candidates + ?1) * ?2), n_done = n_done + ?3,"
        " n_reused = n_reused + ?3"
        " WHERE id = ?4",
        (len(candidates), n_splits, n_known, job_id),
    )
    return len(candidates) * n_splits, n_known


def _known_folds(
    db: sqlite3.Connection, candidates: Sequence[PlannedCandidate]
) -> dict[tuple[str | None, int], tuple[object, ...]]:
    """Find finished folds of candidates with the same content: (key, split) -> their result."""
    keys = list({c.content_key for c in candidates if c.content_key is not None})
    rows = db.execute(
        "SELECT candidate.content_key, task.split, 'done',"
        " coalesce(task.origin_task_id, task.id), task.test_scores, task.train_scores,"
        " task.fit_time, task.score_time, task.spared_time, task.warnings"
        # By candidate, not by state: +state keeps SQLite from looking through all done ones.
        " FROM candidate CROSS JOIN task ON task.candidate_id = candidate.id"
        f" WHERE candidate.content_key IN ({', '.join('?' * len(keys))})"
        " AND task.job_id = candidate.job_id AND +task.state = 'done'",
        keys,
    )
    return {(row[0], row[1]): row[2:] for row in rows}
