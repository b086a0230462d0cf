"""A job as a notebook sees it, from made-up records: tables, looks, waiting, and what it is not."""

import hashlib
import math
import os
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import tqdm
from fabricated import Fabricated

import foldq
from service import lock
from service.notebook.models import load_model
from service.notebook.waiting import bar


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDQ_SPOOL", str(tmp_path / "spool"))
    return Fabricated(tmp_path / "spool")


def running(records, **row):
    """Two candidates of three folds, of which three are finished."""
    job_id = records.job(
        "run", state="running", n_splits=3, n_candidates=2, n_tasks=6, n_done=3, **row
    )
    first = records.candidate(job_id, 0, {"C": 1, "kernel": {"$type": "RBF"}})
    second = records.candidate(job_id, 1, {"C": {"$tuple": [1, 2]}})
    for candidate, split, score in ((first, 0, 0.5), (second, 0, 0.75), (second, 2, 0.25)):
        records.fold(job_id, candidate, split, {"score": score})
    for candidate, split in ((first, 1), (first, 2), (second, 1)):
        records.fold(job_id, candidate, split)
    return foldq.job(job_id)


def failed(records):
    job_id = records.job("bad", state="failed", reason="All the 2 fits failed.", n_splits=2,
                         n_candidates=1, n_tasks=2, n_failed=2)  # fmt: skip
    candidate = records.candidate(job_id, 0, {"C": 1})
    for split in (0, 1):
        records.fold(job_id, candidate, split, error="Traceback …\nValueError: no")
    return foldq.job(job_id)


def contents(directory):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))  # SQLite's own
    }


# --- tables --------------------------------------------------------------------------------------


def test_the_table_is_partial_while_the_search_runs(records):
    job = running(records)
    table = job.results()
    assert table["n_splits_done"].tolist() == [1, 2]
    assert table["mean_test_score"].tolist() == [0.5, 0.5]
    assert math.isnan(table["split1_test_score"][0])
    assert table["params"][1] == {"C": (1, 2)}
    assert table.index.name == "candidate"
    assert job.results(top=1).index.tolist() == [1], "more of its folds are finished"
    assert type(job.cv_results_["param_kernel"][0]).__name__ == "RBF"
    with pytest.raises(foldq.NotFinished, match=r"\(running\) has no best_score_ yet"):
        _ = job.best_score_
    assert not hasattr(job, "best_estimator_")


def test_a_finished_search_tells_its_best_as_scikit_learn_does(records):
    job = foldq.job(records.finished_search())
    assert (job.best_index_, job.best_score_, job.best_params_) == (1, 0.96, {"C": 10})
    assert "n_splits_done" not in job.cv_results_
    assert job.results()["n_splits_done"].tolist() == [5, 5]
    assert job.status()["n_done"] == 10
    assert job.spec["cv"] == 5
    with pytest.raises(foldq.NotFinished, match="refit"):
        _ = job.best_estimator_


def test_a_search_without_scores_or_without_a_choice_says_so(records):
    nan = foldq.job(records.finished_search("nan", best_score=None))
    assert math.isnan(nan.best_score_)
    several = foldq.job(
        records.finished_search("several", best_index=None, best_score=None, best_params=None)
    )
    for what in ("best_index_", "best_score_", "best_params_"):
        with pytest.raises(foldq.NotFinished, match="chose no best"):
            getattr(several, what)


def test_before_the_search_begins_the_table_is_empty(records):
    job = foldq.job(records.job("new", state="queued"))
    assert len(job.results()) == 0
    assert len(job.results(top=3)) == 0
    assert len(job.failures()) == 0


def test_failures_are_listed_once_each_with_a_traceback(records):
    (failure,) = failed(records).failures().to_dict("records")
    assert failure["error"] == "ValueError: no"
    assert failure["count"] == 2
    assert failure["example"] == "candidate 0, split 0"
    assert failure["traceback"].startswith("Traceback")


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_for_a_job_that_failed_raises_its_reason(records):
    job = failed(records)
    with pytest.raises(foldq.JobFailed, match="All the 2 fits failed") as raised:
        job.wait()
    assert (raised.value.job_id, raised.value.state) == (job.id, "failed")
    cancelled = foldq.job(records.job("gone", state="cancelled"))
    with pytest.raises(foldq.JobFailed, match="was cancelled"):
        cancelled.wait(progress=False)
    assert foldq.job(records.finished_search()).wait().state == "completed"


def test_waiting_where_nobody_works_ends_with_the_way_out(records, monkeypatch):
    monkeypatch.setattr("service.notebook.waiting.PATIENCE", 0.2)
    with pytest.raises(foldq.NoScheduler, match=r"foldq\.serve"):
        running(records).wait(progress=False)


def test_waiting_has_a_limit_and_the_job_goes_on(records):
    job = running(records)
    with lock.hold(records.spool), pytest.raises(TimeoutError, match="goes on"):
        job.wait(timeout=0.2, progress=False)


def test_an_interrupt_ends_the_waiting_and_not_the_job(records, monkeypatch):
    job = running(records)

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("service.notebook.waiting.time.sleep", interrupt)
    with lock.hold(records.spool), pytest.raises(KeyboardInterrupt) as raised:
        job.wait(progress=False)
    assert "job.cancel()" in raised.value.__notes__[0]
    assert job.state == "running"
    assert not (records.spool / "control").exists()


def test_the_bar_tells_how_far_how_good_and_what_failed(records, capsys, monkeypatch):
    monkeypatch.setattr("tqdm.auto.tqdm", tqdm.tqdm)  # another test may have begun a kernel
    job = running(records, n_failed=1)
    with bar("run\x1b[31m") as show:
        show(None)
        show(job._progress())
        show(job._progress())
    told = capsys.readouterr().err
    assert "waiting" in told
    assert "4/6 folds, best ~0.5000, 1 failed" in told
    assert "\x1b[31m" not in told


# --- looks ---------------------------------------------------------------------------------------


class Balanced(HTMLParser):
    """Notes the tags of a page, and that each is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_job_shows_as_a_small_table_and_its_texts_as_text(records):
    evil = "<script>alert(1)</script>"
    job = foldq.job(
        records.finished_search(evil, estimator=evil, data=evil, best_params={evil: evil})
    )
    page = Balanced(job._repr_html_())
    assert "script" not in page.seen
    assert page.text.count(evil) == 5
    assert "10/10 folds" in page.text
    assert "0.9600 with" in page.text
    bad = Balanced(failed(records)._repr_html_()).text
    assert "All the 2 fits failed." in bad
    assert repr(running(records)) == "<foldq job 3 'run': running, 3/6 folds>"
    assert (
        "preparing" in Balanced(foldq.job(records.job("p", state="preparing"))._repr_html_()).text
    )


def test_the_report_is_shown_in_a_frame_of_its_own(records, tmp_path, monkeypatch):
    seen = []

    def render(connection, job, *, results):
        seen.append((job.id, results))
        return '<html><body>"quoted" </iframe></body></html>'

    monkeypatch.setitem(sys.modules, "service.report", SimpleNamespace(render=render))
    job = foldq.job(records.finished_search())
    report = job.report()
    page = Balanced(report._repr_html_())
    assert page.seen == {"iframe"}
    report.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == report.html
    assert seen == [(1, records.spool / "results" / "1")]

    monkeypatch.setitem(sys.modules, "service.report", None)
    with pytest.raises(ImportError, match=r"foldq\[report\]"):
        job.report()


# --- steering and models -------------------------------------------------------------------------


def test_what_cannot_be_done_is_said_without_a_request(records):
    job = foldq.job(records.finished_search())
    with pytest.raises(foldq.NotPossible, match="completed already"):
        job.cancel()
    assert job.retry() is job
    with pytest.raises(foldq.NoScheduler):
        running(records).pause()
    assert not (records.spool / "control").exists()


def test_a_pickle_that_somebody_else_may_have_written_is_not_opened(tmp_path):
    directory = tmp_path / "1"
    directory.mkdir(mode=0o700)
    path = directory / "best_estimator.joblib"
    joblib.dump({"a": 1}, path)
    path.chmod(0o600)
    refitted = {"file": path.name, "format": "joblib"}
    assert load_model(directory, refitted) == {"a": 1}
    for place, mode in ((path, 0o620), (directory, 0o702)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(foldq.UntrustedModel, match="pickle"):
            load_model(directory, refitted)
        place.chmod(before)
    path.rename(directory / "other")
    path.symlink_to(directory / "other")
    with pytest.raises(foldq.UntrustedModel):
        load_model(directory, refitted)
    with pytest.raises(foldq.NotFinished, match="no longer"):
        load_model(directory, {"file": "gone.skops", "format": "skops"})


def test_a_skops_file_with_more_types_than_were_recorded_is_not_opened(tmp_path):
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    (tmp_path / "m.skops").write_bytes(skops.io.dumps(Fabricated.__new__(Fabricated)))
    with pytest.raises(UntrustedTypesFoundException):
        load_model(tmp_path, {"file": "m.skops", "format": "skops", "trusted": []})


# --- history and engines -------------------------------------------------------------------------


def test_history_is_a_table_with_the_filters_of_the_command(records):
    records.finished_search("digits-a", tags=["x", "y"])
    records.finished_search("digits-b", best_score=-3.5, tags=["y"])
    records.job("wait", state="queued")
    table = foldq.history()
    assert table.index.tolist() == [3, 2, 1]
    assert table["seconds"][1] == 60.0
    assert str(table["submitted_at"].dtype).endswith("UTC]")
    assert table["finished_at"].isna().tolist() == [True, False, False]
    assert foldq.history(name="digits-*", sort="score").index.tolist() == [2, 1]
    assert foldq.history(tags=["x", "y"]).index.tolist() == [1]
    assert foldq.history(tags="y", min_score=0).index.tolist() == [1]
    assert foldq.history(state=["queued", "failed"]).index.tolist() == [3]
    assert foldq.history(limit=1).index.tolist() == [3]
    assert len(foldq.history(since="1d")) == 0
    with pytest.raises(ValueError, match="Did you mean running"):
        foldq.history(state="runing")
    with pytest.raises(ValueError, match="not a sort key"):
        foldq.history(sort="best")


def test_a_spool_without_records_is_empty_and_stays_so(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert len(foldq.history(spool=nowhere)) == 0
    assert len(foldq.engines(spool=nowhere)) == 0
    assert foldq.history(spool=nowhere).columns[0] == "name"
    with pytest.raises(foldq.NoSuchJob):
        foldq.job(1, spool=nowhere)
    assert not nowhere.exists()


def test_engines_tell_what_they_do_and_why_the_past_ones_left(records):
    live = records.engine(0)
    records.engine(1, left_at="2026-03-01T12:00:09+00:00", left_because="EngineError")
    job = running(records)
    (task,) = records.db.query("SELECT min(id) AS id FROM task WHERE state = 'pending'")
    records.attempt(task["id"], live, None)
    assert foldq.engines()["doing"].tolist() == [f"job {job.id}: 1 × fold"]
    assert foldq.engines(past=True)["left_because"].tolist()[1] == "EngineError"


def test_looking_writes_nothing(records):
    job_id = records.finished_search()
    records.db.close()
    before = contents(records.spool)
    job = foldq.job(job_id)
    job.results(), job.cv_results_, job.failures(), job.status(), repr(job), job._repr_html_()
    foldq.history(), foldq.engines()
    with pytest.raises(foldq.NotPossible):
        job.pause()
    assert contents(records.spool) == before


def test_a_large_search_is_a_table_within_seconds(records):
    job_id = records.job("large", n_splits=2, n_candidates=5_000, n_tasks=10_000, n_done=10_000,
                         best_index=1, best_score=0.5)  # fmt: skip
    records.db["candidate"].insert_all(
        {"id": i + 1, "job_id": job_id, "number": i, "params": f'{{"C": {i}}}'}
        for i in range(5_000)
    )
    records.db["task"].insert_all(
        {"job_id": job_id, "kind": "fold", "candidate_id": i // 2 + 1, "split": i % 2,
         "state": "done", "fit_time": 0.1, "score_time": 0.1, "test_scores": '{"score": 0.5}',
         "finished_at": "2026-03-01T12:00:00+00:00"}
        for i in range(10_000)
    )  # fmt: skip
    started = os.times().user
    table = foldq.job(job_id).results(top=5)
    assert os.times().user - started < 5
    assert len(table) == 5
    assert np.array_equal(table["param_C"], range(5))
