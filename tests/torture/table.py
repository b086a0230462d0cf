"""The figures as a table: for whoever ran the torture, and for docs/reliability.md."""

from collections.abc import Callable, Iterator
from typing import Any

Part = dict[str, Any]


def rows(parts: dict[str, Part]) -> Iterator[tuple[str, str, str]]:
    """Give, for each part that ran, what was done, what was found, and whether all held."""
    for name, tell in _TELLERS.items():
        part = parts.get(name)
        if part is None:
            continue
        try:
            done, found = tell(part)
        except (KeyError, IndexError):
            done, found = name, "not far enough to tell"
        verdict = f"{len(part['failures'])} failures" if part["failures"] else "all held"
        yield done, found, verdict if part["complete"] else f"{verdict}, unfinished"


def markdown(parts: dict[str, Part]) -> str:
    """Give the table in Markdown."""
    lines = ["| what was done | what was found | verdict |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(parts)]
    return "\n".join(lines)


def _seconds(spread: dict[str, float]) -> str:
    if not spread.get("n"):
        return "never"
    return f"{spread['median']:.2f} s (95 %: {spread['p95']:.2f} s, most: {spread['max']:.2f} s)"


def _points(part: Part) -> tuple[str, str]:
    return (
        f"scheduler ended at {part['n_crashes']:,} hits of {part['n_points']} failpoints in"
        f" {part['n_workloads']} workloads",
        "files, records and tables as undisturbed",
    )


def _kills(part: Part) -> tuple[str, str]:
    share = part["n_recomputed"] / max(part["n_folds"], 1)
    return (
        f"{part['n_kills']:,} × `kill -9` of the scheduler in {part['n_rounds']} rounds",
        f"of {part['n_folds']:,} folds none lost, {part['n_twice']} recorded twice,"
        f" {part['n_recomputed']:,} sent again ({share:.1%}); first batch after a start"
        f" {_seconds(part['first_dispatch'])}, Python being warm",
    )


def _engines(part: Part) -> tuple[str, str]:
    share = part["n_lost_attempts"] / max(part["n_folds"], 1)
    return (
        f"{part['n_kills']:,} × `kill -9` of engines in {part['n_rounds']} searches",
        f"of {part['n_folds']:,} folds none lost, {part['n_twice']} recorded twice,"
        f" {part['n_lost_attempts']:,} sent again ({share:.1%}), the first of them after"
        f" {_seconds(part['elsewhere_first'])}, the last after"
        f" {_seconds(part['elsewhere_last'])}; a new scheduler's first batch to engines that lived"
        f" on: {_seconds(part['restart'])}",
    )


def _copies(part: Part) -> tuple[str, str]:
    return (
        f"{part['n_copies']:,} copies of a live database, cut at a random byte of"
        f" {part['wal_bytes'] / 1e6:.1f} MB of WAL",
        "each opens, is sound, and is an earlier moment",
    )


def _submitters(part: Part) -> tuple[str, str]:
    return (
        f"{part['n_files']:,} files dropped at once by many processes",
        f"{part['n_admitted']:,} admitted, {part['n_refused']:,} refused, each once, in"
        f" {part['seconds_to_take']:.0f} s",
    )


def _soak(part: Part) -> tuple[str, str]:
    def grown(name: str) -> str:
        early, late = part[name]
        return f"{name.split('_')[0]} {early / 1e6:.0f} → {late / 1e6:.0f} MB"

    return (
        f"a search of {part['n_folds']:,} folds, {part['folds_per_second']:.0f} a second",
        f"memory, second to last quarter: {grown('scheduler_rss')}, {grown('controller_rss')};"
        f" open files {part['scheduler_fds'][0]} → {part['scheduler_fds'][1]};"
        f" WAL at most {part['most_wal'] / 1e6:.0f} MB",
    )


def _stories(part: Part) -> tuple[str, str]:
    return (
        f"{part['n_stories']:,} random stories for each of {part['n_passed']} rules of the core"
        " and of halving",
        "no illegal move, every search ends with each fold finished once",
    )


_TELLERS: dict[str, Callable[[Part], tuple[str, str]]] = {
    "points": _points,
    "kills": _kills,
    "engines": _engines,
    "copies": _copies,
    "submitters": _submitters,
    "soak": _soak,
    "stories": _stories,
}
