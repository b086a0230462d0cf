"""The parent of a local cluster: one warm process, from which controller and engines are forked.

Starting an engine from nothing takes seconds of imports; a fork of a process that has them all is
there at once, and shares their memory. The fork server is also the one that knows how each of its
processes ended, and that leaves none behind: it ends them all, and itself, when no scheduler has
been connected for the grace time. Without it they are ended by the kernel.

A scheduler talks to it over a Unix socket in the cluster's directory, in lines of JSON:

======================================  ==========================================================
``{"do": "controller", "cluster", "arguments"}``
                                        fork the controller of a cluster with this id
``{"do": "engine", "arguments", "memory"}``
                                        fork an engine that may use so many bytes
``{"do": "signal", "pid", "signal"}``   send a signal to one of the processes, if it still is one
``{"do": "end"}``                       end all processes; the fork server stays
``{"do": "quit"}``                      end all processes and the fork server
``{"do": "ping"}``                      answer with a `pong`
``{"event": "hello", …}``               the state, told to each scheduler that connects: its
                                        processes, and how many engines are still `coming`
``{"event": "busy", "seconds"}``        nothing more will be heard for so long, at most
``{"event": "started", "pid", "role"}``
``{"event": "ended", "pid", "role", "signal", "code"}``
======================================  ==========================================================

This module is run as ``python -m workers.forkserver DIRECTORY``. It has no threads, because only
the thread that forks lives on in the child. What engines need is imported when the first one is
asked for, a package at a time, with a look at the socket in between. With ``--begin`` it starts on
a controller and engines at once, before any scheduler has connected; until one has, it ends with
the process that started it.
"""

import argparse
import contextlib
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import psutil

from workers.deathsignal import die_with, outlive_parent
from workers.welcome import WARM

SOCKET = "forkserver.sock"
BOOK = "processes.json"
LOCK = "forkserver.lock"

#: What engines share, in steps of less than a second each. The last one also knows every estimator:
#: saving the first model would import them all.
SHARED = (
    "ipyparallel.engine.app", "numpy", "scipy.sparse", "scipy.spatial", "scipy.optimize",
    "scipy.stats", "pandas", "workers.engine", *WARM, "workers.saving",
)  # fmt: skip

#: Seconds between SIGTERM and SIGKILL for the controller, which has a child of its own to end.
_PATIENCE = 1.0

#: Seconds that the imports may take on a slow or busy machine.
_WARM_UP_PATIENCE = 120.0

#: Seconds that a fork server waits for another one of its directory to end.
_TAKE_OVER_PATIENCE = 5.0


class ForkServer:
    """Forks, signals and ends the processes of one cluster.

    Parameters
    ----------
    directory : Path
        Where the socket and the list of processes lie.
    key : str
        What the cluster was made for (versions, settings): a scheduler with another key ends it.
    grace : float
        Seconds without a scheduler after which everything is ended.
    begin : sequence of dict
        Requests to carry out before anybody connects.
    """

    def __init__(
        self, directory: Path, key: str, grace: float, begin: Sequence[dict[str, Any]] = ()
    ):
        self._directory = directory
        self._key = key
        self._grace = grace
        self._roles: dict[int, str] = {}  # by process id
        self._cluster: str | None = None  # id of the cluster whose controller was forked last
        self._alone_since = time.monotonic()
        self._client: socket.socket | None = None
        self._received = b""
        self._coming: list[dict[str, Any]] = []  # engines asked for, while imports are to be done
        self._to_import = list(SHARED)
        self._selector = selectors.DefaultSelector()
        self._lock = take_over(directory)
        self._listener = listen(directory / SOCKET)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._wake, wake = socket.socketpair()
        for end in (self._wake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._waker = wake
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._quit())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._write_book()
        for request in begin:
            self._do(request)

    def serve(self) -> NoReturn:
        """Answer schedulers until there is none any more."""
        while True:
            idle = 0.0 if self._coming else min(1.0, self._grace / 4)
            for key, _ in self._selector.select(timeout=idle):
                key.data()
            self._reap()
            if self._coming:
                self._go_on_with_engines()
            if self._client is None and time.monotonic() - self._alone_since > self._grace:
                self._quit()

    # --- the scheduler's end -------------------------------------------------------------------

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None:
            self._hang_up()
        outlive_parent()  # from now on there may be something to keep for the next scheduler
        client.setblocking(True)
        self._client, self._received = client, b""
        self._selector.register(client, selectors.EVENT_READ, partial(self._read, client))
        self._tell(
            event="hello",
            pid=os.getpid(),
            key=self._key,
            cluster=self._cluster,
            coming=len(self._coming),
            processes=[{"pid": pid, "role": role} for pid, role in self._roles.items()],
        )
        self._say_if_busy()

    def _read(self, client: socket.socket) -> None:
        if client is not self._client:
            return  # hung up a moment ago, when the next one came
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._do(json.loads(line))

    def _hang_up(self) -> None:
        if self._client is not None:
            self._selector.unregister(self._client)
            self._client.close()
            self._client = None
            self._alone_since = time.monotonic()

    def _tell(self, **event: Any) -> None:
        if self._client is not None:
            try:
                self._client.sendall(json.dumps(event).encode() + b"\n")
            except OSError:
                self._hang_up()

    # --- what is asked -------------------------------------------------------------------------

    def _do(self, request: dict[str, Any]) -> None:
        match request["do"]:
            case "controller":
                importlib.import_module("workers.controller")
                self._cluster = request["cluster"]
                self._fork("controller", request)
            case "engine":
                self._coming.append(request)
                self._say_if_busy()
                if not self._to_import:
                    self._go_on_with_engines()
            case "signal":
                if request["pid"] in self._roles:  # not reaped: the number is still this process's
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(request["pid"], request["signal"])
            case "ping":
                self._tell(event="pong")
            case "end":
                self._end_all()
            case "quit":
                self._quit()

    def _say_if_busy(self) -> None:
        if self._coming and self._to_import:
            self._tell(event="busy", seconds=_WARM_UP_PATIENCE)

    def _go_on_with_engines(self) -> None:
        """Import the next of what engines share; when all is there, fork those that wait for it."""
        if self._to_import:
            gc.disable()  # it would go through all that is imported, again and again
            importlib.import_module(self._to_import.pop(0))
            gc.enable()
        if not self._to_import:
            gc.freeze()  # nor should engines go through it, and copy what they share
            coming, self._coming = self._coming, []
            for request in coming:
                self._fork("engine", request)

    def _fork(self, role: str, request: dict[str, Any]) -> None:
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child(parent)
                _run(role, request["arguments"], request.get("memory"))
            except SystemExit as end:
                os._exit(end.code if isinstance(end.code, int) else 1)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        self._roles[pid] = role
        self._write_book()
        self._tell(event="started", pid=pid, role=role)

    def _become_child(self, parent: int) -> None:
        """Let go of everything that is the fork server's own."""
        os.setsid()
        die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        os.close(self._lock)
        for open_socket in (self._listener, self._client, self._wake, self._waker):
            if open_socket is not None:
                open_socket.close()

    # --- children ------------------------------------------------------------------------------

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass

    def _reap(self) -> None:
        while self._roles:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if pid == 0:
                return
            role = self._roles.pop(pid, "process")
            # What it started itself shares its group, and has no other parent that ends it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._write_book()
            by_signal = os.WIFSIGNALED(status)
            self._tell(
                event="ended",
                pid=pid,
                role=role,
                signal=os.WTERMSIG(status) if by_signal else None,
                code=None if by_signal else os.waitstatus_to_exitcode(status),
            )

    def _end_all(self) -> None:
        """End every process: engines at once, the controller with a little time to clean up."""
        self._coming.clear()
        for pid, role in self._roles.items():
            # One that is stopped must wake up to hear the polite signal.
            _signal_group(pid, signal.SIGTERM if role == "controller" else signal.SIGKILL)
            _signal_group(pid, signal.SIGCONT)
        deadline = time.monotonic() + _PATIENCE
        while self._roles and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        for pid in self._roles:
            _signal_group(pid, signal.SIGKILL)
        while self._roles:
            self._reap()
            time.sleep(0.01)

    def _quit(self) -> NoReturn:
        self._end_all()
        for name in (SOCKET, BOOK):
            (self._directory / name).unlink(missing_ok=True)
        os._exit(0)

    def _write_book(self) -> None:
        """Write down every process with its start time, for whoever must end them by hand."""
        entries = []
        for pid, role in {os.getpid(): "fork server", **self._roles}.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                created = psutil.Process(pid).create_time()
                entries.append({"pid": pid, "created": created, "role": role})
        beside = self._directory / f"{BOOK}.tmp"
        with contextlib.suppress(OSError):  # a full disk: they are known here all the same
            beside.touch(0o600)
            beside.write_text(json.dumps(entries))
            beside.replace(self._directory / BOOK)


def take_over(directory: Path) -> int:
    """Be the only fork server of a directory: a second one would take the first one's socket.

    A scheduler that was killed just after it had started one knows nothing of it, and its successor
    starts another. That one ends here, unless the first ends soon or the successor is gone.

    Returns
    -------
    int
        A descriptor: the directory is held until it is closed.
    """
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    parent = os.getppid()
    deadline = time.monotonic() + _TAKE_OVER_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline or os.getppid() != parent:
                sys.exit("another fork server serves this directory")
            time.sleep(0.02)
        else:
            return descriptor


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at the path, for its owner only."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as short:
        listener.bind(short)
    path.chmod(0o600)
    listener.listen()
    return listener


def connect(path: Path) -> socket.socket:
    """Return a connection to the socket at the path.

    Raises
    ------
    OSError
        If nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            connection.connect(short)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _short(path: Path) -> Any:
    """Give a name of the path that fits a socket address, which holds some 100 bytes only."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _run(role: str, arguments: Sequence[str], memory: int | None) -> None:
    """Be a controller or an engine, until its end."""
    if role == "controller":
        from workers import controller

        controller.run(arguments)
        return
    from workers import engine

    engine.run(arguments, memory)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def main() -> NoReturn:
    """Run the fork server of a directory."""
    parser = argparse.ArgumentParser(prog="workers.forkserver", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--key", default="")
    parser.add_argument("--grace", type=float, default=300.0, help="seconds")
    parser.add_argument("--begin", type=json.loads, default=[], help="requests, as JSON")
    parser.add_argument("--parent", type=int, help="process without which it is not needed")
    given = parser.parse_args()
    if given.parent is not None:
        die_with(given.parent)
    os.umask(0o077)  # connection files, logs: for the owner only
    ForkServer(given.directory, given.key, given.grace, given.begin).serve()


if __name__ == "__main__":
    main()
