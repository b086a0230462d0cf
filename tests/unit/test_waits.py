"""What a job waits for is told, in as few words as fit."""

import json

import pytest
from fabricated import Fabricated, at
from typer.testing import CliRunner

from service.cli import app
from service.lock import hold


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    return Fabricated(tmp_path / "spool")


def ask(records, *arguments):
    ended = CliRunner().invoke(app, [*map(str, arguments), "--spool", str(records.spool)])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def working(records, name, engine_id, **columns) -> int:
    """Add a job with a fold at an engine."""
    job_id = records.job(name, file_name=name, state="running", **columns)
    candidate = records.candidate(job_id, 0, {})
    task = records.fold(job_id, candidate, 0, state="dispatched", started_at=at(1))
    records.attempt(task, engine_id, None)
    return job_id


def waiting(records, name, state="queued", **columns) -> int:
    """Add a job of which nothing is at an engine."""
    job_id = records.job(name, file_name=name, state=state, **columns)
    task = {"job_id": job_id, "kind": "prepare", "state": "pending"}
    if state != "queued":
        records.db["task"].insert({**task, "state": "done", "finished_at": at(1)})
        records.fold(job_id, records.candidate(job_id, 0, {}), 0)
    else:
        records.db["task"].insert(task)
    return job_id


def waits(records) -> dict[int, tuple]:
    told = json.loads(ask(records, "status", "--json"))["scheduler"]["waiting"]
    return {wait["job_id"]: (wait["for"], wait["tag"], wait["behind"]) for wait in told}


def test_equal_jobs_beyond_the_engines_wait_for_older_ones(records):
    first, second = (working(records, f"at work {n}", records.engine(n)) for n in range(2))
    prepared = waiting(records, "prepared", "preparing", data_fingerprint="f" * 64, n_tasks=1)
    queued = [waiting(records, f"queued {n}") for n in range(5)]
    with hold(records.spool):
        told = ask(records, "status")
        after = f"turn after jobs {first}, {second}"
        assert f"… jobs 3, 4, 5, 6 and 2 more wait for their {after}" in told
        assert "preparing" not in told, "its data are prepared"
        assert waits(records)[prepared] == ("turn", None, [first, second])
        shown = ask(records, "show", queued[0])
        assert f"waits for  its {after}" in shown
        assert json.loads(ask(records, "show", queued[0], "--json"))["waits_for"]["for"] == "turn"
    assert "waits for  a scheduler: none is running" in ask(records, "show", queued[0])
    assert "wait for" not in ask(records, "status")


def test_a_job_that_goes_first_waits_for_the_next_engine_only(records):
    working(records, "low", records.engine(), priority=-1)
    urgent = waiting(records, "urgent")
    with hold(records.spool):
        assert waits(records) == {urgent: ("engine", None, [])}
        assert f"job {urgent} waits for an engine" in ask(records, "status")
        records.engine(7)
        assert waits(records) == {}, "an idle engine: it is about to begin"


def test_nobody_waits_for_an_engine_with_nothing_to_send(records):
    working(records, "at work", records.engine())
    job_id = records.job("being planned", file_name="b", state="preparing")
    records.db["task"].insert(
        {"job_id": job_id, "kind": "prepare", "state": "done", "finished_at": at(1)}
    )
    with hold(records.spool):
        assert waits(records) == {}


def test_limits_of_tags_and_the_paused_queue_come_before_engines(records):
    working(records, "at work", records.engine(), tags=["gpu"])
    records.engine(1)
    held = waiting(records, "held up", tags=["gpu"])
    records.db["tag_limit"].insert({"tag": "gpu", "set_at": at(0), "max_jobs": 1})
    with hold(records.spool):
        assert waits(records) == {held: ("tag", "gpu", [])}
        assert "waits for  the limit of tag gpu" in ask(records, "show", held)
        records.db["hold"].insert({"id": 1, "since": at(0)})
        assert waits(records) == {held: ("queue", None, [])}
        told = ask(records, "status")
        assert "the whole queue is paused" in told
        assert "waits for" not in told, "that says it already"
