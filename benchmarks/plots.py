"""The plots of the page: SVG without a background, in colours for white pages and for black."""

from pathlib import Path
from typing import Any

from benchmarks.page import growth_points
from benchmarks.rounds import REFERENCE, from_json, ratio

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "img"

#: Contrast of about 4.5 both to white and to GitHub's dark background.
_INK = "#6f7985"
_COLOURS = {
    "foldq": "#2f81f7",
    REFERENCE: "#d97706",
    "ipyparallel": "#8b949e",
    "dask-ml": "#a371c9",
    "serial": "#57a773",
}


def draw(figures: dict[str, Any], directory: Path = DIRECTORY) -> list[Path]:
    """Draw what there are figures for; give the files.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "foldq",  # the same figures, the same file
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 11,
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
                _INK,
            ),
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    if "speed" in figures:
        drawn.append(_speed(figures["speed"]["measured"], directory / "speed.svg"))
    if "overhead" in figures:
        drawn.append(_growth(figures["overhead"]["measured"], directory / "growth.svg"))
    return drawn


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
    return path


def _speed(measured: dict[str, Any], path: Path) -> Path:
    """Draw how many times as fast as scikit-learn each one is: bars from the line at 1."""
    from matplotlib.figure import Figure

    table = from_json(measured["table"])
    names = list(table)
    peers = [p for p in next(iter(table.values())) if p not in (REFERENCE, "serial")]
    figure = Figure(figsize=(8, 0.5 + 0.75 * len(names)))
    axes = figure.subplots()
    height = 0.8 / len(peers)
    labelled: set[str] = set()
    for turn, peer in enumerate(peers):
        for place, name in enumerate(names):
            times = ratio(table, name, peer)
            if times is None:
                continue
            y = place + (turn - (len(peers) - 1) / 2) * height
            axes.barh(
                y, times - 1, height * 0.9, left=1, color=_COLOURS[peer],
                label=None if peer in labelled else peer,
            )  # fmt: skip
            labelled.add(peer)
            axes.annotate(
                f"{times:.1f} ×" if times >= 10 else f"{times:.2f} ×",
                (times, y),
                xytext=(4 if times >= 1 else -4, 0),
                textcoords="offset points",
                ha="left" if times >= 1 else "right",
                va="center",
                fontsize=9,
                fontweight="bold" if peer == "foldq" else "normal",
            )
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g} ×" for tick in ticks])
    axes.set_xticks([], minor=True)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low / 1.5, 0.4), high * 1.5)
    axes.axvline(1, color=_INK, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as GridSearchCV(n_jobs=2)")
    axes.legend(frameon=False, loc="lower right")
    return _save(figure, path)


def _growth(measured: dict[str, Any], path: Path) -> Path:
    """Draw what a fold costs over the number of folds of its search."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    labels = {"foldq": "foldq", REFERENCE: "GridSearchCV(n_jobs=2)"}
    for peer, points in growth_points(measured).items():
        sizes = [n for n, _ in points]
        costs = [took / n * 1e3 for n, took in points]
        axes.plot(sizes, costs, marker="o", linewidth=2, color=_COLOURS[peer], label=labels[peer])
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = sorted({n for points in growth_points(measured).values() for n, _ in points})
    axes.set_xticks(values, [f"{n:,}" for n in values], rotation=30)
    axes.set_xticks([], minor=True)
    costs = [took / n * 1e3 for points in growth_points(measured).values() for n, took in points]
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if min(costs) / 2 < t < max(costs) * 2]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("folds of the search")
    axes.set_ylabel("ms a fold, the whole search")
    axes.grid(visible=True, color=_INK, alpha=0.2)
    axes.legend(frameon=False)
    return _save(figure, path)
