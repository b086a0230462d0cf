"""Plots of what came out: the best so far, score against fit time, the folds' spread, the rungs."""

import numpy as np
from numpy.typing import NDArray

from service.report.drawing import (
    BLUE,
    COLORS,
    GREY,
    ORANGE,
    Drawing,
    Figure,
    frame,
    log_axis,
    plain,
    trace,
)
from service.report.hover import hover
from service.report.material import MAX_POINTS, Material, thinned

#: Candidates whose folds are shown one by one.
BEST_SHOWN = 10

#: Lives of candidates drawn across the iterations of successive halving.
MAX_LIVES = 300


def best_so_far(material: Material) -> list[Figure]:
    """Draw each candidate at the time when it was finished, and the best until then.

    Of successive halving the best begins anew with each iteration: scores on few samples and on
    many cannot be compared.
    """
    rows = np.flatnonzero(~np.isnan(material.means) & ~np.isnan(material.seconds))
    if len(rows) < 2:
        return []
    unit, divisor = _unit(float(material.seconds[rows].max()))
    times = material.seconds / divisor
    points = thinned(rows, material.means, MAX_POINTS)
    framed, outside = frame(material.means[rows])
    drawn = Drawing(
        trace("scatter",
            x=times[points], y=material.means[points], mode="markers", name="candidate",
            marker={"color": GREY, "size": 6, "opacity": 0.55},
            text=[hover(material, row) for row in points],
            hovertemplate=f"%{{text}}<br>after %{{x:.3~f}} {unit}<extra></extra>",
        ),
        xaxis={"title": {"text": f"{unit} since the start"}, "rangemode": "tozero"},
        yaxis={"title": {"text": plain(material.metric_label)}, **framed},
    )  # fmt: skip
    iterations = material.folds.iteration
    parts = (
        [rows]
        if iterations is None
        else [rows[iterations[rows] == i] for i in _unique(iterations[rows])]
    )
    for number, part in enumerate(parts):
        x, y = _staircase(times[part], material.means[part])
        drawn.traces.append(
            trace("scatter",
                x=x, y=y, mode="lines",
                name="best so far" if iterations is None else f"best of iteration {number}",
                line={"shape": "hv", "color": COLORS[number % len(COLORS)], "width": 2.5},
                hovertemplate=f"best %{{y:.6g}}<br>after %{{x:.3~f}} {unit}<extra></extra>",
            )
        )  # fmt: skip
    what = "Each candidate stands where its last fold was finished."
    if material.job.n_reused:
        what += f" {material.job.n_reused:,} folds were taken from the records at the beginning."
    if iterations is not None:
        what += " The best begins anew with each iteration, which has resources of its own."
    if len(points) < len(rows):
        what += f" Drawn are {len(points):,} of {len(rows):,}; the line is of all."
    return [Figure("progress", "Best so far", what + outside, drawn)]


def _unit(seconds: float) -> tuple[str, float]:
    for name, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 3 * size:
            return name, size
    return "seconds", 1.0


def _unique(values: NDArray[np.int64]) -> list[int]:
    found: list[int] = np.unique(values).tolist()
    return found


def _staircase(
    times: NDArray[np.float64], means: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the best until then grew, and where it ends."""
    order = np.argsort(times, kind="stable")
    times, best = times[order], np.maximum.accumulate(means[order])
    grew = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    return np.append(times[grew], times[-1]), np.append(best[grew], best[-1])


def fit_time(material: Material) -> list[Figure]:
    """Draw the mean score of each candidate against its mean fit time, and the front of both."""
    times = np.asarray(material.table["mean_fit_time"], dtype=float)
    rows = material.scored[times[material.scored] > 0]
    if len(rows) < 2:
        return []
    points = thinned(rows, material.means, MAX_POINTS)
    framed, outside = frame(material.means[rows])
    order = rows[np.lexsort((-material.means[rows], times[rows]))]
    best = np.maximum.accumulate(material.means[order])
    front = order[np.diff(best, prepend=-np.inf) > 0]
    marker = {"color": BLUE, "size": 7, "opacity": 0.6}
    drawn = Drawing(
        trace("scatter",
            x=times[points], y=material.means[points], mode="markers", name="candidate",
            marker=marker, text=[hover(material, row) for row in points],
            hovertemplate="%{text}<br>fit %{x:.3~g} s<extra></extra>",
        ),
        trace("scatter",
            x=times[front], y=material.means[front], mode="lines+markers",
            name="nothing quicker is better", marker={"color": ORANGE, "size": 9},
            line={"color": ORANGE, "width": 1.5, "shape": "hv"},
            text=[hover(material, row) for row in front],
            hovertemplate="%{text}<br>fit %{x:.3~g} s<extra></extra>",
        ),
        xaxis={"title": {"text": "mean fit time (seconds)"}, **_log_time(times[rows])},
        yaxis={"title": {"text": plain(material.metric_label)}, **framed},
    )  # fmt: skip
    what = "What a better score costs: means over the splits, of the fit as if nothing were shared."
    if len(points) < len(rows):
        what += f" Drawn are {len(points):,} of {len(rows):,}; the line is of all."
    return [Figure("fit-time", "Score against fit time", what + outside, drawn)]


def _log_time(times: NDArray[np.float64]) -> dict[str, object]:
    """Return the kind of a time axis: logarithmic where times are of different orders."""
    low, high = float(times.min()), float(times.max())
    return {"rangemode": "tozero"} if high < 5 * low else log_axis(low, high)


def fold_spread(material: Material) -> list[Figure]:
    """Draw the scores of every fold of the best candidates."""
    scores = material.folds.test_scores[material.metric]
    best = [row for row in material.ranked if np.isfinite(material.means[row])][:BEST_SHOWN]
    if not best or material.folds.n_splits < 2:
        return []
    drawn = Drawing(
        height=90 + 34 * len(best), showlegend=False,
        xaxis={"title": {"text": plain(material.metric_label)}},
        yaxis={"type": "category", "title": {"text": "candidate"}, "ticks": "", "ticksuffix": "  "},
    )  # fmt: skip
    for row in reversed(best):
        there = material.folds.present[row] & np.isfinite(scores[row])
        splits = np.flatnonzero(there)[:200]
        name = f"{row}"
        drawn.traces.append(
            trace("box",
                x=scores[row][splits], y=[name] * len(splits), orientation="h", name=name,
                boxpoints="all", jitter=0.4, pointpos=0, fillcolor="rgba(0,114,178,.15)",
                line={"width": 1.5, "color": BLUE},
                marker={"size": 6, "color": BLUE, "opacity": 0.7},
                boxmean=True, hoveron="points",
                text=[f"split {split}" for split in splits],
                hovertemplate=f"%{{text}}: %{{x:.6g}}<br>{hover(material, row)}<extra></extra>",
            )
        )  # fmt: skip
    what = (
        f"The score on each split of the best {len(best)} candidates, the best at the top;"
        " the dashed line is the mean, the line the median."
        if len(best) > 1
        else "The score on each split; the dashed line is the mean, the line the median."
    )
    return [Figure("folds", "Spread of the folds", what, drawn)]


def rungs(material: Material) -> list[Figure]:
    """Draw the lives of the candidates of successive halving, from iteration to iteration."""
    folds = material.folds
    if folds.iteration is None or folds.n_resources is None or not len(material.scored):
        return []
    lives = [
        [r for r in rows if not np.isnan(material.means[r])] for rows in material.lives.values()
    ]
    lives = [rows for rows in lives if rows]
    # Those that came furthest are all drawn.
    lives.sort(key=lambda rows: (-len(rows), -material.means[rows[-1]]))
    n_all, lives = len(lives), lives[:MAX_LIVES]
    last = int(folds.iteration.max())
    labels, counts = [], []
    for iteration in range(last + 1):
        of_this = folds.iteration == iteration
        labels.append(f"{int(folds.n_resources[of_this].max()):,}")
        counts.append(int(of_this.sum()))
    framed, outside = frame(np.array([material.means[row] for rows in lives for row in rows]))
    drawn = Drawing(height=420, showlegend=False)
    for number, rows in enumerate(reversed(lives)):
        is_best = number == len(lives) - 1
        survived = int(folds.iteration[rows[-1]]) == last
        drawn.traces.append(
            trace("scatter",
                x=folds.iteration[rows], y=material.means[rows], mode="lines+markers",
                line={"width": 3 if is_best else 1.2,
                      "color": ORANGE if is_best else BLUE if survived else GREY},
                marker={"size": 8 if is_best else 5},
                opacity=1 if is_best else 0.75 if survived else 0.4,
                text=[hover(material, row) for row in rows],
                hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    resource = material.resource or "samples"
    drawn.layout.update(
        xaxis={
            "title": {"text": f"iteration: candidates × {plain(resource)}"},
            "tickvals": list(range(last + 1)),
            "ticktext": [
                f"{i}:  {count:,} × {label}"
                for i, (count, label) in enumerate(zip(counts, labels, strict=True))
            ],
            "range": [-0.3, last + 0.3],
        },
        yaxis={"title": {"text": plain(material.metric_label)}, **framed},
    )
    what = (
        "Each line is a candidate, as far as it came: the best orange, others of the last iteration"
        f" blue, those that were dropped grey. Each iteration gives them more {resource}."
    )
    if len(lives) < n_all:
        what += f" Drawn are the {len(lives)} of {n_all:,} that came furthest."
    return [Figure("rungs", "Successive halving", what + outside, drawn)]
