"""The screen of `foldq history`."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.commands.screens import cut_text, plain_table, state_text
from service.commands.terminal import clock, duration, score
from service.records import Job, parse_time, seconds_between


def history_table(jobs: Sequence[Job], now: datetime, *, wide: bool) -> Table:
    """Give past and present jobs with what came out; `wide` adds estimator and data."""
    table = plain_table()
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", min_width=8, max_width=28)
    table.add_column("State", no_wrap=True)
    table.add_column("Best", justify="right", no_wrap=True)
    table.add_column("Folds", justify="right", no_wrap=True)
    table.add_column("Failed", justify="right", no_wrap=True)
    table.add_column("Submitted", no_wrap=True)
    table.add_column("Took", justify="right", no_wrap=True)
    if wide:
        table.add_column("Estimator", min_width=8)
        table.add_column("Data", min_width=6, max_width=20)
        table.add_column("Tags", min_width=4)
    for job in jobs:
        cells: list[RenderableType] = [
            str(job.id),
            cut_text(job.name),
            state_text(job.state),
            score(job.best_score),
            str(job.n_tasks or ""),
            Text(str(job.n_failed), style="red") if job.n_failed else "",
            clock(parse_time(job.submitted_at), now),
            duration(seconds_between(job.started_at, job.finished_at, now)),
        ]
        if wide:
            cells += map(cut_text, (job.estimator, job.data, ", ".join(job.tags)))
        table.add_row(*cells)
    return table
