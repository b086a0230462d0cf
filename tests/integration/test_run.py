"""`foldq run`: one search with a scheduler of its own, which ends with it; and how that begins."""

import json
import signal
import sqlite3
from contextlib import suppress

import pytest
from cluster import Scheduler

from service.lock import holder
from workers.failpoints import EXIT_CODE

SLOW = {
    "data": {"loader": "digits"},
    "estimator": "SVC",
    "search": {"space": {"C": {"$logspace": [-2, 2, 200]}}},
}

SMALL = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1, 10]}}}


def n_done(place: Scheduler) -> int:
    """Folds on record; none while the records are only being made."""
    with suppress(sqlite3.OperationalError):
        return (place.job("slow") or {}).get("n_done") or 0
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ending_the_command_ends_its_scheduler_and_the_search_can_go_on(tmp_path, number):
    place = Scheduler(tmp_path)
    (tmp_path / "slow.json").write_text(json.dumps(SLOW))
    arguments = ["run", tmp_path / "slow.json", "--spool", place.spool, "--engines", "1"]
    with (tmp_path / "told").open("wb") as output:
        run = place.begin(arguments, output)
    try:
        place.wait_until(lambda: n_done(place), "some folds")
        run.send_signal(number)
        assert run.wait(60) == 130
        told = (tmp_path / "told").read_text()
        assert "goes on" in told or "go on" in told
        assert place.processes() == []
        assert place.job("slow")["state"] == "running"
    finally:
        run.kill()
        place.close()


def test_a_file_that_is_refused_leaves_neither_engines_nor_a_held_spool(tmp_path):
    place = Scheduler(tmp_path)
    (tmp_path / "bad.json").write_text(json.dumps({**SLOW, "estimator": "SVX"}))
    try:
        refused = place.foldq("run", tmp_path / "bad.json")
        assert refused.returncode == 3
        assert "Nothing was submitted." in refused.stderr
        assert place.processes() == []
        assert holder(place.spool) is None
    finally:
        place.close()


def test_a_search_run_to_its_end_leaves_only_what_came_out(tmp_path):
    place = Scheduler(tmp_path)
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    try:
        run = place.foldq("run", tmp_path / "small.json", "--engines", 2, "--json")
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["state"] == "completed"
        assert place.processes() == []
        assert holder(place.spool) is None
        joined = place.query("SELECT count(*) AS n FROM engine")
        assert joined[0]["n"] <= 2, "engines that were started ahead are not started again"
    finally:
        place.close()


def test_a_cluster_begun_by_a_scheduler_that_died_at_once_is_the_next_ones(new_scheduler):
    scheduler = new_scheduler(failpoint="cluster.fork_server.started:1")
    scheduler.start(ready=False)
    assert scheduler.await_exit() == EXIT_CODE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "_settings", {})
        scheduler.start()
    assert len(scheduler.wait_for_engines()) == 2
    scheduler.drop(SMALL, "small.json")
    scheduler.wait("small")
    roles = [entry["role"] for entry in scheduler._book()]
    assert sorted(roles) == ["controller", "engine", "engine", "fork server"]
    assert len(scheduler.query("SELECT * FROM engine")) == 2
    assert scheduler.stop() == 0
    assert scheduler.processes() == []
