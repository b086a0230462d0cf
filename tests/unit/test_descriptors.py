"""The scheduler takes all the file descriptors it may have, and says when those are too few."""

import resource

import pytest

from service.descriptors import raise_limit


@pytest.fixture(autouse=True)
def limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_raised_to_the_hard_one(limits, caplog):
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits))
    raise_limit(2)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits, limits)
    assert caplog.text == ""


def test_too_few_for_the_engines_is_said(limits, caplog):
    raise_limit(10_000_000)
    assert f"{limits} open files are allowed, and 10000000 engines may need" in caplog.text
    assert "ulimit -Hn" in caplog.text
