"""The reference of the settings, from their model."""

from typing import Any

import typer

from manual.markdown import MADE, code, table
from manual.schema import branches, is_duration, is_size, limits_text, type_text
from schemas.settings import Settings
from service.cli import app

#: Where parts of settings are told of that are tables of their own.
_LINKS = {"Hook": "[hook](operation.md#hooks)"}


def page() -> str:
    """Write the page."""
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    plain, sections = {}, {}
    for name, field in schema["properties"].items():
        (first, *_) = branches(field)
        each = first.get("additionalProperties")
        if "$ref" in first:
            sections[name] = definitions[first["$ref"].rpartition("/")[2]]
        elif isinstance(each, dict) and "$ref" in each:  # a section for each name
            sections[f"{name}.NAME"] = definitions[each["$ref"].rpartition("/")[2]]
        else:
            plain[name] = field
    parts = [
        "# Settings",
        MADE,
        "What the operator decides. A flag beats the environment, which beats `foldq.toml` in the "
        "spool, which beats the default. Durations are written `30s`, `10m`, `2h`, `1d`, sizes "
        "`4GB`, `500MiB`. In the environment a setting has its name in capitals, after `FOLDQ_` "
        "and its section: `FOLDQ_POLL=1s`, `FOLDQ_CLUSTER__LISTEN=0.0.0.0`. More is told in "
        "[Change settings](settings.md).",
        "## At the top of the file {#top}",
        _table(plain),
    ]
    for name, section in sections.items():
        told = section["description"].removeprefix(f"`[{name}]`: ")
        parts += [
            f"## `[{name}]` {{#{name.lower()}}}",
            told[:1].upper() + told[1:],
            _table(section["properties"], name),
        ]
    return "\n\n".join(parts) + "\n"


def _table(fields: dict[str, Any], section: str = "") -> str:
    flags = _flags()
    return table(
        ("Setting", "What it says", "Type", "Default", "Limits", "Example"),
        [
            (
                f"`{name}`",
                field.get("description", "") + ("" if section else flags.get(name, "")),
                type_text(field, _LINKS).removesuffix(" or `null`"),
                _default(field),
                limits_text(field),
                "<br>".join(code(_toml(value)) for value in field.get("examples", ())),
            )
            for name, field in fields.items()
        ],
    )


def _flags() -> dict[str, str]:
    """Say, by the name of the setting, the flag that some command has for it."""
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    return {
        param.name: f" Flag: {code(param.opts[-1])}."
        for command in commands
        for param in command.params
        if param.opts[-1].startswith("--") and param.name in Settings.model_fields
    }


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ([], {}):
        return ""  # the description says what holds then
    if is_duration(field):
        return code(_span(value))
    if is_size(field):
        return code(f"{value >> 20}MiB")
    return code(_toml(value))


def _toml(value: Any) -> str:
    """Spell a value as `foldq.toml` does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _span(seconds: float) -> str:
    """Spell a duration as one may write it: `5m`, `0.4s`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
