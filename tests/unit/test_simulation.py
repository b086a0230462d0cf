"""The scheduler at sizes no test could run for real: its work grows with what happens alone."""

import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest
from core_driver import Driver, batches, report

from schemas.lifecycle import JobState, TaskKind
from service.queue import JobQueue
from service.stimuli import EngineJoined, JobAdmitted, Task, Tick

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.simulation import Simulation, table


@pytest.fixture
def looks(monkeypatch):
    """Counts how often the core looks at a job."""
    counted: Counter[int] = Counter()
    has_ready = JobQueue.has_ready

    def counting(job, *args, **options):
        counted[job.job_id] += 1
        return has_ready(job, *args, **options)

    monkeypatch.setattr(JobQueue, "has_ready", counting)
    return counted


@pytest.mark.parametrize("n_engines", [1, 40])
def test_a_simulated_search_goes_through_the_real_records(tmp_path, n_engines):
    ceiling = Simulation(tmp_path, n_engines, 2000, 0.01).run()
    assert ceiling.folds_per_second > 0
    assert len(table([ceiling]).splitlines()) == 2
    with sqlite3.connect(tmp_path / "foldq.db") as records:
        assert records.execute("SELECT state, n_done FROM job").fetchone() == ("completed", 2000)
        assert records.execute("SELECT DISTINCT outcome FROM attempt").fetchall() == [("ok",)]
        engines = "SELECT count(DISTINCT engine_id) FROM attempt"
        assert records.execute(engines).fetchone() == (n_engines,)


def test_batches_of_one_job_do_not_make_the_core_look_at_thousands_of_others(looks):
    driver = Driver()
    driver.tell(EngineJoined(1))
    driver.search(1, 900, priority=5)
    for job_id in range(2, 3000):
        driver.tell(JobAdmitted(job_id, JobState.QUEUED, todo=Task(-job_id, TaskKind.PREPARE)))
    looks.clear()
    batch = batches(driver.orders)[-1]
    for _ in range(5):
        batch = batches(driver.tell(report(batch, seconds=0.01)))[0]
        driver.tell(Tick())
    assert sum(looks.values()) < 100


def test_what_returns_from_one_engine_makes_the_core_look_at_no_other(looks):
    driver = Driver()
    for engine_id in range(1, 501):
        driver.tell(EngineJoined(engine_id))
    driver.search(1, 900, max_engines=1)
    driver.search(2, 900, max_engines=1)
    looks.clear()
    for _ in range(5):
        driver.tell(report(batches(driver.orders)[-1], seconds=0.01))
    assert sum(looks.values()) < 100, "498 engines are idle, and have nothing to hope for"
