"""The engines: start, find, welcome, send to, interrupt, end.

Everything that knows ipyparallel is here. What happens at engines reaches the daemon as facts
through one callable, from whichever thread noticed it; nothing here decides anything.

Batches go to one engine by name (a direct view), never through the load-balanced view: a death is
then known at once, and the scheduler knows what runs where. ipyparallel is never asked to retry.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipyparallel as ipp

from schemas.settings import Settings
from schemas.task import BatchReport, EngineReport, Order, Prepared, Refitted, TaskFailure
from service.processes import ProcessBook
from workers.orders import carry_out
from workers.welcome import welcome

log = logging.getLogger("foldq.engines")

#: One thread each for the numerical libraries, unless a job asks for more: engines fill the cores.
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
}

#: Missed heartbeats after which the controller gives an engine up; the period is a setting.
_MAX_MISSES = 40


@dataclass(frozen=True, slots=True)
class Welcomed:
    """An engine answered the welcome."""

    number: int
    report: EngineReport


@dataclass(frozen=True, slots=True)
class Gone:
    """An engine that was enlisted is no longer there."""

    engine_id: int
    because: str


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
        Where a local cluster keeps its connection files and logs (owner only).
    tell : callable
        Takes each `Fact`; called from several threads.
    """

    def __init__(self, settings: Settings, directory: Path, tell: Callable[[Fact], None]):
        self._settings = settings
        self._directory = directory
        self._tell = tell
        self._book = ProcessBook(directory / "processes.json")
        self._client: ipp.Client | None = None
        self._cluster: ipp.Cluster | None = None
        self._views: dict[int, ipp.DirectView] = {}
        self._ids: dict[int, int] = {}  # ipyparallel's number -> our engine id
        self._numbers: dict[int, int] = {}
        self._greeted: set[int] = set()
        self._lock = threading.Lock()  # an engine's loss is noticed by two threads
        self._waiting: dict[int, ipp.AsyncResult] = {}
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)
        self._thread.start()

    @property
    def is_local(self) -> bool:
        """Whether the engines are this scheduler's own processes, to be replaced when they die."""
        return not self._settings.cluster.is_running

    @property
    def name(self) -> str:
        """What the records call this cluster."""
        cluster = self._settings.cluster
        named = cluster.connection_file or cluster.cluster_id or cluster.profile
        return str(named) if named is not None else f"local-{os.getpid()}"

    # --- start and stop --------------------------------------------------------------------

    def start(self) -> None:
        """Begin to start or reach the cluster, and return at once: engines report as they come."""
        self._book.end_strays()
        self._submit(self._start())

    async def _start(self) -> None:
        try:
            if self.is_local:
                await self._start_local()
            else:
                self._client = await asyncio.to_thread(self._connect_external)
        except Exception as error:
            if not self._stopping:
                log.error("the cluster could not be started: %s", error)
                self._tell(ClusterFailed(f"{type(error).__name__}: {error}"))

    async def _start_local(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # ipyparallel and IPython write below here only, not into the user's home.
        os.environ["IPYTHONDIR"] = str(self._directory / "ipython")
        self._cluster = ipp.Cluster(
            profile_dir=str(self._directory / "profile"),
            cluster_id=f"foldq-{os.getpid()}",
            controller_ip="127.0.0.1",
            controller_args=[
                f"--HeartMonitor.period={self._settings.heartbeat}",
                f"--HeartMonitor.max_heartmonitor_misses={_MAX_MISSES}",
            ],
            delay=0,
            shutdown_atexit=False,
            log_level=logging.ERROR,
        )
        await self._cluster.start_controller()
        self._book.add(self._cluster.controller.pid, "controller")
        for _ in range(self._settings.engines):
            await self._start_engine()
        self._client = await self._cluster.connect_client()

    async def _start_engine(self) -> None:
        cluster = self._cluster
        if cluster is None or self._stopping:
            return
        set_id = await cluster.start_engines(1, environment=dict(_ONE_THREAD))
        engine_set = cluster.engines[set_id]
        for launcher in engine_set.launchers.values():
            pid = launcher.pid
            self._book.add(pid, "engine")
            launcher.on_stop(lambda data, pid=pid: self._process_ended(pid, data))

    def _process_ended(self, pid: int, data: dict[str, Any]) -> None:
        self._book.remove(pid)
        joined = pid in self._book.joined
        self._book.joined.discard(pid)
        if not joined and not self._stopping:
            code = data.get("exit_code")
            self._tell(NeverCame(f"an engine process ended while starting (exit code {code})"))

    def _connect_external(self) -> ipp.Client:
        cluster = self._settings.cluster
        where: dict[str, Any] = {}
        if cluster.connection_file is not None:
            where["connection_info"] = str(cluster.connection_file)
        if cluster.profile is not None:
            where["profile"] = cluster.profile
        if cluster.cluster_id is not None:
            where["cluster_id"] = cluster.cluster_id
        return ipp.Client(**where)

    def start_one(self) -> None:
        """Start one more local engine."""
        self._submit(self._start_engine())

    def stop(self) -> None:
        """Leave an external cluster; end a local one, whatever state its processes are in."""
        self._stopping = True
        # A start under way must not bring up another process after all are ended below.
        with contextlib.suppress(Exception):
            stopped = asyncio.run_coroutine_threadsafe(self._cancel_starts(), self._loop)
            stopped.result(timeout=5)
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close(linger=0)
        if self.is_local:
            self._book.end_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    async def _cancel_starts(self) -> None:
        """Stop what is starting, at a point where each process started is written down."""
        starts = asyncio.all_tasks() - {asyncio.current_task()}
        for start in starts:
            start.cancel()
        if starts:
            await asyncio.wait(starts, timeout=3)

    # --- coming and going --------------------------------------------------------------------

    def poll(self) -> None:
        """Notice engines that came or went since the last call."""
        if self._client is None:
            return
        present = set(self._client.ids)
        for number in present - self._greeted:
            self._greet(number)
        for number in self._greeted - present:
            self._greeted.discard(number)
            self._views.pop(number, None)
            engine_id = self._ids.get(number)
            if engine_id is not None:
                self._lose(engine_id, "the engine's process died or lost its controller")

    def _greet(self, number: int) -> None:
        assert self._client is not None
        self._greeted.add(number)
        view = self._views[number] = self._client[number]
        pids: tuple[int, ...] = ()
        if self.is_local and self._cluster is not None:
            pids = (self._cluster.controller.pid,)
        result = view.apply_async(
            welcome, os.getpid() if self.is_local else None, pids, self._settings.grace
        )
        result.add_done_callback(lambda future: self._welcomed(number, future))
        self._waiting[-1 - number] = result  # kept alive until it is answered

    def _welcomed(self, number: int, future: "Future[EngineReport]") -> None:
        self._waiting.pop(-1 - number, None)
        try:
            report = future.result()
        except Exception as error:
            # Of a local engine's death its launcher tells; this one lives but cannot be used.
            log.error("engine %s cannot be used: %s", number, error)
            return
        self._book.joined.add(report.pid)
        self._tell(Welcomed(number, report))

    def enlist(self, number: int, engine_id: int) -> None:
        """Give a welcomed engine the number it has in the records: batches may be sent to it."""
        with self._lock:
            self._ids[number] = engine_id
            self._numbers[engine_id] = number
        if number not in self._greeted:
            self._lose(engine_id, "the engine's process died as it joined")

    def _lose(self, engine_id: int, because: str) -> None:
        """Tell once that an engine is gone, whoever noticed."""
        with self._lock:
            number = self._numbers.pop(engine_id, None)
            if number is None:
                return
            del self._ids[number]
        self._tell(Gone(engine_id, because))

    # --- work ------------------------------------------------------------------------------

    def send(self, engine_id: int, order: Order) -> None:
        """Send an order to an engine. If the engine is gone, its loss is reported instead."""
        number = self._numbers.get(engine_id)
        view = self._views.get(number) if number is not None else None
        if view is None:
            self._lose(engine_id, "the engine's process died")
            return  # its loss takes this batch with it
        try:
            result = view.apply_async(carry_out, order)
        except Exception as error:
            log.warning("engine %s takes no orders: %s", engine_id, error)
            self._lose(engine_id, f"the engine takes no orders: {error}")
            return
        self._waiting[order.batch_id] = result
        result.add_done_callback(lambda future: self._returned(order.batch_id, engine_id, future))
        # ipyparallel keeps every message id for ever otherwise.
        view.history.clear()
        if self._client is not None:
            self._client.history.clear()

    def _returned(self, batch_id: int, engine_id: int, future: "Future[Any]") -> None:
        self._waiting.pop(batch_id, None)
        try:
            outcome = future.result()
        except ipp.error.RemoteError as error:
            if error.ename == "EngineError":
                self._lose(engine_id, "the engine's process died")
            else:
                text = "\n".join([str(error), *(error.traceback or "").splitlines()])
                self._tell(Refused(batch_id, text, error.ename == "KeyboardInterrupt"))
        except Exception as error:
            self._tell(Refused(batch_id, f"{type(error).__name__}: {error}", False))
        else:
            self._tell(Returned(batch_id, outcome))

    def interrupt(self, engine_id: int) -> None:
        """Send the engine a SIGINT: what runs there as Python code stops."""
        self._signal(engine_id, signal.SIGINT)

    def kill(self, engine_id: int) -> None:
        """End the engine's process at once."""
        self._signal(engine_id, signal.SIGKILL)

    def _signal(self, engine_id: int, number: signal.Signals) -> None:
        target = self._numbers.get(engine_id)
        if target is None or self._client is None:
            return
        with contextlib.suppress(Exception):  # it may be gone already: that is noticed elsewhere
            self._client.send_signal(number, targets=target, block=False)

    def _submit(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)
