"""The JSON Schema of job files, with which an editor checks and completes them."""

from typing import Any

from pydantic.json_schema import (
    DefsRef,
    GenerateJsonSchema,
    JsonRef,
    JsonSchemaMode,
    JsonSchemaValue,
)
from pydantic_core import CoreSchema

from schemas.grammar import USAGE
from schemas.job import JobSpec

_VALUE: dict[str, Any] = {"$ref": "#/$defs/Value"}
_NUMBER = {"type": "number"}


def _grammar(key: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a mapping with one `$` key."""
    return {
        "type": "object",
        "description": USAGE[key],
        "properties": {key: content},
        "required": [key],
        "additionalProperties": False,
    }


def _numbers(key: str, n: int, at_least: int | None = None) -> dict[str, Any]:
    """Return the schema of a `$` key that is given a list of `n` numbers."""
    content = {"type": "array", "items": _NUMBER, "minItems": at_least or n, "maxItems": n}
    return _grammar(key, content)


_OBJECT_WITH_PARAMETERS = {
    "type": "object",
    "description": USAGE["$type"],
    "properties": {"$type": {"type": "string"}},
    "required": ["$type"],
    "additionalProperties": _VALUE,
}
_LIST = {"type": "array", "items": _VALUE}

#: What the models refer to: the grammar of values, of objects and of search spaces.
_DEFINITIONS: dict[str, dict[str, Any]] = {
    "Value": {
        "description": "Any value of a parameter.",
        "anyOf": [
            {"type": ["null", "boolean", "number", "string"]},
            _LIST,
            _OBJECT_WITH_PARAMETERS,
            _grammar("$tuple", _LIST),
            _grammar("$dict", {"type": "array", "items": {"type": "array", "items": _VALUE}}),
            _grammar("$float", {"enum": ["nan", "inf", "-inf"]}),
            _grammar("$dtype", {"type": "string"}),
            _grammar("$function", {"type": "string"}),
            _grammar("$null", {"const": True}),
            {
                "type": "object",
                "propertyNames": {"not": {"pattern": r"^\$"}},
                "additionalProperties": _VALUE,
            },
        ],
    },
    "Object": {
        "description": "The name of an object, or a mapping with $type and its parameters.",
        "anyOf": [{"type": "string"}, _OBJECT_WITH_PARAMETERS],
    },
    "Parameters": {
        "type": "object",
        "description": "The values to try for each parameter.",
        "additionalProperties": {
            "anyOf": [
                {**_LIST, "minItems": 1},
                *(_numbers(key, 3) for key in ("$logspace", "$linspace", "$geomspace")),
                _numbers("$range", 3, at_least=1),
                _grammar("$choice", {**_LIST, "minItems": 1}),
                *(_numbers(key, 2) for key in ("$uniform", "$loguniform", "$randint")),
            ]
        },
    },
    "Space": {
        "description": "A mapping of parameters to values, or a list of such mappings.",
        "anyOf": [
            {"$ref": "#/$defs/Parameters"},
            {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Parameters"}},
        ],
    },
}


class _Generator(GenerateJsonSchema):
    """Knows the definitions above, which the models only refer to."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        for name, definition in _DEFINITIONS.items():
            self.definitions[DefsRef(name)] = definition
            self.json_to_defs_refs[JsonRef(f"#/$defs/{name}")] = DefsRef(name)
            # Private: pydantic has no way to be told of definitions. A test holds it to this.
            self._prioritized_defsref_choices[DefsRef(name)] = [DefsRef(name)]
        return super().generate(schema, mode)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of job files.

    It is a little more generous than foldq: names of estimators, parameters and scorers are
    checked by `foldq validate` alone.
    """
    schema = JobSpec.model_json_schema(schema_generator=_Generator)
    definitions = schema.pop("$defs")
    # A file without a name has that of the file.
    required = [name for name in schema.get("required", ()) if name != "name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "foldq job file",
        "required": required,
        "$defs": definitions,
    }
