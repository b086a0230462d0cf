"""The fork server's process, as the scheduler starts and ends it, and what others left behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from workers.atomic import create

#: What the fork server and its processes have to say, in the cluster's directory.
LOG = "forkserver.log"

#: Seconds that it may take to end.
_END_PATIENCE = 5.0

#: One thread each for the numerical libraries, unless a job asks for more: engines fill the cores.
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
}


class ServerProcess:
    """A fork server that was started here. Made, it runs.

    Parameters
    ----------
    directory : Path
        The cluster's; made when it is not there.
    key : str
        Of the fork server: see `service.blueprint.Blueprint.key`.
    grace : float
        Seconds for which it outlives its scheduler.
    begin : sequence of dict
        Orders to carry out at once.
    """

    def __init__(
        self, directory: Path, key: str, grace: float, begin: Sequence[dict[str, Any]] = ()
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The profile would be made by two processes at once, and one of them would fail.
        (directory / "profile").mkdir(mode=0o700, exist_ok=True)
        environment = {
            **os.environ,
            **_ONE_THREAD,
            # ipyparallel and IPython write below here only, not into the user's home.
            "IPYTHONDIR": str(directory / "ipython"),
        }
        log_file = directory / LOG
        log_file.unlink(missing_ok=True)
        with create(log_file) as output:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "workers.forkserver", str(directory)),
                    *("--key", key, "--grace", str(grace)),
                    *("--begin", json.dumps(begin), "--parent", str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        # The same, also for a scheduler that is not its parent.
        self._process = psutil.Process(self._child.pid)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs: one that ended, and that nobody has waited for, does not."""
        with contextlib.suppress(psutil.Error):
            process = self._process
            return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
        return False

    def end(self) -> None:
        """End it, and wait until it is gone, but not for long."""
        with contextlib.suppress(psutil.Error):
            self._process.kill()
        deadline = time.monotonic() + _END_PATIENCE
        while self.is_running and time.monotonic() < deadline:
            time.sleep(0.005)
        self._child.poll()


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
