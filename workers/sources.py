"""Data sets that scikit-learn brings along or makes: by name, without files and network."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import datasets

import schemas.data
from schemas.data import LoaderData, MakeData
from schemas.problems import InvalidJob, Problem, nearest, shown
from workers.datafiles import MAX_BYTES, reason
from workers.dataset import Dataset, as_features, as_target

#: What job files may load and make, by the names that `schemas.data` lists.
LOADERS: dict[str, Callable[..., Any]] = {
    name: getattr(datasets, f"load_{name}") for name in schemas.data.LOADERS
}
GENERATORS: dict[str, Callable[..., Any]] = {
    name: getattr(datasets, f"make_{name}") for name in schemas.data.GENERATORS
}


def from_loader(data: LoaderData, params: dict[str, Any]) -> Dataset:
    """Return a data set that comes with scikit-learn.

    Parameters
    ----------
    params : dict
        The loader's parameters, built: with `as_frame` true, X is a table.

    Raises
    ------
    InvalidJob
        For an unknown loader, or parameters that it does not take.
    """
    loader = _named(data.loader, "load_", LOADERS, "data.loader")
    X, y = _call(loader, {**params, "return_X_y": True}, data.loader)
    return Dataset(as_features(X, "data"), as_target(y))


def from_generator(data: MakeData, params: dict[str, Any], max_bytes: int = MAX_BYTES) -> Dataset:
    """Return a data set made by one of scikit-learn's generators.

    Parameters
    ----------
    params : dict
        The generator's parameters, built. Give `random_state`: nothing is drawn here.
    max_bytes : int
        Largest X to make.

    Raises
    ------
    InvalidJob
        For an unknown generator, parameters that it does not take, or such that it makes more
        than X and y.
    """
    generator = _named(data.make, "make_", GENERATORS, "data.make")
    known = inspect.signature(generator).parameters
    sizes = [
        params.get(name, known[name].default)
        for name in ("n_samples", "n_features")
        if name in known
    ]
    n_bytes = int(np.prod([s for s in sizes if isinstance(s, int)], dtype=np.float64)) * 8
    if n_bytes > max_bytes:
        raise InvalidJob(
            [
                Problem(
                    "data.params",
                    f"the data would take {n_bytes:,} bytes, more than the {max_bytes:,} allowed",
                    given=shown(sizes),
                    hint="Ask for fewer samples or features.",
                )
            ]
        )
    made = _call(generator, params, data.label)
    X, y = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(X, tuple | dict):
        raise InvalidJob(
            [
                Problem(
                    "data.params",
                    f"{data.label} gives {len(X)} arrays with these parameters, "
                    "and a search takes X and y",
                    expected="parameters that make it give X alone, or X and y",
                )
            ]
        )
    return Dataset(as_features(X, "data"), as_target(y))


def _named(
    name: str, prefix: str, table: Mapping[str, Callable[..., Any]], where: str
) -> Callable[..., Any]:
    """Look a function up by its name, with or without scikit-learn's prefix."""
    short = name.removeprefix(prefix)
    if short in table:
        return table[short]
    raise InvalidJob(
        [
            Problem(
                where,
                f"there is no {name!r} to get data from",
                given=name,
                expected="one of " + ", ".join(table),
                nearest=nearest(short, table),
            )
        ]
    )


def _call(function: Callable[..., Any], params: dict[str, Any], name: str) -> Any:
    try:
        return function(**params)
    except (TypeError, ValueError, MemoryError, OverflowError) as error:
        message = f"{name} does not take these: {reason(error)}"
        raise InvalidJob([Problem("data.params", message, given=shown(params))]) from error
