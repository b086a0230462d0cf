"""A scheduler as its operator has it: with metrics, a log for programs, and hooks."""

import json
import socket
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

JOB = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1, 2, 4]}}}

#: Fails the first time, and hangs the second: a hook that was cut off is called again.
HOOK = """
import os, pathlib, sys, time
calls = pathlib.Path(sys.argv[1])
with calls.open("a") as file:
    file.write(f"{os.environ['FOLDQ_JOB_ID']} {os.environ['FOLDQ_JOB_STATE']}\\n")
n = len(calls.read_text().splitlines())
sys.exit("not yet") if n == 1 else time.sleep(60) if n == 2 else None
"""


def test_an_operator_learns_how_a_search_went(new_scheduler, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    calls = tmp_path / "calls"
    hooks = {
        "job_ended": [{"command": [sys.executable, "-c", HOOK, str(calls)]}], "backoff": 0.1,
    }  # fmt: skip
    scheduler = new_scheduler(
        engines=1, hooks=json.dumps(hooks), metrics__port=port, report__automatic="false"
    ).start()
    scheduler.drop(JOB, "iris.json")
    job = scheduler.wait("iris")

    def n_calls():
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    def figures():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    scheduler.wait_until(lambda: n_calls() == 2, "the hook is called again")
    scheduler.wait_until(lambda: figures()["foldq_jobs", "completed"] == 1, "a job is counted")
    told = figures()
    assert told["foldq_folds_total", "done"] == 15
    assert told["foldq_attempts_total", "ok"] == 17, "with the preparation and the refit"
    assert told["foldq_folds_in_flight",] == told["foldq_folds_queued",] == 0
    assert told["foldq_fit_seconds_total",] > 0
    assert told["foldq_batch_seconds_count",] > 0
    assert told["foldq_engines", "idle"] == 1
    assert told["foldq_hook_calls_total", "failed"] == 1
    assert told["foldq_hook_calls_waiting",] == 1

    scheduler.kill()
    scheduler.start()
    scheduler.wait_until(
        lambda: not scheduler.query("SELECT 1 FROM hook_call"), "the call that was cut off is made"
    )
    assert calls.read_text() == f"{job['id']} completed\n" * 3
    kinds = [row["kind"] for row in scheduler.query("SELECT kind FROM event ORDER BY id")]
    assert [kind for kind in kinds if kind.startswith("hook")] == ["hook failed", "hook called"]
    of_scheduler = [kind for kind in kinds if kind.startswith("scheduler")]
    assert of_scheduler == ["scheduler started", "scheduler ended", "scheduler started"]
    assert scheduler.stop() == 0

    lines = [json.loads(line) for line in (scheduler.spool / "logs" / "foldq.jsonl").open()]
    of_job = [line["event"] for line in lines if line.get("job") == job["id"]]
    assert of_job == ["job admitted", *["job moved"] * 4, "hook failed", "hook called"]
    events = [line["event"] for line in lines]
    for event in ("scheduler ready", "scheduler stopping", "scheduler stopped", "engine joined"):
        assert event in events
    started = [line for line in lines if line["event"] == "scheduler started"]
    assert started[0]["settings"]["metrics.port"] == port
