"""The engines' Gantt chart: which of them worked when at what, and which were lost."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.lifecycle import Outcome
from service.records import parse_time
from service.report.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    Drawing,
    Figure,
    plain,
    trace,
)
from service.report.material import Material

#: Bars of the chart at most: batches side by side are drawn as one beyond that.
MAX_BARS = 1500

#: Engines in the chart at most, those that did most of the work.
MAX_ENGINES = 60

_KINDS = {
    "prepare": ("preparing the data", GREEN),
    "fold": ("folds", BLUE),
    "refit": ("refit", PINK),
    "failed": ("folds that failed", ORANGE),
    "superseded": ("given up for a copy", SKY),
    "lost": ("lost with the engine", RED),
}


@dataclass(slots=True)
class Bar:
    """A batch at work, or several side by side. Times are seconds since the job's start."""

    engine_id: int
    kind: str
    start: float
    end: float
    n_tasks: int
    n_batches: int = 1


@dataclass(frozen=True, slots=True)
class Lane:
    """One engine: its name, and when and why it was lost, if it was."""

    engine_id: int
    name: str
    lost_at: float | None
    because: str | None


def engine_chart(material: Material) -> list[Figure]:
    """Draw what each engine did for the job, batch by batch."""
    job = material.job
    begun = parse_time(job.started_at)
    if begun is None:
        return []
    now = (parse_time(job.finished_at) or datetime.now(UTC)) - begun
    bars = _bars(material.records, job.id, job.started_at or "", now.total_seconds())
    if not bars:
        return []
    worked: dict[int, float] = {}
    for bar in bars:
        worked[bar.engine_id] = worked.get(bar.engine_id, 0.0) + bar.end - bar.start
    chosen = sorted(sorted(worked, key=lambda engine: -worked[engine])[:MAX_ENGINES])
    lost_ids = {bar.engine_id for bar in bars if bar.kind == "lost"}
    lanes = _lanes(material.records, chosen, lost_ids, job.started_at or "")
    names = {lane.engine_id: lane.name for lane in lanes}
    n_batches = sum(bar.n_batches for bar in bars)
    bars = _merged([bar for bar in bars if bar.engine_id in names], now.total_seconds())
    drawn = Drawing(
        height=130 + 34 * len(lanes), barmode="overlay", bargap=0.3,
        xaxis={"title": {"text": "seconds since the start"}, "rangemode": "tozero"},
        yaxis={"type": "category", "ticks": "", "ticksuffix": "  ", "categoryorder": "array",
               "categoryarray": [lane.name for lane in reversed(lanes)]},
    )  # fmt: skip
    for kind, (label, color) in _KINDS.items():
        of_kind = [bar for bar in bars if bar.kind == kind]
        if not of_kind:
            continue
        drawn.traces.append(
            trace("bar",
                y=[names[bar.engine_id] for bar in of_kind],
                x=[round(max(bar.end - bar.start, 0.001), 3) for bar in of_kind],
                base=[round(bar.start, 3) for bar in of_kind],
                orientation="h", name=label,
                marker={"color": color, "line": {"width": 0.5, "color": "rgba(255,255,255,.5)"}},
                text=[_told(bar) for bar in of_kind], textposition="none",
                hovertemplate="%{text}<br>from %{base:.2f} s, for %{customdata:.2f} s"
                "<extra></extra>",
                customdata=[round(bar.end - bar.start, 3) for bar in of_kind],
            )
        )  # fmt: skip
    lost = [lane for lane in lanes if lane.lost_at is not None]
    if lost:
        drawn.traces.append(
            trace("scatter",
                x=[lane.lost_at for lane in lost], y=[lane.name for lane in lost], mode="markers",
                name="engine lost",
                marker={"symbol": "x", "size": 13, "color": RED,
                        "line": {"width": 1.5, "color": "#ffffff"}},
                text=[plain(lane.because or "no reason known") for lane in lost],
                hovertemplate="%{y} was lost after %{x:.2f} s<br>%{text}<extra></extra>",
            )
        )  # fmt: skip
    what = f"{n_batches:,} batch{'' if n_batches == 1 else 'es'}, and when engines worked at what."
    if len(bars) < n_batches:
        what += " Batches that followed each other at once are drawn as one bar."
    if len(worked) > len(lanes):
        what += f" Shown are the {len(lanes)} of {len(worked)} engines that did most."
    if lost:
        what += " A cross marks an engine that was lost."
    return [Figure("engines", "Engines", what, drawn)]


def _bars(records: sqlite3.Connection, job_id: int, started_at: str, now: float) -> list[Bar]:
    """Return the batches of a job, engine by engine in the order of their ends.

    An engine has two batches at most, the second waiting for the first: it began when that ended.
    """
    rows = records.execute(
        "SELECT attempt.engine_id, min(task.kind), min(julianday(attempt.submitted_at)),"
        " max(julianday(attempt.finished_at)), count(*), max(attempt.finished_at IS NULL),"
        " sum(attempt.outcome = :lost), sum(attempt.outcome = :superseded),"
        " sum(attempt.outcome IN (:error, :timeout)), sum(attempt.outcome = :returned),"
        " julianday(:start)"
        " FROM task JOIN attempt ON attempt.task_id = task.id WHERE task.job_id = :job"
        " GROUP BY attempt.batch, attempt.engine_id ORDER BY 1, 4 IS NULL, 4, 3",
        {
            "job": job_id,
            "start": started_at,
            "lost": Outcome.ENGINE_LOST,
            "superseded": Outcome.SUPERSEDED,
            "error": Outcome.ERROR,
            "timeout": Outcome.TIMEOUT,
            "returned": Outcome.RETURNED,
        },
    )
    bars: list[Bar] = []
    free: dict[int, float] = {}
    for (
        engine_id,
        kind,
        sent,
        ended,
        n,
        is_open,
        n_lost,
        n_superseded,
        n_failed,
        n_back,
        day,
    ) in rows:
        end = now if is_open or ended is None else (ended - day) * 86400
        start = max((sent - day) * 86400, free.get(engine_id, -1e9), 0.0)
        free[engine_id] = max(end, free.get(engine_id, end))
        if n_back == n or end < start:  # it came back untouched
            continue
        if n_lost:
            kind = "lost"
        elif n_superseded == n:
            kind = "superseded"
        elif n_failed == n:
            kind = "failed"
        bars.append(Bar(engine_id, kind, start, end, n))
    return bars


def _merged(bars: list[Bar], whole: float) -> list[Bar]:
    """Return the bars, those of one kind that follow at once as one, until they are few enough."""
    gap = 0.0
    while len(bars) > MAX_BARS:
        gap = max(gap * 2, whole / 20_000)
        joined: list[Bar] = []
        for bar in bars:
            last = joined[-1] if joined else None
            if (
                last is not None
                and last.engine_id == bar.engine_id
                and last.kind == bar.kind
                and bar.start - last.end <= gap
            ):
                last.end = max(last.end, bar.end)
                last.n_tasks += bar.n_tasks
                last.n_batches += bar.n_batches
            else:
                joined.append(bar)
        bars = joined
        if gap > whole:
            return bars[:MAX_BARS]
    return bars


def _lanes(
    records: sqlite3.Connection, engine_ids: list[int], lost: set[int], started_at: str
) -> list[Lane]:
    marks = ", ".join("?" * len(engine_ids))
    rows = records.execute(
        "SELECT id, host, left_because, (julianday(left_at) - julianday(?)) * 86400"
        f" FROM engine WHERE id IN ({marks}) ORDER BY id",
        (started_at, *engine_ids),
    ).fetchall()
    hosts = {host for _, host, *_ in rows}
    return [
        Lane(
            engine_id,
            f"engine {engine_id}" + (f" ({plain(host, 20)})" if len(hosts) > 1 else ""),
            left if engine_id in lost else None,
            because,
        )
        for engine_id, host, because, left in rows
    ]


def _told(bar: Bar) -> str:
    what = {"prepare": "preparing the data", "refit": "refit"}.get(
        bar.kind, f"{bar.n_tasks:,} fold{'' if bar.n_tasks == 1 else 's'}"
    )
    if bar.n_batches > 1:
        what += f" in {bar.n_batches:,} batches"
    return what + {"lost": ", lost with the engine", "failed": ", failed"}.get(bar.kind, "")
