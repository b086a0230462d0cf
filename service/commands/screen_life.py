"""A job's life as a time line: when each state began, how long it lasted, what happened in it."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.lifecycle import JobState
from service.commands.screens import STATE_STYLES, share_bar
from service.commands.terminal import clock, duration
from service.lives import Event
from service.records import parse_time, seconds_between

#: Events shown before the middle of a long life is left out.
MAX_EVENTS = 30
#: Columns of the longest bar.
BAR = 16

_MOVED = "job moved"


def state_of(event: Event) -> JobState | None:
    """Tell which state an event moved the job to; None if it did not."""
    if event.kind != _MOVED:
        return JobState.QUEUED if event.kind == "job admitted" else None
    name = event.message.partition(":")[0]
    return JobState(name) if name in set(JobState) else None


def since_last_move(events: Sequence[Event], state: JobState) -> str | None:
    """Give the moment at which the job came to the state it is in; None if no event tells."""
    return next((event.at for event in reversed(events) if state_of(event) is state), None)


def time_line(events: Sequence[Event], now: datetime) -> RenderableType:
    """Give the life of a job; each state with a bar as long as it lasted."""
    moves = [i for i, event in enumerate(events) if state_of(event) is not None]
    lasted: dict[int, float] = {}
    for i, following in pairwise([*moves, None]):
        assert i is not None
        state = state_of(events[i])
        if following is None and state is not None and state.is_final:
            continue
        end = None if following is None else events[following].at
        lasted[i] = seconds_between(events[i].at, end, now) or 0.0
    longest = max(lasted.values(), default=0.0) or 1.0
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column()
    skipped = len(events) - MAX_EVENTS
    half = MAX_EVENTS // 2
    for i, event in enumerate(events):
        if skipped > 0 and half <= i < half + skipped:
            if i == half:
                table.add_row("…", "", Text(f"{skipped} more: --json", style="dim"))
            continue
        since = seconds_between(events[0].at, event.at, now)
        table.add_row(
            clock(parse_time(event.at), now),
            f"+{duration(since)}" if i else "",
            _line(event, lasted.get(i), longest),
        )
    return Group(table)


def _line(event: Event, seconds: float | None, longest: float) -> Text:
    state = state_of(event)
    if state is None:
        message = event.message
        if event.kind not in message:
            message = f"{event.kind}: {message}"
        return Text.assemble(("│ ", "dim"), message)
    line = Text.assemble(("● ", STATE_STYLES[state]), (f"{state.value:<10}", STATE_STYLES[state]))
    said = event.message if event.kind != _MOVED else event.message.partition(": ")[2]
    if seconds is not None:
        line.append(f" {duration(seconds):>8}  ")
        line.append(share_bar(seconds / longest, BAR), STATE_STYLES[state])
    elif state is JobState.FAILED:
        said = ""  # the reason stands above all
    return line.append(f"  {said}" if said else "", "dim")


def reason_lines(reason: str) -> list[str]:
    """Break the reason for a failure into lines: what happened, then each error for itself.

    Examples
    --------
    >>> reason_lines("All the 3 fits failed. The first with: A (2 × A; 1 × B)")
    ['All the 3 fits failed. The first with: A', '2 × A', '1 × B']
    """
    found = re.fullmatch(r"(.*?) \((\d+ × .*)\)", reason, re.DOTALL)
    found = found or re.fullmatch(r"(.*?): (\d+ × .*)", reason, re.DOTALL)
    if found is None:
        return [reason]
    head, errors = found.groups()
    return [head, *re.split(r"; (?=\d+ × )", errors)]
