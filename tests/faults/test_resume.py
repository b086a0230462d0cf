"""kill -9 of the scheduler in the middle of a search: it goes on, and nothing is done twice."""

import pandas as pd
from searches import N_FOLDS, SEARCH, check_records, scores


def n_done(scheduler) -> int:
    job = scheduler.job("killed")
    return job["n_done"] if job else 0


def done_tasks(scheduler) -> set[int]:
    rows = scheduler.query("SELECT id FROM task WHERE kind = 'fold' AND state = 'done'")
    return {row["id"] for row in rows}


def test_a_search_goes_on_after_kill_9_at_three_points_and_nothing_recorded_runs_again(
    new_scheduler,
):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.drop(SEARCH, "killed.json")
    for share in (0.02, 0.3, 0.7):
        scheduler.wait_until(
            lambda share=share: n_done(scheduler) >= share * N_FOLDS, f"{share:.0%} of the folds"
        )
        scheduler.kill()
        recorded = done_tasks(scheduler)
        assert 0 < len(recorded) < N_FOLDS, "killed in the middle"
        (last,) = scheduler.query("SELECT max(id) AS attempt FROM attempt")
        scheduler.start()
        later = scheduler.query(
            "SELECT task_id FROM attempt WHERE id > ?", last["attempt"]
        )  # looked at again below, when the search is over
        assert recorded.isdisjoint(row["task_id"] for row in later)
    job = scheduler.wait("killed")
    check_records(scheduler, job["id"])
    # An attempt that ended well is the last of its task: no recorded fold ran again.
    again = scheduler.query(
        "SELECT later.id FROM attempt JOIN attempt AS later"
        " ON later.task_id = attempt.task_id AND later.id > attempt.id"
        " WHERE attempt.outcome = 'ok'"
    )
    assert again == []
    lost = scheduler.query("SELECT count(*) AS n FROM attempt WHERE outcome = 'engine_lost'")
    assert lost[0]["n"] > 0, "something was in flight at each kill"

    scheduler.drop(SEARCH, "undisturbed.json")
    undisturbed = scheduler.wait("undisturbed")
    pd.testing.assert_frame_equal(
        scores(scheduler.results(job["id"])),
        scores(scheduler.results(undisturbed["id"])),
        check_exact=True,
    )
    assert job["best_index"] == undisturbed["best_index"]
    scheduler.stop()
    assert scheduler.processes() == []


def test_a_stop_by_sigterm_loses_no_recorded_fold_and_leaves_no_process(new_scheduler):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.drop(SEARCH, "killed.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 40, "some folds")
    assert scheduler.stop() == 0
    assert scheduler.processes() == []
    open_or_lost = scheduler.query("SELECT id FROM attempt WHERE outcome IS NOT 'ok'")
    returned = scheduler.query("SELECT id FROM attempt WHERE outcome = 'returned'")
    assert len(open_or_lost) == len(returned), "what ran was finished"
    scheduler.start("--until-idle", ready=False)
    assert scheduler.await_exit() == 0
    check_records(scheduler, scheduler.job("killed")["id"])


def test_processes_of_a_scheduler_that_never_comes_back_end_themselves(new_scheduler):
    scheduler = new_scheduler(grace="2s")
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.kill()
    assert scheduler.processes(), "controller and engines outlive it for the grace time"
    scheduler.wait_until_gone()
