"""What docs/security.md promises of hooks, metrics and the log, attacked."""

import http.client
import json
import logging
import sys
import time
from datetime import UTC, datetime

import pytest

from schemas.job import JobSpec
from schemas.lifecycle import JobState
from schemas.operating import Hook, HookSettings, LogSettings
from schemas.problems import InvalidJob
from schemas.settings import Settings
from service import jobfile
from service.hookcalls import HookCall
from service.logs import about, start_logging
from service.metrics import ADDRESS, Metrics
from service.webhook import send

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1]}}}


@pytest.mark.parametrize("key", ["hooks", "job_ended", "on_end", "callback", "webhook", "notify"])
def test_s39_no_job_file_names_what_is_called(key, tmp_path):
    data = json.dumps({**SPEC, key: [{"command": ["touch", "x"]}]}).encode()
    with pytest.raises(InvalidJob):
        jobfile.examine(data, "a.json", Settings(spool=tmp_path))


def test_s39_no_shell_reads_what_a_job_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    code = "import os, sys; print(sys.argv[1:], 'DATABASE_PASSWORD' in os.environ); sys.exit(1)"
    evil = "$(touch forged); touch forged"
    hook = Hook(command=[sys.executable, "-c", code, evil, "a b"])
    call = HookCall(hook, {"name": evil}, {"FOLDQ_JOB_NAME": evil}, tmp_path, 20.0)
    while (ended := call.look()) is None:
        time.sleep(0.01)
    assert ended.error == f"exit code 1: ['{evil}', 'a b'] False"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher", "javascript", "HTTPX", ""])
def test_s40_only_http_is_called(scheme):
    with pytest.raises(ValueError, match="http"):
        Hook(url=f"{scheme}://localhost/etc/passwd")
    told = send(f"{scheme or 'file'}://localhost/etc/passwd", {}, "{}", 1.0)
    assert told is not None


def test_s40_an_address_is_no_argument_of_a_process(tmp_path):
    import psutil

    hook = Hook(url="http://ada:secret@192.0.2.1/secret", headers={"X": "secret"}, timeout=30.0)
    call = HookCall(hook, {}, {}, tmp_path, 30.0)
    try:
        process = psutil.Process(call._process.pid)
        assert "secret" not in json.dumps([process.cmdline(), process.environ()])
    finally:
        call.end()
    assert "secret" not in hook.label


def test_s41_metrics_are_on_loopback_and_name_nobody(store):
    assert ADDRESS == "127.0.0.1"
    spec = JobSpec.model_validate({**SPEC, "name": "secret", "tags": ["secret"]})
    store.admit(spec, name="secret", data=b"", digest="a" * 64, estimator="SVC", now=NOW)
    from service.scheduler import Scheduler

    metrics = Metrics()
    metrics.look(Scheduler(), store.connection, {"files": {"secret": "secret"}})
    assert b"secret" not in metrics.text()
    metrics.listen(0)
    try:
        host, port = metrics._server.server_address[:2]
        assert host == "127.0.0.1"
        for method in ("POST", "PUT", "DELETE"):
            asked = http.client.HTTPConnection(host, port, timeout=10)
            asked.request(method, "/metrics")
            answer = asked.getresponse()
            assert answer.status == 405
            answer.read()
            asked.close()
    finally:
        metrics.close()


@pytest.mark.parametrize("ends", ["\n", "\r", "\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_s42_no_line_of_the_log_is_forged(ends, tmp_path):
    logger = logging.getLogger("foldq")
    before = (logger.handlers, logger.propagate, logger.level)
    try:
        start_logging(tmp_path, LogSettings())
        forged = f"x{ends}2026-01-01 00:00:00,000 INFO    foldq: job 7 completed"
        logger.info("%s", forged, extra=about(forged, file=forged))
        for handler in logger.handlers:
            handler.close()
    finally:
        logger.handlers, logger.propagate, logger.level = before
    lines = (tmp_path / "foldq.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith(" ")] == lines[:1]
    (line,) = (tmp_path / "foldq.jsonl").read_bytes().splitlines()
    assert json.loads(line)["file"] == forged


def test_s39_the_endings_are_those_of_jobs():
    hooks = HookSettings(job_ended=[Hook(command=["x"])])
    assert set(hooks.job_ended[0].on) == {state for state in JobState if state.is_final}
