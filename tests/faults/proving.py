"""A proving ground: the real scheduler, in a process of its own, started and ended in no time.

What takes long when a scheduler starts is importing and starting engines. Here one cluster serves
all schedulers of a test session, one after the other, as a lab's cluster would; and schedulers are
forked from a warm process that has imported everything and runs nothing. Each is the real
`service.daemon.serve` in a process of its own, which ends as the failpoint or the signal ends it.
"""

import contextlib
import gc
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import ipyparallel as ipp
import psutil
import warm
from workloads import Workload

from service import spool
from workers import failpoints

#: Seconds, generous: a run takes about one.
ENDED_WITHIN = 120.0

#: What every scheduler here is started with: in a hurry, but with the real care for the disk.
IN_A_HURRY: Mapping[str, Any] = {"poll": 0.02, "settle": 0.05}


def seconds(column: str) -> str:
    """Give the SQL of a moment in the records as seconds since the epoch, with their fraction."""
    return f"((julianday({column}) - 2440587.5) * 86400)"


class Stuck(AssertionError):
    """A scheduler did not end, or ended as it should not."""


@contextlib.contextmanager
def proving_ground(
    directory: Path, engines: int = 2, *, is_warm: bool = True
) -> Iterator["Ground"]:
    """Start the cluster and the warm process; end both, whatever happens in the block.

    Parameters
    ----------
    directory : Path
        Takes spools, logs and all that IPython would write into the user's home.
    is_warm : bool
        Whether the clusters that schedulers have of their own are forked as well; else they are
        started as they are for users, which takes seconds.
    """
    directory.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("IPYTHONDIR")
    os.environ["IPYTHONDIR"] = str(directory / "ipython")
    try:
        cluster = ipp.Cluster(
            n=engines,
            profile_dir=str(directory / "profile"),
            cluster_id="proving",
            controller_ip="127.0.0.1",
            controller_args=["--HeartMonitor.period=250"],
            delay=0,
            log_level=40,
        )
        cluster.start_cluster_sync()
    finally:
        if before is None:
            del os.environ["IPYTHONDIR"]
        else:
            os.environ["IPYTHONDIR"] = before
    try:
        yield Ground(directory, cluster, warm.context(), is_warm=is_warm)
    finally:
        processes = _processes(cluster)
        with contextlib.suppress(Exception):
            cluster.stop_cluster_sync()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _processes(cluster: ipp.Cluster) -> list[psutil.Process]:
    pids = [cluster.controller.pid] if cluster.controller else []
    for engine_set in cluster.engines.values():
        pids += [launcher.pid for launcher in engine_set.launchers.values()]
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [*process.children(recursive=True), process]
    return found


class Ground:
    """Where spools are played. Use `proving_ground`."""

    def __init__(
        self, directory: Path, cluster: ipp.Cluster, context: Any, *, is_warm: bool
    ) -> None:
        self.directory = directory
        security = Path(cluster.profile_dir) / "security"
        name = f"ipcontroller-{cluster.cluster_id}-client.json"
        self._cluster = {"connection_file": security / name}
        self._context = context
        self._is_warm = is_warm
        self._n_plays = 0

    @contextlib.contextmanager
    def play(self, workload: Workload) -> Iterator["Play"]:
        """Set up a fresh spool for a workload; it is removed at the end, whatever happened."""
        self._n_plays += 1
        play = Play(self, workload, self.directory / f"play-{self._n_plays}")
        try:
            yield play
        finally:
            play.remove()

    def call(self, function: Callable[..., None], *arguments: object) -> int | None:
        """Run a function in a process forked from the warm one; return its exit code."""
        process = self._context.Process(target=function, args=arguments)
        process.start()
        process.join(ENDED_WITHIN)
        code: int | None = process.exitcode
        return code

    def start(
        self,
        directory: Path,
        points: Mapping[str, int],
        *,
        is_local: bool = False,
        is_large: bool = False,
        **settings: Any,
    ) -> ForkServerProcess:
        """Start a scheduler on `directory/spool` that ends when it is idle, or at a point."""
        fields = {
            **IN_A_HURRY,
            "spool": directory / "spool",
            **({"engines": 1, "grace": 20} if is_local else {"cluster": self._cluster}),
            **settings,
        }
        process = self._context.Process(
            target=_serve, args=(fields, dict(points), directory, is_large, self._is_warm)
        )
        process.start()
        return process


def submit_and_die(directory: Path, data: bytes, name: str, points: dict[str, int]) -> None:
    """Be `foldq submit`, in a process of its own that ends at a point."""
    failpoints.arm(points)
    spool.submit(directory, data, name)


def _serve(
    fields: dict[str, Any], points: dict[str, int], directory: Path, is_large: bool, is_warm: bool
) -> None:
    """Be a scheduler: this runs in the process that was forked."""
    gc.freeze()  # else each would look through all that was imported, again and again
    warm.mark(_mark_of(directory))
    with (directory / "log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        del os.environ[name]
    from schemas.settings import Settings
    from service import daemon, searches

    if is_large:
        searches.BESIDE_FROM = 0
    if is_warm:
        warm.fork_clusters()
    hits = directory / "hits"
    hits.unlink(missing_ok=True)
    failpoints.arm(points, hits)
    daemon.serve(Settings(**fields, report={"automatic": False}), until_idle=True)
    sys.stderr.flush()


def _mark_of(directory: Path) -> str:
    """By which the processes of a play are found."""
    return uuid5(NAMESPACE_URL, str(directory)).hex


class Play:
    """One workload on one spool, and what has happened to its schedulers.

    Attributes
    ----------
    faults : list of str
        What ended each scheduler so far: `point:hit`, or `killed after 0.31 s`.
    first_dispatches : list of float
        Seconds from the start of each scheduler that sent anything to the first batch it sent.
    """

    def __init__(self, ground: Ground, workload: Workload, directory: Path) -> None:
        self.ground = ground
        self.workload = workload
        self.directory = directory
        self.spool = directory / "spool"
        self.faults: list[str] = []
        self.first_dispatches: list[float] = []
        self._asked = False
        directory.mkdir()
        workload.set_up(self.spool)

    def __str__(self) -> str:
        return ":".join([self.workload.name, *self.faults])

    # --- running -----------------------------------------------------------------------------

    def run(
        self,
        points: Mapping[str, int] | None = None,
        *,
        within: float = ENDED_WITHIN,
        **settings: Any,
    ) -> str | None:
        """Run a scheduler until nothing is left to do, or to the first of the points.

        Parameters
        ----------
        within : float
            Seconds that this may take.

        Returns
        -------
        str or None
            The point at which it ended; None if it ended by itself.
        """
        points = points or {}
        started = time.time()
        process = self.ground.start(
            self.directory,
            points,
            is_local=self.workload.is_local,
            is_large=self.workload.is_large,
            **settings,
        )
        self._await(process, within)
        self._note_first_dispatch(started)
        if process.exitcode == failpoints.EXIT_CODE:
            name = self.hits()[-1]
            self.faults.append(f"{name}:{points[name]}")
            return name
        if process.exitcode != 0:
            raise Stuck(f"{self}: exit code {process.exitcode}\n{self.tail()}")
        return None

    def strike(self, seconds: float) -> bool:
        """Run a scheduler and `kill -9` it after some time; False if it had ended by itself."""
        started = time.time()
        process = self.ground.start(
            self.directory, {}, is_local=self.workload.is_local, is_large=self.workload.is_large
        )
        process.join(seconds)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join(ENDED_WITHIN)
        self._note_first_dispatch(started)
        if process.exitcode == -signal.SIGKILL:
            self.faults.append(f"killed after {seconds:.2f} s")
            return True
        if process.exitcode != 0:
            raise Stuck(f"{self}: exit code {process.exitcode}\n{self.tail()}")
        return False

    def finish(self, after_each: Callable[["Play", int], None] | None = None) -> "Play":
        """Play all phases without a fault."""
        for number, phase in enumerate(self.workload.phases, start=1):
            self.begin(phase)
            self.run()
            if after_each is not None:
                after_each(self, number)
        return self

    def begin(self, phase: Any) -> None:
        """Start a phase: what it puts into the spool lies there."""
        self._phase = phase
        self._asked = not phase.once_running
        self.workload.begin(phase, self.spool)

    def _note_first_dispatch(self, started: float) -> None:
        with contextlib.suppress(sqlite3.Error):  # it died before there were any tables
            sent = self.query(
                f"SELECT min({seconds('submitted_at')}) AS at FROM attempt"
                f" WHERE {seconds('submitted_at')} >= ?",
                started,
            )[0]["at"]
            if sent is not None:
                self.first_dispatches.append(sent - started)

    def _await(self, process: ForkServerProcess, within: float) -> None:
        deadline = time.monotonic() + within
        while process.is_alive():
            if time.monotonic() > deadline:
                process.kill()
                process.join()
                raise Stuck(f"{self}: still running after {within:g} s\n{self.tail()}")
            if not self._asked and self._is_running():
                self._asked = True
                self.workload.ask(self._phase, self.spool)
            process.join(0.02 if not self._asked else 1)

    def _is_running(self) -> bool:
        with contextlib.suppress(sqlite3.Error):
            open_folds = self.query(
                "SELECT 1 FROM attempt JOIN task ON task.id = attempt.task_id"
                " JOIN job ON job.id = task.job_id"
                " WHERE attempt.outcome IS NULL AND task.kind = 'fold'"
                # All of it is planned: how much is when a request comes is a matter of moments.
                " AND job.n_tasks = (SELECT count(*) FROM task AS fold"
                " WHERE fold.job_id = job.id AND fold.kind = 'fold')"
            )
            return bool(open_folds)
        return False

    # --- looking -----------------------------------------------------------------------------

    def hits(self) -> list[str]:
        """The points that the last scheduler reached, in order."""
        hits = self.directory / "hits"
        return hits.read_text().split() if hits.exists() else []

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Ask the records, without touching them: the next scheduler finds the WAL as it was."""
        path = quote(str(self.spool / "foldq.db"))
        with contextlib.closing(
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        ) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def tail(self, lines: int = 30) -> str:
        """The last lines of the schedulers' log."""
        log = self.directory / "log"
        text = log.read_text(errors="replace") if log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def processes(self) -> list[psutil.Process]:
        """The processes of the schedulers, with their own clusters, that still run."""
        mark = _mark_of(self.directory)
        return [
            process
            for process in psutil.process_iter(["environ", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
            if (process.info["environ"] or {}).get(warm.MARK) == mark
        ]

    def remove(self) -> None:
        """Remove the spool, and end what a failure left running."""
        for process in self.processes() if self.workload.is_local else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
