"""When a batch has run for so long that its engine has to be ended."""

from datetime import datetime

from schemas.lifecycle import TaskKind
from service.fleet import Flight
from service.policy import Policy
from service.queue import JobQueue


def overran(flight: Flight, job: JobQueue | None, policy: Policy, now: datetime) -> str | None:
    """Say why the engine of this running batch has to be ended, if it has to."""
    if flight.since is None:
        return None
    if flight.void_since is not None:
        # A batch that waited when it was given up is interrupted as soon as it starts.
        idle_since = max(flight.void_since, flight.since)
        if (now - idle_since).total_seconds() > policy.cancel_grace:
            return "ended: did not stop when its work was given up"
        return None
    if job is None or job.timeout is None or flight.batch.kind is TaskKind.PREPARE:
        return None
    # A fold is only started within the budget, so this bounds the whole batch.
    allowed = job.timeout + policy.kill_grace
    if len(flight.batch.tasks) > 1:
        allowed += flight.batch.budget
    if flight.elapsed(now) > allowed:
        return f"ended: a task ran past its limit of {job.timeout:g} s"
    return None
