"""Make the objects that a job file names: estimators, splitters, scorers, distributions.

Names resolve by look-up in `workers.names` and in what the operator lists, never by importing
what a file says. `build` trusts that `workers.jobcheck` found nothing wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import JsonValue

from schemas import values
from schemas.job import JobSpec
from schemas.search import Space
from workers import names
from workers.spelling import spell_out, spell_out_object

#: Longest label of an estimator, in characters.
LABEL_LENGTH = 200


class UnknownNameError(ValueError):
    """A name that is neither scikit-learn's nor the operator's."""


class Catalog:
    """The names of scikit-learn and the operator's own.

    Parameters
    ----------
    extra : mapping of str to str
        The operator's estimators: name -> dotted path of the class.
    """

    def __init__(self, extra: Mapping[str, str] | None = None) -> None:
        self.extra: dict[str, str] = dict(extra or {})
        #: Every name that an estimator may have.
        self.estimator_names: frozenset[str] = frozenset(names.ESTIMATORS) | self.extra.keys()

    def find(self, name: str) -> Any:
        """Return the class that a `$type` names.

        Raises
        ------
        UnknownNameError
            When no one listed it, or the operator's path leads nowhere.
        """
        if name in self.extra:
            try:
                return names.from_operator(self.extra[name])
            except ImportError as error:
                raise UnknownNameError(
                    f"{name} is listed in the settings as {self.extra[name]}, "
                    f"which cannot be imported: {error}"
                ) from error
        if name in names.TYPES:
            return names.listed(name)
        raise UnknownNameError(f"there is no class {name!r}")

    # --- objects -------------------------------------------------------------------------

    def build(self, value: JsonValue) -> Any:
        """Return a new object from its spelling: a name, or a mapping with `$type`.

        Parameters
        ----------
        value : canonical JSON

        Raises
        ------
        UnknownNameError
            For a name that is not listed.
        """
        return self._decode(spell_out_object(value, self.estimator_names))

    def build_params(self, params: Mapping[str, JsonValue]) -> dict[str, Any]:
        """Return parameters with their values built, new objects at each call."""
        return {
            name: self._decode(spell_out(name, value, self.estimator_names))
            for name, value in params.items()
        }

    def spell_out(self, param: str, value: JsonValue) -> JsonValue:
        """Return a parameter's value with its objects and tuples in full."""
        return spell_out(param, value, self.estimator_names)

    def spell_out_object(self, value: JsonValue) -> JsonValue:
        """Return an object's spelling in full."""
        return spell_out_object(value, self.estimator_names)

    def _decode(self, value: JsonValue) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        key = values.grammar_key(value)
        if key is None:
            return {name: self._decode(item) for name, item in value.items()}
        if key == "$type":
            params = {n: self._decode(item) for n, item in value.items() if n != "$type"}
            return self.find(str(value["$type"]))(**params)
        argument = value[key]
        match key:
            case "$tuple":
                return tuple(self._decode(argument))
            case "$dict":
                return {pair[0]: self._decode(pair[1]) for pair in cast(list[Any], argument)}
            case "$float":
                return values.FLOATS[str(argument)]
            case "$dtype":
                return names.dtype(str(argument))
            case "$function":
                return names.listed(str(argument))
            case _:
                return values.expand(value)

    # --- the search ----------------------------------------------------------------------

    def distribution(self, value: JsonValue) -> Any:
        """Return the frozen SciPy distribution that a `$uniform`, … says as [low, high]."""
        from scipy import stats

        key = values.grammar_key(value)
        low, high = cast(dict[str, list[float]], value)[str(key)]
        if key == "$uniform":
            return stats.uniform(loc=low, scale=high - low)
        return stats.loguniform(low, high) if key == "$loguniform" else stats.randint(low, high)

    def build_space(self, space: Space | Sequence[Space]) -> list[dict[str, Any]]:
        """Return a search space as `ParameterGrid` and `ParameterSampler` take it.

        Returns
        -------
        list of dict
            Parameter -> list of values in canonical JSON, spelled out, or a distribution.
        """
        spaces = [space] if isinstance(space, Mapping) else space
        return [
            {
                param: self.distribution(value)
                if values.is_distribution(value)
                else [self.spell_out(param, item) for item in values.expand(value)]
                for param, value in mapping.items()
            }
            for mapping in spaces
        ]

    def scoring(self, spec: JobSpec) -> str | list[str] | dict[str, str] | None:
        """Return what scikit-learn's `scoring=` takes."""
        return spec.scoring

    def cv(self, spec: JobSpec) -> Any:
        """Return what scikit-learn's `cv=` takes: a number of folds, or a splitter."""
        return spec.cv if isinstance(spec.cv, int) else self.build(spec.cv)

    # --- words ---------------------------------------------------------------------------

    def estimator_label(self, value: JsonValue) -> str:
        """Return a short text for an estimator.

        Examples
        --------
        >>> Catalog().estimator_label({"$type": "Pipeline", "steps": [["s", "PCA"], ["c", "SVC"]]})
        'Pipeline(PCA, SVC)'
        """
        label = _label(self.spell_out_object(value))
        return label if len(label) <= LABEL_LENGTH else label[: LABEL_LENGTH - 1] + "…"


def _label(value: JsonValue) -> str:
    name = str(cast(dict[str, JsonValue], value)["$type"])
    parts = [_label(part) for part in _objects(cast(dict[str, JsonValue], value))]
    return f"{name}({', '.join(parts)})" if parts else name


def _objects(value: JsonValue) -> list[JsonValue]:
    """Return the objects directly within a value, in order; splitters and kernels left out."""
    if isinstance(value, list):
        return [part for item in value for part in _objects_or_self(item)]
    if isinstance(value, dict):
        return [part for item in value.values() for part in _objects_or_self(item)]
    return []


def _objects_or_self(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict) and "$type" in value:
        return [value] if value["$type"] not in names.SPLITTERS | names.KERNELS else []
    return _objects(value)
