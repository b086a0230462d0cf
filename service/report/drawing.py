"""What all plots share: their type, their colours in light and dark, and text that is only text."""

import html
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.printable import printable

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Categories, in colours that the colour-blind can tell apart (Okabe and Ito, 2008), in an order
#: in which neighbours differ most. The same in light and dark: each has 3:1 on both grounds, but
#: the yellow, which is left out.
BLUE, ORANGE, GREEN, PINK, SKY, RED = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
)  # fmt: skip
GREY = "#8a8f98"
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)

#: Characters of one label on an axis, and of one value in a hover text.
LABEL_LENGTH = 28
VALUE_LENGTH = 80

#: A trace of plotly, as its JSON has it.
Trace = dict[str, Any]


class Drawing:
    """What a plot is made of, as plotly's JSON has it. NumPy arrays may stand in it.

    Plain dictionaries: plotly's own classes check each value as it is set, which takes seconds for
    a page full of plots. `Figure.plot` has all of it checked.

    Parameters
    ----------
    *traces : Trace
    **layout
        `height` is 400 pixels by default; the width is the page's.
    """

    def __init__(self, *traces: Trace, **layout: Any):
        self.traces = list(traces)
        self.layout: dict[str, Any] = {"height": 400, **layout}


def trace(kind: str, **properties: Any) -> Trace:
    """Return a trace of some kind: scatter, bar, box, heatmap."""
    return {"type": kind, **properties}


@dataclass(frozen=True)
class Figure:
    """One plot of a search.

    Attributes
    ----------
    key : str
        The same for the same plot of every search; of letters, digits and "-".
    title : str
        Plain text, as all texts here.
    what : str
        What it shows and how that was worked out, what was left out of it.
    drawing : Drawing
    group : str
        Plots of one group belong side by side, under this title; empty for one that stands alone.
    """

    key: str
    title: str
    what: str
    drawing: Drawing
    group: str = ""

    @cached_property
    def plot(self) -> "go.Figure":
        """The figure for notebooks and other programs, checked by plotly, which takes its time."""
        import plotly.graph_objects as go

        layout = {"template": template(dark=False), **self.drawing.layout}
        return go.Figure(data=self.drawing.traces, layout=layout)

    def to_json(self) -> str:
        """Return traces and layout as plotly.js takes them; what is not a number is null."""
        whole = {"data": self.drawing.traces, "layout": self.drawing.layout}
        return json.dumps(_plain_data(whole), separators=(",", ":"), allow_nan=False)


def _plain_data(value: Any) -> Any:
    """Return plain Python; numbers with seven digits, which is more than a screen can show."""
    if isinstance(value, dict):
        return {name: _plain_data(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_data(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_data(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value


def frame(scores: NDArray[np.float64]) -> tuple[dict[str, Any], str]:
    """Return the range of an axis of scores that a few very bad ones do not squeeze, and say so.

    Scores further below the lower quartile than five times the distance of the quartiles are left
    outside, when they are a quarter of all at most and would take two thirds of the axis.
    """
    low, q1, q3, high = np.percentile(scores, [0, 25, 75, 100]).tolist()
    floor = q1 - 5 * (q3 - q1)
    outside = int((scores < floor).sum())
    inside = float(scores[scores >= floor].min())
    if not outside or outside > len(scores) / 4 or high - low < 3 * (high - inside) or q1 == q3:
        return {}, ""
    margin = 0.06 * (high - inside)
    return (
        {"range": [inside - margin, high + margin]},
        f" {outside:,} worse than {inside:.4g} lie{'s' if outside == 1 else ''} below the frame: a"
        " double click shows all.",
    )


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis, marked at powers of ten, and in between where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    each = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    apart = max(1, math.ceil((last - first) / 8))
    marks = [m * 10.0**e for e in range(first, last + 1, apart) for m in each]
    marks = [mark for mark in marks if low * 0.9 <= mark <= high * 1.1]
    return {"type": "log", "tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}


def plain(text: object, length: int = VALUE_LENGTH) -> str:
    """Return text for a plot: plotly would take its tags and entities for markup."""
    shown = printable(" ".join(str(text).split()))
    if len(shown) > length:
        shown = shown[: length - 1] + "…"
    return html.escape(shown, quote=False)


def template(*, dark: bool) -> dict[str, Any]:
    """Return the plotly template of a ground: fonts, lines and colours."""
    ink, quiet, line, raised, veil = (
        ("#e6e8eb", "#a9b0ba", "#343a43", "#22272e", "rgba(22,25,29,.9)")
        if dark
        else ("#1c2127", "#59616c", "#e3e6ea", "#ffffff", "rgba(255,255,255,.9)")
    )
    # The best stand out from the ground: light on dark, dark on light. Cut at the ends that would
    # drown in it.
    scale = ("#3f4788", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725")
    if not dark:
        scale = ("#d8df3a", "#6fcb57", "#2fa97f", "#25848e", "#35608d", "#440154")
    steps = [[index / (len(scale) - 1), color] for index, color in enumerate(scale)]
    axis = {
        "gridcolor": line,
        "linecolor": line,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": line,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13, "color": quiet}},
        "tickfont": {"color": quiet},
    }
    bar = {"thickness": 10, "outlinewidth": 0, "tickfont": {"color": quiet}}
    return {
        "layout": {
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(COLORS),
            "colorscale": {"sequential": steps, "sequentialminus": steps},
            "coloraxis": {"colorbar": bar},
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
            "legend": {
                "orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom",
                "font": {"color": quiet},
            },
            "hoverlabel": {
                "bgcolor": raised, "bordercolor": quiet, "align": "left",
                "font": {"family": "system-ui, sans-serif", "color": ink},
            },
            "hovermode": "closest",
            "updatemenudefaults": {"bgcolor": raised, "bordercolor": line, "font": {"color": ink}},
            "annotationdefaults": {"font": {"color": quiet}, "bgcolor": veil},
        },
        "data": {"parcoords": [{"line": {"colorbar": bar}}], "heatmap": [{"colorbar": bar}]},
    }  # fmt: skip
