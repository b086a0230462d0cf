"""`foldq config`: every setting, its value, and where that comes from."""

import json
import os
import re
import tomllib

import pytest
from typer.testing import CliRunner

from schemas.origins import commented_file, fields
from schemas.settings import InvalidSettings, Settings
from schemas.tomllines import lines_of
from service.cli import app

SECRET = "T0-B0-secret"


@pytest.fixture
def spool(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("FOLDQ_") or name == "COLUMNS":
            monkeypatch.delenv(name)
    return tmp_path


def config(spool, *arguments):
    return CliRunner().invoke(app, ["config", "--spool", str(spool), *arguments])


def origins(spool, *keys):
    told = json.loads(config(spool, *keys, "--json").stdout)
    assert told["schema_version"] == 1
    return {setting["key"]: setting for setting in told["settings"]}


def test_each_setting_says_where_its_value_comes_from(spool, monkeypatch):
    (spool / "foldq.toml").write_text(
        "# mine\nengines = 3\n\n[limits]\n# more\nn_jobs = 2\n"
        "[catalog]\n\nestimators = {}\n[tags.'a.b']\nmax_jobs = 1\n"
    )
    monkeypatch.setenv("FOLDQ_GRACE", "10m")
    monkeypatch.setenv("FOLDQ_SHORTCUTS", '{"data": false}')
    found = origins(spool)
    file = str(spool / "foldq.toml")
    where = {key: (o["source"], o["place"]) for key, o in found.items() if o["source"] != "default"}
    assert where == {
        "spool": ("flag", "--spool"),
        "engines": ("file", f"{file}, line 2"),
        "limits.n_jobs": ("file", f"{file}, line 6"),
        "catalog.estimators": ("file", f"{file}, line 9"),
        "tags.a.b.max_jobs": ("file", f"{file}, line 11"),
        "grace": ("environment", "FOLDQ_GRACE"),
        "shortcuts.data": ("environment", "FOLDQ_SHORTCUTS"),
    }
    assert (found["grace"]["value"], found["grace"]["default"]) == (600, 300)
    assert (found["grace"]["text"], found["poll"]["text"]) == ('"10m"', '"0.2s"')
    assert set(found) > {key for key, _ in fields()}


def test_the_environment_goes_before_the_file(spool, monkeypatch):
    (spool / "foldq.toml").write_text("engines = 3\n")
    monkeypatch.setenv("FOLDQ_ENGINES", "5")
    assert origins(spool, "engines")["engines"]["place"] == "FOLDQ_ENGINES"


def test_a_key_or_a_section_can_be_asked_for(spool):
    assert list(origins(spool, "poll", "log")) == [
        "poll", "log.level", "log.json_lines", "log.size", "log.kept",
    ]  # fmt: skip
    told = config(spool, "poll").stdout
    assert "Time between two looks at the spool." in told


@pytest.mark.parametrize(
    ("key", "close"),
    [
        ("engin", "engines"),
        ("n_jobs", "limits.n_jobs"),
        ("limit", "limits"),
        ("fitz", "limits.fits"),
    ],
)
def test_a_key_that_is_not_there_is_told_with_the_nearest(spool, key, close):
    told = config(spool, key)
    assert told.exit_code == 2
    assert f"Did you mean {close}?" in told.stderr


def test_a_slip_is_told_with_its_line_and_ends_with_2(spool):
    (spool / "foldq.toml").write_text("engines = 2\n[limits]\n\nfits = 'many'\n[tags.x]\nmax_job=1")
    told = config(spool)
    assert told.exit_code == 2
    assert "limits.fits (line 4)" in told.stderr
    assert "tags.x.max_job (line 6)" in told.stderr
    assert "Did you mean max_jobs?" in told.stderr


def test_a_variable_that_is_nearly_a_setting_is_told(spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_ENGINS", "3")
    monkeypatch.setenv("FOLDQ_FAILPOINT", "x")
    told = config(spool)
    assert told.exit_code == 0
    assert "Did you mean FOLDQ_ENGINES?" in told.stderr
    assert "FAILPOINT" not in told.stderr


def test_no_secret_of_a_hook_is_shown(spool):
    (spool / "foldq.toml").write_text(
        "[[hooks.job_ended]]\n"
        f'url = "https://ada:{SECRET}@hooks.example.org:8443/services/{SECRET}?token={SECRET}"\n'
        f'headers = {{Authorization = "Bearer {SECRET}"}}\n'
    )
    for arguments in ([], ["--json"], ["hooks"]):
        told = config(spool, *arguments)
        assert told.exit_code == 0
        assert SECRET not in told.output
        assert "https://hooks.example.org:8443/***" in told.output


def test_the_file_to_start_from_says_the_defaults(spool):
    text = config(spool, "--toml").stdout
    assert text == commented_file()
    (spool / "foldq.toml").write_text(text)
    assert Settings.load(spool) == Settings(spool=spool)
    with_defaults = re.sub(r"^#([a-z_]+ = (?!.*# an example).*)$", r"\1", text, flags=re.MULTILINE)
    assert with_defaults.count("\n#") < text.count("\n#") - 20
    (spool / "foldq.toml").write_text(with_defaults)
    assert Settings.load(spool) == Settings(spool=spool)


def test_each_example_of_it_can_be_set(spool):
    lines = commented_file().splitlines()
    examples = [i for i, line in enumerate(lines) if "# an example" in line]
    assert len(examples) > 8
    for i in examples:
        tried = [line.removeprefix("#") if line == "#[tags.gpu]" else line for line in lines]
        tried[i] = lines[i].removeprefix("#")
        (spool / "foldq.toml").write_text("\n".join(tried))
        assert Settings.load(spool) != Settings(spool=spool), lines[i]


def test_tags_come_from_the_environment_as_json_all_together(spool, monkeypatch):
    (spool / "foldq.toml").write_text("[tags.gpu]\nmax_jobs = 1\n[tags.cpu]\nmax_jobs = 4\n")
    monkeypatch.setenv("FOLDQ_TAGS", '{"gpu": {"max_engines": 2}, "Lab-3": {"max_jobs": 1}}')
    tags = Settings.load(spool).tags
    assert {tag: (limit.max_jobs, limit.max_engines) for tag, limit in tags.items()} == {
        "gpu": (1, 2), "cpu": (4, None), "Lab-3": (1, None),
    }  # fmt: skip
    monkeypatch.setenv("FOLDQ_TAGS__GPU__MAX_JOBS", "3")
    with pytest.raises(InvalidSettings, match=r"FOLDQ_TAGS__GPU__MAX_JOBS: .*JSON: FOLDQ_TAGS="):
        Settings.load(spool)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("'notify'", "A hook is a table"),
        ("{}", "a command or a URL"),
        ("{command = ['x'], url = 'http://a'}", "a command or a URL"),
        ("{command = []}", "at least 1 entries"),
        ("{command = 'rm -rf x'}", "a list"),
        ("{url = 'ftp://a/b'}", "http"),
        ("{url = 'file:///etc/passwd'}", "http"),
        ("{url = 'https://a/b c'}", "no address"),
        ("{url = 'http://a', headers = {'A:b' = 'c'}}", "no header"),
        ('{url = "http://a", headers = {A = "c\\nX: y"}}', "no header"),
        ("{command = ['x'], headers = {A = 'b'}}", "Only a URL"),
        ("{command = ['x'], on = ['running']}", "one of completed, failed, cancelled"),
        ("{comand = ['x']}", "Did you mean command?"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(spool, hook, words):
    (spool / "foldq.toml").write_text(f"[hooks]\njob_ended = [{hook}]\n")
    with pytest.raises(InvalidSettings) as refused:
        Settings.load(spool)
    assert words in str(refused.value)
    assert "hooks.job_ended" in str(refused.value)


def test_lines_are_those_of_the_statements():
    text = 'a = """\nb = 1\n"""\nc = [\n 1,\n]\n\n[d]\n"e f" = {g = 1}\n[[h]]\nk = 1\n[[h]]\n'
    assert lines_of(text) == {
        ("a",): 1, ("c",): 4, ("d",): 8, ("d", "e f"): 9, ("d", "e f", "g"): 9, ("h",): 10,
    }  # fmt: skip
    assert set(tomllib.loads(text)) == {"a", "c", "d", "h"}
