"""Spell out what a job file may leave to its reader: bare names of estimators, pairs, tuples.

`[scale, StandardScaler]` among a pipeline's steps means a tuple of a name and an object;
`strategy: mean` means the word. Which is meant follows from the parameter's name and the value
alone, so the same rule serves the fixed estimator and the search space. What is spelled out
already stays.
"""

from collections.abc import Container

from pydantic import JsonValue

from schemas.values import grammar_key
from workers.names import SPLITTERS

#: Parameters that hold a list of (name, estimator) or, for columns, (name, estimator, columns).
NAMED_LISTS = frozenset({"estimators", "steps", "transformer_list", "transformers"})
#: Parameters whose words come from the data, not from scikit-learn: never an estimator's name.
FREE_TEXT_PARAMS = frozenset(
    {
        "constant", "fill_value", "missing_values", "outlier_label", "pos_label", "separator",
        "stop_words", "token_pattern",
    }
)  # fmt: skip
#: Parameters of a search within the search: their keys are parameters in turn.
SPACE_PARAMS = frozenset({"param_distributions", "param_grid"})
#: Parameters for which scikit-learn takes a tuple and nothing else that has several entries.
TUPLE_PARAMS = frozenset(
    {"feature_range", "n_clusters", "ngram_range", "patch_size", "quantile_range"}
)


def spell_out(param: str, value: JsonValue, names: Container[str]) -> JsonValue:
    """Return a parameter's value with every object and tuple in full.

    Parameters
    ----------
    param : str
        Name of the parameter, or a key of the search space (`svc__C`).
    value : canonical JSON
    names : container of str
        The estimators' names.

    Examples
    --------
    >>> spell_out("steps", [["scale", "PCA"]], {"PCA"})
    [{'$tuple': ['scale', {'$type': 'PCA'}]}]
    >>> spell_out("strategy", "mean", {"PCA"})
    'mean'
    >>> spell_out("vect__ngram_range", [1, 2], {"PCA"})
    {'$tuple': [1, 2]}
    """
    last = param.rpartition("__")[2]
    if isinstance(value, str):
        # A key of the search space may end in the name of a step, which is anything at all. Other
        # parameters take words of their own, none of which is an estimator's name.
        if value in names and last not in FREE_TEXT_PARAMS:
            return {"$type": value}
        if value in SPLITTERS and last == "cv":
            return {"$type": value}
        return value
    if last in SPACE_PARAMS:
        return _space(value, names)
    if isinstance(value, list):
        if last in NAMED_LISTS:
            return [_entry(item, names) for item in value]
        if last in TUPLE_PARAMS:
            return {"$tuple": value}
        return [_within(item, names) for item in value]
    return _within(value, names)


def spell_out_object(value: JsonValue, names: Container[str]) -> JsonValue:
    """Return an object's spelling in full: a bare name becomes a mapping with `$type`."""
    return {"$type": value} if isinstance(value, str) else _within(value, names)


def _within(value: JsonValue, names: Container[str]) -> JsonValue:
    """Spell out the objects inside of a value that is not an estimator by position."""
    if isinstance(value, list):
        return [_within(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if "$type" in value:
        return {
            key: item if key == "$type" else spell_out(key, item, names)
            for key, item in value.items()
        }
    return {key: _within(item, names) for key, item in value.items()}


def _space(value: JsonValue, names: Container[str]) -> JsonValue:
    """Spell out the search space of a search within the search."""
    if isinstance(value, list):
        return [_space(item, names) for item in value]
    if not isinstance(value, dict) or grammar_key(value) is not None:
        return value
    return {
        key: [spell_out(key, item, names) for item in listed]
        if isinstance(listed, list)
        else _within(listed, names)
        for key, listed in value.items()
    }


def _entry(item: JsonValue, names: Container[str]) -> JsonValue:
    """Spell out one (name, estimator) or (name, estimator, columns)."""
    if isinstance(item, dict) and "$tuple" in item:
        item = item["$tuple"]
    if not isinstance(item, list) or len(item) < 2:
        return item
    head, estimator, *columns = item
    if isinstance(estimator, str) and estimator in names:
        estimator = {"$type": estimator}
    return {"$tuple": [head, _within(estimator, names), *(_within(c, names) for c in columns)]}
