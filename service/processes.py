"""The processes of a local cluster, written down so that none is left behind."""

import contextlib
import json
import signal
import threading
import time
from pathlib import Path

import psutil


class ProcessBook:
    """Keeps number and start time of every process started, in memory and in a file.

    After a crash the next scheduler finds the file and ends what still runs. A number alone would
    not do: the system gives it to another process some day.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._started: dict[int, tuple[float, str]] = {}
        #: Engines that answered the welcome.
        self.joined: set[int] = set()

    def add(self, pid: int, role: str) -> None:
        """Write down a process that was just started."""
        with self._lock, contextlib.suppress(psutil.NoSuchProcess):
            self._started[pid] = (psutil.Process(pid).create_time(), role)
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a process that ended."""
        with self._lock:
            if self._started.pop(pid, None) is not None:
                self._write()

    def end_all(self, patience: float = 3.0) -> None:
        """End every process written down and their children: SIGTERM, then SIGKILL.

        Parameters
        ----------
        patience : float
            Seconds between the two.
        """
        with self._lock:
            started, self._started = self._started, {}
            _end(started, patience)
            self._path.unlink(missing_ok=True)

    def end_strays(self) -> None:
        """End what a scheduler that died left running."""
        try:
            entries = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return
        _end({entry["pid"]: (entry["created"], entry["role"]) for entry in entries}, 1.0)
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        entries = [
            {"pid": pid, "created": created, "role": role}
            for pid, (created, role) in self._started.items()
        ]
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_suffix(".tmp")
        beside.write_text(json.dumps(entries))
        beside.chmod(0o600)
        beside.replace(self._path)


def _end(started: dict[int, tuple[float, str]], patience: float) -> None:
    processes: list[psutil.Process] = []
    for pid, (created, _) in started.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1.0:
                processes += [process, *process.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + patience
    _, alive = psutil.wait_procs(processes, timeout=max(deadline - time.monotonic(), 0))
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=2)
