"""Figures for Prometheus: what the loop counts, and how they are given out."""

import socket
import urllib.request
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.operating import MetricsSettings
from schemas.settings import Settings
from schemas.task import BatchReport, FoldResult
from service.metrics import Metrics
from service.observer import Observer
from service.scheduler import Scheduler
from service.stimuli import (
    Batch,
    CancelTasks,
    Dispatch,
    EndAttempt,
    EndTask,
    EngineJoined,
    EngineLeft,
    JobAdmitted,
    PutBackTask,
    QueueHeld,
    Task,
)
from service.troubles import Troubles

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def read(text):
    """Every sample by its name and labels, as Prometheus reads it."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def batch(first, n, *, job_id=1, kind=TaskKind.FOLD):
    tasks = tuple((number, Task(number, kind)) for number in range(first, first + n))
    return Batch(first, job_id, 1, kind, tasks, 1.0)


def ended(number, outcome=Outcome.OK, state=TaskState.DONE, kind=TaskKind.FOLD):
    result = FoldResult(number, number, fit_time=0.5, score_time=0.25, spared_time=0.125)
    reason = FailureReason.ERROR if state is TaskState.FAILED else None
    return EndTask(1, number, number, kind, state, outcome, reason, result=result)


def test_folds_and_attempts_are_counted_as_they_begin_and_end():
    metrics = Metrics()
    metrics.recorded([Dispatch(batch(100, 1, kind=TaskKind.PREPARE)), Dispatch(batch(1, 6))])
    assert read(metrics.text())["foldq_folds_in_flight",] == 6
    metrics.recorded(
        [
            ended(100, kind=TaskKind.PREPARE),
            ended(1),
            ended(2),
            ended(3, Outcome.ERROR, TaskState.FAILED),
            PutBackTask(4, 4, Outcome.RETURNED, 0, 0),
            EndAttempt(5, Outcome.SUPERSEDED),
            EngineLeft(1, "killed"),
        ]
    )
    metrics.rejoined([batch(20, 3, job_id=9)])
    metrics.recorded([CancelTasks(1)])
    metrics.reused(7)
    metrics.reused(9)
    told = read(metrics.text())
    assert told["foldq_folds_in_flight",] == 3
    folds = {name: told["foldq_folds_total", name] for name in ("done", "failed", "reused")}
    assert folds == {"done": 2, "failed": 1, "reused": 9}
    attempts = {outcome.value: told["foldq_attempts_total", outcome.value] for outcome in Outcome}
    assert attempts == {
        "ok": 3, "error": 1, "returned": 1, "superseded": 1, "cancelled": 1, "timeout": 0,
        "engine_lost": 0,
    }  # fmt: skip
    assert told["foldq_engines_lost_total",] == 1
    assert told["foldq_fit_seconds_total",] == 1.5
    assert told["foldq_score_seconds_total",] == 0.75
    assert told["foldq_spared_seconds_total",] == 0.375


def test_times_are_histograms():
    metrics = Metrics()
    metrics.batch_returned(BatchReport(1, (), seconds=0.2))
    metrics.batch_returned(BatchReport(2, (), seconds=20))
    metrics.turned(0.002)
    with metrics.committing():
        pass
    told = read(metrics.text())
    assert told["foldq_batch_seconds_count",] == 2
    assert told["foldq_batch_seconds_sum",] == 20.2
    assert told["foldq_batch_seconds_bucket", "0.25"] == 1
    assert told["foldq_turn_seconds_count",] == told["foldq_commit_seconds_count",] == 1


def test_states_are_those_of_core_and_records(store):
    from schemas.job import JobSpec

    spec = JobSpec.model_validate(
        {"name": "a", "data": {"loader": "iris"}, "estimator": "SVC",
         "search": {"strategy": "grid", "space": {"C": [1]}}}
    )  # fmt: skip
    store.admit(spec, name="a", data=b"", digest="a" * 64, estimator="SVC", now=NOW)
    store.connection.execute(
        "INSERT INTO hook_call (job_id, hook, state, ended_at, due_at) VALUES (1, 'x', 'x', '', '')"
    )
    core = Scheduler()
    core.handle(EngineJoined(1), NOW)
    core.handle(EngineJoined(2), NOW)
    todo = Task(1, TaskKind.PREPARE)
    core.handle(JobAdmitted(1, JobState.QUEUED, todo=todo, n_open=40), NOW)
    core.handle(QueueHeld(True), NOW)
    metrics = Metrics()
    metrics.look(core, store.connection, {"files": {"incoming": "full"}})
    told = read(metrics.text())
    assert (told["foldq_engines", "busy"], told["foldq_engines", "idle"]) == (1, 1)
    assert (told["foldq_jobs", "queued"], told["foldq_jobs", "failed"]) == (1, 0)
    assert told["foldq_folds_queued",] == 40
    assert (told["foldq_trouble", "files"], told["foldq_trouble", "records"]) == (1, 0)
    assert told["foldq_queue_paused",] == 1
    assert told["foldq_hook_calls_waiting",] == 1


def test_names_keep_to_the_conventions_of_prometheus():
    for family in text_string_to_metric_families(Metrics().text().decode()):
        if family.name.startswith("process_"):
            continue
        assert family.name.startswith("foldq_")
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


@pytest.fixture
def observing(store, place):
    made = []

    def observe(port):
        troubles = Troubles(lambda text: None)
        settings = Settings(spool=place, metrics=MetricsSettings(port=port))
        observer = Observer(settings, store, Scheduler(), None, troubles)
        made.append(observer)
        return observer, troubles

    yield observe
    for observer in made:
        observer.close()


def test_they_are_given_out_on_loopback_and_a_taken_port_is_tried_again(observing):
    later = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        observer, troubles = observing(port)
        observer.listen(lambda seconds, action: later.append(action))
        assert f"no metrics at 127.0.0.1:{port}: address already in use" in troubles.text
    (again,) = later
    again()
    assert troubles.text is None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert ("foldq_folds_total", "done") in read(answer.read())
    with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
        elsewhere.connect(("127.0.0.2", port))


def test_without_a_port_nothing_is_counted_nor_imported(observing):
    observer, troubles = observing(None)
    observer.listen(lambda seconds, action: pytest.fail("nothing to try again"))
    observer.turned(0.0)
    assert observer.metrics is None
    assert troubles.text is None
