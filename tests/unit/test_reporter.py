"""Pages are written beside the scheduler: in time, one at a time, and to nobody's harm."""

import os
import sys
import time

import psutil
import pytest
from fabricated import Fabricated

from schemas.settings import Settings
from service import reporter
from service.records import open_records
from service.reporter import Reporter, report_path


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def db(spool):
    return Fabricated(spool)


@pytest.fixture
def settings(db, spool):
    return Settings.load(spool)


def until_done(writer: Reporter, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while writer.is_busy:
        assert time.monotonic() < deadline, "the page is not written"
        writer.step(is_idle=True)
        time.sleep(0.02)


def stand_in(monkeypatch, tmp_path, code: str) -> None:
    """Have this program write the pages."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_the_page_of_a_job_that_ended_is_written_by_a_process_that_steps_back(db, settings):
    job_id = db.finished_search()
    writer = Reporter(settings)
    writer.ended(job_id)
    writer.step(is_idle=True)
    assert not report_path(settings, job_id).exists()  # nobody waited for it
    until_done(writer)
    path = report_path(settings, job_id)
    assert "digits-svc" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_pages_are_written_one_at_a_time_when_nothing_runs(db, settings, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, f"echo $4 >> {tmp_path}/began; sleep 0.2")
    writer = Reporter(settings)
    writer.ended(1)
    writer.ended(2)
    writer.step(is_idle=False)
    assert not (tmp_path / "began").exists()
    for _ in range(5):
        writer.step(is_idle=True)
    time.sleep(0.1)
    assert (tmp_path / "began").read_text() == "1\n"
    until_done(writer)
    assert (tmp_path / "began").read_text() == "1\n2\n"


def test_a_scheduler_that_is_never_idle_writes_them_after_a_while(
    db, settings, monkeypatch, tmp_path
):
    stand_in(monkeypatch, tmp_path, "exit 0")
    monkeypatch.setattr(reporter, "PATIENCE", 0.0)
    writer = Reporter(settings)
    writer.ended(1)
    writer.step(is_idle=False)
    writer.step(is_idle=False)
    until_done(writer)


@pytest.mark.parametrize(
    ("code", "timeout", "told"),
    [("echo 'no room' >&2; exit 3", "1m", "no room (exit code 3)"),
     ("exec sleep 60", "0.3s", "longer than 0.3 s")],
)  # fmt: skip
def test_what_goes_wrong_is_told_and_the_next_page_comes(
    db, spool, monkeypatch, tmp_path, caplog, code, timeout, told
):
    stand_in(monkeypatch, tmp_path, code)
    monkeypatch.setenv("FOLDQ_REPORT__TIMEOUT", timeout)
    writer = Reporter(Settings.load(spool))
    writer.ended(7)
    until_done(writer)
    assert "the report of job 7 was not written" in caplog.text
    assert told in caplog.text


def test_the_process_ends_with_its_scheduler(db, settings, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    writer = Reporter(settings)
    writer.ended(1)
    writer.step(is_idle=True)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    writer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_start_takes_note_of_missing_and_outdated_pages_the_latest_ones(db, spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_REPORT__CATCH_UP", "2")
    settings = Settings.load(spool)
    _first, second, third, fresh = (db.finished_search(f"job-{n}") for n in range(4))
    db.job("empty", state="failed")
    db.job("running", state="running", n_done=3)
    for job_id in (third, fresh):
        report_path(settings, job_id).parent.mkdir(parents=True)
        report_path(settings, job_id).write_text("page")
    os.utime(report_path(settings, third), (0, 0))  # it was tried again since
    writer = Reporter(settings)
    with open_records(settings.database_path) as records:
        writer.catch_up(records)
    assert [job_id for _, job_id in writer._due] == [second, third]


def test_switched_off_it_does_nothing(db, spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_REPORT__AUTOMATIC", "false")
    job_id = db.finished_search()
    writer = Reporter(Settings.load(spool))
    writer.ended(job_id)
    with open_records(spool / "foldq.db") as records:
        writer.catch_up(records)
    assert not writer.is_busy


def test_it_is_broken_off_while_engines_work_and_begun_anew(db, settings, monkeypatch, tmp_path):
    stand_in(
        monkeypatch, tmp_path, f"echo $$ >> {tmp_path}/began; sleep 0.2; touch {tmp_path}/written"
    )
    writer = Reporter(settings)
    writer.ended(db.finished_search())
    writer.step(is_idle=True)
    process = psutil.Process(writer._child.pid)
    for _ in range(3):
        writer.step(is_idle=False)
    assert not process.is_running()
    assert writer.is_busy
    assert not (tmp_path / "written").exists()
    until_done(writer)
    assert (tmp_path / "written").exists()


def test_what_was_begun_after_a_while_is_not_broken_off(db, settings, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, f"sleep 0.2; touch {tmp_path}/written")
    writer = Reporter(settings)
    writer.ended(1)
    writer.step(is_idle=False)
    assert writer._child is None
    monkeypatch.setattr(reporter, "PATIENCE", 0.0)
    deadline = time.monotonic() + 60
    while writer.is_busy:
        assert time.monotonic() < deadline
        writer.step(is_idle=False)
        time.sleep(0.01)
    assert (tmp_path / "written").exists()


def test_what_is_written_is_not_begun_anew_when_engines_work_again(
    db, settings, monkeypatch, tmp_path
):
    stand_in(monkeypatch, tmp_path, "exit 0")
    writer = Reporter(settings)
    writer.ended(1)
    writer.step(is_idle=True)
    psutil.Process(writer._child.pid).wait(timeout=60)
    writer.step(is_idle=False)
    assert not writer.is_busy
