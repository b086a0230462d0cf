"""What a program and all its processes use: memory and CPU time, from outside."""

import contextlib
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

#: Seconds between two looks at the memory, at least.
_LOOK = 0.1

#: A look takes tens of milliseconds. It may take this part of one core, and less after a while.
_SHARE = 0.2
_LATER_SHARE = 0.03
_LATER = 10.0


def tree(pid: int) -> list[psutil.Process]:
    """Give a process and all its descendants that are there."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pss(pid: int) -> int:
    """Give the bytes of a process, with what it shares counted in parts; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def memory(pid: int) -> int:
    """Give the bytes of a process and its descendants together, shared pages counted once."""
    return sum(pss(process.pid) for process in tree(pid))


def cpu_seconds(pid: int) -> dict[int, float]:
    """Give the CPU seconds, user and system, that each process of a tree has used so far."""
    used = {}
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Give the CPU seconds between two looks; processes that ended in between are left out."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def stop(pid: int) -> None:
    """Have a process and its descendants stand still."""
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()


def go_on(pid: int) -> None:
    """Have them go on."""
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def end(pid: int, patience: float = 5.0) -> None:
    """End a process and its descendants, kindly at first."""
    processes = tree(pid)  # before any of them goes on, and leaves orphans
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        _, processes = psutil.wait_procs(processes, timeout=patience)


class MemoryPeak:
    """The most memory that a tree of processes had together while this was entered.

    It looks up to ten times a second, which costs the program it looks at some time: not for a
    round that is timed, unless it is a long one.
    """

    def __init__(self, pid: int):
        self._pid = pid
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.bytes = 0

    def _look(self) -> None:
        began = time.monotonic()
        while True:
            looked = time.monotonic()
            self.bytes = max(self.bytes, memory(self._pid))
            now = time.monotonic()
            share = _SHARE if now - began < _LATER else _LATER_SHARE
            if self._left.wait(max(_LOOK, (now - looked) / share)):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
