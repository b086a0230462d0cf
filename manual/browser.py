"""Pages as Chromium shows them."""

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_SIZE = {"width": 1280, "height": 900}


@contextmanager
def opened() -> Iterator[Page]:
    """Open a window of 1280 × 900.

    Raises
    ------
    ImportError
        There is no Chromium.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise ImportError("no chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
        browser.close()


def shot(page: Page, address: str) -> bytes:
    """Return a PNG of what the window shows of a page, in few enough colours to be small."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # plots are drawn after the page is there
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


@contextmanager
def dashboard(directory: Path) -> Iterator[str]:
    """Serve the dashboard of a spool, and give its address."""
    process = subprocess.Popen(
        ["foldq", "dashboard", "--port", "0"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if address := re.search(r"http://127\.0\.0\.1:\d+\S*", line):
                yield address[0]
                break
        else:
            raise RuntimeError("the dashboard did not start")
    finally:
        process.terminate()
        process.wait(10)
