"""Save a fitted model: with skops where that works, else with joblib.

A skops file is opened without running code from it, once its reader has agreed to the types
that it names. A joblib file is a pickle: whoever opens it trusts whoever wrote it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from workers.atomic import OWNER_DIRECTORY, kept_in, replacing
from workers.datafiles import reason
from workers.dataset import is_sparse

#: Packages of scikit-learn that import another library, each of them seconds where it is installed.
_ADAPTERS = tuple(
    f"sklearn.externals.array_api_compat.{library}" for library in ("cupy", "dask", "torch")
)


@contextmanager
def _without_adapters() -> Iterator[None]:
    """Let nobody import scikit-learn's adapters to other array libraries in the block.

    `skops.io` asks for all estimators, and so for every package of scikit-learn. These hold none.
    """
    left_out = [name for name in _ADAPTERS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


with _without_adapters():
    import skops.io

#: Stem of the saved model's file.
STEM = "best_estimator"

#: What a model can be asked for, the most telling first.
_ANSWERS = ("predict", "decision_function", "score_samples", "transform")


@dataclass(frozen=True, slots=True)
class SavedModel:
    """How and where a model was saved.

    Attributes
    ----------
    file : str
        Name of the file in its directory.
    format : {"skops", "joblib"}
    trusted : tuple of str
        For skops: the types that `skops.io.load(file, trusted=…)` must be given.
    note : str or None
        Why the model was not saved with skops.
    """

    file: str
    format: str
    trusted: tuple[str, ...]
    note: str | None


def save_model(estimator: BaseEstimator, directory: Path, X_sample: Any) -> SavedModel:
    """Save a fitted model, readable by its owner alone, whole or not at all.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    directory : Path
        Made when it is not there. A model saved there before is replaced.
    X_sample : array-like of shape (n_samples, …)
        A few rows. skops is used when the model, loaded again, answers the same for them, bit
        for bit.

    Raises
    ------
    CannotWrite
        When there is no room or no right for the file.
    Exception
        Whatever joblib raises for a model that cannot be pickled either.
    """
    content, trusted, note = _as_skops(estimator, X_sample)
    kind = "joblib" if content is None else "skops"
    path = directory / f"{STEM}.{kind}"
    with kept_in(directory):
        directory.mkdir(mode=OWNER_DIRECTORY, parents=True, exist_ok=True)
        with replacing(path) as file:
            if content is None:
                joblib.dump(estimator, file)
            else:
                file.write(content)
        other = directory / f"{STEM}.{'skops' if content is None else 'joblib'}"
        with suppress(FileNotFoundError):
            other.unlink()
    return SavedModel(path.name, kind, trusted, note)


def _as_skops(
    estimator: BaseEstimator, X_sample: Any
) -> tuple[bytes | None, tuple[str, ...], str | None]:
    """Return the model as skops bytes and the types to trust, or None and the reason."""
    try:
        content: bytes = skops.io.dumps(estimator)
        trusted = tuple(skops.io.get_untrusted_types(data=content))
        again = skops.io.loads(content, trusted=list(trusted))
    except Exception as error:  # skops raises many kinds for what it does not know
        return None, (), f"Saved with joblib: skops cannot save this model ({reason(error)})."
    try:
        same = _answers_alike(estimator, again, X_sample)
    except Exception as error:
        told = f"the model loaded by skops does not work ({reason(error)})"
        return None, (), f"Saved with joblib: {told}."
    if not same:
        return None, (), "Saved with joblib: the model loaded by skops predicts otherwise."
    return content, trusted, None


def _answers_alike(estimator: BaseEstimator, again: BaseEstimator, X_sample: Any) -> bool:
    """Tell whether two models answer the same in every way that the first can be asked."""
    for name in _ANSWERS:
        if not hasattr(estimator, name):
            continue
        if not _same(getattr(estimator, name)(X_sample), getattr(again, name)(X_sample)):
            return False
    return type(estimator) is type(again)


def _same(one: Any, other: Any) -> bool:
    if is_sparse(one):
        return is_sparse(other) and _same(one.toarray(), other.toarray())
    if isinstance(one, list | tuple):  # several outputs
        return len(one) == len(other) and all(map(_same, one, other))
    left, right = np.asarray(one), np.asarray(other)
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind in "fc"))
