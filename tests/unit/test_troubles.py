"""What keeps the scheduler from working is told once, shown while it lasts, and then gone."""

import errno
import logging
import os

import pytest

from service.troubles import Troubles


@pytest.fixture
def published():
    return []


@pytest.fixture
def troubles(published):
    return Troubles(published.append)


def test_a_trouble_is_shown_while_it_lasts(troubles, published):
    troubles.report("records", "the disk is full")
    troubles.report("records", None)
    assert published == ["the disk is full", None]


def test_a_trouble_is_logged_when_it_comes_changes_and_goes_not_at_every_try(troubles, caplog):
    caplog.set_level(logging.INFO, "foldq")
    for because in ("full", "full", "full", "read-only", "read-only", None, None):
        troubles.report("records", because)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "full"), ("ERROR", "read-only"), ("INFO", "over: read-only"),
    ]  # fmt: skip


def test_troubles_of_several_sources_stand_together_until_each_is_over(troubles):
    troubles.report("engines", "no controller")
    troubles.report("files", "incoming/ cannot be read", "incoming")
    troubles.report("files", "a.json cannot be moved", "a.json")
    assert troubles.text == "no controller; incoming/ cannot be read; a.json cannot be moved"
    troubles.report("files", None, "incoming")
    troubles.report("engines", None)
    assert troubles.text == "a.json cannot be moved"


def test_of_many_alike_a_few_are_shown_and_the_rest_counted(troubles):
    for number in range(10):
        troubles.report("files", f"{number}.json stays", f"{number}.json")
    assert troubles.text == "0.json stays; 1.json stays; 2.json stays; and 7 more of the kind"


def test_what_is_no_longer_there_troubles_nobody(troubles):
    for about in ("file/a", "file/b", "incoming"):
        troubles.report("files", f"{about} stays", about)
    troubles.keep("files", "file/", {"b"})
    assert troubles.text == "file/b stays; incoming stays"


def test_an_error_is_a_trouble_until_the_same_goes_well(troubles):
    for _ in range(2):
        with troubles.noting("results", "job 1 waits"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/1")
    assert troubles.text == "job 1 waits: no space left on device (results/1): make room"
    with troubles.noting("results", "job 1 waits"):
        pass
    assert troubles.text is None


def test_other_errors_pass(troubles):
    with pytest.raises(ValueError, match="a bug"), troubles.noting("files", "never"):
        raise ValueError("a bug")
    assert troubles.text is None


def test_a_trouble_that_cannot_be_published_is_in_the_log_all_the_same(caplog):
    def publish(text):
        raise OSError(errno.EIO, "Input/output error")

    Troubles(publish).report("records", "the disk is broken")
    assert "the disk is broken" in caplog.text


def test_names_of_any_bytes_can_be_shown(troubles):
    with troubles.noting("files", "stays"):
        raise PermissionError(errno.EACCES, "Permission denied", os.fsdecode(b"j\xff.json"))
    assert troubles.text.encode()
