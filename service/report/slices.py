"""Score by the values of one parameter, a plot for each."""

import math
from typing import Any

import numpy as np

from service.report.axes import Axis
from service.report.drawing import BLUE, Drawing, Figure, frame, log_axis, plain, trace
from service.report.heatmap import MAX_CELLS, apart
from service.report.hover import hover
from service.report.importance import Importance, by_importance
from service.report.material import Material, thinned

#: Parameters that have a plot, values up to which these are boxes, and points in each plot.
MAX_SLICES = 12
MAX_BOXES = 15
SLICE_POINTS = 400


def slices(material: Material, found: Importance) -> list[Figure]:
    """Draw the scores by the values of one parameter, a plot for each."""
    if len(material.scored) < 2:
        return []
    axes = by_importance(material, found)
    group = "Score by each parameter"
    left_out = frame(material.means[material.scored])[1]
    if len(axes) > MAX_SLICES:
        left_out += f" The {MAX_SLICES} of {len(axes)} parameters that matter most are shown."
    texts = [_slice_text(axis, len(material.scored)) for axis in axes[:MAX_SLICES]]
    if left_out:
        texts = [f"{text}.{left_out}".lstrip(". ") for text in texts]
    return [
        Figure(f"parameter-{number}", axis.label, text, _slice(material, axis), group)
        for number, (axis, text) in enumerate(zip(axes, texts, strict=False), 1)
    ]


def _is_boxed(axis: Axis, n_scored: int) -> bool:
    """Whether the scores of each value are summed up; one each, or of many values, are points."""
    n_values = len(axis.distinct)
    return not axis.is_numeric or (n_scored > n_values and n_values <= MAX_BOXES)


def _slice_text(axis: Axis, n_scored: int) -> str:
    told = "" if axis.name == axis.label else axis.name
    n_more = len(axis.distinct) - MAX_CELLS
    if not _is_boxed(axis, n_scored):
        more = "logarithmic" if axis.is_log else ""
    else:
        more = f"{n_more} more values are not shown" if n_more > 0 else ""
    return "; ".join(part for part in (told, more) if part)


def _slice(material: Material, axis: Axis) -> Drawing:
    rows = material.scored
    framed, _ = frame(material.means[rows])
    title = {"title": {"text": plain(material.metric_label)}, **framed}
    if not _is_boxed(axis, len(rows)):
        shown = thinned(rows[~np.isnan(axis.places[rows])], material.means, SLICE_POINTS)
        points = trace(
            "scatter", x=axis.places[shown], y=material.means[shown], mode="markers",
            marker={"color": BLUE, "size": 6, "opacity": 0.6},
            text=[hover(material, row) for row in shown],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
        distinct = axis.distinct
        kind = log_axis(float(distinct[0]), float(distinct[-1])) if axis.is_log else {}
        return Drawing(points, height=300, showlegend=False, yaxis=title, xaxis=kind)
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
