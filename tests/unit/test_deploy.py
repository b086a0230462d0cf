"""deploy/: the units and the container file say what the command line and systemd understand."""

import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys

import pytest
from cluster import ROOT
from typer.testing import CliRunner

from service import lock
from service.cli import app
from service.commands.terminal import ExitCode
from service.layout import make_directories
from service.notify import notify

DEPLOY = ROOT / "deploy"
UNITS = ["foldq.service", "foldq-user.service"]


def settings_of(unit):
    """Every setting of a unit, by its name; of several the last one."""
    lines = (DEPLOY / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit, tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / unit).read_text()
    (tmp_path / unit).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    kind = ["--user"] if unit == "foldq-user.service" else []
    ended = subprocess.run(
        [analyze, "verify", *kind, str(tmp_path / unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_a_command_that_there_is_and_lets_it_end_in_good_order(unit):
    said = settings_of(unit)
    program, *arguments = shlex.split(said["ExecStart"])
    assert program.endswith("/bin/foldq")
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
    assert (said["Type"], said["NotifyAccess"]) == ("notify", "main")
    assert said["KillMode"] == "mixed", "SIGTERM is for the scheduler, not for its engines"
    assert said["OOMPolicy"] == "continue", "an engine that is ended does not end the service"
    assert said["TimeoutStopSec"] == "5min"
    lasting = {int(ExitCode.USAGE), int(ExitCode.SPOOL_HELD)}
    assert set(map(int, said["RestartPreventExitStatus"].split())) == lasting
    assert said["NoNewPrivileges"] == "yes"
    assert said["Environment"].startswith("FOLDQ_SPOOL=")


def test_the_spool_of_the_system_is_all_it_may_write():
    said = settings_of("foldq.service")
    assert said["ProtectSystem"] == "strict"
    assert said["Environment"] == f"FOLDQ_SPOOL=/var/lib/{said['StateDirectory']}/spool"
    assert said["User"] not in ("", "root")
    assert said["CapabilityBoundingSet"] == ""


def instructions():
    """Yield the instructions of the container file, continued lines joined."""
    text = (DEPLOY / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


def test_the_container_file_is_made_of_what_there_is():
    said = list(instructions())
    assert {name for name, _ in said} == {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK",
        "ENTRYPOINT", "CMD",
    }  # fmt: skip
    run = " ".join(rest for name, rest in said if name == "RUN")
    assert "--constraint constraints.txt" in run
    assert (ROOT / "constraints.txt").exists()
    last = dict(said)
    assert last["USER"] == "10001:10001"
    assert last["VOLUME"] == '["/spool"]'
    assert "FOLDQ_SPOOL=/spool" in last["ENV"]
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["foldq"]', '["serve"]')
    python = re.search(r"python:(\d+)\.(\d+)-slim", last["FROM"])
    assert python is not None
    assert (int(python[1]), int(python[2])) >= (3, 11)


def test_what_the_build_needs_is_not_left_out():
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    needed = {"schemas", "service", "workers", "pyproject.toml", "constraints.txt", "README.md"}
    assert needed & {line.strip("/") for line in left_out} == set()
    assert ".git" in left_out
    assert "spool" in left_out


def test_the_container_is_well_while_a_scheduler_holds_the_spool(tmp_path):
    (check,) = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    command = check[check.index("CMD ") + 4 :]
    spool = tmp_path / "spool"
    make_directories(spool)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, run in (("foldq", "-m service.cli"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {run} "$@"\n')
        (programs / name).chmod(stat.S_IRWXU)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "FOLDQ_SPOOL": str(spool)}

    def is_well():
        ended = subprocess.run(
            ["/bin/sh", "-c", command], env=env, cwd=ROOT, capture_output=True, timeout=60
        )
        return ended.returncode == 0

    assert not is_well()
    with lock.hold(spool):
        assert is_well()


def test_systemd_is_told_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")  # nobody asked
    for address in (str(tmp_path / "notify"), f"@foldq-test-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0" + address[1:] if address.startswith("@") else address)
            manager.settimeout(5)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            notify("READY=1")
            assert manager.recv(100) == b"READY=1"
        notify("READY=1")  # nobody listens any more
