"""`foldq validate` fits once, and warns of what would fail in every fold."""

import pytest

from schemas.settings import Settings
from service.commands.validation import judge
from workers import trial

FORM = "data: {{{data}}}\nestimator: {estimator}\nsearch: {{space: {{{space}}}}}\ncv: 3\n"
TREE = "{$type: DecisionTreeClassifier, random_state: 0}"


@pytest.fixture
def warned(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [f"{i},{'' if i == 4 else i},{'red' if i % 2 else 'blue'},{i % 2}" for i in range(12)]
    (tmp_path / "data" / "t.csv").write_text("\n".join(["a,holes,colour,y", *rows]))

    def warned(data, estimator, space):
        path = tmp_path / "job.yaml"
        path.write_text(FORM.format(data=data, estimator=estimator, space=space))
        verdict = judge(path, Settings.load(tmp_path), data=True)
        assert verdict.is_valid, "it is never refused for that"
        return list(verdict.problems)

    return warned


def test_text_columns_are_told_with_their_names_and_the_way_out(warned):
    (warning,) = warned("file: t.csv, target: y, features: [a, colour]", "SVC", "C: [1]")
    assert (warning.where, warning.line) == ("estimator", 2)
    assert "could not convert string to float" in warning.message
    assert "No numbers are in: colour." in warning.hint
    assert "OneHotEncoder" in warning.hint


def test_missing_values_are_told_where_the_estimator_takes_none(warned):
    holes = "file: t.csv, target: y, features: [a, holes]"
    (warning,) = warned(holes, "SVC", "C: [1]")
    assert "SimpleImputer" in warning.hint
    assert warned(holes, TREE, "max_depth: [2]") == []


def test_the_space_has_its_say_in_what_is_tried(warned):
    pipeline = "{$type: Pipeline, steps: [[fill, passthrough], [svc, SVC]]}"
    holes = "file: t.csv, target: y, features: [a, holes]"
    assert warned(holes, pipeline, "fill: [SimpleImputer]") == []


def test_few_rows_may_fail_for_being_few(warned):
    data = "make: classification, params: {n_samples: 600, n_features: 250, random_state: 0}"
    assert warned(data, "{$type: PCA, n_components: 220}", "whiten: [true]") == []


def test_a_fit_that_takes_long_is_left_to_the_engines(warned, monkeypatch):
    monkeypatch.setattr(trial, "PATIENCE", 0.05)
    slow = "{$type: RandomForestClassifier, n_estimators: 100000}"
    assert warned("loader: iris", slow, "max_depth: [1]") == []
