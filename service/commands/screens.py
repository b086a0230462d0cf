"""What people see: jobs, engines, results, as tables that fit the width there is."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.lifecycle import JobState
from service.commands.terminal import clock, duration, params, score, value_text
from service.history import Progress
from service.lives import Engine, Load
from service.records import Job, parse_time, seconds_between

if TYPE_CHECKING:
    from service.lock import Holder
    from service.results import CVResults

STATE_STYLES = {
    JobState.QUEUED: "dim",
    JobState.PREPARING: "cyan",
    JobState.RUNNING: "bold cyan",
    JobState.REFITTING: "cyan",
    JobState.PAUSED: "yellow",
    JobState.COMPLETED: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "magenta",
}


def plain_table(padding: int = 1) -> Table:
    """Give an empty table without lines around it, `padding` columns of space between cells."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, padding, 0, 0))


def cut_text(text: str) -> Text:
    """Give text of which a narrow column shows the beginning.

    The columns around it are `no_wrap`, so this is the one that gives way.
    """
    return Text(text, no_wrap=True, overflow="ellipsis")


def state_text(state: JobState) -> Text:
    """Give a state in its colour."""
    return Text(state.value, style=STATE_STYLES[state])


def jobs_table(lines: Sequence[Progress], *, bars: bool) -> Table:
    """Give the jobs and how far they are.

    Parameters
    ----------
    bars : bool
        Draw progress bars; in a pipe they would only be noise.
    """
    table = plain_table()
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", min_width=8, max_width=28)
    table.add_column("State", no_wrap=True)
    if bars:
        table.add_column("Progress", min_width=8, max_width=24)
    table.add_column("Folds", justify="right", no_wrap=True)
    if any(line.job.n_failed for line in lines):
        table.add_column("Failed", justify="right", no_wrap=True)
    table.add_column("Best", justify="right", no_wrap=True)
    table.add_column("Left", justify="right", no_wrap=True)
    for line in lines:
        job = line.job
        cells: list[RenderableType] = [str(job.id), cut_text(job.name), state_text(job.state)]
        if bars:
            cells.append(_bar(job) if job.n_tasks else "")
        cells.append(f"{job.n_done + job.n_failed}/{job.n_tasks}" if job.n_tasks else "")
        if any(other.job.n_failed for other in lines):
            cells.append(Text(str(job.n_failed), style="red") if job.n_failed else "")
        cells += [score(line.best_score), duration(line.time_left)]
        table.add_row(*cells)
    return table


def _bar(job: Job) -> ProgressBar:
    colour = {JobState.FAILED: "red", JobState.CANCELLED: "magenta", JobState.PAUSED: "yellow"}
    return ProgressBar(
        total=max(job.n_tasks, 1),
        completed=job.n_done + job.n_failed,
        complete_style=colour.get(job.state, "cyan"),
        finished_style="green" if job.state == JobState.COMPLETED else "cyan",
    )


def scheduler_line(
    holder: "Holder | None", spool: str, n_engines: int, n_busy: int
) -> RenderableType:
    """Say whether a scheduler runs, which, with how many engines, and what troubles it."""
    if holder is None:
        return Text.assemble(("● ", "red"), "no scheduler running on ", (spool, "bold"))
    engines = f"{n_engines} engine{'' if n_engines == 1 else 's'}, {n_busy} busy"
    line = Text.assemble(
        ("● ", "yellow" if holder.trouble else "green"),
        "scheduler running on ",
        (spool, "bold"),
        f" · process {holder.pid} on {holder.host} · {engines}",
    )
    if holder.trouble:
        line.append_text(Text.assemble(("\n✗ trouble: ", "bold red"), (holder.trouble, "red")))
    return line


def status_screen(
    lines: Sequence[Progress], head: RenderableType, n_more: int, *, bars: bool
) -> Group:
    """Give the whole of `foldq status`."""
    parts: list[RenderableType] = [head, ""]
    if lines:
        parts.append(jobs_table(lines, bars=bars))
    else:
        parts.append(Text("No jobs. Drop a job file into incoming/, or: foldq submit FILE"))
    if n_more:
        parts += ["", Text(f"{n_more} earlier jobs: foldq history", style="dim")]
    return Group(*parts)


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


def engines_table(
    engines: Sequence[Engine], loads: Mapping[int, Sequence[Load]], now: datetime
) -> Table:
    """Give engines: where they run, what is at them now, and why they left."""
    table = plain_table()
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Host", min_width=6)
    table.add_column("PID", justify="right", no_wrap=True)
    table.add_column("Joined", no_wrap=True)
    table.add_column("Done", justify="right", no_wrap=True)
    table.add_column("Doing")
    for engine in engines:
        if engine.is_live:
            state = Text("live", style="green")
            doing = ", ".join(map(load_text, loads.get(engine.id, ()))) or "idle"
        else:
            state = Text("gone", style="dim")
            left = clock(parse_time(engine.left_at), now)
            doing = f"left {left}: {engine.left_because}"
        table.add_row(
            str(engine.id),
            state,
            cut_text(engine.host),
            str(engine.pid),
            clock(parse_time(engine.joined_at), now),
            str(engine.n_done),
            Text(doing, style="" if engine.is_live else "dim"),
        )
    return table


def load_text(load: Load) -> str:
    """Say what is at an engine: "job 7: 34 folds"."""
    what = f"{load.n_tasks} fold{'' if load.n_tasks == 1 else 's'}"
    return f"job {load.job_id}: {what if load.kind == 'fold' else load.kind}"


#: More parameters than this share one column.
MAX_PARAM_COLUMNS = 5


def results_table(results: "CVResults", rows: Sequence[int], metrics: Sequence[str]) -> Table:
    """Give some rows of `cv_results_`: rank, mean ± standard deviation, parameters.

    The step names before `__` are left out where that leaves the parameters distinct.
    """
    table = plain_table(padding=2)
    table.add_column("Row", justify="right", no_wrap=True)
    if "iter" in results:
        table.add_column("Iter", justify="right", no_wrap=True)
        table.add_column("Resources", justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.capitalize() if metric == "score" else metric, no_wrap=True)
    if "n_splits_done" in results:
        table.add_column("Folds", justify="right", no_wrap=True)
    names = _shown_parameters([results["params"][row] for row in rows])
    separate = 0 < len(names) <= MAX_PARAM_COLUMNS
    for name in names.values() if separate else ["Parameters"]:
        table.add_column(name)
    for row in rows:
        cells: list[RenderableType] = [str(row)]
        if "iter" in results:
            cells += [str(results["iter"][row]), str(results["n_resources"][row])]
        for metric in metrics:
            mean, std = results[f"mean_test_{metric}"][row], results[f"std_test_{metric}"][row]
            cells.append(_mean_and_std(float(mean), float(std)))
        if "n_splits_done" in results:
            cells.append(str(results["n_splits_done"][row]))
        values: dict[str, Any] = results["params"][row]
        if separate:
            cells += [value_text(values[name]) if name in values else "–" for name in names]
        else:
            cells.append(params(values))
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table


def results_screen(job: Job, table: "CVResults", n: int, *, partial: bool) -> Group:
    """Give the best candidates, and which of them won."""
    from service import exports

    n_candidates = len(table["params"])
    title = Text.assemble((f"Job {job.id} · {job.name}", "bold"))
    if partial:
        done = job.n_done + job.n_failed
        title.append(f" · {job.state}, {done} of {job.n_tasks} folds: partial results", "yellow")
    elif job.n_failed:
        title.append(f" · {job.n_failed} of {job.n_tasks} fits failed", "red")
    if not n_candidates:
        return Group(title, "", "No candidates yet.")
    metric = job.chosen_metric
    metrics = [metric, *(other for other in job.metrics if other != metric)]
    parts: list[RenderableType] = [
        title,
        "",
        results_table(table, exports.top(table, n, metric), metrics),
        "",
    ]
    if job.best_index is not None:
        saved = f", saved as results/{job.id}/{job.refitted['file']}" if job.refitted else ""
        parts.append(Text(f"Best: row {job.best_index}{saved}", style="green"))
    if n_candidates > n:
        more = f"{n} of {n_candidates} candidates; all: foldq results {job.id} --csv"
        parts.append(Text(more, style="dim"))
    return Group(*parts)


def _mean_and_std(mean: float, std: float) -> str:
    if math.isnan(mean):
        return "–"
    return score(mean) if math.isnan(std) else f"{score(mean)} ± {score(std)}"


def _shown_parameters(candidates: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Give {parameter: its title}, in the order of appearance, of all candidates together."""
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    short = [name.rpartition("__")[2] for name in names]
    return dict(zip(names, short if len(set(short)) == len(short) else names, strict=True))
