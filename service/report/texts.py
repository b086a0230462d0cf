"""What the page says in words about a search: its state, what was asked, what came out."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from service import lives
from service.commands.terminal import counted, duration, score, value_text
from service.exports import how_to_load
from service.records import Job, parse_time, seconds_between, select
from service.report.material import Material, metric_label, standard_errors, with_error

#: Kinds of failure that are listed, and characters of each traceback: its end says what happened.
MAX_FAILURES = 15
MAX_TRACEBACK = 6000

#: Lost engines and events that are listed.
MAX_ENGINES = 50
MAX_EVENTS = 60

#: Characters of one fact; a list of a thousand columns is for the job file.
_FACT = 300


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the few numbers that matter most."""

    label: str
    value: str
    more: str


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidate.

    Attributes
    ----------
    params : list of (name, value)
    scores : list of (metric, "mean ± SEM", rank)
    how : str
        How it was chosen.
    model : str or None
        The file that holds it, fitted.
    note : str
        What is to be known about that file.
    load : str or None
        The Python that loads it.
    """

    params: list[tuple[str, str]]
    scores: list[tuple[str, str, int]]
    how: str
    model: str | None
    note: str
    load: str | None


def tiles(material: Material, now: datetime) -> list[Tile]:
    """Return the numbers at the head of the page."""
    job = material.job
    found: list[Tile] = []
    best = _best_row(material)
    if best is not None:
        sem = material.sems[best]
        label = ("best " if job.state.is_final else "best so far: ") + material.metric_label
        partial = "" if material.folds.present[best].all() else "~"  # as in `foldq status`
        mean = partial + score(material.means[best])
        found.append(Tile(label, mean, with_error("", material.means[best], sem)))
    splits = f"× {counted(job.n_splits, 'split')}" if job.n_splits else ""
    found.append(Tile("candidates", f"{job.n_candidates:,}", splits))
    ended = job.n_done + job.n_failed
    more = f"of {job.n_tasks:,}" if ended < job.n_tasks else ""
    if job.n_failed:
        more += f"{', ' if more else ''}{job.n_failed:,} failed"
    found.append(Tile("folds", f"{ended:,}", more))
    took = seconds_between(job.started_at, job.finished_at, now)
    if took is not None:
        spent = f"for {duration(job.fold_seconds)} of folds" if job.fold_seconds else ""
        found.append(Tile("took" if job.state.is_final else "running for", duration(took), spent))
    if job.n_reused or job.spared_seconds >= 0.05:
        if job.n_reused:
            value, more = f"{job.n_reused:,} folds", "from the records"
        else:
            value, more = duration(job.spared_seconds), "of fits shared"
        found.append(Tile("spared", value, more))
    return found


def facts(material: Material) -> list[tuple[str, str]]:
    """Return what was asked, and what of it was found out."""
    job, spec = material.job, material.job.spec
    search = spec.get("search", {})
    options = ", ".join(
        f"{name} {value_text(value)}"
        for name, value in search.items()
        if name not in ("space", "strategy") and value is not None
    )
    shape = f"{job.n_samples:,} × {job.n_features:,}" if job.n_samples and job.n_features else ""
    scoring = spec.get("scoring")
    if isinstance(scoring, list):
        scoring = ", ".join(scoring)
    spared = [f"{duration(job.spared_seconds)} of fits shared"] if job.spared_seconds else []
    spared += [f"{counted(job.n_reused, 'fold')} taken from the records"] if job.n_reused else []
    said: list[tuple[str, list[Any]]] = [
        ("Estimator", [job.estimator]),
        ("Data", [job.data, shape]),
        ("Fingerprint", [job.data_fingerprint and job.data_fingerprint[:16]]),
        ("Search", [job.strategy, options]),
        ("Cross-validation", [value_text(spec.get("cv"))]),
        ("Scoring", [value_text(scoring or "the estimator’s own"),
                     f"refit {value_text(spec.get('refit'))}"]),
        ("Spared", spared),
        ("Submitted", [moment(job.submitted_at)]),
        ("Started", [moment(job.started_at)]),
        ("Finished", [moment(job.finished_at)]),
        ("Priority", [job.priority or ""]),
        ("Engines", [job.max_engines and f"{job.max_engines} at most"]),
        ("Tags", [", ".join(job.tags)]),
        ("Versions", [", ".join(f"{name} {value}" for name, value in job.versions.items())]),
        ("File", [job.file_name, f"sha256 {job.file_digest[:16]}"]),
    ]  # fmt: skip
    lines = [(label, " · ".join(str(part) for part in parts if part)) for label, parts in said]
    return [(label, _cut(text, _FACT)) for label, text in lines if text]


def best(material: Material, results: Path | None) -> Best | None:
    """Return what is known of the best candidate; None while there is none."""
    job = material.job
    row = _best_row(material)
    if row is None and job.best_params is None:
        return None
    params = job.best_params
    if params is None and row is not None:
        params = material.folds.candidates[row]
    scores = []
    for metric in job.metrics if row is not None else ():
        mean = float(material.table[f"mean_test_{metric}"][row])
        sem = float(standard_errors(material.table, material.folds, metric)[row])
        text = with_error(score(mean), mean, sem)
        rank = int(material.table[f"rank_test_{metric}"][row])
        scores.append((metric_label(job, metric), text, rank))
    refitted: dict[str, Any] | None = job.refitted
    model = load = None
    if refitted is not None:
        file = str(results / refitted["file"]) if results is not None else refitted["file"]
        model, load = file, how_to_load({**refitted, "file": file})
    return Best(
        [(name, _cut(value_text(value), _FACT)) for name, value in (params or {}).items()],
        scores,
        _how_chosen(job) if job.best_index is not None else "The best of the folds finished so far",
        model,
        str((refitted or {}).get("note") or ""),
        load,
    )


def _best_row(material: Material) -> int | None:
    """Return the winner's row; while there is no winner, the best there is."""
    row = material.job.best_index
    if row is None and material.ranked:
        row = material.ranked[0]
    if row is None or row >= len(material.means) or material.means[row] != material.means[row]:
        return None
    return row


def _how_chosen(job: Job) -> str:
    spec = job.spec
    refit = spec.get("refit")
    by = metric_label(job, job.chosen_metric)
    if isinstance(refit, dict) or refit == "one_se":
        how = f"The first in the table within one standard error of the best mean {by}"
    elif job.strategy.startswith("halving"):
        how = f"The highest mean {by} of the last iteration"
    else:
        how = f"The highest mean {by}"
    return how + f" (row {job.best_index})"


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Tasks that failed of one error, in words."""

    count: int
    title: str
    what: str
    traceback: str


def failure_groups(records: sqlite3.Connection, job: Job) -> tuple[list[FailureGroup], str]:
    """Group what failed by its last line, the most frequent first; and say what is left out."""
    groups: dict[tuple[str, str], list[lives.Failure]] = {}
    for failure in lives.failures(records, job.id):
        groups.setdefault((failure.reason, failure.title), []).append(failure)
    ordered = sorted(groups.values(), key=lambda alike: -sum(f.count for f in alike))
    told = []
    for alike in ordered[:MAX_FAILURES]:
        first = alike[0]
        kind = {"poison": "took engines down; ", "timeout": "timeout; "}.get(first.reason, "")
        trace = (first.error or "").strip()
        if len(trace) > MAX_TRACEBACK:
            trace = "…\n" + trace[-MAX_TRACEBACK:].partition("\n")[2]
        count = sum(failure.count for failure in alike)
        told.append(
            FailureGroup(count, _cut(first.title, _FACT), f"{kind}first: {first.example}", trace)
        )
    left = ordered[MAX_FAILURES:]
    n_left = sum(failure.count for alike in left for failure in alike)
    return told, f"{n_left:,} more with {len(left):,} other errors." if left else ""


def lost(records: sqlite3.Connection, job: Job) -> tuple[list[list[str]], str]:
    """Return the engines that were lost under a job as rows of a table; and what became of it."""
    engines = lives.lost_engines(records, job.id)
    rows = [
        [
            str(engine.engine_id), engine.host, str(engine.pid), moment(engine.left_at),
            engine.because or "no reason known", f"{engine.n_tasks:,}",
        ]
        for engine in engines[:MAX_ENGINES]
    ]  # fmt: skip
    again = len(lives.resubmitted(records, job.id)) if engines else 0
    said = f"{counted(again, 'task')} sent again to other engines." if again else ""
    if len(engines) > MAX_ENGINES:
        said = f"Shown are the first {MAX_ENGINES} of {len(engines):,}. {said}"
    return rows, said


def life(records: sqlite3.Connection, job: Job) -> list[tuple[str, str, str]]:
    """Return what happened to a job; of a long life the beginning and the end."""
    half = MAX_EVENTS // 2
    (n_events,) = records.execute(
        "SELECT count(*) FROM event WHERE job_id = ?", (job.id,)
    ).fetchone()

    def told(direction: str, n: int) -> Sequence[sqlite3.Row]:
        return select(
            records,
            f"SELECT at, kind, message FROM event WHERE job_id = ? ORDER BY id {direction} LIMIT ?",
            (job.id, n),
        ).fetchall()

    if n_events <= MAX_EVENTS:
        return [_event(row) for row in told("ASC", n_events)]
    gap = [("…", f"{n_events - 2 * half:,} more", f"foldq show {job.id} --json has all")]
    return [
        *map(_event, told("ASC", half)),
        *gap,
        *map(_event, reversed(told("DESC", half))),
    ]


def _event(row: sqlite3.Row) -> tuple[str, str, str]:
    return moment(row["at"]), row["kind"], _cut(row["message"], _FACT)


def job_file(records: sqlite3.Connection, job: Job) -> str:
    """Return the job file as it was submitted, as text."""
    (content,) = records.execute("SELECT file_bytes FROM job WHERE id = ?", (job.id,)).fetchone()
    text = bytes(content).decode(errors="replace").removeprefix("\ufeff")
    most = 100_000
    return text if len(text) <= most else text[:most] + "\n… (cut: the whole file is in accepted/)"


def moment(text: str | None) -> str:
    """Write a time of the records to the second, as the commands do here, and where that is."""
    at = parse_time(text)
    return "" if at is None else local(at)


def local(at: datetime) -> str:
    """Write a time in this machine's zone, which is named: a page may be read anywhere.

    By the distance from UTC: names such as CST are those of several zones.
    """
    here = at.astimezone()
    zone = timezone(here.utcoffset() or timedelta())
    return f"{here:%Y-%m-%d %H:%M:%S} {zone}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
