"""What people do with a running scheduler: drop good and bad files, steer jobs, ask the records."""

import json
import os
import shutil

import numpy as np

QUICK = {
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [0.1, 1, 10]}},
}


def troublesome(trouble, **options):
    """A job of 4 candidates, of which the last has the trouble."""
    params = options.pop("params", {})
    return {
        "data": {"loader": "iris"},
        "estimator": {"$type": "Troublesome", **params},
        "search": {"space": [{"level": [0, 1, 2]}, {"trouble": [trouble]}]},
        "cv": 2,
    } | options


def test_bad_files_are_kept_aside_with_their_reasons_and_good_ones_are_done(service):
    incoming = service.spool / "incoming"
    service.drop("estimator: [", "broken.yaml")
    service.drop({**QUICK, "estimater": "SVC"}, "typo.json")
    service.drop({**QUICK, "estimator": "SVCC"}, "unknown.json")
    service.drop("data: {loader: iris}", "notes.txt")
    (incoming / "large.yaml").write_bytes(b"#" * (2 << 20))
    (incoming / "directory.yaml").mkdir()
    (incoming / "link.yaml").symlink_to("/etc/hostname")
    os.mkfifo(incoming / "pipe.yaml")
    (incoming / ".hidden.yaml").write_text("not looked at")
    (incoming / "half.yaml.part").write_text("not looked at")
    service.drop(QUICK, "good among bad.json")
    service.wait("good among bad")

    refused = {
        "broken.yaml", "typo.json", "unknown.json", "notes.txt", "large.yaml", "directory.yaml",
        "link.yaml", "pipe.yaml",
    }  # fmt: skip
    rejected = service.spool / "rejected"
    service.wait_until(
        lambda: refused <= {path.name for path in rejected.iterdir()}, "the bad files are refused"
    )
    for name in refused:
        report = json.loads((rejected / f"{name}.error.json").read_text())
        assert report["file"] == name
        assert report["problems"], name
    (typo,) = json.loads((rejected / "typo.json.error.json").read_text())["problems"]
    assert (typo["where"], typo["nearest"]) == ("estimater", "estimator")
    (unknown,) = json.loads((rejected / "unknown.json.error.json").read_text())["problems"]
    assert unknown["nearest"] == "SVC"
    assert {path.name for path in incoming.iterdir()} == {".hidden.yaml", "half.yaml.part"}


def test_what_only_the_data_can_tell_fails_the_job_before_any_fold(service):
    (service.spool / "data" / "tiny.csv").write_text("x,y\n1,a\n2,b\n3,a\n4,b\n")
    service.drop({**QUICK, "data": {"file": "tiny.csv", "target": "yy"}}, "no such column.json")
    service.drop({**QUICK, "data": {"file": "tiny.csv", "target": "y"}, "cv": 4}, "folds.json")
    job = service.wait("no such column", state="failed")
    assert "data.target" in job["reason"]
    assert "y" in job["reason"]
    job = service.wait("folds", state="failed")
    assert "cv" in job["reason"]
    assert job["n_tasks"] == 0


def test_the_same_submission_twice_is_one_job_and_a_copy_says_so(service, foldq):
    service.drop(QUICK, "once.json")
    first = service.wait("once")
    service.drop(QUICK, "once.json")
    service.wait_until(
        lambda: service.query(
            "SELECT id FROM event WHERE job_id = ? AND kind = 'submitted again'", first["id"]
        ),
        "the second copy is noticed",
    )
    assert not list((service.spool / "incoming").glob("once*"))
    assert len(service.query("SELECT id FROM job WHERE name = 'once'")) == 1

    service.drop(QUICK, "other name.json")
    other = service.wait("other name")
    assert other["id"] != first["id"]
    assert other["same_content_as"] is not None
    (event,) = service.query(
        "SELECT message FROM event WHERE job_id = ? AND kind = 'job admitted'", other["id"]
    )
    assert f"same as job {other['same_content_as']}'s" in event["message"]


def test_a_failing_candidate_is_scored_and_the_search_goes_on(service, foldq):
    service.drop(troublesome("value_error"), "failing.json")
    job = service.wait("failing")
    assert (job["n_done"], job["n_failed"]) == (6, 2)
    table = json.loads((service.results(job["id"]) / "cv_results.json").read_text())
    means = [row["mean_test_score"] for row in table["rows"]]
    assert means[-1] is None
    assert all(np.isfinite(means[:-1]))
    told = foldq("show", str(job["id"])).stdout
    assert "ValueError: no such luck" in told
    tasks = service.query(
        "SELECT reason, n_attempts FROM task WHERE job_id = ? AND state = 'failed'", job["id"]
    )
    assert tasks == [{"reason": "error", "n_attempts": 1}] * 2


def test_scores_that_are_all_nan_are_said_aloud(service, foldq):
    service.drop({**QUICK, "scoring": "roc_auc"}, "scoreless.json")
    job = service.wait("scoreless")
    assert (job["n_failed"], job["best_index"], job["best_score"]) == (0, 0, None)
    told = foldq("show", str(job["id"])).stdout
    assert "no candidate has a score" in told


def test_an_error_the_job_names_is_tried_again_and_every_attempt_is_on_record(service, tmp_path):
    marks = {"times": 2, "directory": str(tmp_path)}
    retry = {"attempts": 4, "on": ["OSError"], "backoff": "100ms"}
    service.drop(troublesome("os_error", params=marks, retry=retry), "flaky.json")
    job = service.wait("flaky")
    assert job["n_failed"] == 0
    attempts = service.query(
        "SELECT attempt.outcome, attempt.error FROM attempt JOIN task ON task.id = task_id"
        " WHERE task.job_id = ? AND attempt.outcome = 'error'",
        job["id"],
    )
    assert len(attempts) == 2
    assert "the share is not mounted" in attempts[0]["error"]


def test_a_fold_past_its_time_limit_fails_alone(service):
    service.drop(troublesome("sleep", timeout="1s"), "stalling.json")
    job = service.wait("stalling")
    failed = service.query(
        "SELECT reason, fit_time FROM task WHERE job_id = ? AND state = 'failed'", job["id"]
    )
    assert [task["reason"] for task in failed] == ["timeout", "timeout"]
    assert all(1.0 <= task["fit_time"] < 30 for task in failed)


def test_a_fold_that_kills_its_engines_is_poison_and_the_others_are_not_blamed(service):
    retry = {"engine_losses": 2}
    job = troublesome("kill", retry=retry)
    job["search"]["space"][1]["level"] = [0]
    service.drop(job, "poison.json")
    job = service.wait("poison")
    failed = service.query(
        "SELECT reason, error, n_engines_lost FROM task WHERE job_id = ? AND state = 'failed'",
        job["id"],
    )
    assert [task["reason"] for task in failed] == ["poison", "poison"]
    assert {task["n_engines_lost"] for task in failed} == {2}
    assert job["n_done"] == 6
    assert len(service.wait_for_engines()) == 2


def test_cancel_ends_a_job_at_once_and_retry_brings_it_back(service, foldq, tmp_path):
    marks = {"times": 1, "directory": str(tmp_path)}
    service.drop(troublesome("sleep", params=marks), "long.json")
    job = service.wait("long", state="running")
    service.wait_until(lambda: list(tmp_path.iterdir()), "a fold that takes very long")
    told = foldq("cancel", str(job["id"]))
    assert told.returncode == 0, told.stderr
    assert service.job(job["id"])["state"] == "cancelled"
    open_attempts = service.query("SELECT id FROM attempt WHERE outcome IS NULL")
    assert open_attempts == []

    told = foldq("retry", str(job["id"]))
    assert told.returncode == 0, told.stderr
    assert service.wait(job["id"])["n_done"] == 8


def test_a_paused_job_waits_and_goes_on(service, foldq, tmp_path):
    slow = {
        "data": {"loader": "digits"},
        "estimator": "SVC",
        "search": {"space": {"C": {"$logspace": [-2, 2, 30]}}},
    }
    service.drop(slow, "paused.json")
    job = service.wait("paused", state="running")
    assert foldq("pause", str(job["id"])).returncode == 0
    service.wait_until(
        lambda: not service.query("SELECT id FROM attempt WHERE outcome IS NULL"),
        "what ran is finished",
    )
    before = service.job(job["id"])
    assert before["state"] == "paused"
    service.drop(QUICK, "meanwhile.json")
    service.wait("meanwhile")
    assert service.job(job["id"])["n_done"] == before["n_done"]
    assert foldq("resume", str(job["id"])).returncode == 0
    assert service.wait(job["id"])["n_done"] == 150


def test_what_is_set_holds_for_the_search_that_runs(service, foldq, tmp_path):
    marks = {"times": 1, "directory": str(tmp_path)}
    service.drop(troublesome("sleep", params=marks), "steered.json")
    job = service.wait("steered", state="running")
    assert foldq("set", str(job["id"]), "priority=5", "tags=lab").returncode == 0
    assert foldq("set", "tag:lab", "max_jobs=1").returncode == 0
    service.drop({**QUICK, "tags": ["lab"]}, "second-of-its-tag.json")
    service.drop(QUICK, "another.json")
    service.wait("another")
    assert service.job(service.wait("second-of-its-tag", state="queued")["id"])["n_done"] == 0
    assert foldq("pause", "--all").returncode == 0
    assert foldq("set", "tag:lab", "max_jobs=none").returncode == 0
    service.drop({**QUICK, "name": "held"}, "held.json")
    held = service.wait("held", state="queued")
    assert foldq("resume", "--all").returncode == 0
    service.wait(held["id"])
    service.wait("second-of-its-tag")
    foldq("cancel", str(job["id"]))


def test_partial_results_can_be_asked_for_while_a_job_runs(service, foldq, tmp_path):
    marks = {"times": 1, "directory": str(tmp_path)}
    service.drop(troublesome("sleep", params=marks), "partial.json")
    job = service.wait("partial", state="running")
    service.wait_until(lambda: service.job(job["id"])["n_done"] >= 6, "the quick candidates")
    table = json.loads(foldq("results", str(job["id"]), "--json").stdout)
    assert len(table["rows"]) == 4
    assert table["partial"] is True
    foldq("cancel", str(job["id"]))


def test_a_cache_deleted_under_a_search_is_prepared_again(service, foldq):
    slow = {
        "data": {"loader": "digits"},
        "estimator": "SVC",
        "search": {"space": {"gamma": {"$logspace": [-4, 0, 20]}}},
    }
    service.drop(slow, "cacheless.json")
    job = service.wait("cacheless", state="running")
    foldq("pause", str(job["id"]))
    shutil.rmtree(service.spool / "cache")
    # Engines keep what they have open: new ones have to look.
    for pid in service.engine_pids():
        os.kill(pid, 9)
    foldq("resume", str(job["id"]))
    job = service.wait(job["id"])
    assert (job["n_done"], job["n_failed"]) == (100, 0)
    assert service.query(
        "SELECT id FROM event WHERE job_id = ? AND kind = 'data prepared again'", job["id"]
    )


def test_a_refined_search_computes_only_its_new_folds(service):
    def search(n):
        return {
            "data": {"loader": "wine"},
            "estimator": "SVC",
            "search": {"space": {"C": [2.0**i for i in range(n)]}},
            "scoring": ["accuracy", "f1_macro"],
            "refit": "accuracy",
        }

    service.drop(search(8), "coarse.json")
    coarse = service.wait("coarse")
    service.drop(search(10), "refined.json")
    refined = service.wait("refined")
    assert (refined["n_tasks"], refined["n_done"]) == (50, 50)
    computed = service.query(
        "SELECT task.id FROM task JOIN attempt ON attempt.task_id = task.id"
        " WHERE task.job_id = ? AND kind = 'fold'",
        refined["id"],
    )
    assert len(computed) == 10
    origins = service.query(
        "SELECT DISTINCT origin.job_id FROM task JOIN task AS origin"
        " ON origin.id = task.origin_task_id WHERE task.job_id = ?",
        refined["id"],
    )
    assert origins == [{"job_id": coarse["id"]}]

    service.drop({**search(10), "reuse": False}, "anew.json")
    anew = service.wait("anew")

    def scores(job):
        table = json.loads((service.results(job["id"]) / "cv_results.json").read_text())
        return [{k: v for k, v in row.items() if "time" not in k} for row in table["rows"]]

    assert scores(refined) == scores(anew)
    assert not service.query(
        "SELECT id FROM task WHERE job_id = ? AND origin_task_id IS NOT NULL", anew["id"]
    )


def test_a_second_scheduler_is_refused_and_told_who_holds_the_spool(service, foldq):
    told = foldq("serve")
    assert told.returncode == 6
    assert str(service.pid) in told.stderr
