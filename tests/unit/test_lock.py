"""One scheduler per spool."""

import os
import socket
import subprocess
import sys

import pytest

from service.lock import LOCK_FILE, Holder, SpoolHeld, hold, holder


def test_the_next_scheduler_knows_when_the_last_one_was_alive(tmp_path):
    with hold(tmp_path) as first:
        assert first.last_sign is None
        os.utime(tmp_path / LOCK_FILE, (1000, 1000))
        first.give_sign()
        alive = (tmp_path / LOCK_FILE).stat().st_mtime
        assert alive > 1000
    os.utime(tmp_path / LOCK_FILE, (1000, 1000))
    with hold(tmp_path) as second:
        assert second.last_sign.timestamp() == 1000
    with hold(tmp_path) as third:
        assert third.last_sign.timestamp() == 1000, "the second one never got so far"


def test_a_free_spool_has_no_holder(tmp_path):
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass
    assert holder(tmp_path) is None


def test_the_holder_is_named(tmp_path):
    with hold(tmp_path) as mine:
        assert holder(tmp_path) == mine.holder
        found = holder(tmp_path)
        assert (found.pid, found.host) == (os.getpid(), socket.gethostname())
        assert found.trouble is None


def test_what_troubles_the_holder_is_read_by_others_while_it_lasts(tmp_path):
    with hold(tmp_path) as mine:
        mine.tell("the disk is full")
        assert holder(tmp_path).trouble == "the disk is full"
        assert holder(tmp_path).pid == os.getpid()
        mine.tell(None)
        assert holder(tmp_path).trouble is None


@pytest.mark.parametrize("letter", ["x", "é", "🖴", '"'])
def test_a_trouble_of_any_length_is_told_without_the_file_growing(tmp_path, letter):
    with hold(tmp_path) as mine:
        size = (tmp_path / LOCK_FILE).stat().st_size
        mine.tell(letter * 10_000)
        assert (tmp_path / LOCK_FILE).stat().st_size == size
        told = holder(tmp_path).trouble
        assert len(told) > 200
        assert told == letter * told.count(letter) + "…" * told.count("…")


def test_a_lock_file_of_an_earlier_version_is_written_over(tmp_path):
    (tmp_path / LOCK_FILE).write_text('{"pid": 1, "host": "old", "started_at": ""}\n' + "x" * 9000)
    with hold(tmp_path) as mine:
        assert holder(tmp_path) == mine.holder
        assert (tmp_path / LOCK_FILE).stat().st_size < 9000


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
