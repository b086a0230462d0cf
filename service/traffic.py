"""What goes to the engines and what comes back: the loop's side of `service/engines.py`.

What happens at engines is told by several threads and taken in by the loop, as stimuli for the
core. Batches that are out are known here.
"""

import logging
import queue
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from schemas.lifecycle import TaskKind
from schemas.settings import Settings
from schemas.task import BatchReport, FoldResult, TaskFailure
from service.dossier import Dossiers
from service.engines import Engines
from service.facts import ClusterFailed, Fact, Gone, NeverCame, Refused, Returned, Welcomed
from service.handover import known_engines, open_batches
from service.jobs import Jobs
from service.localcluster import LocalCluster
from service.lock import Hold
from service.logs import about
from service.observer import Observer
from service.stimuli import (
    Batch,
    BatchReturned,
    EngineJoined,
    EngineLost,
    EngineNeverCame,
    EngineRejoined,
    Stimulus,
)
from service.store import Store
from service.timers import Timers
from service.troubles import Troubles
from workers.failpoints import failpoint
from workers.welcome import versions

log = logging.getLogger("foldq")

#: Seconds before a cluster that could not be reached is tried again.
CLUSTER_RETRY = 5.0


class Traffic:
    """Between one scheduler's loop and its engines.

    Parameters
    ----------
    settings : Settings
    store : Store
    dossiers : Dossiers
    troubles : Troubles
    observer : Observer
    timers : Timers
    cluster : LocalCluster, optional
        The local cluster, should it have been started ahead.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        dossiers: Dossiers,
        troubles: Troubles,
        observer: Observer,
        timers: Timers,
        cluster: LocalCluster | None = None,
    ) -> None:
        self._store = store
        self._dossiers = dossiers
        self._troubles = troubles
        self._observer = observer
        self._timers = timers
        self._inbox: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self._engines = Engines(settings, settings.spool / "cluster", self._inbox.put, cluster)
        self._in_flight: dict[int, Batch] = {}
        self._versions = versions()

    @property
    def jobs(self) -> set[int]:
        """The jobs of which engines have something in hand."""
        return {batch.job_id for batch in self._in_flight.values()}

    @property
    def is_under_way(self) -> bool:
        """Whether a batch is out."""
        return bool(self._in_flight)

    @property
    def has_news(self) -> bool:
        """Whether something happened that is not taken in yet."""
        return not self._inbox.empty()

    # --- beginning and end -----------------------------------------------------------------

    def rejoin(self, budget: float, held: Hold) -> Iterator[Stimulus]:
        """Find the engines that outlived the last scheduler; what the others had is done again.

        Parameters
        ----------
        budget : float
            Seconds: see `service.handover.open_batches`.
        held : Hold
            The spool: it tells who this scheduler is, and when the last one was alive.
        """
        engine_ids = self._engines.reattach(self._store.read(known_engines))
        failpoint("daemon.reattached")
        begins = f"a scheduler started: process {held.holder.pid} on {held.holder.host}"
        n_tasks = self._store.recover(
            datetime.now(UTC), engine_ids, begins=begins, ended=held.last_sign
        )
        if n_tasks:
            log.info(
                "the last scheduler did not stop by itself: %d tasks put back",
                n_tasks,
                extra=about("tasks put back", n_tasks=n_tasks),
            )
        for engine_id in sorted(engine_ids):
            batches = self._store.read(partial(open_batches, engine_id=engine_id, budget=budget))
            self._in_flight.update({batch.batch_id: batch for batch in batches})
            self._observer.rejoined(batches)
            n_tasks = sum(len(batch.tasks) for batch in batches)
            log.info(
                "engine %d is still there; tasks it has in hand: %d",
                engine_id,
                n_tasks,
                extra=about("engine rejoined", engine=engine_id, n_tasks=n_tasks),
            )
            yield EngineRejoined(engine_id, batches)

    def start(self) -> None:
        """Begin to start or reach the cluster, and return at once: engines report as they come."""
        self._engines.start()

    def collect(self, jobs: Jobs) -> None:
        """Ask the engines that were found again for what they had in hand of the jobs at work."""
        by_engine: dict[int, dict[int, str]] = {}
        for batch in self._in_flight.values():
            if batch.job_id in jobs:
                key = self._dossiers[batch.job_id].context.key
                by_engine.setdefault(batch.engine_id, {})[batch.batch_id] = key
        for engine_id, batches in by_engine.items():
            failpoint("daemon.collect.before")
            self._engines.collect(engine_id, batches)

    def look(self) -> None:
        """Notice engines that came or went since the last look."""
        with self._troubles.noting("files", "the engines cannot be looked after", "engines"):
            self._engines.poll()

    def stop(self) -> None:
        """Leave an external cluster; end a local one."""
        self._engines.stop()

    # --- to the engines --------------------------------------------------------------------

    def send(self, batch: Batch) -> None:
        """Send a batch that is on record."""
        self._in_flight[batch.batch_id] = batch
        failpoint("daemon.dispatch.before")
        self._engines.send(batch.engine_id, self._dossiers.order(batch))
        failpoint("daemon.dispatch.after")

    def interrupt(self, engine_id: int) -> None:
        """Have an engine leave off."""
        failpoint("daemon.interrupt.before")
        self._engines.interrupt(engine_id)
        failpoint("daemon.interrupt.after")

    def kill(self, engine_id: int, because: str) -> None:
        """End an engine that does not leave off."""
        facts = about("engine ended", engine=engine_id, reason=because)
        log.warning("engine %d %s", engine_id, because, extra=facts)
        failpoint("daemon.kill.before")
        self._engines.kill(engine_id)
        failpoint("daemon.kill.after")

    def replace_one(self, not_before: datetime) -> None:
        """Have one more engine started, if the engines are this scheduler's own."""
        if self._engines.is_local:
            wait = (not_before - datetime.now(UTC)).total_seconds()
            self._timers.after(wait, self._engines.start_one)

    # --- from the engines ------------------------------------------------------------------

    def news(self, pause: float) -> Iterator[Stimulus]:
        """Wait for the next fact, for a pause (seconds) at most; take in all that are there."""
        try:
            fact = self._inbox.get(timeout=pause)
            while True:
                yield from self._understood(fact)
                fact = self._inbox.get_nowait()
        except queue.Empty:
            return

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
                self._timers.after(CLUSTER_RETRY, self._engines.start)

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
            self._store.note("engine refused", message, datetime.now(UTC))
            return
        self._troubles.report("engines", None, "cluster")
        engine_id = self._store.engine_joined(
            self._engines.name, fact.number, fact.identity, report, datetime.now(UTC)
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
