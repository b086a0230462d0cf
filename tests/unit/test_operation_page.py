"""docs/operation.md names metrics, events, settings and commands that there are."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from schemas.settings import Settings
from service.cli import SECTIONS
from service.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operation.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE)


def exposed():
    """The names of all figures, as Prometheus has them."""
    text = Metrics().text().decode()
    return {name for name in re.findall(r"(?m)^(foldq_\w+)", text) if not name.endswith("_created")}


def test_every_metric_stands_there_and_no_other():
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed()}
    told = set(re.findall(r"\bfoldq_[a-z_]+[a-z]", PAGE))
    assert families - told == set()
    assert told - families - exposed() == set()


def test_the_rules_and_the_scrape_configuration_are_yaml():
    scrape, rules = (YAML(typ="safe").load(text) for kind, text in BLOCKS if kind == "yaml")
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == "127.0.0.1:9464"
    alerts = rules["groups"][0]["rules"]
    assert len({alert["alert"] for alert in alerts}) == len(alerts) > 5
    for alert in alerts:
        expression = alert["expr"]
        assert expression.count("(") == expression.count(")")
        assert set(re.findall(r"foldq_\w+", expression)) <= exposed()


def test_the_settings_can_be_loaded(tmp_path, monkeypatch):
    shown = [text for kind, text in BLOCKS if kind == "toml"]
    assert len(shown) > 1
    for text in shown:
        (tmp_path / "foldq.toml").write_text(text.replace("…", "x"))
        assert Settings.load(tmp_path).model_fields_set - {"spool"} == set(tomllib.loads(text))


def test_the_commands_are_there():
    known = {function.__name__.rstrip("_") for group in SECTIONS.values() for function in group}
    shell = "\n".join(text for kind, text in BLOCKS if kind == "sh")
    used = re.findall(r"(?<!-aG )\bfoldq ([a-z]+)\b", shell) + re.findall(r"`foldq ([a-z]+)", PAGE)
    assert len(used) > 20
    assert set(used) <= known


@pytest.mark.parametrize("file", re.findall(r"`(deploy/[\w.-]+)`", PAGE))
def test_the_files_of_a_service_are_there(file):
    assert (ROOT / file).is_file()


def test_the_events_of_the_log_are_those_that_the_code_names():
    sources = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    table = PAGE[PAGE.index("| event | |") : PAGE.index("jq -r")]
    for name in re.findall(r"`((?:job|task|engine|batch|queue|hook|file) [a-z ]+)`", table):
        named = f'"{name}"' in sources or name.startswith("queue ")
        assert named, name
