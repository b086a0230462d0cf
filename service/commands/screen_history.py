"""The screen of `foldq history`."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.commands.screens import cut_text, plain_table, share_bar, state_text
from service.commands.terminal import clock, duration, score, short_count
from service.records import Job, parse_time, seconds_between

#: Columns of the longest bar.
BAR = 6


def history_table(jobs: Sequence[Job], now: datetime, *, wide: bool, bars: bool) -> Table:
    """Give past and present jobs with what came out.

    Parameters
    ----------
    wide : bool
        Show estimator, data and tags.
    bars : bool
        Draw a bar beside each best score: where it stands among the searches of the table on the
        same data by the same metric, from the lowest to the highest.
    """
    shares = _shares(jobs) if bars else {}
    has_failed = any(job.n_failed for job in jobs)
    table = plain_table(expendable=("", "Tags", "Data", "Estimator", "Failed", "Took", "Folds"))
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", min_width=8, max_width=28)
    table.add_column("State", no_wrap=True)
    table.add_column("Best", justify="right", no_wrap=True)
    if shares:
        table.add_column("", no_wrap=True, min_width=BAR)
    table.add_column("Folds", justify="right", no_wrap=True)
    if has_failed:
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
        ]
        if shares:
            share = shares.get(job.id)
            cells.append("" if share is None else Text(share_bar(share, BAR), "cyan"))
        cells.append(short_count(job.n_tasks) if job.n_tasks else "")
        if has_failed:
            cells.append(Text(short_count(job.n_failed), "red") if job.n_failed else "")
        cells += [
            clock(parse_time(job.submitted_at), now),
            duration(seconds_between(job.started_at, job.finished_at, now)),
        ]
        if wide:
            cells += map(cut_text, (job.estimator, job.data, ", ".join(job.tags)))
        table.add_row(*cells)
    return table


def _shares(jobs: Sequence[Job]) -> dict[int, float]:
    """Tell where each best score stands among those it can be compared with, from 0 to 1."""
    alike: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    for job in jobs:
        if job.best_score is not None and math.isfinite(job.best_score) and job.data_fingerprint:
            scoring = job.spec.get("scoring")
            metric = scoring if isinstance(scoring, str) else job.chosen_metric
            alike[job.data_fingerprint, metric][job.id] = job.best_score
    shares: dict[int, float] = {}
    for scores in alike.values():
        low, high = min(scores.values()), max(scores.values())
        if low < high:
            shares |= {job_id: (s - low) / (high - low) for job_id, s in scores.items()}
    return shares
