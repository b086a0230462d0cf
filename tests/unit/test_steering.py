"""What people set while searches run: limits of tags, priorities, the hold of the whole queue."""

import json
from datetime import UTC, datetime

import pytest
from core_driver import Driver, batches, report

from schemas.job import JobSpec
from schemas.sections import TagSettings
from schemas.steering import InvalidChange, JobChanges, TagChanges
from service import control
from service.layout import make_directories
from service.records import NoSuchJob, find_job
from service.steering import Steering, held_since, tag_limits
from service.stimuli import (
    CancelRequested,
    EngineJoined,
    JobSet,
    PauseRequested,
    QueueHeld,
    ResumeRequested,
    TagsLimited,
)
from service.store import Store
from service.tags import TagLimit

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def driver(n_engines: int, **limits: TagLimit) -> Driver:
    made = Driver()
    for engine_id in range(1, n_engines + 1):
        made.tell(EngineJoined(engine_id))
    made.tell(TagsLimited(limits))
    return made


def engines_of(orders, *job_ids: int) -> set[int]:
    return {batch.engine_id for batch in batches(orders) if batch.job_id in job_ids}


class TestTags:
    def test_jobs_of_a_tag_share_its_engines(self):
        d = driver(4, lab=TagLimit(max_engines=2))
        d.search(1, 50, tags=("lab",))
        d.search(3, 50)
        with pytest.raises(StopIteration):  # the tag's two engines are at work
            d.search(2, 5, tags=("lab", "other"))
        for batch in [b for b in batches(d.orders) if b.job_id == 1][1:]:
            d.tell(report(batch))
            at_work = {
                flight.batch.engine_id
                for job_id in (1, 2)
                for flight in d.core.engines.of_job(job_id)
            }
            assert len(at_work) <= 2
        assert engines_of(d.orders, 2)

    def test_only_so_many_jobs_of_a_tag_are_at_work_the_others_wait(self):
        d = driver(4, lab=TagLimit(max_jobs=1))
        d.search(1, 50, tags=("lab",))
        with pytest.raises(StopIteration):  # its preparation is not sent
            d.search(2, 5, tags=("lab",))
        assert not engines_of(d.orders, 2)
        d.tell(CancelRequested(1))
        for batch in batches(d.orders)[1:]:
            d.tell(report(batch))
        assert engines_of(d.orders, 2)

    def test_a_paused_job_leaves_its_place_to_another(self):
        d = driver(2, lab=TagLimit(max_jobs=1))
        d.search(1, 50, tags=("lab",))
        with pytest.raises(StopIteration):
            d.search(2, 5, tags=("lab",))
        d.tell(PauseRequested(1))
        for batch in batches(d.orders)[1:]:
            d.tell(report(batch))
        assert engines_of(d.orders, 2)
        orders = d.tell(ResumeRequested(1))
        assert not engines_of(orders, 1), "the other one has begun"

    def test_a_lowered_limit_is_kept_as_soon_as_batches_are_back(self):
        d = driver(4)
        d.search(1, 400, tags=("lab",))
        assert len(engines_of(d.orders, 1)) == 4
        d.tell(TagsLimited({"lab": TagLimit(max_engines=1)}))
        waiting = [b for b in batches(d.orders) if b.kind == "fold"]
        for _ in range(12):
            sent = [b for batch in waiting for b in batches(d.tell(report(batch)))]
            waiting = sent
        assert len(engines_of(d.orders[-1:], 1) | {b.engine_id for b in waiting}) == 1

    def test_a_lifted_limit_lets_engines_go_to_work_at_once(self):
        d = driver(4, lab=TagLimit(max_engines=1))
        d.search(1, 50, tags=("lab",))
        orders = d.tell(TagsLimited({}))
        assert len(engines_of(orders, 1)) == 3

    def test_a_job_gets_the_limits_of_the_tags_it_is_given(self):
        d = driver(4, lab=TagLimit(max_engines=1))
        d.search(1, 400)
        d.tell(JobSet(1, 0, None, ("lab",)))
        waiting = [b for b in batches(d.orders) if b.kind == "fold"]
        for _ in range(12):
            waiting = [b for batch in waiting for b in batches(d.tell(report(batch)))]
        assert len({b.engine_id for b in waiting}) == 1


class TestOneJob:
    def test_a_priority_counts_from_the_next_batch_on(self):
        d = driver(1)
        d.search(1, 100)
        first = [b for b in batches(d.orders) if b.kind == "fold"]
        with pytest.raises(StopIteration):  # the engine is taken
            d.search(2, 5)
        d.tell(JobSet(2, 5, None, ()))
        sent = [b for batch in first for b in batches(d.tell(report(batch)))]
        assert sent[0].job_id == 2

    def test_a_lowered_cap_of_engines_is_kept_as_soon_as_batches_are_back(self):
        d = driver(4)
        d.search(1, 400)
        d.tell(JobSet(1, 0, 2, ()))
        waiting = [b for b in batches(d.orders) if b.kind == "fold"]
        for _ in range(12):
            waiting = [b for batch in waiting for b in batches(d.tell(report(batch)))]
        assert len({b.engine_id for b in waiting}) == 2


class TestHold:
    def test_nothing_is_sent_while_the_queue_is_held(self):
        d = driver(2)
        d.search(1, 100)
        d.tell(QueueHeld(True))
        assert not d.core.is_idle
        for batch in batches(d.orders)[1:]:
            assert not batches(d.tell(report(batch)))
        assert d.core.is_idle
        assert engines_of(d.tell(QueueHeld(False)), 1) == {1, 2}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "foldq.db")
    yield made
    made.close()


def admit(store: Store, **fields) -> int:
    spec = JobSpec.model_validate(
        {
            "name": "job", "data": {"loader": "iris"}, "estimator": "SVC",
            "search": {"space": {"C": [1]}}, **fields,
        }
    )  # fmt: skip
    return store.admit(
        spec, name="job.json", data=b"{}", digest="0", estimator="SVC", now=NOW
    ).job_id


class TestRecords:
    def test_what_is_set_of_a_job_stands_in_the_records_the_rest_stays(self, store):
        job_id = admit(store, priority=3, tags=["lab"])
        steering = Steering(store, {})
        changed = steering.set_job(job_id, JobChanges.read({"max_engines": 2}), NOW)
        assert changed == JobSet(job_id, 3, 2, ("lab",))
        job = find_job(store.connection, job_id)
        assert (job.priority, job.max_engines, job.tags) == (3, 2, ("lab",))
        (event,) = store.connection.execute("SELECT message FROM event WHERE kind = 'job set'")
        assert event[0] == "max_engines = 2"
        with pytest.raises(NoSuchJob):
            steering.set_job(99, JobChanges.read({"priority": 1}), NOW)

    def test_limits_of_tags_go_before_the_settings_and_stay(self, store):
        defaults = {"gpu": TagSettings(max_jobs=1), "lab": TagSettings(max_engines=3)}
        steering = Steering(store, defaults)
        steering.limit("gpu", TagChanges.read({"max_engines": 2}), NOW)
        steering.limit("lab", TagChanges.read({"max_engines": None}), NOW)
        assert Steering(store, defaults).limits() == {"gpu": TagLimit(1, 2)}
        assert tag_limits(store.connection, {}) == {"gpu": TagLimit(1, 2)}

    def test_the_hold_of_the_queue_is_on_record_once(self, store):
        steering = Steering(store, {})
        for held in (True, True):
            steering.hold(held, NOW)
        assert held_since(store.connection) == "2026-01-01T00:00:00.000Z"
        assert steering.is_held()
        steering.hold(False, NOW)
        assert not Steering(store, {}).is_held()
        kinds = [row[0] for row in store.connection.execute("SELECT kind FROM event")]
        assert kinds == ["queue paused", "queue resumed"]


class TestRequests:
    def test_they_come_as_they_were_made(self, tmp_path):
        make_directories(tmp_path)
        control.request_set(tmp_path, 7, JobChanges.read({"priority": 5}))
        control.request_limit(tmp_path, "gpu", TagChanges.read({"max_jobs": None}))
        control.request_hold(tmp_path, held=True)
        given, limited, held = control.Desk(tmp_path).take()
        assert (given.job_id, given.changes.given) == (7, {"priority": 5})
        assert (limited.tag, limited.changes.given) == ("gpu", {"max_jobs": None})
        assert held.held

    @pytest.mark.parametrize(
        "asked",
        [
            {"action": "set", "job": 1, "changes": {"state": "completed"}},
            {"action": "set", "job": 1, "changes": {}},
            {"action": "set", "job": True, "changes": {"priority": 1}},
            {"action": "set", "job": 1, "changes": {"priority": "1; DROP TABLE job"}},
            {"action": "limit", "tag": 1, "changes": {"max_jobs": 1}},
            {"action": "limit", "tag": "a", "changes": {"max_jobs": 0}},
            {"action": "limit", "tag": "a", "changes": ["max_jobs"]},
        ],
    )
    def test_what_is_none_is_removed(self, tmp_path, asked):
        make_directories(tmp_path)
        (tmp_path / "control" / "1.json").write_text(json.dumps(asked))
        desk = control.Desk(tmp_path)
        assert desk.take() == []
        desk.clear()
        assert not list((tmp_path / "control").iterdir())

    def test_what_cannot_be_set_is_told_with_its_key(self):
        with pytest.raises(InvalidChange, match="priorty") as refused:
            JobChanges.read({"priorty": 1})
        assert "priority" in str(refused.value)
