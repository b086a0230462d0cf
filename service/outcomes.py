"""What an attempt's end means for its task: done, tried again, or failed for good.

Each function takes note in the job's queue and returns the one record that follows. They tell apart
what failed: the model's own error, a time limit, a lost engine (never charged to the model), and a
task that takes every engine down. A task that would be tried again stays out where another attempt
of it is still out.
"""

from datetime import datetime, timedelta

from schemas.lifecycle import FailureReason, Outcome, TaskKind, TaskState
from schemas.task import FoldResult
from service.policy import backoff_seconds
from service.queue import JobQueue
from service.stimuli import EndAttempt, EndTask, PutBackTask, Task

#: What may follow when an attempt ends.
End = EndTask | PutBackTask | EndAttempt


def done(job: JobQueue, task: Task, attempt_id: int, result: FoldResult | None = None) -> EndTask:
    """Take note that the task did what it should."""
    task.n_attempts += 1
    if (kind := task.kind) is TaskKind.FOLD:
        job.open -= 1
    return EndTask(
        job.job_id, task.task_id, attempt_id, kind, TaskState.DONE, Outcome.OK, None,
        task.n_attempts, task.n_engines_lost, result,
    )  # fmt: skip


def unstarted(job: JobQueue, task: Task, attempt_id: int) -> PutBackTask | EndAttempt:
    """Take the task back as it went out."""
    return _back(job, task, attempt_id, Outcome.RETURNED)


def hindered(
    job: JobQueue, task: Task, attempt_id: int, error: str, wait: float, now: datetime
) -> PutBackTask | EndAttempt:
    """Try the task again later, uncounted: its engine had no room or no right to write."""
    return _back(job, task, attempt_id, Outcome.RETURNED, error, now + timedelta(seconds=wait))


def bereft(job: JobQueue, task: Task, attempt_id: int, because: str) -> PutBackTask | EndAttempt:
    """Take the task back as it went out: it was lost with an engine, at no fault of either."""
    return _back(job, task, attempt_id, Outcome.ENGINE_LOST, because)


def erred(
    job: JobQueue,
    task: Task,
    attempt_id: int,
    error_types: tuple[str, ...],
    error: str,
    now: datetime,
    result: FoldResult | None = None,
) -> End:
    """Try the task again where the job names such an error and attempts are left, else fail it."""
    task.n_attempts += 1
    if job.retry.on.intersection(error_types) and task.n_attempts < job.retry.attempts:
        wait = backoff_seconds(job.retry.backoff, task.n_attempts, task.task_id)
        not_before = now + timedelta(seconds=wait)
        return _back(job, task, attempt_id, Outcome.ERROR, error, not_before)
    return _end(
        job,
        task,
        attempt_id,
        TaskState.FAILED,
        Outcome.ERROR,
        FailureReason.ERROR,
        error,
        result,
    )


def timed_out(
    job: JobQueue,
    task: Task,
    attempt_id: int,
    error: str,
    result: FoldResult | None = None,
) -> EndTask:
    """Fail the task: it ran past its time limit."""
    task.n_attempts += 1
    return _end(
        job,
        task,
        attempt_id,
        TaskState.FAILED,
        Outcome.TIMEOUT,
        FailureReason.TIMEOUT,
        error,
        result,
    )


def engine_died(
    job: JobQueue, task: Task, attempt_id: int, engine_id: int, because: str, *, was_alone: bool
) -> End:
    """Try the task again, alone: its engine died while its batch ran there.

    Only an engine that died under a task alone in its batch counts against the task.
    """
    if was_alone:
        task.n_engines_lost += 1
        task.died_on += (engine_id,)
    if task.n_engines_lost >= job.retry.engine_losses and task.task_id not in job.twins:
        return _end(
            job,
            task,
            attempt_id,
            TaskState.FAILED,
            Outcome.ENGINE_LOST,
            FailureReason.POISON,
            _poisonous(task, because),
        )
    task.alone = True
    return _back(job, task, attempt_id, Outcome.ENGINE_LOST, because)


def _poisonous(task: Task, because: str) -> str:
    n = task.n_engines_lost
    died = "the engine died" if n == 1 else f"{n} engines died"
    names = ", ".join(map(str, task.died_on))
    if n > len(task.died_on):
        names += " and earlier ones"
    return f"{died} while this task was alone there (engine {names}); last: {because}"


def _end(
    job: JobQueue,
    task: Task,
    attempt_id: int,
    state: TaskState,
    outcome: Outcome,
    reason: FailureReason | None = None,
    error: str | None = None,
    result: FoldResult | None = None,
) -> EndTask:
    if task.kind is TaskKind.FOLD:
        job.open -= 1
    return EndTask(
        job.job_id,
        task.task_id,
        attempt_id,
        task.kind,
        state,
        outcome,
        reason,
        task.n_attempts,
        task.n_engines_lost,
        result,
        error,
    )


def _back(
    job: JobQueue,
    task: Task,
    attempt_id: int,
    outcome: Outcome,
    error: str | None = None,
    not_before: datetime | None = None,
) -> PutBackTask | EndAttempt:
    if job.twins.part(task.task_id, attempt_id) is not None:
        return EndAttempt(attempt_id, outcome, error)
    job.put_back(task, not_before)
    return PutBackTask(
        task.task_id, attempt_id, outcome, task.n_attempts, task.n_engines_lost, error
    )
