"""What a million folds in one search, and ten thousand searches, cost whoever asks the records.

Nothing is fitted: the searches are made up, in the tables that the scheduler itself uses, and
through its own code wherever that is what is timed. Printed is, for each question and each step,
the seconds it took, the memory it took beyond what the process had before, and what it should stay
below.

    python -m benchmarks.scale [--candidates 200000] [--jobs 10000] [--json]
"""

import argparse
import json
import sqlite3
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.scale import dispatching, ending, planning, questions, resuming
from benchmarks.scale.clock import line
from benchmarks.scale.subject import Scale
from service import lock


def run(scale: Scale, *, with_commands: bool = True) -> None:
    """Take all the steps, in the order of a job's life.

    Parameters
    ----------
    with_commands : bool, default=True
        Start commands as processes of their own, too.
    """
    planning.admit(scale)
    import_module("sklearn.model_selection")  # a scheduler has, when it plans
    import_module("workers.repeatable")
    planning.plan(scale)
    planning.plan_again(scale)
    dispatching.dispatch(scale)
    with lock.hold(scale.spool):  # as a scheduler does, that the commands find one
        questions.look(scale, "running")
        if with_commands:
            questions.commands(scale)
    resuming.resume(scale)
    resuming.cancel_and_retry(scale)
    ending.complete(scale)
    questions.look(scale, "completed")
    planning.reuse(scale)
    ending.tidy(scale)


def main() -> None:
    """Make the records up, time everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldq-scale-") as directory:
        scale = Scale(Path(directory), given.jobs, given.candidates)
        run(scale)
        size = scale.settings.database_path.stat().st_size
    if given.json:
        steps = [asdict(step) for step in scale.measured.steps]
        print(json.dumps({"sqlite": sqlite3.sqlite_version, "bytes": size, "steps": steps}))
    else:
        print("\n".join(map(line, scale.measured.steps)))


if __name__ == "__main__":
    main()
