"""A database with made-up searches, for tests of what reads it."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlite_utils

from service.migrations import migrations

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FINAL = ("completed", "failed", "cancelled")

SPEC = {
    "name": "digits-svc",
    "data": {"loader": "digits", "params": {}},
    "estimator": "SVC",
    "search": {"strategy": "grid", "space": {"C": [1, 10]}},
    "cv": 5,
    "scoring": None,
    "refit": True,
    "error_score": "nan",
    "return_train_score": False,
}


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def scores_text(scores: dict[str, float]) -> str:
    """Spell scores as the records do: NaN is null, infinities are beyond a double."""

    def spell(score: float) -> str:
        if math.isnan(score):
            return "null"
        if math.isinf(score):
            return "1e999" if score > 0 else "-1e999"
        return repr(float(score))

    return "{" + ", ".join(f"{json.dumps(name)}: {spell(s)}" for name, s in scores.items()) + "}"


class Fabricated:
    """Writes rows as the daemon would, states and times being whatever the test says."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        spool.mkdir(parents=True, exist_ok=True)
        self.db = sqlite_utils.Database(spool / "foldq.db")
        self.db.enable_wal()
        migrations.apply(self.db)

    def job(self, name: str = "digits-svc", **row: object) -> int:
        """Add a job; every column can be given, JSON columns as Python values."""
        spec = {**SPEC, "name": name, **row.pop("spec", {})}
        row = {
            "name": name,
            "state": "completed",
            "file_name": f"{name}.yaml",
            "file_digest": "d" * 64,
            "file_bytes": b"",
            "spec": spec,
            "strategy": spec["search"]["strategy"],
            "estimator": "SVC",
            "data": "digits",
            "scoring": ["score"],
            "tags": [],
            "submitted_at": at(0),
            **row,
        }
        if row["state"] not in ("queued", "paused"):
            row.setdefault("started_at", at(1))
        if row["state"] in FINAL:
            row.setdefault("finished_at", at(61))
        if row["state"] == "completed":
            row.setdefault("best_index", None)
        for column in ("spec", "scoring", "tags", "versions", "best_params", "refitted"):
            if row.get(column) is not None:
                row[column] = json.dumps(row[column])
        return self.db["job"].insert(row).last_pk

    def candidate(self, job_id: int, number: int, params: dict, **row: object) -> int:
        row = {"job_id": job_id, "number": number, "params": json.dumps(params), **row}
        return self.db["candidate"].insert(row).last_pk

    def fold(
        self,
        job_id: int,
        candidate_id: int,
        split: int,
        scores: dict[str, float] | None = None,
        train: dict[str, float] | None = None,
        **row: object,
    ) -> int:
        """Add a fold task; done when it has scores, failed when it has an error or a reason."""
        if scores is not None:
            row = {"state": "done", "fit_time": 0.5, "score_time": 0.1, **row}
            row["test_scores"] = scores_text(scores)
            row["train_scores"] = scores_text(train) if train is not None else None
        elif "error" in row or "reason" in row:
            row = {"state": "failed", "reason": "error", "fit_time": 0.25, **row}
        if row.get("state") in ("done", "failed", "cancelled"):
            row.setdefault("finished_at", at(10))
        row = {
            "job_id": job_id,
            "kind": "fold",
            "candidate_id": candidate_id,
            "split": split,
            **row,
        }
        return self.db["task"].insert(row).last_pk

    def engine(self, number: int = 0, **row: object) -> int:
        row = {
            "cluster": "foldq-1",
            "number": number,
            "host": "node-1",
            "pid": 4000 + number,
            "versions": "{}",
            "joined_at": at(0),
            **row,
        }
        return self.db["engine"].insert(row).last_pk

    def attempt(self, task_id: int, engine_id: int, outcome: str | None, **row: object) -> int:
        row = {
            "task_id": task_id,
            "engine_id": engine_id,
            "batch": 1,
            "submitted_at": at(5),
            "finished_at": None if outcome is None else at(10),
            "outcome": outcome,
            **row,
        }
        return self.db["attempt"].insert(row).last_pk

    def event(self, kind: str, message: str, **row: object) -> int:
        row = {"at": at(0), "kind": kind, "message": message, **row}
        return self.db["event"].insert(row).last_pk

    def update(self, job_id: int, **row: object) -> None:
        self.db["job"].update(job_id, row)

    def finished_search(self, name: str = "digits-svc", n_splits: int = 5, **row: object) -> int:
        """Two candidates, all folds done, the second the better one."""
        job_id = self.job(
            name,
            **{
                "n_splits": n_splits,
                "n_candidates": 2,
                "n_tasks": 2 * n_splits,
                "n_done": 2 * n_splits,
                "best_index": 1,
                "best_score": 0.96,
                "best_params": {"C": 10},
                **row,
            },
        )
        for number, (c, score) in enumerate([(1, 0.9), (10, 0.96)]):
            candidate_id = self.candidate(job_id, number, {"C": c})
            for split in range(n_splits):
                self.fold(job_id, candidate_id, split, {"score": score})
        return job_id
