"""Plots of what came out: the best so far over time, score against fit time."""

import numpy as np

from service.report.drawing import BLUE, GREY, Figure, figure, plain
from service.report.material import Material

#: Parameters named in a hover text.
_HOVER_PARAMS = 8


def hover(material: Material, row: int) -> str:
    """Return what is told of a candidate under the pointer."""
    mean, sem = material.means[row], material.sems[row]
    spread = "" if np.isnan(sem) else f" ± {sem:.4g}"
    told = [f"<b>candidate {row}</b>: {mean:.6g}{spread}"]
    varied = [axis for axis in material.axes if not np.isnan(axis.places[row])]
    told += [
        f"{plain(a.label)} = {plain(a.spelled(a.places[row]))}" for a in varied[:_HOVER_PARAMS]
    ]
    if len(varied) > _HOVER_PARAMS:
        told.append("…")
    return "<br>".join(told)


def best_so_far(material: Material) -> list[Figure]:
    """Draw each candidate at the time when it was finished, and the best until then."""
    import plotly.graph_objects as go

    rows = material.scored
    rows = rows[~np.isnan(material.seconds[rows])]
    if len(rows) < 2:
        return []
    rows = rows[np.argsort(material.seconds[rows], kind="stable")]
    seconds, means = material.seconds[rows], material.means[rows]
    best = np.maximum.accumulate(means)
    steps = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    line_x = np.append(seconds[steps], seconds[-1])
    line_y = np.append(best[steps], best[-1])
    points = np.intersect1d(rows, material.shown)
    drawn = figure(
        go.Scatter(
            x=material.seconds[points], y=material.means[points], mode="markers", name="candidate",
            marker={"color": GREY, "size": 6, "opacity": 0.6},
            text=[hover(material, row) for row in points],
            hovertemplate="%{text}<br>after %{x:.3~s} s<extra></extra>",
        ),
        go.Scatter(
            x=line_x, y=line_y, mode="lines", name="best so far",
            line={"shape": "hv", "color": BLUE, "width": 2.5},
            hovertemplate="best %{y:.6g}<br>after %{x:.3~s} s<extra></extra>",
        ),
        xaxis={"title": {"text": "seconds since the start"}, "rangemode": "tozero"},
        yaxis={"title": {"text": plain(material.metric_label)}},
    )  # fmt: skip
    what = "Each candidate stands where its last fold was finished." + material.shown_note
    return [Figure("progress", "Best so far", what, drawn)]


def fit_time(material: Material) -> list[Figure]:
    """Draw the mean score of each candidate against its mean fit time."""
    import plotly.graph_objects as go

    times = material.table["mean_fit_time"]
    rows = material.shown[times[material.shown] > 0]
    if len(rows) < 2:
        return []
    drawn = figure(
        go.Scatter(
            x=times[rows], y=material.means[rows], mode="markers", name="candidate",
            marker={"color": BLUE, "size": 7, "opacity": 0.65},
            text=[hover(material, row) for row in rows],
            hovertemplate="%{text}<br>fit %{x:.3~s} s<extra></extra>",
        ),
        xaxis={"title": {"text": "mean fit time (seconds)"}, "type": "log"},
        yaxis={"title": {"text": plain(material.metric_label)}},
    )  # fmt: skip
    what = "What a better score costs: the mean over the splits of both." + material.shown_note
    return [Figure("fit-time", "Score against fit time", what, drawn)]
