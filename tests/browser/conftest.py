"""A headless Chromium, where there is one."""

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import ROOT

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; without one the test is skipped.

    Not for the session: its driver has an event loop in the thread, and later tests their own.
    """
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
