"""A large search is concluded in a process of its own: the same files, and nobody waits for it."""

import json
import time
from datetime import UTC, datetime

import psutil
import pytest

from schemas.job import JobSpec
from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.settings import Settings
from schemas.task import EngineReport, FoldResult, Prepared
from service import searches
from service.dossier import Dossiers
from service.searches import Searches
from service.stimuli import (
    Batch,
    Dispatch,
    EndTask,
    FoldsPlanned,
    MoveJob,
    RecordPrepared,
    SearchEnded,
    Task,
    TaskPlanned,
)
from service.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = {
    "name": "job",
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [1, 2, 3]}},
    "refit": False,
    "cv": 2,
}
PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, 2, 3, True, 120, {})


class Service:
    """The records of one search whose folds are done, and what a scheduler does for it."""

    def __init__(self, spool, failing=(), **options):
        spool.mkdir()
        self.settings = Settings(spool=spool)
        self.store = Store(self.settings.database_path)
        spec = JobSpec.model_validate(SPEC | options)
        self.store.admit(spec, name="job.json", data=b"{}", digest="d", estimator="SVC", now=NOW)
        self.store.engine_joined("local", 0, "identity", EngineReport("host", 123, {}), NOW)
        self.store.record([MoveJob(1, JobState.PREPARING), RecordPrepared(1, PREPARED)], NOW)
        self.store.record([MoveJob(1, JobState.RUNNING)], NOW)
        self.searches = Searches(self.settings, self.store, Dossiers(self.settings, self.store))
        list(self.searches.next_step(1))
        while self.searches.is_planning:
            list(self.searches.plan_more())
        for task in self.store.load_folds(1, 0, 100):
            state = TaskState.FAILED if task.task_id in failing else TaskState.DONE
            self.end(task.task_id, task.task_id % 4 / 10, state)

    def end(self, task_id, score, state=TaskState.DONE):
        (attempt,) = self.store.connection.execute(
            "SELECT coalesce(max(id), 0) + 1 FROM attempt"
        ).fetchone()
        batch = Batch(attempt, 1, 1, TaskKind.FOLD, ((attempt, Task(task_id, TaskKind.FOLD)),), 0.5)
        self.store.record([Dispatch(batch)], NOW)
        result = FoldResult(task_id, attempt, {"score": score})
        outcome = Outcome.OK if state is TaskState.DONE else Outcome.ERROR
        reason = None if state is TaskState.DONE else FailureReason.ERROR
        end = EndTask(1, task_id, attempt, TaskKind.FOLD, state, outcome, reason, result=result)
        self.store.record([end], NOW)

    def step(self):
        return list(self.searches.next_step(1))

    def concluded(self):
        """Wait as the loop does, and take the step that has come."""
        self.wait()
        return self.step()

    def wait(self):
        deadline = time.monotonic() + 60
        while not self.searches.concluded():
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.01)

    def files(self):
        directory = self.settings.spool / "results" / "1"
        found = {path.name: path.read_text() for path in directory.glob("[!.]*")}
        if "best.json" in found:
            found["best.json"] = json.loads(found["best.json"]) | {"finished_at": None}
        return found

    def close(self):
        self.searches.close()
        self.store.close()


@pytest.fixture
def made(tmp_path):
    services = []

    def make(name="spool", **options):
        services.append(Service(tmp_path / name, **options))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.fixture(autouse=True)
def _every_search_is_large(monkeypatch):
    monkeypatch.setattr(searches, "BESIDE_FROM", 6)


def child():
    (process,) = [
        process
        for process in psutil.Process().children()
        if "service.conclusion" in process.cmdline()
    ]
    return process


def test_beside_the_loop_the_same_files_come_out(made, monkeypatch):
    large, small = made("large"), made("small")
    assert large.step() == [], "the loop goes on"
    assert large.searches.is_concluding(1)
    assert large.concluded() == [SearchEnded(1, None)]
    assert not large.searches.is_concluding(1)

    monkeypatch.setattr(searches, "BESIDE_FROM", 7)
    assert small.step() == [SearchEnded(1, None)]

    def best(service):
        return service.store.connection.execute(
            "SELECT best_index, best_score, best_params FROM job"
        ).fetchone()

    assert best(large) == best(small)
    files = large.files()
    assert {"cv_results.csv", "cv_results.json", "best.json", "job.yaml"} <= files.keys()
    for name in ("cv_results.csv", "cv_results.json", "job.yaml"):
        assert files[name] == small.files()[name]
    for told in ("params", "score", "std", "index", "scores", "searched"):
        assert files["best.json"][told] == small.files()["best.json"][told]


def test_with_a_refit_the_winner_is_named_first_and_the_files_written_after_it(made):
    service = made(refit=True)
    service.step()
    (planned,) = service.concluded()
    assert isinstance(planned, TaskPlanned)
    assert service.files() == {}
    service.store.connection.execute(
        "UPDATE task SET state = 'done', finished_at = 'now' WHERE kind = 'refit'"
    )
    assert service.step() == []
    assert service.concluded() == [SearchEnded(1, None)]
    assert "best.json" in service.files()


def test_a_process_that_is_killed_is_a_trouble_and_begun_again(made):
    service = made()
    service.step()
    child().kill()
    with pytest.raises(ChildProcessError, match="SIGKILL"):
        service.concluded()
    assert not service.searches.is_concluding(1)
    assert service.step() == []
    assert service.concluded() == [SearchEnded(1, None)]


def test_what_hinders_it_is_raised_in_the_loop(made):
    service = made()
    (service.settings.spool / "results").write_text("a file in the place of the directory")
    service.step()
    with pytest.raises(NotADirectoryError):
        service.concluded()
    (service.settings.spool / "results").unlink()
    service.step()
    assert service.concluded() == [SearchEnded(1, None)]


def test_folds_that_were_put_back_meanwhile_make_it_begin_anew(made):
    service = made()
    service.store.connection.execute("UPDATE job SET n_done = 5, n_failed = 1")
    service.step()
    service.wait()
    # The fold that failed was put back, and went well this time.
    service.store.connection.execute("UPDATE job SET n_done = 6, n_failed = 0")
    assert service.step() == [], "what was found is out of date"
    assert service.searches.is_concluding(1)
    assert service.concluded() == [SearchEnded(1, None)]


def test_folds_that_are_put_back_and_not_done_yet_are_awaited(made):
    service = made(failing={3})
    service.step()
    service.wait()
    service.store.retry(1, NOW)
    assert service.step() == [FoldsPlanned(1, 0, complete=True)]
    assert service.searches.concluded() == [], "the loop is not told again and again"


def test_a_search_that_is_given_up_is_concluded_no_more(made):
    service = made()
    service.step()
    process = child()
    service.searches.forget(1)
    process.wait(30)
    assert service.searches.concluded() == []
    assert not service.searches.is_concluding(1)


def test_it_does_not_outlive_its_scheduler(made):
    service = made()
    service.step()
    process = child()
    service.searches.close()
    assert not process.is_running()
