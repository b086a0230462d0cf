"""Plays the daemon to the scheduler core, one fact at a time."""

from datetime import UTC, datetime

from schemas.lifecycle import JOB_MOVES, JobState, TaskKind
from schemas.task import BatchReport, FoldResult, Prepared
from service.policy import Policy
from service.scheduler import Scheduler
from service.stimuli import (
    Batch,
    BatchReturned,
    Dispatch,
    FoldsLoaded,
    FoldsPlanned,
    JobAdmitted,
    MoveJob,
    Task,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {})


def of(kind, orders):
    return [order for order in orders if isinstance(order, kind)]


def batches(orders) -> list[Batch]:
    return [order.batch for order in of(Dispatch, orders)]


def report(batch: Batch, *, seconds: float = 0.1, n_done: int | None = None) -> BatchReturned:
    """A batch that went well, or whose first `n_done` folds did before its budget was spent."""
    n_done = len(batch.tasks) if n_done is None else n_done
    results = tuple(
        FoldResult(t.task_id, a, {"score": 1.0}, {}, seconds) for a, t in batch.tasks[:n_done]
    )
    unstarted = tuple(a for a, _ in batch.tasks[n_done:])
    return BatchReturned(
        batch.batch_id, BatchReport(batch.batch_id, results, unstarted, seconds * n_done)
    )


class Driver:
    """Plays the daemon: answers what the core asks for, and keeps the time."""

    def __init__(self, policy: Policy | None = None):
        self.core = Scheduler(policy)
        self.now = NOW
        self.orders = []
        self.states = {}

    def tell(self, stimulus):
        if isinstance(stimulus, JobAdmitted):
            self.states[stimulus.job_id] = stimulus.state
        orders = self.core.handle(stimulus, self.now)
        self.orders += orders
        for move in of(MoveJob, orders):
            before, self.states[move.job_id] = self.states[move.job_id], move.state
            assert (before, move.state) in JOB_MOVES, "the tables would refuse this"
        return orders

    def search(self, job_id: int, n_folds: int, **options):
        """Bring a job to where its folds are ready to go out."""
        prepare = Task(1000 * job_id, TaskKind.PREPARE)
        self.tell(JobAdmitted(job_id, JobState.QUEUED, todo=prepare, **options))
        batch = next(b for b in batches(self.orders) if b.job_id == job_id)
        self.tell(BatchReturned(batch.batch_id, PREPARED))
        return self.folds(job_id, n_folds)

    def folds(self, job_id: int, n_folds: int):
        self.tell(FoldsPlanned(job_id, n_folds, complete=True))
        tasks = tuple(
            Task(1000 * job_id + i, TaskKind.FOLD, params={}, split=0)
            for i in range(1, n_folds + 1)
        )
        return self.tell(FoldsLoaded(job_id, tasks))


def in_hand(batch_id: int, *task_ids: int, job_id: int = 7, engine_id: int = 1, kind=TaskKind.FOLD):
    """A batch that an engine has from the last scheduler; attempts are numbered 100 + task."""
    tasks = tuple((100 + task_id, Task(task_id, kind, {}, 0)) for task_id in task_ids)
    return Batch(batch_id, job_id, engine_id, kind, tasks, 0.5)
