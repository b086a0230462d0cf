"""What a search leaves in `results/<job id>/`, and its table for other programs.

The files keep the job file's spelling of parameters (an estimator among them is its `$type`
mapping), so reading them never needs scikit-learn.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service.jsontext import document, dumps
from service.records import Job
from service.results import CVResults, Folds, cv_results
from workers.atomic import OWNER_DIRECTORY, replacing
from workers.failpoints import failpoint

if TYPE_CHECKING:
    import pandas as pd

TABLE_CSV = "cv_results.csv"
TABLE_JSON = "cv_results.json"
BEST = "best.json"
JOB_FILE = "job.yaml"

#: Rows of the table that are made into text together.
ROWS_AT_A_TIME = 5000


def table(folds: Folds) -> CVResults:
    """`cv_results_` with parameters as the job file spells them."""
    return cv_results(folds, folds.candidates)


def rows(results: CVResults) -> Iterator[dict[str, Any]]:
    """Give the table row by row, in the order of the candidates, as plain Python values.

    NaN is None, and so is a parameter in its `param_*` column that the candidate does not have;
    `params` tells that from a parameter that is null.
    """
    columns = {name: _as_list(column) for name, column in results.items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _as_list(column: Any) -> list[Any]:
    if not isinstance(column, np.ndarray):
        return list(column)
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f" and np.isnan(column).any():
        return [None if value is None or math.isnan(value) else value for value in values]
    return values


def top(results: CVResults, n: int, metric: str) -> list[int]:
    """Give the rows of the `n` best candidates by a metric, best first, ties in table order.

    Of successive halving, later iterations stand first: only the last one has the winner. In a
    partial table those with more finished folds do, because one lucky fold is not a good mean.
    Candidates without a mean (no finished fold, or NaN) come last.
    """
    ranks = results[f"rank_test_{metric}"]
    nothing = np.zeros(len(ranks), dtype=int)
    unscored = np.isnan(results[f"mean_test_{metric}"])
    later = -results["iter"] if "iter" in results else nothing
    fewer = -results["n_splits_done"] if "n_splits_done" in results else nothing
    order = np.lexsort((np.arange(len(ranks)), ranks, fewer, later, unscored))
    return [int(index) for index in order[:n]]


def to_csv(results: CVResults) -> Iterator[str]:
    """Write the table as CSV, some rows at a time.

    Empty where there is nothing, JSON where a cell is not plain.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(results)
    for part in _parts(results):
        writer.writerows(zip(*map(_cells, part.values()), strict=True))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _cells(column: Any) -> list[Any]:
    """Give the values of a column as `csv` writes them: None is empty, containers are JSON."""
    values = _as_list(column)
    if isinstance(column, np.ndarray) and column.dtype.kind != "O":
        return values
    return [dumps(value) if isinstance(value, (dict, list)) else value for value in values]


def to_json(job: Job, results: CVResults, *, partial: bool) -> Iterator[str]:
    """Write the table as one JSON object, what it is of and `rows`, some rows at a time."""
    fields = document(
        job_id=job.id,
        job=job.name,
        metrics=list(job.metrics),
        n_splits=job.n_splits,
        partial=partial,
    )
    yield dumps(fields).removesuffix("}") + ', "rows": ['
    for index, part in enumerate(_parts(results)):
        yield (", " if index else "") + dumps(list(rows(part)))[1:-1]
    yield "]}\n"


def _parts(results: CVResults) -> Iterator[CVResults]:
    """Cut a table into some rows at a time: a large one need not be in memory as text."""
    for start in range(0, len(results["params"]), ROWS_AT_A_TIME):
        yield {name: column[start : start + ROWS_AT_A_TIME] for name, column in results.items()}


def to_dataframe(results: CVResults) -> "pd.DataFrame":
    """Give the table as a pandas DataFrame that CSV and Parquet can hold.

    Columns of one plain type keep it; where values differ in type, or are lists or mappings, the
    column holds text: JSON for containers, None for what is missing.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, column in results.items():
        values = column.tolist() if isinstance(column, np.ndarray) else list(column)
        there = {type(value) for value in values if value is not None}
        alike = len(there) <= 1 or there <= {int, float}
        if not alike or there & {dict, list, tuple}:
            columns[name] = pd.array([_as_text(value) for value in values], dtype="string")
        elif isinstance(column, np.ma.MaskedArray) and column.mask.any():
            columns[name] = pd.array(values)
        else:
            columns[name] = values if isinstance(column, list) else np.asarray(column)
    return pd.DataFrame(columns)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dumps(value)


def best(job: Job, results: CVResults) -> dict[str, Any]:
    """Give `best.json`: the winner, how it was chosen, and all that is needed to use or redo it."""
    index, metric = job.best_index, job.chosen_metric
    spec = job.spec

    def of_winner(column: str) -> Any:
        return None if index is None else results[column][index]

    return document(
        job_id=job.id,
        job=job.name,
        params=of_winner("params"),
        metric=metric,
        score=of_winner(f"mean_test_{metric}"),
        std=of_winner(f"std_test_{metric}"),
        index=index,
        scores={
            metric: {
                "mean": of_winner(f"mean_test_{metric}"),
                "std": of_winner(f"std_test_{metric}"),
                "rank": of_winner(f"rank_test_{metric}"),
            }
            for metric in job.metrics
        },
        refit=spec.get("refit"),
        estimator=_saved_estimator(job),
        searched={
            "strategy": job.strategy,
            "estimator": job.estimator,
            "n_candidates": len(results["params"]),
            "n_splits": job.n_splits,
            "metrics": list(job.metrics),
            "n_fits": job.n_done + job.n_failed,
            "n_failed_fits": job.n_failed,
            "fold_seconds": job.fold_seconds,
        },
        data={
            "label": job.data,
            "spec": spec.get("data"),
            "fingerprint": job.data_fingerprint,
            "n_samples": job.n_samples,
            "n_features": job.n_features,
        },
        versions=job.versions,
        file={"name": job.file_name, "sha256": job.file_digest},
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _saved_estimator(job: Job) -> dict[str, Any] | None:
    """Say which file holds the fitted winner, and the line of Python that loads it."""
    if job.refitted is None:
        return None
    return {**job.refitted, "load": how_to_load(job.refitted)}


def how_to_load(refitted: dict[str, Any]) -> str:
    """Give the Python that loads a saved model, run from the directory it lies in."""
    file = refitted["file"]
    if refitted["format"] != "skops":
        return f'import joblib; model = joblib.load("{file}")  # only if you trust the file'
    trusted = refitted.get("trusted") or []
    return f'import skops.io; model = skops.io.load("{file}", trusted={json.dumps(list(trusted))})'


def job_file(job: Job) -> bytes:
    """Write the job file as it was understood: every default filled in, random seeds drawn.

    Dropped into a spool again it is an equal job.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # small lists and mappings on one line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 100
    file = io.BytesIO()
    file.write(f"# Job {job.id} as foldq understood {job.file_name}.\n".encode())
    yaml.dump(job.spec, file)
    return file.getvalue()


def write_results(directory: Path, job: Job, folds: Folds) -> list[Path]:
    """Write `cv_results.csv`, `cv_results.json`, `best.json` and `job.yaml`.

    Parameters
    ----------
    directory : Path
        `results/<job id>` of the spool; made when missing.
    job : Job
        With `best_index`, `best_score`, `refitted` and `finished_at` as they are to be told.
    folds : Folds

    Returns
    -------
    list of Path
        The files. Each is whole or not there, and readable by its owner alone.
    """
    results = table(folds)
    partial = not folds.complete
    directory.mkdir(mode=OWNER_DIRECTORY, parents=True, exist_ok=True)
    contents: dict[str, Iterable[str]] = {
        TABLE_CSV: to_csv(results),
        TABLE_JSON: to_json(job, results, partial=partial),
        BEST: (dumps(best(job, results), indent=2), "\n"),
        JOB_FILE: (job_file(job).decode(),),
    }
    failpoint("exports.write.before")
    for name, content in contents.items():
        with replacing(directory / name) as file:
            file.writelines(text.encode() for text in content)
        failpoint("exports.file.after")
    failpoint("exports.write.after")
    return [directory / name for name in contents]
