"""What the page says in words about a search: its state, what was asked, what came out."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.commands.terminal import duration, score, value_text
from service.exports import how_to_load
from service.records import parse_time, seconds_between
from service.report.material import Material


@dataclass(frozen=True, slots=True)
class Summary:
    """The head of the page.

    Attributes
    ----------
    tiles : list of (label, value, small print)
        The few numbers that matter most.
    facts : list of (label, text)
    best : list of (parameter, value)
        Of the best candidate.
    model : str or None
        Which file holds the fitted winner.
    load : str or None
        The line of Python that loads it.
    """

    tiles: list[tuple[str, str, str]]
    facts: list[tuple[str, str]]
    best: list[tuple[str, str]]
    model: str | None
    load: str | None


def summary(material: Material, results: Path | None) -> Summary:
    """Say what a search was, and how far it is."""
    job, spec = material.job, material.job.spec
    took = seconds_between(job.started_at, job.finished_at, datetime.now(UTC))
    best = material.ranked[0] if material.ranked else None
    if job.best_index is not None:
        best = job.best_index
    tiles: list[tuple[str, str, str]] = []
    if best is not None and material.means[best] == material.means[best]:
        sem = material.sems[best]
        spread = f"± {sem:.4f}" if sem == sem else ""
        tiles.append(("best " + material.metric_label, score(material.means[best]), spread))
    tiles.append(("candidates", f"{job.n_candidates:,}", f"× {job.n_splits or '?'} splits"))
    failed = f"{job.n_failed:,} failed" if job.n_failed else "none failed"
    tiles.append(("folds", f"{job.n_done + job.n_failed:,}", f"of {job.n_tasks:,}, {failed}"))
    tiles.append(("time", duration(took) or "–", f"{duration(job.fold_seconds)} of folds"))
    facts = [
        ("estimator", job.estimator),
        ("data", job.data + (f", {job.n_samples:,} × {job.n_features}" if job.n_features else "")),
        ("search", job.strategy),
        ("cross-validation", value_text(spec.get("cv"))),
        ("scoring", value_text(spec.get("scoring") or "the estimator's own")),
        ("submitted", _moment(job.submitted_at)),
        ("started", _moment(job.started_at)),
        ("finished", _moment(job.finished_at)),
    ]
    refitted = job.refitted
    place = f"{results}/" if results is not None else ""
    return Summary(
        tiles,
        [(label, text) for label, text in facts if text],
        [(name, value_text(value)) for name, value in (job.best_params or {}).items()],
        None if refitted is None else f"{place}{refitted['file']}",
        None
        if refitted is None
        else how_to_load({**refitted, "file": f"{place}{refitted['file']}"}),
    )


def _moment(text: str | None) -> str:
    moment = parse_time(text)
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
