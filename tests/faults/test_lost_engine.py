"""kill -9 of engines in the middle of their batches: the search ends with the same table."""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
from searches import N_FOLDS, SEARCH, check_records, scores


def test_five_engines_killed_in_one_search_change_nothing_in_its_table(
    new_scheduler, undisturbed_scores
):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.drop(SEARCH, "struck.json")
    killed: list[int] = []
    for n in range(5):
        share = 0.05 + 0.15 * n

        def strikeable(share: float = share) -> bool:
            job = scheduler.job("struck")
            return bool(job and job["n_done"] >= share * N_FOLDS and busy_engines(scheduler))

        scheduler.wait_until(strikeable, f"an engine at work at {share:.0%}")
        pid = busy_engines(scheduler)[0]
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
        scheduler.wait_until(
            lambda pid=pid: scheduler.query(
                "SELECT id FROM engine WHERE pid = ? AND left_at IS NOT NULL", pid
            ),
            "its loss is recorded",
        )
    job = scheduler.wait("struck")
    check_records(scheduler, job["id"])
    assert len(scheduler.wait_for_engines()) == 2, "the number of engines comes back"

    lost = scheduler.query("SELECT id, pid FROM engine WHERE left_at IS NOT NULL ORDER BY id")
    assert sorted(engine["pid"] for engine in lost) == sorted(killed)
    resubmitted = scheduler.query(
        "SELECT DISTINCT task_id FROM attempt WHERE outcome = 'engine_lost'"
    )
    assert resubmitted, "tasks were in the hands of the engines that died"
    told = foldq(scheduler, "show", str(job["id"]))
    for engine in lost:
        assert f"pid {engine['pid']}" in told or f"engine {engine['id']}" in told, told
    shown = json.loads(foldq(scheduler, "show", str(job["id"]), "--json"))
    assert shown["schema_version"] >= 1

    pd.testing.assert_frame_equal(
        scores(scheduler.results(job["id"])), undisturbed_scores(scheduler), check_exact=True
    )


def busy_engines(scheduler) -> list[int]:
    rows = scheduler.query(
        "SELECT DISTINCT engine.pid FROM attempt JOIN engine ON engine.id = attempt.engine_id"
        " WHERE attempt.outcome IS NULL AND engine.left_at IS NULL"
    )
    return [row["pid"] for row in rows]


def foldq(scheduler, *arguments: str) -> str:
    command = [sys.executable, "-m", "service.cli", "--spool", str(scheduler.spool), *arguments]
    environment = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout
