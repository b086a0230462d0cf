"""The last folds, the winner, the result files; and all of it forgotten."""

import resource
import sys
import time
from datetime import timedelta

from benchmarks.scale.clock import Clock
from benchmarks.scale.madeup import finish_folds, now, text
from benchmarks.scale.subject import Scale
from schemas.lifecycle import JobState
from service.failures import fit_failures
from service.outdated import Wanted
from service.outdated import plan as plan_prune
from service.prune import prune
from service.records import open_records
from service.searches import Searches
from service.stimuli import MoveJob

#: Seconds between two turns of the loop.
LOOP = 0.05


def complete(scale: Scale) -> None:
    """Have all folds done, and the search completed."""
    with scale.measured.of("(making up results of the other half)"):
        finish_folds(scale.store, scale.job_id, scale.engine_id, 2**62)
    assert scale.store.n_pending_folds(scale.job_id) == 0
    with scale.measured.of("whether folds are open", 0.2):
        assert not scale.store.has_open_folds(scale.job_id)
    with scale.measured.of("whether all fits failed", 0.2):
        assert not fit_failures(scale.store.connection, scale.job_id).all_failed
    searches = scale.searches()
    _conclude(scale, searches, "from the last fold to the winner", 30.0)
    with scale.store.transaction() as db:
        db.execute(
            "UPDATE task SET state = 'done', finished_at = ? WHERE job_id = ? AND kind = 'refit'",
            (text(now()), scale.job_id),
        )
    _conclude(scale, searches, "from the refit to the written results", 60.0)
    searches.close()
    scale.store.record([MoveJob(scale.job_id, JobState.COMPLETED)], now())


def _conclude(scale: Scale, searches: Searches, step: str, limit: float) -> None:
    """Take the step beside the loop, whose own share of it is measured for itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = 0.0
    with scale.measured.of(step, limit):
        clock = Clock()
        list(searches.next_step(scale.job_id))
        spent = clock.read()[0]
        while searches.is_concluding(scale.job_id):
            time.sleep(LOOP)
            clock = Clock()
            for job_id in searches.concluded():
                list(searches.next_step(job_id))
            spent += clock.read()[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    beside = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    scale.measured.add("   of that, the loop was held for", spent, spent, limit=0.25)
    scale.measured.add("   and beside it was spent", scale.measured.steps[-2].seconds, beside)


def tidy(scale: Scale) -> None:
    """Look through the file, and forget everything."""
    with scale.measured.of("foldq doctor: the records"):
        from service.doctor_records import integrity
        from service.patient import Patient

        print(integrity(Patient(scale.spool)).told, file=sys.stderr)
    later = now() + timedelta(hours=2)
    wanted = Wanted(later)
    with (
        scale.measured.of("foldq prune: what would go"),
        open_records(scale.settings.database_path) as records,
    ):
        found = plan_prune(records, scale.spool, wanted, later)
    longest, clock = (0.0, 0.0), Clock()
    with scale.measured.of(f"foldq prune: {found.n_folds:,} folds, {len(found.jobs):,} jobs"):
        for _ in prune(scale.store, scale.spool, wanted, later):
            longest, clock = max(longest, clock.read()), Clock()
    scale.measured.add("foldq prune: its longest step", *longest)
