"""Someone who reads a page and types what it shows, on a real scheduler, in a terminal.

What a page shows for the terminal stands in `console` blocks, what it shows for an editor in blocks
with a title, which is the file's name. A comment above a block, which readers do not see, says what
is otherwise:

    <!-- not run: it needs a Slurm cluster -->
    <!-- output varies: the search goes on meanwhile -->
    <!-- ends with 3: the file is invalid -->
"""

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster import Scheduler
from warm import Program

#: Seconds for one command; the searches of the pages take a few.
ANSWERED_WITHIN = 180.0
#: Folds on record before the scheduler is killed.
KILLED_AFTER = 5

_BLOCK = re.compile(r"(?ms)((?:^<!--.*?-->\n+)*)^```(\w+)([^\n]*)\n(.*?)^```$")
_MARK = re.compile(r"<!-- (not run|output varies|ends with \d+): (.+?) -->", re.DOTALL)
#: A terminal is told to go up, to erase a line, or something that changes no text.
_TOKEN = re.compile(
    r"(?P<up>\x1b\[(?P<n>\d*)A)|(?P<erase>\x1b\[2K)|\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])"
    r"|(?P<end>\n)|\r|(?P<text>[^\x1b\r\n]+)"
)
#: Who types one of these needs a shell.
_FOR_SHELL = set("|&;<>$`*?~#")
#: These print the same on every machine, to the last digit.
REPEATABLE = ("foldq results ",)


@dataclass(frozen=True)
class Block:
    """A block of code of a page, with its marks: `{"not run": why}`."""

    language: str
    title: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield (command, lines printed below it); a command may go on after a backslash."""
        for typed in re.split(r"(?m)^\$ ", self.text)[1:]:
            command, _, printed = re.sub(r"\\\n> ", "", typed).partition("\n")
            yield command, printed.splitlines()

    @property
    def exit_code(self) -> int:
        """What the last command of the block ends with."""
        return next((int(m.split()[-1]) for m in self.marks if m.startswith("ends with")), 0)


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are typed, into a terminal or an editor."""
    found = []
    for above, language, info, text in _BLOCK.findall(page):
        title = re.search(r'title="([^"]+)"', info)
        if language == "console" or title:
            marks = dict(_MARK.findall(above))
            found.append(Block(language, title[1] if title else "", text, marks))
    return found


class Reader(Scheduler):
    """Types commands; what is started in the other terminal is the scheduler of `Scheduler`."""

    def __enter__(self) -> "Reader":
        return self

    def follow(self, page: str) -> None:
        """Do what a page shows, from top to end, and hold the answers against those it gives."""
        for block in blocks(page):
            if "not run" in block.marks:
                continue
            if block.title:
                (self.spool.parent / block.title).write_text(block.text)
                continue
            commands = list(block.commands())
            for i, (command, printed) in enumerate(commands):
                expected = block.exit_code if i == len(commands) - 1 else 0
                self._do(command, printed, expected, compare="output varies" not in block.marks)

    def _do(self, command: str, printed: list[str], expected: int, *, compare: bool) -> None:
        words = shlex.split(command)
        if words[:2] == ["foldq", "serve"]:
            already = self.log.stat().st_size if self.log.exists() else 0
            assert words[2:] == ["--engines", str(self.engines)]
            self.start()
            if compare:
                self.wait_until(
                    lambda: not unlike(printed, self.log.read_bytes()[already:].decode()),
                    lambda: f"the scheduler says {unlike(printed, self.tail())}",
                )
        elif words[0] == "kill":
            self._end(words)
        else:
            code, shown = self.type(command)
            sys.stdout.write(f"$ {command}\n{shown}\n")  # for who looks at a failure
            assert code == expected, f"{command}: exit code {code}\n{shown}\n{self.tail()}"
            if compare and command.startswith(REPEATABLE):
                assert shown.splitlines() == printed, command
            elif compare:
                assert not (lines := unlike(printed, shown)), f"{command}: no {lines} in\n{shown}"

    def _end(self, words: list[str]) -> None:
        """End the scheduler as the page does, in the middle of the last search."""
        running = "SELECT 1 FROM job WHERE state = 'running' AND n_done >= ?"
        self.wait_until(lambda: self.query(running, KILLED_AFTER), "some folds are recorded")
        if "-9" in words:
            self.kill()
        else:
            self.stop()

    def type(self, command: str) -> tuple[int, str]:
        """Run a command in a terminal of 80 columns; return its exit code and what it shows."""
        at, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
        process = self._in_terminal(command, slave)
        os.close(slave)
        shown, deadline = b"", time.monotonic() + ANSWERED_WITHIN
        try:
            while time.monotonic() < deadline:
                if select.select([at], [], [], 0.1)[0]:
                    try:
                        shown += os.read(at, 65536)
                    except OSError:  # the other end is closed
                        break
            else:
                self._fail(
                    f"no end of {command} after {ANSWERED_WITHIN:g} s:\n{plain(shown.decode())}"
                )
            return process.wait(ANSWERED_WITHIN), plain(shown.decode())
        finally:
            process.kill()
            os.close(at)

    def _in_terminal(self, command: str, terminal: int) -> "subprocess.Popen[bytes] | Program":
        """Begin what was typed: in a shell, or as a fork of a program that is warm."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = self.environment | {"PATH": path, "TERM": "xterm"}
        words = shlex.split(command)
        if self.is_warm and words[0] == "foldq" and not _FOR_SHELL & set(command):
            where = self.spool.parent
            return Program(words[1:], environment, where, terminal, terminal, terminal)
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.spool.parent, env=environment,
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip


def plain(shown: str) -> str:
    """Return what stays on the terminal of what it was sent: what was redrawn stands there once."""
    lines = [""]
    at = 0
    for token in _TOKEN.finditer(shown):
        if token["up"]:
            at = max(0, at - int(token["n"] or 1))
        elif token["erase"]:
            lines[at] = ""
        elif token["end"]:
            at += 1
            lines += [""] * (at == len(lines))
        elif token["text"]:
            lines[at] += token["text"]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def unlike(printed: list[str], shown: str) -> list[str]:
    """Return the lines of a page that have no like in what was shown, in this order.

    Numbers, times, bars, widths and names of machines may be others; `…` stands for anything.
    """
    left = iter([_core(line) for line in shown.splitlines()])
    return [
        line
        for line in printed
        if line.strip() not in ("", "…")
        and not any(re.fullmatch(_pattern(line), other) for other in left)
    ]


def _core(line: str) -> str:
    line = re.sub(r"[━╸╺─▁▂▃▄▅▆▇█]+", " ", line)
    line = re.sub(r"\S*/spool/", "spool/", line)
    line = re.sub(r"\bon \S+( ·|$)", r"on HOST\1", line)
    line = re.sub(r"\d[\d.,:]*( (s|ms|MB|kB|GB)\b)?", "0", line)
    return " ".join(line.split())


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, _core(line).split("…")))
