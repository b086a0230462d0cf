"""Compute folds in the test's own process, as an engine does."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas.job import JobSpec
from schemas.task import BatchReport, FoldBatch, FoldTask, SearchContext, Shortcuts
from workers import cache as entries
from workers.catalog import Catalog
from workers.data import prepare
from workers.dataset import Dataset
from workers.fold import run_batch
from workers.search import Search, opened
from workers.splits import materialise, store_splits

ALL = Shortcuts()
NONE = Shortcuts(False, False, False, False, 0)


def context(
    directory: Path,
    job: dict[str, Any],
    *,
    dataset: Dataset | None = None,
    shortcuts: Shortcuts = ALL,
    catalog: dict[str, str] | None = None,
) -> SearchContext:
    """Prepare a job's data, or these, below `directory`."""
    catalog = catalog or {}
    spec = JobSpec.model_validate(
        {"name": "job", "data": {"loader": "iris"}, "refit": False, "cv": 3} | job
    )
    if dataset is None:
        prepared = prepare(spec, Catalog(catalog), [directory], directory)
        fingerprint, splits = prepared.fingerprint, prepared.splits
    else:
        fingerprint = entries.store(directory, dataset)
        chosen = materialise(spec.cv, dataset, classifier=True)
        splits = store_splits(directory, fingerprint, chosen)
    made = SearchContext(
        "", 1, spec.model_dump(mode="json"), catalog, str(directory), (str(directory),),
        fingerprint, splits, shortcuts,
    )  # fmt: skip
    return replace(made, key=hashlib.sha256(repr(made).encode()).hexdigest())


def search(directory: Path, job: dict[str, Any], **options: Any) -> Search:
    return opened(context(directory, job, **options))


def run(made: SearchContext, candidates: list[dict[str, Any]], n_splits: int = 3) -> BatchReport:
    """Compute the candidates on every split, split by split."""
    folds = [(params, split) for split in range(n_splits) for params in candidates]
    tasks = tuple(FoldTask(i, i, params, split) for i, (params, split) in enumerate(folds))
    return run_batch(FoldBatch(1, made, tasks, np.inf))


def outcomes(report: BatchReport) -> list[Any]:
    """Return what does not depend on the clock."""
    return [
        (dict(r.test_scores), dict(r.train_scores), r.error, r.error_types, r.warnings)
        for r in report.results
    ]
