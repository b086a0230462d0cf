"""Random stories for the core, and random halvings, many more than `make test` tells."""

import os
import re
import subprocess
import sys
from pathlib import Path

from state import State, say

_UNIT = Path(__file__).resolve().parents[1] / "unit"
_HALVING = _UNIT / "test_planner.py"
_TESTS = (
    _UNIT / "test_scheduler_properties.py",
    f"{_HALVING}::test_halving_grid_takes_the_steps_that_scikit_learn_takes",
    f"{_HALVING}::test_halving_random_draws_as_many_as_scikit_learn_draws",
)


def stories(state: State, n_stories: int) -> None:
    """Run the properties of the core and of halving with so many examples each."""
    say(f"stories: {n_stories} of each kind")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *map(str, _TESTS)],
        env={**os.environ, "TEST_EXAMPLES": str(n_stories)},
        cwd=_UNIT.parents[1],
        capture_output=True,
        text=True,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    state["stories"].update(n_stories=n_stories, n_passed=int(passed[1]) if passed else 0)
    if done.returncode != 0:
        state.fail("stories", done.stdout[-4000:])
