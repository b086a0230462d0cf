"""What an engine does when it is welcomed: make itself ready, say what it is."""

import importlib
import importlib.metadata
import os
import platform
import signal
import socket
import threading
import time

import psutil

import schemas
from schemas.task import EngineReport

#: Imported before the first task, so that none of its time goes into that.
_WARM = (
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.svm",
    "workers.fold",
)

#: Packages whose version decides the numbers or the pickles that cross.
_VERSIONED = ("scikit-learn", "numpy", "scipy", "pandas", "joblib", "ipyparallel")

_WATCH_SECONDS = 2.0


def versions() -> dict[str, str]:
    """Return the versions that have to agree between engines and scheduler."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONED}
    major, minor, _ = platform.python_version_tuple()
    return {"python": f"{major}.{minor}", "foldq": schemas.__version__} | found


def welcome(scheduler_pid: int | None, cluster_pids: tuple[int, ...], grace: float) -> EngineReport:
    """Import what folds need and report host, process and versions.

    Parameters
    ----------
    scheduler_pid : int or None
        The scheduler's process when it started this engine on its own host: without it, for longer
        than `grace` seconds, the engine ends itself and `cluster_pids`, so that no process is left
        behind. None for engines that are not the scheduler's own.
    cluster_pids : tuple of int
        Processes of the cluster besides the engines: the controller.
    grace : float
        Seconds.
    """
    for module in _WARM:
        importlib.import_module(module)
    if scheduler_pid is not None:
        threading.Thread(
            target=_end_with,
            args=(scheduler_pid, cluster_pids, grace),
            name="foldq-watch",
            daemon=True,
        ).start()
    return EngineReport(socket.gethostname(), os.getpid(), versions())


def _end_with(scheduler_pid: int, cluster_pids: tuple[int, ...], grace: float) -> None:
    """Wait for the scheduler's end, then for the grace time, then end the cluster's processes."""
    watched = [_process(pid) for pid in (scheduler_pid, *cluster_pids)]
    missed_since: float | None = None
    while True:
        time.sleep(min(_WATCH_SECONDS, max(grace / 2, 0.1)))
        if watched[0] is not None and watched[0].is_running():
            continue
        if missed_since is None:
            missed_since = time.monotonic()
        if time.monotonic() - missed_since >= grace:
            for process in watched[1:]:
                if process is not None and process.is_running():
                    os.killpg(process.pid, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGKILL)


def _process(pid: int) -> psutil.Process | None:
    """Return the process by number *and* start time, so that a reused number is not mistaken."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
