"""One scheduler per spool."""

import os
import socket
import subprocess
import sys

import pytest

from service.lock import LOCK_FILE, Holder, SpoolHeld, hold, holder


def test_a_free_spool_has_no_holder(tmp_path):
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass
    assert holder(tmp_path) is None


def test_the_holder_is_named(tmp_path):
    with hold(tmp_path) as mine:
        assert holder(tmp_path) == mine
        assert (mine.pid, mine.host) == (os.getpid(), socket.gethostname())


def test_a_second_scheduler_is_told_who_holds_it(tmp_path):
    with hold(tmp_path), pytest.raises(SpoolHeld) as held, hold(tmp_path):
        pass
    assert held.value.pid == os.getpid()
    assert held.value.host == socket.gethostname()


def test_a_killed_holder_leaves_the_spool_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from service.lock import hold\n"
        "with hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert holder(tmp_path).pid == process.pid
    process.kill()
    process.wait()
    process.stdout.close()
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass


def test_a_holder_that_has_not_yet_said_who_it_is(tmp_path):
    with hold(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(b"")
        assert holder(tmp_path) == Holder(0, "this host", "")
