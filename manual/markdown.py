"""Markdown and YAML that the pages of the reference are put together from."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from ruamel.yaml import YAML

#: Stands at the top of every page that is made.
MADE = (
    "<!-- Made from the code by `make docs`. -->\n\n"
    "*This page is made from the code, so it says what this version does.*"
)


def code(text: object) -> str:
    """Write text as code, whatever stands in it; nothing for no text."""
    shown = " ".join(str(text).split())
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`" if shown else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; columns in which no row says anything are left out.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns.
    rows : iterable of sequences of str
        Markdown of the cells, as many in each row as there are titles.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    told = [i for i in range(len(head)) if any(row[i] for row in cells)]
    lines = [[head[i] for i in told], ["---"] * len(told)]
    lines += [[row[i] for i in told] for row in cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def yaml_text(value: Any) -> str:
    """Spell a value as a job file does, on one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 10_000
    file = io.StringIO()
    yaml.dump(value, file)
    return file.getvalue().removesuffix("...\n").strip()
