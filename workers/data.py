"""Prepare a search: load its data, check them, choose the splits, keep both in the cache.

`examine` does all of that but the keeping, so that `foldq validate` and an engine tell the same.
"""

import hashlib
import importlib.metadata
import json
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

import schemas
from schemas.data import ARRAY_SUFFIXES, DataSpec, FileData, LoaderData
from schemas.job import JobSpec
from schemas.problems import InvalidJob, Problem
from schemas.task import Prepared
from workers import cache as entries
from workers.archives import from_archive
from workers.cache import DataMissing, open_prepared
from workers.catalog import Catalog
from workers.datachecks import dataset_problems, split_problems
from workers.datafiles import MAX_BYTES, content_digest, open_data_file, reason
from workers.dataset import Dataset, UnstorableData, dense
from workers.sources import from_generator, from_loader
from workers.splits import Split, TooManySplits, materialise, store_splits
from workers.tables import from_table

__all__ = ["DataMissing", "Dataset", "Examined", "examine", "load", "open_prepared", "prepare"]

#: Packages that decide what is read from a file, or what a fold computes.
_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "pyarrow", "joblib", "threadpoolctl")


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A search whose data are loaded, found good, and split.

    Attributes
    ----------
    splits : list of (train, test)
        Row indices as the splitter gave them.
    classifier : bool
        Whether the estimator is one.
    warnings : tuple of Problem
        What scikit-learn warns of: it does not keep the search from running.
    """

    dataset: Dataset
    splits: list[Split]
    classifier: bool
    warnings: tuple[Problem, ...]

    @property
    def n_classes(self) -> int | None:
        """Distinct values of `y` for a classifier, counted as successive halving does."""
        if not self.classifier or self.dataset.y is None:
            return None
        return len(np.unique(dense(self.dataset.y)))

    @property
    def min_train_size(self) -> int:
        """Samples in the smallest training part."""
        return min(len(train) for train, _ in self.splits)


def examine(
    spec: JobSpec, catalog: Catalog, roots: Sequence[Path], *, max_bytes: int = MAX_BYTES
) -> Examined:
    """Load the data of a search and split them, without keeping anything.

    Parameters
    ----------
    spec : JobSpec
    catalog : Catalog
        The names the job file may use.
    roots : sequence of Path
        Directories below which data files may lie, the spool's `data/` first.
    max_bytes : int
        Largest data set that is read.

    Raises
    ------
    InvalidJob
        With every problem that the data alone can tell.
    """
    return _examine(spec, catalog, load(spec.data, roots, catalog, max_bytes=max_bytes))


def prepare(
    spec: JobSpec,
    catalog: Catalog,
    roots: Sequence[Path],
    cache: Path,
    *,
    max_bytes: int = MAX_BYTES,
) -> Prepared:
    """Load, check and split the data of a search, and keep them in the cache.

    A file whose bytes were prepared before is taken from there, once every byte of the cache
    entry has been checked.

    Parameters
    ----------
    spec, catalog, roots, max_bytes
        As in `examine`.
    cache : Path
        The cache directory; made when it is not there.

    Raises
    ------
    InvalidJob
        With every problem that the data alone can tell.
    """
    key = _source_key(spec.data, roots, max_bytes)
    fingerprint = entries.recall_source(cache, key) if key else None
    if fingerprint is not None:
        examined = _examine(spec, catalog, open_prepared(cache, fingerprint))
    else:
        examined = _examine(spec, catalog, load(spec.data, roots, catalog, max_bytes=max_bytes))
        fingerprint = _store(cache, examined.dataset)
        # Noted only when the file was still the same after it had been read.
        if key is not None and key == _source_key(spec.data, roots, max_bytes):
            entries.remember_source(cache, key, fingerprint)
    return Prepared(
        fingerprint=fingerprint,
        splits=store_splits(cache, fingerprint, examined.splits),
        n_samples=examined.dataset.n_samples,
        n_features=examined.dataset.n_features,
        n_splits=len(examined.splits),
        n_classes=examined.n_classes,
        is_classifier=examined.classifier,
        min_train_size=examined.min_train_size,
        versions=versions(),
        warnings=tuple(str(warning) for warning in examined.warnings),
    )


def load(
    data: DataSpec, roots: Sequence[Path], catalog: Catalog, *, max_bytes: int = MAX_BYTES
) -> Dataset:
    """Read a data set as a scikit-learn user would.

    Raises
    ------
    InvalidJob
        When it cannot be read, or lacks a column that the job names.
    """
    if isinstance(data, FileData):
        read = from_archive if data.suffix in ARRAY_SUFFIXES else from_table
        return read(data, roots, max_bytes)
    params = catalog.build_params(data.params)
    if isinstance(data, LoaderData):
        return from_loader(data, params)
    return from_generator(data, params, max_bytes)


def versions() -> dict[str, str]:
    """Return the versions of what the numbers of a search depend on."""
    return {
        "python": platform.python_version(),
        "foldq": schemas.__version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
    }


def _examine(spec: JobSpec, catalog: Catalog, dataset: Dataset) -> Examined:
    estimator: Any = catalog.build(spec.estimator)
    problems = dataset_problems(dataset, spec.data, estimator)
    if problems:
        raise InvalidJob(problems)
    splits, notes = _split(spec, catalog, dataset, estimator)
    return Examined(dataset, splits, is_classifier(estimator), notes)


def _split(
    spec: JobSpec, catalog: Catalog, dataset: Dataset, estimator: BaseEstimator
) -> tuple[list[Split], tuple[Problem, ...]]:
    classifier = is_classifier(estimator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            cv = catalog.cv(spec)
            if problems := split_problems(cv, dataset, spec.data, classifier=classifier):
                raise InvalidJob(problems)
            splits = materialise(cv, dataset, classifier=classifier)
        except TooManySplits as error:
            raise InvalidJob(
                [Problem("cv", str(error), hint="Use KFold with fewer folds.")]
            ) from error
        except InvalidJob:
            raise
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidJob(
                [Problem("cv", f"the data cannot be split like this: {reason(error)}")]
            ) from error
    if problem := _useless(splits, dataset.n_samples):
        raise InvalidJob([problem])
    texts = dict.fromkeys(str(warning.message) for warning in caught)
    return splits, tuple(Problem("cv", text, severity="warning") for text in texts)


def _useless(splits: Sequence[Split], n_samples: int) -> Problem | None:
    """Return what is wrong with splits that a splitter gave without complaint."""
    if not splits:
        return Problem("cv", "the splitter gives no splits for these data")
    for i, (train, test) in enumerate(splits):
        if not len(train) or not len(test):
            part = "training" if not len(train) else "test"
            return Problem("cv", f"the {part} part of split {i} is empty")
        if max(train.max(), test.max()) >= n_samples:
            return Problem("cv", f"split {i} names samples beyond the {n_samples:,} there are")
    return None


def _store(cache: Path, dataset: Dataset) -> str:
    try:
        return entries.store(cache, dataset)
    except UnstorableData as error:
        raise InvalidJob(
            [
                Problem(
                    "data",
                    f"{error.name} holds values of type {error.kind}, which cannot be kept",
                    expected="numbers, booleans, text, categories or times",
                    hint="Convert the column before saving the file.",
                )
            ]
        ) from error


def _source_key(data: DataSpec, roots: Sequence[Path], max_bytes: int) -> str | None:
    """Return a digest of a file source: its bytes, what is taken of it, and by which versions.

    None for what is not a file. The whole file is read: times of change can be set at will.
    """
    if not isinstance(data, FileData):
        return None
    digests = []
    for field in ("file", "y_file"):
        name = getattr(data, field)
        if name is not None:
            with open_data_file(name, roots, where=f"data.{field}", max_bytes=max_bytes) as file:
                digests.append(content_digest(file))
    taken = data.model_dump(mode="json", exclude={"file", "y_file"})
    facts = [digests, taken, data.suffix, entries.FORMAT, versions()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
