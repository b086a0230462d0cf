"""Check what the names and values of a job mean, as far as that needs no data to be seen."""

import builtins
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

from pydantic import JsonValue

from schemas.data import FileData, LoaderData
from schemas.job import JobSpec
from schemas.problems import SHOWN, Problem, join, nearest, shown
from schemas.sections import Limits
from schemas.values import LISTINGS, grammar_key, size
from workers import forbidden, names
from workers.catalog import Catalog
from workers.objectcheck import (
    ObjectChecker,
    not_an_estimator,
    parameters_of,
    unknown_parameter,
)
from workers.spacecheck import resource_problems, space_problems

#: Most numbers that all $range, $linspace, … of one file stand for, together.
MAX_LISTED = 2_000_000

#: Splitters that keep the samples of a group together, and so need to be told the groups.
GROUP_SPLITTERS = frozenset(
    {
        "GroupKFold", "GroupShuffleSplit", "LeaveOneGroupOut", "LeavePGroupsOut",
        "StratifiedGroupKFold",
    }
)  # fmt: skip


def job_problems(
    catalog: Catalog, spec: JobSpec, limits: Limits, unsound: Collection[str] = frozenset()
) -> list[Problem]:
    """Return every problem that needs no data to be seen.

    Parameters
    ----------
    limits : Limits
        How much a job may ask for.
    unsound : collection of str
        Fields whose form is broken, as in `schemas.form.Form`: what needs them is not checked.
    """

    def sound(*fields: str) -> bool:
        return not any(field in unsound for field in fields)

    problems: list[Problem] = []
    estimator, estimator_is_whole = None, False
    if (too_many := _listing_problem(spec, sound)) is not None:
        return [too_many]  # not even once are they to be listed
    if sound("data.loader", "data.make", "data.file"):
        problems += _data_problems(catalog, spec, limits, sound)
    if sound("estimator"):
        estimator, found = _estimator(catalog, spec, limits)
        estimator_is_whole = not found
        problems += found
    if sound("search"):
        problems += _candidate_problems(spec, limits)
    if sound("search", "cv"):
        problems += _fit_problems(spec, limits)
    if estimator is not None and sound("search.space"):
        problems += space_problems(
            catalog, spec.search, estimator, limits, whole=estimator_is_whole
        )
    if estimator is not None and estimator_is_whole and sound("search"):
        problems += resource_problems(spec.search, estimator, limits)
    if estimator is not None and estimator_is_whole and sound("scoring"):
        problems += _score_problems(spec, estimator)
    if sound("cv"):
        problems += _cv_problems(catalog, spec, limits)
    if sound("cv", "data"):
        problems += _group_problems(spec)
    if sound("scoring"):
        problems += _scoring_problems(spec)
    if sound("retry.on"):
        problems += _retry_problems(spec)
    return problems


def _estimator(catalog: Catalog, spec: JobSpec, limits: Limits) -> tuple[Any, list[Problem]]:
    checker = ObjectChecker(catalog, limits)
    spelled = catalog.spell_out_object(spec.estimator)
    name = str(cast(dict[str, JsonValue], spelled)["$type"])
    if name in names.TYPES.keys() - catalog.estimator_names:
        valid = catalog.estimator_names
        return None, list(not_an_estimator(spelled, "estimator", valid))
    estimator = checker.built(spelled, "estimator")
    if estimator is None:
        return checker.built_without_faults(spelled, "estimator"), checker.problems
    if not hasattr(estimator, "fit"):
        checker.problems.append(Problem("estimator", f"{name} cannot be fitted.", given=name))
    return estimator, checker.problems


def _candidate_problems(spec: JobSpec, limits: Limits) -> Iterator[Problem]:
    n_candidates = spec.search.n_first_candidates
    if n_candidates is not None and n_candidates > limits.candidates:
        yield Problem(
            "search.space" if spec.search.strategy != "random" else "search.n_iter",
            f"The search has {n_candidates:,} candidates, more than the {limits.candidates:,} "
            "that one job may have.",
            given=f"{n_candidates:,}",
            expected=f"at most {limits.candidates:,}",
            hint="Try fewer values, or strategy: random with n_iter.",
        )


def _listing_problem(spec: JobSpec, sound: Callable[..., bool]) -> Problem | None:
    """Return the problem of a job whose ranges and spacings stand for too many numbers.

    Twenty bytes stand for a million numbers, and the scheduler lists them to look at them.
    """
    n_numbers = 0
    waiting: list[Any] = []
    if sound("estimator"):
        waiting.append(spec.estimator)
    if sound("search.space"):
        waiting.append(spec.search.space)
    if sound("cv"):
        waiting.append(spec.cv)
    if sound("data.loader", "data.make", "data.file", "data.params") and not isinstance(
        spec.data, FileData
    ):
        waiting.append(spec.data.params)
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if grammar_key(value) in LISTINGS:
                n_numbers += size(value) or 0
            else:
                waiting += value.values()
    if n_numbers <= MAX_LISTED:
        return None
    return Problem(
        "",
        f"The ranges and spacings of the file stand for {n_numbers:,} numbers.",
        expected=f"at most {MAX_LISTED:,} together",
        hint="Draw from a distribution: strategy: random with $uniform, $loguniform or $randint.",
    )


def _fit_problems(spec: JobSpec, limits: Limits) -> Iterator[Problem]:
    n_candidates = spec.search.n_first_candidates
    if n_candidates is None or n_candidates > limits.candidates:  # told already
        return
    if isinstance(spec.cv, int) and n_candidates * spec.cv > limits.fits:
        yield Problem(
            "search",
            f"{n_candidates:,} candidates on {spec.cv:,} splits are more than the "
            f"{limits.fits:,} fits that one job may have.",
            hint="Try fewer values, or fewer folds.",
        )


def _score_problems(spec: JobSpec, estimator: Any) -> Iterator[Problem]:
    if spec.scoring is None and hasattr(estimator, "fit") and not hasattr(estimator, "score"):
        yield Problem(
            "scoring",
            f"{type(estimator).__name__} has no score of its own.",
            hint="Name a scorer, for example scoring: accuracy.",
        )


def _scoring_problems(spec: JobSpec) -> Iterator[Problem]:
    from sklearn.metrics import get_scorer_names

    valid = get_scorer_names()
    scoring = spec.scoring
    named: dict[str, str] = {}
    if isinstance(scoring, str):
        named = {"scoring": scoring}
    elif isinstance(scoring, list):
        named = {f"scoring[{i}]": name for i, name in enumerate(scoring)}
    elif isinstance(scoring, dict):
        named = {f"scoring.{metric}": name for metric, name in scoring.items()}
    for where, name in named.items():
        if name not in valid:
            yield Problem(
                where,
                f"There is no scorer {shown(name)}.",
                given=name,
                expected="one of scikit-learn's scorer names, such as accuracy, f1_macro, roc_auc, "
                "r2 or neg_root_mean_squared_error",
                nearest=_meant_scorer(name, valid),
            )


#: What scorers are called in conversation, and in `sklearn.metrics`.
_SCORERS = {
    "acc": "accuracy", "auc": "roc_auc", "f1_score": "f1", "roc_auc_score": "roc_auc",
    "accuracy_score": "accuracy", "r2_score": "r2", "logloss": "neg_log_loss",
    "mse": "neg_mean_squared_error", "rmse": "neg_root_mean_squared_error",
    "mae": "neg_mean_absolute_error", "mape": "neg_mean_absolute_percentage_error",
}  # fmt: skip


def _meant_scorer(name: str, valid: Collection[str]) -> str | None:
    if "," in name and len(name) <= SHOWN:  # a list without its brackets
        return f"[{', '.join(part.strip() for part in name.split(','))}]"
    known = _SCORERS.get(name.casefold())
    return known or nearest(name, valid) or nearest(f"neg_{name}", valid)


def _cv_problems(catalog: Catalog, spec: JobSpec, limits: Limits) -> Iterator[Problem]:
    if isinstance(spec.cv, int):
        if spec.cv > forbidden.CEILINGS["n_splits"]:
            yield Problem("cv", "These are too many folds.", given=f"{spec.cv:,}")
        return
    spelled = cast(dict[str, JsonValue], catalog.spell_out_object(spec.cv))
    name = str(spelled["$type"])
    if name not in names.SPLITTERS:
        yield Problem(
            "cv",
            f"There is no splitter {shown(name)}.",
            given=name,
            expected="a number of folds such as 5, or one of " + ", ".join(names.SPLITTERS),
            nearest=nearest(name, names.SPLITTERS),
        )
        return
    checker = ObjectChecker(catalog, limits)
    splitter = checker.built(spelled, "cv")
    yield from checker.problems
    if splitter is not None:
        yield from _split_number_problems(spelled, splitter)


def _group_problems(spec: JobSpec) -> Iterator[Problem]:
    name = spec.cv["$type"] if isinstance(spec.cv, dict) else spec.cv
    if name in GROUP_SPLITTERS and not (isinstance(spec.data, FileData) and spec.data.groups):
        hint = (
            "Name the column of groups in data.groups."
            if isinstance(spec.data, FileData)
            else "Groups come from a column of a file: data: {file: …, groups: …}."
        )
        yield Problem("cv", f"{name} needs to know the groups of the samples.", hint=hint)


def _split_number_problems(spelled: dict[str, JsonValue], splitter: Any) -> Iterator[Problem]:
    """Yield what a splitter would find out about its own numbers only while splitting."""
    for param in ("test_size", "train_size"):
        size = spelled.get(param)
        if isinstance(size, str | bool | list | dict) or (
            isinstance(size, int | float)
            and not (0 < size < 1 if isinstance(size, float) else size >= 1)
        ):
            yield Problem(
                f"cv.{param}",
                f"{param} is a share of the samples or a number of them.",
                given=shown(size),
                expected="a number between 0 and 1, or a whole number from 1",
            )
    n_splits = spelled.get("n_splits")
    if n_splits is not None and not (isinstance(n_splits, int) and n_splits >= 1):
        yield Problem(
            "cv.n_splits",
            "A search needs splits.",
            given=shown(n_splits),
            expected="a whole number from 1",
        )
        return
    if spelled["$type"] in ("RepeatedKFold", "RepeatedStratifiedKFold"):
        try:
            splitter.get_n_splits()
        except (TypeError, ValueError) as error:
            yield Problem("cv", f"{spelled['$type']} does not take these parameters: {error}")


def _data_problems(
    catalog: Catalog, spec: JobSpec, limits: Limits, sound: Callable[..., bool]
) -> Iterator[Problem]:
    if isinstance(spec.data, FileData):
        return
    from workers.sources import GENERATORS, LOADERS

    if isinstance(spec.data, LoaderData):
        name, prefix, table, where = spec.data.loader, "load_", LOADERS, "data.loader"
    else:
        name, prefix, table, where = spec.data.make, "make_", GENERATORS, "data.make"
    function = table.get(name.removeprefix(prefix))
    if function is None:
        hint = None
        if name.startswith("fetch_") or name in ("files", "svmlight_file", "openml"):
            hint = "Data from elsewhere are given as a file: data: {file: …}."
        elif name.removeprefix("make_") in GENERATORS:
            hint = f"It is made, not loaded: data: {{make: {name.removeprefix('make_')}, …}}."
        elif name.removeprefix("load_") in LOADERS:
            hint = f"It is loaded, not made: data: {{loader: {name.removeprefix('load_')}, …}}."
        yield Problem(
            where,
            f"There is no {shown(name)} to get data from.",
            given=name,
            expected="one of " + ", ".join(table),
            nearest=nearest(name.removeprefix(prefix), table) if hint is None else None,
            hint=hint,
        )
        return
    if not sound("data.params"):
        return
    known = {
        param: spec
        for param, spec in (parameters_of(function) or {}).items()
        if param not in ("return_X_y", "coef", "return_centers", "return_distributions")
    }
    label = prefix + name.removeprefix(prefix)
    for param, value in spec.data.params.items():
        place = join("data.params", param)
        if param not in known:
            yield unknown_parameter(param, list(known), label, place)
            continue
        checker = ObjectChecker(catalog, limits)
        checker.check_value(function, label, param, value, place)
        yield from checker.problems
    for param, parameter in known.items():
        if parameter.default is parameter.empty and param not in spec.data.params:
            yield Problem("data.params", f"{label} needs the parameter {param}.")
    yield from _generated_size(spec.data.params, known, limits)


def _generated_size(
    params: dict[str, JsonValue], known: dict[str, Any], limits: Limits
) -> Iterator[Problem]:
    """Yield a problem when a generator would make more values than allowed."""
    n_values = 1.0
    for param in ("n_samples", "n_features", "n_dim", "n_targets"):
        if param in known:
            value = params.get(param, known[param].default)
            numbers = value if isinstance(value, list) else [value]
            n_values *= sum(float(n) for n in numbers if isinstance(n, int | float))
    if "n_dim" in known:
        n_values **= 2
    if n_values > limits.made_values:
        yield Problem(
            "data.params",
            f"The data would hold {n_values:,.0f} numbers.",
            expected=f"at most {limits.made_values:,}",
            hint="Ask for fewer samples or features.",
        )


def _retry_problems(spec: JobSpec) -> Iterator[Problem]:
    """Warn of kinds of errors that are not Python's own: they may come from a library."""
    kinds = {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    for i, name in enumerate(spec.retry.on):
        close = nearest(name, kinds, cutoff=0.8)
        if name not in kinds and close is not None:
            yield Problem(
                f"retry.on[{i}]",
                f"Python has no error {shown(name)} of its own.",
                given=name,
                nearest=close,
                severity="warning",
            )
