"""An engine without a cluster: it prepares a search and computes its folds in this process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from schemas.task import (
    BatchReport,
    FoldBatch,
    FoldResult,
    FoldTask,
    Prepared,
    PrepareOrder,
    SearchContext,
    Shortcuts,
)
from service.jobfile import parse
from service.planner import candidates
from workers.catalog import Catalog
from workers.kept import kept
from workers.orders import carry_out

#: Seconds that a batch may take: all of them are started.
BUDGET = 1e6


class EngineAlone:
    """One search, to be computed with shortcuts or without.

    Parameters
    ----------
    job : str
        A job file.
    data : Path
        Where the data files lie.
    cache : Path
        A directory for the prepared data.
    catalog : dict of str to str
        The operator's estimators.
    """

    def __init__(self, job: str, data: Path, cache: Path, catalog: dict[str, str] | None = None):
        self.spec = parse(job.encode(), "alone.yaml")
        context = SearchContext(
            key="", job_id=1, spec=self.spec.model_dump(mode="json"), catalog=catalog or {},
            cache=str(cache), data_roots=(str(data),),
        )  # fmt: skip
        self.prepared = carry_out(PrepareOrder(1, context))
        assert isinstance(self.prepared, Prepared), self.prepared
        self._context = replace(
            context, fingerprint=self.prepared.fingerprint, splits=self.prepared.splits
        )
        self.candidates = list(candidates(self.spec.search, Catalog(catalog)))

    def folds(
        self,
        shortcuts: Shortcuts,
        order: Sequence[int] | None = None,
        fraction: float | None = None,
    ) -> dict[tuple[int, int], FoldResult]:
        """Compute every fold on an engine that keeps nothing yet, split after split.

        Parameters
        ----------
        shortcuts : Shortcuts
        order : sequence of int, optional
            The candidates in the order in which each split takes them.
        fraction : float, optional
            The share of each split to draw, as successive halving does.

        Returns
        -------
        dict of (int, int) to FoldResult
            By candidate and split.
        """
        kept.clear()
        folds = [
            (candidate, split)
            for split in range(self.prepared.n_splits)
            for candidate in (order or range(len(self.candidates)))
        ]
        tasks = tuple(
            FoldTask(number, number, self.candidates[candidate], split, fraction)
            for number, (candidate, split) in enumerate(folds)
        )
        context = replace(self._context, key=uuid4().hex, shortcuts=shortcuts)
        report = carry_out(FoldBatch(2, context, tasks, BUDGET))
        assert isinstance(report, BatchReport), report
        assert report.missing_data is None
        return dict(zip(folds, report.results, strict=True))
