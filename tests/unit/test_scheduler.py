"""The scheduler core: facts in, orders out. No clock, no cluster, no database."""

from datetime import timedelta

import pytest
from core_driver import NOW, PREPARED, Driver, batches, in_hand, of, report
from freezegun import freeze_time

from schemas.lifecycle import (
    FailureReason,
    JobState,
    Outcome,
    TaskKind,
    TaskState,
)
from schemas.task import BatchReport, FoldResult, Refitted, TaskFailure
from service.policy import Policy, backoff_seconds
from service.stimuli import (
    AdvanceSearch,
    BatchReturned,
    CancelRequested,
    CancelTasks,
    DrainRequested,
    EndTask,
    EngineJoined,
    EngineLost,
    EngineNeverCame,
    EngineRejoined,
    FoldsLoaded,
    FoldsPlanned,
    FoldsPutBack,
    Interrupt,
    JobAdmitted,
    KillEngine,
    LoadFolds,
    MoveJob,
    Note,
    PauseRequested,
    PutBackTask,
    ReopenPrepare,
    ResumeRequested,
    RetryPolicy,
    SearchEnded,
    StartEngine,
    Task,
    TaskPlanned,
    Tick,
)


@pytest.fixture
def driver():
    driver = Driver()
    driver.tell(EngineJoined(1))
    return driver


def test_a_job_goes_from_its_data_over_its_folds_to_the_refit(driver):
    prepare = Task(1, TaskKind.PREPARE)
    orders = driver.tell(JobAdmitted(7, JobState.QUEUED, todo=prepare))
    (batch,) = batches(orders)
    assert batch.kind is TaskKind.PREPARE
    assert of(MoveJob, orders) == [MoveJob(7, JobState.PREPARING)]

    orders = driver.tell(BatchReturned(batch.batch_id, PREPARED))
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]

    orders = driver.tell(FoldsPlanned(7, 1, complete=True))
    assert of(LoadFolds, orders) == [LoadFolds(7, 0, driver.core.policy.page)]
    orders = driver.tell(FoldsLoaded(7, (Task(2, TaskKind.FOLD, {}, 0),)))
    assert of(MoveJob, orders) == [MoveJob(7, JobState.RUNNING)]

    orders = driver.tell(report(batches(orders)[0]))
    assert of(EndTask, orders)[0].state is TaskState.DONE
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]

    orders = driver.tell(TaskPlanned(7, Task(3, TaskKind.REFIT)))
    assert of(MoveJob, orders) == [MoveJob(7, JobState.REFITTING)]
    orders = driver.tell(
        BatchReturned(batches(orders)[0].batch_id, Refitted("m.skops", "skops", (), None, 0.1))
    )
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]
    assert of(MoveJob, driver.tell(SearchEnded(7))) == [MoveJob(7, JobState.COMPLETED)]
    assert driver.core.is_idle


def test_batches_grow_to_the_time_they_aim_at_and_shrink_at_the_end(driver):
    (first,) = batches(driver.search(1, 300))
    assert len(first.tasks) == 1, "nothing is known of the cost yet"
    sizes = []
    out = batches(driver.tell(report(first, seconds=0.005)))
    while out:
        batch = out.pop(0)
        sizes.append(len(batch.tasks))
        out += batches(driver.tell(report(batch, seconds=0.005)))
    assert sum(sizes) == 299
    assert sizes[0] == 50, "0.25 s at 5 ms a fold"
    assert sizes[-1] < 50, "so that engines end together"


def test_what_an_engine_does_once_at_the_beginning_is_no_cost_of_folds(driver):
    (first,) = batches(driver.search(1, 3000))
    ((attempt_id, task),) = first.tasks
    result = FoldResult(task.task_id, attempt_id, {"score": 1.0}, {}, 0.001, 0.001)
    opening = BatchReport(first.batch_id, (result,), (), 3.0)
    running, _ = batches(driver.tell(BatchReturned(first.batch_id, opening)))
    assert len(running.tasks) >= 10
    batch, *_ = batches(driver.tell(report(running, seconds=0.002)))
    assert len(batch.tasks) == 125, "0.25 s at 2 ms a fold"


def test_at_most_two_batches_wait_on_an_engine(driver):
    (first,) = batches(driver.search(1, 500))
    out = batches(driver.tell(report(first, seconds=0.01)))
    assert len(out) == 2
    assert batches(driver.tell(Tick())) == []


def test_nothing_waits_behind_a_long_fold(driver):
    (first,) = batches(driver.search(1, 10))
    out = batches(driver.tell(report(first, seconds=30)))
    assert len(out) == 1
    driver.tell(EngineJoined(2))
    assert len(driver.core.engines) == 2
    assert {b.engine_id for b in batches(driver.orders)} == {1, 2}


def test_only_the_running_batch_is_suspect_when_an_engine_dies(driver):
    (first,) = batches(driver.search(1, 200))
    running, waiting = batches(driver.tell(report(first, seconds=0.05)))
    orders = driver.tell(EngineLost(1, "killed"))
    back = {order.task_id: order.outcome for order in of(PutBackTask, orders)}
    assert {back[t.task_id] for _, t in running.tasks} == {Outcome.ENGINE_LOST}
    assert {back[t.task_id] for _, t in waiting.tasks} == {Outcome.RETURNED}
    assert of(StartEngine, orders) == [StartEngine(NOW)], "replaced at once"

    orders = driver.tell(EngineJoined(2))
    suspects = {t.task_id for _, t in running.tasks}
    (alone,) = [b for b in batches(orders) if b.tasks[0][1].task_id in suspects]
    assert len(alone.tasks) == 1, "a suspect goes out alone"


def test_a_lost_engine_is_not_charged_to_the_model(driver):
    (first,) = batches(driver.search(1, 3))
    running, *_ = batches(driver.tell(report(first, seconds=30)))
    orders = driver.tell(EngineLost(1, "killed"))
    (back,) = [o for o in of(PutBackTask, orders) if o.outcome is Outcome.ENGINE_LOST]
    assert (back.n_attempts, back.n_engines_lost) == (0, 1)
    assert running.tasks[0][1].task_id == back.task_id


def test_a_task_that_takes_down_every_engine_is_poison_and_the_search_goes_on(driver):
    (first,) = batches(driver.search(1, 2, retry=RetryPolicy(engine_losses=3)))
    poisonous = first.tasks[0][1].task_id
    for engine_id, host in ((1, "a"), (2, "b"), (3, "c")):
        orders = driver.tell(EngineLost(engine_id, f"killed by SIGKILL on host {host}"))
        ended = of(EndTask, orders)
        driver.tell(EngineJoined(engine_id + 1))
    (end,) = ended
    assert (end.task_id, end.state, end.reason) == (
        poisonous, TaskState.FAILED, FailureReason.POISON,
    )  # fmt: skip
    assert end.error == (
        "3 engines died while this task was alone there (engine 1, 2, 3); last: killed by SIGKILL"
        " on host c"
    )
    driver.now += timedelta(seconds=5)
    (last,) = batches(driver.tell(Tick()))
    assert last.tasks[0][1].task_id != poisonous
    assert of(AdvanceSearch, driver.tell(report(last)))


def test_poison_says_what_is_known_of_engines_lost_under_an_earlier_scheduler(driver):
    driver.tell(JobAdmitted(1, JobState.RUNNING, n_open=1, retry=RetryPolicy(engine_losses=3)))
    driver.tell(FoldsPlanned(1, 0, complete=True))
    driver.tell(FoldsLoaded(1, (Task(2, TaskKind.FOLD, {}, 0, n_engines_lost=2),)))
    (end,) = of(EndTask, driver.tell(EngineLost(1, "killed")))
    assert end.error == (
        "3 engines died while this task was alone there (engine 1 and earlier ones); last: killed"
    )


def test_what_waited_behind_the_task_that_failed_its_job_is_given_up_with_it(driver):
    options = {"raise_errors": True, "retry": RetryPolicy(engine_losses=1)}
    (first,) = batches(driver.search(1, 3, **options))
    assert len(batches(driver.tell(report(first)))) == 2, "one runs, one waits behind it"
    orders = driver.tell(EngineLost(1, "killed"))
    assert len(of(CancelTasks, orders)) == 1
    assert of(PutBackTask, orders) == []
    driver.states[1] = JobState.QUEUED
    orders = driver.tell(JobAdmitted(1, JobState.QUEUED, n_open=2))  # retried by a person
    assert of((PutBackTask, EndTask), orders) == []


def test_who_shared_a_batch_with_a_poison_task_is_not_blamed(driver):
    (first,) = batches(driver.search(1, 200))
    driver.now += timedelta(seconds=1)
    running, _ = batches(driver.tell(report(first, seconds=0.05)))
    poisonous, n_engines = running.tasks[0][1].task_id, 1
    ends = []
    while not ends:
        orders = driver.tell(EngineLost(n_engines, "killed"))
        ends = of(EndTask, orders)
        n_engines += 1
        out = batches(driver.tell(EngineJoined(n_engines)))
        while out and out[0].tasks[0][1].task_id != poisonous:
            out = out[1:] + batches(driver.tell(report(out[0])))
    failed = [o for o in of(EndTask, driver.orders) if o.state is TaskState.FAILED]
    assert [o.task_id for o in failed] == [poisonous]
    assert n_engines == 5, "one loss in the batch, three alone"


def test_an_error_is_tried_again_only_if_the_job_names_it(driver):
    retry = RetryPolicy(attempts=2, on=frozenset({"OSError"}), backoff=2.0)
    (batch,) = batches(driver.search(1, 1, retry=retry))
    attempt, task = batch.tasks[0]
    failure = FoldResult(
        task.task_id, attempt, error="Traceback…", error_types=("FileNotFoundError", "OSError")
    )
    orders = driver.tell(
        BatchReturned(batch.batch_id, BatchReport(batch.batch_id, (failure,), (), 0.1))
    )
    (back,) = of(PutBackTask, orders)
    assert (back.outcome, back.n_attempts) == (Outcome.ERROR, 1)
    assert batches(driver.tell(Tick())) == [], "it waits"

    driver.now = NOW + timedelta(seconds=2.51)
    (again,) = batches(driver.tell(Tick()))
    failure = FoldResult(task.task_id, again.tasks[0][0], error="E", error_types=("OSError",))
    orders = driver.tell(
        BatchReturned(again.batch_id, BatchReport(again.batch_id, (failure,), (), 0.1))
    )
    (end,) = of(EndTask, orders)
    assert (end.state, end.reason) == (TaskState.FAILED, FailureReason.ERROR)
    assert of(AdvanceSearch, orders), "the search goes on without it"


def test_the_backoff_doubles_and_is_spread():
    waits = [backoff_seconds(2.0, n, task_id=5) for n in (1, 2, 3)]
    assert all(2.0 * 2**i <= wait <= 2.5 * 2**i for i, wait in enumerate(waits))
    assert len({backoff_seconds(2.0, 1, task_id) for task_id in range(20)}) > 10


def test_an_error_fails_the_job_where_error_score_is_raise(driver):
    (batch,) = batches(driver.search(1, 50, raise_errors=True))
    attempt, task = batch.tasks[0]
    failure = FoldResult(task.task_id, attempt, error="Trace\nValueError: no", error_types=())
    orders = driver.tell(
        BatchReturned(batch.batch_id, BatchReport(batch.batch_id, (failure,), (), 0.1))
    )
    assert of(CancelTasks, orders) == [CancelTasks(1)]
    (move,) = of(MoveJob, orders)
    assert move.state is JobState.FAILED
    assert "ValueError: no" in move.reason
    assert driver.core.is_idle


def test_folds_that_found_no_time_go_out_again_uncharged(driver):
    (first,) = batches(driver.search(1, 100))
    batch, *_ = batches(driver.tell(report(first, seconds=0.01)))
    orders = driver.tell(report(batch, seconds=0.4, n_done=2))
    back = of(PutBackTask, orders)
    assert len(back) == len(batch.tasks) - 2
    assert {(o.outcome, o.n_attempts) for o in back} == {(Outcome.RETURNED, 0)}


def test_late_and_double_results_are_harmless(driver):
    (batch,) = batches(driver.search(1, 1))
    driver.tell(EngineLost(1, "lost"))
    assert driver.tell(report(batch)) == []
    (again,) = batches(driver.tell(EngineJoined(2)))
    assert len(of(EndTask, driver.tell(report(again)))) == 1
    assert driver.tell(report(again)) == []


def test_a_fold_past_its_time_limit_costs_its_engine_and_fails(driver):
    (batch,) = batches(driver.search(1, 2, timeout=10.0))
    driver.now = NOW + timedelta(seconds=10.5)
    assert of(KillEngine, driver.tell(Tick())) == [], "the engine's own timer comes first"
    driver.now = NOW + timedelta(seconds=11.5)
    assert [o.engine_id for o in of(KillEngine, driver.tell(Tick()))] == [1]
    assert of(KillEngine, driver.tell(Tick())) == [], "once"
    orders = driver.tell(EngineLost(1, "died"))
    (end,) = of(EndTask, orders)
    assert (end.task_id, end.reason) == (batch.tasks[0][1].task_id, FailureReason.TIMEOUT)
    assert "10 s" in end.error
    assert of(StartEngine, orders) == [StartEngine(driver.now)]


def test_engines_that_keep_dying_are_replaced_ever_later():
    driver = Driver(Policy(respawn_backoff=1.0, respawn_backoff_max=5.0))
    waits = []
    for _ in range(6):
        (start,) = of(StartEngine, driver.tell(EngineNeverCame("exit code 1")))
        waits.append((start.not_before - NOW).total_seconds())
    assert waits == [0, 1, 2, 4, 5, 5]


def test_the_higher_priority_goes_first(driver):
    driver.search(1, 100)
    driver.tell(JobAdmitted(2, JobState.RUNNING, priority=5))
    driver.folds(2, 100)
    first = batches(driver.orders)[1]
    orders = driver.tell(report(first, seconds=0.1))
    assert {batch.job_id for batch in batches(orders)} == {2}


def test_equal_priorities_share_the_engines():
    driver = Driver()
    for job_id in (1, 2):
        driver.tell(JobAdmitted(job_id, JobState.RUNNING))
        driver.folds(job_id, 100)
    for engine_id in range(1, 5):
        driver.tell(EngineJoined(engine_id))
    sent = [batch.job_id for batch in batches(driver.orders)]
    assert sorted(sent) == [1, 1, 2, 2]


def test_a_job_keeps_to_its_own_engine_limit():
    driver = Driver()
    driver.tell(JobAdmitted(1, JobState.RUNNING, max_engines=1))
    driver.folds(1, 100)
    for engine_id in (1, 2, 3):
        driver.tell(EngineJoined(engine_id))
    assert len(batches(driver.orders)) == 1


def test_cancel_acts_at_once_and_its_results_count_no_more(driver):
    (batch,) = batches(driver.search(1, 10))
    orders = driver.tell(CancelRequested(1))
    assert of(CancelTasks, orders)
    assert of(Interrupt, orders) == [Interrupt(1)]
    assert of(MoveJob, orders)[0].state is JobState.CANCELLED
    assert of(EndTask, driver.tell(report(batch))) == []


def test_an_engine_that_ignores_a_cancel_is_ended(driver):
    driver.search(1, 10)
    driver.tell(CancelRequested(1))
    driver.now += timedelta(seconds=6)
    assert [o.engine_id for o in of(KillEngine, driver.tell(Tick()))] == [1]


def test_a_paused_job_finishes_what_runs_and_goes_on_when_resumed(driver):
    (batch,) = batches(driver.search(1, 10))
    assert of(MoveJob, driver.tell(PauseRequested(1)))[0].state is JobState.PAUSED
    orders = driver.tell(report(batch))
    assert len(of(EndTask, orders)) == 1
    assert batches(orders) == []
    assert driver.core.is_idle
    orders = driver.tell(ResumeRequested(1))
    assert of(MoveJob, orders) == [MoveJob(1, JobState.QUEUED), MoveJob(1, JobState.RUNNING)]
    assert batches(orders)


def test_a_job_paused_over_its_last_fold_still_ends(driver):
    (batch,) = batches(driver.search(1, 1))
    driver.tell(PauseRequested(1))
    assert of(AdvanceSearch, driver.tell(report(batch))) == []
    assert of(AdvanceSearch, driver.tell(ResumeRequested(1))) == [AdvanceSearch(1)]
    moves = of(MoveJob, driver.tell(SearchEnded(1)))
    assert moves == [MoveJob(1, JobState.RUNNING), MoveJob(1, JobState.COMPLETED)]


def test_data_that_left_the_cache_are_prepared_again_before_any_other_fold(driver):
    driver.tell(EngineJoined(2))
    driver.search(1, 100)
    batch = next(b for b in batches(driver.orders) if b.kind is TaskKind.FOLD)
    attempts = tuple(a for a, _ in batch.tasks)
    missing = BatchReport(batch.batch_id, (), attempts, missing_data="it was deleted")
    orders = driver.tell(BatchReturned(batch.batch_id, missing))
    assert of(ReopenPrepare, orders) == [ReopenPrepare(1)]
    assert batches(orders) == []
    (again,) = batches(driver.tell(TaskPlanned(1, Task(1000, TaskKind.PREPARE))))
    assert again.kind is TaskKind.PREPARE
    assert batches(driver.tell(BatchReturned(again.batch_id, PREPARED)))


def test_data_that_changed_meanwhile_fail_the_job(driver):
    driver.tell(
        JobAdmitted(1, JobState.QUEUED, todo=Task(5, TaskKind.PREPARE), fingerprint="other/splits")
    )
    orders = driver.tell(BatchReturned(batches(driver.orders)[0].batch_id, PREPARED))
    (move,) = of(MoveJob, orders)
    assert move.state is JobState.FAILED
    assert "no longer those the search began with" in move.reason


def test_data_that_cannot_be_prepared_fail_the_job_before_any_fold(driver):
    orders = driver.tell(JobAdmitted(1, JobState.QUEUED, todo=Task(5, TaskKind.PREPARE)))
    orders = driver.tell(
        BatchReturned(batches(orders)[0].batch_id, TaskFailure("data.target: no such column"))
    )
    (move,) = of(MoveJob, orders)
    assert (move.state, move.reason) == (
        JobState.FAILED, "prepare failed: data.target: no such column",
    )  # fmt: skip


def test_a_drained_scheduler_sends_nothing_more_and_replaces_no_engine(driver):
    (batch,) = batches(driver.search(1, 10))
    driver.tell(DrainRequested())
    orders = driver.tell(report(batch))
    assert of(EndTask, orders)
    assert batches(orders) == []
    assert of(StartEngine, driver.tell(EngineLost(1, "stopped"))) == []


def test_folds_put_back_by_a_person_join_a_running_search(driver):
    (batch,) = batches(driver.search(1, 1))
    driver.tell(FoldsPutBack(1, (Task(99, TaskKind.FOLD, {}, 0),)))
    orders = driver.tell(report(batch))
    assert of(AdvanceSearch, orders) == []
    (again,) = batches(orders)
    assert of(AdvanceSearch, driver.tell(report(again)))


def test_folds_put_back_while_the_winner_is_being_fitted_run_first_or_beside_it(driver):
    driver.tell(EngineJoined(2))
    (batch,) = [b for b in batches(driver.search(1, 1)) if b.kind is TaskKind.FOLD]
    driver.tell(report(batch))
    driver.tell(TaskPlanned(1, Task(1999, TaskKind.REFIT)))
    orders = driver.tell(FoldsPutBack(1, (Task(99, TaskKind.FOLD, {}, 0),)))
    (again,) = batches(orders)
    refit = next(b for b in batches(driver.orders) if b.kind is TaskKind.REFIT)
    driver.tell(BatchReturned(refit.batch_id, Refitted("m", "skops", (), None, 0.1)))
    assert of(AdvanceSearch, driver.tell(report(again))), "the winner is chosen anew"


@freeze_time("2026-03-29 00:59:59")
def test_the_core_takes_its_time_from_its_caller_only(driver):
    # Frozen wall clock, an hour lost to summer time: only `now` counts.
    driver.search(1, 2, timeout=60.0)
    driver.now = NOW + timedelta(seconds=62)
    assert of(KillEngine, driver.tell(Tick()))


def test_what_is_not_a_stimulus_is_refused(driver):
    with pytest.raises(TypeError, match="not a stimulus"):
        driver.core.handle("job admitted", NOW)  # type: ignore[arg-type]


# --- engines that outlive a scheduler, or are lost at no fault of theirs --------------------------


def test_folds_on_an_engine_that_rejoined_are_neither_sent_again_nor_forgotten():
    driver = Driver()
    batch = in_hand(1, 11, 12)
    assert driver.tell(EngineRejoined(1, (batch,))) == []
    orders = driver.tell(JobAdmitted(7, JobState.RUNNING))
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]
    orders = driver.tell(FoldsPlanned(7, 0, complete=True))
    assert orders == [], "the search waits for the two folds"
    orders = driver.tell(report(batch))
    assert [(o.task_id, o.attempt_id) for o in of(EndTask, orders)] == [(11, 111), (12, 112)]
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]


@pytest.mark.parametrize("pages", [[(11, 12, 13)], [(11,), (12, 13)]])
def test_folds_lost_with_a_rejoined_engine_come_into_memory_once(pages):
    driver = Driver()
    driver.tell(EngineRejoined(1, (in_hand(1, 11, 12),)))
    driver.tell(JobAdmitted(7, JobState.RUNNING, n_open=1))
    driver.tell(EngineLost(1, "killed"))
    driver.tell(FoldsPlanned(7, 0, complete=True))
    # They are pending in the records now, beyond what was loaded.
    for page in pages:
        driver.tell(FoldsLoaded(7, tuple(Task(i, TaskKind.FOLD, {}, 0) for i in page)))
    sent = []
    for engine_id in range(2, 9):
        sent += batches(driver.tell(EngineJoined(engine_id)))
    assert sorted(t.task_id for b in sent for _, t in b.tasks) == [11, 12, 13]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PREPARING])
def test_a_prepare_task_on_a_rejoined_engine_is_awaited(state):
    driver = Driver()
    batch = in_hand(1, 5, kind=TaskKind.PREPARE)
    driver.tell(EngineRejoined(1, (batch,)))
    driver.tell(EngineJoined(2))
    orders = driver.tell(JobAdmitted(7, state))
    assert batches(orders) == []
    assert of(AdvanceSearch, orders) == []
    assert driver.states[7] is JobState.PREPARING
    orders = driver.tell(BatchReturned(1, PREPARED))
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]


def test_a_refit_on_a_rejoined_engine_is_awaited():
    driver = Driver()
    batch = in_hand(1, 5, kind=TaskKind.REFIT)
    driver.tell(EngineRejoined(1, (batch,)))
    driver.tell(EngineJoined(2))
    driver.tell(JobAdmitted(7, JobState.REFITTING))
    assert driver.tell(FoldsPlanned(7, 0, complete=True)) == []
    orders = driver.tell(BatchReturned(1, Refitted("m", "skops", (), None, 0.1)))
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]
    assert of(MoveJob, driver.tell(SearchEnded(7))) == [MoveJob(7, JobState.COMPLETED)]


@pytest.mark.parametrize("fate", ["returned", "lost"])
def test_what_becomes_of_a_batch_before_its_job_is_admitted_is_kept_for_it(fate):
    driver = Driver()
    batch = in_hand(1, 11)
    driver.tell(EngineRejoined(1, (batch,)))
    early = report(batch) if fate == "returned" else EngineLost(1, "killed")
    assert of((EndTask, PutBackTask), driver.tell(early)) == []
    orders = driver.tell(JobAdmitted(7, JobState.RUNNING))
    (end,) = of((EndTask, PutBackTask), orders)
    assert (end.task_id, end.attempt_id) == (11, 111)
    assert isinstance(end, EndTask) == (fate == "returned")
    assert driver.core.n_in_flight == 0


def test_a_job_that_fails_as_it_is_admitted_takes_all_its_batches_with_it():
    driver = Driver()
    batches_in_hand = [in_hand(1, 11), in_hand(2, 12, engine_id=2)]
    for engine_id, batch in enumerate(batches_in_hand, start=1):
        driver.tell(EngineRejoined(engine_id, (batch,)))
    for batch in batches_in_hand:
        failure = FoldResult(batch.tasks[0][1].task_id, batch.tasks[0][0], error="E: no")
        report_of_it = BatchReport(batch.batch_id, (failure,), (), 0.1)
        assert driver.tell(BatchReturned(batch.batch_id, report_of_it)) == []
    orders = driver.tell(JobAdmitted(7, JobState.RUNNING, raise_errors=True))
    assert [type(order) for order in orders] == [EndTask, CancelTasks, MoveJob]


def test_what_is_next_is_asked_when_all_that_came_early_is_known():
    driver = Driver()
    for task_id in (11, 12):
        driver.tell(EngineRejoined(task_id, (in_hand(task_id, task_id, engine_id=task_id),)))
    driver.tell(report(in_hand(11, 11)))
    failure = FoldResult(12, 112, error="E: no")
    driver.tell(BatchReturned(12, BatchReport(12, (failure,), (), 0.1)))
    orders = driver.tell(JobAdmitted(7, JobState.RUNNING, raise_errors=True))
    assert of(AdvanceSearch, orders) == [], "its job failed after all"


def test_a_batch_of_a_job_that_is_never_admitted_harms_nothing():
    driver = Driver()
    batch, other = in_hand(1, 11), in_hand(2, 21, job_id=8, engine_id=2)
    driver.tell(EngineRejoined(1, (batch,)))
    driver.tell(EngineRejoined(2, (other,)))
    driver.now += timedelta(seconds=1000)
    assert driver.tell(Tick()) == []
    assert driver.tell(report(batch)) == []
    assert of(Interrupt, driver.tell(CancelRequested(8))) == [Interrupt(2)], "given up by name"
    assert of((EndTask, PutBackTask), driver.tell(EngineLost(2, "killed"))) == []


def test_a_batch_without_open_attempts_is_interrupted():
    driver = Driver()
    orders = driver.tell(EngineRejoined(1, (in_hand(1), in_hand(2, 11))))
    assert of(Interrupt, orders) == [Interrupt(1)]
    driver.tell(JobAdmitted(7, JobState.RUNNING))
    assert driver.tell(report(in_hand(1))) == []
    assert of(EndTask, driver.tell(report(in_hand(2, 11))))


def test_time_limits_count_from_the_moment_of_rejoining():
    driver = Driver()
    driver.tell(EngineRejoined(1, (in_hand(1, 11),)))
    driver.tell(JobAdmitted(7, JobState.RUNNING, timeout=10.0))
    driver.now += timedelta(seconds=10.5)
    assert of(KillEngine, driver.tell(Tick())) == []
    driver.now += timedelta(seconds=1)
    assert of(KillEngine, driver.tell(Tick()))


def test_a_blameless_loss_makes_nobody_suspect(driver):
    (first,) = batches(driver.search(1, 200))
    running, waiting = batches(driver.tell(report(first, seconds=0.05)))
    orders = driver.tell(EngineLost(1, "the controller died", blameless=True))
    back = of(PutBackTask, orders)
    assert {o.task_id for o in back} == {t.task_id for b in (running, waiting) for _, t in b.tasks}
    assert {(o.n_attempts, o.n_engines_lost) for o in back} == {(0, 0)}
    assert of(StartEngine, orders) == [StartEngine(NOW)]
    again = batches(driver.tell(EngineJoined(2)))
    assert [len(b.tasks) for b in again] == [5, 5], "together as before"


def test_blameless_losses_delay_no_replacement(driver):
    for engine_id in range(1, 6):
        orders = driver.tell(EngineLost(engine_id, "the controller died", blameless=True))
        assert of(StartEngine, orders) == [StartEngine(NOW)]
        driver.tell(EngineJoined(engine_id + 1))


def test_a_task_that_the_disk_let_write_nothing_waits_uncounted(driver):
    full = TaskFailure("no space left on the cache's disk", is_environment=True)
    orders = driver.tell(JobAdmitted(1, JobState.QUEUED, todo=Task(5, TaskKind.PREPARE)))
    waits = []
    for _ in range(6):
        (batch,) = batches(orders)
        orders = driver.tell(BatchReturned(batch.batch_id, full))
        (back,) = of(PutBackTask, orders)
        assert (back.n_attempts, back.n_engines_lost) == (0, 0)
        before, orders = driver.now, []
        while not batches(orders):
            driver.now += timedelta(seconds=1)
            orders = driver.tell(Tick())
        waits.append((driver.now - before).total_seconds())
    assert waits == [5, 10, 20, 40, 60, 60]
    (note,) = [o for o in of(Note, driver.orders) if o.kind == "waiting"]
    assert note.message == "prepare waits: no space left on the cache's disk"
    assert of(AdvanceSearch, driver.tell(BatchReturned(batches(orders)[0].batch_id, PREPARED)))
