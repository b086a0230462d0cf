"""The long-running scheduler: one loop that wires spool, records, core and engines.

Each turn takes in what happened (facts from engines, files, requests, time), lets the core
decide, records what that changes in ONE transaction, and only then carries it out. So whatever the
moment at which the process ends, the records tell how to go on.
"""

import heapq
import importlib
import logging
import os
import queue
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from types import FrameType

from schemas import __version__
from schemas.lifecycle import JobState, TaskKind
from schemas.settings import Settings
from schemas.task import BatchReport, FoldResult, TaskFailure
from service import control, descriptors, journal, spool
from service.beginning import Beginning, begin
from service.dossier import Dossiers
from service.engines import (
    ClusterFailed,
    Engines,
    Fact,
    Gone,
    NeverCame,
    Refused,
    Returned,
    Welcomed,
)
from service.handover import known_engines, open_batches
from service.hooks import Hooks
from service.localcluster import LocalCluster
from service.logs import about, start_logging
from service.notify import notify
from service.observer import Observer
from service.policy import Policy
from service.prune import Pruner
from service.recordfaults import StoppedWaiting, damage_named, is_damage, is_shortage, said
from service.reporter import Reporter
from service.scheduler import Scheduler
from service.searches import Searches
from service.steering import Steering
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
    EngineLost,
    EngineNeverCame,
    EngineRejoined,
    FoldsLoaded,
    FoldsPutBack,
    Instruction,
    Interrupt,
    JobAdmitted,
    KillEngine,
    LoadFolds,
    MoveJob,
    PauseRequested,
    QueueHeld,
    Record,
    RecordPrepared,
    ReopenPrepare,
    ResumeRequested,
    SearchEnded,
    StartEngine,
    Stimulus,
    TagsLimited,
    TaskPlanned,
    Tick,
    Trouble,
)
from service.store import Store
from service.troubles import Troubles, reason
from workers.failpoints import failpoint
from workers.welcome import versions

log = logging.getLogger("foldq")

#: Seconds between two looks at the engines, and the longest sleep of the loop.
ENGINE_POLL = 0.1

#: The same while no engine wants the processor, or something is done a piece at a time.
IDLE_POLL = 0.05

#: Seconds of one turn that may go into admitting files.
ADMISSION_SECONDS = 0.25

#: Seconds before results are written again that could not be, and before records are.
DISK_RETRY = 5.0
RECORDS_RETRY = 1.0

#: Seconds for which the end of the scheduler waits for hooks, at most.
FAREWELL = 10.0

#: Seconds before a cluster that could not be reached is tried again.
CLUSTER_RETRY = 5.0


def serve(
    settings: Settings, *, until_idle: bool = False, beginning: Beginning | None = None
) -> None:
    """Run a scheduler on the spool until it is told to stop.

    The first SIGTERM or Ctrl-C lets the engines finish what they run, the second stops now.

    Parameters
    ----------
    until_idle : bool
        Stop by itself when no file waits and no job can go on.
    beginning : Beginning, optional
        The spool, held already, and its cluster, on its way.

    Raises
    ------
    service.lock.SpoolHeld
        If another scheduler holds the spool.
    service.layout.SpoolUnusable, service.recordfaults.RecordsUnusable
        If there is no room or no right to begin with.
    service.recordfaults.RecordsDamaged
        When the database file turns out to be damaged.
    service.recordfaults.StoppedWaiting
        When it was told to stop while there was no room to record what it knew.
    """
    with ExitStack() as stack:
        beginning = beginning or stack.enter_context(begin(settings, ahead=False))
        start_logging(settings.spool / "logs", settings.log)
        stack.enter_context(_told())
        journal.scheduler_started(settings, __version__, os.getpid())
        descriptors.raise_limit(settings.engines)
        stack.enter_context(damage_named(settings.database_path))
        store = Store(settings.database_path, synchronous=settings.synchronous)
        stack.callback(store.close)
        daemon = Daemon(settings, store, Troubles(beginning.held.tell), beginning.cluster)
        stack.callback(daemon.close)
        daemon.run(until_idle=until_idle)


@contextmanager
def _told() -> Iterator[None]:
    """Tell in the log how the scheduler ended."""
    try:
        yield
    except BaseException as error:
        facts = about("scheduler failed", aside=True)
        log.critical("the scheduler could not go on: %r", error, exc_info=True, extra=facts)
        raise
    log.info("the scheduler has stopped", extra=about("scheduler stopped", aside=True))


def _warm_up() -> None:
    """Import what the first job file needs, while the loop can already take in other things."""
    importlib.import_module("sklearn.model_selection")
    importlib.import_module("workers.jobcheck")


class Daemon:
    """One scheduler process. Use `serve`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        troubles: Troubles,
        cluster: LocalCluster | None = None,
    ):
        self._settings = settings
        self._store = store
        self._troubles = troubles
        store.wait = self._await_room
        self._desk = control.Desk(settings.spool)
        self._stop_signals = 0
        self._inbox: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        directory = settings.spool / "cluster"
        self._engines = Engines(settings, directory, self._inbox.put, cluster)
        self._intake = spool.Intake(settings, store)
        self._dossiers = Dossiers(settings, store)
        self._pruner = Pruner(store, settings.spool)
        self._steering = Steering(store, settings.tags)
        self._reporter = Reporter(settings)
        attempt, batch = store.next_numbers()
        policy = Policy(
            batch_seconds=settings.target_seconds, copy_stragglers=settings.copy_stragglers
        )
        self._core = Scheduler(policy, next_attempt=attempt, next_batch=batch)
        self._in_flight: dict[int, Batch] = {}
        self._searches = Searches(settings, store, self._dossiers)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._n_timers = 0
        self._next_look = 0.0
        self._draining = False
        self._observer = Observer(settings, store, self._core, self._searches, troubles)
        self._hooks = Hooks(settings, store, self._observer.hook_called)
        self._leaving: float | None = None
        self._versions = versions()

    # --- the loop --------------------------------------------------------------------------

    def run(self, *, until_idle: bool) -> None:
        """Run until told to stop, or with `until_idle` until nothing is left to do."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        self._observer.listen(self._after)
        self._take_over()
        threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
        incoming = self._settings.spool / "incoming"
        log.info("ready: drop job files into %s", incoming, extra=about("scheduler ready"))
        notify("READY=1")
        self._hooks.begin()
        for job_id in self._store.unfinished_jobs():
            self._take_up(job_id)
            failpoint("daemon.job.taken_up")
        self._collect()
        failpoint("daemon.collected")
        self._store.read(self._reporter.catch_up)
        while True:
            stimuli = deque(self._facts())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            if now >= self._next_look:
                self._next_look = now + ENGINE_POLL
                self._look_at_engines()
                self._store.fold_in()
                stimuli.append(Tick())
            if not self._draining and self._intake.is_due(now):
                stimuli.extend(self._intake_files(now))
                stimuli.extend(self._control_requests())
            if self._stop_signals and not self._draining:
                self._draining = True
                log.info(
                    "stopping when the engines are done; once more to stop now",
                    extra=about("scheduler stopping"),
                )
                notify("STOPPING=1")
                stimuli.append(DrainRequested())
            self._turn(stimuli)
            with self._troubles.noting("files", "a request in control/ cannot be removed", "asked"):
                self._desk.clear()
            for planned in self._searches.plan_more():
                self._turn([planned])
            for job_id in self._searches.concluded():
                self._advance_again(job_id)
            self._pruner.step()
            if not self._draining:
                self._reporter.step(is_idle=self._is_idle(), is_awaited=until_idle)
            self._hooks.step()
            self._observer.turned(now)
            if self._draining and self._stop_signals > 1:
                return
            if self._may_leave(until_idle=until_idle):
                return

    def _take_over(self) -> None:
        """Find the engines that outlived the last scheduler; what the others had is done again."""
        self._turn([TagsLimited(self._steering.limits()), QueueHeld(self._steering.is_held())])
        engine_ids = self._engines.reattach(self._store.read(known_engines))
        failpoint("daemon.reattached")
        n_tasks = self._store.recover(self._now(), engine_ids)
        if n_tasks:
            log.info(
                "the last scheduler did not stop by itself: %d tasks put back",
                n_tasks,
                extra=about("tasks put back", n_tasks=n_tasks),
            )
        rejoined: list[Stimulus] = []
        budget = 2 * self._core.policy.batch_seconds
        for engine_id in sorted(engine_ids):
            batches = self._store.read(partial(open_batches, engine_id=engine_id, budget=budget))
            self._in_flight.update({batch.batch_id: batch for batch in batches})
            rejoined.append(EngineRejoined(engine_id, batches))
            self._observer.rejoined(batches)
            n_tasks = sum(len(batch.tasks) for batch in batches)
            log.info(
                "engine %d is still there; tasks it has in hand: %d",
                engine_id,
                n_tasks,
                extra=about("engine rejoined", engine=engine_id, n_tasks=n_tasks),
            )
        self._turn(rejoined)
        failpoint("daemon.rejoined")
        self._engines.start()
        failpoint("daemon.engines.started")

    def _collect(self) -> None:
        """Ask the engines that were found again for what they had in hand."""
        by_engine: dict[int, dict[int, str]] = {}
        for batch in self._in_flight.values():
            if batch.job_id in self._core.jobs:
                key = self._dossiers[batch.job_id].context.key
                by_engine.setdefault(batch.engine_id, {})[batch.batch_id] = key
        for engine_id, batches in by_engine.items():
            failpoint("daemon.collect.before")
            self._engines.collect(engine_id, batches)

    def _facts(self) -> Iterator[Stimulus]:
        """Wait for the next fact until something else is due, and take in all that are there."""
        try:
            fact = self._inbox.get(timeout=self._pause(time.monotonic()))
            while True:
                yield from self._understood(fact)
                fact = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _pause(self, now: float) -> float:
        """Return the seconds for which there is nothing to do but to wait for engines."""
        if self._searches.is_planning:
            return 0.0
        due = self._next_look
        if not self._draining:
            due = min(due, self._intake.next_scan)
        if self._timers:
            due = min(due, self._timers[0][0])
        if not self._in_flight or self._pruner.is_at_work:
            due = min(due, now + IDLE_POLL)
        return max(due - now, 0.0)

    def _turn(self, stimuli: Iterable[Stimulus]) -> None:
        """Let the core decide, record what that changes, carry it out; until nothing follows."""
        pending = deque(stimuli)
        while pending:
            now = self._now()
            orders: list[Instruction] = []
            while pending:
                orders += self._core.handle(pending.popleft(), now)
            records = [order for order in orders if isinstance(order, Record)]
            if records:
                self._observer.record(records, now)
            for order in orders:
                if type(order) is not EndTask:  # most are, and only to be recorded
                    pending.extend(self._carry_out(order))

    def _may_leave(self, *, until_idle: bool) -> bool:
        """Whether the loop is to end: hooks are given a moment for what has just ended."""
        if self._draining:
            is_done = self._core.n_in_flight == 0
        else:
            is_done = until_idle and self._is_idle() and not self._reporter.is_busy
        if not is_done:
            self._leaving = None
            return False
        now = time.monotonic()
        self._leaving = now if self._leaving is None else self._leaving
        return not self._hooks.is_busy or now - self._leaving >= FAREWELL

    def _is_idle(self) -> bool:
        return (
            self._core.is_idle
            and not self._searches.is_planning
            and not self._intake.has_waiting
            and self._inbox.empty()
        )

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1

    def _await_room(self, because: str | None) -> None:
        """Wait a moment for the records to be writable again; with None, they are.

        Raises
        ------
        StoppedWaiting
            At the second signal to stop.
        """
        hint = " To stop without recording, ask once more" if self._stop_signals else ""
        self._troubles.report("records", because and because + hint)
        deadline = time.monotonic() + RECORDS_RETRY
        while because is not None and time.monotonic() < deadline:
            if self._stop_signals > 1:
                raise StoppedWaiting(because)
            time.sleep(ENGINE_POLL)
            self._look_at_engines()  # what is seen is taken in when the wait is over

    def _look_at_engines(self) -> None:
        with self._troubles.noting("files", "the engines cannot be looked after", "engines"):
            self._engines.poll()

    def close(self) -> None:
        """End or leave the engines and write down that they are gone."""
        failpoint("daemon.close.before")
        self._store.wait = None
        self._observer.close()
        self._hooks.close()
        self._searches.close()
        self._reporter.close()
        self._engines.stop()
        failpoint("daemon.close.engines_ended")
        try:
            self._store.recover(self._now())
            failpoint("daemon.close.after")
        except sqlite3.DatabaseError as error:
            if not is_shortage(error) and not is_damage(error):
                raise
            log.error("that it ended is not recorded (%s); the next start puts it right", error)

    # --- taking in -------------------------------------------------------------------------

    def _understood(self, fact: Fact) -> Iterator[Stimulus]:
        match fact:
            case Welcomed():
                yield from self._welcomed(fact)
            case Gone(engine_id, because, blameless):
                facts = about("engine lost", engine=engine_id, reason=because, blameless=blameless)
                log.warning("engine %d lost: %s", engine_id, because, extra=facts)
                self._in_flight = {
                    batch_id: batch
                    for batch_id, batch in self._in_flight.items()
                    if batch.engine_id != engine_id
                }
                yield EngineLost(engine_id, because, blameless)
            case NeverCame(because):
                log.warning("%s", because, extra=about("engine never came"))
                yield EngineNeverCame(because)
            case Returned(batch_id, outcome):
                self._observer.returned(fact, self._in_flight.pop(batch_id, None))
                yield BatchReturned(batch_id, outcome)
            case Refused():
                yield from self._refused(fact)
            case ClusterFailed(because):
                told = f"no engines: {because}; trying again every {CLUSTER_RETRY:g} s"
                self._troubles.report("engines", told, "cluster")
                self._after(CLUSTER_RETRY, self._engines.start)

    def _welcomed(self, fact: Welcomed) -> Iterator[Stimulus]:
        report = fact.report
        odd = {
            name: version
            for name, version in report.versions.items()
            if self._versions.get(name) != version
        }
        if odd:
            told = ", ".join(
                f"{name} {version} there and {self._versions.get(name)} here"
                for name, version in odd.items()
            )
            message = f"engine on {report.host}, pid {report.pid}, refused: {told}"
            log.error("%s", message, extra=about("engine refused"))
            self._store.note("engine refused", message, self._now())
            return
        self._troubles.report("engines", None, "cluster")
        engine_id = self._store.engine_joined(
            self._engines.name, fact.number, fact.identity, report, self._now()
        )
        self._engines.enlist(fact.number, engine_id, report)
        facts = about("engine joined", engine=engine_id, host=report.host, pid=report.pid)
        log.info("engine %d joined: %s, pid %d", engine_id, report.host, report.pid, extra=facts)
        yield EngineJoined(engine_id)

    def _refused(self, fact: Refused) -> Iterator[Stimulus]:
        """Answer for an engine that could not even begin on the batch."""
        batch = self._in_flight.pop(fact.batch_id, None)
        if batch is None:
            return
        if fact.interrupted:
            attempts = tuple(attempt_id for attempt_id, _ in batch.tasks)
            yield BatchReturned(batch.batch_id, BatchReport(batch.batch_id, (), attempts))
        elif batch.kind is TaskKind.FOLD:
            results = tuple(
                FoldResult(task.task_id, attempt_id, error=fact.error)
                for attempt_id, task in batch.tasks
            )
            yield BatchReturned(batch.batch_id, BatchReport(batch.batch_id, results))
        else:
            yield BatchReturned(batch.batch_id, TaskFailure(fact.error, fact.error))

    def _intake_files(self, now: float) -> Iterator[Stimulus]:
        names: list[str] = []
        with self._troubles.noting("files", "incoming/ cannot be read", "incoming"):
            names = self._intake.ready(now)
            self._troubles.keep("files", "incoming/", self._intake.waiting)
        for name in names:
            taken: spool.Admitted | spool.Refused | None = None
            with self._troubles.noting("files", f"incoming/{name} stays", f"incoming/{name}"):
                taken = self._intake.take(name, now)
            if isinstance(taken, spool.Admitted) and taken.stays is not None:
                told = f"{taken.name} is job {taken.admission.job_id}, but stays in incoming/"
                with self._troubles.noting("files", told, f"incoming/{name}"):
                    raise taken.stays
            match taken:
                case spool.Admitted(shown, admission) if admission.is_new:
                    facts = about("job admitted", job=admission.job_id, file=shown)
                    log.info("job %d admitted: %s", admission.job_id, shown, extra=facts)
                    yield self._admission_of(admission.job_id)
                case spool.Admitted(shown, admission) if taken.is_first:
                    facts = about("submitted again", job=admission.job_id, file=shown)
                    log.info("%s is job %d already", shown, admission.job_id, extra=facts)
                    self._store.note(
                        "submitted again",
                        f"{shown} came again, the same to the letter",
                        self._now(),
                        job_id=admission.job_id,
                    )
                case spool.Refused(shown, problems):
                    more = f" … and {len(problems) - 1} more" if len(problems) > 1 else ""
                    facts = about("file refused", file=shown, n_problems=len(problems))
                    log.warning("%s refused: %s%s", shown, problems[0], more, extra=facts)
            if time.monotonic() - now > ADMISSION_SECONDS:
                return

    def _control_requests(self) -> Iterator[Stimulus]:
        asked: list[control.Asked] = []
        with self._troubles.noting("files", "control/ cannot be read", "control"):
            asked = self._desk.take()
            if self._desk.unread is not None:
                raise self._desk.unread
        for request in asked:
            yield from self._asked(request)

    def _asked(self, request: control.Asked) -> Iterator[Stimulus]:
        match request:
            case control.PruneRequest():
                at_work = {batch.job_id for batch in self._in_flight.values()}
                self._pruner.ask(request, at_work.union(self._core.jobs))
            case control.SetRequest(job_id, changes):
                if job_id in self._core.jobs:
                    yield self._steering.set_job(job_id, changes, self._now())
                else:
                    log.warning("job %d is not at work: nothing of it is set", job_id)
            case control.LimitRequest(tag, changes):
                self._steering.limit(tag, changes, self._now())
                yield TagsLimited(self._steering.limits())
            case control.HoldRequest(held):
                self._steering.hold(held, self._now())
                what = "paused" if held else "resumed"
                log.info("the queue is %s on request", what, extra=about(f"queue {what}"))
                yield QueueHeld(held)
            case control.Request("cancel", job_id):
                yield CancelRequested(job_id)
            case control.Request("pause", job_id):
                yield PauseRequested(job_id)
            case control.Request("resume", job_id):
                yield ResumeRequested(job_id)
            case control.Request("retry", job_id):
                yield from self._retry(job_id)

    def _retry(self, job_id: int) -> Iterator[Stimulus]:
        if not self._store.has_job(job_id):
            log.warning("there is no job %d to retry", job_id)
        elif job_id in self._core.jobs:
            folds = self._store.retry(job_id, self._now())
            yield FoldsPutBack(job_id, folds)
        else:
            self._store.retry(job_id, self._now(), listed=False)  # they are loaded page by page
            self._dossiers.forget(job_id)
            yield self._admission_of(job_id)

    def _take_up(self, job_id: int) -> None:
        """Go on with a job that an earlier scheduler left, or fail it, and it alone."""
        try:
            admission = self._admission_of(job_id)
        except Exception as error:
            if is_damage(error):
                raise
            facts = about("job unreadable", job=job_id)
            log.exception("job %d cannot be read from the records", job_id, extra=facts)
            why = f"cannot be read from the records: {type(error).__name__}: {error}"
            given_up: list[Record] = [CancelTasks(job_id), MoveJob(job_id, JobState.FAILED, why)]
            self._store.record(given_up, self._now())
            self._turn([CancelRequested(job_id)])  # what engines still have of it counts no more
        else:
            self._turn([admission])

    def _admission_of(self, job_id: int) -> JobAdmitted:
        """Say where a job stands, as soon as its records can be read."""
        return self._store.read(lambda _: self._dossiers.admission(job_id))

    # --- carrying out ----------------------------------------------------------------------

    def _carry_out(self, order: Instruction) -> Iterator[Stimulus]:
        match order:
            case Dispatch(batch):
                self._in_flight[batch.batch_id] = batch
                failpoint("daemon.dispatch.before")
                self._engines.send(batch.engine_id, self._dossiers.order(batch))
                failpoint("daemon.dispatch.after")
            case AdvanceSearch(job_id):
                if job_id in self._core.jobs:  # it may have ended in the same turn
                    yield from self._advance(job_id)
            case LoadFolds(job_id, after, limit):
                yield FoldsLoaded(job_id, self._store.load_folds(job_id, after, limit))
            case Interrupt(engine_id):
                failpoint("daemon.interrupt.before")
                self._engines.interrupt(engine_id)
                failpoint("daemon.interrupt.after")
            case KillEngine(engine_id, because):
                facts = about("engine ended", engine=engine_id, reason=because)
                log.warning("engine %d %s", engine_id, because, extra=facts)
                failpoint("daemon.kill.before")
                self._engines.kill(engine_id)
                failpoint("daemon.kill.after")
            case StartEngine(not_before):
                if self._engines.is_local:
                    wait = (not_before - self._now()).total_seconds()
                    self._after(wait, self._engines.start_one)
            case RecordPrepared(job_id):
                self._dossiers.forget(job_id)
            case ReopenPrepare(job_id):
                prepare = self._store.single_task(job_id, TaskKind.PREPARE)
                assert prepare is not None
                yield TaskPlanned(job_id, prepare[0])
            case MoveJob(job_id, state):
                if state.is_final:
                    self._reporter.ended(job_id)
                    self._hooks.wake()
                    self._searches.forget(job_id)
                    self._dossiers.forget(job_id)
            case Trouble(because):
                self._troubles.report("engines", because)

    def _advance(self, job_id: int) -> Iterator[Stimulus]:
        """Find out what the search needs next; what goes wrong there is the job's own failure."""
        try:
            yield from self._searches.next_step(job_id)
        except Exception as error:
            if isinstance(error, OSError) or is_shortage(error):
                told = reason(error) if isinstance(error, OSError) else said(error)
                waits = f"job {job_id} waits, its results cannot be written: {told}"
                self._troubles.report("results", waits, str(job_id))
                self._after(DISK_RETRY, lambda: self._advance_again(job_id))
                return
            if is_damage(error):
                raise
            log.exception("job %d cannot go on", job_id, extra=about("job stuck", job=job_id))
            yield SearchEnded(job_id, f"cannot go on: {type(error).__name__}: {error}")
        if not self._searches.is_concluding(job_id):  # else it is not known yet
            self._troubles.report("results", None, str(job_id))

    def _advance_again(self, job_id: int) -> None:
        if job_id in self._core.jobs:
            self._turn(self._advance(job_id))
        else:
            self._troubles.report("results", None, str(job_id))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._n_timers += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._n_timers, action))

    def _now(self) -> datetime:
        return datetime.now(UTC)
