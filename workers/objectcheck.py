"""Check the objects that a job file spells: that the names exist and the parameters are theirs."""

from collections.abc import Collection, Iterator, Mapping
from inspect import Parameter, signature
from typing import Any, cast

from pydantic import JsonValue

from schemas.problems import SHOWN, Problem, join, nearest, shown
from schemas.sections import Limits
from schemas.values import grammar_key
from workers import forbidden, names
from workers.catalog import Catalog, UnknownNameError
from workers.constraints import violation
from workers.spelling import NAMED_LISTS, SPACE_PARAMS

#: What may stand in the place of a step.
PLACEHOLDERS = ("passthrough", "drop")


class ObjectChecker:
    """Collects what is wrong with the objects of one job.

    Attributes
    ----------
    problems : list of Problem
        In the order in which they were met.
    """

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self.catalog = catalog
        self.limits = limits
        self.problems: list[Problem] = []

    def built(self, value: JsonValue, where: str) -> Any | None:
        """Check an object, spelled out, and return it built; None when something is wrong."""
        n_before = len(self.problems)
        self.visit(value, where)
        if len(self.problems) > n_before:
            return None
        try:
            return self.catalog.build(value)
        except Exception as error:  # whatever an object says about its own parameters
            name = cast(Mapping[str, JsonValue], value)["$type"]
            self.problems.append(
                Problem(
                    where, f"{name} does not take these parameters: {error}", given=shown(value)
                )
            )
            return None

    def built_without_faults(self, value: JsonValue, where: str) -> Any | None:
        """Return an object, spelled out and checked, built without what was found wrong with it.

        Wrong parameters are left out, and "passthrough" stands in the place of a wrong step. None
        where that is not enough, or leaves nothing to build.
        """
        wrong = {problem.where for problem in self.problems}
        kept = _without(value, where, wrong)
        if wrong or not isinstance(kept, dict):
            return None
        try:
            return self.catalog.build(kept)
        except Exception:  # what is wrong is told already
            return None

    def visit(self, value: JsonValue, where: str) -> None:
        """Check a value, spelled out, and everything within it."""
        if isinstance(value, list):
            for i, item in enumerate(value):
                self.visit(item, f"{where}[{i}]")
        elif isinstance(value, dict):
            key = grammar_key(value)
            if key == "$type":
                self._visit_object(value, where)
            elif key == "$tuple":
                self.visit(value["$tuple"], where)
            elif key == "$dict":
                self.visit(value["$dict"], where)
            elif key == "$function":
                self._check_listed(value["$function"], names.FUNCTIONS, "function", where)
            elif key == "$dtype":
                self._check_listed(value["$dtype"], names.DTYPES, "dtype", where)
            elif key is None:
                for name, item in value.items():
                    self.visit(item, join(where, name))

    def _check_listed(self, name: JsonValue, valid: Any, what: str, where: str) -> None:
        if name not in valid:
            self.problems.append(
                Problem(
                    where,
                    f"There is no {what} {shown(name)} for job files.",
                    expected="one of " + ", ".join(valid),
                    nearest=nearest(name, valid),
                )
            )

    def _visit_object(self, value: dict[str, JsonValue], where: str) -> None:
        name = str(value["$type"])
        if (refused := forbidden.class_problem(name, where)) is not None:
            self.problems.append(refused)
            return
        try:
            kind = self.catalog.find(name)
        except UnknownNameError as error:
            self.problems.append(self._unknown(name, where, error))
            return
        self._check_parameters(kind, name, value, where)

    def _unknown(self, name: str, where: str, error: UnknownNameError) -> Problem:
        if name in self.catalog.extra:
            return Problem(where, f"{error}.", given=name, hint="Ask the operator of the spool.")
        valid = self.catalog.estimator_names | names.TYPES.keys()
        bare, called, _ = name.partition("(")
        hint = None
        if called:
            hint = "A class is named without brackets: {$type: SVC, C: 10}."
        elif "." in name:
            hint = "Classes are named without their module; others the operator lists by name."
        near = nearest(bare.strip().rpartition(".")[2], valid)
        if hint is None and near is None:
            hint = "Estimators of other packages the operator lists by name, in catalog.estimators."
        return Problem(
            where,
            f"There is no estimator {shown(name)}.",
            given=name,
            expected="the name of an estimator of scikit-learn, such as SVC or Ridge",
            nearest=near,
            hint=hint,
        )

    def _check_parameters(
        self, kind: Any, name: str, value: dict[str, JsonValue], where: str
    ) -> None:
        known = parameters_of(kind)
        for param, item in value.items():
            if param == "$type":
                continue
            place = join(where, param)
            if known is not None and param not in known:
                self.problems.append(unknown_parameter(param, list(known), name, place))
                continue
            self.check_value(kind, name, param, item, place)
        if known is not None:
            self.problems += [
                Problem(where, f"{name} needs the parameter {param}.")
                for param, spec in known.items()
                if spec.default is Parameter.empty and param not in value
            ]

    def check_value(
        self, owner: Any, owner_name: str, param: str, value: JsonValue, where: str
    ) -> bool:
        """Check one parameter's value, spelled out; return whether it is fine."""
        n_before = len(self.problems)
        self.problems += forbidden.value_problems(param, value, where, self.limits)
        if param in SPACE_PARAMS:
            self.problems += forbidden.inner_space_problems(value, where, self.limits)
        if len(self.problems) > n_before:
            return False
        self.visit(value, where)
        if param in NAMED_LISTS:
            told = {problem.where for problem in self.problems[n_before:]}
            found = _named_list_problems(param, value, where, self.catalog.estimator_names)
            self.problems += [problem for problem in found if problem.where not in told]
        if len(self.problems) == n_before and (
            broken := self.broken_rule(owner, owner_name, param, value, where)
        ):
            self.problems.append(broken)
        return len(self.problems) == n_before

    def broken_rule(
        self, owner: Any, owner_name: str, param: str, value: JsonValue, where: str
    ) -> Problem | None:
        """Return how a value breaks scikit-learn's rule for the parameter, if it does."""
        try:
            built = self.catalog.build_params({param: value})[param]
        except Exception:  # told by built(), with the object that it belongs to
            return None
        found = violation(owner, param, built)
        if found is None:
            return None
        return Problem(
            where,
            f"{owner_name} does not take {shown(value)} for {param}.",
            given=shown(value),
            expected=found.expected,
            nearest=found.nearest or self._nearest_estimator(param, value),
            hint="Without quotes it is a number." if _is_quoted_number(value) else None,
        )

    def _nearest_estimator(self, param: str, value: JsonValue) -> str | None:
        if isinstance(value, str) and param in ("estimator", "regressor", "transformer"):
            return nearest(value, self.catalog.estimator_names)
        return None


def _is_quoted_number(value: JsonValue) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _without(value: JsonValue, where: str, wrong: set[str]) -> JsonValue:
    """Return a value without the parameters and objects at the wrong places, and forget those."""
    if isinstance(value, list):
        return [_without(item, f"{where}[{i}]", wrong) for i, item in enumerate(value)]
    if isinstance(value, dict) and "$tuple" in value:
        return {"$tuple": _without(value["$tuple"], where, wrong)}
    is_object = isinstance(value, dict) and "$type" in value
    if where in wrong and (is_object or isinstance(value, str)):
        wrong.discard(where)
        return PLACEHOLDERS[0]
    if not isinstance(value, dict) or not is_object:
        return value
    kept = {}
    for key, item in value.items():
        place = join(where, key)
        if place in wrong and not (isinstance(item, dict) and "$type" in item):
            wrong.discard(place)
        else:
            kept[key] = _without(item, place, wrong)
    return kept


def parameters_of(kind: Any) -> dict[str, Parameter] | None:
    """Return the parameters that a class or function names, or None when it takes any."""
    try:
        found = signature(kind).parameters
    except (TypeError, ValueError):
        return None
    kinds = {param.kind for param in found.values()}
    if Parameter.VAR_KEYWORD in kinds or Parameter.VAR_POSITIONAL in kinds:
        return None
    return dict(found)


def unknown_parameter(param: str, valid: list[str], owner: str, where: str) -> Problem:
    """Return the problem of a parameter that its object does not have."""
    listed = ", ".join(valid[:20]) + (", …" if len(valid) > 20 else "")
    return Problem(
        where,
        f"{owner} has no parameter {shown(param)}.",
        given=param,
        expected=f"one of {listed}" if valid else "no parameters",
        nearest=nearest(param, valid),
        hint="Parameters stand beside $type, not in a mapping of their own."
        if param in ("params", "parameters", "kwargs", "init_params")
        else None,
    )


def _named_list_problems(
    param: str, value: JsonValue, where: str, valid: Collection[str]
) -> Iterator[Problem]:
    """Yield what is wrong with the form of a pipeline's steps and their like."""
    n = 3 if param == "transformers" else 2
    form = "[name, estimator, columns]" if n == 3 else "[name, estimator]"
    if not isinstance(value, list) or not value:
        pairs = value.items() if isinstance(value, dict) and n == 2 else ()
        spelled = ", ".join(f"[{name}, {_as_word(step)}]" for name, step in pairs)
        hint = f"Write [{spelled}]." if 0 < len(spelled) <= 2 * SHOWN else None
        yield Problem(where, f"{param} is a list of {form}.", given=shown(value), hint=hint)
        return
    seen: set[str] = set()
    for i, entry in enumerate(value):
        parts = entry.get("$tuple") if isinstance(entry, dict) else entry
        place = f"{where}[{i}]"
        if not isinstance(parts, list) or len(parts) != n or not isinstance(parts[0], str):
            is_bare = n == 2 and (isinstance(parts, str) or grammar_key(parts) == "$type")
            hint = f"Give it a name: [NAME, {_as_word(parts)}]." if is_bare else None
            yield Problem(place, f"Each of the {param} is {form}.", given=shown(parts), hint=hint)
            continue
        name, estimator = parts[0], parts[1]
        if not name or "__" in name:
            yield Problem(place, "A step's name holds no double underscore.", given=shown(name))
        elif name in seen:
            yield Problem(place, "Two steps have the same name.", given=shown(name))
        seen.add(name)
        if estimator is not None and estimator not in PLACEHOLDERS:
            yield from not_an_estimator(estimator, f"{place}[1]", valid)


def _as_word(value: JsonValue) -> str:
    """Return an object as a job file would spell it shortly, for a hint."""
    if isinstance(value, dict) and set(value) == {"$type"}:
        value = value["$type"]
    return value[:SHOWN] if isinstance(value, str) else shown(value)


def not_an_estimator(value: JsonValue, where: str, valid: Collection[str]) -> Iterator[Problem]:
    """Yield the problem of a value, spelled out, that stands where an estimator does."""
    name = value.get("$type") if isinstance(value, dict) else value
    if isinstance(value, dict) and name in valid:
        return
    yield Problem(
        where,
        f"There is no estimator {shown(name)}.",
        given=shown(name),
        expected="the name of an estimator, or a mapping with $type and its parameters",
        nearest=nearest(name, valid),
    )
