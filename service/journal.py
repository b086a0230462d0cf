"""What the scheduler's log says of each turn: jobs that moved, batches, folds that failed."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from schemas.lifecycle import TaskState
from schemas.settings import Settings
from schemas.task import BatchReport
from service.facts import Returned
from service.logs import about
from service.stimuli import Batch, Dispatch, EndTask, Instruction, MoveJob, Note

log = logging.getLogger("foldq")

#: Failed folds of one job that stand in the log each; more of them only with `level = "debug"`. A
#: search all of whose folds fail must not push everything else out. The records have them all.
FAILURES = 10

#: Notes for the records of what the log says already, as it happens.
_TOLD = frozenset({"engine lost", "engine not started"})


class Journal:
    """Tells of what one scheduler decided, once that is on record."""

    def __init__(self) -> None:
        self._n_failed: Counter[int] = Counter()

    def tell(self, orders: Iterable[Instruction]) -> None:
        """Tell of a turn's orders. Most are folds that went well, of which nothing is said."""
        is_detailed = log.isEnabledFor(logging.DEBUG)
        for order in orders:
            if type(order) is EndTask:
                if order.state is TaskState.FAILED:
                    self._task_failed(order)
            elif type(order) is MoveJob:
                self._job_moved(order)
            elif is_detailed and type(order) is Dispatch:
                _batch_dispatched(order.batch)
            elif is_detailed and type(order) is Note and order.kind not in _TOLD:
                facts = about(
                    order.kind, job=order.job_id, task=order.task_id, engine=order.engine_id
                )
                log.debug("%s", order.message, extra=facts)

    def _job_moved(self, order: MoveJob) -> None:
        facts = about("job moved", job=order.job_id, state=order.state.value, reason=order.reason)
        reason = f": {order.reason}" if order.reason else ""
        log.info("job %d %s%s", order.job_id, order.state, reason, extra=facts)
        if order.state.is_final:
            self._n_failed.pop(order.job_id, None)

    def _task_failed(self, order: EndTask) -> None:
        self._n_failed[order.job_id] += 1
        level = logging.WARNING if self._n_failed[order.job_id] <= FAILURES else logging.DEBUG
        error = (order.error or "").strip().splitlines() or ["no reason"]
        facts = about(
            "task failed",
            aside=True,
            job=order.job_id,
            task=order.task_id,
            kind=order.kind.value,
            reason=order.reason and order.reason.value,
            error=error[-1][:1000],
        )
        told = (order.job_id, order.kind, order.task_id, order.reason, error[-1][:1000])
        log.log(level, "job %d: %s task %d failed (%s): %s", *told, extra=facts)


def batch_returned(fact: Returned, batch: Batch | None) -> None:
    """Tell of a batch that came back, if so much is wanted."""
    if batch is None or not log.isEnabledFor(logging.DEBUG):
        return
    report = fact.outcome
    facts: dict[str, Any] = {
        "job": batch.job_id,
        "batch": batch.batch_id,
        "engine": batch.engine_id,
        "kind": batch.kind.value,
        "n_tasks": len(batch.tasks),
    }
    what = type(report).__name__
    if isinstance(report, BatchReport):
        what = f"{len(report.results)} results"
        facts |= {"n_results": len(report.results), "seconds": report.seconds}
    log.debug("batch %d: %s", batch.batch_id, what, extra=about("batch returned", **facts))


def _batch_dispatched(batch: Batch) -> None:
    facts = about(
        "batch dispatched",
        job=batch.job_id,
        batch=batch.batch_id,
        engine=batch.engine_id,
        kind=batch.kind.value,
        n_tasks=len(batch.tasks),
    )
    told = (batch.batch_id, batch.engine_id, len(batch.tasks), batch.kind, batch.job_id)
    log.debug("batch %d to engine %d: %d × %s of job %d", *told, extra=facts)


def scheduler_started(settings: Settings, version: str, pid: int) -> None:
    """Tell which scheduler this is, and what is set otherwise than by default."""
    from schemas.origins import set_values

    values = set_values(settings)
    spelled = ", ".join(f"{key} = {text}" for key, (_, text) in values.items())
    facts = about(
        "scheduler started",
        aside=True,
        version=version,
        pid=pid,
        spool=str(settings.spool.absolute()),
        settings={key: value for key, (value, _) in values.items()},
    )
    log.info("foldq %s, process %d, begins; set: %s", version, pid, spelled or "-", extra=facts)
