"""What every command shares: where it writes, how it ends, and how numbers look.

Data go to stdout, everything else to stderr. Colours and line widths are for terminals only; in
a pipe every row is one line, whole.
"""

import os
import shlex
import sys
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from service.ranking import Best

#: The spool as the command line names it, if it does: hints have to name it too.
named_spool: Path | None = None

#: Width of a "line" in a pipe: nothing is cut there.
UNLIMITED = 10_000


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    DONE = 0
    JOB_FAILED = 1
    FAILED = 1  # the same, for commands that are not about a job
    USAGE = 2
    INVALID_JOB_FILE = 3
    NO_SUCH_JOB = 4
    NO_SCHEDULER = 5
    SPOOL_HELD = 6


def _console(stream: IO[str]) -> "Console":
    from service.commands.console import SafeConsole

    narrow = stream.isatty() or "COLUMNS" in os.environ
    return SafeConsole(
        file=stream,
        highlight=False,
        markup=False,  # names and error texts have square brackets of their own
        emoji=False,
        width=None if narrow else UNLIMITED,
    )


def screen() -> "Console":
    """Give the console that data are written to: stdout."""
    return _console(sys.stdout)


def present(content: "RenderableType", console: "Console | None" = None) -> None:
    """Write tables and texts; in a pipe no line ends in the blanks of its table.

    Parameters
    ----------
    console : Console, optional
        Default: that of stdout.
    """
    console = console or screen()
    if console.is_terminal:
        console.print(content)
        return
    with console.capture() as captured:
        console.print(content)
    console.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def messages() -> "Console":
    """Give the console for everything that is not data: stderr."""
    return _console(sys.stderr)


def tell(text: str) -> None:
    """Say something that is not data, on stderr. Markup of rich is allowed, text is wrapped."""
    messages().print(text, soft_wrap=True, markup=True)


def quoted(text: object) -> str:
    """Give text that rich prints as it is, square brackets and all."""
    from rich.markup import escape

    return escape(str(text))


def stop(code: ExitCode, sentence: str, next_step: str = "") -> NoReturn:
    """End the command: one sentence on what is the matter, one on what to do.

    Both are plain text.
    """
    console = _console(sys.stderr)
    console.print(f"[bold red]foldq:[/] {quoted(sentence)}", soft_wrap=True, markup=True)
    if next_step:
        console.print(f"       {next_step}", soft_wrap=True)
    raise typer.Exit(int(code))


def foldq(command: str) -> str:
    """Give a command line as the reader would have to type it: with their `--spool`, if they did.

    Examples
    --------
    >>> foldq("serve")
    'foldq serve'
    """
    if named_spool is None:
        return f"foldq {command}"
    return f"foldq {command} --spool {shlex.quote(str(named_spool))}"


def print_json(document: dict[str, Any]) -> None:
    """Write a JSON document to stdout: indented for people, one line in a pipe."""
    from service.jsontext import dumps

    sys.stdout.write(dumps(document, indent=2 if sys.stdout.isatty() else None) + "\n")


def short_count(n: int) -> str:
    """Write a number in few signs: whole up to 99,999, then in thousands or millions.

    Rounded down, so that what is not yet all of it never looks so.

    Examples
    --------
    >>> short_count(99_999), short_count(199_999), short_count(1_234_567)
    ('99999', '199k', '1.23M')
    """
    if n < 100_000:
        return str(n)
    return f"{n // 1000}k" if n < 1_000_000 else f"{n // 10_000 / 100:g}M"


def rate(per_second: float | None) -> str:
    """Write how many there are each second, in few signs.

    Examples
    --------
    >>> rate(1234.5), rate(3.21), rate(0.0456)
    ('1234', '3.2', '0.046')
    """
    if per_second is None:
        return ""
    if per_second >= 10:
        return short_count(round(per_second))
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2g}"


def counted(n: int | None, what: str) -> str:
    """Write a number of things: 1 job, 1,200 folds; ? folds where it is not known."""
    return f"{'?' if n is None else f'{n:,}'} {what}{'' if n == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Write a length of time as people say it: 0.4 s, 12 s, 3:05, 2:10:00, 3 d 4 h.

    Examples
    --------
    >>> duration(185.2), duration(0.44), duration(None)
    ('3:05', '0.4 s', '')
    """
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        days, hour = divmod(hours, 24)
        return f"{days} d {hour} h"
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minutes}:{second:02}"


def score(value: float | None) -> str:
    """Write a score with four digits after the point, or as many as a small one needs.

    Examples
    --------
    >>> score(0.97329), score(-1234.5678), score(0.00001234), score(float("nan"))
    ('0.9733', '-1234.57', '1.234e-05', 'nan')
    """
    if value is None:
        return ""
    if value != value or abs(value) == float("inf"):
        return str(value)
    if value and (abs(value) < 0.001 or abs(value) >= 1e6):
        return f"{value:.4g}"
    return f"{value:.2f}" if abs(value) >= 100 else f"{value:.4f}"


def best_text(best: "Best") -> str:
    """Write the best score so far: ~0.9733 as long as no candidate has all of its folds."""
    return score(best.score) if best.partial is None else f"~{score(best.partial)}"


def params(values: dict[str, Any] | None) -> str:
    """Write parameters as people type them: svc__C=10, svc__kernel=rbf.

    Objects of the value grammar are shown by their name, tuples as Python writes them.
    """
    return ", ".join(f"{name}={value_text(value)}" for name, value in (values or {}).items())


def value_text(value: Any) -> str:
    """Write one value of the job file's grammar shortly."""
    if isinstance(value, dict):
        for key in ("$type", "$function", "$dtype", "$float"):
            if key in value:
                inner = params({name: item for name, item in value.items() if name != key})
                return f"{value[key]}({inner})" if key == "$type" else str(value[key])
        if "$tuple" in value:
            items = [value_text(item) for item in value["$tuple"]]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        return "{" + ", ".join(f"{k}: {value_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def clock(moment: datetime | None, now: datetime) -> str:
    """Write a time in the reader's own zone: the time of day, with the date when not of today."""
    if moment is None:
        return ""
    here, today = moment.astimezone(), now.astimezone()
    if here.date() == today.date():
        return here.strftime("%H:%M:%S")
    return here.strftime("%Y-%m-%d %H:%M")
