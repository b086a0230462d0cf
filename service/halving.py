"""Successive halving as scikit-learn does it: how many iterations, on how much, who goes on.

The formulas are those of `sklearn.model_selection._search_successive_halving` (1.9), so that the
same search takes the same steps there and here.
"""

from dataclasses import dataclass
from math import ceil, floor, log

import numpy as np
from numpy.typing import NDArray

from schemas.problems import InvalidJob, Problem
from schemas.search import SearchSpec
from schemas.task import Prepared

#: scikit-learn's "magic factor": smallest sensible share of samples for each class and split.
_PER_CLASS_AND_SPLIT = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """Fewest and most resources a candidate is given, before `exhaust` is worked out."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The resources of each iteration, first to last."""

    n_resources: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.n_resources)


def bounds(search: SearchSpec, prepared: Prepared) -> Bounds:
    """Work out `min_resources` and `max_resources` for these data.

    Raises
    ------
    InvalidJob
        If the data have too few samples for the splits and classes.
    """
    on_samples = search.resource == "n_samples"
    least, most = search.min_resources, search.max_resources
    if not isinstance(least, int):
        least = 1
        if on_samples:
            least = prepared.n_splits * _PER_CLASS_AND_SPLIT * (prepared.n_classes or 1)
    if not isinstance(most, int):
        if not on_samples:
            raise InvalidJob(
                [
                    Problem(
                        "search.max_resources",
                        f"resource: {search.resource} needs a number for max_resources",
                        given="auto",
                        hint="auto means the number of samples.",
                    )
                ]
            )
        most = prepared.n_samples
    if least > most:
        raise InvalidJob(
            [
                Problem(
                    "search.min_resources",
                    f"the first iteration would need {least} {search.resource}, "
                    f"and {most} is the most",
                    hint="Take fewer splits, set min_resources, or give more data.",
                )
            ]
        )
    return Bounds(least, most)


def n_first_candidates(search: SearchSpec, prepared: Prepared) -> int:
    """Return how many candidates `halving_random` draws: as it says, or as the data allow."""
    if isinstance(search.n_candidates, int):
        return search.n_candidates
    limits = bounds(search, prepared)
    return limits.most // limits.least


def schedule(search: SearchSpec, prepared: Prepared, n_candidates: int) -> Schedule:
    """Work out the resources of each iteration for this many candidates."""
    limits = bounds(search, prepared)
    factor = _factor(search)
    n_required = 1 + floor(log(n_candidates, factor))
    least = limits.least
    if search.min_resources == "exhaust":
        least = int(max(least, limits.most // factor ** (n_required - 1)))
    n_possible = 1 + floor(log(limits.most // least, factor))
    n_iterations = n_required if search.aggressive_elimination else min(n_possible, n_required)
    powers = [
        max(0, i - n_required + n_possible) if search.aggressive_elimination else i
        for i in range(n_iterations)
    ]
    return Schedule(tuple(min(int(factor**power * least), limits.most) for power in powers))


def survivors(scores: NDArray[np.float64], search: SearchSpec) -> NDArray[np.intp]:
    """Return which candidates of an iteration go on, worst first, as positions in `scores`.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates,)
        Mean test scores; NaN ranks below everything.
    """
    order = np.roll(np.argsort(scores), np.count_nonzero(np.isnan(scores)))
    return order[-n_kept(len(scores), search) :]


def n_kept(n_candidates: int, search: SearchSpec) -> int:
    """Return how many of an iteration's candidates go on to the next."""
    return ceil(n_candidates / _factor(search))


def _factor(search: SearchSpec) -> float:
    """Return the factor as scikit-learn would get it: a whole number stays one."""
    assert search.factor is not None
    return int(search.factor) if search.factor == int(search.factor) else search.factor
