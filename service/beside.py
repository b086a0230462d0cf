"""Large searches are concluded beside the scheduler: each in a process of its own.

The loop goes on meanwhile. Such a process only reads the records, and what it writes are files that
are whole or not there; so it can be ended at any moment, and is with the scheduler. The next one
begins it anew, because the job is not recorded as completed before its outcome is taken.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

from service.conclusion import Conclusion
from service.records import Job
from workers.failpoints import failpoint

#: Seconds that a process is given to clear up after itself when it is not needed any more.
_FAREWELL = 2.0


class Beside:
    """The processes that conclude searches, one for each.

    Parameters
    ----------
    database : Path
        The records.
    results : Path
        `results/` of the spool.
    """

    def __init__(self, database: Path, results: Path) -> None:
        self._database = database
        self._results = results
        self._at_work: dict[int, _Process] = {}

    def __contains__(self, job_id: object) -> bool:
        """Tell whether a search is being concluded, or its conclusion waits to be taken."""
        return job_id in self._at_work

    def ended(self) -> list[int]:
        """Return the searches whose conclusion can be taken."""
        return [job_id for job_id, process in self._at_work.items() if process.is_over]

    def conclude(self, job: Job, fitted: int | None) -> Conclusion | None:
        """Take the conclusion of a search if it is there, else begin with it or wait for it.

        Returns
        -------
        Conclusion or None
            None while it is under way.

        Raises
        ------
        OSError
            If no process can be started, if it was killed, or if it could not write the files.
        Exception
            Whatever else `service.conclusion.conclude` raises.
        """
        process = self._at_work.get(job.id)
        if process is not None and process.is_over:
            del self._at_work[job.id]
            failpoint("conclusion.ended")
            conclusion = process.outcome()
            if conclusion.is_of(job):
                return conclusion
            process = None  # folds were put back since then, and are done now
        if process is None:
            directory = self._results / str(job.id)
            fitted_text = "" if fitted is None else str(fitted)
            self._at_work[job.id] = _Process(
                [str(self._database), str(job.id), str(directory), fitted_text, str(os.getpid())]
            )
            failpoint("conclusion.begun")
        return None

    def forget(self, job_id: int) -> None:
        """Conclude a search no more, if it is being concluded."""
        if (process := self._at_work.pop(job_id, None)) is not None:
            process.end()

    def close(self) -> None:
        """End all of them; the next scheduler begins anew."""
        for process in self._at_work.values():
            process.end()
        for process in self._at_work.values():
            process.await_end()
        self._at_work.clear()


class _Process:
    """`python -m service.conclusion`, and a thread that waits for what it says."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service.conclusion", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the scheduler, which ends it in its own time
        )
        self._said = b""
        self._waiting = threading.Thread(target=self._wait, name="conclusion", daemon=True)
        self._waiting.start()

    def _wait(self) -> None:
        self._said, _ = self._process.communicate()

    @property
    def is_over(self) -> bool:
        return not self._waiting.is_alive()

    def outcome(self) -> Conclusion:
        """Return what it found, or raise what it raised."""
        code = self._process.returncode
        if code != 0 or not self._said:
            ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise ChildProcessError(f"the process that writes them was ended {ended}")
        outcome = pickle.loads(self._said)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Conclusion)
        return outcome

    def end(self) -> None:
        self._process.terminate()

    def await_end(self) -> None:
        self._waiting.join(_FAREWELL)
        if self._waiting.is_alive():
            self._process.kill()
            self._waiting.join()
