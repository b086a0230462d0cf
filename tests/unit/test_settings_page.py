"""docs/settings.md says of each setting what the code says of it."""

from pathlib import Path

from pydantic import BaseModel

from schemas.settings import (
    CatalogSettings,
    ClusterSettings,
    Limits,
    ReportSettings,
    Settings,
    ShortcutSettings,
)

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()

SECTIONS = {
    "catalog": CatalogSettings,
    "limits": Limits,
    "cluster": ClusterSettings,
    "shortcuts": ShortcutSettings,
    "report": ReportSettings,
}


def rows(model: type[BaseModel]) -> list[str]:
    return [
        f"| `{name}` | {field.description} |"
        for name, field in model.model_fields.items()
        if name not in SECTIONS and name != "spool"
    ]


def test_every_setting_stands_there_in_the_words_of_the_code():
    missing = [row for row in rows(Settings) if row not in PAGE]
    assert missing == []


def test_every_setting_of_a_section_stands_there():
    for section, model in SECTIONS.items():
        assert f"`[{section}]`" in PAGE
        assert [row for row in rows(model) if row not in PAGE] == []


def test_it_names_no_setting_that_is_not_there():
    known = {row for model in (Settings, *SECTIONS.values()) for row in rows(model)}
    told = {line for line in PAGE.splitlines() if line.startswith("| `")}
    assert told <= known
