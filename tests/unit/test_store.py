"""The records: their tables refuse impossible lives, and a turn is written whole or not at all."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlite_utils import Database

from schemas.job import JobSpec
from schemas.lifecycle import (
    REPEATABLE_KINDS,
    TASK_MOVES,
    FailureReason,
    JobState,
    Outcome,
    TaskKind,
    TaskState,
)
from schemas.task import EngineReport, FoldResult
from service.backup import back_up
from service.migrations import migrations
from service.recordfaults import OlderDatabase
from service.records import KNOWN_MIGRATIONS, open_records
from service.stimuli import Batch, Dispatch, EndAttempt, EndTask, MoveJob, Note, PutBackTask, Task
from service.store import NewerDatabase, PlannedCandidate, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
SPEC = JobSpec.model_validate(
    {
        "name": "job",
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"space": {"C": [1, 2]}},
    }
)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "foldq.db")
    yield store
    store.close()


@pytest.fixture
def planned(store):
    """A job of two candidates on two splits: folds are tasks 2 to 5."""
    store.admit(SPEC, name="job.json", data=b"{}", digest="d", estimator="SVC", now=NOW)
    store.plan(1, [PlannedCandidate({"C": 1}), PlannedCandidate({"C": 2})], 2, NOW)
    store.engine_joined("local", 0, "identity", EngineReport("host", 123, {}), NOW)
    return store


def sent(*attempts_and_tasks, batch_id=1):
    tasks = tuple((a, Task(t, TaskKind.FOLD)) for a, t in attempts_and_tasks)
    return Dispatch(Batch(batch_id, 1, 1, TaskKind.FOLD, tasks, 0.5))


def done(attempt_id, task_id, score=0.5, spared_time=0.0):
    result = FoldResult(task_id, attempt_id, {"score": score}, {}, 0.25, 0.125, spared_time)
    return EndTask(
        1, task_id, attempt_id, TaskKind.FOLD, TaskState.DONE, Outcome.OK, n_attempts=1,
        result=result,
    )  # fmt: skip


def one(store, sql):
    return store.connection.execute(sql).fetchone()


class TestTables:
    def test_a_fold_that_is_done_is_never_done_again(self, planned):
        planned.record([sent((1, 2)), done(1, 2)], NOW)
        with pytest.raises(sqlite3.IntegrityError, match="a task cannot move that way"):
            planned.record([sent((2, 2))], NOW)

    def test_an_attempt_ends_once(self, planned):
        planned.record([sent((1, 2)), done(1, 2)], NOW)
        with pytest.raises(sqlite3.IntegrityError, match="an attempt ends once"):
            planned.connection.execute("UPDATE attempt SET outcome = 'error' WHERE id = 1")

    def test_a_job_moves_only_as_jobs_do(self, planned):
        with pytest.raises(sqlite3.IntegrityError, match="a job cannot move that way"):
            planned.record([MoveJob(1, JobState.COMPLETED)], NOW)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE job SET state = 'failed' WHERE id = 1",  # without its time
            "UPDATE job SET finished_at = '2026-01-01' WHERE id = 1",  # while it is queued
            "UPDATE task SET state = 'cancelled' WHERE id = 2",
            "UPDATE task SET reason = 'error' WHERE id = 2",  # not failed
            "UPDATE job SET state = 'preparing' WHERE id = 1",  # not started
            "UPDATE job SET tags = 'course' WHERE id = 1",  # not JSON
            "UPDATE task SET fit_time = 'long' WHERE id = 2",  # STRICT
            "INSERT INTO task (job_id, kind, candidate_id, split) VALUES (1, 'fold', 1, 0)",
            "INSERT INTO task (job_id, kind) VALUES (1, 'prepare')",  # a second one
            "INSERT INTO task (job_id, kind) VALUES (99, 'prepare')",  # no such job
        ],
    )
    def test_impossible_records_are_refused(self, planned, change):
        with pytest.raises(sqlite3.IntegrityError):
            planned.connection.execute(change)


class TestTurns:
    def test_a_turn_is_written_whole_or_not_at_all(self, planned):
        planned.record([sent((1, 2))], NOW)
        with pytest.raises(sqlite3.IntegrityError):
            planned.record([Note("kind", "first"), done(1, 2), done(1, 2)], NOW)
        assert one(planned, "SELECT state FROM task WHERE id = 2") == ("dispatched",)
        assert one(planned, "SELECT count(*) FROM event WHERE kind = 'kind'") == (0,)

    def test_counters_and_times_follow_the_folds(self, planned):
        failed = EndTask(
            1, 3, 2, TaskKind.FOLD, TaskState.FAILED, Outcome.ERROR, FailureReason.ERROR, 1,
            error="ValueError",
        )  # fmt: skip
        planned.record([sent((1, 2), (2, 3)), done(1, 2), failed], NOW)
        counted = one(planned, "SELECT n_tasks, n_done, n_failed, fold_seconds FROM job")
        assert counted == (4, 1, 1, 0.375)
        at = one(planned, "SELECT started_at, finished_at FROM task WHERE id = 2")
        assert at == ("2026-01-02T03:04:05.678Z",) * 2

    @pytest.mark.parametrize(
        ("score", "text"),
        [(0.1, '{"score": 0.1}'), (float("nan"), '{"score": null}'),
         (float("inf"), '{"score": 1e999}')],
    )  # fmt: skip
    def test_scores_are_json_whatever_they_are(self, planned, score, text):
        planned.record([sent((1, 2)), done(1, 2, score)], NOW)
        assert one(planned, "SELECT test_scores FROM task WHERE id = 2") == (text,)

    def test_what_is_put_back_can_go_out_again(self, planned):
        back = PutBackTask(2, 1, Outcome.ENGINE_LOST, 0, 1, "killed")
        planned.record([sent((1, 2)), back, sent((2, 2), batch_id=2), done(2, 2)], NOW)
        outcomes = planned.connection.execute("SELECT outcome FROM attempt ORDER BY id").fetchall()
        assert outcomes == [("engine_lost",), ("ok",)]
        assert planned.next_numbers() == (3, 3)

    def test_an_attempt_can_end_while_another_one_of_its_task_goes_on(self, planned):
        turn = [
            sent((1, 2)), sent((2, 2), batch_id=2), EndAttempt(1, Outcome.ENGINE_LOST, "killed"),
        ]  # fmt: skip
        planned.record(turn, NOW)
        assert one(planned, "SELECT state FROM task WHERE id = 2") == ("dispatched",)
        assert one(planned, "SELECT outcome, error FROM attempt WHERE id = 1") == (
            "engine_lost", "killed",
        )  # fmt: skip
        planned.record([done(2, 2)], NOW)
        assert one(planned, "SELECT state FROM task WHERE id = 2") == ("done",)

    def test_folds_at_engines_are_open_but_not_to_be_loaded(self, planned):
        planned.record([sent((1, 2), (2, 3), (3, 4), (4, 5)), done(1, 2), done(2, 3)], NOW)
        assert (planned.n_pending_folds(1), planned.has_open_folds(1)) == (0, True)
        assert planned.load_folds(1, 0, 10) == ()
        planned.record([done(3, 4), done(4, 5)], NOW)
        assert not planned.has_open_folds(1)


class TestComingBack:
    def test_what_a_dead_scheduler_left_open_is_put_right(self, planned):
        planned.record([sent((1, 2), (2, 3)), done(1, 2)], NOW)
        assert planned.recover(NOW) == 1
        assert one(planned, "SELECT outcome FROM attempt WHERE id = 2") == ("engine_lost",)
        assert one(planned, "SELECT count(*) FROM live_engine") == (0,)
        assert [task.task_id for task in planned.load_folds(1, 0, 10)] == [3, 4, 5]
        assert planned.n_pending_folds(1) == 3
        assert planned.unfinished_jobs() == [1]

    def test_retry_puts_back_what_failed_and_leaves_what_is_done(self, planned):
        failed = EndTask(
            1, 3, 2, TaskKind.FOLD, TaskState.FAILED, Outcome.ERROR, FailureReason.ERROR, 1,
            error="ValueError",
        )  # fmt: skip
        planned.record([sent((1, 2), (2, 3)), done(1, 2), failed], NOW)
        planned.record([MoveJob(1, JobState.FAILED, "why")], NOW)
        (fold,) = planned.retry(1, NOW)
        assert (fold.task_id, fold.n_attempts) == (3, 0)
        assert one(planned, "SELECT state, reason, n_done, n_failed FROM job") == (
            "queued", None, 1, 0,
        )  # fmt: skip
        assert one(planned, "SELECT state FROM task WHERE id = 2") == ("done",)

    def test_a_database_from_the_future_is_left_alone(self, tmp_path, store):
        store.connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES (?, 'm999_later', '2030-01-01')",
            (migrations.name,),
        )
        with pytest.raises(NewerDatabase, match="m999_later"):
            Store(tmp_path / "foldq.db")

    def test_records_of_an_older_version_can_be_copied_and_wait_for_a_scheduler(self, tmp_path):
        database = tmp_path / "foldq.db"
        with closing(sqlite3.connect(database)) as older:
            migrations.apply(Database(older), stop_before="m004_scale")
        with pytest.raises(OlderDatabase, match="older foldq"), open_records(database):
            pass
        back_up(database, tmp_path / "copy.db")

        Store(database).close()

        with open_records(database) as records:
            assert records.execute("SELECT count(*) FROM job").fetchone()[0] == 0

    def test_records_of_an_older_version_keep_every_row_and_get_the_rules_of_a_new_one(
        self, tmp_path, planned
    ):
        with closing(sqlite3.connect(tmp_path / "older.db")) as older:
            migrations.apply(Database(older), stop_before="m004_scale")
            older.executescript(
                """
                INSERT INTO job (name, file_name, file_digest, file_bytes, spec, strategy,
                    estimator, data, scoring, submitted_at)
                    VALUES ('a', 'a', 'a', x'', '{}', 'grid', 'SVC',
                    'iris', '[]', '2026');
                INSERT INTO candidate (job_id, number, params) VALUES (1, 0, '{}');
                INSERT INTO engine (cluster, number, host, pid, versions, joined_at)
                    VALUES ('a', 0, 'host', 1, '{}', '2026');
                INSERT INTO task (job_id, kind, candidate_id, split, state, test_scores,
                    spared_time, origin_task_id, finished_at) VALUES
                    (1, 'fold', 1, 0, 'done', '{"score": 0.5}', 2.5, NULL, '2026'),
                    (1, 'fold', 1, 1, 'done', '{"score": 0.25}', 9.0, 7, '2026');
                INSERT INTO attempt (task_id, engine_id, batch, submitted_at)
                    VALUES (2, 1, 5, '2026');
                """
            )
            tables = ("job", "candidate", "task", "attempt", "engine")
            rows = {table: older.execute(f"SELECT * FROM {table}").fetchone() for table in tables}
            columns = {
                table: [row[1] for row in older.execute(f"PRAGMA table_info({table})")]
                for table in tables
            }

        upgraded = Store(tmp_path / "older.db")

        for table in tables:
            found = one(upgraded, f"SELECT {', '.join(columns[table])} FROM {table}")
            assert found == rows[table]
        assert one(upgraded, "SELECT n_reused, spared_seconds FROM job") == (1, 2.5)
        assert one(upgraded, "PRAGMA foreign_key_check") is None
        assert one(upgraded, "PRAGMA foreign_keys") == (1,)
        made = "SELECT name, sql FROM sqlite_master ORDER BY name"
        assert (
            upgraded.connection.execute(made).fetchall()
            == planned.connection.execute(made).fetchall()
        )
        upgraded.close()

    @pytest.mark.parametrize("kind", ["fold", "prepare", "refit"])
    def test_tasks_move_as_the_lives_allow_and_no_other_way(self, planned, kind):
        of_task = (kind, 1, 9) if kind == "fold" else (kind, None, None)

        def in_state(state):
            reason = "error" if state == "failed" else None
            finished_at = "2026" if state in ("done", "failed", "cancelled") else None
            return state, reason, finished_at, "{}" if state == "done" else None

        def can_move(old, new):
            with planned.transaction() as db:
                db.execute("DELETE FROM task WHERE kind != 'fold' OR split = 9")
                (task_id,) = db.execute(
                    "INSERT INTO task (job_id, kind, candidate_id, split, state, reason,"
                    " finished_at, test_scores) VALUES (1, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (*of_task, *in_state(old)),
                ).fetchone()
            try:
                planned.connection.execute(
                    "UPDATE task SET state = ?, reason = ?, finished_at = ?, test_scores = ?"
                    " WHERE id = ?",
                    (*in_state(new), task_id),
                )
            except sqlite3.IntegrityError as refused:
                return str(refused) != "a task cannot move that way"
            return True

        moves = {(old, new) for old in TaskState for new in TaskState if can_move(old, new)}

        again = {(TaskState.DONE, TaskState.PENDING)} if kind in REPEATABLE_KINDS else set()
        stays = {(state, state) for state in TaskState}
        assert moves == TASK_MOVES | stays | again

    def test_a_search_counts_what_it_was_spared(self, planned):
        shared = done(1, 2, spared_time=1.5)
        planned.record([sent((1, 2), (2, 3)), shared, done(2, 3)], NOW)
        assert one(planned, "SELECT n_reused, spared_seconds FROM job") == (0, 1.5)
        assert one(planned, "SELECT sum(spared_time) FROM fold") == (1.5,)

    def test_those_who_only_read_know_the_same_migrations(self):
        names = {migration.name for migration in migrations.pending(Database(memory=True))}
        assert names == KNOWN_MIGRATIONS, "add the new one to service/records.py"

    def test_opening_again_changes_nothing(self, tmp_path, planned):
        before = planned.connection.execute("SELECT sql FROM sqlite_master").fetchall()
        again = Store(tmp_path / "foldq.db")
        assert again.connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
        again.close()


def test_power_cuts_lose_nothing_that_was_acknowledged(store):
    assert one(store, "PRAGMA journal_mode") == ("wal",)
    assert one(store, "PRAGMA synchronous") == (2,), "FULL"
    assert one(store, "PRAGMA foreign_keys") == (1,)
