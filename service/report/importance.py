"""How much each parameter matters: the share of the scores' variance that it accounts for.

The method is functional ANOVA (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing
Hyperparameter Importance", ICML 2014). A parameter's *own* share is the variance, over its values,
of the score averaged over all values of the others; its *total* share is what of the variance is
lost on average when it is held fixed, so the difference is what it does together with others (the
first-order and the total index of Sobol). Of a whole grid both are computed from the scores
themselves; else from what a random forest makes of them.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.report.axes import Axis
from service.report.drawing import BLUE, SKY, Drawing, Figure, plain, trace
from service.report.material import Material

FloatArray = NDArray[np.float64]

#: Fewer candidates than this, or than this many for each parameter, say nothing.
MIN_CANDIDATES = 10
MIN_FOR_EACH = 3

#: Candidates that the forest learns from at most, its trees, the settings of the other parameters
#: that its answers are averaged over, and the values of a parameter it is asked about.
_MAX_LEARNT = 4000
_TREES = 64
_BACKGROUND = 256
_VALUES = 16


@dataclass(frozen=True, slots=True)
class Share:
    """What one parameter accounts for, as parts of 1.

    Attributes
    ----------
    own : float
        By itself.
    total : float
        Together with what it does only in company of other parameters; at least `own`.
    """

    axis: Axis
    own: float
    total: float


@dataclass(frozen=True, slots=True)
class Importance:
    """The shares of all parameters, largest total first.

    Attributes
    ----------
    shares : list of Share
    fit : float or None
        Of the forest: the share of the variance that it explains of candidates it has not seen (R²,
        out of bag); None where no forest was needed.
    n_candidates : int
    missing : str
        Why there are no shares; empty if there are.
    """

    shares: list[Share]
    fit: float | None = None
    n_candidates: int = 0
    missing: str = ""


def importance(material: Material) -> Importance:
    """Work out what each parameter that varies accounts for.

    Of successive halving the first iteration is looked at: only there all candidates had equal
    resources.
    """
    rows = material.scored
    if material.folds.iteration is not None:
        scored = ~np.isnan(material.means)
        first = material.folds.iteration == 0
        rows = np.flatnonzero(scored & first)
    varied = [axis for axis in material.axes if len(_codes(axis, rows)[1]) > 1]
    needed = max(MIN_CANDIDATES, MIN_FOR_EACH * len(varied))
    if len(varied) < 2:
        return Importance([], missing="Only one parameter varies.")
    if len(rows) < needed:
        return Importance(
            [],
            missing=f"{len(rows)} candidates with a score are too few to say how much each of"
            f" {len(varied)} parameters matters; {needed} would do.",
        )
    scores = material.means[rows]
    if not np.ptp(scores) > 1e-12 * max(1.0, float(np.abs(scores).max())):
        return Importance([], missing="All candidates have the same score.")
    codes = [_codes(axis, rows) for axis in varied]
    fit: float | None = None
    if _is_grid(codes, len(rows)):
        found = _of_grid(codes, scores)
    else:
        found, fit = _of_forest(varied, rows, scores)
    shares = [Share(axis, *pair) for axis, pair in zip(varied, found, strict=True)]
    shares.sort(key=lambda share: -share.total)
    return Importance(shares, fit, len(rows))


def _codes(axis: Axis, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the number of each row's place among the distinct ones, and these; NaN is one too."""
    distinct, codes = np.unique(axis.places[rows], return_inverse=True)
    return codes, distinct


def _is_grid(codes: list[tuple[NDArray[np.intp], FloatArray]], n_rows: int) -> bool:
    """Tell whether each combination of values is there, once."""
    sizes = [len(distinct) for _, distinct in codes]
    if math.prod(sizes) != n_rows:
        return False
    cells = np.ravel_multi_index(tuple(code for code, _ in codes), sizes)
    return len(np.unique(cells)) == n_rows


def _of_grid(
    codes: list[tuple[NDArray[np.intp], FloatArray]], scores: FloatArray
) -> list[tuple[float, float]]:
    """Decompose the variance of a full grid, exactly."""
    tensor = np.empty([len(distinct) for _, distinct in codes])
    tensor[tuple(code for code, _ in codes)] = scores
    total = tensor.var()
    shares = []
    for number in range(tensor.ndim):
        others = tuple(axis for axis in range(tensor.ndim) if axis != number)
        own = tensor.mean(axis=others).var() / total
        shares.append((float(own), float(tensor.var(axis=number).mean() / total)))
    return shares


def _of_forest(
    varied: list[Axis], rows: NDArray[np.intp], scores: FloatArray
) -> tuple[list[tuple[float, float]], float]:
    """Decompose the variance of what a forest predicts; always the same for the same scores."""
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(0)
    if len(rows) > _MAX_LEARNT:
        chosen = np.sort(random.choice(len(rows), _MAX_LEARNT, replace=False))
        rows, scores = rows[chosen], scores[chosen]
    table = [axis.scaled(axis.places[rows]) for axis in varied]
    forest = RandomForestRegressor(
        _TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1
    )
    forest.fit(_features(varied, table), scores)
    fit = float(forest.oob_score_)

    def at_random(column: FloatArray) -> FloatArray:
        return random.choice(column, _BACKGROUND)

    # Every parameter drawn by itself from the values that were tried.
    background = [at_random(column) for column in table]
    variance = float(forest.predict(_features(varied, background)).var())
    if not variance > 0:
        return [(0.0, 0.0)] * len(varied), fit
    shares = []
    for number, column in enumerate(table):
        ordered = np.sort(column)  # NaN last
        values = ordered[np.linspace(0, len(ordered) - 1, _VALUES).astype(int)]
        asked = [np.repeat(other, _VALUES) for other in background]
        asked[number] = np.tile(values, _BACKGROUND)
        answers = forest.predict(_features(varied, asked)).reshape(_BACKGROUND, _VALUES)
        own = float(answers.mean(axis=0).var()) / variance
        total = max(own, float(answers.var(axis=1).mean()) / variance)
        shares.append((min(own, 1.0), min(total, 1.0)))
    return shares, fit


def _features(varied: list[Axis], columns: list[FloatArray]) -> NDArray[np.float64]:
    """Return what the forest sees: numbers as they are, a column for each category."""
    parts: list[Any] = []
    for axis, column in zip(varied, columns, strict=True):
        absent = np.isnan(column)
        if axis.categories is None:
            parts.append(np.where(absent, -1e9, column))
        else:
            parts += [column == place for place in range(len(axis.categories))]
        if absent.any():
            parts.append(absent)
    return np.column_stack(parts).astype(np.float64)


def by_importance(material: Material, found: Importance) -> list[Axis]:
    """Return the parameters that vary, those that matter most first, else as in the job file."""
    if not found.shares:
        return material.axes
    ordered = [share.axis for share in found.shares]
    names = {axis.name for axis in ordered}
    return ordered + [axis for axis in material.axes if axis.name not in names]


def importance_figure(material: Material, found: Importance) -> list[Figure]:
    """Draw the shares as bars: by itself, and beyond that in company."""
    if not found.shares:
        return []
    shares = found.shares[:15][::-1]
    labels = [plain(share.axis.label, 28) for share in shares]
    own = [share.own for share in shares]
    more = [share.total - share.own for share in shares]
    drawn = Drawing(
        trace("bar",
            y=labels, x=own, orientation="h", name="by itself", marker={"color": BLUE},
            hovertemplate="%{y} by itself: %{x:.1%}<extra></extra>",
        ),
        trace("bar",
            y=labels, x=more, orientation="h", name="together with others", marker={"color": SKY},
            text=[f" {share.total:.0%}" for share in shares], textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y} together with others: %{x:.1%}<extra></extra>",
        ),
        height=110 + 30 * len(shares), barmode="stack", bargap=0.35,
        xaxis={
            "title": {"text": "share of the scores’ variance"}, "tickformat": ".0%",
            "range": [0, max(share.total for share in shares) * 1.12],
        },
        yaxis={"type": "category", "ticks": "", "ticksuffix": "  "},
        legend={"traceorder": "normal"},
    )  # fmt: skip
    return [Figure("importance", "Parameter importance", _method(material, found), drawn)]


def _method(material: Material, found: Importance) -> str:
    of = f"{found.n_candidates:,} candidates"
    if material.folds.iteration is not None:
        of += " of the first iteration"
    if found.fit is None:
        how = f"Worked out from the scores of the whole grid ({of})."
    else:
        how = (
            f"Estimated with a random forest on {of}; it explains {max(found.fit, 0):.0%} of the"
            " variance of candidates it has not seen."
        )
        if found.fit < 0.3:
            how += " That is little: do not rely on these shares."
    return (
        "How much of the variance of the mean scores each parameter accounts for: by itself, and"
        f" only together with others (functional ANOVA). {how}"
    )
