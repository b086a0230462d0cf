"""Attacks on docs/security.md: requests to a running scheduler (S33, S34)."""

import json
import os
import socket

import pytest

from service import control
from service.layout import make_directories

DEEP = "[" * 2000 + "]" * 2000

JUNK = {
    "empty": b"",
    "not JSON": b"cancel 1",
    "a pickle": b"\x80\x04\x95\x0b.",
    "not UTF-8": b'{"action": "cancel", "job": \xff}',
    "NUL": b"\0" * 100,
    "a list": b"[1, 2]",
    "a word": b'"cancel"',
    "nothing": b"null",
    "no job": b'{"action": "cancel"}',
    "no action": b'{"job": 1}',
    "another action": b'{"action": "delete", "job": 1}',
    "a list of actions": b'{"action": ["cancel"], "job": 1}',
    "SQL": b'{"action": "cancel", "job": "1 OR 1=1"}',
    "a path": b'{"action": "cancel", "job": "../../1"}',
    "prune all": b'{"action": "prune"}',
    "prune what runs": b'{"action": "prune", "before": "2026-01-01T00:00Z", "states": ["running"]}',
    "prune nothing known": b'{"action": "prune", "before": "2026-01-01T00:00Z", "states": ["x"]}',
    "prune in no zone": b'{"action": "prune", "before": "2026-01-01", "states": ["failed"]}',
    "prune at a number": b'{"action": "prune", "before": 1, "states": ["failed"]}',
    "prune states in a list": b'{"action": "prune", "before": "2026-01-01T00:00Z", "states": [[]]}',
    "true": b'{"action": "cancel", "job": true}',
    "a fraction": b'{"action": "cancel", "job": 1.0}',
    "negative": b'{"action": "cancel", "job": -1}',
    "zero": b'{"action": "cancel", "job": 0}',
    "beyond SQLite": b'{"action": "cancel", "job": 99999999999999999999999999}',
    "beyond Python": b'{"action": "cancel", "job": ' + b"9" * 4050 + b"}",
    "deep": DEEP.encode(),
    "deep and large": b"[" * 1_000_000,
    "large": b'{"action": "cancel", "job": 1, "x": "' + b"x" * 100_000 + b'"}',
    "large, in good form": b'{"action": "cancel", "job": 1}' + b" " * 5000,
    "an escape": b'{"action": "\\u001b]0;owned\\u0007", "job": 1}',
}


@pytest.fixture
def place(tmp_path):
    make_directories(tmp_path / "spool")
    return tmp_path / "spool"


def read_all(place):
    """Take the requests in as a scheduler does, file by file."""
    desk = control.Desk(place)
    asked = desk.take()
    desk.clear()
    assert desk.unread is None
    return asked


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK.keys())
def test_s33_junk_is_removed_and_logged_and_asks_for_nothing(content, place, caplog):
    (place / "control" / "a.json").write_bytes(content)
    control.request(place, "pause", 7)
    (asked,) = read_all(place)
    assert (asked.action, asked.job_id) == ("pause", 7)
    assert list((place / "control").iterdir()) == []
    assert "is not a request" in caplog.text
    assert "\x1b" not in caplog.text
    assert len(caplog.text) < 1000, "no flood"


@pytest.mark.parametrize(
    "name", ["\x1b]0;owned\x07.json", "\n.json", b"\xff.json", "a b'\".json", "%s%n.json"]
)
def test_s33_names_of_any_kind(name, place, caplog):
    path = os.path.join(os.fsencode(place / "control"), os.fsencode(name))  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"junk")
    assert read_all(place) == []
    assert not os.path.lexists(path)
    caplog.text.encode()
    assert "\x1b" not in caplog.text


def test_s34_a_symlink_goes_and_what_it_leads_to_stays(place, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"action": "cancel", "job": 1}))
    links = {"file": secret, "device": "/dev/zero", "nothing": tmp_path / "no", "dir": tmp_path}
    for name, target in links.items():
        (place / "control" / f"{name}.json").symlink_to(target)
    (place / "control" / "self.json").symlink_to("self.json")
    assert read_all(place) == []
    assert list((place / "control").iterdir()) == []
    assert secret.exists()


def test_s34_pipes_and_sockets_are_not_waited_for(place):
    os.mkfifo(place / "control" / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "control" / "socket.json"))
        assert read_all(place) == []
    assert list((place / "control").iterdir()) == []


def test_s34_directories_are_left_alone_and_keep_nobody_from_asking(place, caplog):
    inside = place / "control" / "directory.json" / "a.json"
    inside.parent.mkdir()
    inside.write_text('{"action": "cancel", "job": 1}')
    desk = control.Desk(place)
    for _ in range(3):
        control.request(place, "pause", 7)
        assert [asked.job_id for asked in desk.take()] == [7]
        with pytest.raises(OSError, match=r"directory\.json"):  # what the scheduler shows
            desk.clear()
    assert [path.name for path in (place / "control").iterdir()] == ["directory.json"]
    assert inside.exists()
    assert caplog.text.count("is not a request") == 1


def test_s34_other_names_are_left_alone(place):
    for name in (".hidden.json", "notes.txt", "a.json.tmp"):
        (place / "control" / name).write_text('{"action": "cancel", "job": 1}')
    assert read_all(place) == []
    assert len(list((place / "control").iterdir())) == 3
