"""The cluster on the scheduler's own machine, as the fork server runs it.

The fork server (`workers.forkserver`) outlives a scheduler that dies; the next one connects to it
again and finds controller and engines where the last one left them.
"""

import contextlib
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from schemas.settings import Settings
from service.blueprint import Blueprint
from service.serverprocess import LOG, ServerProcess, end_written_down
from workers import forkserver
from workers.failpoints import failpoint

log = logging.getLogger("foldq.cluster")

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
        self,
        directory: Path,
        settings: Settings,
        tell: Callable[[Ended | ServerGone], None] = lambda _: None,
    ):
        self._directory = directory
        self._settings = settings
        self.tell = tell
        self._connection: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._blueprint = Blueprint(directory, settings)
        self._server: ServerProcess | None = None
        self._cluster_id = ""
        self._last_heard = 0.0
        self._busy_until = 0.0
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
        return self._blueprint.connection_file(self._cluster_id)

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
        """Seconds since the fork server said anything, or was done with what keeps it busy."""
        return time.monotonic() - max(self._last_heard, self._busy_until)

    # --- start and end -------------------------------------------------------------------------

    def attach(self) -> bool:
        """Connect to the fork server that an earlier scheduler left, if it still fits.

        Returns
        -------
        bool
            Whether its controller runs. Everything that does not fit is ended.
        """
        if self._server is not None:
            return False  # started ahead, because there was none
        hello = self._connect()
        if hello is not None:
            if hello["key"] == self._blueprint.key and self._adopt(hello):
                return True
            if hello["key"] != self._blueprint.key:
                log.warning(
                    "the engines that still run were started by another version of foldq or Python,"
                    " or with other settings (heartbeat, engine_memory, cluster): they are ended"
                )
        self._abandon()
        return False

    def _adopt(self, hello: dict[str, Any]) -> bool:
        """Take over what a fork server has, if a controller is there."""
        roles = {entry["pid"]: entry["role"] for entry in hello["processes"]}
        if "controller" not in roles.values():
            return False
        self.roles, self._cluster_id = roles, hello["cluster"]
        self._n_asked = hello["coming"]
        return True

    def start_ahead(self) -> None:
        """Begin to start fork server, controller and engines, unless there is a fork server.

        Nothing is waited for: `launch` finds them, when the scheduler has come that far. Where this
        cannot be done, `launch` will say so.
        """
        with contextlib.suppress(OSError):
            forkserver.connect(self._directory / forkserver.SOCKET).close()
            return  # an earlier scheduler's: see `attach`
        self._abandon()
        self._cluster_id = _new_id()
        orders = self._blueprint
        engines = [orders.engine(self._cluster_id)] * self._settings.engines
        begin = [orders.controller(self._cluster_id), *engines]
        with contextlib.suppress(OSError):
            self._server = self._spawn_server(begin)

    def end_ahead(self) -> None:
        """End what was started ahead, if no scheduler came to use it."""
        if self._server is not None and self._connection is None:
            self._abandon()

    def launch(self) -> None:
        """Start a controller, and the fork server first if there is none.

        What was started ahead, or by a scheduler that was killed as it started, is taken over.

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
            hello = self._start_server()
            if hello is not None and self._adopt(hello):
                now = time.monotonic()
                self.starting = {pid: now for pid, role in self.roles.items() if role == "engine"}
                return
        self._cluster_id = _new_id()
        self._ask(**self._blueprint.controller(self._cluster_id))
        failpoint("cluster.controller.asked")

    def start_engine(self) -> None:
        """Have one more engine forked."""
        self._ask(**self._blueprint.engine(self._cluster_id))
        self._n_asked += 1
        failpoint("cluster.engine.asked")

    def _start_server(self) -> dict[str, Any] | None:
        """Start the fork server, or wait for the one started ahead; return its greeting."""
        if self._server is None or not self._server.is_running:
            self._server = self._spawn_server()
        deadline = time.monotonic() + _START_PATIENCE
        while (hello := self._connect()) is None or hello["key"] != self._blueprint.key:
            if not self._server.is_running or time.monotonic() > deadline:
                told = self._directory / LOG
                raise TimeoutError(f"the cluster's parent process did not come up: see {told}")
            time.sleep(0.02)
        if hello["pid"] != self._server.pid:
            # One was coming up already, from a scheduler that was killed as it started it.
            self._end_server()
        return hello

    def _spawn_server(self, begin: Sequence[dict[str, Any]] = ()) -> ServerProcess:
        server = ServerProcess(self._directory, self._blueprint.key, self._settings.grace, begin)
        failpoint("cluster.fork_server.started")
        return server

    def _end_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()

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
        self._end_server()
        self._forget_processes()

    def _forget_processes(self) -> None:
        self.roles.clear()
        self.starting.clear()
        self._n_asked = 0

    # --- the fork server -----------------------------------------------------------------------

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
        self._busy_until = 0.0
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
            self.tell(ServerGone())

    def _heard(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "started":
                self.roles[event["pid"]] = event["role"]
                if event["role"] == "engine":
                    self._busy_until = 0.0  # all is imported
                    self._n_asked -= 1
                    self.starting[event["pid"]] = time.monotonic()
            case "busy":
                # Not over with its next word: between two imports it answers, if it is asked.
                self._busy_until = time.monotonic() + event["seconds"]
            case "ended":
                self.roles.pop(event["pid"], None)
                self.tell(Ended(event["pid"], event["role"], _how(event)))

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


def _new_id() -> str:
    return f"foldq-{uuid4().hex[:12]}"


def _how(event: dict[str, Any]) -> str:
    if event["signal"] is None:
        return f"exit code {event['code']}"
    try:
        return f"killed by {signal.Signals(event['signal']).name}"
    except ValueError:
        return f"killed by signal {event['signal']}"
