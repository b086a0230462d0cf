"""Random stories for the scheduler core, many more than `make test` tells."""

import os
import re
import subprocess
import sys
from pathlib import Path

from state import State, say

_TESTS = Path(__file__).resolve().parents[1] / "unit" / "test_scheduler_properties.py"


def stories(state: State, n_stories: int) -> None:
    """Run the properties of the core with so many examples each."""
    say(f"stories: {n_stories} of each kind")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(_TESTS)],
        env={**os.environ, "TEST_EXAMPLES": str(n_stories)},
        cwd=_TESTS.parents[2],
        capture_output=True,
        text=True,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    state["stories"].update(n_stories=n_stories, n_passed=int(passed[1]) if passed else 0)
    if done.returncode != 0:
        state.fail("stories", done.stdout[-4000:])
