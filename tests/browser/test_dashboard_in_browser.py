"""The dashboard as people use it: open it, look, click through, follow a search, ask, download."""

import csv
import re
import signal
import time

import pytest
from dashboards import dashboard
from fabricated import Fabricated, at

PATIENCE = 120_000  # milliseconds, as the browser's

SEARCH = {
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [0.1, 1, 10, 100], "gamma": [0.01, 0.1, 1]}},
    "cv": 4,
    "tags": ["followed"],
}

#: Pixels of the report that its frame does not show.
OVERHANG = """(() => { const frame = document.querySelector("#report");
    const inner = frame.contentDocument.documentElement;
    return inner.getBoundingClientRect().height - frame.clientHeight; })()"""


def until(is_so):
    """Wait for something that the page comes to by itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to it"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def spool(tmp_path_factory):
    """Records with a finished search and sixty others, one of them with very long names."""
    spool = tmp_path_factory.mktemp("dashboard") / "spool"
    records = Fabricated(spool)
    records.finished_search("digits-svc", tags=["course"])
    for number in range(60):
        long = {"tags": ["a" * 64, "many words " * 9]} if number == 59 else {}
        name = f"wine-{number}" + "-and-so-on" * 9 * bool(long)
        records.job(name, state="failed", reason="All the 4 fits failed.", **long)
    return spool


@pytest.fixture(scope="module")
def shown(spool):
    """A dashboard of these records."""
    with dashboard(spool) as running:
        yield running


def test_from_the_list_through_a_filter_to_a_job_and_its_plots(page, shown):
    page.goto(shown.url)
    page.wait_for_url(shown.at("/"))  # the token is gone from the address
    page.get_by_text("page 1 of 2 · 61 jobs").wait_for()
    page.get_by_role("button", name="older").click()
    page.get_by_text("page 2 of 2").wait_for()
    page.get_by_role("button", name=re.compile("^completed")).click()
    page.wait_for_url("**/?state=completed")
    until(lambda: page.locator("#jobs tbody tr").count() == 1)
    page.go_back()
    page.get_by_text("page 2 of 2").wait_for()
    page.get_by_label("Name").fill("DIGITS")
    until(lambda: page.locator("#jobs tbody tr").count() == 1)
    page.get_by_role("link", name="digits-svc").click()

    page.locator("#state", has_text="completed").wait_for()
    report = page.frame_locator("#report")
    report.locator(".js-plotly-plot").first.wait_for()
    report.locator("body > header").wait_for(state="hidden")
    # The frame is as long as what is in it: the page scrolls, not the frame.
    until(lambda: page.evaluate(OVERHANG) <= 2)
    page.get_by_role("link", name="folds", exact=True).click()
    page.get_by_text("10 rows").first.wait_for()


def test_a_question_is_asked_and_its_answer_downloaded(page, shown):
    page.goto(shown.url)
    page.get_by_role("link", name="Questions").click()
    page.get_by_role("link", name="Best candidates of a job").click()
    page.get_by_label("job", exact=True).fill("1")
    page.get_by_role("button", name="Run SQL").click()
    page.locator("td", has_text='{"C": 10}').wait_for()
    page.goto(shown.at("/job/1"))
    with page.expect_download() as download:
        page.get_by_role("link", name="cv_results_ as CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [float(row["mean_test_score"]) for row in rows] == [0.9, 0.96]


def test_it_fits_a_telephone_and_the_night(page, shown):
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(shown.url)
    page.locator("#jobs tbody tr").first.wait_for()
    overflow = "document.documentElement.scrollWidth - innerWidth"
    ground = "getComputedStyle(document.body).backgroundColor"
    for path in ("/job/1", "/foldq", "/foldq/job", "/foldq/job/1", "/job/61", "/?state=none"):
        page.goto(shown.at(path), wait_until="domcontentloaded")
        assert page.evaluate(overflow) <= 0, path
    page.get_by_text("No state is called 'none'").wait_for()
    page.locator("#jobs tbody tr").first.wait_for()
    assert page.evaluate(overflow) <= 0
    assert page.evaluate(ground) == "rgb(246, 247, 249)"
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) == "rgb(16, 19, 23)"
    page.goto(shown.at("/"))
    assert page.evaluate(ground) == "rgb(16, 19, 23)"  # remembered


def test_who_has_no_token_sees_that_one_is_needed(page, shown):
    answer = page.goto(shown.at("/"))
    assert answer.status == 401
    page.get_by_text("asks for its token").wait_for()
    page.complaints.clear()  # it says so in the console, too


def test_it_waits_for_the_first_records_and_tells_when_it_is_gone(page, tmp_path):
    with dashboard(tmp_path / "spool") as shown:
        page.goto(shown.url)
        page.get_by_text("There are no records yet").wait_for()
        Fabricated(tmp_path / "spool").job("the-first", state="queued")
        page.get_by_role("link", name="the-first").wait_for()
        shown.process.send_signal(signal.SIGINT)
        _, said = shown.process.communicate(timeout=60)
        assert shown.process.returncode == 0
        assert "Traceback" not in said
        page.get_by_text("does not answer").wait_for()
    while page.complaints:
        assert "ERR_CONNECTION" in page.complaints.pop()


def test_the_plots_of_a_running_search_grow_where_they_are(page, spool, shown):
    records = Fabricated(spool)
    running = records.job("growing", state="running", n_splits=1, n_tasks=4, n_done=2)
    candidates = [records.candidate(running, n, {"C": n}) for n in range(4)]
    for n in range(2):
        records.fold(running, candidates[n], 0, {"score": n / 10}, finished_at=at(n + 2))
    page.goto(shown.url)
    page.wait_for_url(shown.at("/"))
    page.goto(shown.at(f"/job/{running}"))
    page.frame_locator("#report").locator("#progress .points path").nth(1).wait_for()
    (report,) = [frame for frame in page.frames if frame.url.endswith("/report")]
    report.evaluate("window.before = document.querySelector('#progress .main-svg')")
    records.fold(running, candidates[2], 0, {"score": 0.3}, finished_at=at(5))
    records.update(running, n_done=3)
    page.frame_locator("#report").locator("#progress .points path").nth(2).wait_for()
    assert report.evaluate("before === document.querySelector('#progress .main-svg')")


def test_a_running_search_is_followed_to_its_end_without_loading_again(page, scheduler):
    with dashboard(scheduler.spool, scheduler.environment) as shown:
        page.goto(shown.url)
        page.get_by_text("scheduler running").wait_for()
        scheduler.drop(SEARCH, "followed-in-browser.json")
        row = page.locator("#jobs tr", has_text="followed-in-browser")
        row.wait_for()
        page.evaluate("window.sameDocument = true")
        row.locator(".state", has_text="completed").wait_for()
        row.get_by_text("48/48").wait_for()
        assert page.evaluate("window.sameDocument")
        row.get_by_role("link", name="followed-in-browser").click()
        page.locator("#best", has_text=re.compile(r"0\.9")).wait_for()
        page.frame_locator("#report").locator(".js-plotly-plot").first.wait_for()
