"""Seconds, processor time and memory of the steps, as they are printed."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Measured:
    """What one step took: seconds, of this process's processor time and of memory (MB) how much.

    `limit` is what the seconds are to stay below on a machine that does nothing else.
    """

    step: str
    seconds: float
    processor: float
    megabytes: float
    limit: float | None = None


class Clock:
    """Tells the seconds, and the processor time, since it was made."""

    def __init__(self) -> None:
        self._begun, self._busy = time.perf_counter(), time.process_time()

    def read(self, n: int = 1) -> tuple[float, float]:
        """Return both, each divided by `n`."""
        seconds, busy = time.perf_counter() - self._begun, time.process_time() - self._busy
        return seconds / n, busy / n


@dataclass
class Measurements:
    """All that was measured, in order."""

    steps: list[Measured] = field(default_factory=list)

    @contextmanager
    def of(self, step: str, limit: float | None = None) -> Iterator[None]:
        """Measure what the block takes."""
        before = _memory(peak=False)
        _forget_peak()
        clock = Clock()
        yield
        self.add(step, *clock.read(), _memory(peak=True) - before, limit)

    def add(
        self,
        step: str,
        seconds: float,
        processor: float,
        megabytes: float = 0.0,
        limit: float | None = None,
    ) -> None:
        """Take note of a step."""
        self.steps.append(Measured(step, seconds, processor, max(megabytes, 0.0), limit))
        print(line(self.steps[-1]), file=sys.stderr, flush=True)


def line(measured: Measured) -> str:
    """Give a step as a line of the table."""
    limit = "" if measured.limit is None else f"{measured.limit:9.3g} s"
    over = measured.limit is not None and measured.seconds > measured.limit
    return (
        f"{measured.step:50} {measured.seconds:11.6f} s {measured.processor:11.6f} s"
        f" {measured.megabytes:6.0f} MB"
        f" {limit:>11}{' !' if over else ''}"
    )


def _memory(*, peak: bool) -> float:
    """Return what this process has in memory, or had at most since `_forget_peak` (MB)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # another system than Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = "VmHWM:" if peak else "VmRSS:"
    return int(status.split(name)[1].split()[0]) / 1024


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
