"""Engines that can import the test suite's own estimator."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import ROOT, Scheduler


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """A running scheduler whose operator lists `Troublesome`; shared by the module's tests."""
    path = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here if path is None else here + os.pathsep + path)
        listed = json.dumps({"Troublesome": "troublesome.Troublesome"})
        directory = tmp_path_factory.mktemp("service")
        with Scheduler(directory, catalog__estimators=listed) as scheduler:
            yield scheduler


@pytest.fixture
def foldq(service: Scheduler) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, on the scheduler's spool."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        listed = json.dumps({"Troublesome": "troublesome.Troublesome"})
        return subprocess.run(
            [sys.executable, "-m", "service.cli", "--spool", str(service.spool), *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "120", "FOLDQ_CATALOG__ESTIMATORS": listed},
            timeout=60,
        )

    return run
