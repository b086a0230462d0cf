"""The ranked table of a search as the page shows it."""

import math
from dataclasses import dataclass, field

from service.commands.terminal import score, value_text
from service.report.material import Material, metric_label, standard_errors, with_error

#: Candidates in the page, the best first; the files hold all. Fewer where rows are long.
MAX_ROWS = 200
_MAX_CHARACTERS = 250_000

#: Splits whose scores are listed for a candidate, parameters that have a column, and characters
#: of one value.
MAX_SPLITS = 50
MAX_PARAMS = 30
_VALUE = 120


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a number can be sorted by `data-key` of its cells."""

    label: str
    title: str
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is shown, and the number it is sorted by, if it is one."""

    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate: its cells, its score on each split, and whether it is the best."""

    cells: list[Cell]
    splits: list[tuple[str, str]]
    is_best: bool


@dataclass(frozen=True, slots=True)
class Trials:
    """The table.

    Attributes
    ----------
    columns : list of Column
    rows : list of Row
        Best first.
    n_all : int
        Candidates of the search.
    note : str
        What is left out, as sentences.
    """

    columns: list[Column]
    rows: list[Row] = field(default_factory=list)
    n_all: int = 0
    note: str = ""


def trials(material: Material) -> Trials:
    """Return the best candidates, ranked."""
    job, table, folds = material.job, material.table, material.folds
    axes = material.axes[:MAX_PARAMS]
    metrics = [material.metric, *(m for m in job.metrics if m != material.metric)][:10]
    errors = {metric: standard_errors(table, folds, metric) for metric in metrics}
    columns = [
        Column("Rank", "Rank by the mean score"),
        Column("Row", "Row of cv_results_, from 0"),
    ]
    if folds.iteration is not None:
        columns += [
            Column("Iteration", "Iteration of successive halving"),
            Column("Resources", "What the candidate was given"),
        ]
    columns += [
        Column(metric_label(job, metric), "Mean over the splits ± its standard error")
        for metric in metrics
    ]
    columns += [Column(axis.label, axis.name, axis.is_numeric) for axis in axes]
    columns += [Column("Fit time", "Mean over the splits, in seconds")]
    rows: list[Row] = []
    n_characters = 0
    for row in material.ranked[:MAX_ROWS]:
        cells = [_count(int(table[f"rank_test_{material.metric}"][row])), _count(row)]
        if folds.iteration is not None and folds.n_resources is not None:
            cells += [_count(int(folds.iteration[row])), _count(int(folds.n_resources[row]))]
        for metric in metrics:
            mean, sem = float(table[f"mean_test_{metric}"][row]), float(errors[metric][row])
            cells.append(Cell(with_error(_score(mean), mean, sem), repr(mean)))
        for axis in axes:
            params = folds.candidates[row]
            text = value_text(params[axis.name])[:_VALUE] if axis.name in params else ""
            place = float(axis.places[row])
            cells.append(Cell(text, repr(place) if axis.is_numeric else ""))
        seconds = float(table["mean_fit_time"][row])
        cells.append(Cell("" if math.isnan(seconds) else f"{seconds:.3g} s", repr(seconds)))
        splits = _splits(material, row)
        n_characters += sum(len(c.text) + 40 for c in cells) + sum(len(s) + 30 for _, s in splits)
        if n_characters > _MAX_CHARACTERS and rows:
            break
        rows.append(Row(cells, splits, row == job.best_index))
    return Trials(columns, rows, len(material.ranked), _note(material, len(rows)))


def _note(material: Material, n_rows: int) -> str:
    job, n_all = material.job, len(material.ranked)
    note = ""
    if n_rows < n_all:
        note = f"The best {n_rows:,} of {n_all:,}; cv_results.csv has all."
    if (n_params := len(material.axes)) > MAX_PARAMS:
        note += f" {MAX_PARAMS} of {n_params} parameters have a column."
    if material.folds.n_splits > MAX_SPLITS:
        note += f" Of {material.folds.n_splits} splits the first {MAX_SPLITS} are listed."
    if not material.folds.complete and not job.state.is_final:
        note += " Means are over the folds finished so far."
    return note.strip()


def _splits(material: Material, row: int) -> list[tuple[str, str]]:
    """Return the score on each split; of one that failed it says so."""
    folds = material.folds
    told = []
    for split in range(min(folds.n_splits, MAX_SPLITS)):
        if not folds.present[row, split]:
            text = "not finished"
        else:
            text = _score(float(folds.test_scores[material.metric][row, split]))
            if folds.failed[row, split]:
                text = f"failed ({text})"
        told.append((f"split {split}", text))
    return told


def _count(number: int) -> Cell:
    return Cell(str(number), str(number))


def _score(value: float) -> str:
    return "–" if math.isnan(value) else score(value)
