"""The application that is served: Datasette on the records, with our pages, behind the guard."""

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasette.app import Datasette
from datasette.plugins import pm

from service.dashboard.database import LiveRecords
from service.dashboard.guard import Guard
from service.dashboard.pages import Pages
from service.dashboard.tables import DATABASE, METADATA

if TYPE_CHECKING:
    from schemas.settings import Settings

_HERE = Path(__file__).parent

#: Where static files are found: our own, and plotly.js as the Python package brings it.
_OWN, _PLOTLY = "-/foldq", "-/plotly"

SETTINGS: dict[str, Any] = {
    "sql_time_limit_ms": 10000,
    "facet_time_limit_ms": 1000,
    "suggest_facets": False,  # each page would try every column; the columns' menus offer them
    "allow_download": False,  # of a database that is being written it would be torn: foldq backup
    "max_returned_rows": 1000,
    "max_csv_mb": 0,  # a million folds are more than 100 MB
    "num_sql_threads": 4,
    "default_cache_ttl": 0,
    "truncate_cells_html": 300,
}


def make_datasette(settings: "Settings") -> Datasette:
    """Make the Datasette of a dashboard, without the guard; its records need not exist yet."""
    _register()
    plotly = str(files("plotly") / "package_data")
    datasette = _Dashboard(
        settings,
        files=[],
        metadata=METADATA,
        template_dir=str(_HERE / "templates"),
        static_mounts=[(_OWN, str(_HERE / "static")), (_PLOTLY, plotly)],
        settings=SETTINGS,
    )
    datasette.remove_database("_memory")
    records = LiveRecords(datasette, settings.database_path)
    datasette.add_database(records, name=DATABASE)
    return datasette


def make_app(settings: "Settings", token: str) -> Guard:
    """Make the application: only who has the token is answered.

    Parameters
    ----------
    settings : Settings
        Of the spool; its database need not exist yet.
    token : str
    """
    return Guard(make_datasette(settings).app(), token)


class _Dashboard(Datasette):  # type: ignore[misc]
    """A Datasette that knows its spool, by which the plugin knows its own."""

    def __init__(self, foldq_settings: "Settings", **options: Any) -> None:
        self.foldq_settings = foldq_settings
        self.foldq_plotly = f"/{_PLOTLY}/plotly.min.js?{version('plotly')}"
        super().__init__(**options)


@cache
def _register() -> None:
    """Add our plugin to Datasette's, and take out those that happen to be installed beside it.

    They are written for servers of another kind: some write, some let others in. Our plugin takes
    the place of Datasette's own in telling of errors.
    """
    for plugin, _ in pm.list_plugin_distinfo():
        pm.unregister(plugin)
    pm.unregister(name="datasette.handle_exception")
    pm.register(Pages())
