"""What the screens share: tables without lines, states in their colours, bars and sparklines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from schemas.lifecycle import JobState
from service.commands.terminal import score

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


def plain_table(padding: int = 1) -> Table:
    """Give an empty table without lines around it, `padding` columns of space between cells."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, padding, 0, 0))


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
