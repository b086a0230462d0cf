"""The dashboard without a browser: who is let in, what is shown, that nothing can be changed."""

import asyncio
import csv
import io
import json
from urllib.parse import quote

import httpx
import pytest
from fabricated import Fabricated, at
from typer.testing import CliRunner

from schemas.settings import Settings
from service.cli import app as cli
from service.lock import hold

pytest.importorskip("datasette", reason="the extra `dashboard` is not installed")

from service.dashboard.app import make_datasette
from service.dashboard.live import PAGE_SIZE
from service.dashboard.queries import QUERIES
from service.dashboard.server import PortTaken, address, listen

NASTY = "</script><script>alert(1)</script>&<!--"


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def records(spool):
    """A finished search, one that runs, one that failed; one whose texts would like to be code."""
    records = Fabricated(spool)
    records.finished_search("digits-svc", tags=["course", "lab-3"], data_fingerprint="f")
    running = records.job("wine", state="running", n_splits=2, n_tasks=4, n_done=1, n_failed=1)
    first = records.candidate(running, 0, {"C": 1})
    engine = records.engine(0)
    lost = records.engine(1, left_at=at(9), left_because="its process ended: signal 9")
    done = records.fold(running, first, 0, {"score": -0.5})
    records.attempt(done, lost, "engine_lost")
    records.attempt(done, engine, "ok")
    failed = records.fold(running, first, 1, error="Traceback\n  …\nValueError: C is negative\n")
    records.attempt(failed, engine, "error", error="ValueError: C is negative")
    records.attempt(records.fold(running, records.candidate(running, 1, {"C": 2}), 0), engine, None)
    records.job(NASTY, state="failed", reason=NASTY, tags=[NASTY], n_failed=1, n_tasks=1)
    records.event("engine lost", "signal 9", engine_id=lost)
    return records


@pytest.fixture
def ask(spool):
    """Ask Datasette itself, as it answers behind the guard."""
    datasette = make_datasette(Settings.load(spool))

    def ask(path: str) -> httpx.Response:
        return asyncio.run(datasette.client.get(path))

    return ask


# --- the list of jobs ----------------------------------------------------------------------------


def test_the_list_gives_each_job_as_the_commands_do(records, ask):
    found = ask("/jobs.json").json()
    assert found["schema_version"] == 1
    assert found["unreadable"] is None
    assert [job["name"] for job in found["jobs"]] == [NASTY, "wine", "digits-svc"]
    assert found["states"] == {"completed": 1, "failed": 1, "running": 1}
    wine = found["jobs"][1]
    assert (wine["n_done"], wine["n_failed"], wine["n_tasks"]) == (1, 1, 4)
    assert wine["best_score"] is None, "a fold of its only candidate failed"
    assert found["scheduler"] == {"running": False, "trouble": None, "n_engines": 0}
    assert wine["time_left"] is None
    assert found["engines"] == []


def test_it_tells_of_the_scheduler_its_engines_and_its_trouble(records, spool, ask):
    (spool / "incoming").mkdir()
    (spool / "incoming" / "new.yaml").write_text("")
    (spool / "rejected").mkdir()
    problems = [{"where": "cv", "message": "too few"}, {"message": "more"}]
    report = {"file": "mistyped.yaml", "problems": problems}
    (spool / "rejected" / "mistyped.yaml.error.json").write_text(json.dumps(report))
    with hold(spool) as held:
        held.tell("the disk is full")
        found = ask("/jobs.json").json()
    assert found["scheduler"]["running"]
    assert found["scheduler"]["trouble"] == "the disk is full"
    (engine,) = found["engines"]
    assert engine["running"] == [{"job_id": 2, "job": "wine", "kind": "fold", "n_tasks": 1}]
    assert found["waiting"]
    assert found["refused"] == [{"file": "mistyped.yaml", "message": "cv: too few"}]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("state=running", ["wine"]),
        ("state=nonsense", [NASTY, "wine", "digits-svc"]),
        ("tag=lab-3", ["digits-svc"]),
        ("name=IN", ["wine"]),
        ("name=d*-svc", ["digits-svc"]),
        ("name=%27%3B--", []),
        (f"tag={quote(NASTY)}", [NASTY]),
        ("state=running&tag=course", []),
        ("page=1e9", [NASTY, "wine", "digits-svc"]),
        ("page=99999999", [NASTY, "wine", "digits-svc"]),
    ],
)
def test_it_can_be_narrowed(records, ask, asked, names):
    found = ask(f"/jobs.json?{asked}").json()
    assert [job["name"] for job in found["jobs"]] == names
    assert found["n_jobs"] == len(names)


def test_a_state_that_is_none_is_said_so(records, ask):
    assert ask("/jobs.json?state=running").json()["note"] is None
    assert "'complete'. Did you mean completed?" in ask("/jobs.json?state=complete").json()["note"]
    assert "States are queued, " in ask("/jobs.json?state=qqq").json()["note"]


def test_many_jobs_have_pages(records, ask):
    for number in range(PAGE_SIZE + 5):
        records.job(f"many-{number}", tags=["many"])
    first, second = ask("/jobs.json").json(), ask("/jobs.json?page=2").json()
    assert (first["page"], first["n_pages"], first["n_jobs"]) == (1, 2, PAGE_SIZE + 8)
    ids = [job["id"] for job in first["jobs"] + second["jobs"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(set(ids)) == PAGE_SIZE + 8


def test_the_page_offers_the_tags(records, ask):
    page = ask("/").text
    assert "<option>course</option>" in page
    assert NASTY not in page


# --- one job -------------------------------------------------------------------------------------


def test_a_job_has_a_page_with_ways_into_its_tables(records, ask):
    page = ask("/job/2").text
    assert '<iframe id="report"' in page
    for path in ("/foldq/fold?job_id=2", "/foldq/candidate?job_id=2", "/job/2/results.csv"):
        assert path in page
        assert ask(path).status_code == 200
    assert NASTY not in ask("/job/3").text
    assert ask("/job/2.json").json()["job"]["name"] == "wine"


def test_its_report_draws_itself_with_the_library_from_beside(records, ask):
    report = ask("/job/2/report").text
    script = report.partition('src="')[2].partition('"')[0]
    library = ask(script)
    assert library.status_code == 200
    assert "plotly.js" in library.text[:300]
    assert len(report) < 500_000
    assert NASTY not in ask("/job/3/report").text


def test_its_report_is_drawn_anew_only_when_something_has_happened(records, ask, monkeypatch):
    import service.report

    drawn = []
    render = service.report.render
    monkeypatch.setattr(
        service.report, "render", lambda *args, **more: drawn.append(1) or render(*args, **more)
    )
    for _ in range(2):
        ask("/job/2/report")
    assert len(drawn) == 1
    records.update(2, n_done=2)
    ask("/job/2/report")
    assert len(drawn) == 2


def test_its_table_is_the_one_of_the_commands(records, ask):
    answer = ask("/job/1/results.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="job-1.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["rank_test_score"] for row in rows] == ["2", "1"]


@pytest.mark.parametrize("path", ["/job/99", "/job/99.json", f"/job/{10**19}", "/job/99/report"])
def test_a_job_that_is_not_there_is_said_so(records, ask, path, capsys):
    answer = ask(path)
    assert answer.status_code == 404
    assert "There is no job" in answer.text
    assert path.endswith(".json") or '<a href="/">All jobs</a>' in answer.text
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("path", ["/nothing", "/job/x", "/foldq/nothing"])
def test_an_address_of_nothing_leads_back_to_the_jobs(records, ask, path):
    answer = ask(path)
    assert answer.status_code == 404
    assert "There is nothing at /" in answer.text
    assert '<a href="/">All jobs</a>' in answer.text


# --- the tables ----------------------------------------------------------------------------------

PARAMETERS = {
    "job": "2", "metric": "", "parameter": "C", "data": "", "estimator": "", "days": "9999",
    "kind": "", "outcome": "",
}  # fmt: skip

#: What each question answers of the records above: a column, and what stands in it.
ANSWERS = {
    "best_candidates": ("mean_score", [-0.5]),
    "dearest_candidates": ("total_seconds", [0.85]),
    "slowest_folds": ("fit_seconds", [0.5, 0.25]),
    "failures_by_error": ("error", ["ValueError: C is negative"]),
    "score_by_parameter": ("value", ["1"]),
    "best_per_data": ("best_score", [0.96]),
    "jobs_like_this": ("job_id", [1, 3]),
    "dearest_jobs": ("job_id", [1, 2, 3]),
    "time_by_tag": ("tag", [NASTY, "course", "lab-3"]),
    "folds_per_hour": ("attempts", [3]),
    "engines_lost": ("attempts_lost", [1]),
    "odd_attempts": ("outcome", ["error", "engine_lost"]),
    "reused_folds": ("folds", []),
    "latest_events": ("kind", ["engine lost"]),
    "unfinished_jobs": ("folds_left", [2]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_every_question_has_its_answer(records, ask, name):
    asked = "&".join(f"{key}={value}" for key, value in PARAMETERS.items())
    found = ask(f"/foldq/{name}.json?{asked}&_shape=objects")
    assert found.status_code == 200, found.text
    column, expected = ANSWERS[name]
    given = [row[column] for row in found.json()["rows"]]
    order = sorted if name in ("dearest_jobs", "time_by_tag", "jobs_like_this") else list
    assert order(given) == order(expected)


def test_a_question_has_its_title_not_its_sql(records, ask):
    page = ask("/foldq/best_candidates?job=1").text
    title = page[page.index("<title>") : page.index("</title>")]
    assert title.endswith("· foldq")
    assert "SELECT" not in title


def test_of_a_large_search_the_first_split_says_which_candidates_are_looked_at(records, ask):
    """A million scores take seconds to read; whoever is in the answer has all its folds there."""
    large = records.finished_search("large", n_splits=3, n_tasks=300_000)
    asked = f"job={large}&metric=&parameter=C&_shape=objects"
    rows = ask(f"/foldq/best_candidates.json?{asked}").json()["rows"]
    assert [(row["candidate"], row["folds"]) for row in rows] == [(1, 3), (0, 3)]
    values = ask(f"/foldq/score_by_parameter.json?{asked}").json()["rows"]
    assert [row["folds"] for row in values] == [1, 1], "those of the first split"
    records.update(large, n_tasks=6)
    values = ask(f"/foldq/score_by_parameter.json?{asked}").json()["rows"]
    assert [row["folds"] for row in values] == [3, 3]


@pytest.mark.parametrize("name", QUERIES)
def test_every_question_answers_with_its_parameters_empty(records, ask, name):
    empty = "&".join(f"{key}=" for key in PARAMETERS)
    assert ask(f"/foldq/{name}?{empty}").status_code == 200


def test_reused_folds_name_the_search_that_computed_them(records, ask):
    again = records.job("again", n_tasks=1, n_done=1, n_reused=1)
    origin = records.db.execute("SELECT min(id) FROM task WHERE job_id = 1").fetchone()[0]
    candidate = records.candidate(again, 0, {"C": 1})
    records.fold(again, candidate, 0, {"score": 0.9}, origin_task_id=origin)
    (row,) = ask("/foldq/reused_folds.json?job=&_shape=array").json()
    assert (row["job_id"], row["folds"], row["spared_seconds"]) == (1, 1, 0.6)


def test_tables_have_titles_units_facets_and_lead_to_the_jobs(records, ask):
    page = ask("/foldq/job").text
    assert "Searches: what was asked" in page
    assert '<a href="/job/2">wine</a>' in page
    assert NASTY not in page
    facets = ask("/foldq/job.json").json()["facet_results"]
    assert facets["tags"]["results"][0]["value"] in ("course", "lab-3", NASTY)
    assert "500.0&nbsp;ms" in ask("/foldq/task?job_id=1").text
    assert ask("/foldq/task?job_id=1&_labels=on").text.count("digits-svc")
    assert "<dt>file_digest</dt>" in ask("/foldq/job/1").text


def test_each_table_is_there_as_csv_and_json(records, ask):
    rows = list(csv.DictReader(io.StringIO(ask("/foldq/task.csv?_stream=on").text)))
    assert len(rows) == 13
    assert ask("/foldq/attempt.json").json()["filtered_table_rows_count"] == 4


# --- records that change, and such that are not there --------------------------------------------


def test_what_is_committed_is_seen_at_once_and_no_reader_stays(records, ask):
    count = "/foldq.json?sql=select+count(*)+from+job&_shape=arrayfirst"
    assert ask(count).json() == [3]
    records.job("one-more")
    assert ask(count).json() == [4]
    # With a reader left in a transaction this would be busy.
    busy = records.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    assert busy == 0


def test_records_that_were_put_in_place_of_others_are_read(records, spool, ask, tmp_path):
    names = "/foldq.json?sql=select+name+from+job+limit+1&_shape=arrayfirst"
    assert ask(names).json() == ["digits-svc"]
    records.db.close()
    for file in spool.glob("foldq.db*"):
        file.rename(tmp_path / file.name)
    other = Fabricated(spool)
    other.job("other")
    assert ask(names).json() == ["other"]


def test_where_there_are_no_records_yet_the_pages_say_so(spool, ask, capsys):
    assert ask("/").status_code == 200
    found = ask("/jobs.json").json()
    assert "no scheduler has run on this spool" in found["unreadable"]
    assert found["jobs"] == []
    for path in ("/foldq", "/foldq/job", "/job/1", "/foldq/job.json"):
        answer = ask(path)
        assert answer.status_code == 503
        assert "foldq serve" in answer.text
    assert capsys.readouterr() == ("", "")
    Fabricated(spool).job("first")
    assert ask("/jobs.json").json()["jobs"][0]["name"] == "first"


def test_records_of_a_newer_version_are_left_alone(records, ask):
    row = {"migration_set": "foldq", "name": "m999_later", "applied_at": at(0)}
    records.db["_sqlite_migrations"].insert(row)
    assert "made by a newer foldq" in ask("/jobs.json").json()["unreadable"]
    assert "made by a newer foldq" in ask("/foldq/job").text


def test_a_mistake_of_ours_is_told_without_its_insides(records, ask, monkeypatch, caplog):
    def broken(*_: object) -> None:
        secret = "hunter2"
        raise RuntimeError(secret)

    monkeypatch.setattr("service.dashboard.live.job_document", broken)
    answer = ask("/job/1.json")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "/job/1.json could not be shown" in caplog.text


# --- the command ---------------------------------------------------------------------------------


def test_the_next_free_port_is_taken_unless_one_was_asked_for(monkeypatch):
    with listen(0) as taken:
        busy = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        monkeypatch.setattr("service.dashboard.server.PORT", busy)
        with listen(None) as other:
            assert other.getsockname()[1] != busy
        with pytest.raises(PortTaken, match=f"Port {busy} of 127.0.0.1 .* in use"):
            listen(busy)


def test_a_port_in_use_ends_the_command(spool):
    with listen(0) as taken:
        port = str(taken.getsockname()[1])
        ended = CliRunner().invoke(cli, ["dashboard", "--spool", str(spool), "--port", port])
    assert ended.exit_code == 2
    assert "in use" in ended.stderr
    assert "next free one" in ended.stderr


def test_it_prints_its_address_and_serves(spool, monkeypatch):
    served = []
    monkeypatch.setattr("service.dashboard.server.serve", lambda *given: served.append(given))
    ended = CliRunner().invoke(cli, ["dashboard", "--spool", str(spool), "--port", "0"])
    assert ended.exit_code == 0
    ((settings, listening, token),) = served
    assert settings.spool == spool
    assert ended.stdout == f"{address(listening, token)}\n"
    assert "no records" in ended.stderr
    listening.close()


def test_without_datasette_it_says_what_to_install(spool, monkeypatch):
    monkeypatch.setattr("service.commands.dashboard.NEEDED", ("no_such_package",))
    ended = CliRunner().invoke(cli, ["dashboard", "--spool", str(spool)])
    assert ended.exit_code == 2
    assert 'pip install "foldq[dashboard]"' in ended.stderr
