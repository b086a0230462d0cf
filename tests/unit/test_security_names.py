"""Attacks on docs/security.md: where names and texts end up (S16 to S24, S26)."""

import csv
import io
import json
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fabricated import Fabricated
from typer.testing import CliRunner

from schemas.settings import Settings
from service import exports, lock, logs
from service.cli import app
from service.history import Query, find_jobs
from service.jobfile import examine
from service.layout import SpoolUnusable, make_directories, refusals
from service.printable import printable
from service.records import find_job, open_records
from service.results import read_folds
from service.spool import Intake, Refused
from service.store import Store

GOOD = b'{"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1, 2]}}}'
ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b31m\x7f\u202e"
COMMANDS = ("\x1b", "\x07", "\x9b", "\x7f", "\u202e", "\r")
#: Names that file systems take and programs stumble over.
NAMES = [
    "\x1b]0;owned\x07.json", "\n\r\t.json", "a\u202enosj.json", "\u2028.json", "\x7f\x9b.json",
    b"\xff\xfe\xc3.json", "a" * 250 + ".json", "\u00fc" * 125 + ".json", "..json", "...json",
    "..\\..\\a.json", "~.json", "-rf.json", "$(touch owned).json", "`id`.json", "; id;.json",
    "'; DROP TABLE job; --.json", '"quoted".json', "[red]a.json", "[bold.json", ":smile:.json",
    "%s%n%d.json", "{0}.json", "=cmd().json", "CON.json", "a.error.json",
    "x" * 233 + ".errorYYYYYYY.json",
]  # fmt: skip


@pytest.fixture
def place(tmp_path):
    make_directories(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def intake(place):
    store = Store(place / "foldq.db")
    yield Intake(Settings.load(place), store)
    store.close()


@pytest.fixture
def records(place):
    return Fabricated(place)


def drop(place: Path, name: str | bytes, content: bytes) -> str:
    """Write a file of any name into `incoming/` and return the name as Python scans it."""
    incoming = os.fsencode(place / "incoming")
    with open(os.path.join(incoming, os.fsencode(name)), "wb") as file:  # noqa: PTH118, PTH123
        file.write(content)
    return os.fsdecode(name)


def foldq(place: Path, *arguments: object, **environment: str):
    runner = CliRunner(env={"COLUMNS": "400", **environment})
    result = runner.invoke(app, [*map(str, arguments), "--spool", str(place)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- files ----------------------------------------------------------------------------------------


def test_s16_no_text_of_a_job_is_part_of_a_path(place, records):
    hostile = "../../../owned"
    job_id = records.finished_search(
        hostile, tags=[hostile], file_name="../../owned.yaml", data="../x", estimator="../y"
    )
    with open_records(place / "foldq.db") as connection:
        job = find_job(connection, job_id)
        before = set(place.parent.rglob("*"))
        written = exports.write_results(
            place / "results" / str(job.id), job, read_folds(connection, job)
        )
    after = set(place.parent.rglob("*")) - before
    results = place / "results" / str(job_id)
    assert after - {results} == set(written)
    assert {path.parent for path in written} == {results}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
@pytest.mark.parametrize("content", [b"nonsense", GOOD], ids=["bad", "good"])
def test_s17_whatever_a_file_is_called_it_moves_once_and_overwrites_nothing(
    name, content, place, intake
):
    here = sorted(path.name for path in place.parent.iterdir())
    kept = []
    for i in range(3):
        found = drop(place, name, content + b" " * i)
        if found.startswith("."):
            return  # left alone, like all hidden files
        taken = intake.take(found, 0.0)
        assert taken.name.isprintable()
        taken.name.encode()
        kept.append(content + b" " * i)
    assert list((place / "incoming").iterdir()) == []
    moved = [*(place / "accepted").iterdir(), *(place / "rejected").iterdir()]
    assert all(path.name.isprintable() for path in moved)
    reports = [path for path in moved if path.name.endswith(".error.json")]
    files = [path for path in moved if path not in reports or path.parent.name == "accepted"]
    assert sorted(path.read_bytes() for path in files) == sorted(kept)
    assert sorted(path.name for path in place.parent.iterdir()) == here


@pytest.mark.parametrize(
    "content",
    [
        b'{"problems": []}', b'{"problems": "text"}', b'{"problems": [1]}', b'{"problems": {}}',
        b"[]", b"[" * 100_000, b'{"problems": [{"where": "\\u001b[31m", "message": "owned"}]}',
    ],
)  # fmt: skip
def test_s17_a_dropped_file_is_never_read_as_a_report(content, place, intake):
    """`foldq status` reads the reports: one of a stranger's making could end or hang it."""
    found = drop(place, "a.error.json", content)
    assert isinstance(intake.take(found, 0.0), Refused)
    (refusal,) = refusals(place, 0.0)
    assert refusal.file.read_bytes() == content
    assert refusal.problems != json.loads(b"[]")
    result = foldq(place, "status")
    assert result.exit_code == 0
    assert "was refused" in result.stderr
    assert "owned" not in result.stderr


def test_s17_a_pipe_that_is_called_as_a_report_hangs_nobody(place, intake):
    os.mkfifo(place / "incoming" / "a.error.json")
    assert isinstance(intake.take("a.error.json", 0.0), Refused)
    assert foldq(place, "status").exit_code == 0


# --- SQL, CSV, YAML -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["'; DROP TABLE job; --", "' OR '1'='1", '"', "x'||'", "%", "?"])
def test_s18_texts_are_values(text, place, records):
    job_id = records.finished_search(text, tags=[text], estimator=text, data=text)
    records.finished_search("other")
    for option in ("--name", "--tag"):
        told = json.loads(foldq(place, "history", option, text, "--json").stdout)
        assert [job["id"] for job in told["jobs"]] == [job_id]
    for option in ("--estimator", "--data"):
        told = json.loads(foldq(place, "history", option, text, "--json").stdout)
        assert [job["id"] for job in told["jobs"]] == [job_id]
    for argument in ("--since", "--until", "--sort", "--state"):
        assert foldq(place, "history", argument, text).exit_code == 2
    with sqlite3.connect(place / "foldq.db") as connection:
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (2,)


def test_s18_admission_takes_texts_as_they_are(place, intake):
    name = "'); DELETE FROM task; --"
    texts = {"name": name, "tags": [name, '"]'], "scoring": {name: "accuracy"}, "refit": name}
    document = {**json.loads(GOOD), **texts}
    drop(place, "job.json", json.dumps(document).encode())
    intake.take("job.json", 0.0)
    with open_records(place / "foldq.db") as connection:
        (job,) = find_jobs(connection, Query(), datetime.now(UTC))
    assert (job.name, job.tags, job.metrics) == (name, (name, '"]'), (name,))


FORMULAS = ["=cmd()", "+1", "-1", "@SUM(1)", '"', "a,b", "a\nb", "a;b", "\t=1", "'", '",=cmd(),"']


def test_s19_no_text_breaks_out_of_its_cell_and_none_is_changed(place, records):
    job_id = records.job("formulas", n_splits=1, n_candidates=len(FORMULAS), n_tasks=len(FORMULAS))
    for number, text in enumerate(FORMULAS):
        candidate = records.candidate(job_id, number, {"fill_value": text, "other": [text]})
        records.fold(job_id, candidate, 0, {"score": 0.5})
    table = list(csv.DictReader(io.StringIO(foldq(place, "results", job_id, "--csv").stdout)))
    assert [row["param_fill_value"] for row in table] == FORMULAS
    assert [json.loads(row["params"])["other"] for row in table] == [[text] for text in FORMULAS]
    assert {None} & set().union(*table) == set(), "a row has more cells than the first"


@pytest.mark.parametrize("text", [*FORMULAS, "!!python/name:os.system", "*a", "&a x", "on", "a: b"])
def test_s20_the_job_file_beside_the_results_is_the_same_job(text, place, records):
    document = {
        "data": {"loader": "iris"}, "estimator": {"$type": "SimpleImputer", "fill_value": text},
        "search": {"space": {"fill_value": [text]}}, "scoring": "accuracy", "name": "job",
        "tags": [text],
    }  # fmt: skip
    if not text.isprintable():
        del document["tags"]
    spec, _ = examine(json.dumps(document).encode(), "a.json", Settings.load(place))
    job_id = records.finished_search("job", spec=spec.model_dump(mode="json"))
    with open_records(place / "foldq.db") as connection:
        written = exports.job_file(find_job(connection, job_id))
    assert b"\n!!" not in written
    again, _ = examine(written, "job.yaml", Settings.load(place))
    assert again == spec


# --- terminals ------------------------------------------------------------------------------------


@pytest.fixture
def hostile(records, place):
    """A job of which every text that people see commands terminals."""
    job_id = records.finished_search(
        f"name{ESCAPE}", state="failed", reason=f"reason{ESCAPE}", best_index=None, n_failed=1,
        tags=[f"tag{ESCAPE}"], estimator=f"estimator{ESCAPE}", data=f"data{ESCAPE}",
        file_name=f"file{ESCAPE}.yaml", best_params={f"param{ESCAPE}": f"value{ESCAPE}"},
        versions={"numpy": ESCAPE}, spec={"cv": {"$type": f"cv{ESCAPE}"}, "scoring": [ESCAPE]},
        refitted={"file": ESCAPE, "format": "skops", "trusted": [], "note": ESCAPE},
    )  # fmt: skip
    candidate = records.candidate(job_id, 2, {f"param{ESCAPE}": {"$type": f"value{ESCAPE}"}})
    failed = records.fold(job_id, candidate, 0, error=f"Traceback\nValueError: error{ESCAPE}")
    engine = records.engine(0, host=f"host{ESCAPE}", left_at="2026-03-01T12:00:04+00:00",
                            left_because=f"because{ESCAPE}")  # fmt: skip
    records.attempt(failed, engine, "engine_lost")
    records.event(f"kind{ESCAPE}", f"message{ESCAPE}", job_id=job_id)
    problem = {"where": f"where{ESCAPE}", "message": f"message{ESCAPE}"}
    report = place / "rejected" / f"{ESCAPE.replace('/', '')}.yaml.error.json"
    report.write_text(json.dumps({"problems": [problem]}))
    return job_id


SCREENS = (
    ("status",), ("status", "--all"), ("watch",), ("history",), ("show", 1), ("results", 1),
    ("show", 1, "--attempts"), ("engines", "--all"), ("cancel", 1), ("resume", 1),
    ("doctor",), ("prune", "--older-than", "1d", "--dry-run"),
)  # fmt: skip


@pytest.mark.parametrize("command", SCREENS, ids=lambda command: " ".join(map(str, command)))
def test_s21_no_screen_commands_the_terminal(command, hostile, place):
    result = foldq(place, *command)
    told = result.stdout + result.stderr
    assert told.strip()
    assert not [code for code in COMMANDS if code in told]
    if command[0] in ("status", "history", "show", "results"):
        assert "name\u241b]0;owned" in told


def test_s21_colours_of_foldqs_own_still_reach_a_terminal(hostile, place, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    told = foldq(place, "show", 1).stdout
    assert "\x1b[1;31m" in told, "failed, in bold red"
    assert "\x1b]0;" not in told
    assert "\x9b" not in told


def test_s21_refused_files(place, tmp_path):
    for name in NAMES:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))  # noqa: PTH118
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b'{"\\u001b[31m": "\\u202e", "data": {"loader": "\\u009b"}}')
        result = foldq(place, "validate", os.fsdecode(path))
        assert result.exit_code == 3
        told = result.stdout + result.stderr
        assert not [code for code in COMMANDS if code in told]
        told.encode()


@pytest.fixture
def logged(tmp_path, capsys):
    """Return what the log's file and stderr hold after a message."""
    logger = logging.getLogger("foldq")
    before = (logger.handlers, logger.propagate, logger.level)

    def log(message: str, *arguments: object) -> str:
        logs.start_logging(tmp_path)
        logger.warning(message, *arguments)
        for handler in logger.handlers:
            handler.flush()
        return (tmp_path / logs.FILE_NAME).read_text() + capsys.readouterr().err

    yield log
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.propagate, logger.level = before


def test_s21_the_log_commands_no_terminal(logged):
    told = logged("%s refused", ESCAPE + os.fsdecode(b"\xff"))
    assert told.count("refused") == 2
    assert not [code for code in COMMANDS if code in told]


@pytest.mark.parametrize("text", ["[red]x", "[/]", "[/red]", "[link=http://x]y[/link]", ":smile:",
                                  "[bold", "\\[x]", "[x\\]", "x\\"])  # fmt: skip
def test_s22_square_brackets_stay(text, records, place, tmp_path, monkeypatch):
    job_id = records.finished_search(text, state="failed", reason=text, best_index=None,
                                     scoring=[text], best_params={text: text})  # fmt: skip
    records.candidate(job_id, 2, {text: text})
    for command in (("status",), ("history",), ("show", 1)):
        assert text in foldq(place, *command).stdout
    assert text in foldq(place, "results", 1).stdout
    file = tmp_path / f"{text.translate({ord('/'): None, 92: None})}.json"
    file.write_bytes(GOOD)
    result = foldq(place, "submit", file)
    assert result.exit_code == 0
    assert file.name in result.stderr


def test_s23_no_message_can_pretend_to_be_another(logged):
    told = logged("job 1 failed: %s", "x\n12:00:00  job 2 completed\r\nready: all is well")
    begun = [line for line in told.splitlines() if not line.startswith(" ")]
    assert all("job 1 failed" in line for line in begun)
    assert len(begun) == 2


@pytest.mark.parametrize(
    "command",
    [("status",), ("history",), ("show", 1), ("results", 1), ("engines", "--all"), ("doctor",)],
)
def test_s24_json_is_ascii(command, hostile, place):
    told = foldq(place, *command, "--json").stdout
    assert told.isascii()
    assert not [code for code in COMMANDS if code in told and code != "\x7f"]
    json.loads(told)


def test_s21_what_is_printable():
    plain = "Zürich – 東京 ± 0.003 ✓ \n\tنص \u200c 👩\u200d🔬 \u00a0 \ue0b0"
    assert printable(plain) == plain
    assert printable("\x00\x1b\x7f\x85\u2066\ud800") == "␀␛␡\ufffd\ufffd\ufffd"


def test_s26_a_lock_file_that_leads_elsewhere_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / lock.LOCK_FILE).symlink_to(precious)
    with pytest.raises(SpoolUnusable, match="symbolic links"), lock.hold(tmp_path):
        pass
    assert precious.read_text() == "precious"
