"""Forgetting old jobs: what goes, what stays, and that an interrupted prune is no harm."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fabricated import Fabricated
from freezegun import freeze_time
from typer.testing import CliRunner

from schemas.lifecycle import JobState
from service import control, prune
from service.cli import app
from service.layout import make_directories
from service.lock import hold
from service.outdated import PRUNED, Wanted, plan
from service.store import Store, timestamp

NOW = datetime(2026, 7, 1, tzinfo=UTC)
OLD, YOUNG = timestamp(NOW - timedelta(days=100)), timestamp(NOW - timedelta(days=10))
WANTED = Wanted(NOW - timedelta(days=90))
SHARED, UNSHARED, UNKNOWN = "a" * 64, "b" * 64, "c" * 64


class Spool:
    """A spool with jobs of every age, and what such jobs leave in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_directories(path)
        self.made = Fabricated(path)
        for fingerprint in (SHARED, UNSHARED, UNKNOWN):
            self.write(f"cache/{fingerprint}/X.npy")
        self.write(f"cache/sources/{'1' * 64}", SHARED)
        self.write(f"cache/sources/{'2' * 64}", UNSHARED)
        self.write("data/train.csv")

    def write(self, name: str, text: str = "x") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def job(self, name: str, finished_at: str | None = None, *, n: int = 2, **row: object) -> int:
        """Add a job of n candidates on 2 splits with all that it leaves behind."""
        state = row.pop("state", "completed" if finished_at else "running")
        row = {"state": state, "finished_at": finished_at, "n_tasks": 2 * n, **row}
        if finished_at is None:
            del row["finished_at"]
        job_id = self.made.job(name, file_digest=name, **row)
        engine = self.made.engine(job_id, left_at=OLD, left_because="gone")
        task = self.made.db["task"].insert(
            {"job_id": job_id, "kind": "prepare", "state": "done", "finished_at": OLD}
        )
        self.made.attempt(task.last_pk, engine, "ok")
        for number in range(n):
            candidate = self.made.candidate(job_id, number, {"C": number}, content_key=name)
            for split in range(2):
                fold = self.made.fold(job_id, candidate, split, {"score": 0.5})
                self.made.attempt(fold, engine, "ok")
        self.made.event("job admitted", name, job_id=job_id)
        self.made.event("engine joined", f"engine {engine}", engine_id=engine, at=OLD)
        self.write(f"results/{job_id}/cv_results.csv")
        self.write(f"results/{job_id}/deep/down/model.skops")
        self.write(f"accepted/{job_id}-{name}.yaml")
        return job_id

    def refusal(self, name: str, at: datetime) -> None:
        self.write(f"rejected/{name}")
        report = self.write(f"rejected/{name}.error.json", '{"problems": []}')
        os.utime(report, (at.timestamp(), at.timestamp()))

    def rows(self, sql: str) -> list[tuple]:
        with sqlite3.connect(self.path / "foldq.db") as records:
            return records.execute(sql).fetchall()

    def job_ids(self) -> list[int]:
        return [row[0] for row in self.rows("SELECT id FROM job ORDER BY id")]

    def files(self) -> set[str]:
        """Everything that is not a directory, but the database and the lock."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_dir())
        return {str(path) for path in found if len(path.parts) > 1}

    def prune(self, wanted: Wanted = WANTED, *, steps: int | None = None, **more: object) -> bool:
        """Prune, or begin to; tell whether it came to its end."""
        store = Store(self.path / "foldq.db")
        try:
            going = prune.prune(store, self.path, wanted, NOW, **more)
            return all(number != steps for number, _ in enumerate(going))
        finally:
            store.close()

    def assert_sound(self) -> None:
        assert self.rows("PRAGMA integrity_check") == [("ok",)]
        assert self.rows("PRAGMA foreign_key_check") == []


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


@pytest.fixture
def aged(spool):
    """Job 1 is old, 2 young, 3 old and failed, 4 old and unfinished."""
    spool.job("old", OLD, data_fingerprint=UNSHARED)
    spool.job("young", YOUNG, data_fingerprint=SHARED)
    spool.job("broken", OLD, state="failed", data_fingerprint=SHARED)
    spool.job("held", submitted_at=OLD, started_at=OLD)
    return spool


class TestWhatGoes:
    def test_old_jobs_go_with_all_they_left(self, aged):
        before = aged.files()
        assert aged.prune()
        assert aged.job_ids() == [2, 4]
        for table in ("candidate", "task"):
            assert aged.rows(f"SELECT DISTINCT job_id FROM {table} ORDER BY 1") == [(2,), (4,)]
        assert aged.rows("SELECT count(*) FROM attempt") == [(10,)]
        gone = {
            *(f"results/{job}/{file}" for job in (1, 3) for file in
              ("cv_results.csv", "deep/down/model.skops")),
            "accepted/1-old.yaml", "accepted/3-broken.yaml",
            f"cache/{UNSHARED}/X.npy", f"cache/{UNKNOWN}/X.npy", f"cache/sources/{'2' * 64}",
        }  # fmt: skip
        assert before - aged.files() == gone
        assert not (aged.path / "results" / "1").exists()
        aged.assert_sound()

    def test_it_is_on_record_what_went(self, aged):
        aged.prune()
        told = [row[0] for row in aged.rows(f"SELECT message FROM event WHERE kind = '{PRUNED}'")]
        assert told == [
            f"job 1 (old), completed {OLD}, with its 4 folds",
            f"job 3 (broken), failed {OLD}, with its 4 folds",
        ]

    def test_only_jobs_of_the_states_asked_for(self, aged):
        aged.prune(Wanted(WANTED.before, (JobState.FAILED,)))
        assert aged.job_ids() == [1, 2, 4]
        assert (aged.path / "results" / "1").exists()

    @pytest.mark.parametrize("state", ["queued", "preparing", "running", "refitting", "paused"])
    def test_unfinished_jobs_stay_whatever_their_age(self, spool, state):
        spool.job("old", state=state, submitted_at=OLD, started_at=OLD)
        before = spool.files()
        spool.prune(Wanted(NOW + timedelta(days=1)))
        assert spool.job_ids() == [1]
        assert {file for file in before - spool.files() if not file.startswith("cache")} == set()

    def test_they_cannot_even_be_asked_for(self):
        with pytest.raises(ValueError, match="have ended"):
            Wanted(NOW, (JobState.RUNNING,))

    def test_a_job_being_worked_on_stays(self, aged):
        aged.prune(busy={1})
        assert aged.job_ids() == [1, 2, 4]
        assert (aged.path / "results" / "1").exists()

    def test_a_job_that_is_retried_meanwhile_stays(self, aged, monkeypatch):
        monkeypatch.setattr(prune, "JOBS", 1)  # in one transaction
        store = Store(aged.path / "foldq.db")
        steps = prune.prune(store, aged.path, WANTED, NOW)
        next(steps)
        store.retry(3, NOW)
        list(steps)
        store.close()
        assert aged.job_ids() == [2, 3, 4]
        assert (aged.path / "results" / "3").exists()

    def test_a_job_that_a_stray_engine_may_be_at_stays(self, spool):
        just_now = timestamp(NOW - timedelta(minutes=5))
        spool.job("dropped", just_now, state="cancelled")
        spool.made.engine(9)  # alive, for all that the records know
        spool.prune(Wanted(NOW))
        assert spool.job_ids() == [1]
        with sqlite3.connect(spool.path / "foldq.db") as records:
            assert "so it stays: job 1" in plan(records, spool.path, Wanted(NOW), NOW).remarks[0]

    def test_the_plan_says_what_then_happens(self, aged):
        with sqlite3.connect(f"file:{aged.path}/foldq.db?mode=ro", uri=True) as records:
            found = plan(records, aged.path, WANTED, NOW)
        assert [job.id for job in found.jobs] == [1, 3]
        assert found.n_folds == 8
        there = {str(path.relative_to(aged.path)) for path in found.files}
        aged.prune()
        assert there == {
            "results/1", "results/3", "accepted/1-old.yaml", "accepted/3-broken.yaml",
            f"cache/{UNSHARED}", f"cache/{UNKNOWN}",
        }  # fmt: skip
        assert not any(path.exists() for path in found.files)

    def test_many_folds_go_in_pieces(self, spool, monkeypatch):
        monkeypatch.setattr(prune, "ROWS", 3)
        spool.job("huge", OLD, n=10)
        assert spool.prune()
        for table in ("job", "candidate", "task", "attempt"):
            assert spool.rows(f"SELECT count(*) FROM {table}") == [(0,)]
        spool.assert_sound()


class TestWhatOthersNeed:
    def test_folds_that_were_taken_over_keep_their_values(self, spool):
        spool.job("first", OLD)
        later = spool.made.job("later", finished_at=YOUNG)
        candidate = spool.made.candidate(later, 0, {"C": 0})
        spool.made.fold(later, candidate, 0, {"score": 0.25}, origin_task_id=2)
        spool.prune()
        assert spool.rows("SELECT test_scores, origin_task_id FROM task") == [
            ('{"score": 0.25}', 2)
        ]

    def test_no_fold_seems_to_come_from_a_number_that_is_given_again(self, spool):
        """A search that ran long took folds over from a later one, which is the newest."""
        long_one = spool.made.job("long", finished_at=YOUNG)
        candidate = spool.made.candidate(long_one, 0, {"C": 0})
        spool.made.fold(long_one, candidate, 0, {"score": 0.25}, origin_task_id=3)
        spool.job("newest", OLD)
        assert spool.rows("SELECT max(id) FROM task WHERE job_id = 2")[0][0] > 3
        spool.prune()
        assert spool.rows("SELECT job_id, origin_task_id FROM task") == [(long_one, None)]

    def test_a_job_with_the_same_content_is_no_obstacle(self, spool):
        first = spool.job("first", OLD)
        spool.job("again", YOUNG, same_content_as=first)
        spool.prune()
        assert spool.rows("SELECT id, same_content_as FROM job") == [(2, None)]
        spool.assert_sound()

    def test_engines_stay_while_an_attempt_tells_of_them(self, aged):
        aged.prune()
        assert aged.rows("SELECT id FROM engine ORDER BY id") == [(2,), (4,)]
        joined = "SELECT engine_id FROM event WHERE kind = 'engine joined' ORDER BY 1"
        assert aged.rows(joined) == [(2,), (4,)]

    def test_no_engine_gets_a_number_twice(self, spool):
        spool.job("old", OLD)
        spool.prune()
        assert spool.rows("SELECT id FROM engine") == [(1,)]

    def test_prepared_data_stay_while_a_job_is_being_prepared(self, aged):
        aged.made.db.execute("UPDATE task SET state = 'pending', finished_at = NULL WHERE id = 16")
        aged.made.db.conn.commit()
        assert aged.rows("SELECT job_id, kind, state FROM task WHERE id = 16") == [
            (4, "prepare", "pending")
        ]
        aged.prune()
        assert (aged.path / "cache" / UNSHARED).exists()
        with sqlite3.connect(aged.path / "foldq.db") as records:
            found = plan(records, aged.path, WANTED, NOW)
        assert found.is_empty
        assert "being prepared" in found.remarks[0]

    def test_the_same_file_can_be_submitted_anew(self, spool):
        spool.job("old", OLD)
        spool.prune()
        assert spool.job("old", YOUNG) == 2


class TestRefusedFiles:
    def test_they_go_by_the_age_of_their_report(self, spool):
        spool.refusal("long-ago.yaml", NOW - timedelta(days=100))
        spool.refusal("lately.yaml", NOW - timedelta(days=1))
        os.utime(spool.path / "rejected" / "lately.yaml", (0, 0))  # the user's file is an old one
        spool.write("rejected/notes.txt")
        os.utime(spool.path / "rejected" / "notes.txt", (0, 0))
        spool.prune()
        assert {path.name for path in (spool.path / "rejected").iterdir()} == {
            "lately.yaml", "lately.yaml.error.json", "notes.txt",
        }  # fmt: skip

    def test_a_refused_file_that_is_called_like_a_report(self, spool):
        spool.refusal("job.error.json", NOW - timedelta(days=1))
        spool.write("rejected/job")
        os.utime(spool.path / "rejected" / "job.error.json", (0, 0))
        before = spool.files()
        spool.prune()
        assert {f for f in before - spool.files() if f.startswith("rejected")} == set()

    def test_a_refused_directory(self, spool):
        spool.write("rejected/directory.yaml/some/file")
        report = spool.write("rejected/directory.yaml.error.json")
        os.utime(report, (0, 0))
        spool.prune()
        assert list((spool.path / "rejected").iterdir()) == []


class TestNothingElse:
    """What lies outside the spool, or was put there by somebody else, stays."""

    @pytest.fixture
    def outside(self, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "precious.txt").write_text("mine")
        yield outside
        assert (outside / "precious.txt").read_text() == "mine"

    def test_links_in_results_are_not_followed(self, aged, outside):
        (aged.path / "results" / "1" / "link").symlink_to(outside)
        aged.prune()
        assert not (aged.path / "results" / "1").exists()

    def test_results_that_are_a_link(self, aged, outside):
        directory = aged.path / "results" / "1"
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()
        directory.symlink_to(outside)
        aged.prune()
        assert not directory.is_symlink()

    def test_a_directory_of_the_spool_that_is_a_link(self, aged, outside):
        (aged.path / "results").rename(outside / "results")
        (aged.path / "results").symlink_to(outside / "results")
        with sqlite3.connect(aged.path / "foldq.db") as records:
            assert "is a link" in plan(records, aged.path, WANTED, NOW).remarks[0]
        aged.prune()
        assert aged.job_ids() == [2, 4]
        assert (outside / "results" / "1" / "cv_results.csv").exists()

    @pytest.mark.parametrize(
        "name",
        ["results/99", "results/notes", "accepted/99-x.yaml", "accepted/my.yaml", "cache/mine"],
    )
    def test_what_no_record_tells_of(self, aged, name):
        file = aged.write(name)
        os.utime(file, (0, 0))
        aged.prune()
        assert file.exists()

    def test_numbers_are_compared_whole(self, aged):
        aged.write("accepted/11-other.yaml")
        aged.prune()
        assert (aged.path / "accepted" / "11-other.yaml").exists()


class TestInterrupted:
    def test_it_can_stop_after_any_step_and_go_on(self, tmp_path, monkeypatch):
        monkeypatch.setattr(prune, "ROWS", 3)
        expected, steps = None, 0
        while True:
            spool = Spool(tmp_path / f"spool-{steps}")
            spool.job("old", OLD, n=4, data_fingerprint=UNSHARED)
            spool.job("young", YOUNG, data_fingerprint=SHARED)
            came_to_its_end = spool.prune(steps=steps)
            assert spool.rows("SELECT count(*) FROM fold WHERE job_id = 1") == [(0,)]
            spool.prune()
            state = (
                spool.job_ids(),
                spool.files(),
                [spool.rows(f"SELECT * FROM {t}") for t in ("candidate", "task", "attempt")],
            )
            expected = expected or state
            assert state == expected
            spool.assert_sound()
            if came_to_its_end:
                break
            steps += 1
        assert steps > 5

    @pytest.mark.parametrize("victim", ["rmtree", "unlink"])
    def test_a_killed_deletion_of_files(self, aged, victim):
        """SIGKILL in the middle of deleting files, several times over."""
        code = (
            "import os, shutil, signal, sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from pathlib import Path\n"
            "from test_prune import NOW, WANTED\n"
            "from service.prune import prune\n"
            "from service.store import Store\n"
            "def die(*args, **more):\n"
            "    unlink('cv_results.csv', dir_fd=os.open(args[0], 0, dir_fd=more['dir_fd']))"
            " if args[0].endswith('pruned') else unlink(*args, **more)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "unlink = os.unlink\n"
            f"{'shutil' if victim == 'rmtree' else 'os'}.{victim} = die\n"
            f"spool = Path({str(aged.path)!r})\n"
            "list(prune(Store(spool / 'foldq.db'), spool, WANTED, NOW))\n"
        )
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert done.returncode == -signal.SIGKILL, done.stderr
        assert aged.job_ids() == [2, 4]
        assert aged.prune()
        assert {Path(file).parts[:2] for file in aged.files()} == {
            ("results", "2"), ("results", "4"), ("accepted", "2-young.yaml"),
            ("accepted", "4-held.yaml"), ("cache", SHARED), ("cache", "sources"),
            ("data", "train.csv"),
        }  # fmt: skip


def foldq(*arguments: object):
    runner = CliRunner(env={"COLUMNS": "300"})
    return runner.invoke(app, [str(argument) for argument in arguments])


class TestCommand:
    @pytest.fixture(autouse=True)
    def _there(self, aged, monkeypatch):
        monkeypatch.chdir(aged.path.parent)
        for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
            monkeypatch.delenv(name)
        with freeze_time(NOW, tick=True):
            yield

    def test_it_says_what_would_go(self, aged):
        before = aged.files()
        result = foldq("prune", "--older-than", "1s", "--dry-run")
        assert result.exit_code == 0
        assert "3 jobs with 12 folds" in result.stdout
        assert "young" in result.stdout
        assert "held" not in result.stdout
        assert (aged.files(), aged.job_ids()) == (before, [1, 2, 3, 4])

    def test_without_a_scheduler_it_deletes_itself(self, aged):
        result = foldq("prune", "--older-than", "1s", "--state", "failed", "--yes")
        assert result.exit_code == 0
        assert "Pruned 1 job with 4 folds" in result.stderr
        assert aged.job_ids() == [1, 2, 4]
        assert "Nothing to prune" in foldq("prune", "--older-than", "500w", "--yes").stderr

    def test_json(self, aged):
        asked = json.loads(foldq("prune", "--older-than", "1s", "--dry-run", "--json").stdout)
        assert (asked["schema_version"], asked["dry_run"], asked["n_folds"]) == (1, True, 12)
        assert [job["id"] for job in asked["jobs"]] == [1, 2, 3]
        told = json.loads(foldq("prune", "--older-than", "1s", "--yes", "--json").stdout)
        assert told["left"] == {"jobs": [], "files": []}
        assert aged.job_ids() == [4]

    def test_it_deletes_nothing_unasked(self, aged):
        result = foldq("prune", "--older-than", "1s")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert aged.job_ids() == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "--older-than"),
            (["--older-than", "90"], "Did you mean 90d?"),
            (["--older-than", "soon"], "such as 30s"),
            (["--older-than", "90d", "--state", "complete"], "Did you mean completed?"),
            (["--older-than", "90d", "--state", "running"], "has not ended"),
        ],
    )
    def test_slips_of_the_pen(self, aged, arguments, told):
        result = foldq("prune", *arguments)
        assert result.exit_code == 2
        assert told in result.stderr

    def test_what_cannot_be_deleted_is_told(self, aged, monkeypatch):
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(prune.shutil, "rmtree", refuse)
        result = foldq("prune", "--older-than", "1s", "--yes")
        assert result.exit_code == 1
        assert "Still there:" in result.stderr
        assert "results/.1.pruned" in result.stderr

    def test_beside_a_scheduler_it_is_the_scheduler_that_deletes(self, aged):
        """The request stays until it is carried out, and is understood."""
        control.request_prune(aged.path, WANTED.before, WANTED.states)
        (asked,) = control.Desk(aged.path).take()
        store = Store(aged.path / "foldq.db")
        pruner = prune.Pruner(store, aged.path)
        pruner.ask(asked, busy={3})
        assert asked.path.exists()
        while asked.path.exists():
            pruner.step()
        store.close()
        assert aged.job_ids() == [2, 3, 4]

    def test_the_scheduler_stops_meanwhile(self, aged, monkeypatch):
        from service import lock

        holders = iter([None])
        monkeypatch.setattr(lock, "holder", lambda _: next(holders))
        with hold(aged.path):
            result = foldq("prune", "--older-than", "1s", "--yes")
        assert result.exit_code == 5
        assert "the next one goes on with it" in result.stderr
        assert len(control.Desk(aged.path).take()) == 1

    def test_a_request_that_names_no_final_state_is_none(self, aged):
        control.request_prune(aged.path, WANTED.before, [JobState.RUNNING])
        assert control.Desk(aged.path).take() == []

    def test_room_is_given_back(self, aged, monkeypatch):
        monkeypatch.setattr(prune, "WORTH_VACUUM", 1)
        monkeypatch.setattr(prune, "WORTH_VACUUM_SHARE", 0.01)
        aged.job("fat", OLD, n=300)
        before = (aged.path / "foldq.db").stat().st_size
        result = foldq("prune", "--older-than", "1s", "--yes")
        assert "The database is" in result.stderr
        assert (aged.path / "foldq.db").stat().st_size < before
        aged.assert_sound()
