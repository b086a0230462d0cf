"""`foldq status` says what people set that holds jobs up."""

import json

import pytest
from fabricated import Fabricated, at
from typer.testing import CliRunner

from service.cli import app
from service.lock import hold


@pytest.fixture
def status(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    spool = tmp_path / "spool"
    records = Fabricated(spool)

    def ask(*arguments):
        with hold(spool):
            ended = CliRunner().invoke(app, ["status", "--spool", str(spool), *arguments])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return records, ask


def limit(records, tag, **limits):
    records.db["tag_limit"].insert({"tag": tag, "set_at": at(0), **limits})


def test_nothing_is_said_while_nothing_is_held_up(status):
    records, ask = status
    records.job("a", state="running", tags=["gpu"])
    limit(records, "gpu", max_jobs=1)
    assert "‖" not in ask()
    told = json.loads(ask("--json"))["scheduler"]
    assert (told["paused_since"], told["limits_reached"]) == (None, [])


def test_the_pause_of_the_whole_queue_is_told(status):
    records, ask = status
    records.job("a", state="queued")
    records.db["hold"].insert({"id": 1, "since": at(0)})
    assert "the whole queue is paused since" in ask()
    assert "foldq resume --all" in ask()
    assert json.loads(ask("--json"))["scheduler"]["paused_since"] == at(0)


def test_a_limit_that_keeps_jobs_waiting_is_told(status):
    records, ask = status
    for name, state in (("a", "running"), ("b", "queued"), ("c", "queued"), ("d", "paused")):
        records.job(name, state=state, tags=["gpu", "x\x1b[31m"])
    limit(records, "gpu", max_jobs=1)
    limit(records, "x\x1b[31m", max_jobs=1)
    limit(records, "other", max_jobs=1)
    told = ask()
    assert "limit of tag gpu: 1 of 1 job at work, 2 waiting" in told
    assert "other" not in told
    assert "\x1b" not in told


def test_all_limits_are_listed_whether_they_hold_somebody_up_or_not(status):
    records, _ = status

    def listed(*arguments):
        return CliRunner().invoke(app, ["set", "--spool", str(records.spool), *arguments])

    assert "No tag has a limit" in listed().stderr
    for name, state in (("a", "running"), ("b", "queued"), ("c", "paused")):
        records.job(name, state=state, tags=["gpu"])
    limit(records, "gpu", max_jobs=3)
    limit(records, "lifted")
    (records.spool / "foldq.toml").write_text("[tags.course]\nmax_engines = 2\n")
    told = json.loads(listed("--json").stdout)["limits"]
    assert told == [
        dict(
            zip(
                ("tag", "max_jobs", "max_engines", "n_jobs", "n_waiting", "source"),
                row,
                strict=True,
            )
        )
        for row in [("course", None, 2, 0, 0, "settings"), ("gpu", 3, None, 1, 1, "set")]
    ]
    rows = [line.split() for line in listed().stdout.splitlines()[2:]]
    assert rows[0] == ["course", "–", "2", "0", "0", "settings"]
    assert rows[1] == ["gpu", "3", "–", "1", "1", "foldq", "set"]


def test_a_limit_of_engines_that_is_reached_is_told(status):
    records, ask = status
    job_id = records.job("a", state="running", tags=["gpu"])
    task = records.fold(
        job_id, records.candidate(job_id, 0, {}), 0, state="dispatched", started_at=at(1)
    )
    records.attempt(task, records.engine(), None)
    limit(records, "gpu", max_engines=1)
    assert "limit of tag gpu: on 1 of 1 engine" in ask()
    (reached,) = json.loads(ask("--json"))["scheduler"]["limits_reached"]
    assert (reached["tag"], reached["n_engines"], reached["max_engines"]) == ("gpu", 1, 1)
