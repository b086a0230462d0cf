"""The screen of `foldq show`: one job's life, from its file to its best model."""

import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schemas.lifecycle import JobState
from service import lives
from service.commands.screen_life import reason_lines, since_last_move, time_line
from service.commands.screens import STATE_STYLES, mean_and_error, plain_table, spark
from service.commands.terminal import (
    clock,
    counted,
    duration,
    foldq,
    params,
    score,
    value_text,
)
from service.history import time_left
from service.ranking import best_over_time, standings
from service.records import Job, parse_time, seconds_between
from service.waits import Cause, Wait

#: Candidates that are ranked.
MAX_CANDIDATES = 5
#: Seconds without a scheduler that are told.
UNSERVED_TOLD = 1.0
#: Columns of the line of best scores so far.
SPARK = 40
#: Kinds of failure shown with their traceback.
MAX_FAILURES = 5
#: Lines of a traceback that are shown: its end says what went wrong.
MAX_TRACEBACK_LINES = 15


def show_screen(
    records: sqlite3.Connection,
    job: Job,
    now: datetime,
    *,
    all_attempts: bool,
    wait: Wait | None = None,
) -> Group:
    """Give the whole of `foldq show ID`."""
    events = lives.events(records, job.id)
    parts: list[RenderableType] = [_title(job, events, now), "", _facts(records, job, now, wait)]
    if job.n_done:
        parts += _section("Candidates", _candidates(records, job))
    if failures := lives.failures(records, job.id):
        parts += _section("Failures", _failures(failures))
    if lost := lives.lost_engines(records, job.id):
        again = lives.resubmitted(records, job.id)
        parts += _section("Lost engines", _lost(lost, again, now))
    parts += _section("Life", time_line(events, now))
    if all_attempts:
        attempts = lives.attempts(records, job.id)
        parts += _section(f"Attempts ({len(attempts)})", _attempts(attempts, now))
    return Group(*parts)


def _title(job: Job, events: Sequence[lives.Event], now: datetime) -> Group:
    text = Text.assemble((f"Job {job.id} · {job.name} · ", "bold"))
    text.append(job.state.value, style=STATE_STYLES[job.state])
    begun = job.started_at
    if job.state == JobState.PAUSED:
        begun = since_last_move(events, job.state)
    took = duration(seconds_between(begun, job.finished_at, now))
    if took:
        text.append(f" {'after' if job.finished_at else 'for'} {took}")
        unserved = lives.seconds_unserved(events, begun, job.finished_at)
        if unserved >= UNSERVED_TOLD:
            text.append(f", {duration(unserved)} of it without a scheduler")
    if not job.reason:
        return Group(text)
    style = "red" if job.state == JobState.FAILED else ""
    head, *errors = reason_lines(job.reason)
    bullets = (Padding.indent(Text(error, style=style), 2) for error in errors)
    return Group(text, Text(head, style=style), *bullets)


def _facts(records: sqlite3.Connection, job: Job, now: datetime, wait: Wait | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()

    def fact(name: str, *parts: object) -> None:
        said = " · ".join(str(part) for part in parts if part)
        if said:
            table.add_row(name, Text(said))

    spec = job.spec
    fact("waits for", wait)
    fact("estimator", job.estimator)
    shape = f"{job.n_samples} × {job.n_features}" if job.n_features else job.n_samples
    fact(
        "data",
        job.data,
        shape,
        job.data_fingerprint and f"fingerprint {job.data_fingerprint[:12]}",
    )
    candidates = counted(job.n_candidates, "candidate")
    size = f"{candidates} × {counted(job.n_splits, 'split')}" if job.n_splits else ""
    fact("search", job.strategy, size)
    fact("cv", value_text(spec.get("cv")))
    scoring = spec.get("scoring")
    fact(
        "scoring",
        ", ".join(scoring)
        if isinstance(scoring, list)
        else value_text(scoring or "the estimator's own"),
        f"refit {value_text(spec.get('refit'))}",
    )
    fact("tasks", *_task_counts(lives.task_states(records, job.id)))
    fact("spared", *_spared(job))
    stands = wait is not None and wait.cause is Cause.SCHEDULER
    left = None if stands else time_left(records, job, now)
    fact("time left", left is not None and f"about {duration(left)}")
    if job.best_score is not None:
        row = f"row {job.best_index}" if job.best_index is not None else ""
        fact("best", score(job.best_score), row, params(job.best_params))
    if job.refitted:
        fact("model", f"results/{job.id}/{job.refitted['file']}", job.refitted.get("note"))
    fact("priority", job.priority)
    fact("tags", ", ".join(job.tags))
    fact("file", job.file_name, f"sha256 {job.file_digest[:12]}")
    if job.same_content_as:
        fact("note", f"same content as job {job.same_content_as}")
    fact("versions", ", ".join(f"{name} {version}" for name, version in job.versions.items()))
    return table


def _task_counts(counts: dict[str, dict[str, int]]) -> list[str]:
    said = []
    for kind, states in counts.items():
        each = ", ".join(f"{count} {state}" for state, count in states.items())
        said.append(f"folds {each}" if kind == "fold" else f"{kind} {each.removeprefix('1 ')}")
    return said


def _spared(job: Job) -> list[str]:
    """Say what had not to be computed, because it was known or another fold had done it."""
    said = []
    if job.spared_seconds:
        said.append(f"{job.spared_seconds:,.1f} s of fits shared")
    if job.n_reused:
        said.append(f"{counted(job.n_reused, 'fold')} taken from the records")
    return said


def _candidates(records: sqlite3.Connection, job: Job) -> RenderableType:
    """Rank the best candidates by mean ± standard error."""
    best = standings(records, job, MAX_CANDIDATES)
    if best is None:
        more = f"{job.n_candidates:,} are too many to rank here: {foldq(f'results {job.id}')}"
        return Text(more, style="dim")
    halving, partial = job.strategy.startswith("halving"), not job.state.is_final
    table = plain_table(padding=2)
    table.add_column("Row", justify="right", no_wrap=True)
    if halving:
        table.add_column("Iter", justify="right", no_wrap=True)
    metric = job.chosen_metric
    table.add_column("Score ± SEM" if metric == "score" else f"{metric} ± SEM", no_wrap=True)
    if partial or any(one.n_failed for one in best):
        table.add_column("Folds", no_wrap=True)
    table.add_column("Parameters", min_width=20)
    for one in best:
        cells = [str(one.number)]
        if halving:
            cells.append(str(one.iteration))
        cells.append(mean_and_error(one.mean, one.sem))
        if partial or any(other.n_failed for other in best):
            failed = f", {one.n_failed} failed" if one.n_failed else ""
            cells.append(f"{one.n_finished}/{job.n_splits}{failed}")
        table.add_row(*cells, Text(params(one.params)))
    trend = [] if halving else best_over_time(records, job)  # iterations are not comparable
    parts: list[RenderableType] = [table]
    if job.n_candidates > len(best):
        more = f"{len(best)} of {job.n_candidates:,}; more: {foldq(f'results {job.id}')}"
        parts.append(Text(more, style="dim"))
    if len(trend) > 2 and trend[-1] > trend[0]:
        line = Text("Best so far  ", style="dim")
        line.append(f"{score(trend[0])} {spark(trend, SPARK)} {score(trend[-1])}")
        parts += ["", line]
    return Group(*parts)


def _section(title: str, body: RenderableType) -> list[RenderableType]:
    return ["", Text(title, style="bold"), Padding.indent(body, 2)]


def _failures(failures: Sequence[lives.Failure]) -> Group:
    parts: list[RenderableType] = []
    for failure in failures[:MAX_FAILURES]:
        what = {"poison": "killed engines", "timeout": "timeout"}.get(failure.reason, "")
        head = Text.assemble((f"{failure.count} × ", "bold"), (failure.title, "red"))
        head.append(f"  ({what + '; ' if what else ''}first: {failure.example})", style="dim")
        parts.append(head)
        if failure.error:
            lines = _traceback(failure.error)
            if len(lines) > MAX_TRACEBACK_LINES:
                hidden = len(lines) - MAX_TRACEBACK_LINES
                lines = [f"… {hidden} lines: --json has all …", *lines[-MAX_TRACEBACK_LINES:]]
            parts.append(Padding.indent(Text("\n".join(lines), style="dim"), 4))
    if len(failures) > MAX_FAILURES:
        others = sum(failure.count for failure in failures[MAX_FAILURES:])
        parts.append(
            Text(f"{others} more with {len(failures) - MAX_FAILURES} other errors: --json")
        )
    return Group(*parts)


def _traceback(text: str) -> list[str]:
    """Give the lines of a traceback without marks below them and the places of packages."""
    lines = re.sub(r'File "[^"\n]*/site-packages/', 'File "', text.strip()).splitlines()
    return [line for line in lines if line.strip(" ^~")]


def _lost(lost: Sequence[lives.LostEngine], again: Sequence[int], now: datetime) -> Group:
    lines = []
    for engine in lost:
        when = clock(parse_time(engine.left_at), now)
        lines.append(
            f"engine {engine.engine_id} (process {engine.pid} on {engine.host})"
            f"{', lost ' + when if when else ''}: {engine.because or 'no reason known'};"
            f" had {counted(engine.n_tasks, 'task')} of this job"
        )
    numbers = ", ".join(map(str, again[:20])) + (" …" if len(again) > 20 else "")
    if again:
        lines.append(f"resubmitted: {counted(len(again), 'task')} ({numbers})")
    return Group(*map(Text, lines))


def _attempts(attempts: Sequence[lives.Attempt], now: datetime) -> Table:
    table = plain_table(expendable=("PID", "Task", "Sent"))
    for name in ("Attempt", "Task", "What", "Engine", "PID", "Sent", "Took", "Outcome"):
        numbers = name in ("Attempt", "Task", "Engine", "PID", "Took")
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for attempt in attempts:
        what = attempt.kind
        if attempt.split is not None:
            what = f"candidate {attempt.candidate}, split {attempt.split}"
        table.add_row(
            str(attempt.id),
            str(attempt.task_id),
            what,
            str(attempt.engine_id),
            str(attempt.pid),
            clock(parse_time(attempt.submitted_at), now),
            duration(seconds_between(attempt.submitted_at, attempt.finished_at, now)),
            attempt.outcome or "open",
        )
    return table


def best_lines(job: Job, results_directory: Any) -> Group:
    """Say what a finished search found and where it lies: the end of `foldq run`."""
    if job.best_score is None and job.best_params is None:
        return Group(Text(f"Results: {results_directory}"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("best score", Text(score(job.best_score), style="bold green"))
    table.add_row("parameters", Text(params(job.best_params)))
    if job.refitted:
        table.add_row("model", Text(f"{results_directory}/{job.refitted['file']}"))
    table.add_row("results", Text(str(results_directory)))
    if job.n_reused:
        folds = f"{job.n_reused:,} of {counted(job.n_tasks, 'fold')}, taken from the records"
        table.add_row("reused", Text(folds))
    return Group(table)
