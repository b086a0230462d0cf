"""What docs/security.md promises of the dashboard, attacked."""

import asyncio
import queue
import sqlite3
import webbrowser
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from fabricated import Fabricated

from schemas.settings import Settings
from service.recordfaults import RecordsUnusable

pytest.importorskip("datasette", reason="the extra `dashboard` is not installed")

from service.dashboard.app import SETTINGS, make_datasette
from service.dashboard.guard import Guard, new_token
from service.dashboard.queries import QUERIES
from service.dashboard.server import listen, opened

NASTY = "</script><script>alert(1)</script>&<!--"


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def records(spool):
    """A finished search, and one whose texts would like to be code."""
    records = Fabricated(spool)
    records.finished_search("digits-svc")
    evil = records.job(NASTY, state="failed", reason=NASTY, tags=[NASTY], estimator=NASTY,
                       data=NASTY, n_tasks=1, n_failed=1, n_splits=1)  # fmt: skip
    records.fold(evil, records.candidate(evil, 0, {"C": NASTY}), 0, error=NASTY)
    records.event(NASTY, NASTY, job_id=evil)
    return records


@pytest.fixture
def ask(spool):
    """Ask Datasette itself, as it answers behind the guard."""
    datasette = make_datasette(Settings.load(spool))

    def ask(path: str) -> httpx.Response:
        return asyncio.run(datasette.client.get(path))

    return ask


class Behind:
    """An application behind the guard, and whoever knocks."""

    def __init__(self, token: str) -> None:
        self.reached: list[str] = []
        self.guard = Guard(self._app, token)

    async def _app(self, scope, receive, send):
        self.reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the records"})

    def knock(self, url="http://127.0.0.1:8365/", method="GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def knock():
            transport = httpx.ASGITransport(app=self.guard)
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, url, headers=named)

        return asyncio.run(knock())


TOKEN = new_token()
KEY = f"Bearer {TOKEN}"


@pytest.fixture
def behind():
    return Behind(TOKEN)


def test_s43_it_listens_on_this_machine_alone():
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_s44_without_the_token_nothing_is_shown(behind):
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": f"{behind.guard.cookie}=x"}):
        answer = behind.knock(**headers)
        assert answer.status_code == 401
        assert "records" not in answer.text
    assert behind.knock("http://127.0.0.1:8365/?token=wrong").status_code == 401
    assert behind.reached == []


def test_s44_the_printed_address_leaves_a_cookie_and_leads_on_without_the_token(behind):
    answer = behind.knock(f"http://127.0.0.1:8365/foldq/job?_sort=id&token={TOKEN}&x=%22%3E")
    assert answer.status_code == 200
    assert behind.reached == []
    assert 'content="0; url=/foldq/job?_sort=id&amp;x=%22%3E"' in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert TOKEN not in answer.text

    again = behind.knock(Cookie=f"other=1; {cookie.partition(';')[0]}")
    assert (again.status_code, again.text) == (200, "the records")


def test_s45_it_never_leads_on_to_another_machine(behind):
    answer = behind.knock(f"http://127.0.0.1:8365//evil.example/?token={TOKEN}")
    assert "url=/evil.example/" in answer.text


def test_s44_scripts_send_the_token_as_a_header(behind):
    assert behind.knock(Authorization=KEY).text == "the records"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8365", 200),
        ("localhost:9000", 200),  # through a tunnel
        ("LOCALHOST", 200),
        ("evil.example:8365", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8365", 421),
        ("192.168.0.7:8365", 421),
        ("[::1]:8365", 421),
        ("", 421),
    ],
)
def test_s45_only_names_of_this_machine_are_answered_to(behind, host, status):
    """A name of somebody else's that comes to stand for 127.0.0.1 would be let read otherwise."""
    assert behind.knock(Host=host, Authorization=KEY).status_code == status


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)],
)
def test_s45_other_pages_in_the_same_browser_ask_in_vain(behind, site, status):
    """Another port of this machine is "same-site": the cookie comes along, but not from here."""
    cookie = f"{behind.guard.cookie}={TOKEN}"
    assert behind.knock(Cookie=cookie, Sec_Fetch_Site=site).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_s46_there_is_nothing_to_be_changed(behind, method):
    assert behind.knock(method=method, Authorization=KEY).status_code == 405
    assert behind.reached == []


def test_s45_every_answer_says_that_nothing_goes_elsewhere(behind):
    for answer in (behind.knock(), behind.knock(Authorization=KEY), behind.knock(Host="x")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_s44_the_browser_is_led_by_a_file_of_ours_alone(monkeypatch):
    """Its arguments, and so the token, could be read by everybody on the machine."""
    opened_at = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened_at.put)
    with opened("http://127.0.0.1:1/?token=secret"):
        uri = opened_at.get(timeout=60)
        assert "secret" not in uri
        page = Path(uri.removeprefix("file://"))
        assert "url=http://127.0.0.1:1/?token=secret" in page.read_text()
        assert page.parent.stat().st_mode & 0o077 == 0
    assert not page.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM job",
        "UPDATE job SET name = ''",
        "PRAGMA journal_mode=DELETE",
        "ATTACH DATABASE '/etc/passwd' AS x",
        "WITH x AS (SELECT 1) INSERT INTO job (name) SELECT 1 FROM x",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "SELECT zeroblob(1000000000)",
        "SELECT * FROM pragma_journal_mode('delete')",
        "VACUUM INTO '/tmp/x'",
        "SELECT 1; DELETE FROM job",
    ],
)
def test_s46_s47_sql_changes_nothing_and_opens_nothing(records, ask, sql, capsys):
    assert ask(f"/foldq.json?sql={quote(sql)}").status_code == 400
    assert records.db["job"].count == 2
    assert capsys.readouterr() == ("", "")


def test_s46_the_connection_itself_cannot_write_nor_open_files(records, spool):
    database = make_datasette(Settings.load(spool)).get_database("foldq")
    for sql in ("DELETE FROM job", "ATTACH 'x' AS y", "PRAGMA journal_mode=DELETE"):
        with pytest.raises(sqlite3.OperationalError, match="only reading"):
            asyncio.run(database.execute(sql))

    def write(connection: sqlite3.Connection) -> None:
        connection.set_authorizer(None)
        connection.execute("DELETE FROM job")

    with pytest.raises(RecordsUnusable, match="readonly"):
        asyncio.run(database.execute_fn(write))
    with pytest.raises(PermissionError):
        asyncio.run(database.execute_write("DELETE FROM job"))


def test_s47_a_query_without_end_is_ended(records, spool):
    datasette = make_datasette(Settings.load(spool))
    datasette.sql_time_limit_ms = 50
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    answer = asyncio.run(datasette.client.get(f"/foldq.json?sql={quote(endless)}"))
    assert answer.status_code == 400
    assert "interrupted" in answer.text.lower()
    assert SETTINGS["sql_time_limit_ms"] == 10_000


def test_s48_no_text_of_a_job_is_markup_on_any_page(records, ask):
    asked = "job=2&metric=&parameter=C&data=&estimator=&days=9999&kind=&outcome="
    pages = ["/", "/jobs.json", "/job/2", "/job/2/report", "/foldq", "/foldq/job", "/foldq/job/2",
             "/foldq/fold?job_id=2", "/foldq/event", f"/job/{quote(NASTY, safe='')}",
             f"/jobs.json?state={quote(NASTY)}"]  # fmt: skip
    for path in [*pages, *(f"/foldq/{name}?{asked}" for name in QUERIES)]:
        answer = ask(path)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        assert not is_page or "<script>alert" not in answer.text, path


@pytest.mark.parametrize(
    "path",
    ["/foldq.db", "/foldq.toml", "/-/foldq/..%2f..%2fapp.py", "/-/foldq/../../../../foldq.db",
     "/-/plotly/..%2f..%2f__init__.py", "/logs/foldq.log"],
)  # fmt: skip
def test_s49_no_file_of_the_spool_is_served(records, spool, ask, path):
    (spool / "foldq.toml").write_text("# secret = 1")
    answer = ask(path)  # Datasette takes the end of a table's name for a form of it
    assert answer.status_code in (403, 404) or "The records · foldq" in answer.text
    assert not any(inside in answer.text for inside in ("secret", "SQLite format", "import "))
