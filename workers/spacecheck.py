"""Check a search space against the estimator that it varies."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import JsonValue

from schemas import values
from schemas.problems import Problem, join, nearest, shown
from schemas.search import SearchSpec, Space
from schemas.sections import Limits
from workers import forbidden
from workers.catalog import Catalog
from workers.objectcheck import PLACEHOLDERS, ObjectChecker, not_an_estimator
from workers.spelling import SPACE_PARAMS

#: Numbers of a range that are looked at one by one; the others lie between them and the last.
LOOKED_AT = 1_000


def space_problems(
    catalog: Catalog, search: SearchSpec, estimator: Any, limits: Limits, *, whole: bool = True
) -> list[Problem]:
    """Return what is wrong with the search space; of the search, only the space is looked at.

    A value that scikit-learn refuses is a warning as long as another value of the parameter is
    fine: the candidate fails and is scored `error_score`, as in `GridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        Built; its `get_params(deep=True)` tells what may be varied.
    whole : bool
        False where the estimator was built without what is wrong with it: of a step that is left
        out, nothing is known.
    """
    problems: list[Problem] = []
    for i, space in enumerate(search.spaces):
        where = "search.space" if isinstance(search.space, dict) else f"search.space[{i}]"
        problems += _SpaceChecker(catalog, space, estimator, limits, whole=whole).check(where)
    return problems


class _SpaceChecker:
    """Checks one mapping of a search space."""

    def __init__(
        self, catalog: Catalog, space: Space, estimator: Any, limits: Limits, *, whole: bool
    ) -> None:
        self.catalog = catalog
        self.whole = whole
        self.space = space
        self.limits = limits
        self.estimator = estimator
        self.params: dict[str, Any] = estimator.get_params(deep=True)
        self._alternatives: dict[str, list[Any]] = {}
        self._deep_params: dict[int, dict[str, Any]] = {}  # by the alternative's id

    def check(self, where: str) -> list[Problem]:
        problems: list[Problem] = []
        # Steps before their parameters, so that the first problem told is the first cause.
        for key in sorted(self.space, key=lambda key: (key.count("__"), key)):
            problems += self._check_key(key, join(where, key))
        return problems

    def _check_key(self, key: str, where: str) -> Iterator[Problem]:
        varied = next((step for step in _prefixes(key) if step in self.space), None)
        if varied is not None:
            rest = key[len(varied) + 2 :]
            alternatives = self._alternatives_of(varied)
            lacking = [a for a in alternatives if rest not in self._params_of(a)]
            if lacking:
                yield _lacking_alternative(varied, rest, lacking, alternatives, where)
            if lacking or not alternatives:  # none: what is wrong with them is told already
                return
            path = rest.rpartition("__")[0]
            owners = [self._params_of(a)[path] if path else a for a in alternatives]
        elif key in self.params:
            path = key.rpartition("__")[0]
            owners = [self.params[path] if path else self.estimator]
        else:
            if self.whole or not self._is_of_missing_step(key):
                yield self._no_such_parameter(key, where)
            return
        value = self.space[key]
        if values.is_distribution(value):
            yield from self._check_ends(key, value, owners, where)
        else:
            yield from self._check_listed(key, values.expand(value), owners, where)

    def _params_of(self, alternative: Any) -> dict[str, Any]:
        """Return the deep parameters of an alternative, asked for once: a space has many keys."""
        known = self._deep_params.get(id(alternative))
        if known is None:
            known = self._deep_params[id(alternative)] = _deep_params(alternative)
        return known

    def _alternatives_of(self, step: str) -> list[Any]:
        """Return what the space puts in the place of a step, built; what is wrong is left out."""
        if step not in self._alternatives:
            value = self.space[step]
            listed = [] if values.is_distribution(value) else values.expand(value)
            self._alternatives[step] = alternatives = []
            for item in listed:
                spelled = self.catalog.spell_out(step, item)
                if spelled is None or spelled in PLACEHOLDERS:
                    alternatives.append(spelled)
                elif isinstance(spelled, dict) and "$type" in spelled:
                    built = ObjectChecker(self.catalog, self.limits).built(spelled, step)
                    alternatives += [built] if hasattr(built, "get_params") else []
        return self._alternatives[step]

    def _is_of_missing_step(self, key: str) -> bool:
        """Whether a key names a parameter of a step that is left out."""
        step = next((step for step in _prefixes(key) if step in self.params), None)
        return step is not None and not hasattr(self.params[step], "get_params")

    def _no_such_parameter(self, key: str, where: str) -> Problem:
        # A parameter of a step is often given without the step, `C` for `svc__C`, or with
        # another's name.
        steps = [name for name in self.params if "__" not in name and self._is_step(name)]
        spelled = key.replace(".", "__")
        below = [p for p in self.params if p.rpartition("__")[2] == spelled.rpartition("__")[2]]
        near = nearest(spelled, self.params) or (below[0] if below else None)
        if "__" not in spelled and below:
            near = below[0]
        step = next((p for p in _prefixes(key) if p in self.params), None)
        owner = self.params[step] if step is not None else self.estimator
        name = key[len(step) + 2 :] if step else key
        if step is None and steps:
            expected = f"step__parameter, with one of the steps {', '.join(steps)}"
        else:
            known = _parameter_names(owner)
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            expected = f"one of {listed}" if known else ""
        return Problem(
            where,
            f"{type(owner).__name__} has no parameter {shown(name)}.",
            given=key,
            expected=expected or None,
            nearest=near,
        )

    def _check_listed(
        self, key: str, listed: list[JsonValue], owners: list[Any], where: str
    ) -> Iterator[Problem]:
        softened: list[Problem] = []
        n_broken = 0
        param = key.rpartition("__")[2]
        replaces = hasattr(self.params.get(key), "get_params") or self._is_step(key)
        looked_at = self._looked_at(key, listed)
        for i, item in looked_at:
            place = f"{where}[{i}]"
            spelled = self.catalog.spell_out(key, item)
            checker = ObjectChecker(self.catalog, self.limits)
            checker.problems += forbidden.value_problems(param, spelled, place, self.limits)
            if param in SPACE_PARAMS:
                checker.problems += forbidden.inner_space_problems(spelled, place, self.limits)
            if replaces and spelled is not None and spelled not in PLACEHOLDERS:
                checker.problems += not_an_estimator(spelled, place, self.catalog.estimator_names)
            if isinstance(spelled, dict) and "$type" in spelled and not checker.problems:
                checker.built(spelled, place)
            elif not checker.problems:
                checker.visit(spelled, place)
            yield from checker.problems
            if checker.problems:
                continue
            broken = [
                checker.broken_rule(owner, type(owner).__name__, param, spelled, place)
                for owner in owners
            ]
            if all(broken) and broken[0] is not None:
                n_broken += 1
                softened.append(broken[0])
        yield from _graded(softened, all_broken=n_broken == len(looked_at), where=where)

    def _looked_at(self, key: str, listed: list[JsonValue]) -> list[tuple[int, JsonValue]]:
        """Return the values to look at, numbered: all, but for long ranges of numbers."""
        numbered = list(enumerate(listed))
        if values.grammar_key(self.space[key]) not in values.LISTINGS or len(listed) <= LOOKED_AT:
            return numbered
        return [*numbered[: LOOKED_AT - 1], numbered[-1]]

    def _is_step(self, key: str) -> bool:
        """Whether a key names an entry of a list of steps, one that is skipped included."""
        owner, _, name = key.rpartition("__")
        holder = self.params.get(owner) if owner else self.estimator
        lists = [
            getattr(holder, attribute, None)
            for attribute in ("steps", "transformer_list", "transformers", "estimators")
        ]
        return any(
            isinstance(entry, tuple) and len(entry) > 1 and entry[0] == name
            for entries in lists
            if isinstance(entries, list)
            for entry in entries
        )

    def _check_ends(
        self, key: str, value: JsonValue, owners: list[Any], where: str
    ) -> Iterator[Problem]:
        """Look at both ends of a distribution: what lies between is like them."""
        assert isinstance(value, dict)
        [(name, ends)] = value.items()
        assert isinstance(ends, list)
        low, high = ends
        last: JsonValue = high - 1 if name == "$randint" and isinstance(high, int) else high
        param = key.rpartition("__")[2]
        checker = ObjectChecker(self.catalog, self.limits)
        refused = [
            problem
            for end in (low, last)
            for problem in forbidden.value_problems(param, end, where, self.limits)
        ]
        if refused:
            yield refused[0]
            return
        broken = []
        for end in (low, last):
            drawn: JsonValue = end if name == "$randint" else float(end)  # type: ignore[arg-type]
            found = [
                checker.broken_rule(owner, type(owner).__name__, param, drawn, where)
                for owner in owners
            ]
            if all(found) and found[0] is not None:
                broken.append(found[0])
        yield from _graded(broken[:1], all_broken=len(broken) == 2, where=where)


def _lacking_alternative(
    step: str, param: str, lacking: list[Any], alternatives: list[Any], where: str
) -> Problem:
    """Return the problem of a parameter that not every alternative for its step has.

    scikit-learn stops the whole search at the first such candidate.
    """
    known = sorted({name for alternative in alternatives for name in _deep_params(alternative)})
    first = lacking[0]
    name = shown(first) if first is None or isinstance(first, str) else type(first).__name__
    everywhere = len(lacking) == len(alternatives)
    return Problem(
        where,
        f"{name}, which the space puts in the place of {step}, has no parameter {shown(param)}.",
        given=where.rpartition(".")[2],
        nearest=nearest(f"{step}__{param}", [f"{step}__{name}" for name in known])
        if everywhere
        else None,
        hint=None
        if everywhere
        else "Write the space as a list of mappings: one for each alternative and its parameters.",
    )


def _deep_params(alternative: Any) -> dict[str, Any]:
    return alternative.get_params(deep=True) if hasattr(alternative, "get_params") else {}


def _graded(broken: list[Problem], *, all_broken: bool, where: str) -> Iterator[Problem]:
    """Yield an error when no value is fine, else a warning for each that is not (ten at most)."""
    if all_broken and broken:
        first = broken[0]
        message = first.message if len(broken) == 1 else f"{first.message} Nor any other here."
        yield Problem(
            where,
            message,
            given=first.given,
            expected=first.expected,
            nearest=first.nearest,
            hint=first.hint,
        )
        return
    for problem in islice(broken, 10):
        yield Problem(
            problem.where,
            problem.message,
            given=problem.given,
            expected=problem.expected,
            nearest=problem.nearest,
            hint="Candidates with this value will fail and be scored error_score.",
            severity="warning",
        )


def resource_problems(search: SearchSpec, estimator: Any, limits: Limits) -> Iterator[Problem]:
    """Yield what is wrong with the resource of a halving search."""
    resource = search.resource
    if resource is None or resource == "n_samples":
        if search.is_halving and any("n_samples" in space for space in search.spaces):
            yield Problem("search.resource", "The resource is varied by the space itself.")
        return
    params = estimator.get_params(deep=True)
    if resource not in params:
        below = [param for param in params if param.rpartition("__")[2] == resource]
        yield Problem(
            "search.resource",
            f"{type(estimator).__name__} has no parameter {shown(resource)}.",
            given=resource,
            expected="n_samples, or a parameter that takes whole numbers",
            nearest=below[0] if below else nearest(resource, [*params, "n_samples"]),
        )
    for option in ("min_resources", "max_resources"):
        amount = getattr(search, option)
        if isinstance(amount, int):
            param = resource.rpartition("__")[2]
            yield from forbidden.value_problems(param, amount, f"search.{option}", limits)
    if any(resource in space for space in search.spaces):
        yield Problem(
            "search.resource",
            "The resource cannot be varied by the search space too.",
            given=resource,
            hint="Take it out of search.space.",
        )
    if search.max_resources == "auto":
        yield Problem(
            "search.max_resources",
            "max_resources is needed when the resource is not n_samples.",
            expected=f"the largest {resource}",
        )


def _parameter_names(owner: Any) -> list[str]:
    return list(owner.get_params(deep=False)) if hasattr(owner, "get_params") else []


def _prefixes(key: str) -> Iterator[str]:
    """Yield `a__b` and `a` for `a__b__c`: the steps that lead to it, the nearest first."""
    while "__" in key:
        key = key.rpartition("__")[0]
        yield key
