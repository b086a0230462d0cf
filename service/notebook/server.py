"""A scheduler for the length of a notebook: started by it, and ended with it."""

import atexit
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.settings import Settings
from service.lock import holder
from service.notebook import pages
from service.printable import printable

#: How long it may take until the scheduler is ready, on a busy machine (seconds).
STARTED_WITHIN = 120.0

#: How long it may take to let its folds finish, and then to stop at once (seconds).
PATIENCE = (30.0, 10.0)


class Server:
    """A scheduler with its engines, in processes of their own: `foldq.serve` starts it.

    Attributes
    ----------
    spool : Path
    log : Path or None
        Where its words go; None if another scheduler held the spool already.
    """

    def __init__(self, settings: Settings) -> None:
        self.spool = settings.spool
        self.log: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if holder(settings.spool) is None:
            self._start(settings)

    def _start(self, settings: Settings) -> None:
        logs = settings.spool / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = logs / f"notebook-{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
        # From where this very module came, and not from whatever lies beside the notebook.
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        arguments = ["--spool", str(settings.spool), "--engines", str(settings.engines)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "service.cli", "serve", *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the stop button of a notebook is not meant for it
            )
        # A kernel that ends or is restarted takes its scheduler with it, and does not wait.
        atexit.register(self._ask_to_stop)
        deadline = time.monotonic() + STARTED_WITHIN
        while b"ready:" not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the scheduler did not start: {self._last_words()}")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        """Whether a scheduler holds the spool, this one or another."""
        return holder(self.spool) is not None

    @property
    def is_own(self) -> bool:
        """Whether the scheduler was started here, and ends here."""
        return self._process is not None

    def stop(self) -> None:
        """Let the folds that run finish, and end; what is recorded stays.

        A later `foldq.serve` on the same spool goes on where this one ended. A scheduler that was
        there before is left alone.
        """
        if self._process is None:
            return
        for patience in PATIENCE:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self._ask_to_stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _last_words(self) -> str:
        assert self.log is not None
        words = self.log.read_text(errors="replace").rpartition("foldq: ")[2].split()
        return printable(" ".join(words)[-500:]) or f"see {self.log}"

    def _told(self) -> str:
        if self._process is None:
            return "another scheduler works on the spool" if self.is_running else "not running"
        code = self._process.poll()
        if code:
            return f"ended with {code}: {self._last_words()}"
        return f"running, process {self._process.pid}" if code is None else "stopped"

    def __repr__(self) -> str:
        return f"<foldq scheduler on {self.spool}: {self._told()}>"

    def _repr_html_(self) -> str:
        return pages.server_html(self._told(), str(self.log or ""), str(self.spool))


def serve(engines: int | None = None, *, spool: str | Path | None = None) -> Server:
    """Start a scheduler with local engines, for as long as a notebook needs it.

    Where one runs on the spool already, that one does the work, and is left running at the end.

    Parameters
    ----------
    engines : int, optional
        Local engines; default: one for each CPU.
    spool : path, optional
        Default: `FOLDQ_SPOOL`, else `./spool`. Made when it is not there.

    Raises
    ------
    RuntimeError
        The scheduler could not start, and why.

    Returns
    -------
    Server
        Ends with ``stop()``, with the block of ``with``, or with the Python process.

    Examples
    --------
    >>> with foldq.serve(engines=2):              # doctest: +SKIP
    ...     job = foldq.submit(search, X, y).wait()
    """
    from service.layout import make_directories

    settings = Settings.load(spool, engines=engines)
    make_directories(settings.spool)
    return Server(settings)
