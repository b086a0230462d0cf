"""Which batches run so far beyond their peers that an idle engine should try the same.

An engine may be frozen, starved by its machine's other work, or stuck in one fold. As Spark's
speculative tasks do, a second attempt of the same folds goes to an engine that has nothing else to
do, and the first result of each counts.
"""

from collections.abc import Iterable
from datetime import datetime

from schemas.lifecycle import TaskKind
from service.fleet import Engine, Flight
from service.jobs import Jobs
from service.policy import Policy
from service.queue import JobQueue


def stragglers(
    engines: Iterable[Engine], jobs: Jobs, policy: Policy, now: datetime
) -> list[Flight]:
    """Return the batches that deserve a copy, those first that are the latest.

    These are batches that run far beyond their peers, and what waits behind one on its engine.
    """
    found: list[tuple[float, Flight]] = []
    for engine in engines:
        front = engine.running
        if front is None or (lateness := _lateness(front, jobs, policy, now)) <= 1:
            continue
        found += [
            (lateness, flight)
            for flight in engine.flights
            # A copy that came to nothing is followed by another one only much later.
            if lateness > 2**flight.n_copies and _may_be_copied(flight, jobs, policy, now)
        ]
    found.sort(key=lambda late: late[0], reverse=True)
    return [flight for _, flight in found]


def expected_seconds(flight: Flight, job: JobQueue, policy: Policy) -> float | None:
    """Return what the whole batch may cost; None if that is not known of each of its folds."""
    total = 0.0
    for _, task in flight.batch.tasks:
        if (seconds := job.costs.at_most(task, policy)) is None:
            return None
        total += seconds
    return total


def n_copies(flights: Iterable[Flight], job: JobQueue) -> int:
    """Count the job's batches that repeat what is out elsewhere too."""
    return sum(
        flight.is_copy and any(task.task_id in job.twins for _, task in flight.open_tasks)
        for flight in flights
    )


def _lateness(flight: Flight, jobs: Jobs, policy: Policy, now: datetime) -> float:
    """Return how far beyond its peers the batch runs: more than 1 is too far, 0 unknown."""
    job = jobs.get(flight.batch.job_id)
    elapsed = flight.elapsed(now)
    if job is None or flight.void_since is not None or elapsed <= policy.straggler_seconds:
        return 0.0
    if flight.batch.kind is not TaskKind.FOLD:
        return 0.0
    if (expected := expected_seconds(flight, job, policy)) is None:
        return 0.0
    return elapsed / max(policy.straggler_factor * expected, policy.straggler_seconds)


def _may_be_copied(flight: Flight, jobs: Jobs, policy: Policy, now: datetime) -> bool:
    job = jobs.get(flight.batch.job_id)
    if job is None or job.held or job.blocked or flight.void_since is not None:
        return False
    if flight.batch.kind is not TaskKind.FOLD:
        return False
    if any(task.task_id in job.twins for _, task in flight.open_tasks):
        return False
    if job.timeout is None:
        return True
    # Its time limit ends a fold on either engine: a copy that cannot be done by then is no use.
    return flight.elapsed(now) + (expected_seconds(flight, job, policy) or 0.0) <= job.timeout
