"""The plots of a search, those that make sense for it, in the order of a page."""

import sqlite3

from service.records import Job
from service.report.drawing import Figure
from service.report.engines import engine_chart
from service.report.heatmap import heat_map
from service.report.importance import Importance, importance, importance_figure
from service.report.material import Material
from service.report.outcome import best_so_far, fit_time, fold_spread, rungs
from service.report.parallel import parallel
from service.report.slices import slices


def figures(records: sqlite3.Connection, job: Job) -> list[Figure]:
    """Draw the plots of a job.

    Parameters
    ----------
    records : sqlite3.Connection
        As `service.records.open_records` gives it.
    job : Job
        In any state; for one without a finished fold there are hardly any plots.

    Returns
    -------
    list of Figure
        Only those that make sense for the job.
    """
    material = Material.read(records, job)
    return drawn(material, importance(material))


def drawn(material: Material, found: Importance) -> list[Figure]:
    """Draw the plots of what was read of a job."""
    return [
        *best_so_far(material),
        *rungs(material),
        *importance_figure(material, found),
        *parallel(material, found),
        *heat_map(material, found),
        *slices(material, found),
        *fit_time(material),
        *fold_spread(material),
        *engine_chart(material),
    ]
