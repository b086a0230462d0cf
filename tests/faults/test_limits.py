"""Fits that run away: in time, in memory, or taking their engine with them."""

import json
import subprocess
import sys

from cluster import ROOT
from troublesome import Troublesome

#: Far more support vectors than it should have: libsvm works on it for minutes, in C.
ENDLESS = {
    "data": {"make": "classification", "params": {"n_samples": 40_000, "flip_y": 0.5}},
    "estimator": {"$type": "SVC", "C": 1e6, "cache_size": 1},
    "search": {"space": {"gamma": [10.0]}},
    "cv": 2,
    "timeout": "2s",
    "refit": False,
}


def search(trouble: str, **more: object) -> dict[str, object]:
    assert trouble in (Troublesome.__doc__ or "")
    return {
        "data": {"loader": "iris"},
        "estimator": {"$type": "Troublesome"},
        "search": {"space": {"trouble": ["none", trouble]}},
        "cv": 2,
        "refit": False,
        **more,
    }


def test_a_fold_in_c_code_that_takes_no_interrupt_is_ended_soon_after_its_time_limit(service):
    service.drop(ENDLESS, "endless.json")
    job = service.wait("endless", state=None)
    folds = service.query(
        "SELECT task.reason, (julianday(attempt.finished_at) - julianday(attempt.submitted_at))"
        " * 86400 AS seconds FROM task JOIN attempt ON attempt.task_id = task.id"
        " WHERE task.job_id = ? AND task.kind = 'fold'",
        job["id"],
    )
    assert [fold["reason"] for fold in folds] == ["timeout", "timeout"]
    assert len(service.wait_for_engines()) == 2


def test_a_fit_that_wants_more_memory_than_its_engine_may_use_fails_and_the_engine_lives(service):
    engines = service.wait_for_engines()
    service.drop(search("memory"), "greedy.json")
    job = service.wait("greedy")
    assert (job["n_done"], job["n_failed"]) == (2, 2)
    failed = service.query(
        "SELECT error FROM task WHERE job_id = ? AND state = 'failed'", job["id"]
    )
    assert all("MemoryError" in task["error"] for task in failed)
    assert service.engine_pids() == engines


def test_a_poison_task_tells_signal_and_host_and_the_others_of_its_batch_are_done(service):
    service.drop(search("kill", retry={"engine_losses": 2}), "poison.json")
    job = service.wait("poison")
    assert (job["n_done"], job["n_failed"]) == (2, 2)
    failed = service.query(
        "SELECT reason, error FROM task WHERE job_id = ? AND state = 'failed'", job["id"]
    )
    assert {task["reason"] for task in failed} == {"poison"}
    (host,) = {row["host"] for row in service.query("SELECT host FROM engine")}
    for task in failed:
        assert "SIGKILL" in task["error"]
        assert host in task["error"]
    done = service.query(
        "SELECT n_engines_lost FROM task WHERE job_id = ? AND state = 'done'", job["id"]
    )
    assert {task["n_engines_lost"] for task in done} == {0}


def test_engines_that_keep_dying_stop_the_dispatch_with_a_reason_until_they_live_again(service):
    deadly = search("kill", retry={"engine_losses": 50})
    deadly["search"] = {"space": {"trouble": ["kill"], "level": [0, 1, 2]}}
    service.wait_until(lambda: trouble(service) is None, "what the other tests did is over")
    service.drop(deadly, "deadly.json")
    service.wait_until(lambda: "keep dying" in str(trouble(service)), "dispatch has stopped")
    foldq(service, "cancel", str(service.job("deadly")["id"]))
    service.wait("deadly", state="cancelled")
    # Nothing was sent while it stood still, however long that was.
    marks = service.query(
        "SELECT kind, at FROM event WHERE kind IN ('dispatch stopped', 'dispatch goes on')"
    )
    ends = [mark["at"] for mark in marks[1:] if mark["kind"] == "dispatch goes on"] + ["9999"]
    stops = [mark["at"] for mark in marks if mark["kind"] == "dispatch stopped"]
    assert stops
    for begun, ended in zip(stops, ends, strict=False):
        sent = "SELECT id FROM attempt WHERE submitted_at > ? AND submitted_at < ?"
        assert service.query(sent, begun, ended) == []
    service.drop(search("none"), "lively.json")
    assert service.wait("lively")["n_failed"] == 0
    service.wait_until(lambda: trouble(service) is None, "nothing troubles it any more")


def trouble(service) -> object:
    return json.loads(foldq(service, "status", "--json"))["scheduler"]["trouble"]


def foldq(service, *arguments: str) -> str:
    command = [sys.executable, "-m", "service.cli", "--spool", str(service.spool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
