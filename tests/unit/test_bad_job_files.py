"""Every kind of bad job file is refused with the place, the reason and the nearest valid name."""

import os

import pytest
from ruamel.yaml import YAML

from schemas.problems import InvalidJob
from schemas.settings import Settings
from service.jobfile import examine, parse, read_job_file

GOOD = """\
data: {loader: iris}
estimator:
  $type: Pipeline
  steps:
    - [scale, StandardScaler]
    - [svc, {$type: SVC, kernel: rbf}]
search:
  space: {svc__C: [1, 10]}
"""
OTHER_DATA = GOOD.split("\n", 1)[1]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings.load(tmp_path_factory.mktemp("spool"))


def refused(text, settings, name="job.yaml"):
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidJob) as invalid:
        examine(data, name, settings)
    assert all(str(problem) for problem in invalid.value.problems)
    return invalid.value.problems


def swapped(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def with_search(text):
    return GOOD.split("search:")[0] + "search: " + text + "\n"


def with_estimator(text):
    return f"data: {{loader: iris}}\nestimator: {text}\nsearch: {{space: {{a: [1]}}}}\n"


# --- not readable at all ---------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param("", "", "empty", id="empty"),
        pytest.param("  \n\n", "", "empty", id="blank"),
        pytest.param("# nothing\n", "", "a mapping of keys", id="comment only"),
        pytest.param("[1, 2]", "", "a mapping of keys", id="a list"),
        pytest.param("hello", "", "a mapping of keys", id="a word"),
        pytest.param("3: x", "", "keys of a job file are words", id="a number as key"),
        pytest.param("data: {loader: iris", "line 1, column", "not valid YAML", id="broken YAML"),
        pytest.param("data:\n\t- x", "line 2, column 1", "spaces, not with tabs", id="tabs"),
        pytest.param("cv:5\na: b", "line 2", "write cv: 5", id="no space"),
        pytest.param("a: b: c", "line 1, column 5", "not valid YAML", id="two colons"),
        pytest.param(GOOD + "---\n" + GOOD, "line 9", "more than one document", id="documents"),
        pytest.param(GOOD + "data: {loader: wine}\n", "data", "stands twice", id="key twice"),
        pytest.param(BOMB, "line 5", "more than 20,000 values", id="alias bomb"),
        pytest.param("a: &a [*a]", "line 1, column 8", "within itself", id="alias of itself"),
        pytest.param("a: *b", "line 1, column 4", "no &b", id="alias of nothing"),
        pytest.param("a: " + "[" * 5000, "line 1", "64 deep", id="deep lists"),
        pytest.param("- " * 5000, "line 1", "64 deep", id="deep blocks"),
        pytest.param("a: [" + "1," * 30000 + "]", "line 1", "20,000 values", id="many values"),
        pytest.param("a: !" + "x" * 50_000, "", "without a space", id="long tag"),
        pytest.param("a: !!python/name:os.system", "line 1, column 4", "tag", id="Python tag"),
        pytest.param("a: !!binary aGk=", "line 1, column 4", "tag", id="binary tag"),
        pytest.param("? [a]\n: 1", "line 1, column 3", "a word or a number", id="list as key"),
        pytest.param("a: " + "9" * 5000, "line 1", "too many digits", id="endless number"),
        pytest.param("a: 1e999", "line 1", "too large", id="overflow"),
        pytest.param('a: "\\UFFFFFFFF"', "", "not valid YAML", id="no such character"),
        pytest.param("a: \x07", "", "not valid YAML", id="control character"),
        pytest.param(b"a: \xff\xfe", "line 1", "not in UTF-8", id="not UTF-8"),
        pytest.param(GOOD.encode("utf-16"), "line 1", "not in UTF-8", id="UTF-16"),
        pytest.param(b"a: b\nc: \0", "line 2", "NUL", id="NUL byte"),
        pytest.param(b"#" * (2 << 20), "", "larger than the 1,048,576 bytes", id="2 MiB"),
    ],
)
def test_what_cannot_be_read(text, place, words, settings):
    problem = refused(text, settings)[0]
    assert problem.where.startswith(place)
    assert words in str(problem)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("job.ini", "a=1", "one of .yaml, .yml, .json, .toml"),
        ("job", "a: 1", "suffix"),
        ("job.ymal", GOOD, "Did you mean .yaml?"),
        ("job.json", "{'a': 1}", "line 1, column 2"),
        ("job.json", '{"a": NaN}', '{"$float": "nan"}'),
        ("job.json", '{"a": {"b": 1, "b": 2}}', '"b" stands twice'),
        ("job.json", "[" * 100_000, "deep"),
        ("job.json", '{"a": 1e999}', "too large"),
        ("job.json", '{"a": ' + "9" * 5000 + "}", "too many digits"),
        ("job.json", "[" + "1," * 30000 + "1]", "20,000 values"),
        ("job.json", '{"a": "\\ud800"}', 'no key "a"'),
        ("job.toml", "a = ", "not valid TOML"),
        ("job.toml", "a = 1\na = 2", "line 2"),
        ("job.toml", ".".join("a" * 100_000) + " = 1", "deep"),
        ("job.toml", '"a,".' * 100_000 + "b = 1", "deep"),
        ("job.toml", '# """\n' + "a." * 50_000 + 'b = 1\n# """', "deep"),
        ("job.toml", "a = " + "[" * 100_000, "deep"),
        ("job.toml", '"\\' * 100_000, "not valid TOML"),
    ],
)
def test_what_cannot_be_read_in_other_formats(name, text, words, settings):
    assert words in str(refused(text, settings, name)[0])


# --- wrong in form -----------------------------------------------------------------------------

FORM = {
    "unknown key": (GOOD + "scorring: accuracy\n", "scorring", "Did you mean scoring?"),
    "unknown key of the search": (with_search("{strategy: random, space: {a: [1]}, n_itr: 3}"),
                                  "search.n_itr", "Did you mean n_iter?"),
    "unknown key of the data": ("data: {file: a.csv, targt: y}\n" + OTHER_DATA, "data.targt",
                                "Did you mean target?"),
    "no data": (OTHER_DATA, "data", "data is missing"),
    "no kind of data": ("data: {lodaer: iris}\n" + OTHER_DATA, "data.lodaer",
                        "Did you mean loader?"),
    "two kinds of data": ("data: {loader: iris, make: moons}\n" + OTHER_DATA, "data", "one place"),
    "data is a word": ("data: load_iris\n" + OTHER_DATA, "data", "Did you mean {loader: iris}?"),
    "data is a generator": ("data: moons\n" + OTHER_DATA, "data", "Did you mean {make: moons}?"),
    "data is a file": ("data: a.csv\n" + OTHER_DATA, "data",
                       "Did you mean {file: a.csv, target: COLUMN}?"),
    "another word for file": ("data: {csv: a.csv, target: y}\n" + OTHER_DATA, "data.csv",
                              "Did you mean file?"),
    "another word for target": ("data: {file: a.csv, label: y}\n" + OTHER_DATA, "data.label",
                                "Did you mean target?"),
    "a loader's parameter beside it": ("data: {loader: digits, n_class: 5}\n" + OTHER_DATA,
                                       "data.n_class", "params: {n_class: …}"),
    "scikit-learn's word for the space": (with_search("{param_grid: {svc__C: [1]}}"),
                                          "search.param_grid", "Did you mean space?"),
    "no space at all": (with_search("{svc__C: [1]}"), "search.svc__C", "{space: {svc__C: […]}}"),
    "a space without its search": (GOOD + "param_grid: {svc__C: [1]}\n", "param_grid",
                                   "search: {space: {…}}"),
    "a key of the file in the search": (with_search("{space: {svc__C: [1]}, cv: 5}"), "search.cv",
                                        "stands beside search"),
    "search is a word": (with_search("grid"), "search", 'such as {"strategy": "grid"'),
    "n_jobs": (GOOD + "n_jobs: 4\n", "n_jobs", "foldq serve --engines N"),
    "folds as text": (GOOD + "cv: '5'\n", "cv", "Did you mean 5?"),
    "folds as a float": (GOOD + "cv: 5.0\n", "cv", "Did you mean 5?"),
    "a splitter without its name": (GOOD + "cv: {n_splits: 5}\n", "cv", "{$type: KFold,"),
    "yes": (GOOD + "return_train_score: yes\n", "return_train_score", "Did you mean true?"),
    "minutes written out": (GOOD + "timeout: 10 minutes\n", "timeout", "did you mean 10m?"),
    "a call of NumPy": (with_search("{space: {svc__C: 'np.logspace(0, 3, 4)'}}"),
                        "search.space.svc__C", "Did you mean {$logspace: [0, 3, 4]}?"),
    "values without brackets": (with_search("{space: {svc__C: '1, 10'}}"), "search.space.svc__C",
                                "Did you mean [1, 10]?"),
    "a mapping of the class": (with_estimator("{SVC: {C: 1}}"), "estimator",
                               "Did you mean {$type: SVC, C: 1}?"),
    "unknown kind of file": ("data: {file: a.xlsx}\n" + OTHER_DATA, "data.file", ".csv, .parquet"),
    "path leads upwards": ("data: {file: ../a.csv}\n" + OTHER_DATA, "data.file", "upwards"),
    "x of a table": ("data: {file: a.csv, x: X}\n" + OTHER_DATA, "data.x", "no meaning"),
    "a column with two roles": ("data: {file: a.csv, target: y, weights: y}\n" + OTHER_DATA,
                                "data.weights", "named by target already"),
    "a feature twice": ("data: {file: a.csv, features: [a, a]}\n" + OTHER_DATA, "data.features",
                        "twice"),
    "no $type": (with_estimator("{type: SVC}"), "estimator", "Did you mean $type?"),
    "an object with a key that is no word": (with_estimator("{$type: SVC, null: 1}"), "estimator",
                                             "keys are words"),
    "estimator is a list": (with_estimator("[SVC]"), "estimator", "an object is its name"),
    "unknown $ key": (with_search("{space: {svc__C: {$logspcae: [0, 1, 2]}}}"),
                      "search.space.svc__C.$logspcae", "Did you mean $logspace?"),
    "strategy is a list": (with_search("{strategy: [grid], space: {svc__C: [1]}}"),
                           "search.strategy", "one of grid, random"),
    "empty space": (with_search("{space: {}}"), "search.space", "empty"),
    "space is a word": (with_search("{space: all}"), "search.space", "mapping of parameter names"),
    "no values": (with_search("{space: {svc__C: []}}"), "search.space.svc__C", "empty"),
    "one value": (with_search("{space: {svc__C: 3}}"), "search.space.svc__C", "write [3]"),
    "absurd grid": (with_search("{space: {svc__C: {$linspace: [0, 1, 1000000000]}}}"),
                    "search.space.svc__C", "1,000,000,000 values"),
    "unknown strategy": (with_search("{strategy: gird, space: {a: [1]}}"), "search.strategy",
                         "Did you mean grid?"),
    "a distribution in a grid": (with_search("{space: {svc__C: {$uniform: [0, 1]}}}"),
                                 "search.space.svc__C", "strategy: random"),
    "n_iter in a grid": (with_search("{space: {svc__C: [1]}, n_iter: 3}"), "search.n_iter",
                         "It belongs to random"),
    "factor of one": (with_search("{strategy: halving_grid, space: {a: [1]}, factor: 1}"),
                      "search.factor", "above 1"),
    "both exhaust": (with_search("{strategy: halving_random, space: {a: [1]}, min_resources: "
                                 "exhaust}"), "search.n_candidates", "cannot both"),
    "min_resources in words": (with_search("{strategy: halving_grid, space: {a: [1]}, "
                                           "min_resources: smalest}"), "search.min_resources",
                               "Did you mean smallest?"),
    "zero folds": (GOOD + "cv: 0\n", "cv", "at least 2 folds"),
    "one fold": (GOOD + "cv: 1\n", "cv", "at least 2 folds"),
    "half a fold": (GOOD + "cv: 2.5\n", "cv", "number of folds"),
    "refit for several metrics": (GOOD + "scoring: [accuracy, f1_macro]\n", "refit",
                                  "refit: accuracy"),
    "refit of another metric": (GOOD + "scoring: [accuracy, f1_macro]\nrefit: acuracy\n", "refit",
                                "Did you mean accuracy?"),
    "one_se of several": (GOOD + "scoring: [accuracy, f1_macro]\nrefit: one_se\n", "refit",
                          "{one_se: accuracy}"),
    "several metrics in halving": (
        with_search("{strategy: halving_grid, space: {svc__C: [1]}}")
        + "scoring: [accuracy, f1]\nrefit: f1\n", "scoring", "one metric"),
    "a metric twice": (GOOD + "scoring: [accuracy, accuracy]\nrefit: accuracy\n", "scoring",
                       "twice"),
    "scoring is a number": (GOOD + "scoring: 3\n", "scoring", "name of a scorer"),
    "priority is text": (GOOD + "priority: high\n", "priority", "a whole number"),
    "priority is absurd": (GOOD + "priority: 99999999999\n", "priority", "up to 1000000"),
    "timeout is words": (GOOD + "timeout: soon\n", "timeout", "1h30m"),
    "timeout is nothing": (GOOD + "timeout: 0\n", "timeout", "no time"),
    "timeout is nothing, with a unit": (GOOD + "timeout: 0s\n", "timeout", "no time"),
    "unknown key of retry": (GOOD + "retry: {attemps: 3}\n", "retry.attemps", "attempts?"),
    "no attempts": (GOOD + "retry: {attempts: 0}\n", "retry.attempts", "from 1 up"),
    "error_score is a word": (GOOD + "error_score: zero\n", "error_score", "nan, raise"),
    "error_score is infinite": (GOOD + "error_score: .inf\n", "error_score", "finite"),
    "yes is not true": (GOOD + "return_train_score: yes\n", "return_train_score", "true or false"),
    "no engines": (GOOD + "max_engines: 0\n", "max_engines", "from 1 up"),
    "a tag with a line break": (GOOD + 'tags: ["a\\nb"]\n', "tags", "printable"),
    "a name with a slash": (GOOD + "name: a/b\n", "name", "without /"),
    "a long name": (GOOD + f"name: {'x' * 101}\n", "name", "1 to 100"),
    "a name with an escape": (GOOD + 'name: "a\\eb"\n', "name", "printable"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), FORM.values(), ids=FORM.keys())
def test_what_is_wrong_in_form(text, place, words, settings):
    problems = refused(text, settings)
    [problem] = [p for p in problems if p.where == place]
    assert words.lower() in str(problem).lower()


# --- wrong in meaning --------------------------------------------------------------------------

MEANING = {
    "a call": (with_estimator("SVC(kernel=rbf)"), "estimator", "without brackets"),
    "parameters apart": (with_estimator("{$type: SVC, params: {C: 1}}"), "estimator.params",
                         "beside $type"),
    "steps as a mapping": (with_estimator("{$type: Pipeline, steps: {scale: PCA, svc: SVC}}"),
                           "estimator.steps", "Write [[scale, PCA], [svc, SVC]]."),
    "steps without any names": (with_estimator("{$type: Pipeline, steps: [PCA, SVC]}"),
                                "estimator.steps[0]", "[NAME, PCA]"),
    "a step of another name": (with_search("{space: {model__C: [1]}}"), "search.space.model__C",
                               "one of the steps scale, svc. Did you mean svc__C?"),
    "a dot for the underscores": (with_search("{space: {svc.C: [1]}}"), "search.space.svc.C",
                                  "Did you mean svc__C?"),
    "numbers in quotes": (with_search("{space: {svc__C: ['1e-3']}}"), "search.space.svc__C",
                          "Without quotes it is a number."),
    "scorer as people say": (GOOD + "scoring: rmse\n", "scoring",
                             "Did you mean neg_root_mean_squared_error?"),
    "scorers without brackets": (GOOD + "scoring: accuracy, f1\n", "scoring",
                                 "Did you mean [accuracy, f1]?"),
    "unknown loader": ("data: {loader: digit}\n" + OTHER_DATA, "data.loader", "digits?"),
    "network loader": ("data: {loader: fetch_openml}\n" + OTHER_DATA, "data.loader", "no"),
    "loader of files": ("data: {loader: svmlight_file}\n" + OTHER_DATA, "data.loader", "file:"),
    "unknown generator": ("data: {make: clasification}\n" + OTHER_DATA, "data.make",
                          "Did you mean classification?"),
    "parameter of a loader": ("data: {loader: digits, params: {n_clas: 3}}\n" + OTHER_DATA,
                              "data.params.n_clas", "Did you mean n_class?"),
    "bad value for a generator": ("data: {make: moons, params: {noise: -1}}\n" + OTHER_DATA,
                                  "data.params.noise", "in the range"),
    "absurd data": ("data: {make: blobs, params: {n_samples: 1000000000}}\n" + OTHER_DATA,
                    "data.params", "at most"),
    "unknown estimator": (swapped("SVC", "SVCC"), "estimator.steps[1][1]", "Did you mean SVC?"),
    "unknown bare estimator": (swapped("StandardScaler", "StandarScaler"), "estimator.steps[0][1]",
                               "Did you mean StandardScaler?"),
    "dotted path": (with_estimator("os.system"), "estimator", "without their module"),
    "alias of a module": (with_estimator("{$type: logging.os.system, command: ls}"), "estimator",
                          "without their module"),
    "dunder": (with_estimator("__import__"), "estimator", "no estimator"),
    "a splitter as estimator": (with_estimator("KFold"), "estimator", "no estimator"),
    "a splitter as step": (swapped("StandardScaler", "{$type: KFold}"), "estimator.steps[0][1]",
                           "no estimator"),
    "unknown parameter": (swapped("kernel: rbf", "kernal: rbf"), "estimator.steps[1][1].kernal",
                          "Did you mean kernel?"),
    "bad word": (swapped("kernel: rbf", "kernel: rfb"), "estimator.steps[1][1].kernel",
                 "Did you mean rbf?"),
    "bad number": (swapped("kernel: rbf", "C: -1"), "estimator.steps[1][1].C", "in the range"),
    "missing parameter": (with_estimator("{$type: Pipeline}"), "estimator", "needs the parameter"),
    "steps without names": (swapped("[scale, StandardScaler]", "StandardScaler"),
                            "estimator.steps[0]", "[name, estimator]"),
    "two steps of one name": (swapped("[scale,", "[svc,"), "estimator.steps[1]", "same name"),
    "double underscore": (swapped("[scale,", "[sc__ale,"), "estimator.steps[0]", "underscore"),
    "memory": (swapped("$type: Pipeline", "$type: Pipeline\n  memory: /tmp/x"), "estimator.memory",
               "memory="),
    "FunctionTransformer": (swapped("StandardScaler", "FunctionTransformer"),
                            "estimator.steps[0][1]", "any function"),
    "FunctionTransformer in the space": (with_search("{space: {scale: [FunctionTransformer]}}"),
                                         "search.space.scale[0]", "any function"),
    "func": (with_estimator("{$type: TransformedTargetRegressor, func: {$function: mean}}"),
             "estimator.func", "functions cannot be given"),
    "tokenizer": (with_estimator("{$type: CountVectorizer, tokenizer: {$function: mean}}"),
                  "estimator.tokenizer", "takes no function"),
    "callable metric": (with_estimator("{$type: KNeighborsClassifier, metric: {$function: mean}}"),
                        "estimator.metric", "takes no function"),
    "unlisted function": (with_estimator("{$type: SelectKBest, score_func: {$function: eval}}"),
                          "estimator.score_func", "no function"),
    "unlisted dtype": (with_estimator("{$type: OneHotEncoder, dtype: {$dtype: flaot32}}"),
                       "estimator.dtype", "Did you mean float32?"),
    "file names": (with_estimator("{$type: TfidfVectorizer, input: filename}"), "estimator.input",
                   "not read"),
    "n_jobs": (with_estimator("{$type: RandomForestClassifier, n_jobs: -1}"), "estimator.n_jobs",
               "capped"),
    "n_jobs in the space": (with_search("{space: {svc__C: [1], n_jobs: [4]}}"),
                            "search.space.n_jobs", "no parameter"),
    "pre_dispatch": (with_estimator("{$type: GridSearchCV, estimator: SVC, param_grid: {C: [1]}, "
                                    "pre_dispatch: 9**9**9}"), "estimator.pre_dispatch",
                     "not computed"),
    "memory of an inner search": (
        with_estimator("{$type: GridSearchCV, estimator: {$type: Pipeline, steps: [[a, SVC]]}, "
                       "param_grid: {memory: [/tmp/x]}}"),
        "estimator.param_grid.memory", "memory=",
    ),
    "n_jobs of an inner search": (
        with_estimator("{$type: GridSearchCV, estimator: LogisticRegression, "
                       "param_grid: {n_jobs: {$range: [1, 9]}}}"),
        "estimator.param_grid.n_jobs", "capped",
    ),
    "an inner space in disguise": (
        with_estimator("{$type: GridSearchCV, estimator: SVC, "
                       "param_grid: {$dict: [[memory, [/tmp/x]]]}}"),
        "estimator.param_grid", "mapping of names",
    ),
    "an inner grid that is absurd": (
        with_estimator("{$type: GridSearchCV, estimator: SVC, param_grid: {C: {$range: [1, 999]},"
                       " gamma: {$linspace: [0.1, 1, 999]}}}"),
        "estimator.param_grid", "candidates for every fit",
    ),
    "an inner space in the space": (
        "data: {loader: iris}\nestimator: {$type: GridSearchCV, estimator: LogisticRegression, "
        "param_grid: {C: [1]}}\nsearch: {space: {param_grid: [{n_jobs: [-1]}]}}\n",
        "search.space.param_grid[0].n_jobs", "capped",
    ),
    "the last of many values": (
        "data: {loader: iris}\nestimator: LogisticRegression\n"
        f"search: {{space: {{n_jobs: [{'1, ' * 3000} -1]}}}}\n",
        "search.space.n_jobs[3000]", "capped",
    ),
    "n_jobs as the resource": (
        "data: {loader: iris}\nestimator: LogisticRegression\nsearch: {strategy: halving_grid, "
        "space: {C: [1, 2]}, resource: n_jobs, max_resources: 64}\n",
        "search.max_resources", "capped",
    ),
    "a million trees": (with_estimator("{$type: RandomForestClassifier, n_estimators: 1000000}"),
                        "estimator.n_estimators", "at most 100,000"),
    "a huge layer": (with_estimator("{$type: MLPClassifier, hidden_layer_sizes: [10000000]}"),
                     "estimator.hidden_layer_sizes", "at most 100,000"),
    "a huge draw": (with_search("{strategy: random, space: {svc__max_iter: {$randint: [1, "
                                "99999999999]}}}"), "search.space.svc__max_iter", "at most"),
    "unknown parameter in the space": (with_search("{space: {svc__c: [1]}}"),
                                       "search.space.svc__c", "Did you mean svc__C?"),
    "the step is missing": (with_search("{space: {C: [1]}}"), "search.space.C",
                            "Did you mean svc__C?"),
    "unknown estimator in the space": (with_search("{space: {svc: [LinearSCV]}}"),
                                       "search.space.svc[0]", "Did you mean LinearSVC?"),
    "parameter of no alternative": (with_search("{space: {svc: [LinearSVC], svc__lossy: [1]}}"),
                                    "search.space.svc__lossy", "no parameter"),
    "parameter of one alternative": (with_search("{space: {svc: [LinearSVC, "
                                                 "RandomForestClassifier], svc__C: [1]}}"),
                                     "search.space.svc__C", "one for each alternative"),
    "parameter of a skipped step": (with_search("{space: {scale: [PCA, passthrough], "
                                                "scale__n_components: [1]}}"),
                                    "search.space.scale__n_components", '"passthrough", which'),
    "every value is bad": (with_search("{space: {svc__C: [-1, -2]}}"), "search.space.svc__C",
                           "in the range"),
    "every draw is bad": (with_search("{strategy: random, space: {svc__C: {$uniform: [-2, -1]}}}"),
                          "search.space.svc__C", "in the range"),
    "too many candidates": (with_search("{space: {svc__C: {$range: [1, 2000]}, svc__gamma: "
                                        "{$linspace: [0.1, 1, 2000]}}}"), "search.space",
                            "3,998,000 candidates"),
    "unknown resource": (with_search("{strategy: halving_grid, space: {svc__C: [1]}, resource: "
                                     "max_iter, max_resources: 9}"), "search.resource",
                         "Did you mean svc__max_iter?"),
    "resource in the space": (with_search("{strategy: halving_grid, space: {svc__max_iter: [1]}, "
                                          "resource: svc__max_iter, max_resources: 9}"),
                              "search.resource", "too"),
    "unknown scorer": (GOOD + "scoring: acuracy\n", "scoring", "Did you mean accuracy?"),
    "a metric instead of a scorer": (GOOD + "scoring: mean_squared_error\n", "scoring",
                                     "neg_mean_squared_error?"),
    "unknown scorer in a mapping": (GOOD + "scoring: {a: accuracy, b: f1_mcro}\nrefit: a\n",
                                    "scoring.b", "f1_m"),
    "no score": (with_estimator("{$type: DBSCAN}").replace("a: [1]", "eps: [1]"), "scoring",
                 "no score"),
    "unknown splitter": (GOOD + "cv: StratifiedKfolds\n", "cv", "Did you mean StratifiedKFold?"),
    "parameter of a splitter": (GOOD + "cv: {$type: KFold, n_split: 3}\n", "cv.n_split",
                                "Did you mean n_splits?"),
    "one split": (GOOD + "cv: {$type: KFold, n_splits: 1}\n", "cv", "n_splits"),
    "no splits": (GOOD + "cv: {$type: ShuffleSplit, n_splits: 0}\n", "cv.n_splits", "needs splits"),
    "test_size": (GOOD + "cv: {$type: ShuffleSplit, test_size: 1.5}\n", "cv.test_size",
                  "between 0 and 1"),
    "seed without shuffle": (GOOD + "cv: {$type: KFold, random_state: 0}\n", "cv", "shuffle"),
    "no groups": (GOOD + "cv: GroupKFold\n", "cv", "groups"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), MEANING.values(), ids=MEANING.keys())
def test_what_is_wrong_in_meaning(text, place, words, settings):
    problems = refused(text, settings)
    found = [p for p in problems if p.where == place and p.is_error]
    assert found, [str(p) for p in problems]
    assert words.lower() in str(found[0]).lower()
    assert (found[0].line is not None) == (place.split(".")[0].split("[")[0] + ":" in text)


def test_all_problems_are_told_at_once_with_their_lines(settings):
    text = """\
data: {loader: digit}
estimator: {$type: SVC, kernel: rfb,
            memry: 1}
search:
  space:
    C: [1]
scoring: acuracy
cv: KFlod
"""
    problems = refused(text, settings)
    assert {(p.where, p.line) for p in problems} == {
        ("data.loader", 1),
        ("estimator.kernel", 2),
        ("estimator.memry", 3),
        ("scoring", 7),
        ("cv", 8),
    }


def test_all_problems_of_the_form_are_told_at_once(settings):
    text = GOOD + "scorring: a\ncv: 1\npriority: x\nretry: {attemps: 1, backoff: soon}\n"
    assert {p.where for p in refused(text, settings)} == {
        "scorring", "cv", "priority", "retry.attemps", "retry.backoff",
    }  # fmt: skip


def test_a_file_full_of_mistakes_tells_the_first(settings):
    text = GOOD + "".join(f"key{i}: 1\n" for i in range(5000))
    assert len(refused(text, settings)) == 100


def test_one_bad_value_among_good_ones_is_a_warning(settings):
    """As in GridSearchCV, the candidate fails and is scored error_score."""
    text = with_search("{space: {svc__C: [-1, 1], svc__kernel: [rbf, rfb]}}")
    _, warnings = examine(text.encode(), "job.yaml", settings)
    assert [p.where for p in warnings] == ["search.space.svc__C[0]", "search.space.svc__kernel[1]"]
    assert warnings[1].nearest == "rbf"
    assert all(p.severity == "warning" and "error_score" in str(p) for p in warnings)


def test_an_unusual_kind_of_error_is_a_warning(settings):
    text = GOOD + "retry: {on: [OSErorr, LightGBMError]}\n"
    _, [warning] = examine(text.encode(), "job.yaml", settings)
    assert (warning.where, warning.nearest) == ("retry.on[0]", "OSError")


def test_nothing_of_the_file_is_imported(settings, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("trap", "trap.Estimator"):
        refused(with_estimator(f"{{$type: {name}}}"), settings)
        refused(
            with_estimator(f"{{$type: SelectKBest, score_func: {{$function: {name}}}}}"), settings
        )


class TestFiles:
    """Only a regular file of its own is read."""

    def test_a_regular_file(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text(GOOD)
        assert read_job_file(path) == GOOD.encode()

    def test_a_file_that_is_too_large(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_bytes(b"#" * (2 << 20))
        with pytest.raises(InvalidJob, match="larger than"):
            read_job_file(path)

    def test_a_symlink(self, tmp_path):
        (tmp_path / "a.yaml").symlink_to("/etc/passwd")
        with pytest.raises(InvalidJob, match="symbolic link"):
            read_job_file(tmp_path / "a.yaml")

    def test_a_hard_link(self, tmp_path):
        (tmp_path / "b").write_text(GOOD)
        (tmp_path / "a.yaml").hardlink_to(tmp_path / "b")
        with pytest.raises(InvalidJob, match="hard links"):
            read_job_file(tmp_path / "a.yaml")

    def test_a_directory(self, tmp_path):
        with pytest.raises(InvalidJob, match="directory"):
            read_job_file(tmp_path)

    def test_a_fifo_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "a.yaml")
        with pytest.raises(InvalidJob, match="not a regular file"):
            read_job_file(tmp_path / "a.yaml")

    def test_a_file_that_is_gone(self, tmp_path):
        with pytest.raises(InvalidJob, match="No such file"):
            read_job_file(tmp_path / "a.yaml")


def test_the_table_starts_from_a_good_file(settings):
    assert YAML(typ="safe", pure=True).load(GOOD) is not None
    assert parse(GOOD.encode(), "a.yaml").name == "a"
    assert examine(GOOD.encode(), "a.yaml", settings)[1] == []
