"""The figures as Markdown, and into the page: docs/performance.md keeps a place for each table.

A place begins with `<!-- table: NAME -->` and ends with `<!-- end: NAME -->`; what stands between
them is written anew, the words around them are nobody's but their author's.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.anatomy import PHASES, SHARES
from benchmarks.peers import ENGINES
from benchmarks.rounds import REFERENCE, Measured, Table, from_json, ratio
from benchmarks.workloads import ten

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

NOTHING = "–"

#: What overhead is allowed, by search: times the bare fits and scores.
_ALLOWED = {"ten": 1.05, "dummy 20000": 1.10}


def rewrite(text: str, tables: dict[str, str]) -> str:
    """Put tables into their places in a page.

    Raises
    ------
    KeyError
        The page has no place for one of them.
    """
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not place.search(text):
            raise KeyError(f"the page has no place {begin} … {end}")
        filled = f"{begin}\n{table.strip()}\n{end}"
        text = place.sub(lambda _, filled=filled: filled, text, count=1)
    return text


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table: the first column to the left, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(value: float | None) -> str:
    """Write seconds with three figures or so."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(value: float | None) -> str:
    """Write a ratio."""
    return NOTHING if value is None else f"{value:.1f} ×" if value >= 10 else f"{value:.2f} ×"


def scores_word(found: float | None) -> str:
    """Say how scores agree."""
    if found is None:
        return NOTHING
    return "equal" if found == 0 else f"± {found:.0e}"


def speed(measured: dict[str, Any]) -> str:
    """Write times, ratios, memory and the agreement of the scores."""
    table: Table = from_json(measured["table"])
    peers = list(next(iter(table.values())))
    notes = _Notes()
    searches = measured["searches"]

    def time_of(workload: str, peer: str) -> str:
        one = table[workload][peer]
        return seconds(one.median) + notes.mark(peer, one)

    first = ["search", *(f"{peer}, s" for peer in peers), "foldq is", "and should be"]
    if "dask-ml" in peers:
        first.append("than dask-ml")
    rows = []
    for name in table:
        row = [f"`{name}`", *(time_of(name, peer) for peer in peers)]
        row += [_bold(times(ratio(table, name, "foldq"))), times(searches[name]["target"])]
        if "dask-ml" in peers:
            row.append(times(ratio(table, name, "foldq", "dask-ml")))
        rows.append(row)
    memory = [
        [f"`{name}`", *(_megabytes(row[peer].memory) for peer in peers)]
        for name, row in table.items()
    ]
    agreement = [
        [f"`{name}`", *(scores_word(row[peer].difference) for peer in peers)]
        for name, row in table.items()
    ]
    used = [
        [f"`{name}`", *(seconds(_median(row[peer].cpu_seconds)) for peer in peers)]
        for name, row in table.items()
    ]
    idle = ", ".join(f"{name} {share:.1%}" for name, share in measured["idle"].items())
    return "\n\n".join(
        [
            "\n".join(
                f"- `{name}`: {search['what']}; {search['folds']:,} fits"
                for name, search in searches.items()
            ),
            grid(first, rows),
            str(notes),
            "Most memory of all processes together, MB:",
            grid(["search", *peers], memory),
            "CPU seconds of all processes together:",
            grid(["search", *peers], used),
            "Scores, each split's and the mean, against scikit-learn's: equal bit for bit, or the"
            " largest difference:",
            grid(["search", *peers], agreement),
            f"Waiting for work, each uses so much of one core: {idle}. All but foldq are"
            " stopped (SIGSTOP) while it is not their turn.",
        ]
    ).replace("\n\n\n\n", "\n\n")  # fmt: skip


class _Notes:
    """Footnotes below a table."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def mark(self, peer: str, measured: Measured) -> str:
        """Give the mark of what is to be said about a cell; nothing when there is nothing."""
        if measured.note is None:
            return ""
        note = measured.note if measured.seconds else f"{peer}: {measured.note}"
        if note not in self._notes:
            self._notes.append(note)
        return f" <sup>{self._notes.index(note) + 1}</sup>"

    def __str__(self) -> str:
        return "<br>\n".join(f"<sup>{n}</sup> {note}" for n, note in enumerate(self._notes, 1))


def _bold(text: str) -> str:
    return text if text == NOTHING else f"**{text}**"


def _megabytes(value: int | None) -> str:
    return NOTHING if value is None else f"{value / 1e6:,.0f}"


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def overhead(measured: dict[str, Any]) -> str:
    """Write what foldq adds to the bare fits and scores."""
    rows = []
    for name, runs in measured["runs"].get("foldq", {}).items():
        n_folds = _folds(name)
        bare = median(run["computed"] for run in runs) / n_folds
        took = median(run["took"] for run in runs)
        rows.append(
            [
                f"`{name.split()[0]}`, {n_folds:,} folds",
                f"{bare * 1e3:.2f}",
                f"{median(run['ratio'] for run in runs):.3f}",
                f"{_ALLOWED[name]:.2f}" if name in _ALLOWED else NOTHING,
                f"{n_folds / took:,.0f}",
                f"{len(runs)}",
            ]
        )
    head = ["search", "fit and score, ms", "ratio", "at most", "folds a second", "rounds"]
    return grid(head, rows)


def _folds(name: str) -> int:
    return ten(quick=False).n_folds if name == "ten" else int(name.split()[1])


def growth_points(measured: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Give, for each peer, (folds, seconds for the whole search), smallest first."""
    return {
        peer: sorted(
            (_folds(name), median(run["seconds"] for run in runs))
            for name, runs in searches.items()
            if name.startswith("dummy")
        )
        for peer, searches in measured["runs"].items()
    }


def growth(measured: dict[str, Any]) -> str:
    """Write what a fold costs in searches of different sizes."""
    points = {peer: dict(found) for peer, found in growth_points(measured).items()}
    notes = {tuple(key.split(" dummy ")): note for key, note in measured["notes"].items()}
    said = {int(key[1]) for key in notes if len(key) == 2}
    sizes = sorted(said.union(*points.values()))

    def cell(peer: str, size: int) -> list[str]:
        if size in points.get(peer, {}):
            took = points[peer][size]
            return [seconds(took), f"{took / size * 1e3:.2f}"]
        return [notes.get((peer, str(size)), NOTHING), NOTHING]

    peers = ("foldq", REFERENCE)
    head = ["folds", *(part for peer in peers for part in (f"{peer}, s", "ms a fold"))]
    return grid(head, [[f"{n:,}", *cell(peers[0], n), *cell(peers[1], n)] for n in sizes])


_PHASE_WORDS = dict(
    zip(
        PHASES,
        (
            "dropped file to admitted job",
            "to prepared data and splits",
            "to the first dispatch",
            "folds, to the last record",
            "to the completed record",
            "to its being seen",
        ),
        strict=True,
    )
)

_SHARE_WORDS = dict(
    zip(
        SHARES,
        (
            "fits and scores",
            "engines' own work",
            "scheduler",
            "controller",
            "fork server, others",
            "idle, or other programs'",
        ),
        strict=True,
    )
)


def anatomy(measured: dict[str, dict[str, float]]) -> str:
    """Write where the time of a search goes: its phases in seconds, the cores' time in shares."""
    head = ["", *(f"`{name}`" for name in measured)]
    phases = [["in all, s", *(f"{one['seconds']:.2f}" for one in measured.values())]]
    phases += [
        [word, *(f"{one[phase]:.3f}" for one in measured.values())]
        for phase, word in _PHASE_WORDS.items()
    ]
    shares = [
        [word, *(f"{one[share] / (ENGINES * one['seconds']):.1%}" for one in measured.values())]
        for share, word in _SHARE_WORDS.items()
    ]
    cores = f"What {ENGINES} cores did in that time:"
    return "\n\n".join([grid(head, phases), cores, grid(head, shares)])


def simulation(measured: list[dict[str, Any]]) -> str:
    """Write how many folds a second the scheduler takes through, and what each costs it."""
    parts = list(measured[0]["microseconds"])
    rows = [
        [
            f"{one['n_engines']:,} engine{'s' if one['n_engines'] > 1 else ''}",
            f"{one['folds_per_second']:,.0f}",
            f"{one['engines_busy']:.0%}",
            *(f"{one['microseconds'][part]:.0f}" for part in parts),
        ]
        for one in measured
    ]
    head = ["", "folds a second", "engines busy", *(f"{part}, µs a fold" for part in parts)]
    return grid(head, rows)


def scale(measured: dict[str, Any]) -> str:
    """Write what large records cost whoever asks them; steps in brackets only make them up."""
    rows = [
        [
            one["step"].strip(),
            _fine(one["seconds"]),
            f"{one['megabytes']:,.0f}",
            NOTHING if one["limit"] is None else _fine(one["limit"]),
        ]
        for one in measured["steps"]
        if not one["step"].startswith("(")
    ]
    table = grid(["step", "took", "MB more", "at most"], rows)
    return f"{table}\n\nThe records then take {measured['bytes'] / 1e6:,.0f} MB on disk."


def _fine(value: float) -> str:
    """Write seconds, or the unit that fits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.0f} µs"


def _where(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    n = figures["rounds"]
    rounds = f"; {n} round{'s' if n > 1 else ''}" if n else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['date']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB,"
        f" {machine['system']}, Python {machine['python']}, {packages}"
        f"{rounds}."
    )


#: The places of the page, by the part of the benchmark that fills them.
PLACES: dict[str, dict[str, Callable[[Any], str]]] = {
    "speed": {"speed": speed},
    "overhead": {"overhead": overhead, "growth": growth},
    "profile": {"profile": anatomy},
    "simulation": {"simulation": simulation},
    "scale": {"scale": scale},
}


def tables(figures: dict[str, Any]) -> dict[str, str]:
    """Write a table for each place whose figures are there."""
    written = {}
    for part, places in PLACES.items():
        if part in figures:
            for place, write in places.items():
                body = write(figures[part]["measured"])
                written[place] = f"{_where(figures[part])}\n\n{body}"
    return written
