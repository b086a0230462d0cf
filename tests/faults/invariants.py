"""What must be true of a spool after any fault, and what more once a scheduler has ended well."""

import csv
import hashlib
import json
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.lifecycle import FINAL_JOB_STATES, JOB_MOVES, JobState
from service.layout import REPORT_SUFFIX, is_meant

Query = Callable[..., list[dict[str, Any]]]

#: Columns that differ from run to run.
_TIMES = "time"

_COUNTERS = """
SELECT job.id, job.n_candidates, job.n_tasks, job.n_done, job.n_failed,
    (SELECT count(*) FROM candidate WHERE job_id = job.id) AS candidates,
    count(task.id) AS folds,
    coalesce(sum(task.state = 'done'), 0) AS done,
    coalesce(sum(task.state = 'failed'), 0) AS failed
FROM job LEFT JOIN task ON task.job_id = job.id AND task.kind = 'fold' GROUP BY job.id
"""

#: Folds that were computed here, and how often with a result that was accepted.
_RESULTS = """
SELECT task.id, task.state, task.origin_task_id IS NOT NULL AS reused,
    coalesce(sum(attempt.outcome = 'ok'), 0) AS n_ok,
    count(attempt.id) - count(attempt.outcome) AS n_open
FROM task LEFT JOIN attempt ON attempt.task_id = task.id
WHERE task.kind = 'fold' GROUP BY task.id
"""


def check_records(query: Query) -> None:
    """Check what holds of the records at every moment, whatever died the moment before."""
    assert query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert query("PRAGMA foreign_key_check") == []
    for job in query(_COUNTERS):
        assert (job["n_done"], job["n_failed"]) == (job["done"], job["failed"]), job
        assert job["n_candidates"] == job["candidates"], job
        assert job["n_tasks"] >= job["folds"], job
    for fold in query(_RESULTS):
        done_here = fold["state"] == "done" and not fold["reused"]
        assert fold["n_ok"] == done_here, f"one accepted result for a fold that is done: {fold}"
        assert (fold["n_open"] > 0) == (fold["state"] == "dispatched"), fold
    again = query(
        "SELECT candidate_id, split, count(*) AS n FROM task WHERE kind = 'fold'"
        " GROUP BY job_id, candidate_id, split HAVING n > 1"
    )
    assert again == []
    twins = query("SELECT file_name FROM job GROUP BY file_name, file_digest HAVING count(*) > 1")
    assert twins == [], "one job per submission"
    _check_moves(query)


def _check_moves(query: Query) -> None:
    """Follow every job along its events: each move is a legal one and the last is its state."""
    at: dict[int, JobState] = {}
    for event in query(
        "SELECT job_id, kind, message FROM event"
        " WHERE kind IN ('job admitted', 'job moved', 'job retried') ORDER BY id"
    ):
        job_id = event["job_id"]
        before = at.get(job_id)
        match event["kind"]:
            case "job admitted":
                assert before is None, f"job {job_id} was admitted twice"
                at[job_id] = JobState.QUEUED
            case "job retried":
                assert before is not None
                at[job_id] = JobState.QUEUED if before in FINAL_JOB_STATES else before
            case _:
                after = JobState(event["message"].partition(":")[0])
                assert before is not None
                assert before == after or (before, after) in JOB_MOVES, (job_id, before, after)
                at[job_id] = after
    assert at == {row["id"]: row["state"] for row in query("SELECT id, state FROM job")}


def check_files(spool: Path, query: Query, dropped: Counter[tuple[str, str]]) -> None:
    """Check that every file dropped is in one place: waiting, admitted, or refused.

    Parameters
    ----------
    dropped : Counter of (name, SHA-256)
        The same file dropped twice lies in one place in the end.
    """
    waiting = {(f.name, _sha256(f)) for f in (spool / "incoming").iterdir() if is_meant(f.name)}
    admitted = {
        (f.name.partition("-")[2], _sha256(f)): int(f.name.partition("-")[0])
        for f in (spool / "accepted").iterdir()
    }
    refused = {
        (json.loads(_report(f).read_bytes())["file"], _sha256(f))
        for f in (spool / "rejected").iterdir()
        if is_meant(f.name) and not f.name.endswith(REPORT_SUFFIX)
    }
    places = [waiting, set(admitted), refused]
    assert set.union(*places) == set(dropped), "lost, or from nowhere"
    found = Counter(file for place in places for file in place)
    assert found <= dropped, f"in two places: {found - dropped}"
    jobs = {
        (row["file_name"], row["file_digest"]): row["id"]
        for row in query("SELECT id, file_name, file_digest FROM job")
    }
    assert admitted.items() <= jobs.items(), "in accepted/ lies what is a job"
    assert set(jobs) <= set(admitted) | waiting, "the file of a job was moved, or will be"


def check_orderly(spool: Path, query: Query, n_crashes: int = 0) -> None:
    """Check what more holds once a scheduler has ended well.

    Parameters
    ----------
    n_crashes : int
        Schedulers that were ended in the middle before: each may have left one hidden file, which
        no reader takes for a whole one.
    """
    assert query("SELECT id FROM attempt WHERE outcome IS NULL") == []
    assert query("SELECT id FROM task WHERE state = 'dispatched'") == []
    assert query("SELECT id FROM engine WHERE left_at IS NULL") == []
    for job in query("SELECT id, state, n_tasks, n_done, n_failed, n_candidates FROM job"):
        if job["state"] == "completed":
            assert job["n_done"] + job["n_failed"] == job["n_tasks"], job
    for report in (spool / "rejected").glob(f"*{REPORT_SUFFIX}"):
        file = report.with_name(report.name.removesuffix(REPORT_SUFFIX))
        assert file.exists(), f"{report.name} is about no file"
    assert [f.name for f in (spool / "control").iterdir() if is_meant(f.name)] == []
    hidden = [path for path in spool.rglob("*.tmp") if path.is_file()]
    assert len(hidden) <= n_crashes, hidden
    _check_modes(spool)


def _check_modes(spool: Path) -> None:
    """Only the owner may read what the scheduler made; files of people keep their own modes.

    Nor does anybody else get into `cluster/`, below which IPython makes directories of its own.
    """
    cluster = spool / "cluster"
    theirs = {spool / name for name in ("incoming", "accepted", "rejected", "data")}
    open_to_others = [
        f"{path} {stat.filemode(path.stat().st_mode)}"
        for path in (spool, *spool.rglob("*"))
        if cluster not in path.parents
        if path.is_dir() or path.parent not in theirs or path.name.endswith(REPORT_SUFFIX)
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def outcome(spool: Path, query: Query) -> dict[str, Any]:
    """Give all that a user gets, without what differs from run to run: times, ids of attempts."""
    jobs = {
        row.pop("name"): {**row, **_results(spool / "results" / str(row["id"]))}
        for row in query(
            "SELECT name, id, state, n_candidates, n_tasks, n_done, n_failed, best_index,"
            " best_score, best_params, refitted IS NOT NULL AS is_refitted, n_splits,"
            " data_fingerprint FROM job"
        )
    }
    return {
        "jobs": jobs,
        **{
            place: sorted(f.name for f in (spool / place).iterdir() if is_meant(f.name))
            for place in ("incoming", "accepted", "rejected", "control")
        },
    }


def _results(directory: Path) -> dict[str, Any]:
    if not (directory / "best.json").exists():
        return {}
    best = json.loads((directory / "best.json").read_bytes())
    rows = list(csv.DictReader((directory / "cv_results.csv").read_text().splitlines()))
    found = {
        "table": [{k: v for k, v in row.items() if _TIMES not in k} for row in rows],
        "best": {name: best[name] for name in ("params", "metric", "score", "std", "index")},
        "files": sorted(f.name for f in directory.iterdir() if is_meant(f.name)),
    }
    if best["estimator"] is not None:
        assert (directory / best["estimator"]["file"]).stat().st_size > 0
    return found


def _report(file: Path) -> Path:
    return file.with_name(file.name + REPORT_SUFFIX)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
