"""Where the time of a search goes: its phases, and what each kind of process does meanwhile."""

from collections import defaultdict
from itertools import pairwise
from statistics import mean

from benchmarks import processes
from benchmarks.peers import ENGINES, Foldq
from benchmarks.rounds import Say

SEARCHES = ("small", "digits", "pipe", "dummy")

#: The phases of a job, in their order; and what the cores do while folds are done.
PHASES = ("taken", "prepared", "planned", "folds", "closed", "seen")
SHARES = ("fits", "engine", "scheduler", "controller", "other", "idle")


def measure(*, rounds: int, quick: bool, limit: float, say: Say) -> dict[str, dict[str, float]]:
    """Give, for each search, the means over the rounds.

    Returns
    -------
    dict of search to dict
        `seconds`; each of `PHASES` in seconds; each of `SHARES` in seconds of one core, which add
        up to `ENGINES` × `seconds`: `fits` are fits and scores, `engine` is all else that engines
        compute, `other` the fork server.
    """
    found: dict[str, dict[str, float]] = {}
    with Foldq() as foldq:
        for name in SEARCHES:
            foldq.run(name, quick=quick, step=0, limit=limit)
            several = [_once(foldq, name, quick, limit) for _ in range(rounds)]
            found[name] = {key: round(mean(one[key] for one in several), 4) for key in several[0]}
            say(f"{name:8} " + ", ".join(f"{k} {v:.3f}" for k, v in found[name].items()))
    return found


def _once(foldq: Foldq, name: str, quick: bool, limit: float) -> dict[str, float]:
    roles = foldq.roles()
    before = processes.cpu_seconds(foldq.pid)
    seconds = foldq.run(name, quick=quick, step=0, limit=limit).seconds
    after = processes.cpu_seconds(foldq.pid)
    phases = foldq.records.phases(foldq.last_job)
    moments = (
        foldq.dropped_at, phases.admitted, phases.prepared, phases.first, phases.last,
        phases.finished, foldq.seen_at,
    )  # fmt: skip
    lengths = [later - earlier for earlier, later in pairwise(moments)]
    return {
        "seconds": seconds,
        **dict(zip(PHASES, lengths, strict=True)),
        **shares(roles, before, after, computed=phases.computed, seconds=seconds),
    }


def shares(
    roles: dict[int, str],
    before: dict[int, float],
    after: dict[int, float],
    *,
    computed: float,
    seconds: float,
) -> dict[str, float]:
    """Split the seconds of the cores; what is left of the engines' and of all is told by the rest.

    Parameters
    ----------
    roles : dict of process id to role
    before, after : dict of process id to CPU seconds
    computed : float
        Seconds of fits and scores.
    seconds : float
        From the drop of the file to the completed record.
    """
    used: dict[str, float] = defaultdict(float)
    for pid, now in after.items():
        used[roles.get(pid, "other")] += now - before.get(pid, 0.0)
    named = {
        "fits": min(computed, used["engine"]),
        "engine": max(0.0, used["engine"] - computed),
        "scheduler": used["scheduler"],
        "controller": used["controller"],
        "other": used["fork server"] + used["other"],
    }
    return {**named, "idle": max(0.0, ENGINES * seconds - sum(named.values()))}
