"""What a job file may not ask for although scikit-learn would do it: a job file is not trusted."""

import re
from collections.abc import Iterator
from typing import cast

from pydantic import JsonValue

from schemas.problems import Problem, join, shown
from schemas.sections import Limits
from schemas.values import LISTINGS, expand, grammar_key
from workers.spelling import SPACE_PARAMS

#: Classes that are refused, and why.
CLASSES = {
    "FunctionTransformer": "FunctionTransformer runs any function it is given, and a job file "
    "cannot be trusted with that.",
}

#: Parameters that are refused unless null: the reason, and what to do instead.
_NULL_ONLY = {
    "memory": (
        "memory= makes scikit-learn load Python objects from a directory.",
        "Leave it out; folds that were computed before are taken from the records.",
    ),
    "func": ("Functions cannot be given in a job file.", "Write transformer: PowerTransformer."),
    "inverse_func": ("Functions cannot be given in a job file.", "Use transformer: instead."),
}  # fmt: skip

#: The only parameters that take a `$function`.
FUNCTION_PARAMS = ("score_func", "pooling_func")

#: Largest number for parameters that decide how much memory or time a fit takes.
CEILINGS = {
    "cache_size": 100_000,  # megabytes
    "degree": 1_000,
    "depth": 10_000,
    "hidden_layer_sizes": 100_000,
    "max_iter": 10_000_000,
    "max_leaf_nodes": 10_000_000,
    "n_bins": 1_000_000,
    "n_clusters": 1_000_000,
    "n_components": 1_000_000,
    "n_estimators": 100_000,
    "n_features": 2**30,  # of hashing
    "n_init": 10_000,
    "n_iter": 1_000_000,
    "n_knots": 1_000_000,
    "n_neighbors": 10_000_000,
    "n_quantiles": 10_000_000,
    "n_repeats": 100_000,
    "n_splits": 100_000,
    "verbose": 1_000,
}

#: Most candidates of a search within the search: it makes a list of them for every fit.
MAX_INNER_CANDIDATES = 10_000

#: What `pre_dispatch` may say: joblib computes the text, and 9**9**9 would never end.
_PRE_DISPATCH = re.compile(r"all|(\d{1,4}\s*\*\s*)?n_jobs")


def class_problem(name: str, where: str) -> Problem | None:
    """Return why a class is refused, if it is."""
    if name not in CLASSES:
        return None
    return Problem(
        where, CLASSES[name], given=name, hint="Use a transformer of scikit-learn's own."
    )


def value_problems(param: str, value: JsonValue, where: str, limits: Limits) -> Iterator[Problem]:
    """Yield why a parameter's value is refused.

    Parameters
    ----------
    param : str
        The parameter's own name, without the steps before it.
    value : canonical JSON
    where : str
        The place of the value.
    limits : Limits
        The operator's.
    """
    if param in _NULL_ONLY and value is not None:
        message, hint = _NULL_ONLY[param]
        yield Problem(where, message, given=shown(value), expected="null", hint=hint)
    elif param == "input" and isinstance(value, str) and value != "content":
        yield Problem(
            where, "Files named in the data are not read.", given=shown(value), expected="content"
        )
    elif param == "n_jobs" and value is not None:
        # joblib takes "8" and 8.0 for 8.
        if not _is_int(value) or not 1 <= cast(int, value) <= limits.n_jobs:
            yield Problem(
                where,
                "n_jobs is capped: foldq spreads the folds over engines already.",
                given=shown(value),
                expected=f"1 to {limits.n_jobs}" if limits.n_jobs > 1 else "1, or none at all",
            )
    elif param == "pre_dispatch" and isinstance(value, str) and not _PRE_DISPATCH.fullmatch(value):
        yield Problem(
            where, "pre_dispatch is not computed.", given=shown(value), expected="all or 2*n_jobs"
        )
    elif grammar_key(value) == "$function" and param not in FUNCTION_PARAMS:
        yield Problem(
            where,
            f"{param} takes no function from a job file.",
            given=shown(value),
            hint="$function is for " + " and ".join(FUNCTION_PARAMS) + ".",
        )
    elif param in CEILINGS:
        yield from _too_large(param, value, where)


def inner_space_problems(value: JsonValue, where: str, limits: Limits) -> Iterator[Problem]:
    """Yield why the space of a search within the search is refused: what it sets, and its size.

    A space that is itself a value of a space is looked at likewise, however deep.

    Parameters
    ----------
    value : canonical JSON
        `param_grid` or `param_distributions`.
    """
    n_candidates = 0
    for mapping in value if isinstance(value, list) else [value]:
        if not isinstance(mapping, dict) or grammar_key(mapping) is not None:
            yield Problem(where, "The space is a mapping of names to lists.", given=shown(mapping))
            return
        n_points = 1
        for key, values in mapping.items():
            listed = _listed(values)
            if listed is None:
                yield Problem(join(where, key), "A list of values is needed.", given=shown(values))
                return
            n_points *= len(listed)
            param, place = key.rpartition("__")[2], join(where, key)
            for item in listed:
                yield from value_problems(param, item, place, limits)
                if param in SPACE_PARAMS:
                    yield from inner_space_problems(item, place, limits)
        n_candidates += n_points
    if n_candidates > MAX_INNER_CANDIDATES:
        yield Problem(
            where,
            f"The inner search has {n_candidates:,} candidates for every fit.",
            expected=f"at most {MAX_INNER_CANDIDATES:,}",
        )


def _listed(value: JsonValue) -> list[JsonValue] | None:
    """Return the values that a parameter of an inner space lists, or None when it lists none."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    if "$tuple" in value:
        return cast(list[JsonValue], value["$tuple"])
    return expand(value) if grammar_key(value) in LISTINGS else None


def _too_large(param: str, value: JsonValue, where: str) -> Iterator[Problem]:
    if isinstance(value, dict) and "$tuple" in value:
        value = value["$tuple"]
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int | float) and number > CEILINGS[param]:
            yield Problem(
                where,
                f"{param} is larger than any sensible search needs.",
                given=shown(number),
                expected=f"at most {CEILINGS[param]:,}",
            )


def _is_int(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
