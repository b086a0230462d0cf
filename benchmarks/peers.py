"""Who is timed: foldq, by a job file dropped into a warm service, and its peers, by `fit`.

Each peer is a process with all its workers as descendants, so that its memory and CPU time can be
told from everybody else's. All of them get one thread for BLAS and OpenMP.
"""

import atexit
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks import processes
from benchmarks.host import HOSTED, scores
from benchmarks.records import Records
from benchmarks.workloads import Workload, find

ROOT = Path(__file__).resolve().parent.parent

#: Workers of each.
ENGINES = 2

#: Seconds that a peer may take to be there.
_STARTED_WITHIN = 120.0

#: Seconds between the writing of a job file and its move: what is moved was there before, and a
#: file system may not tell times apart that are closer.
_WRITTEN = 0.05

#: Seconds for a pool that stood still to hear from its workers again.
_AWAKE = 1.0

#: Seconds between two looks whether foldq's job is completed.
_LOOK = 0.005


class PeerFailed(Exception):
    """A peer could not be started, or not do a search; the message says why."""


class TooSlow(PeerFailed):
    """It was not done within the time it was given, and was ended."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One search, done.

    Attributes
    ----------
    seconds : float
        Of a job file: until its completed record; else: until `fit` returned.
    cpu_seconds : float
        Of all the peer's processes.
    scores : ndarray, shape (n_candidates, 1 + n_splits)
        The mean score, and each split's.
    """

    seconds: float
    cpu_seconds: float
    scores: np.ndarray


def _environment() -> dict[str, str]:
    """Give what a peer inherits: nothing that sets foldq, one thread for each library."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOLDQ_")}
    libraries = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA")
    return {**inherited, **{f"{library}_NUM_THREADS": "1" for library in libraries}}


@cache
def _made_data() -> Path:
    """Give the directory of the data sets that are made, for all peers; removed at the end."""
    directory = tempfile.mkdtemp(prefix="bench-data-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


class Peer(ABC):
    """One program, with workers that stay warm from search to search."""

    def __init__(self, name: str):
        self.name = name
        self.log = Path(tempfile.mkstemp(prefix=f"bench-{name}-", suffix=".log")[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it, unless it runs; return when it takes searches."""
        if not self.is_running:
            self.stop()
            self._start()
        return self

    def run(self, name: str, *, quick: bool, step: int, limit: float, sliced: bool = False) -> Run:
        """Do a search.

        Parameters
        ----------
        name : str
            Of the workload.
        step : int
            Moves a refined grid; the others stay as they are.
        limit : float
            Seconds after which the peer is ended.
        sliced : bool
            Only the corner of the grid, to warm up.

        Raises
        ------
        PeerFailed, TooSlow
        """
        self.start()
        workload = find(name, quick, step)
        if sliced:
            workload = workload.sliced()
        workload.data.put(_made_data())
        try:
            return self._run(workload, quick=quick, step=step, limit=limit, sliced=sliced)
        except TooSlow:
            self.stop()
            raise

    def last_words(self) -> str:
        """Give the last line of what it wrote."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "no word")

    @property
    def pid(self) -> int:
        """The process that all its others descend from."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def rest(self) -> None:
        """Disturb nobody until the next search; most do not anyway."""
        return

    def stop(self) -> None:
        """End all its processes."""
        if self._process is not None:
            processes.end(self._process.pid)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        self._process = None

    def close(self) -> None:
        """End it, and remove what it wrote."""
        self.stop()
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _run(
        self, workload: Workload, *, quick: bool, step: int, limit: float, sliced: bool
    ) -> Run: ...


class Hosted(Peer):
    """A peer that is a Python library: `benchmarks.host` holds it and its pool."""

    def __init__(self, name: str):
        super().__init__(name)
        self._failed: str | None = None
        self._rests = False

    def _start(self) -> None:
        if self._failed:
            raise PeerFailed(self._failed)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.host", self.name],
                cwd=ROOT,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for this program, which ends the others
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            self._answer(_STARTED_WITHIN)
        except PeerFailed as error:
            self._failed = str(error)
            self.stop()
            raise

    def start(self) -> Self:
        """Start it, or wake it up; return when it takes searches."""
        if self._rests and self.is_running:
            processes.go_on(self.pid)
            time.sleep(_AWAKE)
        self._rests = False
        return super().start()

    def rest(self) -> None:
        """Stand still until the next search: some pools use a good part of a core for nothing."""
        if self.is_running:
            processes.stop(self.pid)
            self._rests = True

    def _answer(self, limit: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], limit)[0]:
            raise TooSlow(f"not done after {limit:.0f} s")
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended: {self.last_words()}"}
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def _run(
        self, workload: Workload, *, quick: bool, step: int, limit: float, sliced: bool
    ) -> Run:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "scores.npy"
            asked = {
                "workload": workload.name,
                "quick": quick,
                "step": step,
                "sliced": sliced,
                "data": str(_made_data()),
                "scores": str(path),
            }
            assert self._process is not None
            assert self._process.stdin is not None
            before = processes.cpu_seconds(self.pid)
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._answer(limit)
            used = processes.spent(before, processes.cpu_seconds(self.pid))
            return Run(answer["seconds"], used, np.load(path))


class Foldq(Peer):
    """`foldq serve` with its default settings, on a spool of its own."""

    spool: Path
    records: Records

    def __init__(self, name: str = "foldq"):
        super().__init__(name)
        #: The job that was done last, and when its file was dropped and its end was seen (epoch).
        self.last_job = 0
        self.dropped_at = self.seen_at = 0.0

    def _start(self) -> None:
        self.spool = Path(tempfile.mkdtemp(prefix="bench-spool-"))
        self.records = Records(self.spool / "foldq.db")
        self._n_dropped = 0
        written = self.log.stat().st_size
        command = ["serve", "--spool", str(self.spool), "--engines", str(ENGINES)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *command],
                cwd=ROOT,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for this program, which ends the others
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _STARTED_WITHIN
        while b"ready:" not in self.log.read_bytes()[written:]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise PeerFailed(f"foldq did not start: {self.last_words()}")
            time.sleep(0.05)

    def _run(
        self,
        workload: Workload,
        *,
        quick: bool,  # noqa: ARG002
        step: int,  # noqa: ARG002
        limit: float,
        sliced: bool,  # noqa: ARG002
    ) -> Run:
        self._give_data(workload)
        if earlier := workload.earlier_job():
            self._do(earlier, limit)
        job = workload.job()
        before = processes.cpu_seconds(self.pid)
        seconds = self._do(job, limit)
        used = processes.spent(before, processes.cpu_seconds(self.pid))
        return Run(seconds, used, self._scores(workload))

    def _give_data(self, workload: Workload) -> None:
        made, wanted = _made_data() / workload.data.file, self.spool / "data" / workload.data.file
        if made.exists() and not wanted.exists():
            shutil.copyfile(made, wanted)

    def _do(self, job: dict[str, Any], limit: float) -> float:
        """Move a job file that is there for a while into `incoming/`, and wait for its end."""
        self._n_dropped += 1
        incoming = self.spool / "incoming"
        beside = incoming / f".job-{self._n_dropped}.tmp"
        beside.write_text(json.dumps(job))
        time.sleep(_WRITTEN)
        self.dropped_at = time.time()
        began = time.perf_counter()
        beside.rename(incoming / f"job-{self._n_dropped}.json")
        while True:
            state = self.records.state(self._n_dropped)
            if state == "completed":
                seconds = time.perf_counter() - began
                self.seen_at = time.time()
                self.last_job = self._n_dropped
                return seconds
            if state in ("failed", "cancelled"):
                raise PeerFailed(f"job {state}: {self.records.reason(self._n_dropped)}")
            if time.perf_counter() - began > limit:
                raise TooSlow(f"not done after {limit:.0f} s")
            time.sleep(_LOOK)

    def _scores(self, workload: Workload) -> np.ndarray:
        from sklearn.model_selection import ParameterGrid

        table = self.spool / "results" / str(self.last_job) / "cv_results.json"
        rows = json.loads(table.read_text())["rows"]
        if [row["params"] for row in rows] != list(ParameterGrid(workload.grid())):
            raise PeerFailed(f"the candidates of {workload.name} are not scikit-learn's")
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return scores(columns)

    def roles(self) -> dict[int, str]:
        """Give what each of its processes is: scheduler, fork server, controller or engine."""
        book = json.loads((self.spool / "cluster" / "processes.json").read_text())
        roles = {self.pid: "scheduler", **{entry["pid"]: entry["role"] for entry in book}}
        for process in processes.tree(self.pid):  # a controller may have children of its own
            roles.setdefault(process.pid, roles.get(process.ppid(), "other"))
        return roles

    def stop(self) -> None:
        """End all its processes, and remove its spool."""
        if self._process is not None:
            self.records.close()
            super().stop()
            shutil.rmtree(self.spool, ignore_errors=True)


def make_peer(name: str) -> Peer:
    """Give a peer that is not started yet."""
    return Foldq() if name == "foldq" else Hosted(name)


#: All that can be timed; `serial` is scikit-learn on one core.
PEERS = ("foldq", *HOSTED)
