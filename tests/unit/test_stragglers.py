"""Second attempts of what runs far beyond its peers: when they go out, and which result counts."""

from datetime import timedelta

import pytest
from core_driver import Driver, batches, in_hand, of, report

from schemas.lifecycle import FailureReason, JobState, Outcome, TaskKind, TaskState
from schemas.task import BatchReport, FoldResult, Refitted
from service.policy import Policy
from service.stimuli import (
    AdvanceSearch,
    BatchReturned,
    CancelRequested,
    DrainRequested,
    EndAttempt,
    EndTask,
    EngineJoined,
    EngineLost,
    EngineNeverCame,
    EngineRejoined,
    FoldsLoaded,
    FoldsPlanned,
    Interrupt,
    JobAdmitted,
    KillEngine,
    Note,
    PauseRequested,
    PutBackTask,
    RetryPolicy,
    Task,
    TaskPlanned,
    Tick,
)


class Search(Driver):
    """A search on engines of its own; each engine has one batch, which aims at a second."""

    def __init__(
        self, n_folds: int = 4, n_engines: int = 2, n_splits: int = 100, window: int = 1, **options
    ):
        share = 1.0 if window == 2 else 0.1
        super().__init__(
            Policy(batch_seconds=1.0, window=window, straggler_share=share, lead_seconds=1.0)
        )
        self.tell(JobAdmitted(1, JobState.RUNNING, n_open=n_folds, **options))
        self.tell(FoldsPlanned(1, 0, complete=True))
        folds = tuple(
            Task(100 + i, TaskKind.FOLD, {}, i % n_splits, candidate_id=i // n_splits)
            for i in range(n_folds)
        )
        self.tell(FoldsLoaded(1, folds))
        for engine_id in range(1, n_engines + 1):
            self.tell(EngineJoined(engine_id))

    @property
    def out(self):
        """Batches at engines, by engine, the running one first."""
        return {
            engine.engine_id: [flight.batch for flight in engine.flights]
            for engine in self.core.engines
        }

    def answer(self, engine_id: int, *, seconds: float = 1.0, **options):
        (batch, *_) = self.out[engine_id]
        return self.tell(report(batch, seconds=seconds, **options))

    def wait(self, seconds: float):
        self.now += timedelta(seconds=seconds)
        return self.tell(Tick())

    @classmethod
    def with_straggler(cls, **options) -> "Search":
        """Engine 1 hangs in fold 100 while engine 2 has finished the other three."""
        search = cls(**options)
        for _ in range(3):
            search.answer(2)
        assert [len(held) for held in search.out.values()][:2] == [1, 0]
        return search

    @classmethod
    def with_batches(cls) -> "Search":
        """Engine 1 hangs in a batch of several folds while another one waits behind it."""
        search = cls(n_folds=13, window=2)
        search.answer(1, seconds=0.1)
        search.answer(2, seconds=0.1)
        while search.out[2]:
            search.answer(2, seconds=0.1)
        search.tell(EngineJoined(3))
        return search


def copies(orders):
    """Batches sent as copies: each comes with its note."""
    assert len(of(Note, orders)) == len(batches(orders))
    assert {note.kind for note in of(Note, orders)} <= {"straggler copied"}
    return batches(orders)


def failed(batch, *, error_types=(), timed_out=False):
    results = tuple(
        FoldResult(task.task_id, attempt_id, error="E: no", error_types=error_types,
                   timed_out=timed_out)
        for attempt_id, task in batch.tasks
    )  # fmt: skip
    return BatchReturned(batch.batch_id, BatchReport(batch.batch_id, results, (), 1.0))


def test_a_fold_far_beyond_its_peers_goes_to_an_idle_engine_too():
    search = Search.with_straggler()
    assert copies(search.wait(3.0)) == [], "three times its peers' second, not more"
    (copy,) = copies(search.wait(0.1))
    assert copy.engine_id == 2
    assert [task.task_id for _, task in copy.tasks] == [100]
    assert copies(search.wait(100)) == [], "once"


def test_what_is_beyond_its_peers_counts_from_some_seconds_on_only():
    search = Search()
    for _ in range(3):
        search.answer(2, seconds=0.001)
    assert copies(search.wait(2.0)) == []
    assert copies(search.wait(0.1))


def test_the_first_result_counts_and_the_other_attempt_is_closed_at_once():
    search = Search.with_straggler()
    (original,) = search.out[1]
    (copy,) = copies(search.wait(4))
    orders = search.tell(report(copy))
    (end,) = of(EndTask, orders)
    assert (end.task_id, end.attempt_id, end.state) == (100, copy.tasks[0][0], TaskState.DONE)
    assert of(EndAttempt, orders) == [EndAttempt(original.tasks[0][0], Outcome.SUPERSEDED)]
    assert of(Interrupt, orders) == [Interrupt(1)]
    assert of(AdvanceSearch, orders) == [AdvanceSearch(1)], "nobody waits for the slow one"
    assert search.tell(report(original)) == []


def test_the_original_may_win_too():
    search = Search.with_straggler()
    (original,) = search.out[1]
    (copy,) = copies(search.wait(4))
    orders = search.tell(report(original))
    assert [o.attempt_id for o in of(EndTask, orders)] == [original.tasks[0][0]]
    assert of(EndAttempt, orders) == [EndAttempt(copy.tasks[0][0], Outcome.SUPERSEDED)]
    assert of(Interrupt, orders) == [Interrupt(2)]


def test_an_engine_that_does_not_leave_off_a_lost_race_is_ended():
    search = Search.with_straggler()
    (copy,) = copies(search.wait(4))
    search.tell(report(copy))
    assert of(KillEngine, search.wait(5)) == []
    assert [o.engine_id for o in of(KillEngine, search.wait(0.1))] == [1]
    orders = search.tell(EngineLost(1, "killed"))
    assert of((EndTask, EndAttempt, PutBackTask), orders) == []
    assert search.core.crashes.n_losses == 0, "ended by us"


def test_siblings_on_other_splits_say_most_exactly_what_a_fold_may_cost():
    # Candidate 0 takes a second a fold, candidate 1 ten.
    search = Search(n_folds=8, n_splits=4)
    for _ in range(7):
        (_, fold), *_ = search.out[2][0].tasks
        search.answer(2, seconds=10 if fold.candidate_id else 1)
    assert copies(search.wait(3)) == []
    assert copies(search.wait(0.1))


def test_a_candidate_of_its_own_is_held_against_the_slowest_fold_of_all():
    search = Search(n_folds=4, n_splits=1)
    for seconds in (1, 5, 1):
        search.answer(2, seconds=seconds)
    assert copies(search.wait(15)) == []
    assert copies(search.wait(0.1))


@pytest.mark.parametrize(("n_splits", "n_peers"), [(100, 2), (1, 3)])
def test_nothing_is_far_beyond_while_too_few_peers_are_finished(n_splits, n_peers):
    search = Search(n_folds=n_peers, n_splits=n_splits)
    for _ in range(n_peers - 1):
        search.answer(2)
    assert copies(search.wait(1000)) == []


def test_folds_on_more_samples_are_held_against_their_like():
    search = Search(n_folds=3)
    for _ in range(2):
        search.answer(2)
    search.answer(1)
    search.tell(FoldsPlanned(1, 2, complete=True))
    larger = tuple(Task(i, TaskKind.FOLD, {}, 0, 500, candidate_id=i) for i in (200, 201))
    search.tell(FoldsLoaded(1, larger))
    search.answer(2, seconds=30)
    assert copies(search.wait(1000)) == []


def test_failed_folds_say_nothing_of_what_others_may_cost():
    search = Search(n_splits=1)
    for _ in range(3):
        search.tell(failed(search.out[2][0]))
    assert copies(search.wait(1000)) == []


def test_a_whole_batch_may_take_as_long_as_all_its_folds():
    search = Search(n_folds=40, window=2)
    search.answer(1, seconds=0.2)
    search.answer(2, seconds=0.2)
    while search.out[2]:
        search.answer(2, seconds=0.2)
    limit = 3 * 0.2 * len(search.out[1][0].tasks)
    assert limit > 2.0
    assert copies(search.wait(limit)) == []
    assert copies(search.wait(0.1))


def test_what_waits_behind_a_straggler_is_sent_elsewhere_too():
    search = Search.with_batches()
    running, waiting = search.out[1]
    behind, ahead = sorted(copies(search.wait(2.1)), key=lambda batch: -batch.tasks[0][1].task_id)
    assert [task for _, task in ahead.tasks] == [task for _, task in running.tasks]
    assert [task for _, task in behind.tasks] == [task for _, task in waiting.tasks]


def test_a_batch_that_waited_in_vain_is_interrupted_when_its_turn_comes():
    search = Search.with_batches()
    running, waiting = search.out[1]
    (behind,) = [b for b in copies(search.wait(2.1)) if b.tasks[0][1] is waiting.tasks[0][1]]
    orders = search.tell(report(behind))
    assert {o.attempt_id for o in of(EndAttempt, orders)} == {a for a, _ in waiting.tasks}
    assert of(Interrupt, orders) == [], "it does not run yet"
    search.wait(60)
    assert Interrupt(1) in search.tell(report(running))
    assert of(KillEngine, search.wait(5)) == [], "from now on the grace counts"
    assert [o.engine_id for o in of(KillEngine, search.wait(0.1)) if o.engine_id == 1] == [1]


def test_copies_keep_to_the_jobs_own_engine_limit():
    search = Search(n_folds=4, n_engines=1, max_engines=2)
    search.tell(EngineJoined(2))
    search.tell(EngineJoined(3))
    for _ in range(3):
        search.answer(2)
    search.tell(JobAdmitted(2, JobState.RUNNING, n_open=2, max_engines=1))
    assert len(copies(search.wait(4))) == 1

    alone = Search(n_folds=4, n_engines=1, max_engines=1)
    for _ in range(3):
        alone.answer(1)
    alone.tell(EngineJoined(2))
    assert copies(alone.wait(1000)) == []


@pytest.mark.parametrize(("n_engines", "n_copies"), [(8, 1), (30, 3)])
def test_a_tenth_of_the_engines_may_run_copies(n_engines, n_copies):
    search = Search(n_folds=n_engines + 10, n_engines=n_engines)
    half = n_engines // 2
    while search.out[1]:
        search.answer(1)
    for engine_id in range(2, half + 1):
        search.answer(engine_id)
    assert len(copies(search.wait(100))) == n_copies
    assert copies(search.wait(100)) == []


@pytest.mark.parametrize("why", ["draining", "held", "stalled", "ready elsewhere"])
def test_no_copy_is_sent_while(why):
    search = Search.with_straggler()
    match why:
        case "draining":
            search.tell(DrainRequested())
        case "held":
            search.tell(PauseRequested(1))
        case "stalled":
            for _ in range(3):
                search.tell(EngineNeverCame("exit code 1"))
        case "ready elsewhere":
            search.tell(JobAdmitted(2, JobState.RUNNING, n_open=1))
            search.tell(FoldsPlanned(2, 0, complete=True))
            search.tell(FoldsLoaded(2, (Task(900, TaskKind.FOLD, {}, 0),)))
    assert copies(search.wait(4)) == []


def test_a_copy_that_could_not_be_done_within_the_time_limit_is_not_sent():
    assert copies(Search.with_straggler(timeout=5.0).wait(4)) != []
    assert copies(Search.with_straggler(timeout=5.0).wait(4.1)) == []


def test_prepare_and_refit_tasks_are_never_copied():
    search = Search(n_folds=4)
    while search.out[1]:
        search.answer(1)
    search.answer(2)
    search.tell(TaskPlanned(1, Task(999, TaskKind.REFIT)))
    assert copies(search.wait(1000)) == []


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("blameless", [False, True])
def test_while_one_attempt_lives_the_loss_of_the_other_moves_nothing(lost, blameless):
    search = Search.with_straggler()
    search.wait(4)
    (gone,), (lives,) = search.out[lost], search.out[3 - lost]
    orders = search.tell(EngineLost(lost, "killed", blameless=blameless))
    assert of((EndTask, PutBackTask), orders) == []
    (end,) = of(EndAttempt, orders)
    assert (end.attempt_id, end.outcome) == (gone.tasks[0][0], Outcome.ENGINE_LOST)
    orders = search.tell(report(lives))
    assert len(of(EndTask, orders)) == 1
    assert of(EndAttempt, orders) == []


def test_engines_that_die_under_both_attempts_alone_count_and_may_be_poison():
    search = Search.with_straggler(retry=RetryPolicy(engine_losses=2))
    search.wait(4)
    assert of(EndTask, search.tell(EngineLost(1, "killed"))) == []
    (end,) = of(EndTask, search.tell(EngineLost(2, "killed too")))
    assert (end.reason, end.n_engines_lost) == (FailureReason.POISON, 2)
    assert "(engine 1, 2); last: killed too" in end.error


def test_a_task_is_never_poison_while_another_attempt_lives():
    search = Search.with_straggler(retry=RetryPolicy(engine_losses=1))
    (copy,) = copies(search.wait(4))
    assert of(EndTask, search.tell(EngineLost(1, "killed"))) == []
    (end,) = of(EndTask, search.tell(report(copy)))
    assert end.state is TaskState.DONE


def test_a_copy_that_comes_back_unstarted_leaves_the_task_where_it_is():
    search = Search.with_straggler()
    (copy,) = copies(search.wait(4))
    orders = search.tell(report(copy, n_done=0))
    assert of((EndTask, PutBackTask), orders) == []
    assert of(EndAttempt, orders) == [EndAttempt(copy.tasks[0][0], Outcome.RETURNED)]
    assert copies(search.wait(1)) == [], "not tried again at once"
    assert copies(search.wait(5)), "but later"
    (end,) = of(EndTask, search.answer(1))
    assert end.state is TaskState.DONE


def test_an_error_worth_a_retry_waits_for_the_other_attempt():
    retry = RetryPolicy(attempts=3, on=frozenset({"OSError"}))
    search = Search.with_straggler(retry=retry)
    (copy,) = copies(search.wait(4))
    orders = search.tell(failed(copy, error_types=("OSError",)))
    assert of(EndAttempt, orders) == [EndAttempt(copy.tasks[0][0], Outcome.ERROR, "E: no")]
    (end,) = of(EndTask, search.answer(1))
    assert (end.state, end.n_attempts) == (TaskState.DONE, 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({}, FailureReason.ERROR), ({"timed_out": True}, FailureReason.TIMEOUT)],
)
def test_the_folds_own_error_or_timeout_is_a_result_like_any_other(options, reason):
    search = Search.with_straggler()
    (copy,) = copies(search.wait(4))
    orders = search.tell(failed(copy, **options))
    (end,) = of(EndTask, orders)
    assert end.reason is reason
    assert [o.outcome for o in of(EndAttempt, orders)] == [Outcome.SUPERSEDED]
    assert of(EndTask, search.answer(1)) == []


def test_where_errors_are_raised_both_attempts_are_closed_before_the_job_fails():
    search = Search.with_straggler(raise_errors=True)
    (copy,) = copies(search.wait(4))
    orders = [o for o in search.tell(failed(copy)) if not isinstance(o, Interrupt | Note)]
    kinds = [type(o).__name__ for o in orders]
    assert kinds == ["EndTask", "EndAttempt", "CancelTasks", "MoveJob"]


def test_a_cancelled_job_forgets_its_copies():
    search = Search.with_straggler()
    (copy,) = copies(search.wait(4))
    orders = search.tell(CancelRequested(1))
    assert {o.engine_id for o in of(Interrupt, orders)} == {1, 2}
    # Its folds are tried again before the engines left off.
    search.tell(JobAdmitted(1, JobState.QUEUED, n_open=1))
    search.tell(FoldsPlanned(1, 0, complete=True))
    search.tell(FoldsLoaded(1, (Task(100, TaskKind.FOLD, {}, 0),)))
    (again,) = batches(search.tell(EngineJoined(3)))
    assert of((EndTask, EndAttempt), search.tell(report(copy))) == []
    orders = search.tell(report(again))
    assert len(of(EndTask, orders)) == 1
    assert of(EndAttempt, orders) == []


def test_a_copy_is_known_again_after_a_restart():
    driver = Driver()
    original, copy = in_hand(1, 11, 12), in_hand(2, 11, 12, engine_id=2)
    copy = type(copy)(2, 7, 2, TaskKind.FOLD, ((211, copy.tasks[0][1]), (212, copy.tasks[1][1])), 1)
    driver.tell(EngineRejoined(1, (original,)))
    driver.tell(EngineRejoined(2, (copy,)))
    driver.tell(JobAdmitted(7, JobState.RUNNING))
    driver.tell(FoldsPlanned(7, 0, complete=True))
    orders = driver.tell(report(copy, n_done=1))
    assert [o.attempt_id for o in of(EndTask, orders)] == [211]
    assert of(EndAttempt, orders) == [
        EndAttempt(111, Outcome.SUPERSEDED), EndAttempt(212, Outcome.RETURNED),
    ]  # fmt: skip
    orders = driver.tell(report(original))
    assert [o.attempt_id for o in of(EndTask, orders)] == [112]
    assert of(AdvanceSearch, orders) == [AdvanceSearch(7)]


def test_both_attempts_may_come_back_before_their_job_is_admitted():
    driver = Driver()
    original, copy = in_hand(1, 11), in_hand(2, 11, engine_id=2)
    copy = type(copy)(2, 7, 2, TaskKind.FOLD, ((211, copy.tasks[0][1]),), 1)
    driver.tell(EngineRejoined(1, (original, in_hand(3, 12))))
    driver.tell(EngineRejoined(2, (copy,)))
    driver.tell(report(copy))
    driver.tell(report(original))
    orders = driver.tell(JobAdmitted(7, JobState.RUNNING))
    assert driver.core.jobs[7].engines == {1: 1}, "batch 3 is still there"
    assert [o.attempt_id for o in of(EndTask, orders)] == [211]
    assert of(EndAttempt, orders) == [EndAttempt(111, Outcome.SUPERSEDED)]


def test_a_refit_follows_while_the_lost_race_still_occupies_its_engine():
    search = Search.with_straggler()
    (copy,) = copies(search.wait(4))
    search.tell(report(copy))
    (refit,) = batches(search.tell(TaskPlanned(1, Task(999, TaskKind.REFIT))))
    assert refit.engine_id == 2
    orders = search.tell(BatchReturned(refit.batch_id, Refitted("m", "skops", (), None, 0.1)))
    assert of(AdvanceSearch, orders) == [AdvanceSearch(1)]
