"""Failpoints: listed exactly, off unless asked for, and deadly when they are."""

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from workers import failpoints
from workers.failpoints import EXIT_CODE, POINTS

ROOT = Path(__file__).resolve().parents[2]

#: A process that reaches two points, says what it still inherits, and ends well.
PROGRAM = """
import os
from workers.failpoints import failpoint
failpoint("lock.taken")
print("first", flush=True)
failpoint("store.migrated")
failpoint("lock.taken")
print([name for name in os.environ if name.startswith("FOLDQ_FAILPOINT")], flush=True)
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, cwd=ROOT
    )


def calls() -> Counter[str]:
    """The names of all points in the source."""
    found: Counter[str] = Counter()
    for package in ("schemas", "workers", "service"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: a name as text"
                    found[name.value] += 1
    return found


def test_every_point_in_the_source_is_listed_once_and_every_listed_one_is_there():
    assert calls() == Counter(dict.fromkeys(POINTS, 1))
    assert len(POINTS) >= 25


def test_nothing_happens_unless_a_variable_was_set():
    assert failpoints.failpoint("no such point") is None


def test_the_process_ends_at_the_hit_that_was_named():
    first, second, other = (
        run(FOLDQ_FAILPOINT=wanted)
        for wanted in ("lock.taken:1", "lock.taken:2", "lock.taken:2,store.migrated:1")
    )
    assert (first.returncode, first.stdout) == (EXIT_CODE, "")
    assert (second.returncode, second.stdout) == (EXIT_CODE, "first\n")
    assert (other.returncode, other.stdout) == (EXIT_CODE, "first\n")


def test_hits_are_logged_and_children_inherit_nothing(tmp_path):
    log = tmp_path / "hits"
    done = run(FOLDQ_FAILPOINT="store.migrated:2", FOLDQ_FAILPOINT_LOG=str(log))
    assert (done.returncode, done.stdout) == (0, "first\n[]\n")
    assert log.read_text().split() == ["lock.taken", "store.migrated", "lock.taken"]


@pytest.mark.parametrize("wanted", ["lock.takn:1", "lock.taken", "lock.taken:0", "lock.taken:x"])
def test_a_point_that_cannot_be_reached_is_an_error_and_not_a_quiet_pass(wanted):
    done = run(FOLDQ_FAILPOINT=wanted)
    assert done.returncode == 1
    assert "lock.tak" in done.stderr
