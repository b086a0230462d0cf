"""Admission and planning of the big search; planning from the records."""

import time

from benchmarks.scale.clock import Clock
from benchmarks.scale.madeup import SMALL, big_search, now
from benchmarks.scale.madeup import admit as made_up
from benchmarks.scale.subject import Scale
from schemas.lifecycle import JobState
from service.stimuli import CancelTasks, FoldsPlanned, MoveJob


def admit(scale: Scale) -> None:
    """Admit small jobs, then the big one."""
    begun = time.perf_counter()
    for number in range(100):
        made_up(scale.store, SMALL, f"more-{number}", 10**6 + number)
    scale.measured.add("admission of a small search", (time.perf_counter() - begun) / 100, 0, 0.1)
    with scale.store.transaction() as db:
        db.execute("DELETE FROM job WHERE name LIKE 'more-%'")
    with scale.measured.of("admission of the big search", 1.0):
        scale.job_id = made_up(scale.store, big_search(scale.n_candidates), "big", 10**7)


def plan(scale: Scale, name: str = "planning", job_id: int | None = None) -> int:
    """Plan a search, turn by turn, as the scheduler does; return its folds to compute."""
    job_id = scale.job_id if job_id is None else job_id
    longest, n_open = (0.0, 0.0), 0
    searches = scale.searches()
    with scale.measured.of(f"{name} {scale.n_folds:,} folds"):
        assert list(searches.next_step(job_id)) == []
        while searches.is_planning:
            clock = Clock()
            for planned in searches.plan_more():
                assert isinstance(planned, FoldsPlanned), planned
                n_open += planned.count
            longest = max(longest, clock.read())
    total = scale.measured.steps[-1]
    each = total.seconds / scale.n_folds, total.processor / scale.n_folds
    scale.measured.add(f"{name}, each fold", *each, limit=30e-6)
    scale.measured.add(f"{name}, the longest turn", *longest, limit=0.25)
    return n_open


def plan_again(scale: Scale) -> None:
    """Begin to plan where an earlier scheduler left off: near the end."""
    left = min(1000, scale.n_candidates // 2)
    scale.store.connection.execute("PRAGMA foreign_keys=OFF")  # it would look for each
    with scale.store.transaction() as db:
        first = scale.n_candidates - left
        chosen = "SELECT id FROM candidate WHERE job_id = ?1 AND number >= ?2"
        asked = (scale.job_id, first)
        db.execute(f"DELETE FROM task WHERE job_id = ?1 AND candidate_id IN ({chosen})", asked)
        db.execute("DELETE FROM candidate WHERE job_id = ?1 AND number >= ?2", asked)
        db.execute("UPDATE job SET n_candidates = ? WHERE id = ?", (first, scale.job_id))
    scale.store.connection.execute("PRAGMA foreign_keys=ON")
    searches = scale.searches()
    with scale.measured.of("the rest of a plan that was interrupted", 5.0):
        list(searches.next_step(scale.job_id))
        while searches.is_planning:
            list(searches.plan_more())


def reuse(scale: Scale) -> None:
    """Plan a second search of the same candidates: all its folds are in the records."""
    twin = made_up(scale.store, big_search(scale.n_candidates), "again", 10**8)
    assert plan(scale, "planning from the records", twin) == 0
    scale.store.record([CancelTasks(twin), MoveJob(twin, JobState.CANCELLED, "over")], now())
