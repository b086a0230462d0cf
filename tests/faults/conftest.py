"""What fault tests share: a ground for schedulers that die by the dozen, an undisturbed search."""

import os
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from cluster import Scheduler
from proving import Ground, proving_ground
from searches import SEARCH, scores


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A running cluster and a warm process that schedulers are forked from."""
    with proving_ground(tmp_path_factory.mktemp("proving")) as ground:
        yield ground


@pytest.fixture(scope="session")
def undisturbed_scores(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Scheduler], pd.DataFrame]:
    """Give the table of `SEARCH` when nothing happens to it, from a running scheduler.

    The first test that asks has it computed; the processes of a test run share it.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "alone")
    base = tmp_path_factory.getbasetemp()
    kept = (base if run == "alone" else base.parent) / f"undisturbed-{run}.pickle"

    def undisturbed(scheduler: Scheduler) -> pd.DataFrame:
        if not kept.exists():
            scheduler.drop(SEARCH, "undisturbed.json")
            job = scheduler.wait("undisturbed")
            aside = kept.with_name(f"{kept.name}-{os.getpid()}")
            scores(scheduler.results(job["id"])).to_pickle(aside)
            aside.rename(kept)
        table: pd.DataFrame = pd.read_pickle(kept)
        return table

    return undisturbed
