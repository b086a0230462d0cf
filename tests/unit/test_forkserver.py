"""The parent of a local cluster: what it starts, tells and ends; real processes, no engines."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import zmq
from cluster import ROOT, STARTED_WITHIN
from freezegun import freeze_time
from ipyparallel.controller.heartmonitor import Heart
from zmq.eventloop.zmqstream import ZMQStream

from schemas.settings import Settings
from service.localcluster import LocalCluster
from workers import forkserver
from workers.controller import KEPT, EagerHeartMonitor, ForgetfulHub


class Connection:
    """A scheduler's end of the conversation."""

    def __init__(self, directory: Path):
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            try:
                self.socket = forkserver.connect(directory / forkserver.SOCKET)
                break
            except OSError:
                assert time.monotonic() < deadline, "the fork server comes up"
                time.sleep(0.02)
        self.socket.settimeout(STARTED_WITHIN)
        self.lines = self.socket.makefile("rb")

    def ask(self, **request: object) -> None:
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def hear(self) -> dict[str, object]:
        return dict(json.loads(self.lines.readline()))

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@pytest.fixture
def serve(tmp_path):
    """Start a fork server; it and what it forked is gone after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        directory: Path = tmp_path, grace: float = 60, begin: Sequence[object] = ()
    ) -> subprocess.Popen[bytes]:
        server = subprocess.Popen(
            [sys.executable, "-m", "workers.forkserver", str(directory), "--key", "k",
             "--grace", str(grace), "--begin", json.dumps(begin)],
            cwd=ROOT,
        )  # fmt: skip
        started.append(server)
        return server

    yield start
    for server in started:
        for process in (
            psutil.Process(server.pid).children(recursive=True) if server.poll() is None else ()
        ):
            process.kill()
        server.kill()
        server.wait()


#: A controller that fails at once: it stands for any process that ends.
BROKEN = {"do": "controller", "cluster": "c", "arguments": ["--no-such-flag"]}


def test_it_tells_what_it_started_and_how_that_ended(serve, tmp_path):
    server = serve()
    connection = Connection(tmp_path)
    assert connection.hear() == {
        "event": "hello", "pid": server.pid, "key": "k", "cluster": None, "coming": 0,
        "processes": [],
    }  # fmt: skip
    connection.ask(**BROKEN)
    started, ended = connection.hear(), connection.hear()
    assert started == {"event": "started", "pid": started["pid"], "role": "controller"}
    assert ended == {
        "event": "ended", "pid": started["pid"], "role": "controller", "signal": None, "code": 2,
    }  # fmt: skip


def test_a_second_scheduler_takes_over_and_finds_what_runs(serve, tmp_path):
    server = serve()
    first = Connection(tmp_path)
    first.hear()
    start_controller(first, tmp_path)
    pid = first.hear()["pid"]
    first.close()
    second = Connection(tmp_path)
    assert second.hear() == {
        "event": "hello", "pid": server.pid, "key": "k", "cluster": "c", "coming": 0,
        "processes": [{"pid": pid, "role": "controller"}],
    }  # fmt: skip
    second.ask(do="signal", pid=pid, signal=signal.SIGKILL)
    assert second.hear()["signal"] == signal.SIGKILL
    second.ask(do="signal", pid=os.getpid(), signal=signal.SIGKILL)  # not its own: not touched
    second.ask(do="ping")
    assert second.hear() == {"event": "pong"}


def test_a_directory_has_one_fork_server_and_the_next_only_when_that_is_gone(serve, tmp_path):
    first = serve()
    first_pid = Connection(tmp_path).hear()["pid"]
    second = serve()
    assert second.wait(STARTED_WITHIN) != 0
    assert first_pid == first.pid == Connection(tmp_path).hear()["pid"]
    third = serve()
    first.kill()
    first.wait()
    assert Connection(tmp_path).hear()["pid"] == third.pid


def test_it_ends_everything_when_no_scheduler_came_for_the_grace_time(serve, tmp_path):
    server = serve(grace=0.5)
    connection = Connection(tmp_path)
    connection.hear()
    start_controller(connection, tmp_path)
    controller = psutil.Process(int(str(connection.hear()["pid"])))
    connection.close()
    assert server.wait(STARTED_WITHIN) == 0
    assert not controller.is_running()
    assert not (tmp_path / forkserver.SOCKET).exists()
    assert not (tmp_path / forkserver.BOOK).exists()


def test_what_it_started_does_not_outlive_it(serve, tmp_path):
    server = serve()
    connection = Connection(tmp_path)
    connection.hear()
    start_controller(connection, tmp_path)
    controller = psutil.Process(int(str(connection.hear()["pid"])))
    deadline = time.monotonic() + STARTED_WITHIN
    while not (started := controller.children()):
        assert time.monotonic() < deadline, "the controller has a child of its own"
        time.sleep(0.02)
    server.kill()
    _, alive = psutil.wait_procs([controller, *started], timeout=STARTED_WITHIN)
    assert not alive


def test_a_directory_with_a_very_long_name_will_do(serve, tmp_path):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    serve(deep)
    assert Connection(deep).hear()["event"] == "hello"


def test_everything_it_makes_is_for_its_owner_only(serve, tmp_path):
    serve()
    connection = Connection(tmp_path)
    connection.hear()
    start_controller(connection, tmp_path)
    connection.hear()
    client_file = tmp_path / "profile" / "security" / "ipcontroller-c-client.json"
    deadline = time.monotonic() + STARTED_WITHIN
    while not client_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    modes = {path: path.lstat().st_mode & 0o077 for path in tmp_path.rglob("*")}
    # (IPython copies a README of its own with that file's mode.)
    assert not {path for path, others in modes.items() if others and path.name != "README"}


def start_controller(connection: Connection, directory: Path) -> None:
    profile = directory / "profile"
    profile.mkdir(mode=0o700)
    connection.ask(**controller(profile))


def controller(profile: Path) -> dict[str, object]:
    arguments = [f"--profile-dir={profile}", "--cluster-id=c", "--ip=127.0.0.1", "--usethreads",
                 "--nodb", "--log-level=50"]  # fmt: skip
    return {"do": "controller", "cluster": "c", "arguments": arguments}


def test_the_hub_forgets_messages_that_are_long_answered(monkeypatch):
    def answer(hub, idents, msg):
        hub.all_completed.add(msg)
        hub.completed[0].append(msg)

    monkeypatch.setattr(ForgetfulHub.__base__, "save_queue_result", answer)
    hub = ForgetfulHub.__new__(ForgetfulHub)
    hub.all_completed, hub.completed = set(), {0: []}
    for message in range(3 * KEPT):
        hub.save_queue_result([], message)
        assert len(hub.all_completed) <= KEPT + 1
    assert len(hub.completed[0]) <= KEPT + 1


def test_begun_ahead_it_starts_before_anybody_connects_and_says_what_is_to_come(serve, tmp_path):
    profile = tmp_path / "profile"
    profile.mkdir(mode=0o700)
    engine = {"do": "engine", "arguments": ["--version"], "memory": None}  # it ends at once
    serve(begin=[controller(profile), engine, engine])
    first = Connection(tmp_path)
    hello = first.hear()
    assert [process["role"] for process in hello["processes"]] == ["controller"]
    assert (hello["cluster"], hello["coming"]) == ("c", 2)
    assert first.hear()["event"] == "busy", "silence is the imports'"
    first.close()  # whoever comes next finds the same
    second = Connection(tmp_path)
    assert second.hear()["coming"] == 2
    heard = [second.hear() for _ in range(5)]
    started = [event["pid"] for event in heard if event["event"] == "started"]
    assert len(started) == 2
    assert {event["pid"] for event in heard if event["event"] == "ended"} == set(started)


def test_what_is_asked_while_it_imports_is_answered_in_between(serve, tmp_path):
    serve()
    connection = Connection(tmp_path)
    connection.hear()
    connection.ask(do="engine", arguments=["--no-such-flag"], memory=None)
    connection.ask(do="ping")
    assert [connection.hear()["event"] for _ in range(2)] == ["busy", "pong"]
    connection.ask(do="end")
    connection.ask(do="ping")
    assert connection.hear() == {"event": "pong"}, "no engine comes after that"
    connection.ask(do="quit")
    assert connection.lines.read() == b""


def test_a_new_heart_is_told_of_at_its_first_beat(monkeypatch):
    told = []

    def tell(monitor, hearts):
        told.append(hearts)
        monitor.hearts.update(hearts)

    monkeypatch.setattr(EagerHeartMonitor, "handle_new_hearts", tell)
    monitor = EagerHeartMonitor(period=60_000)
    beat = str(monitor.lifetime).encode()
    for heart in (b"one", b"one", b"two"):
        monitor.handle_pong([heart, beat])
    assert told == [{b"one"}, {b"two"}]


def test_a_new_heart_is_asked_as_soon_as_it_has_connected(monkeypatch):
    async def first_heart() -> bytes:
        told = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(
            EagerHeartMonitor, "handle_new_hearts", lambda _monitor, hearts: told.set_result(hearts)
        )
        context = zmq.Context()
        ping, pong = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
        ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in (ping, pong)]
        monitor = EagerHeartMonitor(
            ping_stream=ZMQStream(ping), pong_stream=ZMQStream(pong), period=3_600_000
        )
        # In the controller this waits until the Hub listens.
        listens = SimpleNamespace(recv_multipart=lambda: [b""])
        monkeypatch.setattr(EagerHeartMonitor, "monitor_stream", SimpleNamespace(socket=listens))
        monitor.start()
        heart = Heart(*[f"tcp://127.0.0.1:{port}" for port in ports], heart_id=b"a heart")
        heart.start()
        try:
            return await asyncio.wait_for(told, timeout=60)
        finally:
            monitor.caller.stop()
            context.destroy(linger=0)

    assert asyncio.run(first_heart()) == {b"a heart"}


@pytest.mark.parametrize("is_connected", [False, True])
def test_until_a_scheduler_connects_it_ends_with_the_process_that_started_it(
    tmp_path, is_connected
):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, sys.executable, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))
    try:
        if is_connected:
            connection = Connection(tmp_path)
            connection.hear()
        starter.kill()
        starter.wait()
        if is_connected:
            connection.ask(do="ping")
            assert connection.hear() == {"event": "pong"}
            connection.ask(do="quit")
        server.wait(STARTED_WITHIN)
    finally:
        starter.kill()
        with suppress(psutil.NoSuchProcess):
            server.kill()


STARTER = """
import os, subprocess, sys, time
server = subprocess.Popen([sys.argv[1], "-m", "workers.forkserver", sys.argv[2], "--key", "k",
                           "--parent", str(os.getpid())])
print(server.pid, flush=True)
time.sleep(600)
"""


def test_what_is_imported_for_long_is_no_silence(tmp_path):
    ours, theirs = socket.socketpair()
    cluster = LocalCluster(tmp_path, Settings(spool=tmp_path))
    lines = iter([b'{"event": "busy", "seconds": 120}', b'{"event": "pong"}'])
    with ours, theirs, freeze_time("2026-01-01") as clock:
        cluster._listen(ours, lines)
        clock.tick(100)  # one import, on a machine that does much else
        assert cluster.silent_for <= 0
        cluster._listen(ours, [b'{"event": "started", "pid": 1, "role": "engine"}'])
        clock.tick(10)
        assert cluster.silent_for == pytest.approx(10)
