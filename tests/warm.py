"""Programs that are there at once: forked from a process that has imported all they need.

Most of what a test with a scheduler costs is imports, in each scheduler, each fork server and each
command anew. Here they are done once for a test process. What is forked is a process of its own,
with its own environment, descriptors, session and exit code, and dies as any other; only what it
has imported is shared. Whoever is about the imports themselves starts the real program.

Python's own fork server (`multiprocessing`) does the forking. A scheduler that was forked forks in
turn the parent of its cluster, which it would have started from nothing.
"""

import atexit
import contextlib
import ctypes
import gc
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from workers.forkserver import SHARED

ROOT = Path(__file__).resolve().parent.parent

#: Carries the mark of one test scheduler to all its processes, written over what is there when a
#: process is forked: what the system tells of a process's environment is what it was started with.
MARK = "TESTED_SCHEDULER"
_NO_MARK = "0" * 32

#: Engines use one thread each, and so does what they are forked from.
_ENVIRONMENT = {
    MARK: _NO_MARK,
    "FOLDQ_FAILPOINT": "",  # can be set later: see `workers.failpoints.arm`
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")},
}
_PRELOADED = [
    *("service.cli", "service.daemon", "service.jobfile", "service.results"),
    *("workers.controller", "workers.jobcheck", "workers.fold", *SHARED),
]


def context() -> ForkServerContext:
    """Return what starts processes from the warm one, which is started if there is none."""
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(_PRELOADED)
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return warm


class Program:
    """`foldq` with these arguments, in a session of its own; a `subprocess.Popen` in small.

    Parameters
    ----------
    arguments : sequence of str
        What follows `foldq`.
    environment : mapping of str to str
        All of it.
    stdin, stdout, stderr : int
        Descriptors.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> None:
        os.umask(umask := os.umask(0o077))
        how = _How(
            tuple(arguments), dict(environment), str(directory), umask, _path(environment),
            (stdin, stdout, stderr),
        )  # fmt: skip
        self._process = context().Process(target=_become, args=(how,))
        self._process.start()
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("foldq", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def mark(value: str) -> None:
    """Have this process, and those it forks, be found by a mark."""
    os.environ[MARK] = value
    given = Path("/proc/self/environ").read_bytes()
    at = given.find(f"{MARK}={_NO_MARK}".encode())
    assert at >= 0, "not forked from the warm process"
    begin = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47])
    ctypes.memmove(begin + at + len(MARK) + 1, value.encode(), len(value))


# --- in the forked process ---------------------------------------------------------------------


class _How:
    """What a program is started with, on its way to the process that becomes it."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        directory: str,
        umask: int,
        path: list[str],
        descriptors: tuple[int, int, int],
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.umask = umask
        self.path = path
        self._descriptors = descriptors
        self._sent: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sent": [DupFd(number) for number in self._descriptors]}

    def receive(self) -> None:
        """Have the descriptors as 0, 1 and 2."""
        received = [sent.detach() for sent in self._sent]
        for number, descriptor in enumerate(received):
            os.dup2(descriptor, number)
        for descriptor in received:
            os.close(descriptor)


def _path(environment: Mapping[str, str]) -> list[str]:
    """Where `python -m` finds modules from the root: not among the tests, unless told so."""
    given = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    rest = [p for p in sys.path if p not in ("", *given) and not Path(p).is_relative_to(ROOT)]
    venv = [p for p in sys.path if Path(p).is_relative_to(sys.prefix) and p not in rest]
    return list(dict.fromkeys([str(ROOT), *given, *rest, *venv]))


def _become(how: _How) -> None:
    gc.freeze()  # a process that was started from nothing would not look through all this
    multiprocessing.set_start_method(None, force=True)  # its own is the usual one
    os.setsid()
    os.umask(how.umask)
    os.chdir(how.directory)
    how.receive()
    _open_standard()
    os.environ.clear()
    os.environ.update(how.environment)
    if MARK in how.environment:
        mark(how.environment[MARK])
    sys.path[:] = how.path
    sys.argv = ["foldq", *how.arguments]

    fork_clusters()

    from service import cli

    try:
        cli.main()
    finally:
        atexit._run_exitfuncs()


def fork_clusters() -> None:
    """Have the scheduler in this process fork the parent of its cluster."""
    from service import serverprocess

    popen = subprocess.Popen

    def start(arguments: Sequence[str], **options: Any) -> Any:
        # With threads a fork may stand still: who has any starts the real program.
        if "workers.forkserver" in arguments and threading.active_count() == 1:
            return _ForkServer(list(arguments), **options)
        return popen(arguments, **options)

    replaced = SimpleNamespace(**{**vars(subprocess), "Popen": start})
    serverprocess.subprocess = replaced  # type: ignore[assignment]


class _ForkServer:
    """The parent of a cluster, forked where `subprocess.Popen` would start it."""

    def __init__(
        self, arguments: list[str], *, stdin: int, stdout: Any, stderr: int, env: Mapping[str, str],
        start_new_session: bool,
    ) -> None:  # fmt: skip
        assert (stdin, stderr, start_new_session) == (subprocess.DEVNULL, subprocess.STDOUT, True)
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._run(arguments[arguments.index("workers.forkserver") :], stdout.fileno(), env)
            finally:
                os._exit(1)

    @staticmethod
    def _run(arguments: list[str], output: int, environment: Mapping[str, str]) -> NoReturn:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, 4096)  # among them the spool's lock, which is the scheduler's alone
        _open_standard()
        for logger in (logging.getLogger(), logging.getLogger("foldq")):
            logger.handlers = []
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments

        from workers import forkserver

        try:
            forkserver.main()
        except SystemExit as end:
            sys.stderr.write(f"{end.code}\n")
            raise

    def poll(self) -> int | None:
        if self._code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code


def _open_standard() -> None:
    """Have `sys.stdin` and its like belong to the descriptors that are there now."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        by_line = number == 2 or os.isatty(number)
        errors = "backslashreplace" if number == 2 else "strict"
        stream = open(  # noqa: SIM115
            number, mode, encoding="utf-8", errors=errors, closefd=False,
            buffering=1 if by_line else -1,
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
