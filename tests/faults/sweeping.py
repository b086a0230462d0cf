"""Crash a workload at its failpoints, let it go on, and compare what comes out."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from invariants import check_files, check_orderly, check_records, outcome
from proving import Ground, Play, Stuck
from workloads import Workload


@dataclass(frozen=True)
class Undisturbed:
    """A workload as it goes when nothing happens.

    Attributes
    ----------
    outcomes : list
        What the spool holds after each phase.
    hits : list of Counter
        How often each phase reaches each point.
    """

    workload: Workload
    outcomes: list[dict[str, Any]]
    hits: list[Counter[str]]


def undisturbed(ground: Ground, workload: Workload) -> Undisturbed:
    """Play a workload without a fault."""
    outcomes: list[dict[str, Any]] = []
    hits: list[Counter[str]] = []

    def look(play: Play, n_phases: int) -> None:
        check_all(play, n_phases)
        outcomes.append(outcome(play.spool, play.query))
        hits.append(Counter(play.hits()))

    with ground.play(workload) as play:
        play.finish(look)
    return Undisturbed(workload, outcomes, hits)


def check_all(play: Play, n_phases: int) -> None:
    """Check everything that holds once a scheduler has ended well."""
    check_records(play.query)
    check_files(play.spool, play.query, play.workload.dropped(n_phases))
    check_orderly(play.spool, play.query, len(play.faults))
    left = play.processes() if play.workload.is_local else []
    assert left == [], f"it leaves processes behind: {left}"


def crash_through(play: Play, reference: Undisturbed, wanted: list[dict[str, int]]) -> None:
    """Play a workload and crash it at each of the points wanted, one after the other.

    Parameters
    ----------
    wanted : list of dict
        For each phase the points and hits that are still to be crashed at; those that were
        reached are taken out.
    """

    def run(n_phase: int) -> bool:
        reached = play.run(wanted[n_phase])
        if reached is not None:
            del wanted[n_phase][reached]
        return reached is not None

    _through(play, reference, run)


def strike_through(play: Play, reference: Undisturbed, pauses: Iterable[float]) -> None:
    """Play a workload and `kill -9` its schedulers, each after one of the pauses (seconds).

    Ends when the workload does, or goes on undisturbed when there are no more pauses.
    """
    left = iter(pauses)

    def run(_n_phase: int) -> bool:
        seconds = next(left, None)
        if seconds is None:
            play.run()
            return False
        return play.strike(seconds)

    _through(play, reference, run)


def crash_once(play: Play, reference: Undisturbed, n_phase: int, point: str, hit: int) -> bool:
    """Play a workload and crash it at one hit of one point; False if it was not reached."""
    wanted: list[dict[str, int]] = [{} for _ in play.workload.phases]
    wanted[n_phase] = {point: hit}
    crash_through(play, reference, wanted)
    return bool(play.faults)


def _through(play: Play, reference: Undisturbed, run: Callable[[int], bool]) -> None:
    """Play all phases; `run` starts a scheduler and tells whether it was ended by a fault."""
    try:
        for number, phase in enumerate(play.workload.phases):
            play.begin(phase)
            while run(number):
                if _has_tables(play):
                    check_records(play.query)
                    check_files(play.spool, play.query, play.workload.dropped(number + 1))
            check_all(play, number + 1)
            if odd := differences(outcome(play.spool, play.query), reference.outcomes[number]):
                raise AssertionError("not as undisturbed:\n" + "\n".join(odd[:20]))
    except (AssertionError, Stuck, sqlite3.Error) as error:
        raise AssertionError(f"{play}\n{error}\n{play.tail()}") from error


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Say where two nested values differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted(found.keys() | expected.keys(), key=str)
        pairs = [(f"{where}.{k}", found.get(k), expected.get(k)) for k in keys]
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = [
            (f"{where}[{i}]", one, other)
            for i, (one, other) in enumerate(zip(found, expected, strict=True))
        ]
    elif found == expected:
        return []
    else:
        return [f"{where}: {found!r}, undisturbed {expected!r}"]
    return [odd for place, one, other in pairs for odd in differences(one, other, place)]


def _has_tables(play: Play) -> bool:
    if not (play.spool / "foldq.db").exists():
        return False
    try:
        return bool(play.query("SELECT 1 FROM sqlite_master WHERE name = 'event'"))
    except sqlite3.OperationalError as error:
        # The scheduler died as it made the file: only the next one can undo that half.
        if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
            return False
        raise


def points_of(reference: Undisturbed, which: Callable[[int], int]) -> list[dict[str, int]]:
    """Choose one hit of each point in each phase: `which(how often it is reached)`."""
    return [{name: which(n) for name, n in hits.items()} for hits in reference.hits]
