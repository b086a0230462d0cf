"""The pages that are made from the code say all of it, and nothing that is not there."""

import re

import pytest
import typer

from manual import commands, ddl, job_file, settings, tables
from schemas.editor import json_schema
from schemas.settings import Settings
from service.cli import app

COMMANDS = typer.main.get_command(app).commands


def sections(page, level):
    """Return the text below each title of a level, by its anchor."""
    parts = re.split(rf"(?m)^{'#' * level} .*\{{#(\S+)\}}$", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class TestJobFile:
    def test_each_key_has_its_type_its_default_and_an_example(self):
        told = sections(job_file.page(), 3)
        for name, field in json_schema()["properties"].items():
            assert "| Type | Default |" in told[name]
            assert re.search(rf"```yaml\n{name}: .+", told[name]), f"{name} has no example"
            assert field.get("description", "") in told[name]

    def test_each_key_of_a_part_has_an_example(self):
        told = sections(job_file.page(), 2)
        for name, anchor in job_file.ANCHORS.items():
            for key in json_schema()["$defs"][name].get("properties", ()):
                (row,) = re.findall(rf"(?m)^\| `{key}` \|.*$", told[anchor])
                assert row.split(" | ")[-1].strip(" |") or key == "params", f"{name}.{key}"

    def test_limits_stand_there(self):
        told = sections(job_file.page(), 3)
        assert "at least -1,000,000, at most 1,000,000" in told["priority"]
        assert "up to ten years" in told["timeout"]

    def test_each_word_of_the_grammar_is_explained(self):
        page = job_file.page()
        for written in ("{$logspace: [a, b, n]}", "{$tuple: [value, value, …]}", "{$null: true}"):
            assert f"| `{written}` |" in page


class TestCommands:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_option_stands_there(self, name):
        told = sections(commands.page(), 3)[name]
        for param in COMMANDS[name].params:
            spelled = [o for o in param.opts if o.startswith("-")] or [param.metavar.strip("[]")]
            assert all(option in told for option in spelled), spelled

    def test_defaults_and_limits_have_their_own_columns(self):
        told = sections(commands.page(), 3)["history"]
        (row,) = re.findall(r"(?m)^\| `-n, --limit.*$", told)
        assert row.endswith("| `50 on the screen` | at least 1 |")


class TestSettings:
    def test_each_setting_stands_there_with_what_it_is_without_it(self):
        page = settings.page()
        for name in Settings.model_fields:
            assert f"| `{name}` |" in page or f"## `[{name}" in page
        (grace,) = re.findall(r"(?m)^\| `grace` .*$", page)
        assert "| duration | `5m` |" in grace
        (engines,) = re.findall(r"(?m)^\| `engines` .*$", page)
        assert "Flag: `--engines`" in engines


class TestTables:
    def test_each_column_says_what_it_holds(self):
        owners = [*ddl.read()[0], *ddl.read()[1]]
        told = sections(tables.page(), 3)
        for owner in owners:
            for column in owner.columns:
                assert f"| `{column.name}` |" in told[owner.name]
                assert tables.meaning(owner.name, column)

    def test_comments_of_the_ddl_are_told_also_of_columns_that_came_later(self):
        told = sections(tables.page(), 3)
        assert "as validated, every default filled in" in told["job"]
        assert "folds from the records" in told["job"]
        assert "seconds of the fit that an earlier fold had spent already" in told["fold"]

    def test_no_words_are_left_over(self):
        columns = {f"{t.name}.{c.name}" for t in ddl.read()[0] for c in t.columns}
        assert set(tables.WORDS) - columns == set()

    def test_a_column_of_which_nothing_is_said_ends_the_build(self):
        with pytest.raises(LookupError, match=r"job\.shade is: write a comment beside it"):
            tables.meaning("job", ddl.Column("shade", "TEXT"))

    def test_rules_indexes_and_moves(self):
        told = sections(tables.page(), 3)
        assert "one of `fold`, `prepare`, `refit`" in told["task"]
        assert "`attempt_open` on `attempt (id) WHERE outcome IS NULL`" in told["attempt"]
        assert "(unique)" in told["task"]
        assert "an attempt ends once" in told["attempt"]
        assert "| `queued` | " in tables.page()
