"""The states of jobs, tasks and attempts, and the moves between them that are legal.

The database enforces the same tables with triggers (`service/migrations.py` builds them from
the sets below), so neither a bug nor a stray hand can record an impossible life.
"""

from enum import StrEnum


class JobState(StrEnum):
    """Where a search stands."""

    QUEUED = "queued"  #: admitted (or put back); nothing of it is running yet
    PREPARING = "preparing"  #: its data are being loaded and its splits chosen, on an engine
    RUNNING = "running"  #: its fold tasks are being computed
    REFITTING = "refitting"  #: the winner is being fitted on all the data
    PAUSED = "paused"  #: held by a person; what is recorded stays
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job unless a person asks for it."""
        return self in FINAL_JOB_STATES


FINAL_JOB_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class TaskKind(StrEnum):
    """What a task does."""

    PREPARE = "prepare"  #: load the data set, choose the splits
    FOLD = "fold"  #: fit and score one candidate on one split
    REFIT = "refit"  #: fit the winner on all the data and save it


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    DISPATCHED = "dispatched"  #: at an engine, running or waiting there
    DONE = "done"
    FAILED = "failed"  #: the reason tells error, timeout and poison apart
    CANCELLED = "cancelled"


class FailureReason(StrEnum):
    """Why a task failed for good."""

    ERROR = "error"  #: the model's own error, recorded with its traceback
    TIMEOUT = "timeout"  #: ran past the job's time limit for one fold
    POISON = "poison"  #: took down every engine it was tried on, alone in its batch


class Outcome(StrEnum):
    """How an attempt (a task sent to an engine once) ended. An open attempt has none."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    ENGINE_LOST = "engine_lost"
    #: Came back undone: its batch ran out of time, was waiting, or the disk let nothing be written.
    RETURNED = "returned"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  #: another copy finished first


JOB_MOVES: frozenset[tuple[JobState, JobState]] = frozenset(
    {
        # The way of every search; a job put back to the queue goes on where its records end.
        (JobState.QUEUED, JobState.PREPARING),
        (JobState.QUEUED, JobState.RUNNING),
        (JobState.QUEUED, JobState.REFITTING),
        (JobState.PREPARING, JobState.RUNNING),
        (JobState.RUNNING, JobState.REFITTING),
        (JobState.RUNNING, JobState.COMPLETED),
        (JobState.REFITTING, JobState.COMPLETED),
        # Its data vanished from the cache and are prepared again.
        (JobState.RUNNING, JobState.PREPARING),
        (JobState.REFITTING, JobState.PREPARING),
        (JobState.PREPARING, JobState.REFITTING),
        # Failed folds were put back while the winner was being fitted.
        (JobState.REFITTING, JobState.RUNNING),
        # Resumed, or put back by `retry`.
        (JobState.PAUSED, JobState.QUEUED),
        (JobState.COMPLETED, JobState.QUEUED),
        (JobState.FAILED, JobState.QUEUED),
        (JobState.CANCELLED, JobState.QUEUED),
    }
    | {
        (state, end)
        for state in JobState
        if state not in FINAL_JOB_STATES
        for end in (JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)
        if state != end
    }
)

TASK_MOVES: frozenset[tuple[TaskState, TaskState]] = frozenset(
    {
        (TaskState.PENDING, TaskState.DISPATCHED),
        (TaskState.PENDING, TaskState.CANCELLED),
        (TaskState.PENDING, TaskState.DONE),  # taken from the records of an earlier job
        (TaskState.DISPATCHED, TaskState.DONE),
        (TaskState.DISPATCHED, TaskState.FAILED),
        (TaskState.DISPATCHED, TaskState.PENDING),
        (TaskState.DISPATCHED, TaskState.CANCELLED),
        (TaskState.FAILED, TaskState.PENDING),
        (TaskState.CANCELLED, TaskState.PENDING),
    }
)

#: Only these kinds may be done again: a fold that is done is never computed twice.
REPEATABLE_KINDS = frozenset({TaskKind.PREPARE, TaskKind.REFIT})
