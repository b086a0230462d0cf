"""The command, on a scheduler whose engines can import the test suite's own estimator."""

import subprocess
from collections.abc import Callable

import pytest
from cluster import Scheduler


@pytest.fixture
def foldq(service: Scheduler) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, on the scheduler's spool."""
    return service.foldq
