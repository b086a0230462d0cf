"""What people ask stays cheap as searches grow: questions look at few rows, whatever there are.

No clock is read: SQLite says how it goes about a question, and how many steps of its machine the
answer takes.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.scale import dispatching, planning
from benchmarks.scale.__main__ import run
from benchmarks.scale.subject import Scale
from service import history, lives
from service.dossier import Dossiers
from service.failures import fit_failures
from service.handover import known_engines, open_batches
from service.searches import Searches

#: SQLite calls back after so many steps of its machine.
STEPS = 20


class Asked:
    """Counts the steps of what is asked, and keeps the questions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.questions: list[str] = []
        self.n_steps = 0

    def __enter__(self) -> "Asked":
        self.connection.set_trace_callback(self.questions.append)
        self.connection.set_progress_handler(self._stepped, STEPS)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.set_trace_callback(None)
        self.connection.set_progress_handler(None, STEPS)

    def _stepped(self) -> None:
        self.n_steps += STEPS

    @property
    def scans(self) -> list[str]:
        """The parts of their plans that go through a whole table of folds or attempts."""
        return [
            f"{step[3]}: {question}"
            for question in self.questions
            if question.lstrip().startswith(("SELECT", "UPDATE", "DELETE"))
            for step in self.connection.execute(f"EXPLAIN QUERY PLAN {question}")
            if step[3].startswith(("SCAN task", "SCAN attempt", "SCAN candidate"))
            # Of those the open and the odd ones alone, or the last ones: few, whatever there are.
            and not step[3].endswith(("attempt_open", "attempt_notable"))
            and " LIMIT " not in question
        ]


def made_up(spool: Path, n_candidates: int) -> Scale:
    """Make a spool with a search half done, and ten that have ended."""
    spool.mkdir()
    scale = Scale(spool, 10, n_candidates)
    planning.admit(scale)
    planning.plan(scale)
    dispatching.dispatch(scale)
    return scale


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("scale")
    scales = [made_up(directory / str(n), n) for n in (300, 3000)]
    yield scales
    for scale in scales:
        scale.store.close()


def status(scale: Scale, records: sqlite3.Connection) -> None:
    now = datetime.now(UTC)
    for job in history.find_jobs(records, history.Query(limit=5, descending=True), now):
        history.time_left(records, job, now)
    lives.live_engines(records)
    lives.loads(records)


def listed(scale: Scale, records: sqlite3.Connection) -> None:
    query = history.Query(sort=history.SortKey.SCORE, descending=True, limit=50)
    history.find_jobs(records, query, datetime.now(UTC))
    history.count_jobs(records, query)


def resumed(scale: Scale, records: sqlite3.Connection) -> None:
    store = scale.store
    known_engines(records)
    open_batches(records, scale.engine_id, 1.0)
    store.recover(datetime.now(UTC), still_there=[scale.engine_id])
    for job_id in store.unfinished_jobs():
        store.single_task(job_id, "prepare")
        list(Searches(scale.settings, store, Dossiers(scale.settings, store)).next_step(job_id))
        store.load_folds(job_id, 0, 100)


def counted(scale: Scale, records: sqlite3.Connection) -> None:
    scale.store.n_pending_folds(scale.job_id)
    scale.store.next_numbers()
    lives.task_states(records, scale.job_id)
    lives.failures(records, scale.job_id)
    lives.lost_engines(records, scale.job_id)
    lives.resubmitted(records, scale.job_id)
    lives.attempts(records, scale.job_id, notable=True)
    fit_failures(records, scale.job_id)


@pytest.mark.parametrize("ask", [status, listed, resumed])
def test_what_is_asked_often_takes_no_longer_in_a_larger_search(
    few_and_many: list[Scale], ask: Callable[[Scale, sqlite3.Connection], None]
):
    taken = []
    for scale in few_and_many:
        with Asked(scale.store.connection) as asked:
            ask(scale, scale.store.connection)
        assert asked.questions
        assert asked.scans == []
        taken.append(asked.n_steps)
    few, many = taken
    assert many <= 1.2 * few, "ten times as many folds"


def test_what_is_asked_of_one_search_looks_at_no_other(few_and_many: list[Scale]):
    scale = few_and_many[0]
    with Asked(scale.store.connection) as asked:
        counted(scale, scale.store.connection)
    assert [scan for scan in asked.scans if "max(batch)" not in scan] == []


def test_the_benchmark_takes_all_its_steps(tmp_path: Path):
    scale = Scale(tmp_path, 3, 8)
    run(scale, with_commands=False)
    scale.store.close()
    assert {"resume: from start to first dispatch", "foldq prune: its longest step"} <= {
        step.step for step in scale.measured.steps
    }
