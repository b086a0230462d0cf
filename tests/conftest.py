"""Fixtures with real engines. Whatever a test does, no process of a scheduler outlives it."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Scheduler


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """One running scheduler with 2 engines that tests share: give jobs names of their own."""
    with Scheduler(tmp_path_factory.mktemp("shared")) as scheduler:
        yield scheduler


@pytest.fixture
def new_scheduler(tmp_path: Path) -> Iterator[Callable[..., Scheduler]]:
    """Make schedulers that the test may stop and kill; `start` is the test's to call.

    Each call takes what `Scheduler` takes after its directory, and gives it a fresh spool.
    """
    with ExitStack() as stack:

        def make(*, engines: int = 2, warm: bool = True, **settings: object) -> Scheduler:
            directory = tmp_path / f"scheduler-{len(made) + 1}"
            scheduler = Scheduler(directory, engines=engines, warm=warm, **settings)
            made.append(scheduler)
            stack.callback(scheduler.close)
            return scheduler

        made: list[Scheduler] = []
        yield make


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """A running scheduler whose operator lists `Troublesome`; shared by the module's tests.

    Its engines may use 1 GiB of memory each, and a fold that stalls is not tried elsewhere.
    """
    path = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here if path is None else here + os.pathsep + path)
        listed = json.dumps({"Troublesome": "troublesome.Troublesome"})
        directory = tmp_path_factory.mktemp("service")
        settings = {
            "catalog__estimators": listed,
            "engine_memory": "1GiB",
            "copy_stragglers": "false",
        }
        with Scheduler(directory, **settings) as scheduler:
            yield scheduler
