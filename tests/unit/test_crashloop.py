"""Engines that keep dying: when nothing more is sent, and when it goes on."""

from datetime import timedelta

import pytest
from core_driver import Driver, batches, of, report

from schemas.lifecycle import JobState, Outcome, TaskKind, TaskState
from schemas.task import TaskFailure
from service.policy import Policy
from service.stimuli import (
    BatchReturned,
    CancelRequested,
    DrainRequested,
    EndTask,
    EngineJoined,
    EngineLost,
    EngineNeverCame,
    JobAdmitted,
    MoveJob,
    Note,
    PauseRequested,
    PutBackTask,
    ResumeRequested,
    RetryPolicy,
    StartEngine,
    Task,
    Tick,
    Trouble,
)

NEVER_POISON = RetryPolicy(engine_losses=100)


@pytest.fixture
def driver():
    """A search of a hundred folds of which the first is out."""
    driver = Driver(Policy(respawn_backoff=1.0))
    driver.tell(EngineJoined(1))
    driver.search(1, 100, retry=NEVER_POISON)
    return driver


def lose(driver, because="killed by SIGKILL on host a", *, blameless=False):
    """The only engine dies, and the next one joins."""
    (engine,) = driver.core.engines
    orders = driver.tell(EngineLost(engine.engine_id, because, blameless=blameless))
    return orders + driver.tell(EngineJoined(engine.engine_id + 1))


def wait(driver, seconds):
    driver.now += timedelta(seconds=seconds)
    return driver.tell(Tick())


def stall(driver):
    return lose(driver) + lose(driver) + lose(driver)


def troubles(orders):
    return [trouble.because for trouble in of(Trouble, orders)]


def test_after_three_deaths_in_a_row_nothing_is_sent_and_people_are_told_why(driver):
    assert troubles(lose(driver) + lose(driver)) == []
    orders = lose(driver, "killed by SIGSEGV on host b")
    (told,) = troubles(orders)
    assert told == (
        "engines keep dying without finishing anything: 3 in a row, last: killed by SIGSEGV on"
        " host b; tasks go out again once an engine stays alive for 5 s"
    )
    assert [n.message for n in of(Note, orders) if n.kind == "dispatch stopped"] == [told]
    assert of(StartEngine, orders), "replacements are started all the same"
    assert batches(orders) == []
    assert batches(wait(driver, 4.9)) == []


def test_no_attempt_is_burned_while_engines_die_with_nothing_to_do(driver):
    stall(driver)
    for _ in range(20):
        orders = lose(driver)
        assert of((PutBackTask, EndTask), orders) == []
    (told,) = troubles(orders)
    assert "23 in a row" in told, "people are kept up to date"


def test_dispatch_goes_on_once_an_engine_has_stayed_alive(driver):
    stall(driver)
    wait(driver, 3)
    lose(driver)
    assert batches(wait(driver, 4.9)) == [], "the time counts from when this engine joined"
    orders = wait(driver, 0.1)
    assert troubles(orders) == [None]
    assert [n.kind for n in of(Note, orders)] == ["dispatch goes on"]
    assert batches(orders)


def test_the_proof_counts_from_the_stall_for_an_engine_that_was_there_before(driver):
    driver.tell(EngineJoined(50))
    driver.now += timedelta(seconds=100)
    for _ in range(3):
        driver.tell(EngineNeverCame("exit code 1"))
    assert batches(wait(driver, 4.9)) == []
    assert troubles(wait(driver, 0.1)) == [None]


def test_one_more_death_stops_it_again_and_for_longer(driver):
    stall(driver)
    waits = []
    for _ in range(6):
        seconds = 0
        while not batches(wait(driver, 1)):
            seconds += 1
        waits.append(seconds + 1)
        assert len(troubles(lose(driver))) == 1
    assert waits == [5, 10, 20, 40, 60, 60]


def test_anything_that_is_finished_ends_the_row(driver):
    stall(driver)
    (batch, *_) = batches(wait(driver, 5))
    driver.tell(report(batch))
    assert troubles(lose(driver) + lose(driver)) == []
    (told,) = troubles(lose(driver))
    assert told.endswith("stays alive for 5 s")


def test_a_task_finished_elsewhere_during_the_stall_ends_it_at_once(driver):
    orders = driver.tell(EngineJoined(50))
    (elsewhere,) = batches(orders)
    for _ in range(3):
        driver.tell(EngineNeverCame("exit code 1"))
    orders = driver.tell(report(elsewhere))
    assert troubles(orders) == [None]
    assert batches(orders)


def test_an_answer_that_is_an_error_shows_too_that_engines_work(driver):
    lose(driver)
    lose(driver)
    given_up = batches(driver.orders)[-1]
    driver.tell(CancelRequested(1))
    driver.tell(report(given_up))
    driver.tell(JobAdmitted(2, JobState.QUEUED, todo=Task(2000, TaskKind.PREPARE)))
    (prepare,) = [b for b in batches(driver.orders) if b.job_id == 2]
    driver.tell(BatchReturned(prepare.batch_id, TaskFailure("no such file")))
    assert troubles(lose(driver) + lose(driver)) == []


def test_engines_that_never_come_count_too():
    driver = Driver()
    orders = [o for _ in range(3) for o in driver.tell(EngineNeverCame("exit code 1"))]
    (told,) = troubles(orders)
    assert "3 in a row, last: exit code 1" in told


@pytest.mark.parametrize("how", ["blameless", "by us"])
def test_losses_at_no_fault_of_engine_or_task_do_not_count(how):
    driver = Driver()
    driver.tell(EngineJoined(1))
    driver.search(1, 100, timeout=10.0)
    for _ in range(5):
        if how == "by us":
            wait(driver, 12)
        assert troubles(lose(driver, blameless=how == "blameless")) == []
    ended = of(EndTask, driver.orders)
    assert len([e for e in ended if e.outcome is Outcome.TIMEOUT]) == (5 if how == "by us" else 0)


def test_persons_and_the_end_are_heard_while_nothing_is_sent(driver):
    stall(driver)
    assert of(MoveJob, driver.tell(PauseRequested(1)))[0].state is JobState.PAUSED
    assert driver.core.is_idle
    orders = driver.tell(ResumeRequested(1))
    assert of(MoveJob, orders) == [MoveJob(1, JobState.QUEUED)]
    assert batches(orders) == []
    driver.tell(DrainRequested())
    assert driver.core.n_in_flight == 0
    assert batches(wait(driver, 100)) == []
    assert of(MoveJob, driver.tell(CancelRequested(1)))[0].state is JobState.CANCELLED


def test_after_a_stop_those_go_first_that_took_no_engine_down(driver):
    suspect = batches(driver.orders)[-1].tasks[0][1].task_id
    stall(driver)
    (batch,) = batches(wait(driver, 5))
    assert batch.tasks[0][1].task_id != suspect
    orders = driver.tell(report(batch))
    assert batches(orders)[0].tasks[0][1].task_id == suspect, "engines work: it is its turn"


def test_a_broken_environment_hardly_charges_the_folds():
    driver = Driver()
    driver.tell(EngineJoined(1))
    driver.search(1, 100, retry=RetryPolicy(engine_losses=3))
    for _ in range(600):  # ten minutes in which every engine dies of whatever it is sent
        if batches(wait(driver, 1)):
            lose(driver)
    failed = [e for e in of(EndTask, driver.orders) if e.state is TaskState.FAILED]
    assert len(failed) <= 4
