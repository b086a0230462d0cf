"""What people ask, while the big search runs and when it is over."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.scale.subject import Scale


def look(scale: Scale, state: str) -> None:
    """Ask what people ask, in a process that has imported everything."""
    from typer.testing import CliRunner

    from service.cli import app

    def asked(limit: float, *arguments: str) -> None:
        told = f"foldq {' '.join(arguments)} ({state}, warm)"
        told = told.replace(str(scale.job_id), "ID").replace(f"{scale.spool}/", "")
        for warm in (False, True):
            if not warm and limit > 1.0:
                continue
            with _maybe(scale, warm, told, limit):
                given = [*arguments, "--spool", str(scale.spool)]
                answer = CliRunner().invoke(app, given)
            assert answer.exit_code == 0, answer.output

    number = str(scale.job_id)
    asked(0.2, "status")
    asked(0.2, "status", "--json")
    asked(0.2, "history")
    asked(0.2, "history", "-n", "20", "--sort", "-score")
    asked(5.0, "history", "--json")
    asked(5.0, "engines")
    asked(5.0, "show", number)
    asked(5.0, "show", number, "--json")
    asked(5.0, "results", number)
    asked(60.0, "results", number, "-o", str(scale.spool / "results.csv"))


@contextmanager
def _maybe(scale: Scale, really: bool, step: str, limit: float) -> Iterator[None]:
    if not really:
        yield
        return
    with scale.measured.of(step, limit):
        yield


def commands(scale: Scale) -> None:
    """Time whole commands, but for the start of Python."""
    bare = _command("-c", "pass")
    for name in ("status", "history"):
        took = _command("-m", "service.cli", name, "--spool", str(scale.spool))
        more = f"foldq {name}, cold, but for the interpreter"
        scale.measured.add(more, *(whole - part for whole, part in zip(took, bare, strict=True)))


def _command(*arguments: str) -> tuple[float, float]:
    """Return the seconds and the processor time of a command of this Python: the best of three."""
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        took.append((time.perf_counter() - begun, busy))
    return min(took)
