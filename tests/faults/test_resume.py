"""kill -9 of the scheduler in the middle of a search: it goes on, and nothing is done twice."""

import os
import signal
import time

import pandas as pd
from searches import N_FOLDS, N_SHORT, SEARCH, SHORT, check_records, scores


def n_done(scheduler) -> int:
    job = scheduler.job("killed")
    return job["n_done"] if job else 0


def done_tasks(scheduler) -> set[int]:
    rows = scheduler.query("SELECT id FROM task WHERE kind = 'fold' AND state = 'done'")
    return {row["id"] for row in rows}


def open_attempts(scheduler) -> set[int]:
    rows = scheduler.query("SELECT id FROM attempt WHERE outcome IS NULL")
    return {row["id"] for row in rows}


def test_a_search_goes_on_after_kill_9_at_three_points_and_no_fold_is_computed_twice(
    new_scheduler, undisturbed_scores
):
    scheduler = new_scheduler()
    scheduler.start()
    engines = scheduler.wait_for_engines()
    scheduler.drop(SEARCH, "killed.json")
    in_flight: set[int] = set()
    for share in (0.02, 0.3, 0.7):
        scheduler.wait_until(
            lambda share=share: n_done(scheduler) >= share * N_FOLDS, f"{share:.0%} of the folds"
        )
        scheduler.kill()
        recorded = done_tasks(scheduler)
        assert 0 < len(recorded) < N_FOLDS, "killed in the middle"
        in_flight |= open_attempts(scheduler)
        scheduler.start()
    job = scheduler.wait("killed")
    check_records(scheduler, job["id"])
    assert in_flight, "something was in flight at the kills"
    assert sorted(scheduler.engine_pids()) == sorted(engines), "the engines lived on"
    outcomes = scheduler.query("SELECT id, outcome FROM attempt WHERE outcome != 'ok'")
    assert {row["outcome"] for row in outcomes} <= {"returned"}, "what was in flight was collected"

    pd.testing.assert_frame_equal(
        scores(scheduler.results(job["id"])), undisturbed_scores(scheduler), check_exact=True
    )
    best = undisturbed_scores(scheduler)["rank_test_neg_log_loss"].argmin()
    assert job["best_index"] == best
    scheduler.stop()
    assert scheduler.processes() == []


def test_started_with_fewer_engines_it_keeps_those_there_are_and_what_they_do(new_scheduler):
    scheduler = new_scheduler()
    scheduler.start()
    engines = scheduler.wait_for_engines()
    scheduler.drop(SHORT, "killed.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 20, "some folds")
    scheduler.kill()
    scheduler.engines = 1
    scheduler.start()
    os.kill(engines[0], signal.SIGKILL)
    job = scheduler.wait("killed")
    check_records(scheduler, job["id"], N_SHORT)
    assert scheduler.engine_pids() == [engines[1]], "the one too many was not replaced"


def test_a_scheduler_that_was_stopped_for_a_while_blames_nobody(new_scheduler):
    scheduler = new_scheduler(controller_timeout="2s")
    scheduler.start()
    engines = scheduler.wait_for_engines()
    scheduler.drop(SHORT, "killed.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 20, "some folds")
    os.kill(scheduler.pid, signal.SIGSTOP)
    time.sleep(6)  # longer than any silence that it takes from others
    os.kill(scheduler.pid, signal.SIGCONT)
    job = scheduler.wait("killed")
    check_records(scheduler, job["id"], N_SHORT)
    assert scheduler.engine_pids() == engines
    assert scheduler.query("SELECT id FROM attempt WHERE outcome = 'engine_lost'") == []


def test_an_engine_that_died_with_its_scheduler_is_replaced_and_its_folds_done_again(
    new_scheduler,
):
    scheduler = new_scheduler()
    scheduler.start()
    first, second = scheduler.wait_for_engines()
    scheduler.drop(SHORT, "killed.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 20, "some folds")
    scheduler.kill()
    os.kill(first, signal.SIGKILL)
    scheduler.start()
    job = scheduler.wait("killed")
    check_records(scheduler, job["id"], N_SHORT)
    engines = scheduler.wait_for_engines()
    assert second in engines
    assert first not in engines
    scheduler.stop()
    assert scheduler.processes() == []


def test_a_stop_by_sigterm_loses_no_recorded_fold_and_leaves_no_process(new_scheduler):
    scheduler = new_scheduler()
    scheduler.start()
    scheduler.drop(SHORT, "killed.json")
    scheduler.wait_until(lambda: n_done(scheduler) > 40, "some folds")
    assert scheduler.stop() == 0
    assert scheduler.processes() == []
    open_or_lost = scheduler.query("SELECT id FROM attempt WHERE outcome IS NOT 'ok'")
    returned = scheduler.query("SELECT id FROM attempt WHERE outcome = 'returned'")
    assert len(open_or_lost) == len(returned), "what ran was finished"
    scheduler.start("--until-idle", ready=False)
    assert scheduler.await_exit() == 0
    check_records(scheduler, scheduler.job("killed")["id"], N_SHORT)


def test_processes_of_a_scheduler_that_never_comes_back_end_themselves(new_scheduler):
    scheduler = new_scheduler(grace="2s")
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.kill()
    assert scheduler.processes(), "controller and engines outlive it for the grace time"
    scheduler.wait_until_gone()
