"""What happens to the scheduler core (stimuli) and what it orders (instructions).

Stimuli are named as facts, instructions as orders. None can be changed: a recorded list of stimuli
replays to the same instructions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.task import BatchReport, FoldResult, Prepared, Refitted, TaskFailure
from service.sharing import OF_DATA, Share, Sharing
from service.tags import TagLimit


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed task is tried again.

    Attributes
    ----------
    attempts : int
        How often a task may end in an error that `on` names before it stays failed.
    on : frozenset of str
        Names of error classes; a subclass matches too.
    backoff : float
        Seconds before the second attempt; doubles with each further one.
    engine_losses : int
        How many engines may die under a task that is alone in its batch.
    """

    attempts: int = 3
    on: frozenset[str] = frozenset()
    backoff: float = 2.0
    engine_losses: int = 3


@dataclass(slots=True)
class Task:
    """A task that still has to be done, as the core holds it.

    The counters are those of the records: `n_attempts` ended in an error, `n_engines_lost` engines
    died while it was alone in its batch, of which `died_on` names those of this scheduler's time.
    `alone` keeps a suspect out of others' batches. `share` is what it has in common with other
    folds, once that was asked.
    """

    task_id: int
    kind: TaskKind
    params: dict[str, JsonValue] | None = None
    split: int | None = None
    n_resources: int | None = None
    candidate_id: int | None = None
    n_attempts: int = 0
    n_engines_lost: int = 0
    alone: bool = False
    died_on: tuple[int, ...] = ()
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks of one job sent to one engine together; a prepare or refit task is always alone.

    Attributes
    ----------
    budget : float
        Seconds after which the engine starts no further fold.
    """

    batch_id: int
    job_id: int
    engine_id: int
    kind: TaskKind
    tasks: tuple[tuple[int, Task], ...]  # (attempt id, task), at least one; the ids in a row
    budget: float


# --- stimuli ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobAdmitted:
    """A job is to be worked on: new, found unfinished at start-up, or put back by a person.

    Attributes
    ----------
    fingerprint : str or None
        The prepared data and splits, when they are known: preparing again must find the same.
    todo : Task or None
        The prepare task, when the data are not prepared yet.
        None while it is in flight on an engine that rejoined.
    n_open : int
        Fold tasks that stand in the records as pending. Those in flight on engines that rejoined
        the core counts itself.
    sharing : Sharing
        Tells what its folds have in common.
    """

    job_id: int
    state: JobState
    priority: int = 0
    max_engines: int | None = None
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    raise_errors: bool = False
    tags: tuple[str, ...] = ()
    fingerprint: str | None = None
    todo: Task | None = None
    n_open: int = 0
    sharing: Sharing = OF_DATA


@dataclass(frozen=True, slots=True)
class FoldsPlanned:
    """`count` more fold tasks stand in the records; `complete` when it was the last lot."""

    job_id: int
    count: int
    complete: bool


@dataclass(frozen=True, slots=True)
class FoldsLoaded:
    """The tasks the core asked for with `LoadFolds`."""

    job_id: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class TaskPlanned:
    """A prepare or refit task is to be done before anything else of the job."""

    job_id: int
    task: Task


@dataclass(frozen=True, slots=True)
class FoldsPutBack:
    """Failed folds of a job that still runs are to be tried again, as a person asked."""

    job_id: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """The job needs nothing more; `failure` says why it failed, if it did."""

    job_id: int
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class EngineJoined:
    """An engine was welcomed and can compute."""

    engine_id: int


@dataclass(frozen=True, slots=True)
class EngineRejoined:
    """An engine outlived the last scheduler and goes on under this one.

    Comes before the `JobAdmitted` of the jobs whose batches it has.

    Attributes
    ----------
    batches : tuple of Batch
        What it has in hand, the running one first. Of each batch, the tasks whose attempts are
        still open in the records; a batch with none is interrupted, its results count no more.
    """

    engine_id: int
    batches: tuple[Batch, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineLost:
    """An engine is gone, and with it whatever it was computing.

    Attributes
    ----------
    blameless : bool
        Neither the engine nor what it ran is at fault (the controller died): its tasks go back as
        they went out.
    """

    engine_id: int
    because: str
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class EngineNeverCame:
    """An engine was started, and ended before it joined."""

    because: str


@dataclass(frozen=True, slots=True)
class BatchReturned:
    """An engine sent back a batch; the outcome depends on the batch's kind."""

    batch_id: int
    outcome: BatchReport | Prepared | Refitted | TaskFailure


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A person gives the job up."""

    job_id: int


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """A person holds the job; what runs may finish."""

    job_id: int


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """A person lets a paused job go on."""

    job_id: int


@dataclass(frozen=True, slots=True)
class JobSet:
    """A person gives the job another priority, other limits or other tags: all that it has now."""

    job_id: int
    priority: int
    max_engines: int | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagsLimited:
    """What jobs of these tags may use together; all the limits there are now."""

    limits: Mapping[str, TagLimit]


@dataclass(frozen=True, slots=True)
class QueueHeld:
    """A person holds the whole queue, or lets it go on; what runs may finish."""

    held: bool


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Nothing more is to be dispatched: the scheduler is about to stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by: deadlines and back-offs may be due."""


Stimulus = (
    JobAdmitted
    | FoldsPlanned
    | FoldsLoaded
    | TaskPlanned
    | FoldsPutBack
    | SearchEnded
    | EngineJoined
    | EngineRejoined
    | EngineLost
    | EngineNeverCame
    | BatchReturned
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | JobSet
    | TagsLimited
    | QueueHeld
    | DrainRequested
    | Tick
)


# --- instructions: to be recorded --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Record the batch's attempts as open, then send it to its engine."""

    batch: Batch


class EndTask(NamedTuple):
    """The attempt ended and with it the task: done, failed or cancelled.

    There is one for each fold: a tuple with names is made in a fraction of a dataclass's time.
    """

    job_id: int
    task_id: int
    attempt_id: int
    kind: TaskKind
    state: TaskState
    outcome: Outcome
    reason: FailureReason | None = None
    n_attempts: int = 0
    n_engines_lost: int = 0
    result: FoldResult | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PutBackTask:
    """The attempt ended but the task is still to be done."""

    task_id: int
    attempt_id: int
    outcome: Outcome
    n_attempts: int
    n_engines_lost: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """The attempt ended while another one of its task is out: the task stays where it is."""

    attempt_id: int
    outcome: Outcome
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MoveJob:
    """The job moves to another state."""

    job_id: int
    state: JobState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Every task of the job that is not finished is cancelled, with its open attempts."""

    job_id: int


@dataclass(frozen=True, slots=True)
class RecordPrepared:
    """What the prepare task found out about the data."""

    job_id: int
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class RecordRefitted:
    """What the refit task made."""

    job_id: int
    refitted: Refitted


@dataclass(frozen=True, slots=True)
class ReopenPrepare:
    """The finished prepare task has to be done again: its cache is gone."""

    job_id: int


@dataclass(frozen=True, slots=True)
class EngineLeft:
    """The engine is gone."""

    engine_id: int
    because: str


@dataclass(frozen=True, slots=True)
class Note:
    """An event worth remembering."""

    kind: str
    message: str
    job_id: int | None = None
    task_id: int | None = None
    engine_id: int | None = None


# --- instructions: to be performed -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdvanceSearch:
    """See from the records what the search needs next: more folds, the refit, or nothing."""

    job_id: int


@dataclass(frozen=True, slots=True)
class LoadFolds:
    """Read up to `limit` pending fold tasks of the job beyond task `after`, in order."""

    job_id: int
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Ask the engine to stop what it runs (SIGINT)."""

    engine_id: int


@dataclass(frozen=True, slots=True)
class KillEngine:
    """End the engine (SIGKILL): it ran past a time limit."""

    engine_id: int
    because: str


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Start one engine in place of a lost one."""

    not_before: datetime


@dataclass(frozen=True, slots=True)
class Trouble:
    """Tell people why nothing is dispatched; with None, that it goes on again."""

    because: str | None


Record = (
    Dispatch
    | EndTask
    | PutBackTask
    | EndAttempt
    | MoveJob
    | CancelTasks
    | RecordPrepared
    | RecordRefitted
    | ReopenPrepare
    | EngineLeft
    | Note
)
Action = Dispatch | AdvanceSearch | LoadFolds | Interrupt | KillEngine | StartEngine | Trouble
Instruction = Record | Action
