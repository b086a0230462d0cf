"""The command, on a scheduler whose engines can import the test suite's own estimator."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from cluster import ROOT, Scheduler


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
