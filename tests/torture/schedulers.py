"""Schedulers that die: at every hit of every failpoint, and at any moment."""

import random
from collections.abc import Iterator
from typing import Any

from proving import Ground, Play
from state import State, say, spread
from sweeping import Undisturbed, crash_once, strike_through, undisturbed
from workloads import WORKLOADS

#: Kills of one spool's schedulers in a row, at most.
_KILLS_IN_A_ROW = 12

#: Workloads that are long enough to be killed in, the longest more often.
_STRUCK = ("many", "grid", "many", "halving", "many", "requests", "wide")


def points(ground: Ground, state: State, most_hits: int) -> None:
    """Crash once at every hit of every point of every workload, each on a fresh spool.

    Parameters
    ----------
    most_hits : int
        Of one point in one phase, evenly spread; 0 for all.
    """
    part = state["points"]
    done = part.setdefault("done", {})
    for name in WORKLOADS:
        reference = undisturbed(ground, WORKLOADS[name])
        wanted = list(_hits(reference, most_hits))
        of_workload = done.setdefault(name, {})
        for n, (n_phase, point, hit) in enumerate(wanted, start=1):
            key = f"{n_phase}:{point}:{hit}"
            if key in of_workload:
                continue
            with ground.play(WORKLOADS[name]) as play:
                try:
                    of_workload[key] = crash_once(play, reference, n_phase, point, hit)
                except AssertionError as error:
                    of_workload[key] = True
                    state.fail("points", error)
            if n % 20 == 0 or n == len(wanted):
                say(f"points: {name} {n}/{len(wanted)}")
                state.save()
    reached = [key for keys in done.values() for key, crashed in keys.items() if crashed]
    part["n_crashes"] = len(reached)
    part["n_points"] = len({key.split(":")[1] for key in reached})
    part["n_workloads"] = len(done)


def _hits(reference: Undisturbed, most: int) -> Iterator[tuple[int, str, int]]:
    for n_phase, hits in enumerate(reference.hits):
        for point, n_hits in sorted(hits.items()):
            step = max(1, n_hits // most) if most else 1
            for hit in list(range(1, n_hits + 1, step))[: most or None]:
                yield n_phase, point, hit


def kills(ground: Ground, state: State, wanted: int, seed: int) -> None:
    """`kill -9` schedulers at random moments until there were so many."""
    part = state["kills"]
    for name in ("n_kills", "n_rounds", "n_recomputed", "n_twice", "n_folds"):
        part.setdefault(name, 0)
    first_dispatches = part.setdefault("first_dispatches", [])
    references: dict[str, Undisturbed] = {}
    while part["n_kills"] < wanted:
        name = _STRUCK[part["n_rounds"] % len(_STRUCK)]
        if name not in references:
            references[name] = undisturbed(ground, WORKLOADS[name])
        moments = random.Random(f"{seed}:{part['n_rounds']}")
        n_most = min(_KILLS_IN_A_ROW, wanted - part["n_kills"])
        pauses = [moments.uniform(0.02, 1.0) for _ in range(n_most)]
        with ground.play(WORKLOADS[name]) as play:
            try:
                strike_through(play, references[name], pauses)
                _count(play, part)
            except AssertionError as error:
                state.fail("kills", error)
            part["n_kills"] += len(play.faults)
            first_dispatches += play.first_dispatches
        part["n_rounds"] += 1
        part["first_dispatch"] = spread(first_dispatches)
        say(f"kills: {part['n_kills']}/{wanted} in {part['n_rounds']} rounds")
        state.save()


def _count(play: Play, part: dict[str, Any]) -> None:
    (found,) = play.query(
        "SELECT (SELECT count(*) FROM task WHERE kind = 'fold' AND origin_task_id IS NULL)"
        " AS folds,"
        " (SELECT count(*) FROM attempt JOIN task ON task.id = attempt.task_id"
        "  WHERE task.kind = 'fold' AND attempt.outcome = 'engine_lost') AS lost,"
        " (SELECT count(*) FROM (SELECT 1 FROM attempt WHERE outcome = 'ok' AND task_id IN"
        "  (SELECT id FROM task WHERE kind = 'fold') GROUP BY task_id HAVING count(*) > 1))"
        " AS twice"
    )
    part["n_folds"] += found["folds"]
    part["n_recomputed"] += found["lost"]
    part["n_twice"] += found["twice"]
