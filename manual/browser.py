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
    FileNotFoundError
        There is no Chromium.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise FileNotFoundError("no chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
        browser.close()


def shot(page: Page, address: str, *, at: str = "body", height: int = 640) -> bytes:
    """Return a PNG of a part of a page, in few enough colours to be small.

    Parameters
    ----------
    page : Page
        The window.
    address : str
        What is opened in it.
    at : str
        Selector of what the picture begins with.
    height : int
        Pixels.
    """
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.locator(at).first.evaluate("part => part.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(1500)  # plots are drawn when they come into view
    clip = {"x": 0, "y": 0, "width": _SIZE["width"], "height": height}
    image = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]
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
