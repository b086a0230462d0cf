"""`python -m tests.torture`: what `make test` does by the dozen, done by the thousand.

It takes hours. Broken off, it goes on where it was; a part that is complete is not done again
unless it is named with --again.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / "torture"), str(_TESTS / "faults"), str(_TESTS), str(_TESTS.parent)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    add = parser.add_argument
    add("--state", type=Path, default=Path("build/torture"), help="directory of figures and spools")
    add("--only", default=",".join(_PARTS), help=f"parts, separated by commas: {', '.join(_PARTS)}")
    add("--again", action="store_true", help="begin the parts anew")
    add("--table", action="store_true", help="print the table in Markdown, and do nothing else")
    add("--seed", type=int, default=20260101)
    add("--hits", type=int, default=0, help="points: hits of each point at most; 0: all")
    add("--kills", type=int, default=1000, help="kills: of schedulers")
    add("--engine-kills", type=int, default=500, help="engines: kills")
    add("--copies", type=int, default=1000, help="copies: of the database")
    add("--submitters", type=int, default=8, help="submitters: processes")
    add("--files", type=int, default=1000, help="submitters: files of each")
    add("--folds", type=int, default=100_000, help="soak: folds")
    add("--stories", type=int, default=2000, help="stories: of each property")
    return parser.parse_args()


_PARTS = ("points", "kills", "engines", "copies", "submitters", "soak", "stories")


def main() -> int:
    """Run the parts; 1 if anything did not hold."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended on the way out
    import table
    from state import State, say

    wanted = given.only.split(",")
    if unknown := set(wanted) - set(_PARTS):
        sys.exit(f"--only: there is no part {', '.join(sorted(unknown))}; there are {_PARTS}")
    state = State(given.state.resolve())
    figures = {name: state[name] for name in _PARTS if state[name]["seconds"]}
    if given.table:
        print(table.markdown(figures))
        return 0
    for name in wanted:
        if given.again:
            state.forget(name)
        if state[name]["complete"]:
            say(f"{name}: complete already")
            continue
        say(f"{name}: begins")
        started = time.time()
        try:
            _run(name, given, state)
            state[name]["complete"] = True
        finally:
            state[name]["seconds"] += time.time() - started
            state.save()
    figures = {name: state[name] for name in _PARTS if state[name]["seconds"]}
    print(
        json.dumps(
            {
                n: {k: v for k, v in p.items() if not isinstance(v, list | dict)}
                for n, p in figures.items()
            },
            indent=1,
        )
    )
    for row in table.rows(figures):
        print(" · ".join(row))
    return int(any(part["failures"] for part in figures.values()))


def _run(name: str, given: argparse.Namespace, state: "State") -> None:  # noqa: F821
    from proving import Ground, proving_ground

    on_ground: dict[str, Callable[[Ground], None]] = {}
    if name in ("points", "kills"):
        import schedulers

        on_ground["points"] = lambda ground: schedulers.points(ground, state, given.hits)
        on_ground["kills"] = lambda ground: schedulers.kills(ground, state, given.kills, given.seed)
    elif name == "copies":
        from copies import copies

        on_ground["copies"] = lambda ground: copies(ground, state, given.copies, given.seed)
    elif name == "submitters":
        from submitters import submitters

        on_ground["submitters"] = lambda ground: submitters(
            ground, state, given.submitters, given.files, given.seed
        )
    elif name == "engines":
        from engines import engine_kills

        engine_kills(state, given.engine_kills, given.seed)
    elif name == "soak":
        from soak import soak

        soak(state, given.folds)
    else:
        from stories import stories

        stories(state, given.stories)
    if name in on_ground:
        with proving_ground(state.directory / f"ground-{time.time_ns()}", is_warm=False) as ground:
            on_ground[name](ground)


if __name__ == "__main__":
    sys.exit(main())
