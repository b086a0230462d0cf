"""Questions about jobs, answered from a made-up past."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from fabricated import START, Fabricated, at
from freezegun import freeze_time

from schemas.lifecycle import JobState
from service.history import (
    Query,
    SortKey,
    as_json,
    find_jobs,
    parse_moment,
    parse_query,
    parse_sort,
    progress,
    time_left,
)
from service.records import NoRecords, NoSuchJob, find_job, open_records

NOW = START + timedelta(days=10)
DAY = 86_400


@pytest.fixture
def past(tmp_path):
    """Five jobs over ten days."""
    records = Fabricated(tmp_path)
    records.job(
        "digits-svc", estimator="Pipeline(StandardScaler, SVC)", tags=["course", "lab-3"],
        best_score=0.97, submitted_at=at(0), started_at=at(5), finished_at=at(105),
    )  # fmt: skip
    records.job(
        "Digits-forest", estimator="RandomForestClassifier", tags=["course"],
        best_score=0.95, submitted_at=at(2 * DAY), started_at=at(2 * DAY),
        finished_at=at(2 * DAY + 10),
    )  # fmt: skip
    records.job(
        "prices", estimator="Ridge", data="houses.csv", state="failed", reason="no data",
        submitted_at=at(5 * DAY), started_at=at(5 * DAY), finished_at=at(5 * DAY + 1),
    )  # fmt: skip
    records.job("wine", estimator="SVC", data="wine", state="queued", submitted_at=at(9 * DAY))
    records.job(
        "100%_[x]", estimator="SVC", state="cancelled", tags=["it's"], best_score=-3.5,
        submitted_at=at(9.5 * DAY), started_at=None, finished_at=at(9.6 * DAY),
    )  # fmt: skip
    return records.db.conn


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), [1, 2, 3, 4, 5]),
        (Query(ids=(4, 2)), [2, 4]),
        (Query(states=(JobState.FAILED, JobState.CANCELLED)), [3, 5]),
        (Query(name="digits-*"), [1, 2]),
        (Query(name="digits"), []),
        (Query(name="100%_*"), [5]),
        (Query(tags=("course",)), [1, 2]),
        (Query(tags=("course", "lab-3")), [1]),
        (Query(tags=("it's",)), [5]),
        (Query(tags=("cour",)), []),
        (Query(estimator="svc"), [1, 4, 5]),
        (Query(estimator="Pipeline*SVC?"), [1]),
        (Query(estimator="SVC*"), [4, 5]),
        (Query(data=".csv"), [3]),
        (Query(since=NOW - timedelta(days=7)), [3, 4, 5]),
        (Query(until=NOW - timedelta(days=7)), [1, 2]),
        (Query(min_score=0.96), [1]),
        (Query(max_score=0.95), [2, 5]),
        (Query(sort=SortKey.SCORE, descending=True), [1, 2, 5, 4, 3]),
        (Query(sort=SortKey.SCORE), [5, 2, 1, 3, 4]),
        (Query(sort=SortKey.NAME), [5, 2, 1, 3, 4]),
        (Query(sort=SortKey.DURATION, descending=True, limit=2), [1, 2]),
        (Query(sort=SortKey.SUBMITTED, descending=True, limit=1), [5]),
        (Query(descending=True, limit=2, offset=2), [3, 2]),
        (Query(offset=4), [5]),
        (Query(name="x'; DROP TABLE job; --"), []),
    ],
)
def test_what_is_asked_is_what_is_given(past, query, expected):
    assert [job.id for job in find_jobs(past, query, NOW)] == expected


def test_moments_as_people_say_them():
    assert parse_moment("7d", NOW) == NOW - timedelta(days=7)
    assert parse_moment("1.5h", NOW) == NOW - timedelta(minutes=90)
    assert parse_moment("2026-03-01T12:30+02:00", NOW) == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    assert parse_moment("2026-03-01", NOW).tzinfo is not None
    for wrong in ("yesterday", "7y", "", "99999999999999d", "2026-13-01"):
        with pytest.raises(ValueError, match=r"7d|calendar"):
            parse_moment(wrong, NOW)


def test_sort_keys():
    assert parse_sort("-score") == (SortKey.SCORE, True)
    assert parse_sort("name") == (SortKey.NAME, False)
    with pytest.raises(ValueError, match="id, name, score, submitted, duration"):
        parse_sort("sorce")


def test_what_a_person_asks_for_is_read_as_a_whole():
    asked = parse_query(NOW, states=["failed"], tags=["x"], since="7d", until=NOW, sort="-score")
    assert asked == Query(
        states=(JobState.FAILED,),
        tags=("x",),
        since=NOW - timedelta(days=7),
        until=NOW,
        sort=SortKey.SCORE,
        descending=True,
    )
    with pytest.raises(
        ValueError, match=r"'faild'\. Did you mean failed\?\nThe states are: queued"
    ):
        parse_query(NOW, states=["faild"])


class TestProgress:
    def running(self, tmp_path, **row) -> tuple[Fabricated, int]:
        records = Fabricated(tmp_path)
        columns = {"state": "running", "n_splits": 2, "n_tasks": 100, "started_at": at(0), **row}
        return records, records.job(**columns)

    def worked(self, records, job_id, engine, folds) -> None:
        """One batch of one fold each, (candidate, split, seconds of fit), of two seconds."""
        for number, (candidate_id, split, took) in enumerate(folds):
            task_id = records.fold(
                job_id, candidate_id, split, {"score": 1.0}, fit_time=took, score_time=0.0
            )
            sent = {"submitted_at": at(number * 2), "finished_at": at(number * 2 + 2)}
            records.attempt(task_id, engine, "ok", batch=number, **sent)

    def test_time_left_is_what_the_candidates_left_cost(self, tmp_path):
        records, job_id = self.running(tmp_path, n_tasks=4, n_done=2)
        cheap, dear = records.candidate(job_id, 0, {}), records.candidate(job_id, 1, {})
        engine, other = records.engine(0), records.engine(1)
        # Of each two seconds an engine has a batch, one is fitting: (0.2 + 1.8) of 4 s.
        self.worked(records, job_id, engine, [(cheap, 0, 0.2), (dear, 0, 1.8)])
        left = records.fold(job_id, dear, 1)
        now = START + timedelta(seconds=5)

        def seconds() -> float | None:
            return time_left(records.db.conn, find_job(records.db.conn, job_id), now)

        assert seconds() == pytest.approx(1.8 * 2), "one engine, one dear fold"
        records.fold(job_id, cheap, 1)
        assert seconds() == pytest.approx((1.8 + 0.2) * 2)
        records.attempt(left, engine, None, batch=7)
        records.attempt(left, other, None, batch=8)
        assert seconds() == pytest.approx((1.8 + 0.2) * 2 / 2), "two engines are at it"

    def test_an_engine_that_works_for_two_jobs_counts_half(self, tmp_path):
        records, job_id = self.running(tmp_path, n_tasks=3, n_done=1)
        candidate_id, engine = records.candidate(job_id, 0, {}), records.engine()
        self.worked(records, job_id, engine, [(candidate_id, 0, 2.0)])
        records.attempt(records.fold(job_id, candidate_id, 1), engine, None, batch=7)
        records.fold(job_id, candidate_id, 2)
        other = records.job("other", state="running", started_at=at(0))
        task = records.fold(other, records.candidate(other, 0, {}), 0)
        now = START + timedelta(seconds=3)
        job = find_job(records.db.conn, job_id)
        assert time_left(records.db.conn, job, now) == pytest.approx(4.0)
        records.attempt(task, engine, None, batch=8)
        assert time_left(records.db.conn, job, now) == pytest.approx(8.0)

    def test_folds_each_second_are_those_of_the_last_half_minute(self, tmp_path):
        records, job_id = self.running(tmp_path)
        candidate_id, engine = records.candidate(job_id, 0, {}), records.engine()
        self.worked(records, job_id, engine, [(candidate_id, split, 1.0) for split in range(5)])
        job = find_job(records.db.conn, job_id)
        line = progress(records.db.conn, job, START + timedelta(seconds=10))
        assert line.rate == pytest.approx(0.5)
        line = progress(records.db.conn, job, START + timedelta(seconds=100))
        assert line.rate is None

    def test_time_left_without_recent_attempts_is_that_of_the_whole_life(self, tmp_path):
        records, job_id = self.running(tmp_path, n_done=20, n_failed=5)
        job = find_job(records.db.conn, job_id)
        left = time_left(records.db.conn, job, START + timedelta(seconds=50))
        assert left == pytest.approx(75 * 50 / 25)

    def test_no_time_left_is_told_before_anything_is_finished(self, tmp_path):
        records, job_id = self.running(tmp_path)
        job = find_job(records.db.conn, job_id)
        assert time_left(records.db.conn, job, NOW) is None

    def test_a_job_in_json_has_what_is_promised(self, past):
        promised = {
            "id", "name", "state", "tags", "n_candidates", "n_splits", "n_tasks", "n_done",
            "n_failed", "best_score", "best_partial", "best_params", "submitted_at", "started_at",
            "finished_at", "priority", "estimator", "data", "reason", "seconds", "time_left",
        }  # fmt: skip
        fields = as_json(past, find_job(past, 1), NOW)
        assert promised <= fields.keys()
        assert fields["seconds"] == 100
        assert fields["state"] == "completed"


class TestRecords:
    def test_reading_cannot_write(self, tmp_path):
        Fabricated(tmp_path).job()
        with (
            open_records(tmp_path / "foldq.db") as records,
            pytest.raises(Exception, match="readonly"),
        ):
            records.execute("DELETE FROM job")

    def test_a_writer_is_seen_at_once(self, tmp_path):
        writer = Fabricated(tmp_path)
        with open_records(tmp_path / "foldq.db") as records:
            with pytest.raises(NoSuchJob):
                find_job(records, 1)
            writer.job()
            assert find_job(records, 1).name == "digits-svc"

    def test_odd_directories(self, tmp_path):
        place = tmp_path / "a b?c#d%20é"
        Fabricated(place).job()
        with open_records(place / "foldq.db") as records:
            assert find_job(records, 1).id == 1

    def test_a_scheduler_killed_as_it_made_the_records_left_none(self, tmp_path):
        die = (
            "import os, sqlite3, sys\n"
            "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "db.execute('PRAGMA cache_size = 1')\n"
            "db.execute('CREATE TABLE half (made)')\n"
            "db.execute('BEGIN')\n"
            "db.executemany('INSERT INTO half VALUES (?)', [(bytes(5000),)] * 100)\n"
            "os._exit(137)\n"
        )
        subprocess.run([sys.executable, "-c", die, tmp_path / "foldq.db"], check=False)
        assert (tmp_path / "foldq.db-journal").exists()
        with pytest.raises(NoRecords), open_records(tmp_path / "foldq.db"):
            pass

    def test_no_records_yet(self, tmp_path):
        with pytest.raises(NoRecords), open_records(tmp_path / "foldq.db"):
            pass
        (tmp_path / "foldq.db").touch()
        with pytest.raises(NoRecords), open_records(tmp_path / "foldq.db"):
            pass

    @freeze_time(NOW)
    def test_a_running_job_takes_time_until_now(self, tmp_path):
        records = Fabricated(tmp_path)
        job = find_job(records.db.conn, records.job(state="running", started_at=at(0)))
        fields = as_json(records.db.conn, job, datetime.now(UTC))
        assert fields["seconds"] == 10 * DAY
