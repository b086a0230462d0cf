"""`foldq run`: one search with a scheduler of its own, which ends with it."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress

import pytest
from cluster import ROOT, Scheduler

SLOW = {
    "data": {"loader": "digits"},
    "estimator": "SVC",
    "search": {"space": {"C": {"$logspace": [-2, 2, 200]}}},
}


def n_done(place: Scheduler) -> int:
    """Folds on record; none while the records are only being made."""
    with suppress(sqlite3.OperationalError):
        return (place.job("slow") or {}).get("n_done") or 0
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ending_the_command_ends_its_scheduler_and_the_search_can_go_on(tmp_path, number):
    place = Scheduler(tmp_path)
    (tmp_path / "slow.json").write_text(json.dumps(SLOW))
    options = ["--spool", place.spool, "--engines", "1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "run", tmp_path / "slow.json", *options],
        cwd=ROOT,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        place.wait_until(lambda: n_done(place), "some folds")
        run.send_signal(number)
        told = run.communicate(timeout=60)[1]
        assert run.returncode == 130
        assert "goes on" in told or "go on" in told
        assert place.processes() == []
        assert place.job("slow")["state"] == "running"
    finally:
        run.kill()
        place.close()
