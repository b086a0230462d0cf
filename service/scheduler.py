"""The scheduler core: the whole life of jobs and tasks, pure.

It knows no clock, thread, socket, file or database. State changes only through `handle`, which
takes one fact and returns the orders that follow from it; the daemon records what they change in
one transaction and then carries them out. (The shape is that of dask.distributed's
`worker_state_machine`, at a tenth of its size.)
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from schemas.lifecycle import JobState, TaskKind, TaskState
from schemas.task import BatchReport, Prepared, Refitted, TaskFailure
from service import outcomes
from service.crashloop import CrashLoop
from service.fleet import Engine, Fleet, Flight
from service.policy import Policy
from service.queue import JobQueue
from service.stimuli import (
    AdvanceSearch,
    Batch,
    BatchReturned,
    CancelRequested,
    CancelTasks,
    Dispatch,
    DrainRequested,
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
    KillEngine,
    LoadFolds,
    MoveJob,
    Note,
    PauseRequested,
    PutBackTask,
    RecordPrepared,
    RecordRefitted,
    ReopenPrepare,
    ResumeRequested,
    SearchEnded,
    StartEngine,
    Stimulus,
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
        self.jobs: dict[int, JobQueue] = {}
        self.engines = Fleet()
        self.draining = False
        self._next_attempt = next_attempt
        self._next_batch = next_batch
        self.crashes = CrashLoop(self.policy)
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
        return self.n_in_flight == 0 and all(job.held for job in self.jobs.values())

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
            case DrainRequested():
                self.draining = True
                orders = []
            case Tick():
                orders = list(self._overdue(now))
            case _:
                raise TypeError(f"not a stimulus: {stimulus!r}")
        return orders + list(self._dispatch(now))

    # --- jobs ------------------------------------------------------------------------------

    def _job_admitted(self, job: JobAdmitted) -> Iterator[Instruction]:
        if job.job_id in self.jobs:
            return
        queue = self.jobs[job.job_id] = JobQueue(
            job_id=job.job_id,
            state=job.state,
            priority=job.priority,
            max_engines=job.max_engines,
            retry=job.retry,
            timeout=job.timeout,
            raise_errors=job.raise_errors,
            fingerprint=job.fingerprint,
            blocked=job.todo is not None,
            held=job.state is JobState.PAUSED,
            todo=job.todo,
            unloaded=job.n_open,
            open=job.n_open,
        )
        early = self._early.pop(job.job_id, [])
        flights = [*self.engines.of_job(job.job_id), *(flight for flight, _ in early)]
        yield from self._adopt(queue, flights)
        for _, become_of_it in early:
            yield from become_of_it(queue)
        yield from self._advance(queue)

    def _adopt(self, job: JobQueue, flights: list[Flight]) -> Iterator[Instruction]:
        """Count what is out of the job already, on engines that outlived the last scheduler."""
        for flight in flights:
            job.sent(flight.batch.engine_id)
            match flight.batch.kind:
                case TaskKind.FOLD:
                    job.know(task for _, task in flight.batch.tasks)
                case TaskKind.PREPARE:
                    job.blocked, job.todo = True, None
                case TaskKind.REFIT:
                    job.todo = None
        if flights and job.state is JobState.QUEUED:
            yield self._moved(job, flights[0].batch.kind)

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
        yield from self._load(job)

    def _load(self, job: JobQueue) -> Iterator[Instruction]:
        if job.unloaded and not job.loading and len(job.ready) <= self.policy.page // 2:
            job.loading = True
            yield LoadFolds(job.job_id, job.cursor, self.policy.page)

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
        job.ready.extend(tasks)
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
            del self.jobs[job_id]

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
        del self.jobs[job.job_id]
        yield CancelTasks(job.job_id)
        yield from self._void(job.job_id, now)

    def _void(self, job_id: int, now: datetime) -> Iterator[Instruction]:
        for flight in self.engines.of_job(job_id):
            if self.engines.void(flight, now):
                yield Interrupt(flight.batch.engine_id)

    def _pause(self, job_id: int) -> Iterator[Instruction]:
        job = self.jobs.get(job_id)
        if job is not None and not job.held:
            job.held, job.state = True, JobState.PAUSED
            yield MoveJob(job_id, JobState.PAUSED, "paused on request")

    def _resume(self, job_id: int) -> Iterator[Instruction]:
        job = self.jobs.get(job_id)
        if job is not None and job.held:
            job.held, job.state = False, JobState.QUEUED
            yield MoveJob(job_id, JobState.QUEUED)
            yield from self._advance(job)

    # --- engines ---------------------------------------------------------------------------

    def _engine_rejoined(
        self, engine_id: int, batches: tuple[Batch, ...], now: datetime
    ) -> Iterator[Instruction]:
        if engine_id in self.engines:
            return
        engine = self.engines.join(engine_id, now)
        for batch in batches:
            flight = self.engines.send(engine, batch, now)
            if not batch.tasks and self.engines.void(flight, now):
                yield Interrupt(engine_id)

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
                n_suspects += len(flight.batch.tasks)
                yield from self._dealt(flight, partial(self._suspects, flight, because, now))
            else:
                n_untouched += len(flight.batch.tasks)
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
        if (job := self.jobs.get(flight.batch.job_id)) is None:
            self._early.setdefault(flight.batch.job_id, []).append((flight, what))
            return
        yield from what(job)

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
        for attempt_id, task in reversed(flight.batch.tasks):
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
        for attempt_id, task in flight.batch.tasks:
            if was_alone and flight.killed_because is not None:
                end: EndTask | PutBackTask = outcomes.timed_out(job, task, attempt_id, because)
            else:
                end = outcomes.engine_died(
                    job, task, attempt_id, flight.batch.engine_id, because, was_alone=was_alone
                )
            yield from self._ended(job, end, now)

    def _overdue(self, now: datetime) -> Iterator[Instruction]:
        yield from self.crashes.look((engine.joined for engine in self.engines), now)
        for job in self.jobs.values():
            job.wake(now)
        for engine in self.engines:
            flight = engine.running
            if flight is None or flight.killed_because is not None:
                continue
            if (because := self._overran(flight, now)) is not None:
                flight.killed_because = because
                yield KillEngine(engine.engine_id, because)

    def _overran(self, flight: Flight, now: datetime) -> str | None:
        """Why the engine of this running batch has to be ended, if it has to."""
        if flight.void_since is not None:
            if now - flight.void_since > timedelta(seconds=self.policy.cancel_grace):
                return "ended: did not stop when its job was given up"
            return None
        job = self.jobs.get(flight.batch.job_id)
        if (
            job is None
            or job.timeout is None
            or flight.since is None
            or flight.batch.kind is TaskKind.PREPARE
        ):
            return None
        # A fold is only started within the budget, so this bounds the whole batch.
        allowed = job.timeout + self.policy.kill_grace
        if len(flight.batch.tasks) > 1:
            allowed += flight.batch.budget
        if now - flight.since > timedelta(seconds=allowed):
            return f"ended: a task ran past its limit of {job.timeout:g} s"
        return None

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
                yield from self._folds_returned(job, flight.batch, outcome, now)
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
        self, job: JobQueue, batch: Batch, report: BatchReport, now: datetime
    ) -> Iterator[Instruction]:
        tasks = dict(batch.tasks)
        if report.results:
            yield from self.crashes.finished()
            job.cost.learn(report.seconds / len(report.results))
        for result in report.results:
            attempt_id = result.attempt_id
            if (task := tasks.pop(attempt_id, None)) is None:
                continue  # its attempt was closed before its engine rejoined
            if result.error is None:
                end: EndTask | PutBackTask = outcomes.done(job, task, attempt_id, result)
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

    def _ended(
        self, job: JobQueue, end: EndTask | PutBackTask, now: datetime
    ) -> Iterator[Instruction]:
        """Record an end; a task that failed for good may take its job with it."""
        yield end
        if not isinstance(end, EndTask) or end.state is not TaskState.FAILED:
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

    # --- dispatch --------------------------------------------------------------------------

    def _dispatch(self, now: datetime) -> Iterator[Instruction]:
        """Fill the engines' windows, the emptiest engines first."""
        if self.draining or self.crashes.is_stalled:
            return
        for depth in range(self.policy.window):
            for engine in self.engines:
                if len(engine.flights) != depth or not self._takes_more(engine):
                    continue
                job = self._next_job(engine, depth)
                if job is None:
                    continue
                yield from self._send(job, engine, now)

    def _takes_more(self, engine: Engine) -> bool:
        """Whether a batch may wait on this engine: only behind one that is soon over."""
        if (front := engine.running) is None:
            return True
        job = self.jobs.get(front.batch.job_id)
        if front.batch.kind is not TaskKind.FOLD or job is None or job.cost.seconds is None:
            return False
        return job.cost.seconds * len(front.batch.tasks) <= 4 * self.policy.batch_seconds

    def _next_job(self, engine: Engine, depth: int) -> JobQueue | None:
        """Highest priority first; equal priorities share the engines evenly; then the older job.

        Only folds may wait behind other folds: a prepare or refit task wants an engine of its own,
        and so does a suspect, whose engine may die under it.
        """
        eligible = [
            job
            for job in self.jobs.values()
            if job.has_ready
            and job.may_use(engine.engine_id)
            and (depth == 0 or (job.todo is None and not job.suspects and bool(job.ready)))
        ]
        return min(
            eligible,
            key=lambda job: (-job.priority, sum(job.engines.values()), job.job_id),
            default=None,
        )

    def _send(self, job: JobQueue, engine: Engine, now: datetime) -> Iterator[Instruction]:
        # After a stall, tasks that took no engine down tell best whether engines work again.
        spare_suspects = self.crashes.is_on_probation
        tasks = job.take(self._batch_size(job), spare_suspects=spare_suspects)
        kind = tasks[0].kind
        numbered = tuple(enumerate(tasks, start=self._next_attempt))
        self._next_attempt += len(tasks)
        batch = Batch(
            batch_id=self._next_batch,
            job_id=job.job_id,
            engine_id=engine.engine_id,
            kind=kind,
            tasks=numbered,
            budget=2 * self.policy.batch_seconds,
        )
        self._next_batch += 1
        self.engines.send(engine, batch, now)
        job.sent(engine.engine_id)
        if job.state is not _STATE_WHILE[kind]:
            yield self._moved(job, kind)
        yield Dispatch(batch)
        yield from self._load(job)

    @staticmethod
    def _moved(job: JobQueue, kind: TaskKind) -> MoveJob:
        """Move the job to the state in which a task of this kind is out."""
        job.state = _STATE_WHILE[kind]
        return MoveJob(job.job_id, job.state)

    def _batch_size(self, job: JobQueue) -> int:
        n_engines = min(len(self.engines), job.max_engines or len(self.engines))
        n_waiting = len(job.ready) + job.unloaded
        return self.policy.batch_size(job.cost.seconds, n_waiting, n_engines)


#: What a job is doing while a task of this kind is out.
_STATE_WHILE = {
    TaskKind.PREPARE: JobState.PREPARING,
    TaskKind.FOLD: JobState.RUNNING,
    TaskKind.REFIT: JobState.REFITTING,
}
