"""The doctor: what it finds, that it always answers, and that it changes nothing."""

import hashlib
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from fabricated import Fabricated
from typer.testing import CliRunner

from schemas.job import JobSpec
from service import doctor, doctor_files, doctor_machine, patient
from service.cli import app
from service.doctor import examine, has_wal_reset_bug
from service.layout import make_directories
from service.lock import hold
from service.store import Store
from workers.welcome import versions

Partition = namedtuple("Partition", "mountpoint fstype")
Usage = namedtuple("Usage", "total free")


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """A spool as a scheduler leaves it that stopped by itself."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        monkeypatch.delenv(name)
    spool = tmp_path / "spool"
    make_directories(spool)
    Store(spool / "foldq.db").close()
    return spool


def findings(spool: Path | None = None):
    return {finding.subsystem: finding for finding in examine(spool)}


def alter(spool: Path, *statements: str) -> None:
    with sqlite3.connect(spool / "foldq.db") as db:
        for statement in statements:
            db.execute(statement)


def foldq(*arguments: object, **environment: str):
    runner = CliRunner(env={"COLUMNS": "300", **environment})
    return runner.invoke(app, [str(argument) for argument in arguments])


class TestWell:
    def test_a_spool_without_a_scheduler(self, spool):
        found = findings()
        assert {name for name, f in found.items() if f.verdict != "ok"} <= {"SQLite"}
        result = foldq("doctor")
        assert result.exit_code == 0
        assert result.stdout.count("✔") + result.stdout.count("!") == len(found)

    def test_before_there_is_a_spool(self, tmp_path, monkeypatch, spool):
        monkeypatch.setenv("FOLDQ_SPOOL", str(tmp_path / "none"))
        assert "foldq serve makes it" in findings()["spool"].fix
        assert foldq("doctor").exit_code == 0
        assert not (tmp_path / "none").exists()

    def test_json(self, spool):
        read = json.loads(foldq("doctor", "--json").stdout)
        assert (read["schema_version"], read["ok"]) == (1, True)
        for finding in read["findings"]:
            assert set(finding) == {"subsystem", "verdict", "told", "fix"}
            assert finding["verdict"] in ("ok", "warning", "critical")

    def test_it_changes_nothing(self, spool):
        def digest() -> dict[str, str]:
            return {
                str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in spool.rglob("*")
                if path.is_file() and path.suffix not in (".db-shm", ".db-wal")
            }

        before = digest()
        foldq("doctor")
        assert digest() == before


class TestAlwaysAnswers:
    def test_a_check_that_fails_is_a_finding(self, spool, monkeypatch):
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("no idea")

        monkeypatch.setattr(doctor_machine.psutil, "virtual_memory", fail)
        found = findings()["memory"]
        assert found.verdict == "critical"
        assert "RuntimeError: no idea" in found.told

    @pytest.mark.parametrize("where", [0, 18, 100, 4096, 8192, 20000])
    def test_a_damaged_database(self, spool, where):
        records = Fabricated(spool)
        for number in range(50):
            records.finished_search(f"search-{number}")
        records.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        records.db.close()
        content = bytearray((spool / "foldq.db").read_bytes())
        content[where : where + 600] = b"\xa5" * 600
        (spool / "foldq.db").write_bytes(content)
        for extra in ("foldq.db-wal", "foldq.db-shm"):
            (spool / extra).unlink(missing_ok=True)
        result = foldq("doctor")
        assert result.exit_code == 1
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "✘" in result.stdout
        assert "backup" in result.stdout

    @pytest.mark.parametrize("content", [b"", b"just some text", b"SQLite format 3\0"])
    def test_what_is_no_database(self, spool, content):
        (spool / "foldq.db").write_bytes(content)
        assert foldq("doctor").exit_code == (1 if content else 0)

    def test_a_spool_that_is_a_file(self, tmp_path, spool):
        (tmp_path / "file").write_text("")
        result = foldq("doctor", "--spool", tmp_path / "file")
        assert result.exit_code == 1
        assert "is no directory" in result.stdout


class TestSQLite:
    @pytest.mark.parametrize(
        ("version", "has_it"),
        [
            ((3, 6, 23), False),
            ((3, 7, 0), True),
            ((3, 44, 5), True),
            ((3, 44, 6), False),
            ((3, 45, 0), True),
            ((3, 50, 6), True),
            ((3, 50, 7), False),
            ((3, 51, 0), True),
            ((3, 51, 2), True),
            ((3, 51, 3), False),
            ((3, 53, 0), False),
        ],
    )
    def test_the_versions_with_the_wal_reset_bug(self, version, has_it):
        assert has_wal_reset_bug(version) is has_it

    def test_it_is_no_more_than_a_warning(self, spool, monkeypatch):
        monkeypatch.setattr(doctor.sqlite3, "sqlite_version_info", (3, 51, 2))
        assert findings()["SQLite"].verdict == "warning"
        monkeypatch.setattr(doctor.sqlite3, "sqlite_version_info", (3, 51, 3))
        assert findings()["SQLite"].verdict == "ok"


class TestSettings:
    def test_what_cannot_be_used_is_told_and_the_rest_is_looked_at(self, spool):
        (spool / "foldq.toml").write_text("engines = 0\nenginse = 3\n")
        found = findings()
        assert found["settings"].verdict == "critical"
        assert "engines" in found["settings"].told
        assert found["database"].verdict == "ok"

    def test_directories_that_are_not_there(self, spool):
        (spool / "foldq.toml").write_text('data_roots = ["/no/such/place"]\n')
        assert findings()["settings"].verdict == "warning"


class TestFiles:
    def test_others_can_get_at_the_spool(self, spool):
        spool.chmod(0o755)
        assert findings()["spool"].fix == "chmod 700 spool"

    @pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
    def test_a_directory_that_cannot_be_written(self, spool):
        (spool / "results").chmod(0o500)
        assert findings()["spool"].verdict == "critical"

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
    def test_the_database_on_a_network_file_system(self, spool, monkeypatch, kind):
        mounts = [Partition("/", "ext4"), Partition(str(spool.parent), kind)]
        monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
        found = findings()["disk"]
        assert found.verdict == "critical"
        assert 'database = "/local/path' in found.fix
        # A database elsewhere is the way out; of the spool it is then said only.
        (spool / "foldq.toml").write_text('database = "/var/lib/foldq.db"')
        assert findings()["disk"].verdict == "warning"

    @pytest.mark.parametrize(
        ("free", "verdict"),
        [(50e6, "critical"), (500e6, "warning"), (2e9, "warning"), (20e9, "ok")],
    )
    def test_room(self, spool, monkeypatch, free, verdict):
        monkeypatch.setattr(doctor_files.shutil, "disk_usage", lambda _: Usage(100e9, free))
        assert findings()["space"].verdict == verdict

    def test_a_key_that_others_can_read(self, spool):
        security = spool / "cluster" / "profile" / "security"
        security.mkdir(parents=True)
        (security / "ipcontroller-client.json").write_text('{"key": "secret"}')
        (security / "ipcontroller-client.json").chmod(0o644)
        assert findings()["connection"].verdict == "critical"
        (security / "ipcontroller-client.json").chmod(0o600)
        assert findings()["connection"].verdict == "ok"


class TestTables:
    @pytest.mark.parametrize(
        ("statement", "told"),
        [
            ("DROP TRIGGER task_moves", "the trigger task_moves is missing"),
            ("DROP VIEW fold", "the view fold is missing"),
            ("DROP INDEX task_once", "the index task_once is missing"),
            ("ALTER TABLE job ADD COLUMN mine TEXT", "the table job is not as foldq made it"),
        ],
    )
    def test_what_is_missing_or_changed(self, spool, statement, told):
        alter(spool, statement)
        found = findings()["tables"]
        assert (found.verdict, found.told) == ("critical", told)

    def test_what_somebody_added(self, spool):
        alter(spool, "CREATE VIEW mine AS SELECT 1", "CREATE TABLE notes (text)")
        assert findings()["tables"].verdict == "warning"

    def test_a_newer_foldq(self, spool):
        alter(
            spool,
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('foldq', 'm999_to_come', 't')",
        )
        found = findings()["database"]
        assert found.verdict == "critical"
        assert "m999_to_come" in found.told
        assert "Use that version" in found.fix

    def test_an_older_foldq(self, spool):
        alter(spool, "DELETE FROM _sqlite_migrations")
        found = findings()["tables"]
        assert "older foldq" in found.told

    def test_rows_that_refer_to_nothing(self, spool):
        alter(
            spool,
            "PRAGMA foreign_keys=OFF",
            "INSERT INTO task (job_id, kind) VALUES (77, 'prepare')",
        )
        assert findings()["database"].verdict == "critical"
        alter(spool, "INSERT INTO event (at, kind, message) VALUES ('t','job pruned','job 77 x')")
        found = findings()["database"]
        assert found.verdict == "warning"
        assert "foldq prune" in found.fix


class TestScheduler:
    def test_one_that_runs(self, spool):
        records = Fabricated(spool)
        records.engine(pid=os.getpid(), host=socket.gethostname(), versions=json.dumps(versions()))
        with hold(spool):
            found = findings()
        assert str(os.getpid()) in found["scheduler"].told
        assert found["engines"].verdict == "ok"

    def test_one_that_stands_still_says_why(self, spool, monkeypatch):
        Troubled = namedtuple("Troubled", "pid host started_at trouble")
        troubled = Troubled(os.getpid(), "elsewhere", "now", "the disk is full")
        monkeypatch.setattr(patient, "holder", lambda _: troubled)
        found = findings()["scheduler"]
        assert found.verdict == "critical"
        assert "the disk is full" in found.told

    def test_engines_with_other_packages(self, spool):
        other = {**versions(), "scikit-learn": "0.1"}
        Fabricated(spool).engine(host="elsewhere", versions=json.dumps(other))
        with hold(spool):
            found = findings()["engines"]
        assert found.verdict == "warning"
        assert "scikit-learn 0.1 there" in found.told

    def test_an_engine_that_is_dead_and_recorded_as_alive(self, spool):
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        Fabricated(spool).engine(pid=process.pid, host=socket.gethostname())
        with hold(spool):
            assert "is dead" in findings()["engines"].told

    def test_one_that_was_killed(self, spool):
        records = Fabricated(spool)
        records.job("search", state="running")
        records.engine()
        found = findings()["scheduler"]
        assert found.verdict == "warning"
        assert "1 unfinished job waits" in found.told
        assert "was killed" in found.told

    @pytest.mark.parametrize("form", ["list", "nested"])
    def test_processes_it_left_behind(self, spool, form):
        me = psutil.Process()
        entry = {"pid": me.pid, "created": me.create_time(), "role": "controller"}
        reused = {"pid": me.pid, "created": 1.0, "role": "engine"}
        book = [entry, reused] if form == "list" else {"cluster": {"members": [entry, {"pid": 0}]}}
        (spool / "cluster").mkdir(mode=0o700)
        (spool / "cluster" / "processes.json").write_text(json.dumps(book))
        found = findings()["processes"]
        assert found.verdict == "warning"
        assert f"1 running: controller {me.pid}" in found.told
        with hold(spool):
            assert "processes" not in findings()

    @pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "null"])
    def test_a_book_of_processes_that_nobody_can_read(self, spool, text):
        (spool / "cluster").mkdir(mode=0o700)
        (spool / "cluster" / "processes.json").write_text(text)
        assert findings()["processes"].verdict == "ok"


class TestMachine:
    def test_too_many_engines_for_the_memory(self, spool):
        (spool / "foldq.toml").write_text("engines = 10000")
        assert findings()["memory"].fix.startswith("foldq serve --engines ")

    def test_too_many_engines_for_the_limit_of_open_files(self, spool, monkeypatch):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
        (spool / "foldq.toml").write_text("engines = 100")
        found = findings()["open files"]
        assert found.verdict == "critical"
        assert found.fix.startswith("ulimit -n ")


def test_a_search_that_was_planned_is_sound(spool):
    """What the store writes itself passes every check."""
    from datetime import UTC, datetime

    store = Store(spool / "foldq.db")
    spec = JobSpec.model_validate(
        {"name": "job", "data": {"loader": "iris"}, "estimator": "SVC",
         "search": {"space": {"C": [1, 2]}}}
    )  # fmt: skip
    now = datetime.now(UTC)
    store.admit(spec, name="job.json", data=b"{}", digest="d", estimator="SVC", now=now)
    found = findings()  # beside the open store
    store.close()
    assert found["database"].verdict == found["tables"].verdict == "ok"
