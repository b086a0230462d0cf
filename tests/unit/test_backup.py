"""A copy of the records: of one moment, whole or not at all."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from fabricated import Fabricated, at
from typer.testing import CliRunner

from service import backup
from service.backup import BackupFailed, UnfitPlace, back_up
from service.cli import app
from service.recordfaults import RecordsDamaged


def foldq(*arguments: object, **environment: str):
    runner = CliRunner(env={"COLUMNS": "300", **environment})
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        monkeypatch.delenv(name)
    return tmp_path / "spool"


@pytest.fixture
def records(spool):
    records = Fabricated(spool)
    records.finished_search("digits-svc")
    return records


@pytest.fixture
def database(records, spool):
    return spool / "foldq.db"


def ask(file, sql):
    with closing(sqlite3.connect(file)) as copy:
        return copy.execute(sql).fetchone()[0]


class TestCopy:
    def test_everything_is_in_it(self, database, tmp_path):
        made = back_up(database, tmp_path / "copy.db")
        assert (made.n_jobs, made.n_folds) == (1, 10)
        assert made.n_bytes == (tmp_path / "copy.db").stat().st_size
        with closing(sqlite3.connect(database)) as original:
            wanted = list(original.iterdump())
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            assert list(copy.iterdump()) == wanted

    def test_it_is_one_file_for_its_owner_alone(self, database, tmp_path):
        back_up(database, tmp_path / "copy.db")
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
        assert ask(tmp_path / "copy.db", "PRAGMA journal_mode") == "delete"
        assert {path.name for path in tmp_path.iterdir()} == {"spool", "copy.db"}

    def test_it_is_of_one_moment_while_the_writer_goes_on(
        self, database, records, tmp_path, monkeypatch
    ):
        """Between any two steps a job is recorded in two tables; the copy has both or none."""
        monkeypatch.setattr(backup, "PAGES", 1)
        n_steps = 0

        def write(*_: int) -> None:
            nonlocal n_steps
            n_steps += 1
            with closing(sqlite3.connect(database, timeout=0)) as writer, writer:
                writer.execute(
                    "INSERT INTO event (at, kind, message) VALUES ('t', 'x', ?)", ("y" * 3000,)
                )
                writer.execute("UPDATE job SET n_done = n_done + 1")

        made = back_up(database, tmp_path / "copy.db", progress=write)
        assert n_steps > 10
        assert ask(made.file, "SELECT n_done FROM job") == 10
        assert ask(made.file, "SELECT count(*) FROM event") == 0
        assert ask(database, "SELECT count(*) FROM event") == n_steps

    def test_a_spool_runs_on_it(self, database, tmp_path):
        from service.store import Store

        back_up(database, tmp_path / "copy.db")
        store = Store(tmp_path / "copy.db")
        assert store.has_job(1)
        store.close()

    def test_damaged_records_give_no_copy(self, database, records, tmp_path):
        records.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        records.db.close()
        content = bytearray(database.read_bytes())
        for page in range(3, len(content) // 4096):
            content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        database.write_bytes(content)
        (tmp_path / "copy.db").write_text("the last good one")
        with pytest.raises((BackupFailed, RecordsDamaged)):
            back_up(database, tmp_path / "copy.db", force=True)
        assert (tmp_path / "copy.db").read_text() == "the last good one"
        assert not (tmp_path / "copy.db.part").exists()

    def test_a_killed_backup_leaves_no_file_of_that_name(self, database, tmp_path):
        code = (
            "import os, signal; from pathlib import Path; from service.backup import back_up\n"
            f"back_up(Path({str(database)!r}), Path('copy.db'),"
            " progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment)
        assert done.returncode == -signal.SIGKILL
        assert not (tmp_path / "copy.db").exists()
        assert back_up(database, tmp_path / "copy.db").n_jobs == 1
        assert not (tmp_path / "copy.db.part").exists()


class TestPlace:
    def test_nothing_is_overwritten_unasked(self, database, tmp_path):
        (tmp_path / "copy.db").write_text("mine")
        with pytest.raises(UnfitPlace):
            back_up(database, tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text() == "mine"
        assert back_up(database, tmp_path / "copy.db", force=True).n_jobs == 1

    def test_nor_what_came_while_it_copied(self, database, tmp_path):
        def appear(*_: int) -> None:
            (tmp_path / "copy.db").write_text("mine")

        with pytest.raises(UnfitPlace):
            back_up(database, tmp_path / "copy.db", progress=appear)
        assert (tmp_path / "copy.db").read_text() == "mine"

    def test_what_belonged_to_the_old_copy_does_not_spoil_the_new(self, database, tmp_path):
        """The old copy was used as a database, by a scheduler that was killed."""
        back_up(database, tmp_path / "copy.db")
        with closing(sqlite3.connect(tmp_path / "copy.db")) as used:
            used.execute("PRAGMA journal_mode=WAL")
            with used:
                used.execute("UPDATE job SET name = 'of the old copy'")
            left = (tmp_path / "copy.db-wal").read_bytes()
        (tmp_path / "copy.db-wal").write_bytes(left)
        back_up(database, tmp_path / "copy.db", force=True)
        assert not (tmp_path / "copy.db-wal").exists()
        assert ask(tmp_path / "copy.db", "SELECT name FROM job") == "digits-svc"

    @pytest.mark.parametrize("name", ["foldq.db", "foldq.db-wal", "../link.db"])
    def test_the_database_is_not_its_own_backup(self, database, tmp_path, name):
        (tmp_path / "link.db").symlink_to(database)
        with pytest.raises(BackupFailed, match="the database itself"):
            back_up(database, database.parent / name, force=True)

    def test_two_at_once(self, database, tmp_path):
        """The second one says so; the first is not disturbed."""
        told = []

        def second() -> None:
            try:
                back_up(database, tmp_path / "copy.db")
            except BackupFailed as error:
                told.append(str(error))

        def progress(*_: int) -> None:
            if not told:
                thread = threading.Thread(target=second)
                thread.start()
                thread.join()

        assert back_up(database, tmp_path / "copy.db", progress=progress).n_jobs == 1
        assert "Another backup is writing" in told[0]

    def test_a_link_at_the_place_of_the_part_is_not_followed(self, database, tmp_path):
        (tmp_path / "precious.txt").write_text("mine")
        (tmp_path / "copy.db.part").symlink_to(tmp_path / "precious.txt")
        with pytest.raises(OSError, match="symbolic links"):
            back_up(database, tmp_path / "copy.db")
        assert (tmp_path / "precious.txt").read_text() == "mine"


class TestCommand:
    def test_it_tells_what_is_in_it(self, database, tmp_path):
        result = foldq("backup", "copy.db")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "1 job, 10 folds" in result.stderr
        read = json.loads(foldq("backup", "copy.db", "--force", "--json").stdout)
        assert (read["schema_version"], read["n_jobs"], read["n_folds"]) == (1, 1, 10)

    def test_the_commands_read_it(self, database, records, tmp_path):
        foldq("backup", "copy.db")
        records.job("later", submitted_at=at(5))
        told = foldq("history", FOLDQ_DATABASE=str(tmp_path / "copy.db")).stdout
        assert "digits-svc" in told
        assert "later" not in told

    @pytest.mark.parametrize(
        ("file", "told"),
        [
            ("there.db", "--force"),
            ("spool/foldq.db", "the database itself"),
            ("spool", "is a directory"),
            ("nowhere/copy.db", "no directory"),
        ],
    )
    def test_where_it_cannot_go(self, database, tmp_path, file, told):
        (tmp_path / "there.db").write_text("")
        result = foldq("backup", file)
        assert result.exit_code == 2
        assert told in result.stderr

    def test_without_records(self, spool):
        result = foldq("backup", "copy.db")
        assert result.exit_code == 4
        assert "foldq serve" in result.stderr
