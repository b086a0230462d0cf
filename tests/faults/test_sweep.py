"""The scheduler dies at every boundary it has, and the searches come out as if it had not."""

import random
from collections.abc import Mapping

import pytest
from proving import Ground, submit_and_die
from sweeping import Undisturbed, crash_through, points_of, strike_through, undisturbed
from workloads import GRID, WORKLOADS, as_file

from service.layout import is_meant
from workers.failpoints import EXIT_CODE, POINTS

SWEPT = ("grid", "halving", "requests", "interrupted", "own engines")

#: What only other processes reach, and what wants an engine that has to be killed.
ELSEWHERE = {name for name in POINTS if name.startswith(("spool.submit.", "daemon.kill."))}

#: What only a scheduler reaches whose predecessor died with batches at engines.
AFTER_A_CRASH = {"daemon.collect.before"}

#: Workloads of which only these points are crashed at: the others have the rest, in less time.
#: `make torture` crashes at all of them in all.
ONLY = {
    "halving": (
        "store.expect.",
        "store.plan.",
        "store.choose_best.",
        "store.record.",
        "conclusion.",
    ),
    "requests": (
        "control.",
        "daemon.job.",
        "spool.",
        "store.admit.",
        "store.change.",
        "store.note.",
        "store.retry.",
        "store.record.",
    ),
    "interrupted": ("daemon.interrupt.", "control.", "store.record."),
    "own engines": ("cluster.", "daemon.", "lock.", "store.engine_joined.", "store.recover."),
}

#: Fresh spools that a sweep may take: a point that a crash made unreachable is tried on the next.
MOST_PLAYS = 6


@pytest.fixture(scope="module")
def references(ground: Ground) -> Mapping[str, Undisturbed]:
    return {name: undisturbed(ground, WORKLOADS[name]) for name in SWEPT}


@pytest.mark.parametrize("name", SWEPT)
def test_a_crash_at_any_point_changes_nothing_in_what_comes_out(ground, references, name):
    """Each point ends a scheduler at its middle hit, the next scheduler ends at another one, …

    A failure begins with the crashes that led to it: workload:point:hit:point:hit:…
    """
    reference = references[name]
    wanted = points_of(reference, lambda n_hits: (n_hits + 1) // 2)
    if name in ("grid", "own engines"):
        wanted[0].update(dict.fromkeys(AFTER_A_CRASH, 1))
    if name in ONLY:
        wanted = [
            {p: n for p, n in points.items() if p.startswith(ONLY[name])} for points in wanted
        ]
    for _ in range(MOST_PLAYS):
        if not any(wanted):
            break
        with ground.play(reference.workload) as play:
            crash_through(play, reference, wanted)
    # How often a point is reached depends on time; the first hit of each can always be had.
    for points in wanted:
        points.update(dict.fromkeys(points, 1))
    with ground.play(reference.workload) as play:
        crash_through(play, reference, wanted)
    assert not any(wanted), f"never reached: {wanted}"


def test_the_sweep_crashes_at_every_point(references):
    crashed_at = {
        point
        for name, reference in references.items()
        for hits in reference.hits
        for point in hits
        if name not in ONLY or point.startswith(ONLY[name])
    }
    assert crashed_at == set(POINTS) - ELSEWHERE - AFTER_A_CRASH


def test_eight_kills_at_any_moment_change_nothing_in_what_comes_out(ground):
    reference = undisturbed(ground, WORKLOADS["many"])
    moments = random.Random(20260101)
    n_kills = 0
    while n_kills < 8:
        pauses = [moments.uniform(0.05, 0.9) for _ in range(8 - n_kills)]
        with ground.play(reference.workload) as play:
            strike_through(play, reference, pauses)
            n_kills += len(play.faults)


@pytest.mark.parametrize("point", sorted(n for n in POINTS if n.startswith("spool.submit.")))
def test_a_submission_that_dies_leaves_a_whole_file_or_none(ground, tmp_path, point):
    data = as_file(GRID)
    assert ground.call(submit_and_die, tmp_path, data, "job.json", {point: 1}) == EXIT_CODE
    there = {f.name: f.read_bytes() for f in (tmp_path / "incoming").iterdir() if is_meant(f.name)}
    assert there == ({} if point.endswith("link.before") else {"job.json": data})
    assert ground.call(submit_and_die, tmp_path, data, "job.json", {}) == 0
    assert (tmp_path / "incoming" / "job.json").read_bytes() == data
