"""The log: lines for people, and the same as JSON with the ids of what they are about."""

import json
import logging
import stat
from datetime import datetime

import pytest

from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.operating import Hook, HookSettings, LogSettings
from schemas.settings import Settings
from schemas.task import BatchReport
from service import journal
from service.facts import Returned
from service.logs import about, start_logging
from service.stimuli import Batch, Dispatch, EndTask, MoveJob, Note, Task
from service.troubles import Troubles

log = logging.getLogger("foldq")


@pytest.fixture
def logged(tmp_path):
    """Start the log; return its lines, read from JSON."""
    before = (log.handlers, log.propagate, log.level)
    directory = tmp_path / "logs"
    directory.mkdir()

    def begin(**settings):
        start_logging(directory, LogSettings(**settings))

        def lines():
            for handler in log.handlers:
                handler.flush()
            return [json.loads(line) for line in (directory / "foldq.jsonl").open()]

        return lines

    begin.directory = directory
    yield begin
    for handler in log.handlers:
        handler.close()
    log.handlers, log.propagate, log.level = before


def batch(*task_ids):
    tasks = tuple((10 + i, Task(i, TaskKind.FOLD)) for i in task_ids)
    return Batch(5, 7, 2, TaskKind.FOLD, tasks, 1.0)


def failed(task_id, error="Traceback …\nValueError: no"):
    return EndTask(
        7, task_id, 9, TaskKind.FOLD, TaskState.FAILED, Outcome.ERROR, FailureReason.ERROR,
        error=error,
    )  # fmt: skip


def test_a_line_says_when_what_and_about_which(logged):
    lines = logged()
    log.info("job %d admitted: %s", 7, "a.yaml", extra=about("job admitted", job=7, file="a.yaml"))
    (line,) = lines()
    at = datetime.fromisoformat(line.pop("time"))
    assert abs((datetime.now(at.tzinfo) - at).total_seconds()) < 60
    assert line == {
        "level": "info", "event": "job admitted", "message": "job 7 admitted: a.yaml",
        "logger": "foldq", "job": 7, "file": "a.yaml",
    }  # fmt: skip


@pytest.mark.parametrize("ends", ["\n", "\r", "\r\n", "\u2028", "\x85", "\v", "\f", "\x1e", '"}\n'])
def test_no_name_forges_a_line(logged, capsys, ends):
    lines = logged()
    name = f'a{ends}{{"event": "job moved"}}{ends}2026-01-01 00:00:00,000 INFO    foldq: job 1'
    log.info("%s refused", name, extra=about("file refused", file=name))
    (line,) = lines()
    assert line["file"] == name
    raw = (logged.directory / "foldq.jsonl").read_bytes()
    assert raw.isascii()
    assert len(raw.decode().splitlines()) == 1
    for text in ((logged.directory / "foldq.log").read_text(), capsys.readouterr().err):
        first, *others = text.splitlines()
        assert "foldq" in first or "refused" in text
        assert all(other.startswith("    ") for other in others)


def test_an_error_has_its_traceback_in_the_same_line(logged):
    lines = logged()
    try:
        raise ValueError("x\ny")
    except ValueError:
        log.exception("job %d cannot go on", 7, extra=about("job stuck", job=7))
    (line,) = lines()
    assert (line["level"], line["job"]) == ("error", 7)
    assert line["traceback"].endswith("ValueError: x\ny")


def test_what_is_set_decides_about_files_sizes_and_levels(logged):
    logged(size=10_000, kept=2, level="warning")
    for number in range(200):
        log.info("nobody hears %d", number)
        log.warning("number %d %s", number, "x" * 400)
    files = {path.name: path.stat() for path in logged.directory.iterdir()}
    names = [f"foldq.{kind}{end}" for kind in ("log", "jsonl") for end in ("", ".1", ".2")]
    assert set(files) == set(names)
    assert all(found.st_size <= 10_000 for found in files.values())
    assert {stat.S_IMODE(found.st_mode) for found in files.values()} == {0o600}
    assert b"nobody" not in (logged.directory / "foldq.log").read_bytes()


def test_the_json_can_be_left_out(logged):
    logged(json_lines=False)
    log.info("x")
    assert [path.name for path in logged.directory.iterdir()] == ["foldq.log"]


def test_a_turn_is_told_with_its_ids(logged, capsys):
    lines = logged(level="debug")
    told = journal.Journal()
    told.tell(
        [
            Dispatch(batch(3, 4)),
            failed(3),
            Note("straggler copied", "to engine 4", job_id=7, engine_id=4),
            MoveJob(7, JobState.FAILED, "why"),
        ]
    )
    journal.batch_returned(Returned(5, BatchReport(5, (), (13, 14), 0.5)), batch(3, 4))
    sent, fold, note, moved, returned = lines()
    assert {"event": "batch dispatched", "job": 7, "batch": 5, "engine": 2}.items() <= sent.items()
    assert sent["n_tasks"] == 2
    assert {"event": "task failed", "job": 7, "task": 3, "reason": "error"}.items() <= fold.items()
    assert fold["error"] == "ValueError: no"
    assert (note["event"], note["engine"]) == ("straggler copied", 4)
    assert {"event": "job moved", "state": "failed", "reason": "why"}.items() <= moved.items()
    assert moved["message"] == "job 7 failed: why"
    assert {"event": "batch returned", "batch": 5, "seconds": 0.5}.items() <= returned.items()
    assert "ValueError" not in capsys.readouterr().err, "folds that fail are for the files"


def test_batches_are_told_only_if_wanted(logged):
    lines = logged()
    journal.Journal().tell([Dispatch(batch(3)), MoveJob(7, JobState.RUNNING)])
    journal.batch_returned(Returned(5, BatchReport(5, ())), batch(3))
    assert [line["event"] for line in lines()] == ["job moved"]


def test_a_search_that_fails_throughout_does_not_fill_the_log(logged):
    lines = logged()
    told = journal.Journal()
    for task_id in range(1000):
        told.tell([failed(task_id)])
    assert [line["task"] for line in lines()] == list(range(journal.FAILURES))
    told.tell([MoveJob(7, JobState.FAILED), failed(1)])
    assert lines()[-1]["event"] == "task failed", "after a retry they are told again"


def test_the_start_says_what_is_set_and_no_secret(logged, tmp_path, capsys):
    lines = logged()
    hook = Hook(url="https://hooks.example.org/T0/secret", headers={"A": "secret"})
    settings = Settings(
        spool=tmp_path, heartbeat=500, hooks=HookSettings(job_ended=[hook], timeout=60.0)
    )
    journal.scheduler_started(settings, "1.2.3", 99)
    (line,) = lines()
    assert (line["event"], line["version"], line["pid"]) == ("scheduler started", "1.2.3", 99)
    assert line["settings"]["heartbeat"] == 500
    assert line["settings"]["hooks.timeout"] == 60.0
    assert 'hooks.timeout = "1m"' in line["message"]
    assert "poll" not in line["settings"]
    assert "secret" not in json.dumps(line)
    assert capsys.readouterr().err == "", "who starts it sees what it is ready for, as before"


def test_troubles_say_that_they_are(logged):
    lines = logged()
    troubles = Troubles(lambda text: None)
    troubles.report("files", "the disk is full")
    troubles.report("files", None)
    assert [(line["event"], line["source"]) for line in lines()] == [
        ("trouble", "files"), ("trouble over", "files"),
    ]  # fmt: skip
