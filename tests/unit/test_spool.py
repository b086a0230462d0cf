"""The spool: files come in whole, are taken exactly once, and none is lost."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from schemas.settings import Settings
from service import spool
from service.layout import DIRECTORIES
from service.spool import Admitted, AlreadyWaiting, Intake, Refused
from service.writers import nobody_writes

GOOD = b'{"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1, 2]}}}'


def take_all(intake, now=0.0):
    intake.ready(now)
    return [intake.take(name, now + 1.0) for name in intake.ready(now + 1.0)]


def names(directory):
    return sorted(path.name for path in directory.iterdir())


class TestWhatIsTaken:
    def test_a_file_is_taken_once_it_stayed_the_same_for_a_second(self, place, intake):
        file = place / "incoming" / "job.json"
        file.write_bytes(GOOD[:20])
        assert intake.ready(0.0) == []
        assert intake.ready(0.9) == [], "a copy may pause"
        file.write_bytes(GOOD)
        assert intake.ready(1.1) == []
        assert intake.ready(2.0) == []
        assert intake.ready(2.1) == ["job.json"]

    def test_files_are_taken_in_the_order_in_which_they_were_written(self, place, intake):
        for age, name in enumerate(["a.json", "b.json", "c.json"]):
            (place / "incoming" / name).write_bytes(GOOD)
            os.utime(place / "incoming" / name, (1e9 - age, 1e9 - age))
        intake.ready(0.0)
        assert intake.ready(1.0) == ["c.json", "b.json", "a.json"]

    @pytest.mark.parametrize("name", [".job.json", "job.json.tmp", "job.json.part", "job.json~"])
    def test_unfinished_files_are_left_alone(self, place, intake, name):
        (place / "incoming" / name).write_bytes(GOOD)
        assert take_all(intake) == []
        assert names(place / "incoming") == [name]

    def test_a_file_from_the_future_is_taken_like_any_other(self, place, intake):
        file = place / "incoming" / "job.json"
        file.write_bytes(GOOD)
        os.utime(file, (4e9, 4e9))
        assert [type(taken) for taken in take_all(intake)] == [Admitted]

    def test_a_name_that_is_no_text_is_taken_too(self, place, intake, store):
        (place / "incoming" / os.fsdecode(b"j\xffb.json")).write_bytes(GOOD)
        (taken,) = take_all(intake)
        assert isinstance(taken, Admitted)
        assert names(place / "accepted") == ["1-j\ufffdb.json"]

    def test_a_name_of_full_length_still_fits_with_its_number(self, place, intake):
        (place / "incoming" / ("n" * 250 + ".json")).write_bytes(
            GOOD.replace(b"{", b'{"name": "long", ', 1)
        )
        (taken,) = take_all(intake)
        assert isinstance(taken, Admitted)
        (name,) = names(place / "accepted")
        assert len(name) == 255

    def test_a_hard_linked_file_is_refused_after_a_while(self, place, intake):
        (place / "incoming" / "job.json").write_bytes(GOOD)
        os.link(place / "incoming" / "job.json", place / "elsewhere.json")
        intake.ready(0.0)
        assert intake.ready(1.0) == [], "a submission has two links for an instant"
        assert intake.ready(6.0) == ["job.json"]
        refused = intake.take("job.json", 1.0)
        assert isinstance(refused, Refused)
        assert "hard link" in refused.problems[0].message


class TestWhatIsTakenAtTheSecondLook:
    """A file that was finished elsewhere, or is known to be finished, need not settle."""

    @pytest.fixture(autouse=True)
    def _leases(self, tmp_path):
        probe = tmp_path / "probe"
        probe.write_bytes(b"x")
        if not nobody_writes(probe):
            pytest.skip("this file system does not tell who writes")

    def test_a_file_renamed_into_its_place(self, place, intake):
        aside = place / "incoming" / ".job.json"
        aside.write_bytes(GOOD)
        os.utime(aside, (1e9, 1e9))
        assert intake.ready(0.0) == []
        aside.rename(place / "incoming" / "job.json")
        assert intake.ready(0.1) == [], "one look is never enough"
        assert intake.ready(0.11) == [], "nor are two in a moment"
        assert intake.ready(0.15) == ["job.json"]

    def test_a_submitted_file(self, place, intake):
        spool.submit(place, GOOD, "job.json")
        intake.ready(0.0)
        assert intake.ready(0.05) == ["job.json"]

    def test_not_a_file_that_is_still_open_though_it_was_given_rights_in_between(
        self, place, intake
    ):
        path = place / "incoming" / "job.json"
        with path.open("wb") as file:
            file.write(GOOD[:20])
            file.flush()
            place_it(path)
            assert [intake.ready(at / 20) for at in range(19)] == [[]] * 19
            file.write(GOOD[20:])
            file.flush()
            place_it(path)
            assert [intake.ready(1.0 + at / 20) for at in range(19)] == [[]] * 19
        assert intake.ready(1.96) == ["job.json"], "it is closed now"

    def test_not_a_file_that_is_opened_and_written_once_more(self, place, intake):
        path = place / "incoming" / "job.json"
        path.write_bytes(GOOD[:20])
        place_it(path)
        intake.ready(0.0)
        path.write_bytes(GOOD)
        assert [intake.ready(0.1 + at / 20) for at in range(20)] == [[]] * 20
        assert intake.ready(1.1) == ["job.json"]

    def test_not_before_rights_and_name_stay_the_same_too(self, place, intake):
        path = place / "incoming" / "job.json"
        path.write_bytes(GOOD)
        for at in (0.0, 0.1, 0.2):
            place_it(path)
            assert intake.ready(at) == []
        assert intake.ready(0.3) == ["job.json"]

    def test_not_an_empty_file(self, place, intake):
        (place / "incoming" / "job.json").touch()
        place_it(place / "incoming" / "job.json")
        intake.ready(0.0)
        assert intake.ready(0.9) == [], "its content may still come"
        assert intake.ready(1.0) == ["job.json"]

    def test_not_where_nobody_can_tell_who_writes(self, place, intake, monkeypatch):
        monkeypatch.setattr("service.spool.nobody_writes", lambda path: False)
        spool.submit(place, GOOD, "job.json")
        intake.ready(0.0)
        assert intake.ready(0.9) == []
        assert intake.ready(1.0) == ["job.json"]


def place_it(path):
    """Change what chmod, chown, rename or touch change, later than the last write for certain."""
    at = path.stat().st_mtime_ns - 10**9
    os.utime(path, ns=(at, at))


class TestWhenToLook:
    def test_a_look_is_due_when_something_came_and_else_by_and_by(self, place, intake):
        assert intake.is_due(0.0)
        intake.ready(0.0)
        assert not intake.is_due(0.1)
        assert intake.is_due(0.2)
        intake.ready(0.2)
        os.utime(place / "incoming", (1e9, 1e9))  # an earlier scan, by the coarsest of clocks
        intake.ready(0.2)
        (place / "incoming" / "job.json").write_bytes(GOOD)
        assert intake.is_due(0.21)

    def test_the_second_look_at_a_file_in_its_place_is_soon(self, place, intake):
        spool.submit(place, GOOD, "job.json")
        intake.ready(0.0)
        assert not intake.is_due(0.01)
        assert intake.is_due(0.03)


class TestAdmission:
    def test_the_job_is_recorded_with_its_bytes_and_the_file_moves(self, place, intake, store):
        (place / "incoming" / "job.json").write_bytes(GOOD)
        (taken,) = take_all(intake)
        assert taken.admission.is_new
        row = store.connection.execute("SELECT name, file_bytes, state FROM job").fetchone()
        assert row == ("job", GOOD, "queued")
        assert names(place / "incoming") == []
        assert names(place / "accepted") == ["1-job.json"]
        assert (place / "accepted" / "1-job.json").read_bytes() == GOOD

    def test_a_crash_between_commit_and_move_only_leaves_the_move_to_do(
        self, place, intake, store, monkeypatch
    ):
        (place / "incoming" / "job.json").write_bytes(GOOD)

        def crash(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.rename", crash)
            with pytest.raises(KeyboardInterrupt):
                take_all(intake)
        assert names(place / "incoming") == ["job.json"]
        again = Intake(Settings.load(place), store)
        (taken,) = take_all(again)
        assert (taken.admission.job_id, taken.admission.is_new) == (1, False)
        assert store.connection.execute("SELECT count(*) FROM job").fetchone() == (1,)
        assert names(place / "accepted") == ["1-job.json"]

    def test_the_same_content_under_another_name_is_a_new_job_that_knows_its_twin(
        self, place, intake, store
    ):
        for name in ("one.json", "two.json"):
            (place / "incoming" / name).write_bytes(GOOD)
            (taken,) = take_all(intake)
        assert (taken.admission.job_id, taken.admission.same_content_as) == (2, 1)

    def test_seeds_that_are_missing_are_drawn_and_recorded(self, place, intake, store):
        job = json.loads(GOOD)
        job["search"] = {"strategy": "random", "space": {"C": {"$uniform": [0, 1]}}}
        job["cv"] = {"$type": "ShuffleSplit", "n_splits": 3}
        (place / "incoming" / "job.json").write_text(json.dumps(job))
        take_all(intake)
        (spec,) = store.connection.execute("SELECT spec FROM job").fetchone()
        spec = json.loads(spec)
        assert isinstance(spec["search"]["seed"], int)
        assert isinstance(spec["cv"]["random_state"], int)


class TestRefusal:
    def test_the_reasons_are_written_before_the_file_moves(self, place, intake, monkeypatch):
        (place / "incoming" / "bad.json").write_bytes(b"{}")

        def crash(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.rename", crash)
            with pytest.raises(KeyboardInterrupt):
                take_all(intake)
        assert names(place / "rejected") == ["bad.json.error.json"]
        assert isinstance(intake.take("bad.json", 1.0), Refused)
        assert names(place / "rejected") == ["bad.json", "bad.json.error.json"]

    def test_two_refused_files_of_one_name_are_both_kept(self, place, intake):
        for content in (b"{}", b"[]"):
            (place / "incoming" / "bad.json").write_bytes(content)
            take_all(intake)
        rejected = place / "rejected"
        assert names(rejected) == [
            "bad-2.json", "bad-2.json.error.json", "bad.json", "bad.json.error.json",
        ]  # fmt: skip
        assert (rejected / "bad.json").read_bytes() == b"{}"
        assert (rejected / "bad-2.json").read_bytes() == b"[]"

    def test_a_check_that_itself_breaks_refuses_the_file_and_nothing_else(
        self, place, intake, monkeypatch
    ):
        def broken(*_):
            raise ZeroDivisionError("a defect")

        monkeypatch.setattr("service.jobfile.examine", broken)
        (place / "incoming" / "job.json").write_bytes(GOOD)
        (taken,) = take_all(intake)
        assert "ZeroDivisionError" in taken.problems[0].message

    def test_files_are_for_their_owner_only(self, place, intake):
        (place / "incoming" / "bad.json").write_bytes(b"{}")
        take_all(intake)
        report = place / "rejected" / "bad.json.error.json"
        assert stat.S_IMODE(report.stat().st_mode) == 0o600
        for name in DIRECTORIES:
            assert stat.S_IMODE((place / name).stat().st_mode) == 0o700


class TestSubmit:
    def test_a_waiting_file_is_never_overwritten(self, place):
        spool.submit(place, GOOD, "job.json")
        assert spool.submit(place, GOOD, "job.json") == place / "incoming" / "job.json"
        with pytest.raises(AlreadyWaiting):
            spool.submit(place, b"{}", "job.json")
        assert names(place / "incoming") == ["job.json"]
        assert (place / "incoming" / "job.json").read_bytes() == GOOD

    def test_of_many_writers_of_one_name_one_wins_and_the_others_are_told(self, place):
        def hand_in(n):
            try:
                spool.submit(place, b"%d" % n, "job.json")
            except AlreadyWaiting:
                return "told"
            return n

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(hand_in, range(40)))
        winners = [outcome for outcome in outcomes if outcome != "told"]
        assert len(winners) == 1
        assert (place / "incoming" / "job.json").read_bytes() == b"%d" % winners[0]

    def test_submissions_of_several_writers_all_become_jobs(self, place, intake, store):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: spool.submit(place, GOOD, f"job-{n}.json"), range(40)))
        taken = take_all(intake)
        assert len(taken) == 40
        assert {t.admission.job_id for t in taken} == set(range(1, 41))
        assert names(place / "incoming") == []


def test_the_moment_of_admission_is_utc(place, intake, store):
    before = datetime.now(UTC)
    (place / "incoming" / "job.json").write_bytes(GOOD)
    take_all(intake)
    (at,) = store.connection.execute("SELECT submitted_at FROM job").fetchone()
    assert at.endswith("Z")
    assert before.replace(microsecond=0) <= datetime.fromisoformat(at) <= datetime.now(UTC)
