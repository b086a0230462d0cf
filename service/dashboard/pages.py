"""The dashboard's own pages, and what it adds to Datasette's: a plugin, of our Datasette only."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from datasette.utils.asgi import Base400, NotFound, Response
from datasette.views.base import DatasetteError
from markupsafe import Markup
from pluggy import HookimplMarker

from schemas.lifecycle import JobState
from service.dashboard import live
from service.dashboard.reports import report_page
from service.dashboard.tables import DATABASE, METADATA
from service.jsontext import document, dumps
from service.recordfaults import NewerDatabase, OlderDatabase, RecordsDamaged, RecordsUnusable
from service.records import NoRecords, NoSuchJob, find_job, open_records

if TYPE_CHECKING:
    from datasette.app import Datasette

    from schemas.settings import Settings

T = TypeVar("T")

log = logging.getLogger("foldq.dashboard")

hook = HookimplMarker("datasette")

#: What keeps the records from being read, of all that they can be.
UNREADABLE = (NoRecords, NewerDatabase, OlderDatabase, RecordsDamaged, RecordsUnusable)

#: The largest number that SQLite takes for a job.
_MAX_ID = 2**63 - 1


def settings_of(datasette: "Datasette") -> "Settings | None":
    """Give the settings of a dashboard; None for a Datasette that is none."""
    return getattr(datasette, "foldq_settings", None)


def why(error: Exception) -> str:
    """Say why the records cannot be read, and what to do."""
    if isinstance(error, NoRecords):
        return (
            "There are no records yet: no scheduler has run on this spool. "
            "To start one: foldq serve"
        )
    return f"{error} {getattr(error, 'next_step', '')}".strip()


# --- pages ---------------------------------------------------------------------------------------


async def jobs_page(request: Any, datasette: Any) -> Any:
    """Show the list of jobs; its script fills it."""
    try:
        known = await asyncio.to_thread(live.tags, datasette.foldq_settings)
    except UNREADABLE:
        known = []
    context = {"tags": known, "states": [state.value for state in JobState]}
    return await _page(datasette, request, "jobs.html", context)


async def jobs_json(request: Any, datasette: Any) -> Any:
    """Give the list of jobs as it is now."""
    settings, choice = datasette.foldq_settings, live.Choice.read(request.args)

    def look() -> dict[str, Any]:
        try:
            return {"unreadable": None, **live.jobs_document(settings, choice)}
        except UNREADABLE as error:
            return {"unreadable": why(error), **live.bare_document(settings)}

    return _json(document(**await asyncio.to_thread(look)))


async def job_page(request: Any, datasette: Any) -> Any:
    """Show one job: how far it is, its report, the ways into its tables."""
    found = await _of_job(request, lambda job_id: live.job_document(_settings(datasette), job_id))
    return await _page(datasette, request, "job.html", {"job": found["job"]})


async def job_json(request: Any, datasette: Any) -> Any:
    """Give how far one job is now."""
    look = live.job_document
    found = await _of_job(request, lambda job_id: look(_settings(datasette), job_id))
    return _json(document(**found))


async def job_report(request: Any, datasette: Any) -> Any:
    """Give the job's report, which draws itself with the library from beside."""
    script = datasette.urls.path(datasette.foldq_plotly)
    settings = _settings(datasette)
    page = await _of_job(request, lambda job_id: report_page(settings, job_id, script))
    return Response.html(page)


async def job_results(request: Any, datasette: Any) -> Any:
    """Give the table of the search, cv_results_, as CSV: what `foldq results ID --csv` writes."""

    def write(job_id: int) -> tuple[str, str]:
        from service import exports
        from service.results import read_folds

        with open_records(_settings(datasette).database_path) as records:
            job = find_job(records, job_id)
            folds = read_folds(records, job)
        return f"job-{job_id}.csv", "".join(exports.to_csv(exports.table(folds)))

    name, text = await _of_job(request, write)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=headers, content_type="text/csv; charset=utf-8")


def _settings(datasette: Any) -> "Settings":
    settings: Settings = datasette.foldq_settings
    return settings


async def _of_job(request: Any, look: Callable[[int], T]) -> T:
    """Look something up of the job that the address names, in a thread.

    Raises
    ------
    NotFound
    """
    job_id = int(request.url_vars["job"])
    try:
        if job_id > _MAX_ID:
            raise NoSuchJob(job_id)
        return await asyncio.to_thread(look, job_id)
    except NoSuchJob as error:
        raise NotFound(str(error)) from error


def _json(content: dict[str, Any]) -> Any:
    return Response(dumps(content), content_type="application/json; charset=utf-8")


async def _page(
    datasette: Any, request: Any, template: str, context: dict[str, Any], status: int = 200
) -> Any:
    html = await datasette.render_template(template, context, request=request)
    return Response.html(html, status=status)


# --- what Datasette asks its plugins -------------------------------------------------------------


class Pages:
    """The plugin. All Datasettes of a process share it; to others than ours it says nothing."""

    __name__ = "foldq-dashboard"

    @hook
    def register_routes(self, datasette: Any) -> list[tuple[str, Any]]:
        """Name the dashboard's own pages."""
        if settings_of(datasette) is None:
            return []
        return [
            (r"^/$", jobs_page),
            (r"^/jobs\.json$", jobs_json),
            (r"^/job/(?P<job>[0-9]{1,20})$", job_page),
            (r"^/job/(?P<job>[0-9]{1,20})\.json$", job_json),
            (r"^/job/(?P<job>[0-9]{1,20})/report$", job_report),
            (r"^/job/(?P<job>[0-9]{1,20})/results\.csv$", job_results),
        ]

    @hook
    def extra_template_vars(self, datasette: Any, view_name: str | None) -> dict[str, Any]:
        """Give the pages what stands on each: the spool, the version; and what tables are about."""
        settings = settings_of(datasette)
        if settings is None:
            return {}
        from schemas import __version__

        return {
            "spool": str(settings.spool),
            "foldq_version": __version__,
            "is_row": view_name == "row",
            "about_tables": METADATA["databases"][DATABASE]["tables"],
        }

    @hook
    def prepare_connection(self, conn: sqlite3.Connection, datasette: Any) -> None:
        """Add the functions that the canned queries use."""
        if settings_of(datasette) is not None:
            conn.create_function("last_line", 1, last_line, deterministic=True)
            conn.create_function("since", 2, since)

    @hook
    def render_cell(
        self, row: Any, value: Any, column: str, table: str | None, datasette: Any
    ) -> Markup | None:
        """Lead from a job's number or name, wherever it stands, to its page."""
        if settings_of(datasette) is None:
            return None
        names = row.keys()
        if column == "job_id" and isinstance(value, int):
            job_id = value
        elif table == "job" and column == "name" and "id" in names:
            job_id = row["id"]
        elif table != "job" and column == "job" and "job_id" in names:
            job_id = row["job_id"]
        else:
            return None
        if not isinstance(job_id, int):  # of a query that somebody wrote
            return None
        return Markup('<a href="{}">{}</a>').format(datasette.urls.path(f"/job/{job_id}"), value)

    @hook
    def handle_exception(self, datasette: Any, request: Any, exception: Exception) -> Any:
        """Say in words what went wrong.

        In place of Datasette's own, which writes the local variables of every call to the terminal,
        also when there is only no page of that name.
        """
        return partial(_tell, datasette, request, exception)


#: Where to go from a page that cannot be shown.
_WAYS_ON = [("/", "All jobs"), (f"/{DATABASE}", "Questions and tables")]


async def _tell(datasette: Any, request: Any, exception: Exception) -> Any:
    about: dict[str, Any] = {}
    title: str | None = None
    said: str = str(exception)
    match exception:
        case NotFound(__cause__=NoSuchJob()):
            status, title = exception.status, "No such job"
            said += " It may have been pruned, or be on record in another spool."
        case NotFound():  # of a table, as Datasette says it, or of nothing
            status, title = exception.status, "No such page"
            said = f"There is nothing at {request.path}."
        case Base400():
            status = exception.status
        case DatasetteError():
            status, about, title = exception.status, exception.error_dict, exception.title
            said = exception.message
            if exception.message_is_html:
                said = Markup(said)
        case _ if isinstance(exception, UNREADABLE):
            status, title, said = 503, "No records to read", why(exception)
        case _:
            status, said = 500, "Something went wrong here; the dashboard's terminal says what."
            log.error("%s could not be shown", request.path, exc_info=exception)
    told = {**about, "ok": False, "error": said, "status": status, "title": title}
    if request.path.endswith(".json"):
        return Response(
            json.dumps(told), status=status, content_type="application/json; charset=utf-8"
        )
    return await _page(datasette, request, "error.html", {**told, "ways": _WAYS_ON}, status)


# --- functions for SQL ---------------------------------------------------------------------------


def last_line(text: str | None) -> str | None:
    """Give the last line of a traceback that holds anything: the exception's own."""
    if not isinstance(text, str):
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else text


def since(days: str | float | None, default: float) -> str:
    """Give the moment that many days ago, as the records write times; `default` where it is empty.

    Raises
    ------
    ValueError
        If it is no number.
    """
    ago = timedelta(days=float(days) if days not in (None, "") else default)
    return (datetime.now(UTC) - ago).isoformat()
