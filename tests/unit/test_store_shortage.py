"""No room for the records: what was to be written waits, whole, and is written once there is."""

import resource
import sqlite3
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from schemas.job import JobSpec
from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.task import EngineReport, FoldResult
from service import database
from service.recordfaults import RecordsDamaged, RecordsUnusable, StoppedWaiting, damage_named
from service.stimuli import Batch, Dispatch, EndTask, MoveJob, Task
from service.store import PlannedCandidate, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
SPEC = JobSpec.model_validate(
    {
        "name": "job",
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"space": {"C": [1, 2]}},
    }
)
SENT = Dispatch(
    Batch(1, 1, 1, TaskKind.FOLD, ((1, Task(2, TaskKind.FOLD)), (2, Task(3, TaskKind.FOLD))), 0.5)
)
DONE = EndTask(
    1, 2, 1, TaskKind.FOLD, TaskState.DONE, Outcome.OK, n_attempts=1,
    result=FoldResult(2, 1, {"score": 0.5}, {}, 0.25, 0.125),
)  # fmt: skip
FAILED = EndTask(
    1, 3, 2, TaskKind.FOLD, TaskState.FAILED, Outcome.ERROR, FailureReason.ERROR, 1, error="why"
)

#: Everything that the scheduler writes, in an order in which it may.
WRITES = {
    "admit": lambda store: store.admit(
        SPEC, name="job.json", data=b"{}", digest="d", estimator="SVC", now=NOW, warnings=["odd"]
    ),
    "plan": lambda store: store.plan(
        1, [PlannedCandidate({"C": c}, content_key=str(c)) for c in (1, 2)], 2, NOW
    ),
    "expect_tasks": lambda store: store.expect_tasks(1, 100),
    "engine_joined": lambda store: store.engine_joined(
        "local", 0, "identity", EngineReport("host", 1, {}), NOW
    ),
    "dispatch": lambda store: store.record([SENT], NOW),
    "results": lambda store: store.record([DONE, FAILED], NOW),
    "choose_best": lambda store: store.choose_best(1, 0, 0.5, {"C": 1}, refit=True),
    "note": lambda store: store.note("warning", "a word", NOW, job_id=1),
    "move": lambda store: store.record([MoveJob(1, JobState.FAILED, "why")], NOW),
    "retry": lambda store: store.retry(1, NOW),
    "dispatch again": lambda store: store.record(
        [Dispatch(Batch(2, 1, 1, TaskKind.FOLD, ((3, Task(4, TaskKind.FOLD)),), 0.5))], NOW
    ),
    "recover": lambda store: store.recover(NOW),
}


def everything(store):
    rows = {}
    for table in ("job", "candidate", "task", "attempt", "engine", "event"):
        rows[table] = store.connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
    return rows


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "foldq.db")
    yield store
    store.close()


@contextmanager
def file_size_limit(size):
    """Let no file be written beyond a size: a full disk that can be had anywhere."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Waiting:
    """Counts the tries, and makes room after some of them."""

    def __init__(self, make_room, after=3):
        self.told = []
        self._make_room, self._after = make_room, after

    def __call__(self, because):
        self.told.append(because)
        if len(self.told) == self._after:
            self._make_room()


@pytest.mark.parametrize("n_pages", [0, 1, 2])
def test_whatever_is_written_waits_for_room_and_is_then_there_once(tmp_path, n_pages):
    """The disk is full at the first, second or third page that the transaction writes."""
    undisturbed, disturbed = Store(tmp_path / "1.db"), Store(tmp_path / "2.db")
    for name, write in WRITES.items():
        expected = write(undisturbed)
        before = everything(disturbed)
        size = (tmp_path / "2.db-wal").stat().st_size
        seen = []
        with file_size_limit(size + n_pages * 4120) as make_room:

            def make_room_and_look(make_room=make_room, seen=seen):
                seen.append(everything(disturbed))
                make_room()

            disturbed.wait = waiting = Waiting(make_room_and_look)
            assert write(disturbed) == expected, name
        if waiting.told:  # else the transaction was smaller
            assert len(waiting.told) == 4, name
            assert all("2.db) cannot be written" in told for told in waiting.told[:3])
            assert waiting.told[3] is None, "it is told that it is over"
            assert seen == [before], "nothing of it was visible while there was no room"
        assert everything(disturbed) == everything(undisturbed), name
        if n_pages == 0:
            assert waiting.told, name
    assert disturbed.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    undisturbed.close()
    disturbed.close()


def test_a_database_that_may_not_grow_waits_likewise(store):
    WRITES["admit"](store)
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count={pages}")
    unlimited = "PRAGMA max_page_count=1000000000"
    store.wait = waiting = Waiting(lambda: store.connection.execute(unlimited))
    candidates = [PlannedCandidate({"C": c}) for c in range(1000)]
    assert store.plan(1, candidates, 5, NOW) == 5000
    assert "database or disk is full" in waiting.told[0]
    assert "Make room" in waiting.told[0]
    assert store.n_pending_folds(1) == 5000


def test_the_end_of_the_wait_leaves_the_records_as_they_were(store):
    WRITES["admit"](store)
    before = everything(store)
    with file_size_limit((store.path.with_name("foldq.db-wal")).stat().st_size):

        def stop():
            raise StoppedWaiting("the disk is full")

        store.wait = Waiting(stop, after=1)
        with pytest.raises(StoppedWaiting):
            WRITES["plan"](store)
    assert everything(store) == before
    store.wait = None
    assert WRITES["plan"](store) == 4


def test_another_programs_lock_is_waited_for(store, monkeypatch):
    store.connection.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.wait = waiting = Waiting(lambda: other.execute("COMMIT"))
    WRITES["admit"](store)
    assert "another program holds them" in waiting.told[0].lower()
    other.close()


def test_without_anybody_to_wait_the_error_is_raised(store):
    with (
        file_size_limit(0),
        pytest.raises(sqlite3.OperationalError),
    ):
        WRITES["admit"](store)
    assert not store.connection.in_transaction


def test_what_is_wrong_in_itself_is_not_tried_again(store):
    store.wait = Waiting(lambda: None)
    with pytest.raises(sqlite3.IntegrityError):
        store.record([SENT], NOW)
    assert not store.connection.in_transaction
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.read(lambda records: records.execute("SELECT * FROM jobs"))
    assert store.wait.told == []


class TestOpening:
    def test_a_file_that_is_no_database_is_named(self, tmp_path):
        (tmp_path / "foldq.db").write_bytes(b"not a database at all, but long enough" * 30)
        with pytest.raises(RecordsDamaged, match=r"foldq\.db\) are damaged: file is no"):
            Store(tmp_path / "foldq.db")

    def test_damage_that_is_met_later_is_named_too(self, tmp_path):
        store = Store(tmp_path / "foldq.db")
        WRITES["admit"](store)
        store.plan(1, [PlannedCandidate({"C": c}) for c in range(1000)], 5, NOW)
        store.close()
        with (tmp_path / "foldq.db").open("r+b") as file:
            for page in range(40, 80):
                file.seek(page * 4096)
                file.write(b"\xff" * 4096)
        store = Store(tmp_path / "foldq.db")
        store.wait = Waiting(lambda: None)
        with pytest.raises(RecordsDamaged) as damaged, damage_named(store.path):
            store.load_folds(1, 0, 10_000)
        assert "foldq backup" in damaged.value.next_step
        assert store.wait.told == []
        store.close()

    def test_a_place_that_does_not_exist_is_named(self, tmp_path):
        with pytest.raises(RecordsUnusable, match="unable to open database file"):
            Store(tmp_path / "nowhere" / "foldq.db")

    def test_no_room_for_the_tables_leaves_nothing_half_made(self, tmp_path):
        for n_pages in (1, 2, 5, 10, 20):
            with file_size_limit(n_pages * 4120), pytest.raises(RecordsUnusable):
                Store(tmp_path / "foldq.db")
        store = Store(tmp_path / "foldq.db")
        WRITES["admit"](store)
        store.close()

    def test_a_database_locked_by_another_program_is_told(self, tmp_path, monkeypatch):
        Store(tmp_path / "foldq.db").close()
        monkeypatch.setattr(database, "_BUSY", 0.001)
        other = sqlite3.connect(tmp_path / "foldq.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsUnusable) as unusable:
            Store(tmp_path / "foldq.db")
        assert "another program holds them" in unusable.value.next_step.lower()
        other.close()


def test_the_write_ahead_log_stays_small_though_there_is_always_a_reader(tmp_path, monkeypatch):
    """Readers overlap, so that SQLite by itself finds no moment to begin the log anew."""
    monkeypatch.setattr(database, "_WAL_FOLDED", 2**20)
    monkeypatch.setattr(database, "_WAL_PRESSING", 2 * 2**20)
    monkeypatch.setattr(database, "_FOLD_RETRY", 0.0)
    store = Store(tmp_path / "foldq.db")
    WRITES["admit"](store)
    over = threading.Event()
    barrier = threading.Barrier(2)

    def read():
        """Two readers hand over to each other: one begins before the other ends."""
        records = sqlite3.connect(tmp_path / "foldq.db", isolation_level=None, timeout=60)
        while not over.is_set():
            records.execute("BEGIN")
            records.execute("SELECT count(*) FROM job").fetchone()
            try:
                barrier.wait(timeout=60)
            except threading.BrokenBarrierError:
                break
            over.wait(0.02)
            records.execute("COMMIT")
        records.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        largest = 0
        for _ in range(60):
            store.plan(1, [PlannedCandidate({"pad": "x" * 500}) for _ in range(200)], 3, NOW)
            store.fold_in()
            largest = max(largest, (tmp_path / "foldq.db-wal").stat().st_size)
    finally:
        over.set()
        barrier.abort()
        for reader in readers:
            reader.join()
    assert (tmp_path / "foldq.db").stat().st_size > 8 * 2**20, "much was written"
    assert largest < 4 * 2**20
    store.close()
