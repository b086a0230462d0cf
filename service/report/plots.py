"""The plots of a search, those that make sense for it, in the order of a page."""

import sqlite3
from collections.abc import Callable

from service.records import Job
from service.report.drawing import Figure
from service.report.material import Material
from service.report.outcome import best_so_far, fit_time


def figures(records: sqlite3.Connection, job: Job) -> list[Figure]:
    """Draw the plots of a job.

    Parameters
    ----------
    records : sqlite3.Connection
        As `service.records.open_records` gives it.
    job : Job
        In any state; for one without a finished fold there are no plots.

    Returns
    -------
    list of Figure
        Only those that make sense for the job.
    """
    return drawn(Material.read(records, job))


def drawn(material: Material) -> list[Figure]:
    """Draw the plots of what was read of a job."""
    plots: list[Callable[[Material], list[Figure]]] = [best_so_far, fit_time]
    return [figure for plot in plots for figure in plot(material)]
