"""The screen of `foldq results`: the best rows of `cv_results_`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.commands.screens import mean_and_error, plain_table
from service.commands.terminal import foldq, params, value_text
from service.records import Job

if TYPE_CHECKING:
    from service.results import CVResults

#: More parameters than this share one column.
MAX_PARAM_COLUMNS = 5


def results_table(results: "CVResults", rows: Sequence[int], metrics: Sequence[str]) -> Table:
    """Give some rows of `cv_results_`: rank, mean ± standard deviation, parameters.

    The step names before `__` are left out where that leaves the parameters distinct.
    """
    table = plain_table(padding=2, expendable=metrics[:0:-1])
    table.add_column("Row", justify="right", no_wrap=True)
    if "iter" in results:
        table.add_column("Iter", justify="right", no_wrap=True)
        table.add_column("Resources", justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.capitalize() if metric == "score" else metric, no_wrap=True)
    if "n_splits_done" in results:
        table.add_column("Folds", justify="right", no_wrap=True)
    names = shown_parameters([results["params"][row] for row in rows])
    separate = 0 < len(names) <= MAX_PARAM_COLUMNS
    for name in names.values() if separate else ["Parameters"]:
        table.add_column(name)
    for row in rows:
        cells: list[RenderableType] = [str(row)]
        if "iter" in results:
            cells += [str(results["iter"][row]), str(results["n_resources"][row])]
        for metric in metrics:
            mean, std = results[f"mean_test_{metric}"][row], results[f"std_test_{metric}"][row]
            cells.append(mean_and_error(float(mean), float(std)))
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
    if job.n_splits and job.n_splits > 1:
        title.append(f" · mean ± standard deviation over {job.n_splits} splits", "dim")
    metric = job.chosen_metric
    metrics = [metric, *(other for other in job.metrics if other != metric)]
    parts: list[RenderableType] = [
        title,
        "",
        results_table(table, exports.top(table, n, metric), metrics),
        "",
    ]
    if job.best_index is not None and job.best_score is not None:
        saved = f", saved as results/{job.id}/{job.refitted['file']}" if job.refitted else ""
        parts.append(Text(f"Best: row {job.best_index}{saved}", style="green"))
    if n_candidates > n:
        more = f"{n} of {n_candidates:,} candidates; all: {foldq(f'results {job.id} --csv')}"
        parts.append(Text(more, style="dim"))
    return Group(*parts)


def shown_parameters(candidates: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Give {parameter: its title}, in the order of appearance, of all candidates together."""
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    short = [name.rpartition("__")[2] for name in names]
    return dict(zip(names, short if len(set(short)) == len(short) else names, strict=True))
