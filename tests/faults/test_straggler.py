"""An engine freezes, and nothing but the time its fold takes tells: another one does the work."""

import os
import signal

from searches import SEARCH, check_records


def test_what_a_frozen_engine_holds_is_done_by_an_idle_one_and_the_first_result_counts(
    new_scheduler,
):
    # So long between heartbeats that the controller does not miss the engine meanwhile.
    scheduler = new_scheduler(heartbeat=2_000)
    scheduler.start()
    scheduler.wait_for_engines()
    scheduler.drop(SEARCH, "struck.json")

    def busy() -> list[int]:
        job = scheduler.job("struck")
        if job is None or job["n_done"] < 100:
            return []
        rows = scheduler.query(
            "SELECT engine.pid FROM attempt JOIN engine ON engine.id = attempt.engine_id"
            " WHERE attempt.outcome IS NULL"
        )
        return [row["pid"] for row in rows]

    scheduler.wait_until(busy, "an engine at work")
    frozen = busy()[0]
    os.kill(frozen, signal.SIGSTOP)
    job = scheduler.wait("struck")
    check_records(scheduler, job["id"])
    superseded = scheduler.query(
        "SELECT engine.pid FROM attempt JOIN engine ON engine.id = attempt.engine_id"
        " WHERE outcome = 'superseded'"
    )
    assert {row["pid"] for row in superseded} == {frozen}
    scheduler.wait_until(lambda: frozen not in scheduler.engine_pids(), "it is ended")
    scheduler.wait_for_engines(2)
