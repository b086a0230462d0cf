"""`python -m benchmarks`: time foldq beside its peers and write docs/performance.md's tables.

Each part puts its figures into benchmarks/results.json, where they replace those of its last run;
the tables and plots are then written from that file.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import anatomy, figures, overhead, page, plots
from benchmarks.peers import PEERS, ROOT, PeerFailed, make_peer
from benchmarks.rounds import Rounds, as_json
from benchmarks.workloads import workloads

PARTS = ("speed", "overhead", "profile", "simulation", "scale")

#: Peers that are timed unless others are asked for.
_USUAL = ("foldq", "scikit-learn", "ipyparallel", "dask-ml")

#: Arguments that make programs of their own take seconds.
_QUICKLY = {
    "simulation": ["--engines", "1,10", "--folds", "2000"],
    "scale": ["--candidates", "2000", "--jobs", "100"],
}


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


def _listed(known: tuple[str, ...], text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(
            f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    every = tuple(workloads())

    def listed(known: tuple[str, ...]) -> Callable[[str], list[str]]:
        return partial(_listed, known)

    add("--only", type=listed(PARTS), default=list(PARTS), help=f"parts: {', '.join(PARTS)}")
    add("--peers", type=listed(PEERS), default=list(_USUAL), help=f"of {', '.join(PEERS)}")
    add("--searches", type=listed(every), default=list(every), help=f"of {', '.join(every)}")
    add("--rounds", type=int, default=3, help="counted rounds (default 3)")
    add("--limit", type=float, default=300, help="seconds for one search (default 300)")
    add("--quick", action="store_true", help="small searches, to try it out; the page stays")
    add("--table", action="store_true", help="write page and plots from the figures there are")
    add("--output", type=Path, help="figures go to this file, and the page stays")
    return parser.parse_args()


def _speed(given: argparse.Namespace) -> Any:
    peers = {name: make_peer(name) for name in given.peers}
    chosen = [
        workload for name, workload in workloads(given.quick).items() if name in given.searches
    ]
    rounds = Rounds(
        peers, chosen, rounds=given.rounds, quick=given.quick, limit=given.limit, say=say
    )
    try:
        rounds.measure()
    finally:
        for peer in peers.values():
            peer.close()
    searches = {
        workload.name: {
            "what": workload.what,
            "folds": workload.n_folds,
            "target": workload.target,
        }
        for workload in chosen
    }
    return {"searches": searches, "table": as_json(rounds.table), "idle": rounds.idle}


def _own_program(name: str, given: argparse.Namespace) -> Any:
    """Run a benchmark that is a program of its own and prints its figures as JSON."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(
        [*command, *(_QUICKLY[name] if given.quick else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def _measure(part: str, given: argparse.Namespace) -> Any:
    if part == "speed":
        return _speed(given)
    if part in ("overhead", "profile"):
        module = overhead if part == "overhead" else anatomy
        limit = max(given.limit, 600.0)
        return module.measure(rounds=given.rounds, quick=given.quick, limit=limit, say=say)
    return _own_program(part, given)


def _write(path: Path) -> None:
    """Write the page's tables and the plots from the figures."""
    found = figures.load(path)
    page.PAGE.write_text(page.rewrite(page.PAGE.read_text(), page.tables(found)))
    say(f"written: {page.PAGE.relative_to(ROOT)}")
    try:
        for drawn in plots.draw(found):
            say(f"written: {drawn.relative_to(ROOT)}")
    except ImportError as missing:
        say(f"no plots: {missing}")


def main() -> int:
    """Run the parts; 1 if one of them could not be measured."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended on the way out
    if given.table:
        _write(figures.RESULTS)
        return 0
    aside = given.output or (ROOT / "build" / "benchmarks.json" if given.quick else None)
    path = aside or figures.RESULTS
    failed = []
    for part in given.only:
        say(f"— {part}")
        began = time.monotonic()
        try:
            measured = _measure(part, given)
        except (subprocess.CalledProcessError, json.JSONDecodeError, PeerFailed) as error:
            say(f"{part} could not be measured: {error}")
            failed.append(part)
            continue
        rounds = None if part in ("simulation", "scale") else given.rounds
        figures.save(path, part, measured, rounds=rounds)
        say(f"— {part}: {time.monotonic() - began:.0f} s")
    if aside is None:
        _write(path)
    else:
        for name, table in page.tables(figures.load(path)).items():
            say(f"\n{name}\n\n{table}")
        say(f"\nfigures: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
