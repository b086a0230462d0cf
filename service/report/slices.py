"""Score by the values of one parameter, a plot for each."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.report.axes import Axis
from service.report.drawing import BLUE, Drawing, Figure, frame, plain, trace
from service.report.heatmap import MAX_CELLS, apart
from service.report.hover import hover
from service.report.importance import Importance, by_importance
from service.report.material import Material, thinned

#: Parameters that have a plot, values up to which these are boxes, and points in each plot.
MAX_SLICES = 12
MAX_BOXES = 15
SLICE_POINTS = 600


def slices(material: Material, found: Importance) -> list[Figure]:
    """Draw the scores by the values of one parameter, a plot for each."""
    if len(material.scored) < 2:
        return []
    axes = by_importance(material, found)
    group = "Score by each parameter"
    left_out = frame(material.means[material.scored])[1]
    if len(axes) > MAX_SLICES:
        left_out += f" The {MAX_SLICES} of {len(axes)} parameters that matter most are shown."
    return [
        Figure(
            f"parameter-{number}", axis.label, _slice_text(axis) + (left_out if number == 1 else ""),
            _slice(material, axis), group,
        )
        for number, axis in enumerate(axes[:MAX_SLICES], 1)
    ]  # fmt: skip


def _is_boxed(axis: Axis) -> bool:
    n_values = len(axis.distinct)
    return n_values <= MAX_BOXES or not axis.is_numeric


def _slice_text(axis: Axis) -> str:
    told = axis.name
    if _is_boxed(axis):
        n_more = len(axis.distinct) - MAX_CELLS
        return told + (f"; {n_more} more values are not shown." if n_more > 0 else "")
    return told + (" (logarithmic)" if axis.is_log else "")


def _slice(material: Material, axis: Axis) -> Drawing:
    rows = material.scored
    framed, _ = frame(material.means[rows])
    title = {"title": {"text": plain(material.metric_label)}, **framed}
    if not _is_boxed(axis):
        shown = thinned(rows[~np.isnan(axis.places[rows])], material.means, SLICE_POINTS)
        points = trace(
            "scatter", x=axis.places[shown], y=material.means[shown], mode="markers",
            marker={"color": BLUE, "size": 6, "opacity": 0.6},
            text=[hover(material, row) for row in shown],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
        return Drawing(
            points, height=300, showlegend=False, yaxis=title, xaxis=_kind(axis, axis.distinct)
        )
    traces = []
    places: list[float] = axis.distinct[:MAX_CELLS].tolist()
    if np.isnan(axis.places[rows]).any():
        places.append(math.nan)
    names = apart([plain(axis.spelled(place), 18) for place in places])
    with_points = len(rows) <= SLICE_POINTS
    for place, name in zip(places, names, strict=True):
        same = np.isnan(axis.places[rows]) if math.isnan(place) else axis.places[rows] == place
        members = rows[same]
        if not len(members):
            continue
        means = material.means[members]
        box: dict[str, Any] = {"y": means, "x": [name] * len(means), "boxpoints": False}
        if with_points:
            box |= {
                "boxpoints": "all", "jitter": 0.5, "pointpos": 0, "hoveron": "points",
                "text": [hover(material, row) for row in members],
                "hovertemplate": "%{text}<extra></extra>",
            }  # fmt: skip
        else:  # five numbers say it all, whatever the number of candidates
            low, q1, middle, q3, high = np.percentile(means, [0, 25, 50, 75, 100]).tolist()
            box = {"q1": [q1], "median": [middle], "q3": [q3], "lowerfence": [low],
                   "upperfence": [high], "x": [name]}  # fmt: skip
        traces.append(
            trace(
                "box", **box, name=name, line={"width": 1.5, "color": BLUE},
                marker={"color": BLUE, "size": 4, "opacity": 0.5},
                fillcolor="rgba(0,114,178,.15)",
            )
        )  # fmt: skip
    return Drawing(
        *traces, height=300, showlegend=False, yaxis=title, xaxis={"type": "category", "ticks": ""}
    )


def _kind(axis: Axis, distinct: NDArray[np.float64]) -> dict[str, Any]:
    """Return the kind of a numeric axis, marked at whole powers of ten where there are some."""
    if not axis.is_log:
        return {}
    decades = math.log10(distinct[-1] / distinct[0])
    if decades > 8:
        return {"type": "log"}
    return {"type": "log", "dtick": 1 if decades > 2 else "D2"}
