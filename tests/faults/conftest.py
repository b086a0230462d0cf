"""One proving ground for all tests here that want schedulers to die by the dozen."""

from collections.abc import Iterator

import pytest
from proving import Ground, proving_ground


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A running cluster and a warm process that schedulers are forked from."""
    with proving_ground(tmp_path_factory.mktemp("proving")) as ground:
        yield ground
