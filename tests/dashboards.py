"""`foldq dashboard` in a process of its own, for tests that look at it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import ROOT


@dataclass
class Dashboard:
    """A dashboard that runs: the address that it printed, and its process."""

    url: str
    process: subprocess.Popen[str]

    def at(self, path: str) -> str:
        """Give the address of a page, without the token."""
        return self.url.partition("/?")[0] + path


@contextmanager
def dashboard(spool: Path, environment: dict[str, str] | None = None) -> Iterator[Dashboard]:
    """Run `foldq dashboard` on a spool."""
    command = [sys.executable, "-m", "service.cli", "dashboard", "--spool", str(spool), "--json"]
    process = subprocess.Popen(
        [*command, "--port", "0"],
        cwd=ROOT,
        env=environment or dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Dashboard(json.loads(process.stdout.readline())["url"], process)
    finally:
        process.kill()
        process.communicate()
