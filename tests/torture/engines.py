"""Engines that die in the middle of their batches, and schedulers restarted with engines alive."""

import contextlib
import os
import random
import signal
import time
from typing import Any

import pytest
from cluster import Scheduler
from invariants import check_records
from proving import seconds
from searches import SEARCH, scores
from state import State, say, spread

#: A search for the kills: nothing is given up as poison, because every death is ours.
_SEARCH = {**SEARCH, "retry": {"engine_losses": 100}}

#: Folds that are done between two kills, at least.
_PROGRESS = 15


def engine_kills(state: State, wanted: int, seed: int) -> None:
    """`kill -9` busy engines until there were so many, search after search."""
    part = state["engines"]
    for name in ("n_kills", "n_rounds", "n_folds", "n_lost_attempts", "n_twice"):
        part.setdefault(name, 0)
    for name in ("elsewhere_first", "elsewhere_last", "restart", "rejoined"):
        part.setdefault(name + "_seconds", [])
    directory = state.directory / f"engines-{os.getpid()}-{time.time_ns()}"
    with Scheduler(directory, warm=False) as scheduler:
        scheduler.wait_for_engines()
        scheduler.drop(_SEARCH, "undisturbed.json")
        undisturbed = scores(scheduler.results(scheduler.wait("undisturbed")["id"]))
        while part["n_kills"] < wanted:
            n_round = part["n_rounds"]
            try:
                job, killed = _strike(scheduler, n_round, wanted - part["n_kills"], seed)
                check_records(scheduler.query)
                if not scores(scheduler.results(job["id"])).equals(undisturbed):
                    state.fail("engines", f"round {n_round}: another table than undisturbed")
                _count(scheduler, job, killed, part)
                part["n_kills"] += len(killed)
                if n_round % 5 == 0:
                    _restart(scheduler, part)
            except (AssertionError, pytest.fail.Exception) as error:
                state.fail("engines", f"round {n_round}: {error}")
                part["n_rounds"] += 1
                if len(part["failures"]) > 5:
                    return
                continue
            part["n_rounds"] += 1
            for name in ("elsewhere_first", "elsewhere_last", "restart"):
                part[name] = spread(part[name + "_seconds"])
            say(f"engines: {part['n_kills']}/{wanted} kills in {part['n_rounds']} searches")
            state.save()
        scheduler.stop()
        if left := scheduler.processes():
            state.fail("engines", f"left running: {left}")


def _strike(
    scheduler: Scheduler, n_round: int, most: int, seed: int
) -> tuple[dict[str, Any], dict[int, float]]:
    """Run one search and kill a busy engine every now and then; pid -> when."""
    moments = random.Random(f"{seed}:{n_round}")
    name = scheduler.drop(_SEARCH, f"round-{n_round}-{time.time_ns()}.json")
    killed: dict[int, float] = {}
    next_kill, next_share = 0.0, 1

    def ended() -> bool:
        nonlocal next_kill, next_share
        job = scheduler.job(name)
        if job is None or job["state"] in ("completed", "failed"):
            return job is not None
        # Engines that die before anything is finished are taken for a crash loop, rightly.
        if job["n_done"] < next_share or time.time() < next_kill or len(killed) >= most:
            return False
        if pids := _busy(scheduler):
            pid = moments.choice(pids)
            if pid not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed[pid] = time.time()
                next_kill = time.time() + moments.uniform(0.05, 0.3)
                next_share = job["n_done"] + _PROGRESS
        return False

    scheduler.wait_until(ended, f"{name} ends", 300)
    return scheduler.wait(name), killed


def _busy(scheduler: Scheduler) -> list[int]:
    rows = scheduler.query(
        "SELECT DISTINCT engine.pid FROM attempt JOIN engine ON engine.id = attempt.engine_id"
        " WHERE attempt.outcome IS NULL AND engine.left_at IS NULL ORDER BY engine.pid"
    )
    return [row["pid"] for row in rows]


def _count(
    scheduler: Scheduler, job: dict[str, Any], killed: dict[int, float], part: dict[str, Any]
) -> None:
    part["n_folds"] += job["n_tasks"]
    rows = scheduler.query(
        "SELECT attempt.task_id, engine.pid, attempt.outcome,"
        f" {seconds('attempt.submitted_at')} AS submitted FROM attempt"
        " JOIN task ON task.id = attempt.task_id JOIN engine ON engine.id = attempt.engine_id"
        " WHERE task.job_id = ? AND task.kind = 'fold'",
        job["id"],
    )
    ok = [row["task_id"] for row in rows if row["outcome"] == "ok"]
    part["n_twice"] += len(ok) - len(set(ok))
    for pid, at in killed.items():
        theirs = {r["task_id"] for r in rows if r["pid"] == pid and r["outcome"] == "engine_lost"}
        part["n_lost_attempts"] += len(theirs)
        again = []
        for task_id in theirs:
            sent = [row["submitted"] for row in rows if row["task_id"] == task_id]
            again.append(min((when for when in sent if when > at), default=at) - at)
        if again:
            part["elsewhere_first_seconds"].append(min(again))
            part["elsewhere_last_seconds"].append(max(again))


def _restart(scheduler: Scheduler, part: dict[str, Any]) -> None:
    """Kill the scheduler in the middle of a search, start it, and time its first batch."""
    name = scheduler.drop(_SEARCH, f"restart-{time.time_ns()}.json")
    scheduler.wait_until(lambda: (scheduler.job(name) or {}).get("n_done", 0) > 50, "some folds")
    scheduler.kill()
    before = scheduler.query("SELECT max(id) AS id FROM attempt")[0]["id"]
    engines = len(scheduler.query("SELECT id FROM live_engine"))
    started = time.time()
    scheduler.start()
    scheduler.wait(name)
    (first,) = scheduler.query(
        f"SELECT {seconds('submitted_at')} AS at FROM attempt WHERE id > ? ORDER BY id LIMIT 1",
        before,
    )
    part["restart_seconds"].append(first["at"] - started)
    part["rejoined_seconds"].append(engines)
    check_records(scheduler.query)
