"""The scheduler core: the whole life of jobs and tasks, pure.

It knows no clock, thread, socket, file or database. State changes only through `handle`, which
takes one fact and returns the orders that follow from it; the daemon records what they change in
one transaction and then carries them out. (The shape is that of dask.distributed's
`worker_state_machine`, at a tenth of its size.)
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from schemas.lifecycle import JobState, Outcome, TaskKind, TaskState
from schemas.task import BatchReport, Prepared, Refitted, TaskFailure
from service import outcomes
from service.adoption import adopt
from service.crashloop import CrashLoop
from service.deadlines import overran
from service.dispatch import Dispatcher, is_at, load_more
from service.fleet import Fleet, Flight
from service.jobs import Jobs
from service.outcomes import End
from service.policy import Policy
from service.queue import JobQueue
from service.stimuli import (
    AdvanceSearch,
    Batch,
    BatchReturned,
    CancelRequested,
    CancelTasks,
    DrainRequested,
    EndAttempt,
    EndTask,
    EngineJoined,
    EngineLeft,
    EngineLost,
    EngineNeverCame,
    EngineRejoined,
    FoldsLoaded,
    FoldsPlanned,
    FoldsPutBack,
    Instruction,
    Interrupt,
    JobAdmitted,
    JobSet,
    KillEngine,
    MoveJob,
    Note,
    PauseRequested,
    QueueHeld,
    RecordPrepared,
    RecordRefitted,
    ReopenPrepare,
    ResumeRequested,
    SearchEnded,
    StartEngine,
    Stimulus,
    TagsLimited,
    Task,
    TaskPlanned,
    Tick,
)


class Scheduler:
    """Decides what runs where and what becomes of it.

    Parameters
    ----------
    policy : Policy
    next_attempt, next_batch : int
        First unused numbers in the records: the core numbers attempts itself, so that an attempt's
        row can exist before its dispatch without asking the database.
    """

    def __init__(self, policy: Policy | None = None, next_attempt: int = 1, next_batch: int = 1):
        self.policy = policy or Policy()
        self.jobs = Jobs()
        self.engines = Fleet(self.policy.window)
        self.draining = False
        self.held = False
        self.crashes = CrashLoop(self.policy)
        self._dispatcher = Dispatcher(
            self.policy, self.jobs, self.engines, self.crashes, next_attempt, next_batch
        )
        # What became of batches on engines that rejoined, until their jobs are admitted.
        self._early: dict[int, list[tuple[Flight, Callable[[JobQueue], Iterator[Instruction]]]]]
        self._early = {}

    # --- what the daemon asks ------------------------------------------------------------

    @property
    def n_in_flight(self) -> int:
        """Batches at engines."""
        return self.engines.n_in_flight

    @property
    def is_idle(self) -> bool:
        """Whether nothing can happen without a new job or a person's word."""
        return self.n_in_flight == 0 and (self.held or self.jobs.all_held)

    # --- the one mutator -----------------------------------------------------------------

    def handle(self, stimulus: Stimulus, now: datetime) -> list[Instruction]:
        """Take in one fact and return the orders that follow from it.

        Raises
        ------
        TypeError
            If `stimulus` is not one of `service.stimuli.Stimulus`.
        """
        match stimulus:
            case JobAdmitted():
                orders = list(self._job_admitted(stimulus))
            case FoldsPlanned(job_id, count, complete):
                orders = list(self._folds_planned(job_id, count, complete))
            case FoldsLoaded(job_id, tasks):
                orders = list(self._folds_loaded(job_id, tasks))
            case TaskPlanned(job_id, task):
                orders = list(self._task_planned(job_id, task))
            case FoldsPutBack(job_id, tasks):
                orders = list(self._folds_put_back(job_id, tasks))
            case SearchEnded(job_id, failure):
                orders = list(self._search_ended(job_id, failure, now))
            case EngineJoined(engine_id):
                self.engines.join(engine_id, now)
                orders = []
            case EngineRejoined(engine_id, batches):
                orders = list(self._engine_rejoined(engine_id, batches, now))
            case EngineLost(engine_id, because, blameless):
                orders = list(self._engine_lost(engine_id, because, now, blameless=blameless))
            case EngineNeverCame(because):
                orders = list(self._engine_never_came(because, now))
            case BatchReturned(batch_id, outcome):
                orders = list(self._batch_returned(batch_id, outcome, now))
            case CancelRequested(job_id):
                orders = list(self._cancel(job_id, now))
            case PauseRequested(job_id):
                orders = list(self._pause(job_id))
            case ResumeRequested(job_id):
                orders = list(self._resume(job_id))
            case JobSet():
                self._set(stimulus)
                orders = []
            case TagsLimited(limits):
                self.jobs.limit(limits)
                orders = []
            case QueueHeld(held):
                self.held = held
                orders = []
            case DrainRequested():
                self.draining = True
                orders = []
            case Tick():
                orders = list(self._overdue(now))
            case _:
                raise TypeError(f"not a stimulus: {stimulus!r}")
        if not (self.draining or self.held or self.crashes.is_stalled):
            orders += self._dispatcher.fill(now)
            if isinstance(stimulus, Tick):
                orders += self._dispatcher.copy_stragglers(now)
        return orders

    # --- jobs ------------------------------------------------------------------------------

    def _job_admitted(self, job: JobAdmitted) -> Iterator[Instruction]:
        if job.job_id in self.jobs:
            return
        queue = JobQueue(
            job_id=job.job_id,
            state=job.state,
            priority=job.priority,
            max_engines=job.max_engines,
            retry=job.retry,
            timeout=job.timeout,
            raise_errors=job.raise_errors,
            tags=job.tags,
            begun=job.state in _AT_WORK,
            fingerprint=job.fingerprint,
            blocked=job.todo is not None,
            held=job.state is JobState.PAUSED,
            todo=job.todo,
            unloaded=job.n_open,
            open=job.n_open,
            sharing=job.sharing,
        )
        self.jobs.add(queue)
        early = self._early.pop(job.job_id, [])
        flights = [*self.engines.of_job(job.job_id), *(flight for flight, _ in early)]
        adopt(queue, flights)
        if flights and queue.state is JobState.QUEUED:
            yield from is_at(queue, flights[0].batch.kind)
        queue.advancing = bool(early)  # nothing is asked before all that came early is known
        for flight, become_of_it in early:
            if flight.void_since is None and job.job_id in self.jobs:
                yield from become_of_it(queue)
        if job.job_id in self.jobs:
            queue.advancing = False
            yield from self._advance(queue)

    def _advance(self, job: JobQueue) -> Iterator[Instruction]:
        """Ask what comes next, once, when nothing of the present plan is left."""
        if job.needs_advice:
            job.advancing, job.planned = True, False
            yield AdvanceSearch(job.job_id)

    def _folds_planned(self, job_id: int, count: int, complete: bool) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is None:
            return
        job.open += count
        job.unloaded += count
        if complete:
            job.planned, job.advancing = True, False
            yield from self._advance(job)
        yield from load_more(job, self.policy)

    def _folds_loaded(self, job_id: int, tasks: tuple[Task, ...]) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is None:
            return
        job.loading = False
        job.load(tasks)
        yield from ()

    def _task_planned(self, job_id: int, task: Task) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is None:
            return
        job.advancing, job.planned = False, task.kind is TaskKind.REFIT or job.planned
        job.todo = task
        yield from ()

    def _folds_put_back(self, job_id: int, tasks: tuple[Task, ...]) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is None:
            return
        job.know(tasks)
        job.ready.add(tasks)
        yield from ()

    def _search_ended(
        self, job_id: int, failure: str | None, now: datetime
    ) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is None:
            return
        job.advancing = False
        if failure is not None:
            yield from self._fail(job, failure, now)
        elif not job.held:  # paused meanwhile: asked again when it is resumed
            if job.state not in (JobState.RUNNING, JobState.REFITTING):
                yield MoveJob(job_id, JobState.RUNNING)  # nothing was left to dispatch
            yield MoveJob(job_id, JobState.COMPLETED)
            self.jobs.remove(job_id)

    def _fail(self, job: JobQueue, why: str, now: datetime) -> Iterator[Instruction]:
        yield from self._give_up(job, now)
        yield MoveJob(job.job_id, JobState.FAILED, why)

    def _cancel(self, job_id: int, now: datetime) -> Iterator[Instruction]:
        if (job := self.jobs.get(job_id)) is not None:
            yield from self._give_up(job, now)
            yield MoveJob(job_id, JobState.CANCELLED, "cancelled on request")
        else:  # an engine that rejoined may run something of a job that was never admitted
            self._early.pop(job_id, None)
            yield from self._void(job_id, now)

    def _give_up(self, job: JobQueue, now: datetime) -> Iterator[Instruction]:
        """Forget the job; what runs of it is interrupted, and its results will count no more."""
        self.jobs.remove(job.job_id)
        yield CancelTasks(job.job_id)
        yield from self._void(job.job_id, now)

    def _void(self, job_id: int, now: datetime) -> Iterator[Instruction]:
        for flight in self.engines.of_job(job_id):
            if self.engines.void(flight, now):
                yield Interrupt(flight.batch.engine_id)

    def _pause(self, job_id: int) -> Iterator[Instruction]:
        job = self.jobs.get(job_id)
        if job is not None and not job.held:
            job.hold()
            yield MoveJob(job_id, JobState.PAUSED, "paused on request")

    def _resume(self, job_id: int) -> Iterator[Instruction]:
        job = self.jobs.get(job_id)
        if job is not None and job.held:
            job.release()
            yield MoveJob(job_id, JobState.QUEUED)
            yield from self._advance(job)

    def _set(self, wanted: JobSet) -> None:
        if (job := self.jobs.get(wanted.job_id)) is not None:
            job.priority, job.max_engines = wanted.priority, wanted.max_engines
            self.jobs.retag(job, wanted.tags)

    # --- engines ---------------------------------------------------------------------------

    def _engine_rejoined(
        self, engine_id: int, batches: tuple[Batch, ...], now: datetime
    ) -> Iterator[Instruction]:
        if engine_id in self.engines:
            return
        engine = self.engines.join(engine_id, now)
        for batch in batches:
            flight = self.engines.send(engine, batch, now)
            if not batch.tasks:
                if self.engines.void(flight, now):
                    yield Interrupt(engine_id)
            elif (job := self.jobs.get(batch.job_id)) is not None:
                adopt(job, [flight])
            else:
                flight.awaits_job = True

    def _engine_lost(
        self, engine_id: int, because: str, now: datetime, *, blameless: bool
    ) -> Iterator[Instruction]:
        if (engine := self.engines.leave(engine_id)) is None:
            return
        suspect = None if blameless else engine.running
        killed_because = suspect.killed_because if suspect else None
        because = killed_because or because
        n_suspects = n_untouched = 0
        for flight in engine.flights:
            if flight.void_since is not None:
                continue
            if flight is suspect:
                n_suspects += len(flight.open_tasks)
                yield from self._dealt(flight, partial(self._suspects, flight, because, now))
            else:
                n_untouched += len(flight.open_tasks)
                yield from self._dealt(flight, partial(self._untouched, flight, because))
        yield EngineLeft(engine_id, because)
        yield Note(
            "engine lost",
            f"{because}; {n_suspects} tasks put back as suspects, {n_untouched} untouched",
            engine_id=engine_id,
        )
        if blameless:
            yield from self._start_engine(now)
        else:
            yield from self._replace(now, None if killed_because else because)

    def _dealt(
        self, flight: Flight, what: Callable[[JobQueue], Iterator[Instruction]]
    ) -> Iterator[Instruction]:
        """Let an event of a batch take its course, now or once its job is admitted."""
        if (job := self.jobs.get(flight.batch.job_id)) is not None:
            yield from what(job)
        elif flight.awaits_job:
            self._early.setdefault(flight.batch.job_id, []).append((flight, what))

    def _engine_never_came(self, because: str, now: datetime) -> Iterator[Instruction]:
        yield Note("engine not started", because)
        yield from self._replace(now, because)

    def _replace(self, now: datetime, crashed: str | None) -> Iterator[Instruction]:
        """Have a lost engine replaced: at once, but ever later while nothing gets finished."""
        if crashed is not None:
            yield from self.crashes.lost(crashed, now)
        wait = self.policy.respawn_seconds(self.crashes.n_losses)
        yield from self._start_engine(now + timedelta(seconds=wait))

    def _start_engine(self, not_before: datetime) -> Iterator[Instruction]:
        if not self.draining:
            yield StartEngine(not_before)

    def _untouched(self, flight: Flight, because: str, job: JobQueue) -> Iterator[Instruction]:
        """Deal with a batch that did nothing to the engine it was lost with."""
        job.came_back(flight.batch.engine_id)
        for attempt_id, task in reversed(flight.open_tasks):
            if flight.since is None:
                yield outcomes.unstarted(job, task, attempt_id)
            else:
                yield outcomes.bereft(job, task, attempt_id, because)

    def _suspects(
        self, flight: Flight, because: str, now: datetime, job: JobQueue
    ) -> Iterator[Instruction]:
        """Deal with the batch that ran when its engine died."""
        job.came_back(flight.batch.engine_id)
        was_alone = len(flight.batch.tasks) == 1
        for attempt_id, task in flight.open_tasks:
            if was_alone and flight.killed_because is not None:
                end: End = outcomes.timed_out(job, task, attempt_id, because)
            else:
                end = outcomes.engine_died(
                    job, task, attempt_id, flight.batch.engine_id, because, was_alone=was_alone
                )
            yield from self._ended(job, end, now)

    def _overdue(self, now: datetime) -> Iterator[Instruction]:
        yield from self.crashes.look((engine.joined for engine in self.engines), now)
        self.jobs.wake(now)
        self.engines.unpark()
        for engine in self.engines:
            flight = engine.running
            if flight is None or flight.killed_because is not None:
                continue
            job_of_it = self.jobs.get(flight.batch.job_id)
            if (because := overran(flight, job_of_it, self.policy, now)) is not None:
                flight.killed_because = because
                yield KillEngine(engine.engine_id, because)

    # --- batches ---------------------------------------------------------------------------

    def _batch_returned(
        self,
        batch_id: int,
        outcome: BatchReport | Prepared | Refitted | TaskFailure,
        now: datetime,
    ) -> Iterator[Instruction]:
        flight = self.engines.land(batch_id, now)
        if flight is None:
            return  # its engine was given up before: the attempts are closed
        follower = self.engines.running_on(flight.batch.engine_id)
        if follower is not None and follower.void_since is not None:
            yield Interrupt(flight.batch.engine_id)  # given up while it was waiting
        if flight.void_since is None:
            yield from self._dealt(flight, partial(self._landed, flight, outcome, now))

    def _landed(
        self,
        flight: Flight,
        outcome: BatchReport | Prepared | Refitted | TaskFailure,
        now: datetime,
        job: JobQueue,
    ) -> Iterator[Instruction]:
        job.came_back(flight.batch.engine_id)
        attempt_id, task = flight.batch.tasks[0]
        match outcome:
            case BatchReport():
                yield from self._folds_returned(job, flight, outcome, now)
            case Prepared():
                job.n_hindered = 0
                yield from self.crashes.finished()
                yield outcomes.done(job, task, attempt_id)
                yield from self._prepared(job, outcome, now)
            case Refitted():
                job.n_hindered = 0
                yield from self.crashes.finished()
                yield outcomes.done(job, task, attempt_id)
                yield RecordRefitted(job.job_id, outcome)
                yield from self._advance(job)
            case TaskFailure(message, is_environment=True):
                wait = self.policy.disk_seconds(job.n_hindered)
                if job.n_hindered == 0:
                    yield Note("waiting", f"{task.kind} waits: {message}", job_id=job.job_id)
                job.n_hindered += 1
                yield outcomes.hindered(job, task, attempt_id, message, wait, now)
            case TaskFailure(message, _, error_types):
                yield from self.crashes.finished()
                end = outcomes.erred(job, task, attempt_id, error_types, message, now)
                yield from self._ended(job, end, now)

    def _folds_returned(
        self, job: JobQueue, flight: Flight, report: BatchReport, now: datetime
    ) -> Iterator[Instruction]:
        tasks = dict(flight.open_tasks)
        if report.results:
            yield from self.crashes.finished()
            job.learn(tasks, report, self.policy)
        for result in report.results:
            attempt_id = result.attempt_id
            task = tasks.get(attempt_id)
            if task is None or task.task_id != result.task_id:
                continue  # its attempt was closed already
            del tasks[attempt_id]
            if result.error is None:
                end: End = outcomes.done(job, task, attempt_id, result)
                if not job.twins:  # the way of nearly all folds
                    yield end
                    continue
            elif result.timed_out:
                end = outcomes.timed_out(job, task, attempt_id, result.error, result)
            else:
                end = outcomes.erred(
                    job, task, attempt_id, result.error_types, result.error, now, result
                )
            yield from self._ended(job, end, now)
            if job.job_id not in self.jobs:
                return
        for attempt_id, task in reversed(tasks.items()):
            yield outcomes.unstarted(job, task, attempt_id)
        if report.missing_data is not None and not job.blocked:
            # The folds wait; a refit that found this out is planned anew afterwards.
            job.blocked, job.todo = True, None
            yield Note("data prepared again", report.missing_data, job_id=job.job_id)
            yield ReopenPrepare(job.job_id)
        yield from self._advance(job)

    def _ended(self, job: JobQueue, end: End, now: datetime) -> Iterator[Instruction]:
        """Record an end; a task that failed for good may take its job with it."""
        yield end
        if not isinstance(end, EndTask):
            return
        yield from self._supersede(job, end, now)
        if end.state is not TaskState.FAILED:
            return
        error = end.error or str(end.reason)
        if end.kind is not TaskKind.FOLD:
            yield from self._fail(job, f"{end.kind} failed: {error}", now)
        elif job.raise_errors:
            last_line = error.strip().splitlines()[-1]
            yield from self._fail(
                job, f"a fold failed and error_score is 'raise': {last_line}", now
            )
        else:
            yield from self._advance(job)

    def _supersede(self, job: JobQueue, end: EndTask, now: datetime) -> Iterator[Instruction]:
        """Close the other attempt of a task that is finished, if there is one."""
        if (other := job.twins.part(end.task_id, end.attempt_id)) is None:
            return
        attempt_id, flight = other
        flight.closed.add(attempt_id)
        yield EndAttempt(attempt_id, Outcome.SUPERSEDED)
        if not flight.open_tasks:
            job.came_back(flight.batch.engine_id)
            if self.engines.void(flight, now):
                yield Interrupt(flight.batch.engine_id)

    def _prepared(self, job: JobQueue, prepared: Prepared, now: datetime) -> Iterator[Instruction]:
        found = f"{prepared.fingerprint}/{prepared.splits}"
        if job.fingerprint is not None and job.fingerprint != found:
            yield from self._fail(
                job,
                "the data or the splits are no longer those the search began with: put the data"
                " back as they were and `foldq retry`, or submit the job as a new one",
                now,
            )
            return
        job.fingerprint, job.blocked = found, False
        yield RecordPrepared(job.job_id, prepared)
        yield from self._advance(job)


#: States of a job that was begun before the last scheduler ended.
_AT_WORK = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.REFITTING})
