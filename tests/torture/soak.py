"""A hundred thousand folds: nothing grows that should not."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster import Scheduler
from invariants import check_records
from state import State, say

_N_SPLITS = 5

#: Seconds between two samples.
_PERIOD = 2.0

#: How much larger the last quarter may be than the second one.
_SHARE, _BYTES, _FDS = 1.10, 5_000_000, 4
_MOST_WAL = 64_000_000


def soak(state: State, n_folds: int) -> None:
    """Run one search of so many folds, and watch memory, open files and the WAL."""
    part = state["soak"]
    part.update(n_folds=n_folds, samples=[])
    directory = state.directory / f"soak-{os.getpid()}"
    with Scheduler(directory, warm=False) as scheduler:
        scheduler.wait_for_engines()
        search = {
            "data": {"loader": "iris"},
            "estimator": "DummyClassifier",
            "search": {"space": {"random_state": {"$range": [0, n_folds // _N_SPLITS]}}},
            "cv": _N_SPLITS,
            "refit": False,
        }
        started = time.time()
        scheduler.drop(search, "soak.json")
        processes = {
            "scheduler": psutil.Process(scheduler._process.pid),  # type: ignore[union-attr]
            "controller": psutil.Process(scheduler.controller_pid()),
        }
        next_sample = 0.0

        def ended() -> bool:
            nonlocal next_sample
            job = scheduler.job("soak")
            if job is None or time.time() < next_sample:
                return False
            next_sample = time.time() + _PERIOD
            part["samples"].append(_sample(scheduler.spool, processes, job, started))
            if len(part["samples"]) % 10 == 0:
                say(f"soak: {job['n_done']}/{n_folds} folds, {part['samples'][-1]}")
                state.save()
            return job["state"] in ("completed", "failed")

        try:
            scheduler.wait_until(ended, "the soak ends", 6 * 3600)
            scheduler.wait("soak")
            part["folds_per_second"] = n_folds / (time.time() - started)
            check_records(scheduler.query)
            _judge(state, part, n_folds)
        except (AssertionError, pytest.fail.Exception) as error:
            state.fail("soak", error)


def _sample(
    spool: Path, processes: dict[str, psutil.Process], job: dict[str, Any], started: float
) -> dict[str, float]:
    sample = {"seconds": round(time.time() - started, 1), "n_done": job["n_done"]}
    for name, process in processes.items():
        with contextlib.suppress(psutil.Error):
            sample[f"{name}_rss"] = process.memory_info().rss
            sample[f"{name}_fds"] = process.num_fds()
    with contextlib.suppress(FileNotFoundError):
        sample["wal"] = (spool / "foldq.db-wal").stat().st_size
    return sample


def _judge(state: State, part: dict[str, Any], n_folds: int) -> None:
    """Compare the quarters of the time in which folds were computed."""
    running = [s for s in part["samples"] if 0 < s["n_done"] < n_folds]
    quarter = len(running) // 4
    if quarter < 2:
        state.fail("soak", f"too short to be judged: {len(running)} samples")
        return
    second, last = running[quarter : 2 * quarter], running[-quarter:]
    for name in ("scheduler_rss", "controller_rss", "scheduler_fds", "controller_fds"):
        early, late = (max(s[name] for s in some) for some in (second, last))
        part[name] = [early, late]
        most = early + _FDS if name.endswith("fds") else early * _SHARE + _BYTES
        if late > most:
            state.fail("soak", f"{name} grows: {early} in the second quarter, {late} in the last")
    part["most_wal"] = max(s.get("wal", 0) for s in part["samples"])
    if part["most_wal"] > _MOST_WAL:
        state.fail("soak", f"the WAL grew to {part['most_wal']} bytes")
