"""The cluster on the scheduler's own machine, as the fork server runs it.

The fork server (`workers.forkserver`) outlives a scheduler that dies; the next one connects to it
again and finds controller and engines where the last one left them.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

import schemas
from schemas.settings import Settings
from service.memory import total_memory
from workers import forkserver
from workers.atomic import create
from workers.failpoints import failpoint

log = logging.getLogger("foldq.cluster")

#: One thread each for the numerical libraries, unless a job asks for more: engines fill the cores.
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
}

#: Missed heartbeats after which the controller gives an engine up; the period is a setting.
_MAX_MISSES = 40

#: Share of the machine's memory that one engine may use, if the settings do not say.
_MEMORY_SHARE = 0.8

#: Seconds that the fork server may take to come up, and to answer once it is up.
_START_PATIENCE = 30.0
_HELLO_PATIENCE = 5.0

#: Seconds that it may take to end its processes.
_END_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the cluster ended.

    Attributes
    ----------
    how : str
        "killed by SIGKILL", "exit code 1".
    """

    pid: int
    role: str
    how: str


@dataclass(frozen=True, slots=True)
class ServerGone:
    """The fork server itself is gone, and with it all its processes."""


class LocalCluster:
    """One controller and its engines, as processes on this machine.

    Parameters
    ----------
    directory : Path
        For the socket, the connection files and the log; owner only.
    settings : Settings
    tell : callable
        Takes `Ended` and `ServerGone`; called from a thread of its own.
    """

    def __init__(
        self, directory: Path, settings: Settings, tell: Callable[[Ended | ServerGone], None]
    ):
        self._directory = directory
        self._settings = settings
        self._tell = tell
        self._connection: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._cluster_id = ""
        self._last_heard = 0.0
        #: The processes that run, and what they are.
        self.roles: dict[int, str] = {}
        #: When an engine that has not joined yet was forked (monotonic seconds).
        self.starting: dict[int, float] = {}
        self._n_asked = 0  # engines asked for and not forked yet

    @property
    def name(self) -> str:
        """What the records call this cluster; another controller is another cluster."""
        return self._cluster_id

    @property
    def connection_file(self) -> Path:
        """Where a client finds how to reach the controller."""
        return (
            self._directory
            / "profile"
            / "security"
            / f"ipcontroller-{self._cluster_id}-client.json"
        )

    @property
    def n_coming(self) -> int:
        """Engines that were asked for and have not joined yet."""
        return self._n_asked + len(self.starting)

    @property
    def n_engines(self) -> int:
        """Engines that run or were asked for."""
        return self._n_asked + sum(role == "engine" for role in self.roles.values())

    @property
    def is_reachable(self) -> bool:
        """Whether the controller has written down how to reach it, to the end."""
        try:
            json.loads(self.connection_file.read_bytes())
        except (OSError, ValueError):
            return False
        return True

    def excuse(self) -> None:
        """Let the silence until now not count: nobody listened."""
        self._last_heard = max(self._last_heard, time.monotonic())

    @property
    def silent_for(self) -> float:
        """Seconds since the fork server said anything."""
        return time.monotonic() - self._last_heard

    # --- start and end -------------------------------------------------------------------------

    def attach(self) -> bool:
        """Connect to the fork server that an earlier scheduler left, if it still fits.

        Returns
        -------
        bool
            Whether its controller runs. Everything that does not fit is ended.
        """
        hello = self._connect()
        if hello is not None:
            self.roles = {entry["pid"]: entry["role"] for entry in hello["processes"]}
            if hello["key"] == self._key and "controller" in self.roles.values():
                self._cluster_id = hello["cluster"]
                return True
            if hello["key"] != self._key:
                log.warning(
                    "the engines that still run were started by another version of foldq or Python,"
                    " or with other settings (heartbeat, engine_memory, cluster): they are ended"
                )
        self._abandon()
        return False

    def launch(self) -> None:
        """Start a controller, and the fork server first if there is none.

        Raises
        ------
        OSError, TimeoutError
            If the fork server does not come up.
        """
        cluster = self._settings.cluster
        if cluster.is_exposed and not cluster.uses_curve:
            log.warning(
                "the controller listens at %s without encryption, as the settings say: whoever can "
                "listen in on the network can read data and results",
                cluster.listen,
            )
        if self._connection is None:
            self._start_server()
        self._cluster_id = f"foldq-{uuid4().hex[:12]}"
        arguments = [
            *self._common_arguments(),
            f"--ip={self._settings.cluster.listen}",
            "--nodb",  # the engines keep what a next scheduler may ask for
            "--usethreads",
            f"--HeartMonitor.period={self._settings.heartbeat}",
            f"--HeartMonitor.max_heartmonitor_misses={_MAX_MISSES}",
            f"--IPController.enable_curve={self._settings.cluster.uses_curve}",
        ]
        self._ask(do="controller", cluster=self._cluster_id, arguments=arguments)
        failpoint("cluster.controller.asked")

    def start_engine(self) -> None:
        """Have one more engine forked."""
        arguments = [*self._common_arguments(), "--IPEngine.enable_nanny=False"]
        self._ask(do="engine", arguments=arguments, memory=self.engine_memory)
        self._n_asked += 1
        failpoint("cluster.engine.asked")

    @property
    def engine_memory(self) -> int:
        """Bytes that one engine may use."""
        return self._settings.engine_memory or int(_MEMORY_SHARE * total_memory())

    def _common_arguments(self) -> list[str]:
        return [
            f"--profile-dir={self._directory / 'profile'}",
            f"--cluster-id={self._cluster_id}",
            "--log-level=ERROR",
        ]

    def _start_server(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The profile would be made by two processes at once, and one of them would fail.
        (self._directory / "profile").mkdir(mode=0o700, exist_ok=True)
        environment = {
            **os.environ,
            **_ONE_THREAD,
            # ipyparallel and IPython write below here only, not into the user's home.
            "IPYTHONDIR": str(self._directory / "ipython"),
        }
        log_file = self._directory / "forkserver.log"
        log_file.unlink(missing_ok=True)
        with create(log_file) as output:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "workers.forkserver", str(self._directory)),
                    *("--key", self._key, "--grace", str(self._settings.grace)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        failpoint("cluster.fork_server.started")
        deadline = time.monotonic() + _START_PATIENCE
        while (hello := self._connect()) is None or hello["key"] != self._key:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"the cluster's parent process did not come up: see {log_file}")
            time.sleep(0.02)
        if hello["pid"] != self._server.pid:
            # One was coming up already, from a scheduler that was killed as it started it.
            self._server.kill()
            self._server.wait()

    def end(self) -> None:
        """End every process, the fork server too, whatever state they are in."""
        with contextlib.suppress(OSError):
            self._ask(do="quit")
            failpoint("cluster.quit.asked")
            self._await(lambda: self._connection is None)
        self._abandon()

    def end_processes(self) -> None:
        """End controller and engines. The fork server stays; if it does not answer, it goes too."""
        try:
            self._ask(do="end")
        except OSError:
            self._abandon()
            return
        if not self._await(lambda: not self.roles or self._connection is None):
            self._abandon()
        self._forget_processes()

    def _await(self, condition: Callable[[], bool]) -> bool:
        """Wait for what the fork server does; whether it did it in time."""
        deadline = time.monotonic() + _END_PATIENCE
        while not condition():
            if time.monotonic() > deadline or self.silent_for > self._settings.controller_timeout:
                return False
            time.sleep(0.02)
        return True

    def _abandon(self) -> None:
        """Let go of the fork server and see to it that nothing written down stays alive."""
        self._close()
        end_written_down(self._directory / forkserver.BOOK)
        if self._server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(_END_PATIENCE)
        self._forget_processes()

    def _forget_processes(self) -> None:
        self.roles.clear()
        self.starting.clear()
        self._n_asked = 0

    # --- the fork server -----------------------------------------------------------------------

    @property
    def _key(self) -> str:
        """Say what decides whether processes of an earlier scheduler can be used."""
        settings = self._settings
        parts = (
            *(schemas.__version__, platform.python_version(), sys.executable),
            *(settings.heartbeat, settings.cluster.listen, settings.cluster.uses_curve),
            self.engine_memory,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def _connect(self) -> dict[str, Any] | None:
        """Connect and return the fork server's greeting; None if there is none that answers."""
        try:
            connection = forkserver.connect(self._directory / forkserver.SOCKET)
        except OSError:
            return None
        connection.settimeout(_HELLO_PATIENCE)
        lines = connection.makefile("rb")
        try:
            hello: dict[str, Any] = json.loads(lines.readline())
        except (OSError, ValueError):
            connection.close()
            return None
        connection.settimeout(None)
        self._connection, self._last_heard = connection, time.monotonic()
        threading.Thread(
            target=self._listen, args=(connection, lines), name="cluster", daemon=True
        ).start()
        return hello

    def _listen(self, connection: socket.socket, lines: Any) -> None:
        try:
            for line in lines:
                self._last_heard = time.monotonic()
                self._heard(json.loads(line))
        except (OSError, ValueError):
            pass
        if self._connection is connection:
            self._close()
            self._tell(ServerGone())

    def _heard(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "started":
                self.roles[event["pid"]] = event["role"]
                if event["role"] == "engine":
                    self._n_asked -= 1
                    self.starting[event["pid"]] = time.monotonic()
            case "busy":
                self._last_heard += event["seconds"]
            case "ended":
                self.roles.pop(event["pid"], None)
                self._tell(Ended(event["pid"], event["role"], _how(event)))

    def _ask(self, **request: Any) -> None:
        with self._send_lock:
            if self._connection is None:
                raise ConnectionError("the cluster's parent process is gone")
            self._connection.sendall(json.dumps(request).encode() + b"\n")

    def give_up(self, pid: int) -> None:
        """End an engine that is lost, and count it no more: it may be frozen."""
        self.roles.pop(pid, None)
        self.signal(pid, signal.SIGKILL)

    def ping(self) -> None:
        """Ask for a sign of life; see `silent_for`."""
        with contextlib.suppress(OSError):
            self._ask(do="ping")

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to one of the processes; nothing happens if it ended meanwhile."""
        with contextlib.suppress(OSError):
            self._ask(do="signal", pid=pid, signal=number)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _how(event: dict[str, Any]) -> str:
    if event["signal"] is None:
        return f"exit code {event['code']}"
    try:
        return f"killed by {signal.Signals(event['signal']).name}"
    except ValueError:
        return f"killed by signal {event['signal']}"


def end_written_down(book: Path) -> None:
    """End the processes that a fork server wrote down and that still run, with their groups.

    A number alone would not do: the system gives it to another process some day, so the start time
    has to be the same.
    """
    try:
        entries = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return
    alive = []
    for entry in entries:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["created"]) < 1.0:
                alive += [process, *process.children(recursive=True)]
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=2)
    book.unlink(missing_ok=True)
