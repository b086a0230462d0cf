"""The screen of `foldq compare`: what differs, and the scores side by side."""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.commands.screens import cut_text, mean_and_error, plain_table, state_text
from service.commands.terminal import counted, params, score, short_count, value_text
from service.compare import Against, Best, Comparison, Paired
from service.differing import ABSENT
from service.records import Job

#: Splits whose scores are shown; of more, the first ones.
SPLITS_TOLD = 10


def compare_screen(comparison: Comparison) -> Group:
    """Give the whole of `foldq compare`."""
    jobs = comparison.jobs
    parts: list[RenderableType] = [_jobs(comparison)]
    parts += ["", Text("What differs", style="bold")]
    if comparison.differences:
        parts.append(_differences(comparison))
    else:
        parts.append(Text("Nothing: the same search on the same data."))
    if comparison.metric is None:
        said = "No metric is common to all of them, so there are no differences of scores to tell:"
        own = ", ".join(f"job {job.id} {_own(comparison, job)}" for job in jobs)
        parts += ["", Text(f"{said} {own}.")]
        return Group(*parts)
    shared = [a for a in comparison.against if a.paired is not None]
    if shared:
        parts += ["", _splits_title(comparison), _splits(comparison)]
    for against in comparison.against:
        parts += ["", _verdict(jobs[0], against, comparison.metric)]
    return Group(*parts)


def _jobs(comparison: Comparison) -> Table:
    table = plain_table(expendable=("Candidates", "State"))
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", min_width=8, max_width=24)
    table.add_column("State", no_wrap=True)
    table.add_column("Candidates", justify="right", no_wrap=True)
    if comparison.metric is None:
        table.add_column("Metric", no_wrap=True)
    table.add_column(f"Best {comparison.metric or ''}".strip(), no_wrap=True)
    table.add_column("Parameters", min_width=20)
    for job in comparison.jobs:
        best = comparison.bests[job.id]
        table.add_row(
            str(job.id),
            cut_text(job.name),
            state_text(job.state),
            short_count(job.n_candidates),
            *([] if comparison.metric else [Text(_own(comparison, job))]),
            "–" if best is None else mean_and_error(best.mean, best.sem),
            Text("" if best is None else params(best.params)),
        )
    return table


def _own(comparison: Comparison, job: Job) -> str:
    name = comparison.own_metrics[job.id]
    return "estimator's own" if name == "score" else name


def _differences(comparison: Comparison) -> Table:
    table = plain_table(padding=2)
    table.add_column("", style="dim", overflow="fold")
    for job in comparison.jobs:
        table.add_column(f"Job {job.id}", overflow="fold")
    for difference in comparison.differences:
        table.add_row(Text(difference.path), *map(_value, difference.values))
    return table


def _value(value: Any) -> Text:
    return Text("–", style="dim") if value is ABSENT else Text(value_text(value))


def _splits_title(comparison: Comparison) -> Text:
    best = [str(best.row) for best in comparison.bests.values() if best is not None]
    title = Text(f"{comparison.metric} of the best candidates, split by split", style="bold")
    return title.append(f"  (rows {', '.join(best)})", style="dim")


def _splits(comparison: Comparison) -> Table:
    """Give the scores on shared splits, with the differences to the first job."""
    first, *others = comparison.jobs
    paired = {a.job_id: a.paired for a in comparison.against if a.paired is not None}
    shown = [job for job in others if job.id in paired]
    table = plain_table(padding=2)
    table.add_column("Split", justify="right", no_wrap=True)
    table.add_column(f"Job {first.id}", justify="right", no_wrap=True)
    for job in shown:
        table.add_column(f"Job {job.id}", justify="right", no_wrap=True)
        table.add_column("Difference", justify="right", no_wrap=True)
    scores = {job.id: _scores(comparison.bests[job.id]) for job in (first, *shown)}
    n_splits = len(scores[first.id])
    for split in range(min(n_splits, SPLITS_TOLD)):
        cells = [str(split), score(scores[first.id][split])]
        for job in shown:
            cells += [score(scores[job.id][split]), signed(paired[job.id].differences[split])]
        table.add_row(*cells)
    if n_splits > SPLITS_TOLD:
        table.add_row("…", Text(f"{n_splits - SPLITS_TOLD} more: --json", style="dim"))
    return table


def _scores(best: Best | None) -> Sequence[float]:
    return () if best is None else best.scores


def signed(value: float) -> str:
    """Write a difference with its sign, and four digits after the point where those tell it.

    Examples
    --------
    >>> signed(0.0125), signed(-0.5), signed(0.00056), signed(0.0)
    ('+0.0125', '-0.5000', '+0.0006', '0.0000')
    """
    if math.isnan(value):
        return "–"
    return f"+{_small(value)}" if value > 0 else _small(value)


def _small(value: float) -> str:
    return f"{value:.4f}" if 0.0001 <= abs(value) < 0.001 else score(value)


def _verdict(first: Job, against: Against, metric: str) -> Group:
    lines = []
    title = Text(f"Job {against.job_id} less job {first.id}: ", style="bold")
    if math.isnan(against.difference):
        title.append(f"nothing to compare, {against.unpaired_because}.", style="")
        return Group(title)
    title.append(f"{signed(against.difference)}")
    if not math.isnan(against.sem):
        title.append(f" ± {_small(against.sem)}")
    title.append(f" {metric}")
    lines.append(title)
    if against.paired is None:
        lines.append(
            Text(
                f"Not paired, because {against.unpaired_because}: the difference of two means,"
                " with the error of independent ones. Take it for a hint at most."
            )
        )
    else:
        lines.append(Text(_paired_words(against.paired)))
    if against.common is not None:
        common = against.common
        lines.append(
            Text(
                f"Of {counted(common.n, 'candidate')} that both have tried, {common.n_better:,}"
                f" did better in job {against.job_id}, {common.n_worse:,} worse; mean"
                f" difference {signed(common.mean)}."
            )
        )
    return Group(*lines)


def _paired_words(paired: Paired) -> str:
    if paired.n < 2:
        return "One shared split has no standard error."
    if math.isnan(paired.p):
        return f"The same difference on all {paired.n} splits: there is nothing to test."
    return (
        f"Paired on {paired.n} splits; corrected resampled t-test (Nadeau and Bengio, 2003):"
        f" t = {paired.t:.2f}, p = {paired.p:.2g}. Both candidates were chosen for these very"
        " splits, so on new data expect less of a difference."
    )
