"""Heat map: the best score for each pair of values of two parameters."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from service.report.axes import Axis
from service.report.drawing import LABEL_LENGTH, Drawing, Figure, frame, plain, trace
from service.report.importance import Importance, by_importance
from service.report.material import Material

#: Pairs of parameters to choose from; cells along each side, ranges that more values are cut into,
#: and cells up to which there is room for their numbers.
MAX_PAIRS = 15
MAX_CELLS = 30
N_BINS = 12
NUMBERED_CELLS = 80


def heat_map(material: Material, found: Importance) -> list[Figure]:
    """Draw the best score for each pair of values of two parameters, with a menu of pairs."""
    rows = material.scored
    axes = [axis for axis in by_importance(material, found) if len(axis.distinct) > 1]
    if len(axes) < 2 or len(rows) < 4:
        return []
    pairs = list(combinations(axes[:6], 2))[:MAX_PAIRS]
    maps = []
    for one, other in pairs:
        across, down = _Cells(one, rows), _Cells(other, rows)
        best = np.full((down.n, across.n), np.nan)
        there = (across.index >= 0) & (down.index >= 0)
        np.fmax.at(best, (down.index[there], across.index[there]), material.means[rows][there])
        if (~np.isnan(best)).sum() >= 4:
            maps.append((one, other, across, down, best))
    if not maps:
        return []
    drawn = Drawing(height=440)
    buttons = []
    for number, (one, other, across, down, best) in enumerate(maps):
        numbered = best.size <= NUMBERED_CELLS
        drawn.traces.append(
            trace("heatmap",
                z=np.round(best, 6), x=across.texts, y=down.texts, coloraxis="coloraxis",
                visible=number == 0, xgap=1, ygap=1, hoverongaps=False,
                texttemplate="%{z:.4g}" if numbered else None,
                hovertemplate=f"{plain(one.label)} %{{x}}<br>{plain(other.label)} %{{y}}"
                "<br>best %{z:.6g}<extra></extra>",
            )
        )  # fmt: skip
        shown = [index == number for index in range(len(maps))]
        titles = {"xaxis.title.text": plain(one.label), "yaxis.title.text": plain(other.label)}
        buttons.append(
            {
                "label": f"{plain(one.label, LABEL_LENGTH)} × {plain(other.label, LABEL_LENGTH)}",
                "method": "update",
                "args": [{"visible": shown}, titles],
            }
        )
    one, other = maps[0][:2]
    framed, _ = frame(material.means[rows])
    limits = {"cmin": framed["range"][0], "cmax": framed["range"][1]} if framed else {}
    drawn.layout.update(
        xaxis={"title": {"text": plain(one.label)}, "type": "category", "showgrid": False},
        yaxis={"title": {"text": plain(other.label)}, "type": "category", "showgrid": False},
        coloraxis={
            "colorbar": {"title": {"text": plain(material.metric_label, 40), "side": "right"}},
            **limits,
        },
        margin={"t": 16},
    )
    if len(buttons) > 1:
        drawn.layout.update(
            updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.15}],
            margin={"t": 64},
        )
    what = f"The {material.metric_label} for each pair of values"
    if len(material.axes) > 2:
        what += ", the best over all that was tried of the other parameters"
    what += "."
    if len(maps) > 1 and found.shares:
        what += " First the two parameters that matter most."
    if any(cells.is_binned for m in maps for cells in (m[2], m[3])):
        what += f" Parameters of more than {MAX_CELLS} values are cut into {N_BINS} ranges."
    return [Figure("heat-map", "Heat map", what, drawn)]


class _Cells:
    """The rows or columns of a heat map: which cell each candidate is in, and their names."""

    def __init__(self, axis: Axis, rows: NDArray[np.intp]):
        places = axis.places[rows]
        absent = np.isnan(places)
        distinct = np.unique(places[~absent])
        self.is_binned = axis.is_numeric and len(distinct) > MAX_CELLS
        if self.is_binned:
            scaled = axis.scaled(places)
            edges = np.linspace(np.nanmin(scaled), np.nanmax(scaled), N_BINS + 1)
            index = np.clip(np.searchsorted(edges, scaled, side="right") - 1, 0, N_BINS - 1)
            bounds = 10**edges if axis.is_log else edges
            self.texts = [f"{low:.3g} – {high:.3g}" for low, high in pairwise(bounds)]
        else:
            distinct = distinct[:MAX_CELLS]
            index = np.searchsorted(distinct, places)
            index = np.where(index < len(distinct), index, -1)
            self.texts = apart([plain(text, LABEL_LENGTH) for text in axis.ticks(distinct)])
        self.index = np.where(absent, -1, index)
        self.n = len(self.texts)


def apart(texts: Sequence[str]) -> list[str]:
    """Return names of categories that differ, where shortening made some of them alike."""
    seen: dict[str, int] = {}
    told = []
    for text in texts:
        seen[text] = seen.get(text, 0) + 1
        told.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return told
