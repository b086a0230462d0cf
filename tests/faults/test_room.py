"""No room, no right, no descriptors under a running search: it waits, says so, and goes on.

A full disk is made by a limit on the size of files, a closed directory by a file in its place, both
of which hold for root as well; the limits are set on the running scheduler from outside.
"""

import resource
from contextlib import contextmanager

import pandas as pd
import psutil
from searches import N_FOLDS, N_SHORT, SEARCH, SHORT, check_records, scores

from service.lock import holder

SMALL = {
    "data": {"loader": "iris"},
    "estimator": "LogisticRegression",
    "search": {"space": {"C": [0.1, 1, 10]}},
    "reuse": False,
}


def wait_for_trouble(scheduler, words):
    """Wait until others can see a trouble, or with None that there is none any more."""
    trouble = "not asked yet"

    def told():
        nonlocal trouble
        trouble = holder(scheduler.spool).trouble
        return trouble is None if words is None else trouble is not None and words in trouble

    scheduler.wait_until(told, lambda: f"a trouble like {words!r} (now: {trouble!r})")


@contextmanager
def limit(scheduler, kind, value):
    """Set a limit on the scheduler's process alone; its engines keep theirs."""
    soft, hard = resource.prlimit(scheduler.pid, kind)
    resource.prlimit(scheduler.pid, kind, (value, hard))
    yield
    if scheduler.is_alive:
        resource.prlimit(scheduler.pid, kind, (soft, hard))


@contextmanager
def out_of_order(directory):
    """A file in the place of a directory, whose content comes back at the end."""
    aside = directory.with_name(f"{directory.name}-aside")
    directory.rename(aside)
    directory.write_text("a file")
    yield
    directory.unlink()
    aside.rename(directory)


def n_done(scheduler):
    job = scheduler.job("troubled")
    return job["n_done"] if job else 0


def test_a_search_waits_out_every_shortage_and_ends_as_without_them(
    new_scheduler, undisturbed_scores
):
    scheduler = new_scheduler()
    scheduler.start()
    spool = scheduler.spool
    with out_of_order(spool / "cache"):
        scheduler.drop(SEARCH, "troubled.json")
        scheduler.wait_until(
            lambda: scheduler.query("SELECT 1 FROM event WHERE kind = 'waiting'"),
            "the preparation waits for its cache",
        )
        assert scheduler.job("troubled")["state"] == "preparing"

    scheduler.wait_until(lambda: n_done(scheduler) > 20, "some folds")
    with limit(scheduler, resource.RLIMIT_FSIZE, 8192):
        wait_for_trouble(scheduler, "foldq.db) cannot be written")
        before = n_done(scheduler)
        assert scheduler.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        told = scheduler.log.read_text()
        # Both of these would have to be recorded: they wait, and are carried out once.
        scheduler.drop(SMALL, "later.json")
    wait_for_trouble(scheduler, None)
    scheduler.wait_until(lambda: n_done(scheduler) > before, "more folds")
    assert told.count("cannot be written") <= 2, "told once, not once a second"

    n_open = len(psutil.Process(scheduler.pid).open_files())
    with limit(scheduler, resource.RLIMIT_NOFILE, min(n_open, 10)):
        wait_for_trouble(scheduler, "too many open files")
        before = n_done(scheduler)
        scheduler.wait_until(lambda: n_done(scheduler) > before or before == N_FOLDS, "folds go on")
    with out_of_order(spool / "accepted"), out_of_order(spool / "results"):
        scheduler.drop(SMALL, "stays.json")
        wait_for_trouble(scheduler, "stays in incoming/")
        scheduler.wait_until(
            lambda: scheduler.query(
                "SELECT 1 FROM event JOIN job ON job.id = job_id"
                " WHERE kind = 'waiting' AND name = 'troubled'"
                " AND message LIKE '%results%'"
            ),
            "the model waits for its directory",
        )
        assert scheduler.job("stays")["state"] not in ("failed", "cancelled")
    jobs = [scheduler.wait(name) for name in ("troubled", "later", "stays")]
    wait_for_trouble(scheduler, None)
    assert sorted(path.name for path in (spool / "accepted").iterdir()) == [
        f"{job['id']}-{job['name']}.json" for job in jobs
    ]
    troubled, *small = jobs
    check_records(scheduler, troubled["id"])
    assert {(job["n_done"], job["n_failed"]) for job in small} == {(15, 0)}

    pd.testing.assert_frame_equal(
        scores(scheduler.results(troubled["id"])), undisturbed_scores(scheduler), check_exact=True
    )
    best = undisturbed_scores(scheduler)["rank_test_neg_log_loss"].argmin()
    assert troubled["best_index"] == best
    assert "Traceback" not in scheduler.log.read_text()
    assert scheduler.stop() == 0


def test_a_stop_without_room_and_a_damaged_database_end_with_a_sentence(new_scheduler):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.drop(SHORT, "troubled.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 20, "some folds")
    with limit(scheduler, resource.RLIMIT_FSIZE, 8192):
        wait_for_trouble(scheduler, "cannot be written")
        process = psutil.Process(scheduler.pid)
        process.terminate()
        wait_for_trouble(scheduler, "ask once more")
        process.terminate()
        assert scheduler.await_exit() == 1
    assert scheduler.processes() == []
    assert "Traceback" not in scheduler.log.read_text()
    assert scheduler.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]

    scheduler.start("--until-idle", ready=False)
    assert scheduler.await_exit() == 0
    check_records(scheduler, scheduler.job("troubled")["id"], N_SHORT)

    database = scheduler.spool / "foldq.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
    scheduler.start(ready=False)
    assert scheduler.await_exit() == 1
    told = scheduler.log.read_text()
    assert "foldq.db) are damaged" in told
    assert "foldq backup" in told
    assert "Traceback" not in told
    assert scheduler.processes() == []
