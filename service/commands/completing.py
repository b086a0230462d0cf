"""What the shell offers after Tab: numbers of jobs with their names, states, tags, names.

It has to be there at once, so only the records are asked: the settings are not read as a whole, and
whatever goes wrong offers nothing. Files are the shell's own business.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from service.printable import printable

#: Latest jobs that are offered, or looked through for their tags and names.
LATEST = 200

#: What a shell gets: a word, or a word with what it means.
Offers = Iterator[tuple[str, str]]


def _database(ctx: typer.Context) -> Path:
    """Find the records as `schemas.settings` does: the environment, the file, the default."""
    spool = ctx.params.get("spool") or (ctx.parent and ctx.parent.params.get("spool"))
    directory = Path(spool or os.environ.get("FOLDQ_SPOOL") or "spool")
    import tomllib

    named = os.environ.get("FOLDQ_DATABASE")
    if not named:
        with suppress(OSError, tomllib.TOMLDecodeError):
            named = tomllib.loads((directory / "foldq.toml").read_text()).get("database")
    return Path(named) if named else directory / "foldq.db"


@contextmanager
def _latest(ctx: typer.Context, columns: str) -> Iterator[list[tuple[Any, ...]]]:
    """Give columns of the latest jobs, the last one first."""
    from urllib.parse import quote

    uri = f"file:{quote(str(_database(ctx).absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=0.1)) as records:
        yield records.execute(
            f"SELECT {columns} FROM job ORDER BY id DESC LIMIT ?", (LATEST,)
        ).fetchall()


def _safely(offer: Callable[[typer.Context, str], Offers]) -> Callable[..., list[tuple[str, str]]]:
    def offered(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return list(offer(ctx, incomplete))
        except (sqlite3.Error, OSError, ValueError, TypeError):
            return []

    return offered


@_safely
def jobs(ctx: typer.Context, incomplete: str) -> Offers:
    """Offer the numbers of jobs, with name and state; names, once one is begun."""
    with _latest(ctx, "id, name, state") as found:
        for job_id, name, state in found:
            if str(job_id).startswith(incomplete):
                yield str(job_id), f"{_plain(name)} ({state})"
    if incomplete and not incomplete.isdigit():
        yield from names(ctx, incomplete)


@_safely
def tags(ctx: typer.Context, incomplete: str) -> Offers:
    """Offer the tags of the latest jobs."""
    counts: dict[str, int] = {}
    with _latest(ctx, "tags") as found:
        for (text,) in found:
            for tag in json.loads(text):
                counts[tag] = counts.get(tag, 0) + 1
    for tag, n in sorted(counts.items()):
        if tag.startswith(incomplete) and tag == _plain(tag):
            yield tag, f"{n} jobs" if n > 1 else "1 job"


@_safely
def names(ctx: typer.Context, incomplete: str) -> Offers:
    """Offer the names of the latest jobs."""
    with _latest(ctx, "name, id") as found:
        for name, job_id in dict(reversed(found)).items():
            if name.lower().startswith(incomplete.lower()) and name == _plain(name):
                yield name, f"job {job_id}"


@_safely
def states(_ctx: typer.Context, incomplete: str) -> Offers:
    """Offer the states of jobs."""
    from schemas.lifecycle import JobState

    for state in JobState:
        if state.startswith(incomplete):
            yield state.value, ""


def sort_keys(incomplete: str) -> list[str]:
    """Offer what a list of jobs can be sorted by."""
    keys = ("id", "name", "score", "submitted", "duration")
    return [k for key in keys for k in (key, f"-{key}") if k.startswith(incomplete)]


def _plain(text: str) -> str:
    """Give text as one line that commands no terminal."""
    return " ".join(printable(text).split())
