"""A headless Chromium, where there is one, and dashboards to look at with it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import MARK, ROOT

sys.path.insert(0, str(ROOT / "tests" / "unit"))  # for fabricated records

#: Milliseconds that the browser waits for anything: much, for a machine that is busy.
PATIENCE = 120_000

_SWITCHES = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def chromium() -> str | None:
    """Find the browser."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser; without one the test is skipped."""
    pytest.importorskip("datasette", reason="the extra `dashboard` is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # its sandbox refuses to run as root
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*_SWITCHES, *root])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a profile of its own; it must not have complained when the test is over."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.complaints = complaints
    yield page
    context.close()
    assert complaints == [], "the page complained in its console"


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
        env={**(environment or os.environ), MARK: "dashboard"},
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


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Give `dashboard`, to be used in a `with`."""
    return dashboard
