"""Attacks on docs/security.md that need processes: files, network, limits (S25 to S36)."""

import contextlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import psutil
import pytest
import zmq
from cluster import MARK, Scheduler

from schemas.settings import Settings
from service.layout import make_directories
from service.localcluster import LocalCluster
from workers import forkserver

#: Seconds. A client that is let in is there sooner, also on a slow machine.
KNOCK = 5
NOT_LET_IN = (TimeoutError, ipp.error.TimeoutError, OSError)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """A scheduler that was started by somebody without any umask, and has done a job."""
    path = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parent.parent)
    listed = json.dumps({"Troublesome": "troublesome.Troublesome"})
    settings = {"catalog__estimators": listed, "engine_memory": "1GiB"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here if path is None else here + os.pathsep + path)
        scheduler = Scheduler(tmp_path_factory.mktemp("security"), engines=1, **settings)
        umask = os.umask(0)
        try:
            scheduler.start()
        except BaseException:
            scheduler.close()
            raise
        finally:
            os.umask(umask)
        with contextlib.closing(scheduler):
            scheduler.wait_for_engines()
            yield scheduler


def job(**changes: object) -> dict[str, object]:
    return {
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"space": {"C": [1, 10]}},
        "cv": 2,
    } | changes


def role_pid(scheduler: Scheduler, role: str) -> int:
    return next(int(entry["pid"]) for entry in scheduler._book() if entry["role"] == role)


def connection_file(scheduler: Scheduler) -> Path:
    (file,) = (scheduler.spool / "cluster" / "profile" / "security").glob("*-client.json")
    return file


# --- files ----------------------------------------------------------------------------------------


def test_s25_whatever_the_umask_all_is_for_the_owner_only(served):
    served.drop(job(), "private.json")
    served.drop("nonsense", "refused.json")
    served.wait("private")
    dropped = {"accepted", "rejected"}
    open_to_others = [
        str(path.relative_to(served.spool))
        for path in served.spool.rglob("*")
        if path.lstat().st_mode & 0o077
        and not (path.parent.name in dropped and not path.name.endswith(".error.json"))
        and path.name != "README"  # IPython's own, the same for everybody
    ]
    assert open_to_others == []
    assert stat.S_IMODE(served.spool.stat().st_mode) == 0o700
    found = {path.name for path in served.spool.rglob("*")}
    assert {"foldq.db", "foldq.log", "scheduler.lock", "best.json", "meta.json"} <= found


def test_s25_a_directory_that_was_there_keeps_its_rights(tmp_path):
    (tmp_path / "spool" / "incoming").mkdir(parents=True)
    (tmp_path / "spool" / "incoming").chmod(0o777)
    make_directories(tmp_path / "spool")
    assert stat.S_IMODE((tmp_path / "spool" / "incoming").stat().st_mode) == 0o777
    assert stat.S_IMODE((tmp_path / "spool" / "results").stat().st_mode) == 0o700


# --- network --------------------------------------------------------------------------------------


def test_s27_nothing_listens_beyond_this_machine(served):
    listening = {
        process.pid: {c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"}
        for process in served.processes()
    }
    assert listening[served.controller_pid()] == {"127.0.0.1"}
    assert set().union(*listening.values()) == {"127.0.0.1"}
    assert listening[served.pid] == set()
    assert listening[role_pid(served, "fork server")] == set()


def test_s28_without_the_session_key_nobody_gets_in(served, tmp_path):
    facts = json.loads(connection_file(served).read_text())
    engines = served.engine_pids()
    for key in ("0" * len(facts["key"]), ""):
        forged = tmp_path / f"forged-{len(key)}.json"
        forged.write_text(json.dumps({**facts, "key": key}))
        with pytest.raises(NOT_LET_IN):
            ipp.Client(connection_info=str(forged), timeout=KNOCK)
    assert served.engine_pids() == engines
    with contextlib.closing(ipp.Client(connection_info=str(connection_file(served)))) as client:
        assert len(client.ids) == 1, "with the key it is open"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[object]:
    """Make clusters without engines, as a scheduler does."""
    made: list[LocalCluster] = []

    def make(**cluster: object) -> LocalCluster:
        settings = Settings.load(tmp_path / "spool", engines=1, cluster=cluster, grace=60)
        made.append(LocalCluster(tmp_path / "cluster", settings, lambda _: None))
        made[-1].launch()
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, "security")
        try:
            yield make
        finally:
            for one in made:
                one.end()


def connection_facts(cluster: LocalCluster) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while not cluster.connection_file.exists():
        assert time.monotonic() < deadline, "the controller did not come up"
        time.sleep(0.05)
    facts: dict[str, object] = json.loads(cluster.connection_file.read_text())
    return facts


def test_s30_curve_lets_nobody_in_who_lacks_the_servers_key(cluster, tmp_path):
    made = cluster(curve=True)
    facts = connection_facts(made)
    with contextlib.closing(ipp.Client(connection_info=str(made.connection_file))) as client:
        assert client.ids == [], "with the key it is open"
    another, _ = zmq.curve_keypair()
    for serverkey in (another.decode(), None):
        forged = tmp_path / "forged.json"
        forged.write_text(json.dumps({**facts, "curve_serverkey": serverkey}))
        with pytest.raises(NOT_LET_IN):
            ipp.Client(connection_info=str(forged), timeout=KNOCK)


@pytest.mark.parametrize(
    ("listen", "curve", "encrypts"),
    [
        ("127.0.0.1", None, False), ("localhost", None, False), ("::1", None, False),
        ("127.0.0.1", True, True), ("0.0.0.0", None, True), ("::", None, True),
        ("192.0.2.7", None, True), ("*", None, True), ("eth0", None, True),
        ("example.org", None, True), ("localhost.example.org", None, True),
        ("0.0.0.0", True, True), ("0.0.0.0", False, False),
    ],
)  # fmt: skip
def test_s29_beyond_loopback_the_controller_encrypts(listen, curve, encrypts, orders, tmp_path):
    settings = Settings.load(tmp_path / "spool", cluster={"listen": listen, "curve": curve})
    LocalCluster(tmp_path / "cluster", settings, lambda _: None).launch()
    [(order, arguments)] = orders
    assert order == "controller"
    assert f"--ip={listen}" in arguments
    assert f"--IPController.enable_curve={encrypts}" in arguments


@pytest.fixture
def orders(monkeypatch):
    """What a cluster asks its fork server to do; none is started."""
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(LocalCluster, "_start_server", lambda self: None)
    monkeypatch.setattr(
        LocalCluster,
        "_ask",
        lambda self, **request: asked.append((request["do"], request["arguments"])),
    )
    return asked


def test_s31_an_open_door_is_logged(orders, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="foldq.cluster")
    for listen, curve in (("127.0.0.1", False), ("0.0.0.0", True), ("0.0.0.0", None)):
        settings = Settings.load(tmp_path / "spool", cluster={"listen": listen, "curve": curve})
        LocalCluster(tmp_path / "cluster", settings, lambda _: None).launch()
    assert caplog.text == ""
    settings = Settings.load(tmp_path / "spool", cluster={"listen": "0.0.0.0", "curve": False})
    LocalCluster(tmp_path / "cluster", settings, lambda _: None).launch()
    assert "listens at 0.0.0.0 without encryption" in caplog.text


def test_s32_the_fork_servers_socket_is_its_owners(served):
    path = served.spool / "cluster" / forkserver.SOCKET
    facts = path.lstat()
    assert stat.S_ISSOCK(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    server = psutil.Process(role_pid(served, "fork server"))
    heard_at = {c.laddr for c in server.net_connections("unix") if c.laddr}
    assert heard_at == {str(path)} or len(heard_at) == 1


# --- a scheduler under attack ---------------------------------------------------------------------


def test_s4_s33_junk_in_every_place_and_the_scheduler_goes_on(served):
    """Each of these is taken in by the scheduler's own loop."""
    junk = {
        "deep": b"[" * 4000,
        "large": b"[" * 3_000_000,
        "empty": b"",
        "words": b'{"action": "cancel", "job": 999999}',
        "huge": b'{"action": "retry", "job": 99999999999999999999}',
        "unknown": b'{"action": "retry", "job": 999999}',
        "binary": bytes(range(256)),
    }
    for name, content in junk.items():
        for place in ("control", "incoming"):
            (served.spool / place / f"{name}.json").write_bytes(content)
    for place in ("control", "incoming"):
        (served.spool / place / "link.json").symlink_to("/etc/hostname")
        os.mkfifo(served.spool / place / "pipe.json")
        (served.spool / place / "directory.json").mkdir()
        bad_name = os.fsencode(served.spool / place) + b"/\xff\x1b]0;owned\x07\n.json"
        os.close(os.open(bad_name, os.O_CREAT | os.O_WRONLY))
    served.drop(job(), "after the junk.json")
    served.wait("after the junk")
    served.wait_until(
        lambda: (
            not list((served.spool / "incoming").iterdir())
            and [path.name for path in (served.spool / "control").iterdir()] == ["directory.json"]
        ),
        "all junk is gone",
    )
    assert served.is_alive
    for log in (served.log, served.spool / "logs" / "foldq.log"):
        told = log.read_text()
        assert "is not a request" in told
        assert not {"\x1b", "\x07", "\x9b"} & set(told)


# --- limits ---------------------------------------------------------------------------------------


def trouble(kind: str, **more: object) -> dict[str, object]:
    return job(
        estimator="Troublesome", search={"space": {"trouble": ["none", kind]}}, refit=False, **more
    )


def test_s36_a_fit_that_wants_all_memory_fails_and_the_search_goes_on(served):
    served.drop(trouble("memory"), "greedy.json")
    row = served.wait("greedy")
    assert (row["n_done"], row["n_failed"]) == (2, 2)
    errors = served.query("SELECT error FROM task WHERE job_id = ? AND state = 'failed'", row["id"])
    assert all("MemoryError" in task["error"] for task in errors)


def test_s35_the_time_limit_ends_python_code_and_c_code(served):
    served.drop(trouble("sleep", timeout="1s"), "sleeping.json")
    endless = job(
        data={"make": "classification", "params": {"n_samples": 40_000, "flip_y": 0.5}},
        estimator={"$type": "SVC", "C": 1e6, "cache_size": 1},
        search={"space": {"gamma": [10.0]}},
        cv={"$type": "ShuffleSplit", "n_splits": 1},
        timeout="2s",
        refit=False,
    )
    served.drop(endless, "endless.json")
    for name in ("sleeping", "endless"):
        row = served.wait(name, state=None)
        failed = served.query(
            "SELECT DISTINCT reason FROM task WHERE job_id = ? AND kind = 'fold'"
            " AND state = 'failed'",
            row["id"],
        )
        assert failed == [{"reason": "timeout"}], name
    assert len(served.wait_for_engines()) == 1
