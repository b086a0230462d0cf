"""The reference of the job file, from its JSON Schema."""

from typing import Any

from manual.markdown import MADE, code, table, yaml_text
from manual.schema import limits_text, type_text
from schemas.editor import json_schema

#: Titles of what the schema defines beside the job itself, in the order of the page.
PARTS = {
    "LoaderData": "data: a data set of scikit-learn",
    "MakeData": "data: a generator",
    "FileData": "data: a file",
    "SearchSpec": "search",
    "Retry": "retry",
    "OneStandardError": "refit: one standard error",
    "Object": "Objects",
    "Space": "Spaces",
    "Parameters": "Values to try",
    "Value": "Values",
}
ANCHORS = {
    "LoaderData": "data-loader",
    "MakeData": "data-make",
    "FileData": "data-file",
    "SearchSpec": "search-keys",
    "Retry": "retry-keys",
    "OneStandardError": "one-se",
    "Object": "objects",
    "Space": "spaces",
    "Parameters": "values-to-try",
    "Value": "values",
}
_LINKS = {name: f"[{text}](#{ANCHORS[name]})" for name, text in {
    "LoaderData": "a loader", "MakeData": "a generator", "FileData": "a file",
    "SearchSpec": "a search", "Retry": "a mapping", "OneStandardError": "`{one_se: …}`",
    "Object": "object", "Space": "space", "Parameters": "mapping of parameters to values",
    "Value": "value",
}.items()}  # fmt: skip


def page() -> str:
    """Write the page."""
    schema = json_schema()
    definitions = schema["$defs"]
    unknown = set(definitions) - set(PARTS)
    if unknown:
        raise LookupError(f"manual/job_file.py has no title for {', '.join(sorted(unknown))}")
    parts = [
        "# Job file",
        MADE,
        f"{schema['description']} How to write one is told in [Write a job file](job-file.md); "
        "`foldq schema` prints what this page is made from.",
        "## Keys",
        overview(schema),
        *(_field(name, field, schema, 3) for name, field in schema["properties"].items()),
    ]
    for name, title in PARTS.items():
        parts += [f"## {title} {{#{ANCHORS[name]}}}", *_definition(definitions[name])]
    return "\n\n".join(parts) + "\n"


def overview(schema: dict[str, Any]) -> str:
    """Write the table of all keys of a mapping."""
    return table(
        ("Key", "Type", "Default"),
        [
            (f"[`{name}`](#{name})", type_text(field, _LINKS), _default(name, field, schema))
            for name, field in schema["properties"].items()
        ],
    )


def _default(name: str, field: dict[str, Any], schema: dict[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "*needed*"
    if field.get("default") is None:
        return "none"
    return code(yaml_text(field["default"]))


def _field(name: str, field: dict[str, Any], schema: dict[str, Any], level: int) -> str:
    """Write the section of one key: what it says, its type, default, limits and examples."""
    facts = [
        ("Type", type_text(field, _LINKS)),
        ("Default", _default(name, field, schema)),
        ("Limits", limits_text(field)),
    ]
    examples = "\n".join(yaml_text({name: value})[1:-1] for value in field.get("examples", ()))
    return "\n\n".join(
        part
        for part in (
            f"{'#' * level} `{name}` {{#{name}}}",
            field.get("description") or _referred(field, schema)["description"],
            table([title for title, _ in facts], [[text for _, text in facts]]),
            f"```yaml\n{examples}\n```" if examples else "",
        )
        if part
    )


def _referred(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return definition


def _definition(definition: dict[str, Any]) -> list[str]:
    """Write what stands below the title of a part."""
    parts = [definition["description"]]
    if "properties" in definition:
        parts.append(_fields(definition))
    grammar = [
        (key, branch["description"])
        for branch in _grammar(definition)
        for key in branch["properties"]
    ]
    if grammar:
        parts.append(
            table(("Written", "Means"), [_usage(description) for _, description in grammar])
        )
    return parts


def _fields(definition: dict[str, Any]) -> str:
    return table(
        ("Key", "What it says", "Type", "Default", "Limits", "Example"),
        [
            (
                f"`{name}`",
                field["description"],
                type_text(field, _LINKS),
                _default(name, field, definition),
                limits_text(field),
                "<br>".join(code(yaml_text(value)) for value in field.get("examples", ())),
            )
            for name, field in definition["properties"].items()
        ],
    )


def _grammar(definition: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mappings with one `$` key that a definition allows."""
    alternatives = definition.get("anyOf", [])
    values = definition.get("additionalProperties")
    if isinstance(values, dict):
        alternatives = [*alternatives, *values.get("anyOf", [])]
    return [branch for branch in alternatives if "description" in branch]


def _usage(text: str) -> tuple[str, str]:
    """Part `{$tuple: […]}: a Python tuple` into what is written and what it means."""
    written, _, meaning = text.partition("}: ")
    return code(written + "}"), meaning
