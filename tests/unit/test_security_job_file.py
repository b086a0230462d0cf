"""Attacks on docs/security.md: a job file is data (S1 to S12)."""

import itertools
import json
import os
import socket
import sys

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.problems import InvalidJob
from schemas.sections import Limits
from schemas.settings import Settings
from service import jobfile, spool
from service.jobfile import examine, read_job_file
from service.spool import Admitted, Intake, Refused
from service.store import Store
from workers import names

GOOD = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1]}}}
PIPELINE = {"$type": "Pipeline", "steps": [["scale", "StandardScaler"], ["svc", "SVC"]]}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings.load(tmp_path_factory.mktemp("spool"))


def job(**changes):
    return json.dumps({**GOOD, **changes}).encode()


def refused(data, settings, name="job.json"):
    with pytest.raises(InvalidJob) as invalid:
        examine(data, name, settings)
    return "\n".join(str(problem) for problem in invalid.value.problems if problem.is_error)


def everywhere(param, value):
    """The parameter in each place of a job file that can hold one, searches within searches too."""
    alone = {"$type": "Pipeline", "steps": PIPELINE["steps"], param: value}
    inner = {"$type": "GridSearchCV", "estimator": PIPELINE, "param_grid": {"svc__C": [1]}}
    middle = {"$type": "GridSearchCV", "estimator": inner, "param_grid": {"cv": [2]}}
    sneaking = {param: [value]}
    yield {"estimator": alone, "search": {"space": {"svc__C": [1]}}}
    yield {"estimator": PIPELINE, "search": {"space": {param: [value]}}}
    yield {"estimator": PIPELINE, "search": {"space": [{"svc__C": [1]}, {param: [value, None]}]}}
    yield {
        "estimator": {"$type": "BaggingClassifier", "estimator": "SVC"},
        "search": {"space": {"estimator": ["SVC", alone]}},
    }
    for space in (sneaking, [sneaking], {"param_grid": [sneaking]}, {"param_grid": [[sneaking]]},
                  {"estimator__param_grid": [{"estimator__" + param: [value]}]}):  # fmt: skip
        yield {"estimator": {**middle, "param_grid": space}, "search": {"space": {"cv": [2]}}}
        yield {"estimator": middle, "search": {"space": {"param_grid": [space]}}}
        yield {"estimator": middle, "search": {"space": {"estimator__param_grid": [space]}}}


class TestS1:
    @pytest.fixture
    def disguised(self, tmp_path):
        """Everything that is not a file of its own, called as one."""
        secret = tmp_path / "secret"
        secret.write_bytes(job())
        made = {}
        for kind in ("link", "dangling", "hard", "pipe", "socket", "directory", "device"):
            made[kind] = tmp_path / f"{kind}.json"
        made["link"].symlink_to(secret)
        made["dangling"].symlink_to(tmp_path / "nothing")
        made["hard"].hardlink_to(secret)
        os.mkfifo(made["pipe"])
        made["directory"].mkdir()
        made["device"].symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(made["socket"]))
            yield made

    def test_s1_nothing_but_a_file_of_its_own_is_read(self, disguised):
        for path in disguised.values():
            with pytest.raises(InvalidJob):
                read_job_file(path)

    def test_s1_a_mebibyte_and_not_a_byte_more(self, tmp_path, settings):
        data = job() + b" " * (2**20 - len(job()))
        path = tmp_path / "job.json"
        path.write_bytes(data)
        assert examine(read_job_file(path), "job.json", settings)[1] == []
        path.write_bytes(data + b" ")
        with pytest.raises(InvalidJob, match="larger than the 1,048,576 bytes"):
            read_job_file(path)


@pytest.fixture
def intake(tmp_path):
    settings = Settings.load(tmp_path / "spool")
    spool.make_directories(settings.spool)
    store = Store(settings.database_path)
    yield Intake(settings, store)
    store.close()


def test_s2_a_file_that_changes_after_it_was_read_changes_nothing(intake, tmp_path, monkeypatch):
    path = tmp_path / "spool" / "incoming" / "job.json"
    path.write_bytes(job())
    read = jobfile.read_job_file

    def read_and_swap(path, *sizes):
        data = read(path, *sizes)
        path.write_bytes(job(estimator={"$type": "SVC", "C": 666}))
        return data

    monkeypatch.setattr(jobfile, "read_job_file", read_and_swap)
    taken = intake.take("job.json", 0.0)
    assert isinstance(taken, Admitted)
    [(data, spec)] = intake._store.connection.execute("SELECT file_bytes, spec FROM job")
    assert data == job()
    assert "666" not in spec


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.yaml", "data: !!python/object/apply:os.system ['true']"),
        ("job.yaml", "data: !!python/name:os.system"),
        ("job.yaml", "data: !<tag:yaml.org,2002:python/object/new:os.system> [x]"),
        ("job.yaml", "data: !!binary aGk="),
        ("job.yaml", "data: !!set {a, b}"),
        ("job.yaml", "%TAG ! tag:yaml.org,2002:python/\n---\ndata: !name:os.system"),
        ("job.yaml", "data: &a [*a]"),
        ("job.yaml", BOMB),
        ("job.yaml", "x: &x {a: [" + "1, " * 999 + "1]}\nb: [" + "{<<: *x}, " * 30 + "]"),
        ("job.yaml", "a: [" + "1," * 20_001 + "]"),
        ("job.json", '{"a": [' + "1," * 20_001 + "1]}"),
        ("job.toml", "a = [" + "1," * 20_001 + "]"),
        ("job.yaml", "a: " + "[" * 65 + "]" * 65),
        ("job.json", '{"a": ' + "[" * 65 + "]" * 65 + "}"),
        ("job.toml", "a = " + "[" * 65 + "]" * 65),
    ],
)
def test_s3_no_tag_no_bomb_no_abyss(name, text, settings):
    told = refused(text.encode(), settings, name)
    assert any(word in told for word in ("tag", "within itself", "20,000 values", "64 deep")), told


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from([*GOOD, "$type", "space", "steps"]), inner)
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps({**GOOD, "estimator": value}).encode()),
    ),
    suffix=st.sampled_from([".json", ".yaml", ".toml", ".exe", ""]),
)
def test_s4_whatever_lies_there_is_a_job_or_refused(intake, data, suffix):
    n = sum(len(files) for _, _, files in os.walk(intake._spool))
    path = intake._spool / "incoming" / f"file-{n}{suffix}"
    path.write_bytes(data)
    assert isinstance(intake.take(path.name, 0.0), Admitted | Refused)
    assert not path.exists()


ESCAPE = "\x1b]0;owned\x07"


@pytest.mark.parametrize("evil", [ESCAPE, "\x00", "\x7f", "\x9b31m", "a\rb"], ids=ascii)
def test_s5_no_text_of_a_job_file_holds_a_control_character(evil, settings):
    inner = {"$type": "SimpleImputer", "fill_value": evil}
    changes = (
        {"estimator": inner},
        {"estimator": "SimpleImputer", "search": {"space": {"fill_value": ["a", evil]}}},
        {"estimator": {"$type": "SVC", "class_weight": {evil: 1}}},
        {"scoring": {evil: "accuracy"}, "refit": False},
        {"name": evil},
        {"tags": [evil]},
        {"data": {"file": f"{evil}.csv"}},
        {"data": {"file": "a.csv", "target": evil}},
        {"retry": {"on": [evil]}},
        {evil: 1},
    )
    for change in changes:
        assert evil not in refused(job(**change), settings)
    yaml = b'data: {loader: iris}\nestimator: {$type: SVC, kernel: "\\e[31m"}\nsearch: {space: {}}'
    assert "line 2" in refused(yaml, settings, "job.yaml")


@pytest.mark.parametrize("name", ["a\u202eb", "a\nb", "a\u200bb", "\ud800", "a/b", "..", " a"])
def test_s5_names_are_printable(name, settings):
    refused(job(name=name), settings)
    if name not in ("a/b", "..", " a"):
        refused(job(tags=[name]), settings)
        refused(job(scoring={name: "accuracy"}, refit=False), settings)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that says when it is imported."""
    (tmp_path / "trapmodule.py").write_text("raise SystemExit('imported')\nclass Trap: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "trapmodule", "trapmodule.Trap", "trapmodule:Trap", "os.system", "builtins.eval", "eval",
        "__import__", "sklearn.svm.SVC", "sklearn.preprocessing.FunctionTransformer", "SVC.fit",
        "subprocess.Popen", "Settings", "", "../trapmodule",
    ],
)  # fmt: skip
def test_s6_no_name_leads_out_of_the_list(name, trap, settings):
    before = set(sys.modules)
    for changes in (
        {"estimator": name},
        {"estimator": {"$type": name}},
        {"estimator": PIPELINE, "search": {"space": {"svc": [{"$type": name}]}}},
        {"estimator": {"$type": "SelectKBest", "score_func": {"$function": name}}},
        {"estimator": {"$type": "OneHotEncoder", "dtype": {"$dtype": name}}},
        {"cv": {"$type": name}},
        {"scoring": name or "-"},
        {"data": {"loader": name or "-"}},
        {"data": {"make": name or "-"}},
    ):
        refused(job(**changes), settings)
    assert "trapmodule" not in set(sys.modules) - before


@pytest.mark.parametrize("spelling", [{"$function": "f_classif"}, "os.system", {"$type": "SVC"}])
def test_s7_functions_stand_in_two_places_only(spelling, settings):
    for kind, param in (
        ("TransformedTargetRegressor", "func"),
        ("TransformedTargetRegressor", "inverse_func"),
        ("CountVectorizer", "tokenizer"),
        ("CountVectorizer", "preprocessor"),
        ("KNeighborsClassifier", "weights"),
        ("KNeighborsClassifier", "metric"),
        ("SVC", "kernel"),
        ("RFE", "importance_getter"),
        ("GridSearchCV", "refit"),
        ("ColumnTransformer", "verbose_feature_names_out"),
    ):
        if spelling == "os.system" and param in ("importance_getter", "refit"):
            continue  # a path of attributes, a name of a metric: words there
        if spelling == "os.system" and param == "verbose_feature_names_out":
            continue  # a pattern
        needed = {
            "RFE": {"estimator": "SVC"},
            "GridSearchCV": {"estimator": "SVC", "param_grid": {"C": [1]}},
            "ColumnTransformer": {"transformers": [["a", "PCA", [0]]]},
        }.get(kind, {})
        model = {"$type": kind, **needed, param: spelling}
        assert param in refused(job(estimator=model), settings)


def test_s7_the_listed_functions_are_ten_and_touch_nothing():
    assert len(names.FUNCTIONS) == 10
    assert set(names.FUNCTIONS.values()) == {"sklearn.feature_selection", "numpy"}


def test_s7_the_transformer_of_functions_is_refused_wherever_it_stands(settings):
    for value in ("FunctionTransformer", {"$type": "FunctionTransformer"}):
        for changes in everywhere("steps", [["scale", value], ["svc", "SVC"]]):
            assert "FunctionTransformer" in refused(job(**changes), settings)
        for changes in everywhere("scale", value):
            refused(job(**changes), settings)


def test_s8_no_directory_of_pickles_is_named_anywhere(settings, tmp_path):
    for changes in everywhere("memory", str(tmp_path)):
        assert "memory= makes scikit-learn load" in refused(job(**changes), settings), changes


def test_s9_vectorisers_read_no_files(settings):
    for kind in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        for how in ("filename", "file"):
            words = {"$type": "Pipeline", "steps": [["words", kind], ["clf", "SGDClassifier"]]}
            told = refused(job(estimator={"$type": kind, "input": how}), settings)
            assert "Files named in the data are not read" in told
            space = {"space": {"words__input": ["content", how]}}
            assert "not read" in refused(job(estimator=words, search=space), settings)
            inner = {"$type": "GridSearchCV", "estimator": words, "param_grid": {"cv": [2]}}
            space = {"space": {"param_grid": [{"param_grid": [{"words__input": [how]}]}]}}
            outer = {"$type": "GridSearchCV", "estimator": inner, "param_grid": {"cv": [2]}}
            assert "not read" in refused(job(estimator=outer, search=space), settings)


@pytest.mark.parametrize("value", [2, -1, 0, "2", "-1", 2.0, {"$float": "inf"}, [2], True])
def test_s10_no_spelling_of_n_jobs_gets_past_the_cap(value, settings):
    forest = {"$type": "RandomForestClassifier", "n_jobs": value}
    union = {"$type": "FeatureUnion", "transformer_list": [["a", "PCA"]], "n_jobs": value}
    both = {"$type": "Pipeline", "steps": [["union", union], ["forest", forest]]}
    told = refused(job(estimator=both), settings)
    assert told.count("n_jobs is capped") == 2
    for changes in everywhere("svc__n_jobs", value):
        assert "n_jobs" in refused(job(**changes), settings)
    at_random = {"strategy": "random", "n_iter": 2, "space": {"n_jobs": {"$randint": [1, 9]}}}
    model = {"$type": "RandomForestClassifier"}
    assert "n_jobs is capped" in refused(job(estimator=model, search=at_random), settings)


def test_s10_the_operator_decides_on_the_cap(settings):
    two = settings.model_copy(update={"limits": Limits(n_jobs=2)})
    forest = {"$type": "RandomForestClassifier", "n_jobs": 2}
    search = {"space": {"max_depth": [1]}}
    assert examine(job(estimator=forest, search=search), "job.json", two)[1] == []


@pytest.mark.parametrize(
    "data",
    [
        {"loader": "fetch_openml"}, {"loader": "openml"}, {"loader": "fetch_california_housing"},
        {"loader": "files", "params": {"container_path": "/"}}, {"loader": "svmlight_file"},
        {"loader": "sample_images"}, {"make": "fetch_kddcup99"},
        {"loader": "digits", "params": {"return_X_y": True}},
    ],
)  # fmt: skip
def test_s11_no_loader_goes_out(data, settings):
    refused(job(data=data), settings)


@pytest.mark.parametrize("url", ["http://[::1]/x.csv", "s3://bucket/x.parquet", "file:///x.csv"])
def test_s11_a_url_is_a_file_that_is_not_there(url, settings, monkeypatch):
    from workers.datafiles import open_data_file

    def no_network(*_):
        raise AssertionError("somebody goes out")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    (settings.spool / "data").mkdir(exist_ok=True)
    with (
        pytest.raises(InvalidJob, match=r"no file|outside"),
        open_data_file(url, settings.all_data_roots),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": {"space": {"C": {"$linspace": [1, 2, 1001]}, "gamma": {"$range": [1, 1001]}}}},
         "more than the 1,000,000"),
        ({"search": {"space": {"C": {"$range": [1, 900_000]}}}, "cv": 6}, "5,000,000 fits"),
        ({"search": {"strategy": "random", "n_iter": 10**7, "space": {"C": {"$uniform": [1, 2]}}}},
         "more than the 1,000,000"),
        ({"data": {"make": "blobs", "params": {"n_samples": 10**8}}}, "at most 50,000,000"),
        ({"data": {"make": "spd_matrix", "params": {"n_dim": 10**5}}}, "at most 50,000,000"),
        ({"data": {"make": "regression", "params": {"n_targets": 10**7}}}, "at most 50,000,000"),
        ({"cv": 10**6}, "too many folds"),
        ({"cv": {"$type": "RepeatedKFold", "n_repeats": 10**9}}, "larger than any"),
        ({"estimator": {"$type": "RandomForestClassifier", "n_estimators": 10**9}}, "larger than"),
        ({"estimator": {"$type": "MLPClassifier", "hidden_layer_sizes": [10**9]}}, "larger than"),
        ({"estimator": {"$type": "HashingVectorizer", "n_features": 2**40}}, "larger than"),
    ],
)  # fmt: skip
def test_s12_what_is_too_large_is_refused(changes, words, settings):
    assert words in refused(job(**changes), settings)


def test_s12_ranges_are_counted_before_any_is_made(settings, monkeypatch):
    """Each of these files is 3 kB long and stood for gigabytes."""
    from schemas import values

    def never(value):
        raise AssertionError(f"{value} was listed")

    many = [{"$linspace": [0, 1, 1_000_000]}] * 40
    steps = [[f"nb{i}", {"$type": "GaussianNB", "priors": one}] for i, one in enumerate(many)]
    voting = {"$type": "VotingClassifier", "estimators": [["a", "SVC"]], "weights": many}
    grids = [{"C": one} for one in many]
    inner = {"$type": "GridSearchCV", "estimator": "SVC", "param_grid": grids}
    with monkeypatch.context() as patch:
        for module in ("schemas.values", "workers.forbidden", "workers.spacecheck"):
            place = sys.modules.get(module)
            if place is not None and hasattr(place, "expand"):
                patch.setattr(place, "expand", never)
        for changes in (
            {"estimator": {"$type": "Pipeline", "steps": steps}},
            {"estimator": voting},
            {"estimator": inner},
            {"search": {"space": grids}},
            {"estimator": voting, "cv": 1},  # a mistake elsewhere opens no door
            {"data": {"make": "blobs", "params": {"centers": many}}},
        ):
            assert "stand for 40,000,000 numbers" in refused(job(**changes), settings)
    assert values.expand({"$range": 3}) == [0, 1, 2]


def test_s12_a_space_with_a_thousand_steps_is_looked_at_once(settings, monkeypatch):
    """Every key asked the whole pipeline for its parameters: minutes, in the scheduler."""
    from sklearn.pipeline import Pipeline

    asked = itertools.count()
    get_params = Pipeline.get_params

    def counted(self, deep=True):
        next(asked)
        return get_params(self, deep)

    monkeypatch.setattr(Pipeline, "get_params", counted)
    steps = [[f"s{i}", "StandardScaler"] for i in range(50)]
    alternatives = [{"$type": "Pipeline", "steps": steps} for _ in range(3)]
    space = {"model": alternatives, **{f"model__s{i}__with_std": [True] for i in range(50)}}
    model = {"$type": "Pipeline", "steps": [["model", "SVC"]]}
    examine(job(estimator=model, search={"space": space}), "job.json", settings)
    assert next(asked) < 50
