"""The long-running scheduler: one loop that wires spool, records, core and engines.

Each turn takes in what happened (facts from engines, files, requests, time), lets the core
decide, records what that changes in ONE transaction, and only then carries it out. So whatever the
moment at which the process ends, the records tell how to go on.
"""

import importlib
import logging
import os
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from types import FrameType

from schemas import __version__
from schemas.lifecycle import JobState, TaskKind
from schemas.settings import Settings
from service import descriptors, journal
from service.arrivals import Arrivals
from service.beginning import Beginning, begin
from service.dossier import Dossiers
from service.hooks import Hooks
from service.localcluster import LocalCluster
from service.lock import Hold
from service.logs import about, start_logging
from service.notify import notify
from service.observer import Observer
from service.policy import Policy
from service.prune import Pruner
from service.recordfaults import StoppedWaiting, damage_named, is_damage, is_shortage, said
from service.reporter import Reporter
from service.requests import Requests
from service.scheduler import Scheduler
from service.searches import Searches
from service.spool import Intake
from service.stimuli import (
    AdvanceSearch,
    CancelRequested,
    CancelTasks,
    Dispatch,
    DrainRequested,
    EndTask,
    FoldsLoaded,
    Instruction,
    Interrupt,
    KillEngine,
    LoadFolds,
    MoveJob,
    Record,
    RecordPrepared,
    ReopenPrepare,
    SearchEnded,
    StartEngine,
    Stimulus,
    TaskPlanned,
    Tick,
    Trouble,
)
from service.store import Store
from service.timers import Timers
from service.traffic import Traffic
from service.troubles import Troubles, reason
from workers.failpoints import failpoint

log = logging.getLogger("foldq")

#: Seconds between two looks at the engines, and the longest sleep of the loop.
ENGINE_POLL = 0.1

#: The same while no engine wants the processor, or something is done a piece at a time.
IDLE_POLL = 0.05

#: Seconds before results are written again that could not be, and before records are.
DISK_RETRY = 5.0
RECORDS_RETRY = 1.0

#: Seconds for which the end of the scheduler waits for hooks, at most.
FAREWELL = 10.0


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
        daemon = Daemon(settings, store, beginning.held, beginning.cluster)
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
        held: Hold,
        cluster: LocalCluster | None = None,
    ):
        self._settings = settings
        self._store = store
        self._held = held
        self._troubles = troubles = Troubles(held.tell)
        store.wait = self._await_room
        self._stop_signals = 0
        self._draining = False
        self._leaving: float | None = None
        self._next_look = 0.0
        self._timers = Timers()
        self._dossiers = Dossiers(settings, store)
        self._pruner = Pruner(store, settings.spool)
        self._reporter = Reporter(settings)
        attempt, batch = store.next_numbers()
        policy = Policy(
            batch_seconds=settings.target_seconds, copy_stragglers=settings.copy_stragglers
        )
        self._core = Scheduler(policy, next_attempt=attempt, next_batch=batch)
        self._searches = Searches(settings, store, self._dossiers)
        self._observer = Observer(settings, store, self._core, self._searches, troubles)
        self._hooks = Hooks(settings, store, self._observer.hook_called)
        self._traffic = Traffic(
            settings, store, self._dossiers, troubles, self._observer, self._timers, cluster
        )
        self._intake = Intake(settings, store)
        self._arrivals = Arrivals(self._intake, store, self._dossiers, troubles)
        self._requests = Requests(
            settings, store, self._dossiers, self._pruner, troubles, self._core.jobs, self._traffic
        )

    # --- the loop --------------------------------------------------------------------------

    def run(self, *, until_idle: bool) -> None:
        """Run until told to stop, or with `until_idle` until nothing is left to do."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        self._observer.listen(self._timers.after)
        self._turn(self._requests.standing())
        self._turn(self._traffic.rejoin(2 * self._core.policy.batch_seconds, self._held))
        failpoint("daemon.rejoined")
        self._traffic.start()
        failpoint("daemon.engines.started")
        threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
        incoming = self._settings.spool / "incoming"
        log.info("ready: drop job files into %s", incoming, extra=about("scheduler ready"))
        notify("READY=1")
        self._hooks.begin()
        for job_id in self._store.unfinished_jobs():
            self._take_up(job_id)
            failpoint("daemon.job.taken_up")
        self._traffic.collect(self._core.jobs)
        failpoint("daemon.collected")
        self._store.read(self._reporter.catch_up)
        while True:
            stimuli = deque(self._traffic.news(self._pause(time.monotonic())))
            now = time.monotonic()
            self._timers.run(now)
            if now >= self._next_look:
                self._next_look = now + ENGINE_POLL
                self._held.give_sign()
                self._traffic.look()
                self._store.fold_in()
                stimuli.append(Tick())
            if not self._draining and self._intake.is_due(now):
                stimuli.extend(self._arrivals.take(now))
                stimuli.extend(self._requests.take())
            if self._stop_signals and not self._draining:
                self._draining = True
                log.info(
                    "stopping when the engines are done; once more to stop now",
                    extra=about("scheduler stopping"),
                )
                notify("STOPPING=1")
                stimuli.append(DrainRequested())
            self._turn(stimuli)
            self._requests.clear()
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

    def _take_up(self, job_id: int) -> None:
        """Go on with a job that an earlier scheduler left, or fail it, and it alone."""
        try:
            admission = self._dossiers.admission(job_id)
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

    def _pause(self, now: float) -> float:
        """Return the seconds for which there is nothing to do but to wait for engines."""
        if self._searches.is_planning:
            return 0.0
        due = min(self._next_look, self._timers.next_due)
        if not self._draining:
            due = min(due, self._intake.next_scan)
        if not self._traffic.is_under_way or self._pruner.is_at_work:
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
            and not self._traffic.has_news
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
            self._held.give_sign()
            self._traffic.look()  # what is seen is taken in when the wait is over

    def close(self) -> None:
        """End or leave the engines and write down that they are gone."""
        failpoint("daemon.close.before")
        self._store.wait = None
        self._observer.close()
        self._hooks.close()
        self._searches.close()
        self._reporter.close()
        self._traffic.stop()
        failpoint("daemon.close.engines_ended")
        try:
            self._store.recover(self._now())
            failpoint("daemon.close.after")
        except sqlite3.DatabaseError as error:
            if not is_shortage(error) and not is_damage(error):
                raise
            log.error("that it ended is not recorded (%s); the next start puts it right", error)

    # --- carrying out ----------------------------------------------------------------------

    def _carry_out(self, order: Instruction) -> Iterator[Stimulus]:
        match order:
            case Dispatch(batch):
                self._traffic.send(batch)
            case AdvanceSearch(job_id):
                if job_id in self._core.jobs:  # it may have ended in the same turn
                    yield from self._advance(job_id)
            case LoadFolds(job_id, after, limit):
                yield FoldsLoaded(job_id, self._store.load_folds(job_id, after, limit))
            case Interrupt(engine_id):
                self._traffic.interrupt(engine_id)
            case KillEngine(engine_id, because):
                self._traffic.kill(engine_id, because)
            case StartEngine(not_before):
                self._traffic.replace_one(not_before)
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
                self._timers.after(DISK_RETRY, lambda: self._advance_again(job_id))
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

    def _now(self) -> datetime:
        return datetime.now(UTC)
