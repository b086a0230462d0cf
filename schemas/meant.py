"""Which key was meant by one that there is not: a slip of the hand, or another tool's word for it.

Most people come from scikit-learn, so its words stand here first.
"""

from collections.abc import Iterable

from schemas.problems import nearest

#: Words for a key, by the part of the job file that they stand in, and the key.
_WORDS: dict[str, dict[str, str]] = {
    "": {
        "data": "dataset input source",
        "estimator": "model pipeline classifier regressor clf",
        "cv": "folds n_folds n_splits kfold splits cross_validation",
        "scoring": "metric metrics score scorer scorers scores",
        "timeout": "time_limit limit",
        "threads": "n_threads",
        "name": "job title",
    },
    "search": {
        "space": "grid param_grid params parameters param_distributions distributions "
        "param_space search_space values candidates",
        "strategy": "type $type kind method mode",
        "seed": "random_state",
        "n_iter": "n_trials n_samples n iterations",
    },
    "data": {
        "loader": "name load dataset sklearn",
        "make": "generator generate",
        "file": "path csv filename file_name parquet npz",
        "target": "label labels target_column outcome",
        "features": "columns feature_columns",
        "groups": "group group_column",
        "weights": "weight sample_weight sample_weights",
    },
    "retry": {
        "attempts": "retries max_attempts max_retries n times",
        "on": "errors exceptions",
        "backoff": "delay wait",
    },
}
_KEYS = {
    part: {word: key for key, words in keys.items() for word in words.split()}
    for part, keys in _WORDS.items()
}

#: Words at the top of a file for what lies elsewhere, and what to do instead.
ELSEWHERE = {
    **dict.fromkeys(
        ("space", *_WORDS["search"]["space"].split()),
        "The values to try stand in search: {space: {…}}.",
    ),
    **dict.fromkeys(("strategy", "n_iter"), "It belongs into search: {strategy: …, space: {…}}."),
    **dict.fromkeys(
        ("random_state", "seed"),
        "Each part has a seed of its own: search: {seed: 0}, random_state of a splitter or an "
        "estimator.",
    ),
    **dict.fromkeys(
        ("n_jobs", "engines", "n_engines"),
        "The folds are spread over the scheduler's engines: foldq serve --engines N. What one "
        "job takes of them is max_engines.",
    ),
    **dict.fromkeys(
        ("loader", "make", "file", "target"), "It belongs into data: {file: …, target: …}."
    ),
}


def meant_key(part: str, key: object, valid: Iterable[str]) -> str | None:
    """Return the key that was probably meant by one that a part of the job file does not have.

    Parameters
    ----------
    part : str
        `search`, `data`, `retry`, or an empty string for the whole file.

    Examples
    --------
    >>> meant_key("search", "param_grid", ["strategy", "space"])
    'space'
    >>> meant_key("", "scorring", ["scoring", "cv"])
    'scoring'
    """
    known = _KEYS.get(part, {}).get(str(key).casefold())
    if known is not None and known in valid:
        return known
    if not part and key in ELSEWHERE:
        return None
    return nearest(key, valid)
