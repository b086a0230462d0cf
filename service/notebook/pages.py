"""How jobs and their like look in a notebook: small HTML that suits light and dark pages."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from service.commands.terminal import counted, params, score
from service.history import Progress
from service.notebook.waiting import words

#: A state's colour: legible on white and on black.
_COLOURS = {"completed": "#2e9e5b", "failed": "#d64545", "cancelled": "#b7791f"}

_STYLE = (
    "border-collapse:collapse;border:1px solid #8884;border-radius:4px;"
    "font-size:13px;line-height:1.5;margin:0;color:inherit"
)


def job_html(progress: Progress, spool: str) -> str:
    """Give a job as a small table: what it is, how far, how good."""
    job = progress.job
    n_finished = job.n_done + job.n_failed
    share = n_finished / job.n_tasks if job.n_tasks else 0.0
    colour = _COLOURS.get(job.state, "#3b82c4")
    filled = f"width:{share:.1%};height:100%;background:{colour};border-radius:3px"
    bar = (
        '<span style="display:inline-block;width:12em;height:.7em;background:#8883;'
        f'border-radius:3px;vertical-align:middle"><span style="display:block;{filled}"></span>'
        f"</span> {n_finished:,}/{job.n_tasks:,} folds"
    )
    said = words(progress).removeprefix(str(job.state)).removeprefix(", ")
    if job.best_params is not None:  # it has a line of its own
        said = said.removeprefix(f"best {score(job.best_score)}").removeprefix(", ")
    rows = [
        ("state", f'<b style="color:{colour}">{escape(job.state)}</b> {escape(said)}'),
        ("folds", bar),
        ("search", escape(f"{job.estimator} on {job.data}, {_candidates(progress)}")),
    ]
    if job.best_params is not None:
        best = f"{score(job.best_score)} with {params(job.best_params)}"
        rows.append(("best", escape(best)))
    if job.reason:
        rows.append(("reason", escape(job.reason[:500])))
    return _table(f"Job {job.id} · {escape(job.name)}", rows, spool)


def waiting_html(name: str, spool: str) -> str:
    """Give a job that no scheduler has taken yet."""
    rows = [("state", "waiting: no scheduler has taken it yet")]
    return _table(escape(name), rows, spool)


def server_html(told: str, log: str, spool: str) -> str:
    """Give the scheduler of a notebook."""
    return _table("foldq scheduler", [("state", escape(told)), ("log", escape(log))], spool)


def _candidates(progress: Progress) -> str:
    job = progress.job
    n_candidates = counted(job.n_candidates, "candidate")
    return f"{job.strategy} of {n_candidates} × {counted(job.n_splits, 'split')}"


def _table(head: str, rows: list[tuple[str, str]], spool: str) -> str:
    cell = "padding:2px 10px;text-align:left;vertical-align:top;border:0;background:none"
    lines = "".join(
        f'<tr style="background:none"><td style="{cell};opacity:.65">{name}</td>'
        f'<td style="{cell}">{value}</td></tr>'
        for name, value in [*rows, ("spool", escape(spool))]
    )
    return (
        f'<table style="{_STYLE}"><thead><tr style="background:none">'
        f'<th colspan="2" style="{cell};border-bottom:1px solid #8884">{head}</th></tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )


def framed(page: str, height: int) -> str:
    """Put a whole HTML page into a notebook, so that its styles stay its own."""
    return (
        f'<iframe srcdoc="{escape(page, quote=True)}" width="100%" height="{height}" '
        'style="border:1px solid #8884;border-radius:4px" sandbox="allow-scripts allow-popups">'
        "</iframe>"
    )


@dataclass(frozen=True, repr=False)
class Report:
    """The report of a job, one HTML page.

    Attributes
    ----------
    html : str
    """

    html: str

    def save(self, file: str | Path) -> None:
        """Write the page to a file, which opens offline."""
        Path(file).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        return framed(self.html, height=700)

    def __repr__(self) -> str:
        return f"<foldq report, {len(self.html):,} characters of HTML>"
