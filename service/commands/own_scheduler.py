"""A scheduler for the length of one command: `foldq run` without a running one."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from schemas.settings import Settings

#: How long the scheduler may take to let its folds finish, and then to stop at once (seconds).
PATIENCE = (30.0, 10.0)


class OwnScheduler:
    """Runs `foldq serve --until-idle` in a process of its own, its output in `logs/`.

    The process has its own session, so that Ctrl-C reaches the command alone, which then asks
    the scheduler to stop in good order.
    """

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.log: Path = settings.spool / "logs" / f"run-{started}.log"

    def __enter__(self) -> Self:
        # Whoever ends the command (a closed terminal, a batch system) means the search too.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _as_interrupt)
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        arguments = ["serve", "--spool", str(self._settings.spool), "--until-idle"]
        arguments += ["--engines", str(self._settings.engines)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # -P: a directory named "service" where the user stands is not ours.
                [sys.executable, "-P", "-m", "service.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, if it did by itself."""
        return None if self._process is None else self._process.poll()

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
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.05)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
