"""Fixtures of the tests that take job files in: a spool, its records, its intake."""

import pytest

from schemas.settings import Settings
from service import spool
from service.spool import Intake
from service.store import Store


@pytest.fixture
def place(tmp_path):
    spool.make_directories(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def store(place):
    store = Store(place / "foldq.db")
    yield store
    store.close()


@pytest.fixture
def intake(place, store):
    return Intake(Settings.load(place), store)
