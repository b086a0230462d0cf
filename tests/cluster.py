"""A real scheduler with real engines for tests, and the promise that none of it stays behind.

Every process of a scheduler inherits one environment variable with a value of its own; by it they
are found again however they were started, orphaned or written down, and only they are ended.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self
from urllib.parse import quote
from uuid import uuid4

import psutil
import pytest
from warm import MARK, ROOT, Program

#: Seconds. Generous: the machine may be slow and busy, and a failure ends much sooner.
STARTED_WITHIN = 60.0
STOPPED_WITHIN = 60.0
ENDED_WITHIN = 180.0

#: Seconds between two looks.
LOOK = 0.05

FINAL_STATES = ("completed", "failed", "cancelled")


class Scheduler:
    """`foldq serve` in a process of its own, on a spool of its own.

    Parameters
    ----------
    directory : Path
        An empty directory: the spool lies in it, and the scheduler's log beside the spool.
    engines : int
        Local engines to start.
    warm : bool
        Whether schedulers and commands are forked from a process that has imported everything; else
        they are started as a user starts them, and take seconds.
    **settings
        Fields of `Settings`, given by environment: `grace=5` is `FOLDQ_GRACE=5`.

    Examples
    --------
    >>> with Scheduler(tmp_path) as scheduler:  # doctest: +SKIP
    ...     scheduler.drop({"data": {"loader": "iris"}, ...}, "iris.json")
    ...     job = scheduler.wait("iris")
    """

    def __init__(
        self, directory: Path, *, engines: int = 2, warm: bool = True, **settings: object
    ) -> None:
        self.spool = directory / "spool"
        self.log = directory / "scheduler.log"
        self.engines = engines
        self._settings = settings
        self._mark = uuid4().hex
        #: Failpoints are read by a program as it begins.
        self.is_warm = warm and sys.platform == "linux" and "failpoint" not in settings
        self._process: subprocess.Popen[bytes] | Program | None = None

    # --- life --------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What its processes inherit; a program that is run with it is ended by `close` as well."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOLDQ_")}
        # Seconds of work for each job that few tests look at.
        settings = {"FOLDQ_REPORT__AUTOMATIC": "false"}
        settings |= {f"FOLDQ_{name.upper()}": str(v) for name, v in self._settings.items()}
        return {**inherited, **settings, MARK: self._mark}

    def start(self, *flags: str, ready: bool = True) -> Self:
        """Start it, again after a `stop` or a `kill`.

        Parameters
        ----------
        *flags
            More arguments of `foldq serve`, such as `--until-idle`.
        ready : bool
            Return only when it takes files.
        """
        assert not self.is_alive, "the scheduler runs already"
        self.spool.parent.mkdir(parents=True, exist_ok=True)
        already = self.log.stat().st_size if self.log.exists() else 0
        arguments = ["serve", "--spool", str(self.spool), "--engines", str(self.engines), *flags]
        with self.log.open("ab") as log:
            self._process = self.begin(arguments, log)
        if ready:
            self.wait_until(
                lambda: b"ready:" in self.log.read_bytes()[already:],
                "the scheduler is ready",
                STARTED_WITHIN,
            )
        return self

    def begin(
        self, arguments: Sequence[object], output: IO[bytes], errors: IO[bytes] | None = None,
        **more: str,
    ) -> "subprocess.Popen[bytes] | Program":  # fmt: skip
        """Start `foldq` with these arguments; errors go where the output goes, unless told."""
        words = [str(argument) for argument in arguments]
        environment = self.environment | more
        stdout, stderr = output.fileno(), (errors or output).fileno()
        with Path(os.devnull).open() as nothing:
            if self.is_warm:
                return Program(words, environment, ROOT, nothing.fileno(), stdout, stderr)
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", *words],
                cwd=ROOT, env=environment, stdin=nothing, stdout=stdout, stderr=stderr,
                start_new_session=True,
            )  # fmt: skip

    def foldq(self, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the spool to its end, 120 columns wide, and return what it printed."""
        given = ["--spool", str(self.spool), *map(str, arguments)]
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = self.begin(given, output, errors, COLUMNS="120")
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(
                given, code, output.read().decode(), errors.read().decode()
            )

    def stop(self, timeout: float = STOPPED_WITHIN) -> int:
        """Ask it to stop (SIGTERM: what runs is finished), and return its exit code."""
        assert self._process is not None, "the scheduler was not started"
        self._process.send_signal(signal.SIGTERM)
        return self.await_exit(timeout)

    def await_exit(self, timeout: float = ENDED_WITHIN) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process is not None, "the scheduler was not started"
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._fail(f"the scheduler still ran after {timeout:g} s")

    def kill(self) -> None:
        """End it at once (SIGKILL), and it alone: controller and engines are left as they are."""
        assert self._process is not None, "the scheduler was not started"
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End every process of this scheduler, whatever happened before."""
        if self.is_alive:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGTERM)  # the second one: now
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        # A process may start another while they are ended: look until there is none.
        deadline = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=2)
        if self._process is not None:
            self._process.wait(1)
        assert not left, f"processes could not be ended: {left}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- processes ---------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether the scheduler's own process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the scheduler's own process, the one started last."""
        assert self._process is not None, "the scheduler was not started"
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """Return every living process of this scheduler: itself, the controller, the engines."""
        found = {process.pid: process for process in self._written_down()}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._mark:
                    found[process.pid] = process
        return [process for process in found.values() if _lives(process)]

    def _written_down(self) -> Iterator[psutil.Process]:
        """Yield the processes of the cluster's own list."""
        for entry in self._book():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(entry["pid"])
                if abs(process.create_time() - entry["created"]) < 1.0:
                    yield process

    def _book(self) -> list[dict[str, Any]]:
        try:
            entries: list[dict[str, Any]] = json.loads(
                (self.spool / "cluster" / "processes.json").read_text()
            )
        except FileNotFoundError:
            return []
        return entries

    def engine_pids(self) -> list[int]:
        """Return the process numbers of the engines that have joined and are alive."""
        with self.records() as records:
            pids = [row["pid"] for row in records.execute("SELECT pid FROM live_engine")]
        return [pid for pid in pids if psutil.pid_exists(pid) and _lives(psutil.Process(pid))]

    def controller_pid(self) -> int:
        """Return the process number of the cluster's controller."""
        return next(int(entry["pid"]) for entry in self._book() if entry["role"] == "controller")

    def wait_for_engines(self, n: int | None = None, timeout: float = STARTED_WITHIN) -> list[int]:
        """Wait until `n` engines (all, if not given) have joined; return their process numbers."""
        wanted = self.engines if n is None else n
        self.wait_until(lambda: len(self.engine_pids()) >= wanted, f"{wanted} engines", timeout)
        return self.engine_pids()

    # --- files and records ---------------------------------------------------------------------

    def drop(self, job: Path | str | Mapping[str, Any], name: str | None = None) -> str:
        """Put a job file into `incoming/`, finished: renamed into its place, it need not settle.

        Parameters
        ----------
        job : Path, str or mapping
            A file, the text of one, or its content (written as JSON).
        name : str, optional
            File name in the spool; that of `job` if it is a file.

        Returns
        -------
        str
            The name without its suffix: the job's name, unless the file gives another.
        """
        incoming = self.spool / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        if isinstance(job, Path):
            name = name or job.name
            data = job.read_bytes()
        else:
            assert name, "text needs a file name"
            data = (job if isinstance(job, str) else json.dumps(job)).encode()
        aside = incoming / f".{name}"
        aside.write_bytes(data)
        at = aside.stat().st_mtime_ns - 10**9
        os.utime(aside, ns=(at, at))
        aside.rename(incoming / name)
        return Path(name).stem

    def add_data(self, file: Path) -> None:
        """Copy a data file into the spool's `data/`, where job files find it by its name."""
        (self.spool / "data").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, self.spool / "data" / file.name)

    def results(self, job_id: int) -> Path:
        """Return the directory of a job's results."""
        return self.spool / "results" / str(job_id)

    @contextlib.contextmanager
    def records(self) -> Iterator[sqlite3.Connection]:
        """Open the records for reading only; rows are indexed by name."""
        database = (self.spool / "foldq.db").absolute()
        uri = f"file:{quote(str(database))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as records:
            records.row_factory = sqlite3.Row
            yield records

    def job(self, job: int | str) -> dict[str, Any] | None:
        """Return the row of a job by its id or its name (the last of that name), if it is there."""
        column = "id" if isinstance(job, int) else "name"
        with self.records() as records:
            row = records.execute(
                f"SELECT * FROM job WHERE {column} = ? ORDER BY id DESC", (job,)
            ).fetchone()
        return None if row is None else dict(row)

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Ask the records, and return the rows as dicts."""
        with self.records() as records:
            return [dict(row) for row in records.execute(sql, parameters)]

    # --- waiting -------------------------------------------------------------------------------

    def wait(
        self, job: int | str, state: str | None = "completed", timeout: float = ENDED_WITHIN
    ) -> dict[str, Any]:
        """Wait until a job reaches a state, and return its row.

        Fails at once when the job ends in another state, when its file is refused, or when the
        scheduler dies; and when `timeout` seconds are over.

        Parameters
        ----------
        job : int or str
            Id, or name.
        state : str or None
            None: whichever final state comes.
        """
        row: dict[str, Any] | None = None

        def arrived() -> bool:
            nonlocal row
            row = self.job(job)
            if row is None:
                self._fail_if_refused(job)
                return False
            if state is None:
                return row["state"] in FINAL_STATES
            if row["state"] != state and row["state"] in FINAL_STATES:
                self._fail(f"job {job} {row['state']} instead of {state}: {row['reason']}")
            return bool(row["state"] == state)

        def wanted() -> str:
            now = "no such job" if row is None else "{state}, {n_done}/{n_tasks} done".format(**row)
            return f"job {job} {state or 'ends'} (now: {now})"

        self.wait_until(arrived, wanted, timeout)
        assert row is not None
        return row

    def wait_until(
        self,
        condition: Callable[[], object],
        what: str | Callable[[], str],
        timeout: float = ENDED_WITHIN,
    ) -> None:
        """Wait until a condition holds; fail when the scheduler dies, or with `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            died = not self.is_alive  # looked at first: what it did last still counts
            if condition():
                return
            told = what if isinstance(what, str) else what()
            if died and self._process is not None:
                self._fail(f"the scheduler ended ({self._process.returncode}) before {told}")
            if time.monotonic() > deadline:
                self._fail(f"not within {timeout:g} s: {told}")
            time.sleep(LOOK)

    def wait_until_gone(self, timeout: float = STOPPED_WITHIN) -> None:
        """Wait until no process of a killed scheduler is left; fail when some stay."""
        deadline = time.monotonic() + timeout
        while left := self.processes():
            if time.monotonic() > deadline:
                self._fail(f"still there after {timeout:g} s: {left}")
            time.sleep(LOOK)

    def _fail_if_refused(self, job: int | str) -> None:
        for report in (self.spool / "rejected").glob(f"{job}.*.error.json"):
            self._fail(f"{job} was refused:\n{report.read_text()}")

    def _fail(self, message: str) -> NoReturn:
        pytest.fail(f"{message}\n\nThe end of the scheduler's log:\n{self.tail()}", pytrace=False)

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of the scheduler's log."""
        if not self.log.exists():
            return "(there is none)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _lives(process: psutil.Process) -> bool:
    """Whether a process runs: one that ended but was not waited for does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
