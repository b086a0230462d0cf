"""A scheduler for the length of one command: `foldq run` without a running one."""

import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from service.commands.explained import explained

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.beginning import Beginning

#: How long the scheduler may take to let its folds finish, and then to stop at once (seconds).
PATIENCE = (30.0, 10.0)


class OwnScheduler:
    """Runs a scheduler until it is idle, in a process of its own, its output in `logs/`.

    The process is forked from the command's: what that has imported to check the job file need not
    be imported again. It has its own session, so that Ctrl-C reaches the command alone, which then
    asks the scheduler to stop in good order.

    Parameters
    ----------
    settings : Settings
    beginning : Beginning
        The spool and its cluster, which the scheduler takes over.
    """

    def __init__(self, settings: "Settings", beginning: "Beginning") -> None:
        self._settings = settings
        self._beginning = beginning
        self._pid: int | None = None
        self._exit_code: int | None = None
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.log: Path = settings.spool / "logs" / f"run-{started}.log"

    def __enter__(self) -> Self:
        # Whoever ends the command (a closed terminal, a batch system) means the search too.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _as_interrupt)
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            pid = os.fork()
            if pid == 0:
                self._be_the_scheduler(log.fileno())
        self._pid = pid
        self._beginning.leave()
        return self

    def _be_the_scheduler(self, output: int) -> NoReturn:
        """Run the scheduler in the process that was forked, and end with it."""
        code = 1
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
                os.dup2(descriptor, target)
            sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            with explained():
                self._beginning.take_over()
                from service import daemon

                daemon.serve(self._settings, until_idle=True, beginning=self._beginning)
            code = 0
        except BaseException as error:
            code = getattr(error, "exit_code", 1)  # of typer.Exit: it has told why
            if not hasattr(error, "exit_code"):
                traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stderr.flush()
            os._exit(code)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._pid is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, if it did by itself; a signal's number is negative."""
        if self._exit_code is None and self._pid is not None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def last_words(self) -> str:
        """Return why the process ended, as it told for people."""
        with suppress(OSError):
            _, told, sentence = self.log.read_text(errors="replace").rpartition("foldq: ")
            return " ".join(sentence.split()) if told else ""
        return ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ask the scheduler to stop, then insist, then end it."""
        for patience in PATIENCE:
            if not self.is_alive:
                return
            self._signal(signal.SIGTERM)
            self._wait(patience)
        if self.is_alive:
            self._signal(signal.SIGKILL)
            self._wait(5.0)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None and self.is_alive:
            os.kill(self._pid, number)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
