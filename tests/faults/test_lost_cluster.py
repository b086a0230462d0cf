"""The cluster itself dies or freezes in the middle of a search, which goes on with another."""

import json
import os
import signal

import pandas as pd
from searches import N_FOLDS, SEARCH, check_records, scores

#: The troubles, one after the other, at growing shares of one search.
TROUBLES = [
    ("controller", signal.SIGKILL),
    ("controller", signal.SIGSTOP),
    ("fork server", signal.SIGKILL),
    ("fork server", signal.SIGSTOP),
    ("engine", signal.SIGSTOP),
]


def test_a_search_survives_the_loss_of_every_part_of_its_cluster(new_scheduler, undisturbed_scores):
    # Deadlines short enough for a test: an engine misses 40 heartbeats in 4 s.
    scheduler = new_scheduler(controller_timeout="3s", heartbeat=100)
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.drop(SEARCH, "struck.json")
    for n, (role, number) in enumerate(TROUBLES):
        share = 0.05 + 0.15 * n
        scheduler.wait_until(
            lambda share=share: n_done(scheduler) >= share * N_FOLDS, f"{share:.0%} of the folds"
        )
        scheduler.wait_for_engines()
        engines = engine_ids(scheduler)
        os.kill(process(scheduler, role), number)
        scheduler.wait_until(
            lambda engines=engines: engine_ids(scheduler) - engines, f"an engine after {role}"
        )
    job = scheduler.wait("struck")
    check_records(scheduler, job["id"])
    left = scheduler.query("SELECT left_because FROM engine WHERE left_at IS NOT NULL")
    told = " ".join(row["left_because"] for row in left)
    for reason in ("controller died", "controller did not answer", "parent process died",
                   "parent process was silent", "stopped answering"):  # fmt: skip
        assert reason in told
    assert scheduler.query("SELECT id FROM task WHERE n_engines_lost > 0") == [], "nobody is blamed"

    pd.testing.assert_frame_equal(
        scores(scheduler.results(job["id"])), undisturbed_scores(scheduler), check_exact=True
    )
    assert scheduler.stop() == 0
    assert scheduler.processes() == []


def test_a_second_sigterm_stops_at_once_even_when_the_cluster_does_not_answer(new_scheduler):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.drop(SEARCH, "struck.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 10, "some folds")
    for role in ("controller", "fork server"):
        os.kill(process(scheduler, role), signal.SIGSTOP)
    os.kill(scheduler.pid, signal.SIGTERM)
    assert scheduler.stop() == 0
    assert scheduler.processes() == []
    assert scheduler.query("SELECT id FROM attempt WHERE outcome IS NULL") == []


def n_done(scheduler) -> int:
    job = scheduler.job("struck")
    return job["n_done"] if job else 0


def engine_ids(scheduler) -> set[int]:
    return {row["id"] for row in scheduler.query("SELECT id FROM engine")}


def process(scheduler, role: str) -> int:
    book = json.loads((scheduler.spool / "cluster" / "processes.json").read_text())
    return next(entry["pid"] for entry in book if entry["role"] == role)
