"""The page of each search, written when it has ended: by a process of its own, one at a time.

The scheduler must not wait for it, nor the engines share their processors with it: the process
has the lowest priority (`SCHED_IDLE`, by which it runs on what nobody else uses), it begins when
nothing runs or waits, is broken off when something comes, begins anew beside it after a while at
the latest, and its time is bounded. Only where a scheduler ends as soon as it has nothing left to
do, somebody waits for the page, and it is written like anything else: on a busy machine nothing is
left for the lowest priority. It ends with the scheduler. What could not be written is tried again
at the next start; no job depends on it.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

from schemas.settings import Settings
from service.records import NoSuchJob, find_job, open_records, parse_time
from workers.atomic import make_private, replacing
from workers.deathsignal import die_with

log = logging.getLogger("foldq.report")

REPORT = "report.html"

#: Seconds after the end of a search for which its page waits for a moment without work.
PATIENCE = 60.0

#: Tells the process to let all others go before it.
_STEPS_BACK = "steps-back"

#: Jobs that ended last among which a start looks for those without their page.
_LOOKED_AT = 200


class Reporter:
    """Has the pages written. To be called in each turn of the scheduler's loop.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._is_awaited = False
        self._due: deque[tuple[float, int]] = deque()
        self._child: subprocess.Popen[bytes] | None = None
        self._job_id = 0
        self._until = self._since = 0.0
        self._said: IO[bytes] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a page is being written, or waits to be."""
        return self._child is not None or bool(self._due)

    def catch_up(self, records: sqlite3.Connection) -> None:
        """Take note of the searches that ended lately and have no page, or an older one."""
        if not self._settings.report.automatic:
            return
        rows = records.execute(
            "SELECT id, finished_at FROM job WHERE finished_at IS NOT NULL"
            " AND n_done + n_failed > 0 ORDER BY id DESC LIMIT ?",
            (_LOOKED_AT,),
        )
        missing = [job_id for job_id, finished in rows if self._is_missing(job_id, finished)]
        for job_id in reversed(missing[: self._settings.report.catch_up]):
            self._due.append((time.monotonic(), job_id))

    def _is_missing(self, job_id: int, finished_at: str) -> bool:
        ended = parse_time(finished_at)
        try:
            written = report_path(self._settings, job_id).stat().st_mtime
        except OSError:
            return True
        # A job that was tried again ends again.
        return ended is not None and written < ended.timestamp() - 1

    def ended(self, job_id: int) -> None:
        """Take note of a search that has ended."""
        if self._settings.report.automatic:
            self._due.append((time.monotonic(), job_id))

    def step(self, *, is_idle: bool, is_awaited: bool = False) -> None:
        """Begin with the next page if it is time, and see what became of the last one.

        Parameters
        ----------
        is_idle : bool
            Whether nothing runs or waits that engines could do.
        is_awaited : bool
            Whether the scheduler ends when nothing is left to do.
        """
        self._is_awaited = is_awaited and is_idle
        if self._child is None:
            if self._due and _is_time(self._due[0][0], is_idle):
                self._begin(*self._due.popleft())
        elif self._child.poll() is not None or _is_time(self._since, is_idle):
            self._look_after(self._child)
        else:  # the lowest priority costs engines a tenth and more, and what it holds is memory
            self.close()
            self._due.appendleft((self._since, self._job_id))

    def close(self) -> None:
        """Give up what is being written: the next start writes it."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._forget()

    def _begin(self, since: float, job_id: int) -> None:
        command = [sys.executable, "-m", "service.reporter"]
        command += [str(self._settings.spool), str(job_id), str(os.getpid())]
        if not self._is_awaited:
            command.append(_STEPS_BACK)
        try:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is the scheduler's to answer
            )
        except OSError as error:
            log.warning("the report of job %d cannot be written: %s", job_id, error)
            self._forget()
            return
        self._since, self._job_id = since, job_id
        self._until = time.monotonic() + self._settings.report.timeout

    def _look_after(self, child: subprocess.Popen[bytes]) -> None:
        code = child.poll()
        if code is None:
            if time.monotonic() < self._until:
                return
            child.kill()
            child.wait()
            because = f"it took longer than {self._settings.report.timeout:g} s"
        else:
            because = f"{self._last_words()} (exit code {code})"
        if code == 0:
            log.debug("report of job %d written", self._job_id)
        else:
            log.warning("the report of job %d was not written: %s", self._job_id, because)
        self._forget()

    def _last_words(self) -> str:
        if self._said is None:
            return "no reason known"
        with suppress(OSError):
            self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 2000))
            lines = self._said.read().decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "no reason")
        return "no reason known"

    def _forget(self) -> None:
        if self._said is not None:
            self._said.close()
        self._child = self._said = None


def _is_time(since: float, is_idle: bool) -> bool:
    return is_idle or time.monotonic() >= since + PATIENCE


def report_path(settings: Settings, job_id: int) -> Path:
    """Return where the page of a job lies."""
    return settings.spool / "results" / str(job_id) / REPORT


def write(settings: Settings, job_id: int, path: Path | None = None) -> Path:
    """Write the page of a job.

    Parameters
    ----------
    path : Path, optional
        By default beside the job's results, in a directory that is made if need be.

    Returns
    -------
    Path
        The file: whole or not there, and readable by its owner alone.

    Raises
    ------
    service.records.NoSuchJob
    """
    from service.report import render

    target = path or report_path(settings, job_id)
    results = settings.spool / "results" / str(job_id)
    with open_records(settings.database_path) as records:
        job = find_job(records, job_id)
        page = render(records, job, results=results.absolute(), names=settings.catalog.estimators)
        find_job(records, job_id)  # it may have been pruned meanwhile, results and all
        if path is None:
            make_private(target.parent)
        with replacing(target) as file:
            file.write(page.encode())
    return target


def _step_back() -> None:
    """Run on what nobody else uses, on one processor."""
    os.nice(19)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def main() -> None:
    """Write the page of one job: `python -m service.reporter SPOOL ID SCHEDULER [steps-back]`."""
    spool, job_id, scheduler, *how = sys.argv[1:]
    die_with(int(scheduler))
    if _STEPS_BACK in how:
        _step_back()
    with suppress(NoSuchJob):  # pruned
        write(Settings.load(spool), int(job_id))


if __name__ == "__main__":
    main()
