"""What Datasette shows beside the tables: titles, what each column means, units, facets."""

from typing import Any

from service.dashboard.queries import QUERIES

#: The name of the records in addresses: /foldq/job
DATABASE = "foldq"

_SCORES = "JSON: the score by each metric; null is NaN."
_AT = "ISO-8601, UTC"

_JOB = {
    "title": "Jobs",
    "description": "Searches: what was asked, how far each is, what came out.",
    "label_column": "name",
    "sort_desc": "id",
    "size": 50,
    "facets": ["state", "strategy", "estimator", "data", {"array": "tags"}],
    "units": {"fold_seconds": "s", "spared_seconds": "s"},
    "columns": {
        "id": "The job's number.",
        "state": "queued, preparing, running, refitting, paused; at the end completed, failed or"
        " cancelled.",
        "reason": "Why it failed, was paused or cancelled.",
        "file_name": "As it lay in incoming/.",
        "file_digest": "SHA-256 of the file.",
        "same_content_as": "An earlier job of the same content.",
        "spec": "The job file as validated, every default filled in (JSON).",
        "scoring": "Names of the metrics (JSON).",
        "priority": "Jobs with more go first.",
        "max_engines": "The most engines it may have at a time.",
        "prepared": "What the preparation of the data found out (JSON).",
        "data_fingerprint": "SHA-256 over the data as the estimator gets them.",
        "n_candidates": "Candidates planned so far; halving adds some with each iteration.",
        "n_tasks": "Folds planned so far.",
        "n_done": "Folds that have scores.",
        "n_failed": "Folds that failed for good.",
        "n_reused": "Folds taken over from earlier searches.",
        "fold_seconds": "Fitting and scoring of all folds, all engines together.",
        "spared_seconds": "Fitting that was shared between folds, so not spent again.",
        "best_index": "Row of the winner in cv_results_.",
        "best_score": "Mean test score of the winner.",
        "best_params": "Parameters of the winner (JSON).",
        "refitted": "The model that was saved (JSON).",
        "submitted_at": f"{_AT}.",
        "started_at": f"{_AT}.",
        "finished_at": f"{_AT}.",
    },
}

_CANDIDATE = {
    "title": "Candidates",
    "description": "Settings of parameters that a search tries, in the order of cv_results_.",
    "label_column": "params",
    "size": 50,
    "columns": {
        "number": "Row in cv_results_, from 0.",
        "iteration": "Of successive halving, from 0.",
        "n_resources": "Of successive halving: what each fold of it was given.",
        "params": "JSON, as the job file spells them.",
        "content_key": "Equal keys have equal scores: their folds are taken over.",
    },
}

_TASK = {
    "title": "Tasks",
    "description": "Work for engines: a fold (one candidate on one split), or the preparation or"
    " refit of a job.",
    "size": 50,
    "facets": ["state"],
    "units": {"fit_time": "s", "score_time": "s", "spared_time": "s"},
    "columns": {
        "kind": "prepare, fold or refit.",
        "split": "Number of the cross-validation split, from 0.",
        "state": "pending, dispatched; at the end done, failed or cancelled.",
        "reason": "Why it failed: error (the model's own), timeout, poison (ended engines).",
        "n_attempts": "Times it was computed to an end.",
        "n_engines_lost": "Engines lost while it was alone on them.",
        "test_scores": _SCORES,
        "train_scores": _SCORES,
        "fit_time": "Seconds really spent.",
        "spared_time": "Seconds of the fit that another fold had spent already.",
        "score_time": "Seconds.",
        "error": "The traceback.",
        "warnings": "JSON.",
        "origin_task_id": "The fold of an earlier job whose result this is.",
        "started_at": f"First sent to an engine; {_AT}.",
        "finished_at": f"{_AT}.",
    },
}

_ATTEMPT = {
    "title": "Attempts",
    "description": "Tasks as they were sent: once, or again after an error or a lost engine.",
    "size": 50,
    "sort_desc": "id",
    "columns": {
        "batch": "Attempts that were sent together share it.",
        "outcome": "Empty while open; then ok, error, timeout, engine_lost, returned, cancelled or"
        " superseded.",
        "error": "The traceback.",
        "submitted_at": f"{_AT}.",
        "finished_at": f"{_AT}.",
    },
}

_ENGINE = {
    "title": "Engines",
    "description": "Processes that computed, living and past.",
    "label_column": "number",
    "sort_desc": "id",
    "facets": ["host", "left_because"],
    "columns": {
        "number": "ipyparallel's id within its cluster.",
        "cluster": "Cluster id or connection file.",
        "identity": "ipyparallel's own unique name of it.",
        "versions": "JSON.",
        "joined_at": f"{_AT}.",
        "left_at": f"{_AT}; empty while it lives.",
        "left_because": "Why it left.",
    },
}

_EVENT = {
    "title": "Events",
    "description": "What happened, in words: the log that stays with the records.",
    "label_column": "kind",
    "sort_desc": "id",
    "size": 100,
    "facets": ["kind"],
    "columns": {"at": f"{_AT}."},
}

_FOLD = {
    "title": "Folds",
    "description": "Each fold with its candidate's parameters and its job's name: where to start.",
    "size": 50,
    "units": {"fit_time": "s", "score_time": "s", "spared_time": "s"},
    "columns": {
        "candidate": "The candidate's number: its row in cv_results_.",
        **{
            name: _TASK["columns"][name]  # type: ignore[index]
            for name in ("split", "state", "reason", "test_scores", "fit_time", "spared_time")
        },
    },
}

_TASK_ATTEMPT = {
    "title": "Attempts with their tasks and engines",
    "description": "Each attempt with the job, candidate and split it was for, and the engine.",
    "size": 50,
    "columns": _ATTEMPT["columns"],
}

_LIVE_ENGINE = {"title": "Live engines", "description": "Engines that have not left."}

METADATA: dict[str, Any] = {
    "title": "foldq",
    "databases": {
        DATABASE: {
            "title": "The records",
            "description": "Every job, candidate, fold, attempt, engine and event. Times are UTC,"
            " durations are seconds. The cog of a column sorts and facets; each page is"
            " there as CSV and JSON too.",
            "queries": QUERIES,
            "tables": {
                "job": _JOB,
                "candidate": _CANDIDATE,
                "task": _TASK,
                "attempt": _ATTEMPT,
                "engine": _ENGINE,
                "event": _EVENT,
                "fold": _FOLD,
                "task_attempt": _TASK_ATTEMPT,
                "live_engine": _LIVE_ENGINE,
                "_sqlite_migrations": {"hidden": True},
                "sqlite_sequence": {"hidden": True},
            },
        }
    },
}
