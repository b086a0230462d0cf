"""The page: its parts put together, escaped, with a policy that lets nothing else run in it."""

import base64
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from schemas import __version__
from service.printable import printable
from service.records import Job
from service.report import texts
from service.report.drawing import Figure, template
from service.report.importance import importance
from service.report.library import packed, packed_plotly, plotly_digest
from service.report.material import Material
from service.report.model import model_view
from service.report.plots import drawn
from service.report.trials import trials

if TYPE_CHECKING:
    import jinja2


def render(
    records: sqlite3.Connection,
    job: Job,
    *,
    results: Path | None,
    script_url: str | None = None,
    refresh: float | None = None,
    home: str | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """Make the page of a job.

    Parameters
    ----------
    records : sqlite3.Connection
        As `service.records.open_records` gives it.
    job : Job
        In any state.
    results : Path or None
        Where its model and tables lie, to be named in the page; None where readers have no files.
    script_url : str, optional
        Where the page finds plotly.js; by default it carries it along and needs no network.
    refresh : float, optional
        Seconds after which the page of an unfinished job fetches itself anew; needs `script_url`.
    home : str, optional
        Where the list of all jobs is, for a page that is served.
    names : mapping of str to str, optional
        What the operator adds to scikit-learn's names: `settings.catalog.estimators`.

    Returns
    -------
    str
        HTML, of less than 3 MB whatever the size of the search.
    """
    material = Material.read(records, job)
    scripts = [_part("theme.js"), _part("report.js")]
    failures, more_failures = texts.failure_groups(records, job)
    lost, after_loss = texts.lost(records, job)
    found = importance(material)
    now = datetime.now(UTC)
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            policy=_policy(scripts, script_url),
            style=_safe(_part("report.css")),
            scripts=[_safe(script) for script in scripts],
            script_url=script_url,
            plotly=packed_plotly() if script_url is None else None,
            refresh=refresh if not job.state.is_final and script_url is not None else None,
            home=home,
            themes=_script_data({"light": template(dark=False), "dark": template(dark=True)}),
            job=job,
            tiles=texts.tiles(material, now),
            facts=texts.facts(material),
            best=texts.best(material, results),
            model=_model(job, names),
            figures=_grouped(drawn(material, found)),
            no_importance=found.missing if len(material.axes) > 1 else "",
            trials=trials(material),
            failures=failures,
            more_failures=more_failures,
            lost=lost,
            after_loss=after_loss,
            life=texts.life(records, job),
            job_file=texts.job_file(records, job),
            version=__version__,
            written=texts.local(now),
        )
    )


def _model(job: Job, names: Mapping[str, str] | None) -> tuple[Any, Any] | None:
    view = model_view(job, names)
    return None if view is None else (_safe(view[0]), _safe(view[1]))


def _grouped(figures: list[Figure]) -> list[tuple[str, list[tuple[Figure, Any]]]]:
    """Return the plots with their data, those of one group together."""
    return [
        (group, [(figure, packed(figure.to_json().encode())) for figure in members])
        for group, members in groupby(figures, key=lambda figure: figure.group)
    ]


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


@cache
def _templates() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("service.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """Give text as readers can see it: no control characters, none that turn writing around."""
    return printable(value) if type(value) is str else value


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _policy(scripts: list[str], script_url: str | None) -> str:
    """Return the Content-Security-Policy: the page's own scripts and no others, no network."""
    allowed = [f"'sha256-{digest(script)}'" for script in scripts]
    if script_url is None:
        allowed.append(f"'sha256-{plotly_digest()}'")
        connect = "'none'"
    else:
        where = urlsplit(script_url)
        allowed.append(f"{where.scheme}://{where.netloc}" if where.netloc else "'self'")
        connect = "'self'"
    return (
        f"default-src 'none'; script-src {' '.join(allowed)}; style-src 'unsafe-inline';"
        f" img-src data: blob:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def digest(text: str) -> str:
    """Return the hash by which a policy knows a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _script_data(value: object) -> Any:
    """Return JSON that may stand in a `<script>`: nothing in it ends that, or begins a comment."""
    return _safe(_escaped(json.dumps(value, allow_nan=False)))


def _escaped(text: str) -> str:
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
