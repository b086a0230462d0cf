"""The same job in YAML, JSON and TOML; and whatever the bytes are, a job or a refusal comes out."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.problems import InvalidJob
from schemas.settings import Settings
from service.jobfile import SUFFIXES, examine, parse
from service.yamltext import read_yaml

ROOT = Path(__file__).parents[2]

#: A slip in each line but four; of a step that nobody knows, `unknown__C` may be a parameter.
SLIPS = b"""\
data: {loader: irs, n_class: 2}
estimator:
  $type: Pipeline
  steps:
    - [scale, {$type: StandardScaler, with_men: false}]
    - [unknown, Svc]
    - [last, {$type: SVC, kernal: rbf}]
search: {factor: 2,
  grid: {
    unknown__C: [1],
    last__gama: [1],
    scale__with_men: [true],
    nobody__C: [1]}}
scoring: accuracy
refit: acuracy
retry: {attempts: 0, on: [OsError]}
"""

YAML = b"""\
data: {loader: digits}
estimator:
  $type: Pipeline
  steps:
    - [scale, StandardScaler]
    - [svc, {$type: SVC, kernel: rbf}]
search:
  space:
    svc__C: {$logspace: [-2, 3, 6]}
    svc__gamma: [0.001, null]
timeout: 10m
"""
TOML = b"""\
timeout = "10m"
data.loader = "digits"

[estimator]
"$type" = "Pipeline"
steps = [["scale", "StandardScaler"], ["svc", {"$type" = "SVC", kernel = "rbf"}]]

[search.space]
svc__C = {"$logspace" = [-2, 3, 6]}
svc__gamma = [0.001, {"$null" = true}]
"""
JSON = json.dumps(
    {
        "data": {"loader": "digits"},
        "estimator": {
            "$type": "Pipeline",
            "steps": [["scale", "StandardScaler"], ["svc", {"$type": "SVC", "kernel": "rbf"}]],
        },
        "search": {"space": {"svc__C": {"$logspace": [-2, 3, 6]}, "svc__gamma": [0.001, None]}},
        "timeout": "10m",
    }
).encode()


def test_the_three_formats_say_the_same():
    from_yaml = parse(YAML, "a.yaml").model_dump(mode="json")
    assert from_yaml == parse(JSON, "a.json").model_dump(mode="json")
    assert from_yaml == parse(TOML, "a.toml").model_dump(mode="json")
    assert from_yaml == parse(YAML, "A.YML").model_dump(mode="json") | {"name": "a"}


def test_json_is_yaml_too():
    assert parse(JSON, "a.yaml") is not None


def test_the_name_is_the_files_stem_unless_it_is_given():
    assert parse(YAML, "my search.yaml").name == "my search"
    assert parse(b"name: other\n" + YAML, "a.yaml").name == "other"
    with pytest.raises(InvalidJob, match="name"):
        parse(YAML, "x" * 101 + ".yaml")


def test_a_byte_order_mark_is_taken_kindly():
    assert parse(b"\xef\xbb\xbf" + YAML, "a.yaml").name == "a"


class TestYaml:
    """YAML 1.2: no surprises among words and numbers."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("on", "on"), ("yes", "yes"), ("No", "No"), ("true", True), ("False", False),
            ("null", None), ("~", None), ("", None), ("'null'", "null"), ('"1"', "1"),
            ("1e-3", 1e-3), ("1.", 1.0), (".5", 0.5), ("+1", 1), ("010", 10), ("0o10", 8),
            ("0x1F", 31), ("1_000", "1_000"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"),
            (".inf", math.inf), ("-.Inf", -math.inf), ("!!str 1", "1"), ("|\n  a\n  b", "a\nb\n"),
        ],
    )  # fmt: skip
    def test_scalars(self, text, value):
        assert read_yaml(f"key: {text}\n")[0] == {"key": value}

    def test_nan(self):
        assert math.isnan(read_yaml("key: .nan")[0]["key"])

    def test_words_as_keys(self):
        assert read_yaml("on: 1\n2: x\n")[0] == {"on": 1, 2: "x"}

    def test_aliases_and_merged_mappings(self):
        text = "base: &b {x: 1, y: 2}\none: *b\ntwo: {<<: *b, y: 3}\nthree: {y: 4, <<: [*b]}\n"
        document, _ = read_yaml(text)
        assert document["one"] == {"x": 1, "y": 2}
        assert document["two"] == {"x": 1, "y": 3}
        assert document["three"] == {"x": 1, "y": 4}

    def test_every_place_has_its_line(self):
        _, lines = read_yaml("a:\n  b: [1,\n      {c: 2}]\nd: |\n  text\n")
        assert lines == {
            "": 1, "a": 2, "a.b": 2, "a.b[0]": 2, "a.b[1]": 3, "a.b[1].c": 3, "d": 4,
        }  # fmt: skip

    def test_integer_keys_of_class_weights(self):
        text = YAML.replace(b"kernel: rbf", b"class_weight: {0: 1.5, 1: 2}")
        [_, svc] = parse(text, "a.yaml").estimator["steps"]
        assert svc[1]["class_weight"] == {"$dict": [[0, 1.5], [1, 2]]}


BROKEN = b"""\
data: {loader: digitz}
estimator:
  $type: Pipeline
  steps:
    - [scale, StandardScalr]
    - [svc, {$type: SVC, kernal: rbf}]
search:
  strategy: gird
  space:
    svc__C: {$logspce: [-2, 3, 6]}
cv: 1
scoring: acuracy
retry: {attempts: 3, on: [OSError]}
"""


class TestAllAtOnce:
    """A slip in the form of one part does not hide what is wrong with the others."""

    def test_form_and_meaning_in_the_order_of_the_file(self):
        told = [(p.line, p.where, p.nearest) for p in _problems(BROKEN, "a.yaml")]
        assert told == [
            (1, "data.loader", "digits"),
            (5, "estimator.steps[0][1]", "StandardScaler"),
            (6, "estimator.steps[1][1].kernal", "kernel"),
            (8, "search.strategy", "grid"),
            (10, "search.space.svc__C.$logspce", "$logspace"),
            (11, "cv", None),
            (12, "scoring", "accuracy"),
        ]

    @pytest.mark.parametrize(
        ("more", "places"),
        [
            # Nothing but what stands in the file: no default is blamed for a broken field.
            ({"cv": 1}, ["cv"]),
            ({"data": None}, ["data"]),
            ({"data": 3, "cv": "GroupKFold"}, ["data"]),
            ({"estimator": 3}, ["estimator"]),
            ({"estimator": {"$type": "DBSCAN"}, "search": {"space": {"eps": [1.0]}},
              "scorring": "accuracy"}, ["scorring"]),
            ({"cv": 1, "scoring": ["accuracy", "f1_macro"]}, ["cv", "refit"]),
            ({"priority": "x", "estimator": {"$type": "SVC", "memory": "m"}},
             ["priority", "estimator.memory"]),
            # The space is looked at even when the rest of the search is broken.
            ({"search": {"n_itr": 3, "space": {"gama": [1]}}},
             ["search.n_itr", "search.n_itr", "search.space.gama"]),
            ({"search": {"space": {"C": {"$uniform": [0, 1]}, "gama": [1]}}},
             ["search.space.C", "search.space.gama"]),
            ({"search": {"strategy": "halving_grid", "space": {"C": [1]}},
              "scoring": ["acuracy", "f1_macro"]}, ["scoring", "scoring[0]"]),
        ],
    )  # fmt: skip
    def test_nothing_is_made_up_and_nothing_told_twice(self, more, places):
        good = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1]}}}
        problems = _problems(json.dumps(good | more).encode(), "a.json")
        assert [p.where for p in problems] == places

    def test_a_missing_part_hides_no_other(self):
        assert [p.where for p in _problems(b"estimator: SVCC\ncv: 3\n", "a.yaml")] == [
            "data", "search", "estimator",
        ]  # fmt: skip

    def test_nothing_is_left_for_a_second_round(self):
        told = {(p.line, p.where) for p in _problems(SLIPS, "a.yaml")}
        assert told == {
            (1, "data.loader"),
            (1, "data.n_class"),
            (5, "estimator.steps[0][1].with_men"),
            (6, "estimator.steps[1][1]"),
            (7, "estimator.steps[2][1].kernal"),
            (8, "search.factor"),
            (9, "search.grid"),
            (11, "search.grid.last__gama"),
            (12, "search.grid.scale__with_men"),
            (13, "search.grid.nobody__C"),
            (15, "refit"),
            (16, "retry.attempts"),
            (16, "retry.on[0]"),
        }

    def test_a_refit_that_is_left_out_is_told_where_the_scoring_stands(self):
        text = YAML.replace(b"null", b"1") + b"scoring: [accuracy, f1_macro]\n"
        (problem,) = _problems(text, "a.yaml")
        assert (problem.where, problem.line) == ("refit", 12)


def _problems(data, name):
    try:
        return examine(data, name, Settings.load("no-such-spool"))[1]
    except InvalidJob as refused:
        return refused.problems


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="ab:-[]{}&*!|>'\"#%?, \n\t~1.e$<=\\", max_size=200).map(str.encode),
)


@given(HOSTILE, st.sampled_from(SUFFIXES))
@settings(max_examples=150, deadline=None)
def test_whatever_the_bytes_are_only_a_refusal_is_raised(data, suffix):
    problems = _problems(data, "a" + suffix)
    json.dumps([problem.to_dict() for problem in problems])
    assert all(str(problem) for problem in problems)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_good_file_with_a_slip_of_the_pen(data):
    """Cut, doubled or swapped pieces of a good file are taken or refused, never more."""
    pieces = re.split(rb"(\W)", YAML)
    i = data.draw(st.integers(0, len(pieces) - 1))
    pieces[i : i + 1] = data.draw(
        st.sampled_from([[], [pieces[i]] * 2, [b"3"], [b"x"], [b"[]"], [b"$type"], [b"null"]])
    )
    assert all(problem.message for problem in _problems(b"".join(pieces), "a.yaml"))


def _examples():
    page = (ROOT / "docs" / "job-file.md").read_text()
    found = re.findall(r"```(yaml|json|toml)\n(.*?)```", page, re.DOTALL)
    return [pytest.param(kind, text, id=f"{i}-{kind}") for i, (kind, text) in enumerate(found)]


@pytest.mark.parametrize(("kind", "text"), _examples())
def test_every_example_of_the_reference_works(kind, text):
    """A whole job stands for itself; a fragment is put into a whole job."""
    if kind == "toml" and "[limits]" in text:
        pytest.skip("settings, not a job")
    if kind == "yaml":
        document, _ = read_yaml(text)
        whole, _ = read_yaml(FRAME)
        if "svc__C" in text or "estimator" in document:
            whole.pop("cv")
        merged = {**whole, **document}
        text, kind = json.dumps(_plain(merged)), "json"
    _, warnings = examine(text.encode(), f"example.{kind}", Settings.load("no-such-spool"))
    assert warnings == []


FRAME = """\
data: {file: train.csv, target: survived, groups: passenger}
estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [svc, SVC]]}
search: {space: {svc__C: [1]}}
cv: 5
"""


def _plain(value):
    """Spell what JSON lacks, as a reader of YAML leaves it."""
    if isinstance(value, dict):
        if any(not isinstance(key, str) for key in value):
            return {"$dict": [[key, _plain(item)] for key, item in value.items()]}
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.*ml")), ids=lambda p: p.name)
def test_the_shipped_examples_are_valid(path):
    _, warnings = examine(path.read_bytes(), path.name, Settings.load("no-such-spool"))
    assert warnings == []
