"""The commands as people and scripts meet them: words, JSON, exit codes."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from fabricated import Fabricated, at
from typer.testing import CliRunner

from service import control
from service.cli import SECTIONS, app
from service.commands import steer, watching
from service.lock import hold

GOOD = """
data: {loader: iris}
estimator: SVC
search: {strategy: grid, space: {C: [1, 10, 100]}}
cv: 4
"""
BAD = GOOD.replace("cv: 4", "cv: 1\nserch: 3")
COMMANDS = [
    function.__name__.rstrip("_") for functions in SECTIONS.values() for function in functions
]


def foldq(*arguments: object, **environment: str):
    runner = CliRunner(env={"COLUMNS": "300", **environment})
    return runner.invoke(app, [str(argument) for argument in arguments])


def document(result) -> dict:
    """Read the JSON of a command, and see that it is JSON alone and versioned."""
    read = json.loads(result.stdout)
    assert read["schema_version"] == 1
    return read


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        monkeypatch.delenv(name)
    return tmp_path / "spool"


@pytest.fixture
def records(spool):
    return Fabricated(spool)


@pytest.fixture
def searches(records):
    """A finished search, one that runs, and one that failed with two kinds of error."""
    records.finished_search(
        "digits-svc",
        tags=["course"],
        refitted={"file": "best_estimator.skops", "format": "skops", "trusted": [], "note": None},
    )
    running = records.job("wine-svc", state="running", n_splits=2, n_tasks=4, n_done=1)
    lost, live = (
        records.engine(0, left_at=at(4), left_because="EngineError"),
        records.engine(1),
    )
    first = records.candidate(running, 0, {"C": 1})
    task = records.fold(running, first, 0, {"score": 0.5})
    records.attempt(task, lost, "engine_lost")
    records.attempt(task, live, "ok")
    records.attempt(records.fold(running, first, 1, state="dispatched"), live, None)
    second = records.candidate(running, 1, {"C": 2})
    for split in range(2):
        records.fold(running, second, split)
    failed = records.job(
        "broken", state="failed", reason="All the 3 fits failed.", n_splits=3, n_tasks=3, n_failed=3
    )
    candidate = records.candidate(failed, 0, {"C": -1})
    for split in range(2):
        records.fold(failed, candidate, split, error="Traceback\n  …\nValueError: [C] is negative")
    records.fold(failed, candidate, 2, reason="poison")
    records.event("job admitted", "digits-svc.yaml", job_id=1)
    return records


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_shows_an_example(self, command):
        result = foldq(command, "--help")
        assert result.exit_code == 0
        assert f"\n    foldq {command}" in result.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_names_what_is_to_be_typed_and_not_pythons_types(self, command):
        told = foldq(command, "--help").stdout
        assert not re.search(r"<(int|str|list|path|float)", told)
        assert "{" not in told.splitlines()[0]

    def test_the_overview_has_every_command(self):
        result = foldq("--help")
        for command in COMMANDS:
            assert f"\n  {command}" in result.stdout
        assert foldq("--version").stdout.startswith("foldq ")

    def test_help_does_not_wait_for_heavy_imports(self):
        code = (
            "import sys; import service.cli; heavy = {'numpy', 'pandas', 'sklearn', 'sqlite_utils',"
            " 'pydantic', 'ipyparallel', 'rich'} & sys.modules.keys(); sys.exit(str(heavy or ''))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stderr.strip() == ""

    def test_a_misspelt_command_is_a_usage_error(self):
        result = foldq("statsu")
        assert result.exit_code == 2
        assert "status" in result.stderr


class TestNames:
    """A job's name is taken wherever its number is: the latest job of that name."""

    def test_the_latest_of_a_name_is_shown(self, searches):
        again = searches.job("wine-svc", file_digest="e" * 64)
        assert document(foldq("show", "wine-svc", "--json"))["id"] == again
        assert document(foldq("show", "digits-svc", "--json"))["id"] == 1

    def test_a_number_is_a_number_whatever_jobs_are_called(self, searches):
        searches.job("2")
        assert document(foldq("show", "2", "--json"))["name"] == "wine-svc"

    @pytest.mark.parametrize("command", ["show", "results", "report", "export", "watch", "cancel"])
    def test_a_name_that_there_is_not_is_told_with_the_nearest(self, searches, command):
        result = foldq(command, "digit-svc")
        assert result.exit_code == 4
        assert 'no job of the name "digit-svc". Did you mean digits-svc?' in result.stderr

    def test_what_is_no_number_for_sqlite_is_no_job(self, searches):
        assert foldq("show", "9" * 30).exit_code == 4

    def test_jobs_are_compared_by_name(self, searches):
        assert "takes two jobs" in foldq("compare", "digits-svc", 1).stderr


class TestLooking:
    def test_status(self, searches, spool):
        result = foldq("status")
        assert result.exit_code == 0
        assert "no scheduler running" in result.stdout
        assert "foldq serve" in result.stderr
        assert "wine-svc" in result.stdout
        with hold(spool):
            assert "1 engine, 1 busy" in foldq("status").stdout

    def test_status_tells_what_troubles_the_scheduler(self, searches, spool):
        with hold(spool) as held:
            held.tell("the records cannot be written: the disk is full")
            assert "trouble: the records cannot be written" in foldq("status").stdout
            assert document(foldq("status", "--json"))["scheduler"]["trouble"].startswith("the rec")
            held.tell(None)
            assert "trouble" not in foldq("status").stdout
        assert document(foldq("status", "--json"))["scheduler"]["trouble"] is None

    def test_status_in_json(self, searches, spool):
        with hold(spool):
            read = document(foldq("status", "--json"))
        assert read["scheduler"]["pid"] == os.getpid()
        assert read["scheduler"]["running"] is True
        assert [job["state"] for job in read["jobs"]] == ["completed", "running", "failed"]
        assert read["jobs"][1]["best_score"] is None, "one fold of two is no mean"
        assert read["jobs"][1]["best_partial"] == 0.5
        assert "~0.5000" in foldq("status").stdout

    def test_status_fits_80_columns(self, records):
        records.job(
            "a-name-that-is-longer-than-any-column-of-a-table",
            state="running",
            n_tasks=200_000,
            n_done=199_000,
            n_failed=1000,
            best_score=-12345.678,
        )
        from rich.console import Console

        from service.commands.screen_status import jobs_table
        from service.history import Query, find_jobs, progress

        now = watching.datetime.now(watching.UTC)
        jobs = find_jobs(records.db.conn, Query(), now)
        console = Console(width=80, force_terminal=True, color_system=None)
        with console.capture() as captured:
            console.print(jobs_table([progress(records.db.conn, jobs[0], now)], bars=True))
        shown = captured.get()
        assert max(map(len, shown.splitlines())) <= 80
        for whole in ("running", "200k/200k", "1000", "-12345.68"):
            assert whole in shown

    def test_an_empty_spool_is_no_error(self, spool):
        assert foldq("status").exit_code == 0
        assert document(foldq("status", "--json"))["jobs"] == []
        assert document(foldq("history", "--json"))["jobs"] == []
        assert document(foldq("engines", "--json"))["engines"] == []
        assert foldq("watch").exit_code == 0

    @pytest.mark.parametrize("command", ["show", "results", "watch", "cancel", "pause", "retry"])
    def test_no_such_job(self, searches, spool, command):
        result = foldq(command, 99)
        assert result.exit_code == 4
        assert "no job 99" in result.stderr
        assert result.stdout == ""
        assert foldq("--spool", spool / "elsewhere", command, 1).exit_code == 4

    def test_the_spool_is_named_before_or_after_the_command_or_by_environment(
        self, searches, spool, monkeypatch
    ):
        monkeypatch.chdir("/")
        assert foldq("--spool", spool, "show", 1).exit_code == 0
        assert foldq("show", 1, "--spool", spool).exit_code == 0
        assert foldq("show", 1, FOLDQ_SPOOL=str(spool)).exit_code == 0
        assert foldq("--spool", spool, "show", 1, FOLDQ_SPOOL="/nowhere").exit_code == 0
        assert foldq("--spool", "/nowhere", "show", 1, "--spool", spool).exit_code == 0

    def test_show_tells_failures_losses_and_resubmissions(self, searches):
        result = foldq("show", 3)
        assert "All the 3 fits failed." in result.stdout
        assert "2 × ValueError: [C] is negative" in result.stdout
        assert "took down every engine" in result.stdout
        result = foldq("show", 2)
        assert "engine 1 (process 4000 on node-1)" in result.stdout
        assert "resubmitted: 1 task" in result.stdout
        assert "● queued" in foldq("show", 1).stdout
        assert "engine_lost" in foldq("show", 2, "--attempts").stdout

    def test_show_says_what_was_not_computed(self, searches):
        assert "spared" not in foldq("show", 1).stdout
        searches.update(1, spared_seconds=12.34, n_reused=400)
        assert "spared     12.3 s of fits shared · 400 folds taken" in foldq("show", 1).stdout
        read = document(foldq("show", 1, "--json"))
        assert (read["spared_seconds"], read["n_reused"]) == (12.34, 400)

    def test_history_shows_fifty_jobs_unless_told_otherwise(self, searches):
        for number in range(50):
            searches.finished_search(f"more-{number}", file_name=f"{number}.yaml")
        n_jobs = 53
        result = foldq("history")
        assert result.stdout.count("more-") == 50
        assert f"50 of {n_jobs} jobs; all: foldq history -n {n_jobs}" in result.stderr
        assert "digits-svc" in foldq("history", "-n", n_jobs).stdout
        assert len(document(foldq("history", "--json"))["jobs"]) == n_jobs

    def test_show_in_json(self, searches):
        read = document(foldq("show", 2, "--json"))
        assert (read["id"], read["n_done"]) == (2, 1)
        assert [engine["pid"] for engine in read["lost_engines"]] == [4000]
        assert len(read["resubmitted_tasks"]) == 1
        assert [attempt["outcome"] for attempt in read["attempts"]] == ["engine_lost"]
        read = document(foldq("show", 2, "--json", "--attempts"))
        assert [attempt["outcome"] for attempt in read["attempts"]] == ["engine_lost", "ok", None]
        read = document(foldq("show", 3, "--json"))
        assert [failure["count"] for failure in read["failures"]] == [2, 1]

    def test_results_on_the_screen(self, searches):
        result = foldq("results", 1)
        assert result.stdout.index("0.9600") < result.stdout.index("0.9000")
        assert "Best: row 1, saved as results/1/best_estimator.skops" in result.stdout

    def test_results_of_a_running_job_are_partial(self, searches):
        result = foldq("results", 2)
        assert result.exit_code == 0
        assert "1 of 4 folds: partial results" in result.stdout
        read = document(foldq("results", 2, "--json"))
        assert read["partial"] is True
        assert [row["n_splits_done"] for row in read["rows"]] == [1, 0]
        assert read["rows"][1]["mean_test_score"] is None

    def test_results_before_the_first_candidate(self, records):
        records.job(state="queued")
        assert "No candidates yet" in foldq("results", 1).stdout
        assert document(foldq("results", 1, "--json"))["rows"] == []
        assert foldq("results", 1, "--csv").exit_code == 0

    def test_results_exported(self, searches, tmp_path):
        assert foldq("results", 1, "--csv").stdout.count("\n") == 3
        assert document(foldq("results", 1, "--json", "-n", 1))["rows"][0]["params"] == {"C": 10}
        for suffix in ("csv", "json", "parquet"):
            result = foldq("results", 1, "-o", tmp_path / f"table.{suffix}")
            assert (result.exit_code, result.stdout) == (0, "")
        import pandas as pd

        assert pd.read_parquet(tmp_path / "table.parquet")["param_C"].tolist() == [1, 10]
        assert pd.read_csv(tmp_path / "table.csv")["mean_test_score"].tolist() == [0.9, 0.96]

    def test_results_cannot_be_two_things(self, searches, tmp_path):
        assert foldq("results", 1, "--csv", "--json").exit_code == 2
        assert foldq("results", 1, "--parquet").exit_code == 2
        assert foldq("results", 1, "-o", tmp_path / "x.odt").exit_code == 2
        result = foldq("results", 1, "-o", "/nowhere/x.csv")
        assert result.exit_code == 2
        assert "No such file or directory (/nowhere/x.csv)" in result.stderr

    def test_history(self, searches):
        read = document(foldq("history", "--json", "--tag", "course", "--min-score", "0.9"))
        assert [job["name"] for job in read["jobs"]] == ["digits-svc"]
        both = foldq("history", "--state", "failed", "--state", "running", "--sort", "id").stdout
        assert both.index("wine-svc") < both.index("broken")
        assert "No job fits" in foldq("history", "--name", "x*").stderr
        for wrong in (["--state", "runing"], ["--since", "yesterday"], ["--sort", "sorce"]):
            result = foldq("history", *wrong)
            assert (result.exit_code, result.stdout) == (2, "")

    def test_engines(self, searches, spool):
        with hold(spool):
            read = document(foldq("engines", "--json"))
            assert "job 2: 1 fold" in foldq("engines").stdout
        assert [(engine["id"], engine["state"]) for engine in read["engines"]] == [
            (2, "live"), (1, "left"),
        ]  # fmt: skip
        assert read["engines"][0]["running"][0]["job_id"] == 2

    def test_without_a_scheduler_nobody_knows_whether_engines_live(self, searches, spool):
        result = foldq("engines")
        assert "unknown" in result.stdout
        assert "was given job 2: 1 fold" in result.stdout
        assert "nobody knows whether 1 of them still live" in result.stderr
        states = [e["state"] for e in document(foldq("engines", "--json"))["engines"]]
        assert states == ["unknown", "left"]

    def test_nothing_but_text_goes_into_a_pipe(self, searches, spool):
        for command in ("status", "show 3", "results 1", "history", "engines"):
            done = subprocess.run(
                [sys.executable, "-m", "service.cli", "--spool", spool, *command.split()],
                capture_output=True,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            assert done.returncode == 0
            assert "\x1b" not in done.stdout + done.stderr
            assert not any(line.endswith(" ") for line in done.stdout.splitlines())

    def test_broken_settings_are_told_kindly(self, searches, spool):
        (spool / "foldq.toml").write_text("engines = 'many'")
        result = foldq("status")
        assert result.exit_code == 2
        assert "foldq.toml" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_damaged_database_is_told_kindly(self, spool):
        spool.mkdir()
        (spool / "foldq.db").write_bytes(b"not a database, but long enough to be read as one" * 9)
        for command in ("history", "status", "show 1", "engines"):
            result = foldq(*command.split())
            assert result.exit_code == 1
            assert "The records (spool/foldq.db) are damaged" in result.stderr
            assert "foldq backup" in result.stderr

    def test_records_of_a_newer_version_are_left_alone(self, records, spool):
        with sqlite3.connect(spool / "foldq.db") as newer:
            newer.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " VALUES ('foldq', 'm999_later', '2030-01-01')"
            )
        for command in ("history", "status", "show 1", "watch", "serve"):
            result = foldq(*command.split())
            assert result.exit_code == 2, command
            assert "made by a newer foldq: they have m999_later" in result.stderr
            assert "Use that version again" in result.stderr

    def test_watch_tells_of_trouble_once_and_when_it_is_over(self, searches, monkeypatch):
        monkeypatch.setattr(watching, "POLL", (0.01, 0.01))
        monkeypatch.setattr(watching, "PATIENCE", 0.2)
        told = iter(["the disk is full", "the disk is full", None])
        monkeypatch.setattr("service.lock.trouble_of", lambda _: next(told, None))
        result = foldq("watch")
        assert result.stderr.count("trouble: the disk is full") == 1
        assert result.stderr.count("The trouble is over.") == 1

    def test_run_says_why_its_scheduler_could_not_begin(self, spool, tmp_path):
        (tmp_path / "job.yaml").write_text(GOOD)
        (spool / "foldq.db").mkdir(parents=True)
        result = foldq("run", "job.yaml", "--engines", 1)
        assert result.exit_code == 1
        assert "The scheduler could not go on: The records (spool/foldq.db)" in result.stderr
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize("name", [".", "incoming", "scheduler.lock", "foldq.db"])
    def test_a_spool_that_cannot_be_one_is_named_with_a_way_out(self, spool, name):
        spool.mkdir()
        place = spool / name
        if name in ("scheduler.lock", "foldq.db"):
            place.mkdir()
        else:
            place.rmdir() if place.exists() else None
            place.write_text("a file")
        result = foldq("serve")
        assert result.exit_code == 2
        assert str(Path("spool") / name) in result.stderr
        assert len(result.stderr.splitlines()) == 2, "what is the matter, and what to do"


@pytest.mark.parametrize("command", [("status",), ("serve",), ("submit", "job.yaml")])
def test_a_file_in_the_place_of_the_spool_is_called_a_file(spool, tmp_path, command):
    (tmp_path / "job.yaml").write_text(GOOD)
    result = foldq(*command, "--spool", "job.yaml")
    assert result.exit_code == 2
    assert "--spool: job.yaml is a file, not a directory." in result.stderr


@contextmanager
def scheduler(spool: Path, carry_out):
    """Hold the spool and carry requests out, as a scheduler does."""
    stop = threading.Event()

    def work() -> None:
        desk = control.Desk(spool)
        while not stop.is_set():
            for request in desk.take():
                carry_out(request)
            desk.clear()
            time.sleep(0.02)

    with hold(spool):
        (spool / "control").mkdir(exist_ok=True)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class TestRefusals:
    @pytest.fixture(autouse=True)
    def refused(self, spool):
        (spool / "rejected").mkdir(parents=True, exist_ok=True)
        problem = {"where": "estimater", "message": "There is no such key.", "nearest": "estimator"}
        report = {"file": "typo.yaml", "problems": [problem, problem]}
        (spool / "rejected" / "typo.yaml.error.json").write_text(json.dumps(report))

    def test_status_names_the_files_that_were_refused_lately(self, spool):
        told = foldq("status").stderr
        assert "typo.yaml was refused. estimater: There is no such key. … and 1 more" in told
        assert "rejected/typo.yaml.error.json" in told
        (refused,) = document(foldq("status", "--json"))["refused"]
        assert refused["file"].endswith("rejected/typo.yaml")

    def test_a_file_that_was_put_right_is_not_told_of_again(self, spool, records):
        records.job("typo", submitted_at=datetime.now(UTC).isoformat())
        assert "refused" not in foldq("status").stderr
        assert document(foldq("status", "--json"))["refused"] == []

    def test_a_file_that_was_refused_before_it_was_admitted_is(self, spool, records):
        records.job("typo")  # years ago
        assert "refused" in foldq("status").stderr

    def test_a_refusal_of_yesterday_is_no_news(self, spool):
        os.utime(spool / "rejected" / "typo.yaml.error.json", (1e9, 1e9))
        assert "refused" not in foldq("status").stderr

    def test_watch_ends_with_the_code_of_an_invalid_file(self, spool):
        result = foldq("watch")
        assert result.exit_code == 3
        assert "typo.yaml was refused" in result.stderr


class TestSteering:
    def carry_out(self, spool: Path):
        def act(request: control.Request) -> None:
            db = Fabricated(spool)
            change = {
                "cancel": {"state": "cancelled", "finished_at": at(99)},
                "pause": {"state": "paused"},
                "resume": {"state": "queued"},
                "retry": {"state": "queued", "finished_at": None, "n_failed": 0},
            }
            db.update(request.job_id, **change[request.action])
            db.db.close()

        return act

    def test_requests_are_carried_out_and_told(self, searches, spool):
        with scheduler(spool, self.carry_out(spool)):
            for command, job, told in (
                ("pause", 2, "Job 2 is paused."),
                ("resume", 2, "Job 2 is queued."),
                ("cancel", 2, "Job 2 is cancelled."),
                ("retry", 3, "Job 3 is queued."),
            ):
                result = foldq(command, job)
                assert (result.exit_code, result.stderr.strip()) == (0, told)
                assert result.stdout == ""

    def test_what_is_set_is_told_when_it_is_on_record(self, searches, spool):
        def carry_out(request: control.SetRequest | control.LimitRequest) -> None:
            db = Fabricated(spool)
            if isinstance(request, control.SetRequest):
                db.update(request.job_id, **request.changes.given)
            else:
                limit = {"max_jobs": None, "max_engines": None, **request.changes.given}
                db.db["tag_limit"].insert({"tag": request.tag, "set_at": at(1), **limit})
            db.db.close()

        with scheduler(spool, carry_out):
            assert foldq("set", 2, "priority=7").stderr == "Job 2: priority 7.\n"
            told = foldq("set", "tag:corse", "max_jobs=1").stderr
            assert "Tag corse: max_jobs 1" in told
            assert "no job has the tag corse so far. Did you mean course?" in told
            assert "Note" not in foldq("set", "tag:course", "max_jobs=1").stderr
            told = document(foldq("set", 2, "max_engines=none", "--json"))["set"]
            assert told == [{"max_engines": None, "asked": False, "id": 2}]

    def test_the_whole_queue(self, searches, spool):
        def carry_out(request: control.HoldRequest) -> None:
            db = Fabricated(spool)
            if request.held:
                db.db["hold"].insert({"id": 1, "since": at(5)})
            else:
                db.db["hold"].delete_where()
            db.db.close()

        with scheduler(spool, carry_out):
            assert "nothing else starts" in foldq("pause", "--all").stderr
            assert "paused already" in foldq("pause", "--all").stderr
            assert "The queue goes on." in foldq("resume", "--all").stderr
            assert "not paused" in foldq("resume", "--all").stderr

    def test_the_whole_queue_without_a_scheduler(self, searches, spool):
        (spool / "control").mkdir()
        assert "the next one will start nothing" in foldq("pause", "--all").stderr
        (request,) = control.Desk(spool).take()
        assert request.held

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (("2", "priorty=1"), 2, "priority"),
            (("2", "priority=high"), 2, "a whole number"),
            (("2", "max_engines=0"), 2, "1"),
            (("priority=1",), 2, "Which job or tag?"),
            (("2",), 2, "Nothing is to be set"),
            (("2", "tag:gpu", "max_engines=1"), 2, "one after the other"),
            (("two", "priority=1"), 4, 'no job of the name "two"'),
            (("2", "priority"), 2, "'priority' is neither a job, nor tag:NAME, nor KEY=VALUE"),
            (("1", "priority=1"), 2, "completed"),
            (("99", "priority=1"), 4, "no job 99"),
            (("2", "priority=1"), 5, "foldq serve"),
        ],
    )
    def test_what_cannot_be_set(self, searches, spool, words, code, told):
        result = foldq("set", *words)
        assert result.exit_code == code
        assert told in result.stderr

    def test_jobs_or_the_whole_queue(self, searches):
        for words, told in ((("pause",), "or give --all"), (("resume", "2", "--all"), "without")):
            result = foldq(*words)
            assert result.exit_code == 2
            assert told in result.stderr

    def test_a_report_goes_where_there_is_a_directory(self, searches, tmp_path):
        result = foldq("report", 1, "-o", tmp_path / "nowhere" / "page.html")
        assert result.exit_code == 2
        assert "Make it first" in result.stderr
        assert ".tmp" not in result.stderr

    def test_nothing_to_do(self, searches, spool):
        with hold(spool):
            assert "not paused" in foldq("resume", 2).stderr
            assert "no failed task" in foldq("retry", 1).stderr
            result = foldq("cancel", 1)
            assert (result.exit_code, "completed already" in result.stderr) == (2, True)
            assert "foldq retry 3" in foldq("resume", 3).stderr
        assert not list((spool / "control").glob("*")) if (spool / "control").exists() else True

    def test_without_a_scheduler(self, searches, spool):
        result = foldq("cancel", 2)
        assert result.exit_code == 5
        assert "foldq serve" in result.stderr

    def test_a_scheduler_that_is_busy(self, searches, spool, monkeypatch):
        monkeypatch.setattr(steer, "PATIENCE", 0.2)
        (spool / "control").mkdir()
        with hold(spool):
            result = foldq("cancel", 2, "--json")
        assert result.exit_code == 0
        assert "has not done it yet" in result.stderr
        assert document(result)["jobs"][0] == {
            "id": 2, "name": "wine-svc", "state": "running", "asked": True,
        }  # fmt: skip
        assert len(list((spool / "control").iterdir())) == 1


class TestWatching:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(watching, "PATIENCE", 0.3)
        monkeypatch.setattr(watching, "POLL", (0.02, 0.02))

    def test_no_line_in_a_pipe_ends_in_blanks(self, spool, tmp_path):
        (tmp_path / "bad.yaml").write_text(BAD)
        result = foldq("submit", tmp_path / "bad.yaml", COLUMNS="60")
        assert result.exit_code == 3
        assert [line for line in result.stderr.splitlines() if line != line.rstrip()] == []

    def test_what_ended_before_it_was_watched_is_shown(self, records):
        result = foldq("watch")
        assert "Nothing is running or waiting" in result.stderr
        assert result.stdout == ""
        records.finished_search("long ago")
        records.finished_search("quick", file_name="quick")
        assert "quick" in (told := foldq("watch").stdout)
        assert "long ago" not in told
        now = watching.datetime.now(watching.UTC).isoformat()
        for name in ("just now", "and now"):
            records.finished_search(name, file_name=name, finished_at=now)
        told = foldq("watch").stdout
        assert [name in told for name in ("quick", "just now", "and now")] == [False, True, True]

    def test_a_job_that_has_ended(self, searches):
        assert foldq("watch", 1).exit_code == 0
        result = foldq("watch", 3)
        assert result.exit_code == 1
        assert "broken: failed" in result.stdout

    def test_nobody_works(self, searches):
        result = foldq("watch", 2)
        assert result.exit_code == 5
        assert "foldq serve" in result.stderr

    def test_until_the_end(self, searches, spool):
        def finish() -> None:
            db = Fabricated(spool)
            time.sleep(0.2)
            db.update(2, n_done=4)
            db.update(2, state="completed", finished_at=at(50))
            db.db.close()

        thread = threading.Thread(target=finish)
        with hold(spool):
            thread.start()
            result = foldq("watch")
            thread.join()
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert "wine-svc: running, 1/4 folds, best ~0.5000" in lines[0]
        assert "wine-svc: completed, 4/4 folds" in lines[-1]

    def test_a_file_that_was_only_just_dropped(self, records, spool, monkeypatch):
        looked, look = threading.Event(), watching.Follower._look

        def look_and_tell(follower):
            looked.set()
            return look(follower)

        monkeypatch.setattr(watching.Follower, "_look", look_and_tell)
        dropped = spool / "incoming" / "wine-svc.yaml"
        dropped.parent.mkdir(exist_ok=True)
        dropped.touch()

        def admit() -> None:
            db = Fabricated(spool)
            looked.wait()
            time.sleep(0.1)
            db.job("wine-svc", state="queued")
            dropped.unlink()
            time.sleep(0.2)
            db.update(1, state="cancelled", finished_at=at(60))
            db.db.close()

        thread = threading.Thread(target=admit)
        with hold(spool):
            thread.start()
            result = foldq("watch")
            thread.join()
        assert "wine-svc: queued" in result.stdout
        assert "wine-svc: cancelled" in result.stdout
        assert result.exit_code == 1


class TestSubmitting:
    @pytest.fixture
    def good(self, tmp_path):
        path = tmp_path / "iris.yaml"
        path.write_text(GOOD)
        return path

    @pytest.fixture
    def bad(self, tmp_path):
        path = tmp_path / "bad.yaml"
        path.write_text(BAD)
        return path

    def test_validate_counts(self, spool, good):
        result = foldq("validate", good)
        assert result.exit_code == 0
        assert "3 candidates × 4 splits = 12 fits" in result.stdout
        (file,) = document(foldq("validate", "--no-data", "--json", good))["files"]
        assert (file["valid"], file["name"], file["n_fits"]) == (True, "iris", 12)

    def test_validate_lists_every_problem(self, spool, good, bad):
        result = foldq("validate", "--no-data", good, bad)
        assert result.exit_code == 3
        assert "serch" in result.stdout
        assert "search?" in result.stdout
        assert "at least 2 folds" in result.stdout
        files = document(foldq("validate", "--no-data", "--json", good, bad))["files"]
        assert [file["valid"] for file in files] == [True, False]
        assert {problem["where"] for problem in files[1]["problems"]} == {"cv", "serch"}

    def test_validate_sees_what_only_the_data_tell(self, spool, tmp_path):
        path = tmp_path / "many.yaml"
        path.write_text(GOOD.replace("cv: 4", "cv: 51"))
        assert foldq("validate", "--no-data", path).exit_code == 0
        result = foldq("validate", path)
        assert result.exit_code == 3
        assert "51" in result.stdout

    def test_validate_of_what_is_no_file(self, spool, tmp_path):
        for command in ("validate", "submit", "run"):
            assert foldq(command, tmp_path / "none.yaml").exit_code == 2
            assert foldq(command, tmp_path).exit_code == 2

    def test_validate_tells_the_line_of_what_only_the_data_tell(self, spool, tmp_path):
        path = tmp_path / "table.yaml"
        (spool / "data").mkdir(parents=True)
        (spool / "data" / "t.csv").write_text("a,b\n1,2\n")
        path.write_text(GOOD.replace("{loader: iris}", "{file: t.csv,\n  target: c}"))
        assert "data.target (line 3): there is no column 'c'" in foldq("validate", path).stdout

    def test_validate_counts_warnings_beside_problems(self, spool, tmp_path):
        path = tmp_path / "warned.yaml"
        path.write_text(GOOD.replace("[1, 10, 100]", "[1, -1]"))
        told = foldq("validate", "--no-data", path).stdout
        assert "valid, 2 candidates × 4 splits = 8 fits, 1 warning" in told
        path.write_text(GOOD.replace("[1, 10, 100]", "[1, -1]") + "serch: 3\n")
        assert ": 1 problem, 1 warning" in foldq("validate", "--no-data", path).stdout

    def test_submit_names_a_spool_that_is_new(self, spool, good):
        assert "No scheduler is running on typo, a new spool." in (
            foldq("submit", good, "--spool", "typo").stderr
        )
        assert "No scheduler is running on typo. To" in (
            foldq("submit", good, "--as", "again", "--spool", "typo").stderr
        )

    def test_a_generator_is_no_loader(self, spool, tmp_path):
        path = tmp_path / "made.yaml"
        path.write_text(GOOD.replace("loader: iris", "loader: make_moons"))
        told = foldq("validate", path)
        assert told.exit_code == 3
        assert "data: {make: moons, …}" in told.stdout
        path.write_text(GOOD.replace("loader: iris", "make: load_iris"))
        assert "data: {loader: iris, …}" in foldq("validate", path).stdout

    def test_hints_name_the_spool_that_the_command_line_names(self, searches, spool, monkeypatch):
        monkeypatch.chdir("/")
        named = f"foldq serve --spool {spool}"
        assert named in foldq("--spool", spool, "status").stderr
        assert named in foldq("cancel", 2, "--spool", spool).stderr
        assert f"foldq history --spool {spool}" in foldq("show", 99, "--spool", spool).stderr
        told = foldq("status", FOLDQ_SPOOL=str(spool)).stderr
        assert "foldq serve" in told
        assert "--spool" not in told

    def test_run_says_what_else_it_will_run(self, searches, spool):
        from schemas.settings import Settings
        from service.commands.run import _tell_others
        from service.commands.submission import Submission

        (spool / "incoming").mkdir()
        for name in ("mine.yaml", "other.yaml"):
            (spool / "incoming" / name).touch()
        runner = typer.Typer()
        runner.command()(
            lambda: _tell_others(Settings(spool=spool), Submission("mine.yaml", "mine.yaml", "d"))
        )
        told = CliRunner().invoke(runner).stderr
        assert "runs as well: job 2 wine-svc (running), other.yaml." in told

    def test_submit_without_a_scheduler(self, spool, good):
        result = foldq("submit", good)
        assert result.exit_code == 0
        assert "No scheduler is running" in result.stderr
        assert (spool / "incoming" / "iris.yaml").read_text() == GOOD
        read = document(foldq("submit", good, "--as", "again", "--json"))["submitted"][0]
        assert (read["file_name"], read["state"], read["job_id"]) == ("again.yaml", "waiting", None)
        assert (spool / "incoming" / "again.yaml").exists()

    def test_nothing_is_submitted_when_one_is_invalid(self, spool, good, bad):
        result = foldq("submit", good, bad)
        assert result.exit_code == 3
        assert "serch" in result.stderr
        assert not (spool / "incoming").exists()
        assert foldq("submit", good, good, "--as", "x").exit_code == 2
        for name in ("../x", "a/b.json", ".hidden", "x.tmp"):
            result = foldq("submit", good, "--as", name)
            assert result.exit_code == 2
            assert "not the name of a job file" in " ".join(result.stderr.split())

    def test_the_same_file_again(self, spool, good, records):
        import hashlib

        digest = hashlib.sha256(good.read_bytes()).hexdigest()
        records.finished_search("iris", file_name="iris.yaml", file_digest=digest)
        result = foldq("submit", good)
        assert result.exit_code == 0
        assert "is already job 1 (completed)" in result.stderr
        assert "--as" in result.stderr
        assert not (spool / "incoming").exists()
        result = foldq("submit", good, "--as", "again")
        assert "job 1 has the same content" in result.stderr
        assert (spool / "incoming" / "again.yaml").exists()

    def test_another_file_of_that_name_waits(self, spool, good):
        foldq("submit", good)
        good.write_text(GOOD + "priority: 3\n")
        result = foldq("submit", good)
        assert result.exit_code == 2
        assert "waiting already" in result.stderr
        assert "--as" in result.stderr

    def test_run_of_a_search_that_is_done_tells_the_best(self, spool, good, records):
        import hashlib

        digest = hashlib.sha256(good.read_bytes()).hexdigest()
        records.finished_search("iris", file_name="iris.yaml", file_digest=digest)
        result = foldq("run", good)
        assert result.exit_code == 0
        assert "C=10" in result.stdout
        assert document(foldq("run", good, "--json"))["best_params"] == {"C": 10}

    def test_run_with_an_invalid_file(self, spool, bad):
        assert foldq("run", bad).exit_code == 3

    def test_serve_on_a_held_spool(self, spool):
        spool.mkdir()
        with hold(spool):
            result = foldq("serve")
        assert result.exit_code == 6
        assert str(os.getpid()) in result.stderr


def test_the_schema_is_json_schema():
    read = json.loads(foldq("schema").stdout)
    assert read["type"] == "object"
    assert {"data", "estimator", "search"} <= read["properties"].keys()
