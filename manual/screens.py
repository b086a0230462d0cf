"""A command as a terminal shows it, as an SVG that needs nothing beside it."""

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH = 80
_ERASE_UP = b"\x1b[1A"
_THEME = TerminalTheme(
    (30, 33, 41),
    (214, 218, 226),
    [
        (59, 66, 82), (224, 108, 117), (152, 195, 121), (229, 192, 123),
        (97, 175, 239), (198, 120, 221), (86, 182, 194), (214, 218, 226),
    ],
    [
        (112, 120, 138), (240, 128, 137), (170, 213, 139), (245, 208, 139),
        (117, 195, 255), (218, 140, 241), (106, 202, 214), (255, 255, 255),
    ],
)  # fmt: skip

#: As rich's own, without fonts from a network: the reader's own are as wide.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run(command: str, directory: Path, *, until: Callable[[bytes], bool] | None = None) -> bytes:
    """Run a command in a terminal of 80 columns, and return all that it sent there.

    Parameters
    ----------
    command : str
        For bash.
    directory : Path
        Where it is typed.
    until : callable, optional
        Looks at what was sent so far, and says when that is enough: the command is ended then.
    """
    at, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=directory,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    sent = b""
    try:
        while not (until and until(sent)):
            try:
                sent += os.read(at, 65536)
            except OSError:  # the other end is closed
                break
    finally:
        process.terminate()
        process.wait(10)
        os.close(at)
    return sent


def frame(sent: bytes) -> str:
    """Return what stands on the screen: of something redrawn, its last whole drawing."""
    drawings = sent.split(_ERASE_UP)
    lines = drawings[-1].decode(errors="ignore").split("\r\n")
    while lines and not Text.from_ansi(lines[-1]).plain.strip():
        lines.pop()
    return "\n".join(line.rpartition("\r")[2] for line in lines)


def svg(screens: list[tuple[str, str]], title: str) -> str:
    """Draw a terminal in which commands were typed.

    Parameters
    ----------
    screens : list of (str, str)
        Each command, and what stood on the screen after it, with its escape sequences.
    title : str
        Stands in the window's bar.
    """
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for i, (command, shown) in enumerate(screens):
        console.print(*([""] if i else []), Text(f"$ {command}", style="bold"), sep="\n")
        console.print(Text.from_ansi(shown))
    console.print()  # room below the last line
    drawn = console.export_svg(title=title, theme=_THEME, code_format=_FORMAT, unique_id="foldq")
    return "\n".join(line.strip() for line in drawn.splitlines() if line.strip()) + "\n"


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait until a condition holds.

    Raises
    ------
    TimeoutError
        It did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
