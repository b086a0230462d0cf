"""The disk says no: files and requests stay, are carried out once, and nothing is lost.

Directories are replaced by files rather than closed to the user: that stops root as well.
"""

import errno
import logging
import os
import resource
from contextlib import contextmanager

import pytest

from schemas.operating import LogSettings
from service import control, spool
from service.layout import SpoolUnusable, check_writable
from service.logs import start_logging
from service.spool import Admitted, Refused

GOOD = b'{"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1, 2]}}}'


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@contextmanager
def out_of_order(directory):
    """A file in the place of a directory, whose content comes back at the end."""
    aside = directory.with_name(f"{directory.name}-aside")
    directory.rename(aside)
    directory.write_text("a file")
    yield
    directory.unlink()
    aside.rename(directory)


@contextmanager
def no_descriptors():
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestIntake:
    def test_a_job_whose_file_cannot_be_moved_is_admitted_once_and_its_file_moved_later(
        self, place, intake, store
    ):
        (place / "incoming" / "job.json").write_bytes(GOOD)
        intake.ready(0.0)
        with out_of_order(place / "accepted"):
            assert intake.ready(1.0) == ["job.json"]
            taken = intake.take("job.json", 1.0)
            assert isinstance(taken, Admitted)
            assert (taken.admission.job_id, taken.admission.is_new) == (1, True)
            assert taken.stays is not None
            assert intake.ready(1.2) == [], "tried again at a calmer pace"
            assert intake.ready(7.0) == ["job.json"]
            again = intake.take("job.json", 7.0)
            assert (again.admission.job_id, again.admission.is_new) == (1, False)
            assert not again.is_first, "it is not another submission"
            assert not intake.has_waiting, "nothing of it is still to be done but the move"
        assert intake.ready(13.0) == ["job.json"]
        assert intake.take("job.json", 13.0).stays is None
        assert names(place / "accepted") == ["1-job.json"]
        assert names(place / "incoming") == []
        assert store.unfinished_jobs() == [1]

    def test_the_same_file_dropped_again_later_is_another_submission(self, place, intake):
        with out_of_order(place / "accepted"):
            (place / "incoming" / "job.json").write_bytes(GOOD)
            intake.ready(0.0)
            intake.take("job.json", 1.0)
        intake.take("job.json", 7.0)
        intake.ready(8.0)
        (place / "incoming" / "job.json").write_bytes(GOOD)
        intake.ready(9.0)
        (name,) = intake.ready(10.0)
        assert intake.take(name, 10.0).is_first

    def test_a_refusal_that_cannot_be_written_takes_place_later(self, place, intake):
        (place / "incoming" / "bad.json").write_bytes(b"{}")
        intake.ready(0.0)
        with out_of_order(place / "rejected"), pytest.raises(NotADirectoryError):
            intake.take("bad.json", 1.0)
        assert names(place / "incoming") == ["bad.json"]
        assert isinstance(intake.take("bad.json", 7.0), Refused)
        assert names(place / "rejected") == ["bad.json", "bad.json.error.json"]

    def test_nobody_reads_of_a_refusal_that_did_not_take_place(self, place, intake, monkeypatch):
        (place / "incoming" / "bad.json").write_bytes(b"{}")
        intake.ready(0.0)

        def refuse(*_):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.rename", refuse)
            with pytest.raises(OSError, match="Read-only"):
                intake.take("bad.json", 1.0)
        assert names(place / "rejected") == []

    def test_without_descriptors_every_file_stays_and_none_is_refused(self, place, intake):
        (place / "incoming" / "job.json").write_bytes(GOOD)
        intake.ready(0.0)
        with no_descriptors():
            with pytest.raises(OSError, match="Too many open files"):
                intake.ready(1.0)
            with pytest.raises(OSError, match="Too many open files"):
                intake.take("job.json", 1.0)
        assert names(place / "incoming") == ["job.json"]
        assert intake.ready(7.0) == ["job.json"]
        assert isinstance(intake.take("job.json", 7.0), Admitted)

    def test_a_directory_that_was_taken_away_is_made_again(self, place, intake):
        (place / "incoming").rmdir()
        with pytest.raises(FileNotFoundError):
            intake.ready(0.0)
        (place / "incoming" / "job.json").write_bytes(GOOD)
        (place / "accepted").rmdir()
        intake.ready(1.0)
        assert intake.take("job.json", 2.0).stays is not None
        assert intake.take("job.json", 8.0).stays is None
        assert names(place / "accepted") == ["1-job.json"]

    def test_a_file_that_cannot_be_handed_in_leaves_nothing_behind(self, place):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                spool.submit(place, GOOD, "job.json")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert names(place / "incoming") == []


class TestRequests:
    def test_a_request_is_given_out_once_and_removed_when_it_is_on_record(self, place):
        desk = control.Desk(place)
        control.request(place, "cancel", 7)
        (asked,) = desk.take()
        assert (asked.action, asked.job_id) == ("cancel", 7)
        assert len(names(place / "control")) == 1, "a crash here repeats it"
        assert desk.take() == []
        desk.clear()
        assert names(place / "control") == []

    def test_one_that_cannot_be_removed_is_carried_out_once(self, place, monkeypatch):
        desk = control.Desk(place)
        control.request(place, "retry", 7)
        assert len(desk.take()) == 1

        def refuse(*_, **__):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.unlink", refuse)
            for _ in range(3):
                with pytest.raises(OSError, match="Read-only"):
                    desk.clear()
                assert desk.take() == []
        desk.clear()
        assert names(place / "control") == []

    def test_one_that_cannot_be_read_for_want_of_descriptors_is_kept(self, place):
        desk = control.Desk(place)
        control.request(place, "pause", 7)
        with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
            desk.take()
        with monkeypatched_open() as refuse:
            assert desk.take() == []
            assert desk.unread is refuse
        desk.clear()
        assert [asked.action for asked in desk.take()] == ["pause"]
        assert desk.unread is None

    @pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"action": "dance", "job": 1}'])
    def test_what_is_no_request_is_removed_and_told_once(self, place, content, caplog):
        desk = control.Desk(place)
        (place / "control" / "odd.json").write_bytes(content)
        assert desk.take() == desk.take() == []
        assert caplog.text.count("is not a request") == 1
        desk.clear()
        assert names(place / "control") == []

    def test_a_directory_among_the_requests_is_told_and_harms_nobody(self, place, caplog):
        desk = control.Desk(place)
        (place / "control" / "odd.json").mkdir()
        control.request(place, "pause", 7)
        assert len(desk.take()) == 1
        with pytest.raises(OSError, match=r"odd\.json"):
            desk.clear()
        assert desk.take() == []
        assert names(place / "control") == ["odd.json"]
        assert caplog.text.count("is not a request") == 1


@contextmanager
def monkeypatched_open():
    """Let `os.open` find no descriptor."""
    refusal = OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def refuse(*_, **__):
        raise refusal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.control.os.open", refuse)
        yield refusal


class TestTheLog:
    @pytest.fixture(autouse=True)
    def _leave_logging_alone(self, monkeypatch):
        logger = logging.getLogger("foldq")
        monkeypatch.setattr(logger, "handlers", list(logger.handlers))
        monkeypatch.setattr(logger, "propagate", logger.propagate)
        level = logger.level
        monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
        yield
        for handler in logger.handlers:
            handler.close()
        logger.setLevel(level)

    def test_a_log_that_cannot_be_written_is_no_traceback_and_goes_on_later(self, place, capfd):
        log = logging.getLogger("foldq")
        with out_of_order(place / "logs"):
            start_logging(place / "logs")
            log.info("first")
        log.info("second")
        file = place / "logs" / "foldq.log"
        assert file.read_text().endswith("foldq: second\n")
        assert file.stat().st_mode & 0o777 == 0o600
        told = capfd.readouterr().err
        assert "first" in told
        assert "Traceback" not in told

    def test_a_log_that_cannot_be_rotated_goes_on(self, place, monkeypatch, capfd):
        start_logging(place / "logs", LogSettings.model_construct(size=500))
        log = logging.getLogger("foldq")

        def refuse(*_):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        for _ in range(10):
            log.info("x" * 40)
        with monkeypatch.context() as patch:
            patch.setattr("os.rename", refuse)
            for number in range(10):
                log.info("number %d", number)
        assert "number 9" in (place / "logs" / "foldq.log").read_text()
        log.info("after")
        assert "number 9" in (place / "logs" / "foldq.log.1").read_text()
        assert "after" in (place / "logs" / "foldq.log").read_text()
        assert "Traceback" not in capfd.readouterr().err


class TestTheStart:
    @pytest.mark.parametrize("name", ["incoming", "results", "cache"])
    def test_a_directory_without_the_right_to_write_is_named(self, place, name, monkeypatch):
        """As root every directory may be written: the system's answer is given for it."""
        check_writable(place)
        really = os.access

        def access(path, mode, **how):
            return path != place / name and really(path, mode, **how)

        monkeypatch.setattr("os.access", access)
        with pytest.raises(SpoolUnusable, match=f"{name}: permission denied") as unusable:
            check_writable(place)
        assert "name another spool" in unusable.value.next_step

    def test_a_request_tells_the_one_who_asks_when_there_is_no_room_for_it(self, place):
        with out_of_order(place / "control"), pytest.raises(NotADirectoryError):
            control.request(place, "cancel", 1)
        assert names(place / "control") == []
