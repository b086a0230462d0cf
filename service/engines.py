"""The engines: find, welcome, send to, interrupt, end.

Only this and `service/cluster.py` know ipyparallel's client. What happens at engines reaches the
daemon as facts through one callable, from whichever thread noticed it; nothing here decides
anything about tasks.

Batches go to one engine by name (a direct view), never through the load-balanced view: the
scheduler knows what runs where. ipyparallel is never asked to retry. Of a local engine's death the
fork server tells at once, of any other the controller, when heartbeats stay away.
"""

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import psutil

from schemas.settings import Settings
from schemas.task import BatchReport, EngineReport, Order, Prepared, Refitted, TaskFailure
from service.calls import call
from service.cluster import Cluster
from service.facts import Fact, Gone, NeverCame, Refused, Returned, Welcomed
from service.handover import KnownEngine
from service.localcluster import Ended, LocalCluster, ServerGone
from service.memory import available_memory, total_memory
from service.roll import Roll
from workers.orders import carry_out, report_kept
from workers.welcome import welcome

log = logging.getLogger("foldq.engines")

#: Seconds between two looks at what need not be looked at in every turn.
_CARE_PERIOD = 1.0

#: Seconds that an engine may take from its fork to its joining.
_JOIN_PATIENCE = 60.0

#: Share of the memory below which the largest engine is ended, before the machine stands still.
_LEAST_MEMORY = 0.03

#: Why an engine is given up whose end nobody saw.
_SILENT = "it stopped answering"


class Engines:
    """The engines of one cluster, as the daemon uses them.

    Parameters
    ----------
    settings : Settings
    directory : Path
        Where a local cluster keeps its socket, connection files and log (owner only).
    tell : callable
        Takes each `Fact`; called from several threads.
    cluster : LocalCluster, optional
        The local cluster, should it have been started ahead.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        tell: Callable[[Fact], None],
        cluster: LocalCluster | None = None,
    ):
        self._settings = settings
        self._tell = tell
        self._roll = Roll()
        self._cluster = Cluster(settings, directory, tell, self._roll, cluster)
        if self._cluster.local is not None:
            self._cluster.local.tell = self._process_event
        self._ended_because: dict[int, str] = {}
        self._next_care = 0.0
        self._last_care = 0.0

    @property
    def is_local(self) -> bool:
        """Whether the engines are this scheduler's own processes, to be replaced when they die."""
        return self._cluster.local is not None

    @property
    def name(self) -> str:
        """What the records call this cluster."""
        return self._cluster.name

    # --- start and stop --------------------------------------------------------------------

    def reattach(self, known: Sequence[KnownEngine]) -> set[int]:
        """Find again the engines that outlived an earlier scheduler.

        Parameters
        ----------
        known : sequence of KnownEngine
            Engines that the records hold as there.

        Returns
        -------
        set of int
            Ids of those that are still there and the same. Batches may be sent to them at once;
            what they had in hand is asked for with `collect`.
        """
        if not self._cluster.attach(expected=bool(known)):
            return set()
        return {engine.id for engine in known if self._recognise(engine)}

    def _recognise(self, engine: KnownEngine) -> bool:
        client = self._cluster.client
        assert client is not None
        # A number may be another engine's after a restart of the controller; the identity is not.
        present = client._engines.get(engine.number)
        if engine.cluster != self.name or present is None or present != engine.identity:
            return False
        self._roll.greet(engine.number, str(present))
        self._register(engine.number, engine.id, engine.host, engine.pid)
        return True

    def start(self) -> None:
        """Begin to start or reach the cluster, and return at once: engines report as they come."""
        self._cluster.start()

    def start_one(self) -> None:
        """Start one more local engine."""
        self._cluster.start_one()

    def stop(self) -> None:
        """Leave an external cluster; end a local one, whatever state its processes are in."""
        self._cluster.stop()

    # --- coming and going --------------------------------------------------------------------

    def poll(self) -> None:
        """Notice what changed since the last call: engines that came or went, a silent cluster."""
        client = self._cluster.client
        if client is None or self._cluster.is_replacing:
            return
        present = set(client.ids)
        greeted = self._roll.greeted
        for number in present - greeted:
            self._greet(client, number)
        for number in greeted - present:
            engine_id = self._roll.miss(number)
            if engine_id is not None:
                self._lose(engine_id, _SILENT)
        now = time.monotonic()
        if now >= self._next_care:
            self._next_care = now + _CARE_PERIOD
            self._take_care(now)

    def _take_care(self, now: float) -> None:
        patience = self._settings.controller_timeout
        slept = now - self._last_care > patience / 2
        self._last_care = now
        if slept:  # the silence was this process's own: it was stopped, or its machine suspended
            self._cluster.excuse(now)
        local = self._cluster.local
        if self._cluster.silent_for(now) > patience:
            self._lose_cluster(f"the controller did not answer for {patience:g} s")
        elif local is not None:
            local.ping()
            if local.silent_for > patience:
                self._lose_cluster(f"the engines' parent process was silent for {patience:g} s")
                return
            for pid, since in list(local.starting.items()):
                if now - since > _JOIN_PATIENCE:
                    local.signal(pid, signal.SIGKILL)
            self._save_memory(local)

    def _save_memory(self, local: LocalCluster) -> None:
        """End the largest engine when the machine is about to run out of memory."""
        pids = self._roll.pids
        if not pids or available_memory() > _LEAST_MEMORY * total_memory():
            return
        sizes: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                sizes[pid] = psutil.Process(pid).memory_info().rss
        if sizes:
            largest = max(sizes, key=lambda pid: sizes[pid])
            because = f"ended: the machine ran out of memory, it used {sizes[largest] / 1e9:.1f} GB"
            self._ended_because[largest] = because
            local.signal(largest, signal.SIGKILL)

    def _process_event(self, event: Ended | ServerGone) -> None:
        """Take in what the fork server tells of its processes (from its own thread)."""
        if self._cluster.is_stopping or self._cluster.is_replacing:
            return
        match event:
            case ServerGone():
                self._lose_cluster("the engines' parent process died")
            case Ended(_, "controller", how):
                self._lose_cluster(f"the controller died: {how}")
            case Ended(pid, _, how):
                assert self._cluster.local is not None
                with self._roll.lock:
                    starting = self._cluster.local.starting.pop(pid, None)
                    engine_id = self._roll.with_process(pid)
                if engine_id is not None:
                    self._lose(engine_id, self._why_ended(pid, how))
                elif starting is not None:
                    self._tell(NeverCame(f"an engine process ended while starting: {how}"))

    def _why_ended(self, pid: int, how: str) -> str:
        because = self._ended_because.pop(pid, None)
        return because or f"its process {pid} on {socket.gethostname()} ended: {how}"

    def _greet(self, client: ipp.Client, number: int) -> None:
        identity = str(client._engines[number])
        self._roll.greet(number, identity)
        call(client, identity, welcome, then=partial(self._welcomed, client, number, identity))

    def _welcomed(
        self, client: ipp.Client, number: int, identity: str, answer: Callable[[], EngineReport]
    ) -> None:
        if client is not self._cluster.client:
            return
        try:
            report = answer()
        except Exception as error:
            # Of a local engine's death the fork server tells; this one lives but cannot be used.
            log.error("engine %s cannot be used: %s", number, error)
            return
        self._tell(Welcomed(number, identity, report))

    def enlist(self, number: int, engine_id: int, report: EngineReport) -> None:
        """Give a welcomed engine the number it has in the records: batches may be sent to it."""
        self._register(number, engine_id, report.host, report.pid)
        if number not in self._roll.greeted:
            self._lose(engine_id, "its process died as it joined")

    def _register(self, number: int, engine_id: int, host: str, pid: int) -> None:
        local = self._cluster.local
        is_own = local is not None and host == socket.gethostname()
        with self._roll.lock:
            self._roll.enlist(engine_id, number, pid if is_own else None)
            if local is None or not is_own:
                return
            local.starting.pop(pid, None)
            if pid not in local.roles:  # it ended between its answer and now
                self._lose(engine_id, "its process died as it joined")

    def _lose(self, engine_id: int, because: str, *, blameless: bool = False) -> None:
        """Tell once that an engine is gone, whoever noticed."""
        enlisted = self._roll.strike(engine_id)
        if enlisted is None:
            return
        if enlisted.pid is not None and self._cluster.local is not None:
            # It may be frozen only: it must not wake up beside its successor.
            self._cluster.local.give_up(enlisted.pid)
        self._tell(Gone(engine_id, because, blameless))

    def _lose_cluster(self, because: str) -> None:
        """Give the whole cluster up and have it replaced; the engines are blameless."""
        if not self._cluster.claim():
            return
        log.error("the cluster is replaced: %s", because)
        # Engines that were coming are started again there; for the others the core asks.
        n_coming = self._cluster.local.n_coming if self._cluster.local is not None else 0
        for engine_id in self._roll.ids:
            self._lose(engine_id, because, blameless=True)
        self._cluster.replace(n_coming)

    # --- work ------------------------------------------------------------------------------

    def send(self, engine_id: int, order: Order) -> None:
        """Send an order to an engine. If the engine is gone, its loss is reported instead."""
        self._call(
            engine_id, carry_out, order, then=partial(self._returned, order.batch_id, engine_id)
        )

    def _call(
        self,
        engine_id: int,
        function: Callable[..., Any],
        argument: Any,
        then: Callable[[Callable[[], Any]], None],
    ) -> None:
        client, identity = self._cluster.client, self._roll.identity(engine_id)
        if client is None or identity is None:
            self._lose(engine_id, "its process died")
            return  # its loss takes with it what was to be sent
        try:
            call(client, identity, function, argument, then=then)
        except Exception as error:
            log.warning("engine %s takes no orders: %s", engine_id, error)
            self._lose(engine_id, f"it takes no orders: {error}")

    def _returned(
        self,
        batch_id: int,
        engine_id: int,
        answer: Callable[[], BatchReport | Prepared | Refitted | TaskFailure],
    ) -> None:
        try:
            outcome = answer()
        except ipp.error.RemoteError as error:
            if error.ename == "EngineError":
                self._lose(engine_id, _SILENT)
            else:
                text = "\n".join([str(error), *(error.traceback or "").splitlines()])
                self._tell(Refused(batch_id, text, error.ename == "KeyboardInterrupt"))
        except Exception as error:
            self._tell(Refused(batch_id, f"{type(error).__name__}: {error}", False))
        else:
            self._tell(Returned(batch_id, outcome))

    def collect(self, engine_id: int, batches: Mapping[int, str]) -> None:
        """Ask an engine for the outcomes of batches that an earlier scheduler sent there.

        It answers when it is done with them: with their outcomes, or, for those that never reached
        it, that they are not begun.

        Parameters
        ----------
        batches : dict of int to str
            See `workers.orders.report_kept`.
        """
        then = partial(self._collected, engine_id, tuple(batches))
        self._call(engine_id, report_kept, dict(batches), then=then)

    def _collected(
        self, engine_id: int, batch_ids: Sequence[int], answer: Callable[[], dict[int, Any]]
    ) -> None:
        kept: dict[int, Any] = {}
        try:
            kept = answer()
        except ipp.error.RemoteError as error:
            if error.ename == "EngineError":
                self._lose(engine_id, _SILENT)
                return
            log.warning("engine %d does not tell what it did: %s", engine_id, error)
        except Exception as error:
            log.warning("engine %d does not tell what it did: %s", engine_id, error)
        for batch_id in batch_ids:
            if batch_id in kept:
                self._tell(Returned(batch_id, kept[batch_id]))
            else:
                self._tell(Refused(batch_id, "it never reached the engine", interrupted=True))

    def interrupt(self, engine_id: int) -> None:
        """Send the engine a SIGINT: what runs there as Python code stops."""
        self._signal(engine_id, signal.SIGINT)

    def kill(self, engine_id: int) -> None:
        """End the engine's process at once."""
        self._signal(engine_id, signal.SIGKILL)

    def _signal(self, engine_id: int, number: signal.Signals) -> None:
        enlisted, client = self._roll.get(engine_id), self._cluster.client
        if enlisted is None:
            return
        if enlisted.pid is not None and self._cluster.local is not None:
            self._cluster.local.signal(enlisted.pid, number)
        elif client is not None:
            with contextlib.suppress(Exception):  # it may be gone: that is noticed elsewhere
                client.send_signal(number, targets=enlisted.number, block=False)
