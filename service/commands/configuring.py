"""The command `config`: every setting, its value, and where that comes from."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import AsJson, Spool
from service.commands.terminal import ExitCode, present, print_json, quoted, stop, tell

if TYPE_CHECKING:
    from schemas.origins import Origin


def config(
    ctx: typer.Context,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY…", help="Settings or sections; default: all."),
    ] = None,
    spool: Spool = None,
    as_json: AsJson = False,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print a foldq.toml of all defaults to start from.")
    ] = False,
) -> None:
    """Show every setting, its value, and where that comes from.

    What is secret in hooks (addresses behind the host, headers) is not shown.

    For example:
      foldq config
      foldq config engines limits
      foldq config --toml > spool/foldq.toml
    """
    from schemas.origins import commented_file, origins, unknown_variables

    if as_toml:
        if keys or as_json:
            stop(ExitCode.USAGE, "--toml prints the whole file.", "foldq config --toml")
        sys.stdout.write(commented_file())
        return
    before: Path | None = ctx.obj
    found = origins(spool if spool is not None else before)
    chosen = _chosen(found, keys or [])
    if as_json:
        from dataclasses import asdict

        from service.jsontext import document

        print_json(document(settings=[asdict(origin) for origin in chosen]))
    else:
        _show(chosen, explain=bool(keys))
    for variable, close in unknown_variables().items():
        tell(f"{quoted(variable)} in the environment is no setting. Did you mean {close}?")


def _chosen(found: "list[Origin]", keys: list[str]) -> "list[Origin]":
    """Return the settings that were asked for, each by its key or by its section."""
    from schemas.problems import nearest

    chosen: dict[str, Origin] = {}
    for key in keys:
        wanted = [o for o in found if o.key == key or o.key.startswith(f"{key}.")]
        if not wanted:
            known = {o.key for o in found} | {o.key.partition(".")[0] for o in found}
            inner = {o.key.rpartition(".")[2]: o.key for o in found}
            close = inner.get(key) or nearest(key, known) or inner.get(nearest(key, inner) or "")
            hint = f"Did you mean {close}?" if close else "All of them: foldq config"
            stop(ExitCode.USAGE, f"There is no setting {key!r}.", quoted(hint))
        chosen.update({origin.key: origin for origin in wanted})
    return list(chosen.values()) if keys else found


def _show(found: "list[Origin]", *, explain: bool) -> None:
    from rich.text import Text

    from service.commands.screens import plain_table

    table = plain_table()
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("From", overflow="fold")
    if explain:
        table.add_column("What it is")
    for origin in found:
        is_set = origin.source != "default"
        place = origin.place.rpartition("/")[2] if origin.source == "file" else origin.place
        cells = [
            Text(origin.key, style="bold" if is_set else ""),
            Text(origin.text or "–"),
            Text(place or "default", style="" if is_set else "dim"),
        ]
        table.add_row(*cells, *([Text(origin.description)] if explain else []))
    present(table)
