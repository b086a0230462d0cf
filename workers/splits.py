"""The splits of a search, chosen once and kept: every fold of every candidate uses the same.

Indices are kept exactly as scikit-learn's splitter gave them, in its order, since the order of
the training rows changes what many estimators learn.
"""

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import resample

from workers.atomic import kept_in, replacing
from workers.cache import DataMissing, entry_directory, is_digest
from workers.dataset import Array, Dataset

#: Most splits that are chosen, and most bytes of indices that are kept for a job.
MAX_SPLITS = 20_000
MAX_BYTES = 2**30

#: The rows of one split: training indices, test indices.
Split = tuple[Array, Array]


class TooManySplits(ValueError):
    """The splitter wants more splits, or more indices, than are kept."""


def materialise(
    cv: Any,
    dataset: Dataset,
    *,
    classifier: bool,
    max_splits: int = MAX_SPLITS,
    max_bytes: int = MAX_BYTES,
) -> list[Split]:
    """Choose the splits as `GridSearchCV` does.

    Parameters
    ----------
    cv : int, None or splitter
        An integer, or None for 5, means stratified folds for a classifier with a binary or
        multiclass target and plain folds otherwise.
    classifier : bool
        Whether the estimator is one.
    max_splits, max_bytes : int
        Limits on the number of splits and on the total size of their indices.

    Returns
    -------
    list of (train, test)
        Arrays of row indices.

    Raises
    ------
    TooManySplits
        Beyond the limits, before the splits are computed where the splitter can count them.
    ValueError
        Whatever the splitter says about the data, in scikit-learn's words.
    """
    X, y, groups = dataset.X, dataset.y, dataset.groups
    splitter = check_cv(cv, y, classifier=classifier)
    expected = int(splitter.get_n_splits(X, y, groups))
    index_bytes = np.dtype(np.intp).itemsize
    if expected > max_splits:
        # Leaving out p of n samples may give a number of thousands of digits.
        count = f"{expected:,}" if expected < 10**15 else "more than 10^15"
        raise TooManySplits(f"{count} splits are more than the {max_splits:,} that are kept")
    splits: list[Split] = []
    n_bytes = 0
    for train, test in splitter.split(X, y, groups):
        splits.append((np.asarray(train), np.asarray(test)))
        n_bytes += train.nbytes + test.nbytes
        # Told from the first split on, not when memory is gone.
        if max(n_bytes, expected * (train.size + test.size) * index_bytes // 2) > max_bytes:
            raise TooManySplits(
                f"{expected:,} splits of {dataset.n_samples:,} samples take more than the "
                f"{max_bytes:,} bytes that are kept"
            )
        if len(splits) > max_splits:
            raise TooManySplits(f"there are more than {max_splits:,} splits")
    return splits


def digest_of(splits: Iterable[Split]) -> str:
    """Return the SHA-256 over the indices of all splits, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for split in splits:
        for indices in split:
            digest.update(f"{indices.dtype.str} {indices.size}\n".encode())
            digest.update(np.ascontiguousarray(indices).view(np.uint8).data)
    return digest.hexdigest()


def store_splits(cache: Path, fingerprint: str, splits: Sequence[Split]) -> str:
    """Keep the splits beside their data set.

    Returns
    -------
    str
        Their digest, by which `Splits` finds them.

    Raises
    ------
    DataMissing
        When the data set is not in the cache.
    CannotWrite
        When there is no room or no right for them.
    """
    digest = digest_of(splits)
    path = _path(cache, fingerprint, digest)
    if not path.parent.is_dir():
        raise DataMissing(f"The prepared data set {fingerprint} is not in the cache.")
    if not _is_intact(cache, fingerprint, digest):
        arrays = {}
        for i, (train, test) in enumerate(splits):
            arrays[f"train-{i}"] = train
            arrays[f"test-{i}"] = test
        with kept_in(cache), replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    return digest


class Splits(Sequence[Split]):
    """The kept splits of a prepared data set; each is read when it is asked for.

    The file stays open: close it, or use it in a `with` block.

    Parameters
    ----------
    cache : Path
        The cache directory.
    fingerprint : str
        The data set's.
    digest : str
        What `store_splits` returned.

    Raises
    ------
    DataMissing
        When they are not there. Damage to a single split is found when that one is read.
    """

    def __init__(self, cache: Path, fingerprint: str, digest: str) -> None:
        path = _path(cache, fingerprint, digest)
        self._name = path.name
        try:
            self._archive = np.load(path, mmap_mode=None, allow_pickle=False)
            self._length = len(self._archive.files) // 2
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise DataMissing(f"The splits {path.name} are not in the cache: {error}.") from error

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Split: ...
    @overload
    def __getitem__(self, index: slice) -> list[Split]: ...

    def __getitem__(self, index: int | slice) -> Split | list[Split]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"split {index} of {len(self)}")
        i = index % len(self)
        try:
            return self._archive[f"train-{i}"], self._archive[f"test-{i}"]
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataMissing(f"The splits {self._name} are damaged: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __enter__(self) -> "Splits":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def subsample(train: Array, test: Array, fraction: float, seed: int) -> Split:
    """Draw a share of a split's rows, as successive halving does.

    The same rows in the same order as scikit-learn's `_SubsampleMetaSplitter`.

    Parameters
    ----------
    train, test : ndarray of int
        Row indices of the whole split.
    fraction : float
        In (0, 1]: the share of the samples that this iteration uses.
    seed : int
        The search's `random_state`.
    """
    drawn_train, drawn_test = (
        resample(
            indices,
            replace=False,
            random_state=seed,
            n_samples=int(fraction * len(indices)),
        )
        for indices in (train, test)
    )
    return drawn_train, drawn_test


def _path(cache: Path, fingerprint: str, digest: str) -> Path:
    if not is_digest(digest):
        raise DataMissing(f"{digest!r} is not the digest of splits.")
    return entry_directory(cache, fingerprint) / f"splits-{digest}.npz"


def _is_intact(cache: Path, fingerprint: str, digest: str) -> bool:
    try:
        with Splits(cache, fingerprint, digest) as splits:
            return digest_of(splits) == digest
    except DataMissing:
        return False
