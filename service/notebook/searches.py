"""From a scikit-learn search object to the job file that means the same.

What the search *is* goes into the file: estimator, candidates, splits, scorers, refit. How
scikit-learn would run it (`n_jobs`, `pre_dispatch`, `verbose`) does not: foldq has engines.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import sklearn
from pydantic import JsonValue
from sklearn.model_selection._search import BaseSearchCV

from schemas.problems import Problem
from service.notebook.spaces import spell_space
from service.notebook.spelling import Speller, params_of
from service.script import OPTIONS, SEARCHES
from workers import names
from workers.catalog import Catalog

#: Searches that foldq knows, and where each keeps its space.
STRATEGIES = {name: (strategy, space) for strategy, (name, space) in SEARCHES.items()}

#: Global settings of scikit-learn that change what a search computes, and that engines do not know.
_CONFIG = ("enable_metadata_routing", "transform_output")


def is_search(value: object) -> bool:
    """Tell whether a value is a search of scikit-learn's, of whichever kind."""
    return hasattr(value, "get_params") and hasattr(value, "fit")


def document(
    search: Any, catalog: Catalog, given: Collection[str] = ()
) -> tuple[dict[str, JsonValue], list[Problem]]:
    """Spell a search as the mapping of a job file, without name and data.

    Parameters
    ----------
    search : GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV or HalvingRandomSearchCV
        It need not be fitted; it is not touched.
    catalog : Catalog
        The names a job file may use.
    given : collection of str
        Keys of the job file that are given elsewhere: what the search says of them does not count.

    Returns
    -------
    document : dict
    problems : list of Problem
        What has no spelling, by the names of the search's own parameters.
    """
    kind = type(search)
    known = STRATEGIES.get(kind.__name__)
    if known is None or not kind.__module__.startswith("sklearn.model_selection."):
        hint = "Subclasses and other libraries' searches may do otherwise than their parameters."
        if not isinstance(search, BaseSearchCV):
            hint = f"To search over it: GridSearchCV({kind.__name__}(…), {{…}})."
        return {}, [
            Problem(
                "",
                f"{kind.__name__} is not a search that foldq knows.",
                given=f"{kind.__module__}.{kind.__qualname__}",
                expected=", ".join(STRATEGIES) + " of scikit-learn",
                hint=hint,
            )
        ]
    strategy, space = known
    speller = Speller(catalog)
    params = params_of(search)
    _refuse_config(speller)
    made: dict[str, JsonValue] = {"estimator": speller.object(params["estimator"], "estimator")}
    made["search"] = {
        "strategy": strategy,
        **dict(_options(params)),
        **_seed(speller, params.get("random_state")),
        "space": spell_space(speller, params[space], space),
    }
    if "cv" not in given:
        made["cv"] = _cv(speller, params["cv"])
    if "scoring" not in given and params["scoring"] is not None:
        made["scoring"] = _scoring(speller, params["scoring"])
    if "refit" not in given and params["refit"] is not True:
        made["refit"] = _refit(speller, params["refit"])
    if "error_score" not in given:
        made.update(_error_score(params["error_score"]))
    if "return_train_score" not in given and params["return_train_score"]:
        made["return_train_score"] = True
    return made, speller.problems


def default_name(search: Any) -> str:
    """Give the name of a job that was given none: its last estimator and how it is searched."""
    strategy, _ = STRATEGIES.get(type(search).__name__, ("search", ""))
    estimator = getattr(search, "estimator", search)
    if type(estimator).__name__ == "Pipeline":
        estimator = estimator.steps[-1][1]
    return f"{type(estimator).__name__}-{strategy.replace('_', '-')}"


def in_search_terms(problem: Problem, space: str) -> Problem:
    """Name the place of a problem by the search's own parameters, not by the job file's keys."""
    where = problem.where
    if where.startswith("search.space"):
        where = space + where.removeprefix("search.space")
    elif where == "search.seed":
        where = "random_state"
    else:
        where = where.removeprefix("search.")
    return replace(problem, where=where, line=None)


def _options(params: Mapping[str, Any]) -> Iterator[tuple[str, JsonValue]]:
    for name in OPTIONS:
        if name in params:
            value = params[name]
            yield name, value.item() if isinstance(value, np.generic) else value


def _seed(speller: Speller, random_state: Any) -> dict[str, JsonValue]:
    if random_state is None:
        return {}  # drawn, and recorded, when the job is admitted
    if _is_int(random_state):
        return {"seed": int(random_state)}
    speller.object(random_state, "random_state")  # says why
    return {}


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _cv(speller: Speller, cv: Any) -> JsonValue:
    if cv is None:
        return 5
    if _is_int(cv):
        return int(cv)
    if speller.name_of(type(cv)) in names.SPLITTERS:
        return speller.object(cv, "cv")
    listed = hasattr(cv, "__iter__")
    speller.refuse(
        "cv",
        "Splits that are listed have no spelling in a job file."
        if listed
        else f"{type(cv).__name__} is not a splitter that foldq knows.",
        given=type(cv).__name__,
        expected="a number of folds, or one of scikit-learn's splitters",
        hint="Where each sample is tested at most once: PredefinedSplit(test_fold), with the "
        "number of its split for each sample, or -1.",
    )
    return None


def _scoring(speller: Speller, scoring: Any) -> JsonValue:
    if isinstance(scoring, Mapping):
        return {
            str(name): _scorer(speller, scorer, f"scoring[{name!r}]")
            for name, scorer in scoring.items()
        }
    if isinstance(scoring, list | tuple | set | frozenset):
        return [_scorer(speller, scorer, f"scoring[{i}]") for i, scorer in enumerate(scoring)]
    return _scorer(speller, scoring, "scoring")


def _scorer(speller: Speller, scorer: Any, where: str) -> str | None:
    if isinstance(scorer, str):
        return str(scorer)
    if (name := name_of_scorer(scorer)) is not None:
        return name
    speller.refuse(
        where,
        "A scorer of one's own cannot be put into a job file, which runs no code.",
        given=" ".join(repr(scorer).split())[:80],
        expected="the name of a scorer, such as 'f1_macro'",
        hint="sklearn.metrics.get_scorer_names() lists them; make_scorer(f1_score, "
        "average='macro') is one of them, f1_macro.",
    )
    return None


def name_of_scorer(scorer: Any) -> str | None:
    """Give the name under which scikit-learn has a scorer that does the same.

    Examples
    --------
    >>> from sklearn.metrics import f1_score, make_scorer
    >>> name_of_scorer(make_scorer(f1_score, average="macro"))
    'f1_macro'
    """
    from sklearn.metrics import get_scorer, get_scorer_names

    def facts(scorer: Any) -> Any:
        parts = ("_score_func", "_sign", "_response_method")
        options = dict(getattr(scorer, "_kwargs", {}))
        if options.get("average", "binary") != "binary" and options.get("pos_label") in (None, 1):
            options.pop("pos_label", None)  # it says nothing about an average
        return type(scorer), options, [getattr(scorer, part, None) for part in parts]

    if not hasattr(scorer, "_score_func") or vars(scorer).get("_metadata_request"):
        return None
    wanted = facts(scorer)
    return next((n for n in get_scorer_names() if facts(get_scorer(n)) == wanted), None)


def _refit(speller: Speller, refit: Any) -> JsonValue:
    if isinstance(refit, bool | str):
        return refit
    speller.refuse(
        "refit",
        "A function cannot be put into a job file, which runs no code.",
        given=getattr(refit, "__name__", type(refit).__name__),
        expected="True, False or the name of a metric",
        hint="For the rule of one standard error: foldq.submit(…, refit='one_se').",
    )
    return None


def _error_score(error_score: Any) -> dict[str, JsonValue]:
    if isinstance(error_score, str):
        return {"error_score": error_score}
    return {} if math.isnan(error_score) else {"error_score": float(error_score)}


def _refuse_config(speller: Speller) -> None:
    config = cast(dict[str, Any], sklearn.get_config())
    for name in _CONFIG:
        if config[name] not in (False, "default"):
            speller.refuse(
                f"sklearn.set_config({name}=…)",
                "A setting of this process has no place in a job file.",
                given=repr(config[name]),
                hint=f"Submit without it: sklearn.config_context({name}={_default(name)!r}).",
            )


def _default(name: str) -> Any:
    return False if name == "enable_metadata_routing" else "default"
