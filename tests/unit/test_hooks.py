"""Hooks: called when a job has ended, at least once, and never in anybody's way."""

import json
import os
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from schemas.job import JobSpec
from schemas.lifecycle import JobState
from schemas.operating import Hook, HookSettings
from schemas.settings import Settings
from service.hooks import MOST, Hooks, key_of
from service.stimuli import MoveJob
from service.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)

SPEC = {
    "name": "a; touch forged $(touch forged)", "data": {"loader": "iris"}, "estimator": "SVC",
    "search": {"strategy": "grid", "space": {"C": [1]}},
}  # fmt: skip

#: Writes what a hook is given into a file, as JSON.
TELL = (
    "import json, os, sys; json.dump({'stdin': json.load(sys.stdin), 'env': dict(os.environ),"
    " 'cwd': os.getcwd()}, open(sys.argv[1] + '.part', 'w'));"
    " os.rename(sys.argv[1] + '.part', sys.argv[1])"
)


def python(code, *arguments, **more):
    return Hook(command=[sys.executable, "-c", code, *map(str, arguments)], **more)


class Server:
    """Takes POSTs; answers with what it is told to."""

    def __init__(self):
        self.got = []
        self.answers = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.got.append((self.path, dict(self.headers), json.loads(body)))
                answer = server.answers.pop(0) if server.answers else 204
                if answer == "hang":
                    time.sleep(60)
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", "file:///etc/passwd")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


class Bench:
    """Hooks on a store of their own, and jobs that end."""

    def __init__(self, place):
        self.place = place
        self.counted = Counter()
        self.store = self.hooks = None
        self.n = 0

    def start(self, *hooks, **settings):
        self.store = Store(self.place / "foldq.db")
        told = Settings(
            spool=self.place,
            hooks=HookSettings.model_validate(
                {"job_ended": list(hooks), "backoff": 0.05, "timeout": 20.0, **settings}
            ),
        )
        self.hooks = Hooks(told, self.store, lambda how: self.counted.update([how]))
        self.hooks.begin()
        return self

    def stop(self):
        self.hooks.close()
        self.store.close()

    def end_job(self, state=JobState.FAILED, reason="why"):
        self.n += 1
        spec = JobSpec.model_validate(SPEC)
        digest = f"{self.n:064}"
        job_id = self.store.admit(
            spec, name="a.yaml", data=b"", digest=digest, estimator="SVC", now=NOW
        ).job_id
        self.store.record([MoveJob(job_id, JobState.PREPARING)], NOW)
        if state is JobState.COMPLETED:
            self.store.record([MoveJob(job_id, JobState.RUNNING)], NOW)
        self.store.record([MoveJob(job_id, state, reason)], NOW)
        self.hooks.wake()
        return job_id

    def until(self, condition, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, (self.counted, self.events())
            self.hooks.step()
            time.sleep(0.01)

    def until_quiet(self):
        self.until(lambda: not self.due() and not self.hooks.is_busy)

    def due(self):
        return self.store.connection.execute("SELECT count(*) FROM hook_call").fetchone()[0]

    def events(self):
        return self.store.connection.execute(
            "SELECT kind, message FROM event WHERE kind LIKE 'hook%' ORDER BY id"
        ).fetchall()


@pytest.fixture
def bench(place):
    bench = Bench(place)
    yield bench
    if bench.hooks is not None:
        bench.stop()


def test_a_command_is_given_the_job_and_no_secrets(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("FOLDQ_HOOKS", "secret")
    told = tmp_path / "told"
    bench.start(python(TELL, told))
    job_id = bench.end_job()
    bench.until_quiet()
    given = json.loads(told.read_text())
    job, env = given["stdin"], given["env"]
    assert (job["event"], job["id"], job["state"]) == ("job ended", job_id, "failed")
    assert (job["name"], job["reason"]) == (SPEC["name"], "why")
    assert env["FOLDQ_JOB_ID"] == str(job_id)
    assert env["FOLDQ_JOB_STATE"] == "failed"
    assert env["FOLDQ_JOB_NAME"] == SPEC["name"]
    assert env["FOLDQ_SPOOL"] == given["cwd"] == str(bench.place)
    assert env["FOLDQ_JOB_RESULTS"] == str(bench.place / "results" / str(job_id))
    assert env["PATH"] == os.environ["PATH"]
    assert "secret" not in json.dumps(env)
    assert not list(tmp_path.rglob("forged"))
    ((kind, message),) = bench.events()
    assert kind == "hook called"
    assert message.startswith("python")
    assert bench.counted == {"ok": 1}


def test_an_address_is_sent_the_job(bench, server):
    url = f"http://ada:p%40ss@{server.address}/jobs?token=t"
    bench.start(Hook(url=url, headers={"X-Key": "k"}))
    job_id = bench.end_job()
    bench.until_quiet()
    ((path, headers, job),) = server.got
    assert path == "/jobs?token=t"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Key"] == "k"
    assert headers["Authorization"] == "Basic YWRhOnBAc3M="
    assert (job["id"], job["state"], job["schema_version"]) == (job_id, "failed", 1)
    ((_, message),) = bench.events()
    assert message.startswith(f"http://{server.address}, in ")


def test_each_is_called_for_its_endings(bench, server):
    address = f"http://{server.address}"
    bench.start(
        Hook(url=f"{address}/all"),
        Hook(url=f"{address}/bad", on=["failed", "cancelled"]),
        Hook(url=f"{address}/good", on=["completed"]),
    )
    for state in (JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED):
        bench.end_job(state)
    bench.until_quiet()
    called = Counter((path, job["state"]) for path, _, job in server.got)
    assert called == {
        ("/all", "completed"): 1, ("/all", "cancelled"): 1, ("/all", "failed"): 1,
        ("/bad", "cancelled"): 1, ("/bad", "failed"): 1, ("/good", "completed"): 1,
    }  # fmt: skip


def test_what_fails_is_tried_again_ever_later_and_then_given_up(bench, server):
    server.answers = [500, 302, 204]
    bench.start(Hook(url=f"http://{server.address}/T0/secret"), attempts=3)
    bench.end_job()
    bench.until_quiet()
    kinds = [kind for kind, _ in bench.events()]
    assert kinds == ["hook failed", "hook failed", "hook called"]
    first, second, _ = [message for _, message in bench.events()]
    assert "answered 500 Internal Server Error; again in 0.05 s" in first
    assert "answered 302: it wants another address" in second
    assert second.endswith("again in 0.1 s")
    server.answers = [404] * 9
    bench.end_job()
    bench.until_quiet()
    assert [kind for kind, _ in bench.events()][3:] == [
        "hook failed", "hook failed", "hook given up",
    ]  # fmt: skip
    assert bench.counted == {"ok": 1, "failed": 4, "given_up": 1}
    assert "secret" not in json.dumps(bench.events())


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (Hook(command=["/no/such/program"]), "/no/such/program cannot be run: No such file"),
        (python("import sys; print('x' * 9000); print('no\\x1bdisk'); sys.exit(3)"), "exit code 3"),
        (python("import os; os.kill(os.getpid(), 9)"), "ended by SIGKILL"),
        (Hook(url="http://127.0.0.1:1/"), "cannot be reached"),
    ],
)
def test_why_it_failed_is_told(bench, hook, words):
    bench.start(hook, attempts=1)
    bench.end_job()
    bench.until_quiet()
    ((kind, message),) = bench.events()
    assert kind == "hook given up"
    assert words in message
    assert len(message) < 500
    assert "\x1b" not in message


def test_what_takes_too_long_is_ended_with_its_children(bench, tmp_path, server):
    server.answers = ["hang"]
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN);"
        " p = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(p.pid));"
        " time.sleep(60)"
    )
    bench.start(
        python(code, child, timeout=1.5),
        Hook(url=f"http://{server.address}", timeout=1.0),
        attempts=1,
    )
    bench.end_job()
    bench.until_quiet()
    told = sorted(message for _, message in bench.events())
    assert "longer than 1 s" in told[0] or "timed out" in told[0]
    assert "longer than 1.5 s" in told[1]
    assert _is_gone(int(child.read_text()))


def _is_gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_no_more_than_a_few_are_called_at_once_and_no_step_waits(bench, tmp_path):
    code = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(0.3)"
    bench.start(python(code, tmp_path / "n"))
    for _ in range(MOST + 3):
        bench.end_job()
    bench.hooks.step()
    assert len(bench.hooks._under_way) == MOST
    longest = 0.0
    while bench.due():
        began = time.perf_counter()
        bench.hooks.step()
        longest = max(longest, time.perf_counter() - began)
        assert len(bench.hooks._under_way) <= MOST
        time.sleep(0.01)
    assert longest < 0.25
    assert (tmp_path / "n").read_text() == "x" * (MOST + 3)


def test_what_was_not_called_is_called_by_the_next_scheduler(bench, tmp_path, server):
    slow, quick = python("import time; time.sleep(60)"), Hook(url=f"http://{server.address}")
    server.answers = [503]
    bench.start(slow, quick, backoff=1.0)
    bench.end_job()
    bench.until(lambda: bench.counted["failed"] == 1 and bench.hooks._under_way)
    ((_, call),) = bench.hooks._under_way.values()
    began = time.monotonic()
    bench.stop()
    assert time.monotonic() - began < 2
    assert _is_gone(call._process.pid)

    told = tmp_path / "told"
    bench.start(quick, python(TELL, told))
    bench.until_quiet()
    assert len(server.got) == 2, "it failed under the last scheduler"
    assert not told.exists(), "it was not yet a hook when the job ended"
    assert [kind for kind, _ in bench.events()] == ["hook failed", "hook dropped", "hook called"]


def test_that_a_call_is_due_is_on_record_with_the_end_of_the_job(bench):
    bench.start(python("pass"))
    bench.end_job()
    assert bench.due() == 1, "before anything was called"


def test_a_scheduler_without_hooks_records_none(bench):
    bench.start()
    bench.end_job()
    assert bench.due() == 0
    assert not bench.hooks.is_busy


def test_a_hook_is_known_again_though_its_password_was_changed():
    one = Hook(url="http://a/b", headers={"X": "1"}, timeout=3)
    assert key_of(one) == key_of(Hook(url="http://a/b", headers={"X": "2"}))
    assert key_of(one) != key_of(Hook(url="http://a/c"))
    assert "http" not in key_of(one)
