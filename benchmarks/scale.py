"""What a million folds in one search, and ten thousand searches, cost whoever asks the records.

Nothing is fitted: the searches are made up, in the tables that the scheduler itself uses, and
through its own code wherever that is what is timed. Printed is, for each question and each step,
the seconds it took, the memory it took beyond what the process had before, and what it should stay
below.

    python benchmarks/scale.py [--candidates 200000] [--jobs 10000] [--json]
"""

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas.job import JobSpec
from schemas.lifecycle import JobState, Outcome, TaskKind, TaskState
from schemas.settings import Settings
from schemas.task import EngineReport, FoldResult, Prepared
from service import lock
from service.dossier import Dossiers
from service.failures import fit_failures
from service.handover import known_engines, open_batches
from service.outdated import Wanted
from service.outdated import plan as plan_prune
from service.prune import prune
from service.records import open_records
from service.searches import Searches
from service.stimuli import (
    Batch,
    CancelTasks,
    Dispatch,
    EndTask,
    FoldsPlanned,
    MoveJob,
    Record,
    RecordPrepared,
)
from service.store import Store

N_SPLITS = 5

#: Folds sent and recorded one by one, to see what each costs; the others are made up in SQL.
N_RECORDED = 20_000
BATCH = 100

SMALL = {
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [1.0, 10.0]}},
    "cv": 5,
}


def big_search(n_candidates: int) -> dict[str, Any]:
    """Return the job file of a grid of that many candidates."""
    width = max(d for d in range(1, int(n_candidates**0.5) + 1) if n_candidates % d == 0)
    space = {
        "C": {"$logspace": [-3, 3, n_candidates // width]},
        "gamma": {"$logspace": [-5, 1, width]},
    }
    return {**SMALL, "name": "big", "search": {"space": space}}


PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, N_SPLITS, 3, True, 120, {"numpy": "2.4.6"})


@dataclass
class Measured:
    """What one step took: seconds, of this process's processor time and of memory (MB) how much.

    `limit` is what the seconds are to stay below on a machine that does nothing else.
    """

    step: str
    seconds: float
    processor: float
    megabytes: float
    limit: float | None = None


class Clock:
    """Tells the seconds, and the processor time, since it was made."""

    def __init__(self) -> None:
        self._begun, self._busy = time.perf_counter(), time.process_time()

    def read(self, n: int = 1) -> tuple[float, float]:
        """Return both, each divided by `n`."""
        seconds, busy = time.perf_counter() - self._begun, time.process_time() - self._busy
        return seconds / n, busy / n


@dataclass
class Measurements:
    """All that was measured, in order."""

    steps: list[Measured] = field(default_factory=list)

    @contextmanager
    def of(self, step: str, limit: float | None = None) -> Iterator[None]:
        """Measure what the block takes."""
        before = _memory(peak=False)
        _forget_peak()
        clock = Clock()
        yield
        self.add(step, *clock.read(), _memory(peak=True) - before, limit)

    def add(
        self,
        step: str,
        seconds: float,
        processor: float,
        megabytes: float = 0.0,
        limit: float | None = None,
    ) -> None:
        """Take note of a step."""
        self.steps.append(Measured(step, seconds, processor, max(megabytes, 0.0), limit))
        print(line(self.steps[-1]), file=sys.stderr, flush=True)


def line(measured: Measured) -> str:
    """Give a step as a line of the table."""
    limit = "" if measured.limit is None else f"{measured.limit:9.3g} s"
    over = measured.limit is not None and measured.seconds > measured.limit
    return (
        f"{measured.step:50} {measured.seconds:11.6f} s {measured.processor:11.6f} s"
        f" {measured.megabytes:6.0f} MB"
        f" {limit:>11}{' !' if over else ''}"
    )


def _memory(*, peak: bool) -> float:
    """Return what this process has in memory, or had at most since `_forget_peak` (MB)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # another system than Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = "VmHWM:" if peak else "VmRSS:"
    return int(status.split(name)[1].split()[0]) / 1024


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


# --- made-up searches ----------------------------------------------------------------------------


def admit(store: Store, job: dict[str, Any], name: str, number: int) -> int:
    """Record a job and what its data are, as if a prepare task had found that out."""
    spec = JobSpec.model_validate({"name": name, **job})
    job_id = store.admit(
        spec,
        name=f"{name}.yaml",
        data=json.dumps(job).encode(),
        digest=f"{number:064x}",
        estimator="SVC",
        now=_now(),
    ).job_id
    begin: list[Record] = [MoveJob(job_id, JobState.PREPARING), RecordPrepared(job_id, PREPARED)]
    store.record(begin, _now())
    end_prepare(store, job_id)
    return job_id


def end_prepare(store: Store, job_id: int) -> None:
    """Say that the data are prepared, and that the folds have begun."""
    with store.transaction() as db:
        at = _text(_now())
        db.execute(
            "UPDATE task SET state = 'done', finished_at = ? WHERE job_id = ? AND kind = 'prepare'",
            (at, job_id),
        )
        db.execute("UPDATE job SET state = 'running' WHERE id = ?", (job_id,))


def small_searches(store: Store, n_jobs: int) -> None:
    """Record that many searches of two candidates that ended well, by multiplying one."""
    first = admit(store, SMALL, "small", 1)
    with store.transaction() as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(job)")]
        changed = {
            "id": f"{first} + n",
            "name": "'small-' || n",
            "file_name": "'small-' || n || '.yaml'",
            "file_digest": "printf('%064x', 1000 + n)",
            "state": "'completed'",
            "finished_at": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || n || ' minutes')",
            "n_candidates": "2",
            "n_tasks": str(2 * N_SPLITS),
            "n_done": str(2 * N_SPLITS),
            "best_index": "0",
            "best_score": "0.9 + (n % 100) / 1000.0",
            "best_params": """'{"C": 1.0}'""",
        }
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
        numbers += f" WHERE n < {n_jobs}) "
        db.execute(
            f"{numbers} INSERT INTO job ({', '.join(columns)})"
            f" SELECT {', '.join(changed.get(name, name) for name in columns)}"
            " FROM job, numbers WHERE id = ?",
            (first,),
        )
        db.execute(
            f"{numbers} INSERT INTO candidate (job_id, number, params)"
            """ SELECT ? + n, number, '{"C": ' || number || '.5}' FROM numbers,"""
            " (SELECT 0 AS number UNION SELECT 1)",
            (first,),
        )
        db.execute(
            "INSERT INTO task (job_id, kind, candidate_id, split, state, test_scores, fit_time,"
            " score_time, finished_at)"
            " SELECT job_id, 'fold', candidate.id, split, 'done',"
            " '{\"score\": 0.' || (90 + number) || '}', 0.01, 0.001, ?"
            f" FROM candidate, ({_splits()}) WHERE job_id > ?",
            (_text(_now()), first),
        )
        for kind in ("job admitted", "job moved", "data prepared", "job moved", "job moved"):
            db.execute(
                f"{numbers} INSERT INTO event (at, kind, job_id, message)"
                " SELECT ?, ?, ? + n, 'as it goes' FROM numbers",
                (_text(_now()), kind, first),
            )
    store.record([CancelTasks(first), MoveJob(first, JobState.CANCELLED, "made up")], _now())


def _splits() -> str:
    return " UNION ".join(f"SELECT {split} AS split" for split in range(N_SPLITS))


def finish_folds(store: Store, job_id: int, engine_id: int, up_to: int) -> None:
    """Record attempts and results of the pending folds up to a task number."""
    pending = "job_id = ? AND kind = 'fold' AND state = 'pending' AND id <= ?"
    with store.transaction() as db:
        at = _text(_now())
        db.execute(
            "INSERT INTO attempt (task_id, engine_id, batch, submitted_at, finished_at, outcome)"
            f" SELECT id, ?, id / {BATCH}, ?, ?, 'ok' FROM task WHERE {pending}",
            (engine_id, at, at, job_id, up_to),
        )
        db.execute(f"UPDATE task SET state = 'dispatched' WHERE {pending}", (job_id, up_to))
        n_done = db.execute(
            "UPDATE task SET state = 'done', n_attempts = 1, started_at = ?1, finished_at = ?1,"
            " fit_time = 0.001 + (id % 997) / 1e6, score_time = 0.0005,"
            " test_scores = '{\"score\": 0.' || (500000 + id * 7919 % 499979) || '}'"
            " WHERE job_id = ?2 AND state = 'dispatched' AND id <= ?3",
            (at, job_id, up_to),
        ).rowcount
        db.execute("UPDATE job SET n_done = n_done + ? WHERE id = ?", (n_done, job_id))


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- the steps -----------------------------------------------------------------------------------


@dataclass
class Scale:
    """Makes up the records and times what is done with them.

    Parameters
    ----------
    spool : Path
    n_jobs : int
        Small searches that have ended.
    n_candidates : int
        Of the big one, each on five splits.
    """

    spool: Path
    n_jobs: int
    n_candidates: int
    measured: Measurements = field(default_factory=Measurements)

    def __post_init__(self) -> None:
        self.settings = Settings(spool=self.spool)
        self.store = Store(self.settings.database_path)
        with self.measured.of(f"(making up {self.n_jobs:,} small searches)"):
            small_searches(self.store, self.n_jobs)
        report = EngineReport("node-1", 4000, {})
        self.engine_id = self.store.engine_joined("made-up", 0, "a", report, _now())

    @property
    def n_folds(self) -> int:
        """Folds of the big search."""
        return self.n_candidates * N_SPLITS

    def run(self, *, with_commands: bool = True) -> None:
        """Take all the steps, in the order of a job's life.

        Parameters
        ----------
        with_commands : bool, default=True
            Start commands as processes of their own, too.
        """
        self.admit()
        import_module("sklearn.model_selection")  # a scheduler has, when it plans
        import_module("workers.repeatable")
        self.plan()
        self.plan_again()
        self.dispatch()
        with lock.hold(self.spool):  # as a scheduler does, that the commands find one
            self.look("running")
            if with_commands:
                self.commands()
        self.resume()
        self.cancel_and_retry()
        self.complete()
        self.look("completed")
        self.reuse()
        self.tidy()

    def admit(self) -> None:
        """Admit small jobs, then the big one."""
        begun = time.perf_counter()
        for number in range(100):
            admit(self.store, SMALL, f"more-{number}", 10**6 + number)
        self.measured.add(
            "admission of a small search", (time.perf_counter() - begun) / 100, 0, 0.1
        )
        with self.store.transaction() as db:
            db.execute("DELETE FROM job WHERE name LIKE 'more-%'")
        with self.measured.of("admission of the big search", 1.0):
            self.job_id = admit(self.store, big_search(self.n_candidates), "big", 10**7)

    def plan(self, name: str = "planning", job_id: int | None = None) -> int:
        """Plan a search, turn by turn, as the scheduler does; return its folds to compute."""
        job_id = self.job_id if job_id is None else job_id
        longest, n_open = (0.0, 0.0), 0
        searches = Searches(self.settings, self.store, Dossiers(self.settings, self.store))
        with self.measured.of(f"{name} {self.n_folds:,} folds"):
            assert list(searches.next_step(job_id)) == []
            while searches.is_planning:
                clock = Clock()
                for planned in searches.plan_more():
                    assert isinstance(planned, FoldsPlanned), planned
                    n_open += planned.count
                longest = max(longest, clock.read())
        total = self.measured.steps[-1]
        each = total.seconds / self.n_folds, total.processor / self.n_folds
        self.measured.add(f"{name}, each fold", *each, limit=30e-6)
        self.measured.add(f"{name}, the longest turn", *longest, limit=0.25)
        return n_open

    def plan_again(self) -> None:
        """Begin to plan where an earlier scheduler left off: near the end."""
        left = min(1000, self.n_candidates // 2)
        self.store.connection.execute("PRAGMA foreign_keys=OFF")  # it would look for each
        with self.store.transaction() as db:
            first = self.n_candidates - left
            chosen = "SELECT id FROM candidate WHERE job_id = ?1 AND number >= ?2"
            asked = (self.job_id, first)
            db.execute(f"DELETE FROM task WHERE job_id = ?1 AND candidate_id IN ({chosen})", asked)
            db.execute("DELETE FROM candidate WHERE job_id = ?1 AND number >= ?2", asked)
            db.execute("UPDATE job SET n_candidates = ? WHERE id = ?", (first, self.job_id))
        self.store.connection.execute("PRAGMA foreign_keys=ON")
        searches = Searches(self.settings, self.store, Dossiers(self.settings, self.store))
        with self.measured.of("the rest of a plan that was interrupted", 5.0):
            list(searches.next_step(self.job_id))
            while searches.is_planning:
                list(searches.plan_more())

    def dispatch(self) -> None:
        """Load folds, send them, record their ends."""
        n = min(N_RECORDED, self.n_folds // 4)
        with self.measured.of("loading a page of folds", 0.2):
            tasks = self.store.load_folds(self.job_id, 0, 4000)
        while len(tasks) < n:
            tasks += self.store.load_folds(self.job_id, tasks[-1].task_id, 4000)
        attempt, batch = self.store.next_numbers()
        clock = Clock()
        for k in range(0, n, BATCH):
            numbered = tuple(enumerate(tasks[k : k + BATCH], start=attempt + k))
            sent = Batch(batch + k, self.job_id, self.engine_id, TaskKind.FOLD, numbered, 1.0)
            self.store.record([Dispatch(sent)], _now())
            self.store.record([self._end(task.task_id, a) for a, task in numbered], _now())
        self.measured.add("recording a fold: sent and ended", *clock.read(n))
        last = self._nth_fold(self.n_folds // 2)
        with self.measured.of("(making up results of half of the folds)"):
            finish_folds(self.store, self.job_id, self.engine_id, last)
        # What the scheduler had sent when it died.
        tasks = self.store.load_folds(self.job_id, last, 8)
        attempt, batch = self.store.next_numbers()
        numbered = tuple(enumerate(tasks, start=attempt))
        sent = Batch(batch, self.job_id, self.engine_id, TaskKind.FOLD, numbered, 1.0)
        self.store.record([Dispatch(sent)], _now())

    def _end(self, task_id: int, attempt_id: int) -> EndTask:
        scores = {"score": 0.5 + task_id * 7919 % 499979 / 1e6}
        result = FoldResult(task_id, attempt_id, test_scores=scores, fit_time=1e-3, score_time=5e-4)
        return EndTask(
            self.job_id, task_id, attempt_id, TaskKind.FOLD, TaskState.DONE, Outcome.OK,
            n_attempts=1, result=result,
        )  # fmt: skip

    def _nth_fold(self, n: int) -> int:
        row = self.store.connection.execute(
            "SELECT id FROM task WHERE job_id = ? AND kind = 'fold' ORDER BY id LIMIT 1 OFFSET ?",
            (self.job_id, n - 1),
        ).fetchone()
        return int(row[0])

    def look(self, state: str) -> None:
        """Ask what people ask, in a process that has imported everything."""
        from typer.testing import CliRunner

        from service.cli import app

        def asked(limit: float, *arguments: str) -> None:
            told = f"foldq {' '.join(arguments)} ({state}, warm)"
            told = told.replace(str(self.job_id), "ID").replace(f"{self.spool}/", "")
            for warm in (False, True):
                if not warm and limit > 1.0:
                    continue
                with self._maybe(warm, told, limit):
                    given = [*arguments, "--spool", str(self.spool)]
                    answer = CliRunner().invoke(app, given)
                assert answer.exit_code == 0, answer.output

        number = str(self.job_id)
        asked(0.2, "status")
        asked(0.2, "status", "--json")
        asked(0.2, "history")
        asked(0.2, "history", "-n", "20", "--sort", "-score")
        asked(5.0, "history", "--json")
        asked(5.0, "engines")
        asked(5.0, "show", number)
        asked(5.0, "show", number, "--json")
        asked(5.0, "results", number)
        asked(60.0, "results", number, "-o", str(self.spool / "results.csv"))

    @contextmanager
    def _maybe(self, really: bool, step: str, limit: float) -> Iterator[None]:
        if not really:
            yield
            return
        with self.measured.of(step, limit):
            yield

    def commands(self) -> None:
        """Time whole commands, but for the start of Python."""
        bare = _command("-c", "pass")
        for name in ("status", "history"):
            took = _command("-m", "service.cli", name, "--spool", str(self.spool))
            more = f"foldq {name}, cold, but for the interpreter"
            self.measured.add(more, *(whole - part for whole, part in zip(took, bare, strict=True)))

    def resume(self) -> None:
        """Do what a scheduler does from its start to its first dispatch."""
        self.store.close()
        with self.measured.of("resume: from start to first dispatch", 5.0):
            steps: list[tuple[str, Callable[[], object]]] = [
                ("open", self._open),
                ("next numbers", lambda: self.store.next_numbers()),
                ("known engines", lambda: self.store.read(known_engines)),
                ("open batches", lambda: open_batches(self.store.connection, self.engine_id, 1.0)),
                ("recover", lambda: self.store.recover(_now())),
                ("unfinished jobs", lambda: self.store.unfinished_jobs()),
                ("admission", lambda: self._dossiers().admission(self.job_id)),
                ("next step", self._next_step),
                ("load folds", lambda: self.store.load_folds(self.job_id, 0, 4000)),
            ]
            took: dict[str, tuple[float, float]] = {}
            for name, step in steps:
                clock = Clock()
                step()
                took[name] = clock.read()
        for name, both in took.items():
            self.measured.add(f"   {name}", *both)
        report = EngineReport("node-1", 4001, {})
        self.engine_id = self.store.engine_joined("made-up", 1, "b", report, _now())

    def _open(self) -> None:
        self.store = Store(self.settings.database_path)

    def _dossiers(self) -> Dossiers:
        return Dossiers(self.settings, self.store)

    def _next_step(self) -> None:
        list(Searches(self.settings, self.store, self._dossiers()).next_step(self.job_id))

    def cancel_and_retry(self) -> None:
        """Give the big search up, and take it up again."""
        given_up: list[Record] = [
            CancelTasks(self.job_id),
            MoveJob(self.job_id, JobState.CANCELLED, "on request"),
        ]
        with self.measured.of("cancel (half of the folds)", 5.0):
            self.store.record(given_up, _now())
        with self.measured.of("retry (half of the folds)", 10.0):
            self.store.retry(self.job_id, _now(), listed=False)
        self.store.record([MoveJob(self.job_id, JobState.RUNNING)], _now())

    def complete(self) -> None:
        """Have all folds done, and the search completed."""
        with self.measured.of("(making up results of the other half)"):
            finish_folds(self.store, self.job_id, self.engine_id, 2**62)
        assert self.store.n_pending_folds(self.job_id) == 0
        with self.measured.of("whether folds are open", 0.2):
            assert not self.store.has_open_folds(self.job_id)
        with self.measured.of("whether all fits failed", 0.2):
            assert not fit_failures(self.store.connection, self.job_id).all_failed
        searches = Searches(self.settings, self.store, self._dossiers())
        with self.measured.of("from the last fold to the winner", 30.0):
            list(searches.next_step(self.job_id))
        with self.store.transaction() as db:
            db.execute(
                "UPDATE task SET state = 'done', finished_at = ? WHERE job_id = ?"
                " AND kind = 'refit'",
                (_text(_now()), self.job_id),
            )
        with self.measured.of("from the refit to the written results", 60.0):
            list(searches.next_step(self.job_id))
        self.store.record([MoveJob(self.job_id, JobState.COMPLETED)], _now())

    def reuse(self) -> None:
        """Plan a second search of the same candidates: all its folds are in the records."""
        twin = admit(self.store, big_search(self.n_candidates), "again", 10**8)
        assert self.plan("planning from the records", twin) == 0
        self.store.record([CancelTasks(twin), MoveJob(twin, JobState.CANCELLED, "over")], _now())

    def tidy(self) -> None:
        """Look through the file, and forget everything."""
        with self.measured.of("foldq doctor: the records"):
            from service.doctor import Patient
            from service.doctor_records import integrity

            print(integrity(Patient(self.spool)).told, file=sys.stderr)
        later = _now() + timedelta(hours=2)
        wanted = Wanted(later)
        with (
            self.measured.of("foldq prune: what would go"),
            open_records(self.settings.database_path) as records,
        ):
            found = plan_prune(records, self.spool, wanted, later)
        longest, clock = (0.0, 0.0), Clock()
        with self.measured.of(f"foldq prune: {found.n_folds:,} folds, {len(found.jobs):,} jobs"):
            for _ in prune(self.store, self.spool, wanted, later):
                longest, clock = max(longest, clock.read()), Clock()
        self.measured.add("foldq prune: its longest step", *longest)


def _command(*arguments: str) -> tuple[float, float]:
    """Return the seconds and the processor time of a command of this Python: the best of three."""
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        took.append((time.perf_counter() - begun, busy))
    return min(took)


def main() -> None:
    """Make the records up, time everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldq-scale-") as directory:
        scale = Scale(Path(directory), given.jobs, given.candidates)
        scale.run()
        size = scale.settings.database_path.stat().st_size
    if given.json:
        steps = [asdict(step) for step in scale.measured.steps]
        print(json.dumps({"sqlite": sqlite3.sqlite_version, "bytes": size, "steps": steps}))
    else:
        print("\n".join(map(line, scale.measured.steps)))


if __name__ == "__main__":
    main()
