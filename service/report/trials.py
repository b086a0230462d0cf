"""The ranked table of a search as the page shows it."""

import math
from dataclasses import dataclass

from service.commands.terminal import value_text
from service.report.material import Material, metric_label, standard_errors

#: Candidates in the page, the best first; the files hold all.
MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is shown, and what it is sorted by (text where there is no number)."""

    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Trials:
    """The table.

    Attributes
    ----------
    columns : list of (label, is_number)
    rows : list of list of Cell
    n_all : int
        Candidates of the search.
    """

    columns: list[tuple[str, bool]]
    rows: list[list[Cell]]
    n_all: int


def trials(material: Material) -> Trials:
    """Return the best candidates, ranked."""
    job, table = material.job, material.table
    names = [axis.name for axis in material.axes]
    metrics = [material.metric, *(m for m in job.metrics if m != material.metric)]
    errors = {metric: standard_errors(table, material.folds, metric) for metric in metrics}
    columns = [("rank", True), ("row", True)]
    columns += [(f"{metric_label(job, metric)} ± SEM", True) for metric in metrics]
    columns += [(axis.label, axis.is_numeric) for axis in material.axes] + [("fit time", True)]
    rows = []
    for row in material.ranked[:MAX_ROWS]:
        params = material.folds.candidates[row]
        cells = [_number(int(table[f"rank_test_{material.metric}"][row]), "d"), _number(row, "d")]
        for metric in metrics:
            mean, sem = table[f"mean_test_{metric}"][row], errors[metric][row]
            shown = _number(mean, ".4f").text + ("" if math.isnan(sem) else f" ± {sem:.4f}")
            cells.append(Cell(shown, repr(float(mean))))
        for name in names:
            value = params.get(name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            text = value_text(value)[:200] if name in params else ""
            cells.append(Cell(text, repr(float(value)) if number and value is not None else ""))
        cells.append(_number(table["mean_fit_time"][row], ".3f"))
        rows.append(cells)
    return Trials(columns, rows, len(material.ranked))


def _number(value: float, form: str) -> Cell:
    return Cell("–" if math.isnan(value) else format(value, form), repr(float(value)))
