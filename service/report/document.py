"""The page: its parts put together, escaped, with a policy that lets nothing else run in it."""

import base64
import hashlib
import json
import sqlite3
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from service.printable import printable
from service.records import Job
from service.report.drawing import template
from service.report.importance import importance
from service.report.library import packed_plotly, plotly_digest
from service.report.material import Material
from service.report.plots import drawn
from service.report.texts import summary
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

    Returns
    -------
    str
        HTML, of less than 3 MB whatever the size of the search.
    """
    material = Material.read(records, job)
    found = importance(material)
    figures = drawn(material, found)
    scripts = [_part("theme.js"), _part("report.js")]
    live = refresh if not job.state.is_final else None
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            policy=_policy(scripts, script_url),
            style=_safe(_part("report.css")),
            scripts=[_safe(script) for script in scripts],
            script_url=script_url,
            plotly=packed_plotly() if script_url is None else None,
            refresh=live,
            themes=as_script_data({"light": template(dark=False), "dark": template(dark=True)}),
            figures=[(figure, _safe(_escaped(figure.to_json()))) for figure in figures],
            summary=summary(material, results),
            trials=trials(material),
            job=job,
        )
    )


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


def as_script_data(value: object) -> Any:
    """Return JSON that may stand in a `<script>`: nothing in it ends that, or begins a comment."""
    return _safe(_escaped(json.dumps(value, allow_nan=False)))


def _escaped(text: str) -> str:
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
