"""Parallel coordinates: each candidate a line across its parameters to its score."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.report.axes import ABSENT, Axis
from service.report.drawing import GREY, Drawing, Figure, frame, plain, template, trace
from service.report.hover import hover
from service.report.importance import Importance, by_importance
from service.report.material import Material, thinned

#: Lines, axes, and the steps of colour that lines come in.
MAX_LINES = 400
MAX_AXES = 10
N_COLORS = 12


def parallel(material: Material, found: Importance) -> list[Figure]:
    """Draw each candidate as a line across its parameters to its score.

    Lines of SVG rather than plotly's `parcoords`: that needs WebGL, and leave to make code from
    text, which a page with values of anybody's making should not have.
    """
    rows = thinned(material.scored, material.means, MAX_LINES)
    if len(rows) < 2 or len(material.axes) < 2:
        return []
    chosen = {axis.name for axis in by_importance(material, found)[:MAX_AXES]}
    shown = [axis for axis in material.axes if axis.name in chosen]
    scales = [_Scale.of(axis, rows) for axis in shown] + [_Scale.of_scores(material, rows)]
    heights = np.stack([scale.heights for scale in scales], axis=1)  # from 0 to 1, or NaN
    order = np.argsort(material.means[rows], kind="stable")  # the best are drawn last, on top
    steps = np.minimum((heights[:, -1] * N_COLORS).astype(int), N_COLORS - 1)
    drawn = Drawing(height=430, showlegend=False, hovermode="closest")
    x = list(range(len(scales)))
    for step in range(N_COLORS):
        members = [i for i in order if steps[i] == step]
        if not members:
            continue
        texts = [hover(material, rows[i]) for i in members]
        color = _color((step + 0.5) / N_COLORS)
        drawn.traces.append(
            trace(
                "scatter",
                x=[place for _ in members for place in (*x, None)],
                y=[
                    value
                    for i in members
                    for value in (*(round(float(h), 4) for h in heights[i]), None)
                ],
                text=[text for text in texts for _ in (*x, None)],
                hovertemplate="%{text}<extra></extra>",
                mode="lines",
                line={"color": color, "width": 1 + 1.5 * (step + 1) / N_COLORS},
                opacity=0.35 + 0.6 * (step + 1) / N_COLORS,
                meta={"step": (step + 0.5) / N_COLORS},
            )
        )
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, scale in zip(x, scales, strict=True):
        shapes.append(
            {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1,
             "line": {"width": 1, "color": GREY}, "layer": "above"}
        )  # fmt: skip
        for height, text in scale.ticks:
            last = place == x[-1]
            annotations.append(
                {"x": place, "y": height, "text": plain(text, 14), "showarrow": False,
                 "xanchor": "left" if last else "right", "xshift": 6 if last else -5,
                 "font": {"size": 10.5}}
            )  # fmt: skip
    titles = [plain(scale.title, 16) for scale in scales]
    drawn.layout.update(
        xaxis={
            "tickvals": x, "ticktext": titles, "side": "top", "showgrid": False, "ticks": "",
            "range": [-0.6 if shown[0].categories else -0.5, len(x) - 0.5], "tickangle": 0,
            "showline": False,
        },
        yaxis={"visible": False, "range": [-0.04, 1.04]},
        margin={"l": 12, "r": 28, "t": 40, "b": 12}, shapes=shapes, annotations=annotations,
    )  # fmt: skip
    what = (
        f"Each line is a candidate, in the colour of its {material.metric_label}, the best on top."
    )
    if len(rows) < len(material.scored):
        what += (
            f" Drawn are {len(rows):,} of {len(material.scored):,}: the best and an even sample."
        )
    if len(shown) < len(material.axes):
        what += f" Shown are the {len(shown)} of {len(material.axes)} parameters that matter most."
    if any(scale.is_log for scale in scales):
        names = ", ".join(scale.title for scale in scales if scale.is_log)
        what += f" Logarithmic: {names}."
    return [Figure("parallel", "Parallel coordinates", what, drawn)]


class _Scale:
    """One upright axis: where each line crosses it, from 0 to 1, and what stands beside it."""

    def __init__(
        self,
        title: str,
        heights: NDArray[np.float64],
        ticks: list[tuple[float, str]],
        *,
        is_log: bool = False,
    ):
        self.title, self.heights, self.ticks, self.is_log = title, heights, ticks, is_log

    @classmethod
    def of(cls, axis: Axis, rows: NDArray[np.intp]) -> "_Scale":
        places = axis.places[rows]
        absent = np.isnan(places)
        if axis.categories is not None:
            present = np.unique(places[~absent])
            where = {place: i for i, place in enumerate(present)}
            n = len(present) + bool(absent.any())
            # What is absent lies below the others.
            index = np.array([-1 if np.isnan(p) else where[p] for p in places]) + (
                1 if absent.any() else 0
            )
            span = max(n - 1, 1)
            names = ([ABSENT] if absent.any() else []) + [axis.spelled(p) for p in present]
            few = {0, *np.linspace(0, n - 1, min(n, 14)).astype(int).tolist()}
            ticks = [(i / span, name) for i, name in enumerate(names) if i in few]
            return cls(axis.label, index / span, ticks)
        scaled = axis.scaled(places)
        low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
        floor = 0.12 if absent.any() else 0.0
        heights = floor + (1 - floor) * (scaled - low) / ((high - low) or 1.0)
        marks = [
            (floor + (1 - floor) * (at - low) / ((high - low) or 1.0), text)
            for at, text in _marks(axis, low, high, places[~absent])
        ]
        if absent.any():
            heights = np.where(absent, 0.0, heights)
            marks.insert(0, (0.0, ABSENT))
        return cls(axis.label, heights, marks, is_log=axis.is_log)

    @classmethod
    def of_scores(cls, material: Material, rows: NDArray[np.intp]) -> "_Scale":
        means = material.means[rows]
        framed, _ = frame(means)
        low, high = float(means.min()), float(means.max())
        cut = bool(framed) and framed["range"][0] > low
        low = max(low, framed["range"][0]) if framed else low
        means = np.maximum(means, low)
        heights = (means - low) / ((high - low) or 1.0)
        ticks = [(part, f"{low + part * (high - low):.4g}") for part in (0, 0.25, 0.5, 0.75, 1)]
        if cut:
            ticks[0] = (0.0, f"≤ {low:.4g}")
        return cls(material.metric_label, heights, ticks if high > low else ticks[:1])


def _marks(
    axis: Axis, low: float, high: float, places: NDArray[np.float64]
) -> list[tuple[float, str]]:
    """Return where a numeric axis is marked: the values themselves if few, else round numbers."""
    distinct = np.unique(places)
    if len(distinct) <= 7:
        return [(float(axis.scaled(np.array([v]))[0]), axis.spelled(v)) for v in distinct]
    if axis.is_log:
        exponents = np.arange(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        if len(exponents) >= 2:
            kept = exponents[:: math.ceil(len(exponents) / 7)]
            return [(float(e), f"{10.0**e:g}") for e in kept]
        return [(at, f"{10**at:.3g}") for at in np.linspace(low, high, 4).tolist()]
    return [(at, f"{at:.4g}") for at in np.linspace(low, high, 5).tolist()]


def _color(part: float) -> str:
    """Return the colour of the light ground's scale at a part of its length.

    The page puts in that of the dark one, by the part of the scale in `meta`.
    """
    steps = template(dark=False)["layout"]["colorscale"]["sequential"]
    place = part * (len(steps) - 1)
    one, other = steps[int(place)][1], steps[min(int(place) + 1, len(steps) - 1)][1]
    share = place - int(place)
    mixed = [
        round(int(one[i : i + 2], 16) * (1 - share) + int(other[i : i + 2], 16) * share)
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
