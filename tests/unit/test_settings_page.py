"""docs/settings.md says of each setting what the code says of it."""

from pathlib import Path

from schemas.origins import default_text, fields
from schemas.sections import TagSettings
from schemas.settings import SECTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def default(key, field):
    text = default_text(key, field)
    if text in ("", "[]", "{}"):
        return "–"
    return text if text == "one for each CPU" else f"`{text}`"


def row(key, field):
    return f"| `{key.rpartition('.')[2]}` | {default(key, field)} | {field.description} |"


def part(section):
    """The page from where a section begins to where the next one does."""
    begin = PAGE.index(f"\n`[{section}]`: ") if section else 0
    return PAGE[begin : PAGE.find("\n`[", begin + 2)]


def test_every_setting_stands_in_its_section_with_its_default_in_the_words_of_the_code():
    rows = [(key.rpartition(".")[0], row(key, field)) for key, field in fields() if key != "spool"]
    rows += [("tags.NAME", row(name, field)) for name, field in TagSettings.model_fields.items()]
    assert len(rows) > 35
    assert [said for section, said in rows if said not in part(section)] == []


def test_it_names_no_setting_that_is_not_there():
    known = {row(key, field) for key, field in fields()}
    known |= {row(name, field) for name, field in TagSettings.model_fields.items()}
    told = {line for line in PAGE.splitlines() if line.startswith("| `")}
    assert told <= known


def test_every_section_is_there():
    assert [name for name in SECTIONS if f"\n`[{name}]`: " not in PAGE] == []
