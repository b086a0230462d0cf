"""A search of 400 folds for the fault tests, and what must be true of its records at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cluster import Scheduler

N_FOLDS = 400

SEARCH: Mapping[str, Any] = {
    "data": {"loader": "breast_cancer"},
    "estimator": {
        "$type": "Pipeline",
        "steps": [
            ["scale", "StandardScaler"],
            ["model", {"$type": "LogisticRegression", "max_iter": 400, "tol": 1e-6}],
        ],
    },
    "search": {"space": {"model__C": {"$logspace": [-3, 1, 80]}}},
    "scoring": ["accuracy", "neg_log_loss"],
    "refit": "neg_log_loss",
    "reuse": False,
}

#: The same with half the folds, for one fault in its first quarter.
N_SHORT = 200
SHORT: Mapping[str, Any] = {**SEARCH, "search": {"space": {"model__C": {"$logspace": [-3, 1, 40]}}}}


def scores(directory: Path) -> pd.DataFrame:
    """The table of a finished job without its times, exactly as written."""
    table = pd.read_csv(directory / "cv_results.csv")
    return table[[name for name in table if "time" not in name]]


def check_records(scheduler: Scheduler, job_id: int, n_folds: int = N_FOLDS) -> None:
    """Each fold has exactly one accepted result, and no attempt is left open."""
    assert scheduler.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    folds = scheduler.query(
        "SELECT task.id, task.state, sum(attempt.outcome = 'ok') AS n_ok"
        " FROM task JOIN attempt ON attempt.task_id = task.id"
        " WHERE task.job_id = ? AND task.kind = 'fold' GROUP BY task.id",
        job_id,
    )
    assert len(folds) == n_folds
    assert {(fold["state"], fold["n_ok"]) for fold in folds} == {("done", 1)}
    assert scheduler.query("SELECT id FROM attempt WHERE outcome IS NULL") == []
    (job,) = scheduler.query("SELECT n_tasks, n_done, n_failed FROM job WHERE id = ?", job_id)
    assert job == {"n_tasks": n_folds, "n_done": n_folds, "n_failed": 0}
