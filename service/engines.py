"""The engines: start, find, welcome, send to, interrupt, end.

Everything that knows ipyparallel's client is here. What happens at engines reaches the daemon as
facts through one callable, from whichever thread noticed it; nothing here decides anything about
tasks.

Batches go to one engine by name (a direct view), never through the load-balanced view: the
scheduler knows what runs where. ipyparallel is never asked to retry. Of a local engine's death the
fork server tells at once, of any other the controller, when heartbeats stay away.
"""

import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import psutil

from schemas.settings import Settings
from schemas.task import (
    BatchReport,
    EngineReport,
    Order,
    Prepared,
    Refitted,
    TaskFailure,
)
from service.calls import call, ignore_output
from service.handover import KnownEngine
from service.localcluster import Ended, LocalCluster, ServerGone
from service.memory import available_memory, total_memory
from workers.orders import carry_out, report_kept
from workers.welcome import welcome

log = logging.getLogger("foldq.engines")

#: Seconds between two looks at what need not be looked at in every turn.
_CARE_PERIOD = 1.0

#: Seconds that an engine may take from its fork to its joining.
_JOIN_PATIENCE = 60.0

#: Seconds that a controller may take to come up.
_CONTROLLER_PATIENCE = 30.0

#: Share of the memory below which the largest engine is ended, before the machine stands still.
_LEAST_MEMORY = 0.03

#: Why an engine is given up whose end nobody saw.
_SILENT = "it stopped answering"


@dataclass(frozen=True, slots=True)
class Welcomed:
    """An engine answered the welcome."""

    number: int
    identity: str
    report: EngineReport


@dataclass(frozen=True, slots=True)
class Gone:
    """An engine that was enlisted is no longer there; blameless when its controller was lost."""

    engine_id: int
    because: str
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class NeverCame:
    """An engine process ended before it joined."""

    because: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A batch came back."""

    batch_id: int
    outcome: BatchReport | Prepared | Refitted | TaskFailure


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch could not be carried out at all: its order did not even start to run there."""

    batch_id: int
    error: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class ClusterFailed:
    """The cluster could not be started or reached."""

    because: str


Fact = Welcomed | Gone | NeverCame | Returned | Refused | ClusterFailed


class Engines:
    """The cluster as the daemon uses it.

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
        self._cluster: LocalCluster | None = None
        if not settings.cluster.is_running:
            self._cluster = cluster or LocalCluster(directory, settings)
            self._cluster.tell = self._process_event
        self._client: ipp.Client | None = None
        self._identities: dict[int, str] = {}  # of the engines that calls may be made to
        self._ids: dict[int, int] = {}  # ipyparallel's number -> our engine id
        self._numbers: dict[int, int] = {}
        self._pids: dict[int, int] = {}  # our engine id -> process, for engines of our own
        self._greeted: set[int] = set()
        self._ended_because: dict[int, str] = {}
        self._lock = threading.RLock()  # what happens is noticed by several threads
        self._stopping = False
        self._replacing = False
        self._next_care = 0.0
        self._last_care = 0.0
        self._hub_heard = 0.0
        # What takes time (starting, connecting) is done one after the other, beside the loop.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")

    @property
    def is_local(self) -> bool:
        """Whether the engines are this scheduler's own processes, to be replaced when they die."""
        return self._cluster is not None

    @property
    def name(self) -> str:
        """What the records call this cluster."""
        if self._cluster is not None:
            return self._cluster.name
        cluster = self._settings.cluster
        return str(cluster.connection_file or cluster.cluster_id or cluster.profile)

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
        if self._cluster is not None:
            if not self._cluster.attach():
                return set()
        elif not known:
            return set()
        try:
            self._connect()
        except Exception as error:
            log.warning("the cluster of the last scheduler cannot be reached: %s", error)
            self._give_up_cluster()
            return set()
        return {engine.id for engine in known if self._recognise(engine)}

    def _recognise(self, engine: KnownEngine) -> bool:
        assert self._client is not None
        # A number may be another engine's after a restart of the controller; the identity is not.
        present = self._client._engines.get(engine.number)
        if engine.cluster != self.name or present is None or present != engine.identity:
            return False
        self._identities[engine.number] = str(present)
        self._greeted.add(engine.number)
        self._register(engine.number, engine.id, engine.host, engine.pid)
        return True

    def start(self) -> None:
        """Begin to start or reach the cluster, and return at once: engines report as they come."""
        self._starter.submit(self._start)

    def _start(self) -> None:
        try:
            if self._client is None:
                self._start_cluster(self._settings.engines)
            elif self._cluster is not None:
                running = [pid for pid, role in self._cluster.roles.items() if role == "engine"]
                joined = set(self._pids.values())
                self._cluster.starting.update(
                    {pid: time.monotonic() for pid in running if pid not in joined}
                )
                for _ in range(self._settings.engines - self._cluster.n_engines):
                    self._cluster.start_engine()
                if len(running) > self._settings.engines:
                    log.info(
                        "%d engines are still there, more than the %d asked for: they stay,"
                        " and those that die are not replaced",
                        len(running),
                        self._settings.engines,
                    )
        except Exception as error:
            self._failed_to_start(error)

    def _start_cluster(self, n_engines: int) -> None:
        if self._cluster is not None and not self._stopping:
            self._cluster.launch()
            self._await_connection_file(self._cluster)
            for _ in range(n_engines - self._cluster.n_engines):
                self._cluster.start_engine()
        if not self._stopping:
            self._connect()

    def _failed_to_start(self, error: Exception) -> None:
        if not self._stopping:
            self._give_up_cluster()
            self._tell(ClusterFailed(f"{type(error).__name__}: {error}"))

    def _await_connection_file(self, cluster: LocalCluster) -> None:
        deadline = time.monotonic() + _CONTROLLER_PATIENCE
        while not cluster.is_reachable:
            if self._stopping:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the controller did not come up")
            time.sleep(0.02)

    def _connect(self) -> None:
        where: dict[str, Any] = {}
        if self._cluster is not None:
            where["connection_info"] = str(self._cluster.connection_file)
        else:
            cluster = self._settings.cluster
            if cluster.connection_file is not None:
                where["connection_info"] = str(cluster.connection_file)
            if cluster.profile is not None:
                where["profile"] = cluster.profile
            if cluster.cluster_id is not None:
                where["cluster_id"] = cluster.cluster_id
        client = ipp.Client(**where)
        ignore_output(client)
        self._hub_heard = time.monotonic()
        self._client = client
        threading.Thread(target=self._watch_hub, args=(client,), name="hub", daemon=True).start()

    def start_one(self) -> None:
        """Start one more local engine."""
        self._starter.submit(self._start_one)

    def _start_one(self) -> None:
        if self._cluster is not None and self._client is not None and not self._stopping:
            if self._cluster.n_engines >= self._settings.engines:
                return  # the last scheduler had more of them
            try:
                self._cluster.start_engine()
            except OSError as error:
                self._tell(NeverCame(f"an engine could not be started: {error}"))

    def stop(self) -> None:
        """Leave an external cluster; end a local one, whatever state its processes are in."""
        self._stopping = True
        self._starter.shutdown(wait=True, cancel_futures=True)
        self._disconnect()
        if self._cluster is not None:
            self._cluster.end()

    # --- coming and going --------------------------------------------------------------------

    def poll(self) -> None:
        """Notice what changed since the last call: engines that came or went, a silent cluster."""
        client = self._client
        if client is None or self._replacing:
            return
        present = set(client.ids)
        for number in present - self._greeted:
            self._greet(client, number)
        for number in self._greeted - present:
            with self._lock:
                self._greeted.discard(number)
                self._identities.pop(number, None)
                engine_id = self._ids.get(number)
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
            self._hub_heard = now
            if self._cluster is not None:
                self._cluster.excuse()
        if now - self._hub_heard > patience:
            self._lose_cluster(f"the controller did not answer for {patience:g} s")
        elif self._cluster is not None:
            self._cluster.ping()
            if self._cluster.silent_for > patience:
                self._lose_cluster(f"the engines' parent process was silent for {patience:g} s")
                return
            for pid, since in list(self._cluster.starting.items()):
                if now - since > _JOIN_PATIENCE:
                    self._cluster.signal(pid, signal.SIGKILL)
            self._save_memory()

    def _save_memory(self) -> None:
        """End the largest engine when the machine is about to run out of memory."""
        if not self._pids or available_memory() > _LEAST_MEMORY * total_memory():
            return
        sizes: dict[int, int] = {}
        for pid in list(self._pids.values()):
            with contextlib.suppress(psutil.Error):
                sizes[pid] = psutil.Process(pid).memory_info().rss
        if sizes and self._cluster is not None:
            largest = max(sizes, key=lambda pid: sizes[pid])
            because = f"ended: the machine ran out of memory, it used {sizes[largest] / 1e9:.1f} GB"
            self._ended_because[largest] = because
            self._cluster.signal(largest, signal.SIGKILL)

    def _watch_hub(self, client: ipp.Client) -> None:
        """Ask the controller for a sign of life, again and again: only its answer counts."""
        queue_status = client.queue_status
        while client is self._client and not self._stopping:
            with contextlib.suppress(Exception):  # an answer that complains is an answer
                queue_status()
            if client is self._client:
                self._hub_heard = time.monotonic()
            time.sleep(_CARE_PERIOD)

    def _process_event(self, event: Ended | ServerGone) -> None:
        """Take in what the fork server tells of its processes (from its own thread)."""
        if self._stopping or self._replacing:
            return
        match event:
            case ServerGone():
                self._lose_cluster("the engines' parent process died")
            case Ended(_, "controller", how):
                self._lose_cluster(f"the controller died: {how}")
            case Ended(pid, _, how):
                assert self._cluster is not None
                with self._lock:
                    starting = self._cluster.starting.pop(pid, None)
                    engine_id = next((e for e, p in self._pids.items() if p == pid), None)
                if engine_id is not None:
                    self._lose(engine_id, self._why_ended(pid, how))
                elif starting is not None:
                    self._tell(NeverCame(f"an engine process ended while starting: {how}"))

    def _why_ended(self, pid: int, how: str) -> str:
        because = self._ended_because.pop(pid, None)
        return because or f"its process {pid} on {socket.gethostname()} ended: {how}"

    def _greet(self, client: ipp.Client, number: int) -> None:
        self._greeted.add(number)
        identity = self._identities[number] = str(client._engines[number])
        call(client, identity, welcome, then=partial(self._welcomed, client, number, identity))

    def _welcomed(
        self, client: ipp.Client, number: int, identity: str, answer: Callable[[], EngineReport]
    ) -> None:
        if client is not self._client:
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
        if number not in self._greeted:
            self._lose(engine_id, "its process died as it joined")

    def _register(self, number: int, engine_id: int, host: str, pid: int) -> None:
        with self._lock:
            self._ids[number] = engine_id
            self._numbers[engine_id] = number
            cluster = self._cluster
            if cluster is None or host != socket.gethostname():
                return
            cluster.starting.pop(pid, None)
            self._pids[engine_id] = pid
            if pid not in cluster.roles:  # it ended between its answer and now
                self._lose(engine_id, "its process died as it joined")

    def _lose(self, engine_id: int, because: str, *, blameless: bool = False) -> None:
        """Tell once that an engine is gone, whoever noticed."""
        with self._lock:
            number = self._numbers.pop(engine_id, None)
            if number is None:
                return
            self._ids.pop(number, None)
            pid = self._pids.pop(engine_id, None)
        if pid is not None and self._cluster is not None:
            # It may be frozen only: it must not wake up beside its successor.
            self._cluster.give_up(pid)
        self._tell(Gone(engine_id, because, blameless))

    # --- the loss of everything ------------------------------------------------------------

    def _lose_cluster(self, because: str) -> None:
        """Give the whole cluster up and have it replaced; the engines are blameless."""
        with self._lock:
            if self._replacing or self._stopping:
                return
            self._replacing = True
        log.error("the cluster is replaced: %s", because)
        # Engines that were coming are started again here; for the others the core asks.
        n_coming = self._cluster.n_coming if self._cluster is not None else 0
        for engine_id in list(self._numbers):
            self._lose(engine_id, because, blameless=True)
        self._starter.submit(self._replace_cluster, n_coming)

    def _replace_cluster(self, n_engines: int) -> None:
        try:
            self._give_up_cluster()
            self._start_cluster(n_engines)
        except Exception as error:
            self._failed_to_start(error)
        finally:
            self._replacing = False

    def _give_up_cluster(self) -> None:
        self._disconnect()
        if self._cluster is not None:
            self._cluster.end_processes()

    def _disconnect(self) -> None:
        """Let go of the client, which may never come back from closing, and of what it knew."""
        client, self._client = self._client, None
        with self._lock:
            for known in (self._identities, self._ids, self._numbers, self._pids, self._greeted):
                known.clear()
        if client is not None:
            closing = threading.Thread(target=_close, args=(client,), name="closing", daemon=True)
            closing.start()
            closing.join(timeout=2)

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
        client, identity = self._client, self._identities.get(self._numbers.get(engine_id, -1))
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
        pid, target, client = self._pids.get(engine_id), self._numbers.get(engine_id), self._client
        if pid is not None and self._cluster is not None:
            self._cluster.signal(pid, number)
        elif target is not None and client is not None:
            with contextlib.suppress(Exception):  # it may be gone: that is noticed elsewhere
                client.send_signal(number, targets=target, block=False)


def _close(client: ipp.Client) -> None:
    with contextlib.suppress(Exception):
        client.close(linger=0)
