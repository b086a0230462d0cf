"""What the screens share: tables without lines, states in their colours, bars and sparklines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from schemas.lifecycle import JobState
from service.commands.terminal import UNLIMITED, score

STATE_STYLES = {
    JobState.QUEUED: "dim",
    JobState.PREPARING: "cyan",
    JobState.RUNNING: "bold cyan",
    JobState.REFITTING: "cyan",
    JobState.PAUSED: "yellow",
    JobState.COMPLETED: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "magenta",
}


#: Signs of a word for which a column that wraps always has room; longer ones are broken.
WORD = 12


class PlainTable(Table):
    """A table without lines around it that cuts no number, however narrow the screen is.

    Columns that wrap give way first. Where that is not enough, whole columns are left out, the
    first of `expendable` first, and named below; what is still too wide then is broken over lines.

    Parameters
    ----------
    padding : int
        Columns of space between cells.
    expendable : sequence of str
        Headings of columns that may be left out.
    """

    def __init__(self, padding: int = 1, expendable: Sequence[str] = ()) -> None:
        super().__init__(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, padding, 0, 0)
        )
        self.expendable = expendable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the room there is."""
        before = list(self.columns)
        try:
            self._fit(console, options)
            yield from super().__rich_console__(console, options)
            kept = [column.header for column in self.columns]
        finally:
            self.columns = before
        headings = [str(column.header) for column in before if column.header not in kept]
        if missing := ", ".join(filter(None, headings)):
            yield Text(f"No room for {missing}.", style="dim")

    def _fit(self, console: Console, options: ConsoleOptions) -> None:
        """Choose the columns that are drawn, and give each its width."""
        kept = [(_sizes(console, options, column), column) for column in self.columns]

        def room() -> int:
            return options.max_width - (self.padding[1] + 1) * (len(kept) - 1)

        for heading in self.expendable:
            if sum(size.minimum for size, _ in kept) <= room():
                break
            kept = [(size, column) for size, column in kept if column.header != heading]
        widths = _shared([size for size, _ in kept], room())
        self.columns = [
            replace(
                column,
                _index=index,
                width=width,
                no_wrap=column.no_wrap and width >= size.minimum,
                overflow="fold",
            )
            for index, ((size, column), width) in enumerate(zip(kept, widths, strict=True))
        ]


def _sizes(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    """Tell how wide a column has to be at least, and how wide it would be at best."""
    wide = options.update(width=UNLIMITED)
    cells = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
    natural = min(max(cell.maximum for cell in cells), column.max_width or UNLIMITED)
    if column.no_wrap:
        return Measurement(natural, natural)
    word = max(cell.minimum for cell in cells)
    least = min(word, WORD) if column.min_width is None else column.min_width
    return Measurement(min(least, natural), natural)


def _shared(sizes: Sequence[Measurement], room: int) -> list[int]:
    """Share the room: each column at least its minimum, then the narrowest ones get more."""
    widths = [size.minimum for size in sizes]
    while sum(widths) > max(room, len(widths)):  # too narrow for all of them
        widths[widths.index(max(widths))] -= 1
    while sum(widths) < room:
        growing = [i for i, size in enumerate(sizes) if widths[i] < size.maximum]
        if not growing:
            break
        widths[min(growing, key=widths.__getitem__)] += 1
    return widths


def plain_table(padding: int = 1, expendable: Sequence[str] = ()) -> PlainTable:
    """Give an empty table: see `PlainTable`."""
    return PlainTable(padding, expendable)


def cut_text(text: str) -> Text:
    """Give text of which a narrow column shows the beginning.

    The columns around it are `no_wrap`, so this is the one that gives way.
    """
    return Text(text, no_wrap=True, overflow="ellipsis")


def state_text(state: JobState) -> Text:
    """Give a state in its colour."""
    return Text(state.value, style=STATE_STYLES[state])


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a job is finished: `━━━━××────`, as wide as its column.

    Told by its signs alone, so that it is readable without colours: `━` done, `×` failed, `─`
    still to do.

    Attributes
    ----------
    n_done, n_failed, n : int
        Of `n` folds; `n` is positive.
    style : str
        Colour of what is done.
    width : int
        Most columns.
    """

    n_done: int
    n_failed: int
    n: int
    style: str
    width: int = 24

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the room there is."""
        width = min(options.max_width, self.width)
        finished = width * (self.n_done + self.n_failed) // self.n
        failed = min(finished, math.ceil(width * self.n_failed / self.n))
        yield Text.assemble(
            ("━" * (finished - failed), self.style),
            ("×" * failed, "red"),
            ("─" * (width - finished), "bright_black"),
            no_wrap=True,
        )

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Ask for as much room as there is, and for six columns at least."""
        return Measurement(6, self.width)


_SPARKS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int) -> str:
    """Draw numbers as a row of small columns, the lowest to the highest; blank for NaN.

    More numbers than columns are drawn by the last one of each part.

    Examples
    --------
    >>> spark([0.5, 0.6, 0.7, 0.9], 4)
    '▁▂▄█'
    """
    if len(values) > width:
        values = [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    there = [value for value in values if math.isfinite(value)]
    if not there:
        return " " * len(values)
    low, high = min(there), max(there)
    span = high - low or 1.0
    return "".join(
        _SPARKS[min(7, int(8 * (value - low) / span))] if math.isfinite(value) else " "
        for value in values
    )


def share_bar(share: float, width: int) -> str:
    """Draw a share from 0 to 1 as a bar in eighths of a column; some of it is seen always.

    Examples
    --------
    >>> share_bar(0.5, 4), share_bar(0.01, 4)
    ('██', '▏')
    """
    eighths = max(1, round(8 * width * min(max(share, 0.0), 1.0)))
    whole, part = divmod(eighths, 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[part] if part else "")


def mean_and_error(mean: float, error: float) -> str:
    """Write a mean with its standard error: 0.9733 ± 0.0051."""
    if math.isnan(mean):
        return "–"
    return score(mean) if math.isnan(error) else f"{score(mean)} ± {score(error)}"
