"""The page of a search in a real browser: it opens offline and draws every plot."""

import shutil
import sys
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from fabricated import Fabricated, at  # noqa: E402

from schemas.settings import Settings  # noqa: E402
from service.reporter import write  # noqa: E402

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NASTY = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A grid of two parameters with an engine that was lost, and names that would be markup."""
    spool = tmp_path_factory.mktemp("report") / "spool"
    db = Fabricated(spool)
    space = [{"svc__C": c, "kernel": k} for c in (0.1, 1, 10, 100) for k in ("rbf", NASTY, "poly")]
    job_id = db.job(
        NASTY, n_splits=2, n_candidates=12, n_tasks=24, n_done=24, best_index=9, best_score=0.8,
        best_params={"C": 100}, file_bytes=b"name: digits", started_at=at(0), finished_at=at(60),
    )  # fmt: skip
    kept, lost = db.engine(0), db.engine(1, left_at=at(20), left_because="killed by SIGKILL")
    for number, params in enumerate(space):
        candidate = db.candidate(job_id, number, params)
        for split in range(2):
            score = 0.5 + number / 40 + split / 100
            task = db.fold(job_id, candidate, split, {"score": score}, finished_at=at(5 + number))
            db.attempt(task, kept, "ok", batch=number, submitted_at=at(number))
    db.attempt(task, lost, "engine_lost", batch=99, submitted_at=at(12), finished_at=at(20))
    return write(Settings.load(spool), job_id)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_it_opens_offline_draws_every_plot_and_fits_the_window(browser, page_file, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True,
        reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(page_file.as_uri())
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for(timeout=60_000)
    assert page.locator(".plot").count() == 9
    assert wrong == []
    assert page.title() != "taken"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(16, 19, 23)")
    context.close()


def test_the_table_is_sorted_and_filtered_and_the_ground_changes(browser, page_file):
    page = browser.new_page(color_scheme="light", reduced_motion="reduce")
    page.goto(page_file.as_uri())
    first = page.locator(".trials tbody tr").first
    assert first.locator("td").first.inner_text() == "11"  # the row of the highest mean
    page.get_by_role("button", name="C", exact=True).click()
    assert "0.1" in first.inner_text()
    page.get_by_label("Filter").fill("c>1 poly")
    assert page.locator(".trials tbody tr:visible").count() == 2
    assert page.locator("#matches").inner_text() == "2 of 12"
    first_shown = page.locator(".trials tbody tr:visible").first
    first_shown.locator("summary").click()
    assert "split 1" in first_shown.inner_text()
    page.get_by_role("button", name="Switch to dark colours").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 23)"
    page.close()


def test_what_is_text_is_there_without_javascript(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    text = page.locator("main").inner_text()
    for words in ("Summary", "Best model", "0.7300 ± 0.0050", "Lost engines", "name: digits"):
        assert words in text
    assert not page.locator("#theme").is_visible()
    context.close()


def test_on_paper_every_plot_is_there_black_on_white_and_nothing_to_click(browser, page_file):
    page = browser.new_page(color_scheme="dark", reduced_motion="reduce")
    page.goto(page_file.as_uri())
    for plot in page.locator(".plot").all():  # nobody scrolls to them
        plot.locator(".main-svg").first.wait_for(state="attached", timeout=60_000)
    dark = (
        "[...document.querySelectorAll('.plot')].filter(p => p.innerHTML.includes('90, 174, 230'))"
    )
    assert page.evaluate(f"{dark}.length") > 0
    page.set_viewport_size({"width": 688, "height": 1000})  # a page of A4 within its margins
    page.emulate_media(media="print")
    # As browsers do, which wait for nothing: what is drawn later is not on the paper.
    left = page.evaluate(
        f"dispatchEvent(new Event('beforeprint')), Promise.resolve().then(() => {dark}.length)"
    )
    assert left == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert page.locator("button:visible:not(thead *), nav:visible, .modebar:visible").count() == 0
    page.close()


def test_nothing_lies_over_what_is_to_be_copied(browser, page_file):
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(page_file.as_uri())
    for box in page.locator(".copyable").all():
        text, button = box.locator("pre").bounding_box(), box.locator("button").bounding_box()
        assert text["x"] + text["width"] <= button["x"]
    page.close()
