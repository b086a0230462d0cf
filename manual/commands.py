"""The reference of the commands, from the command line itself."""

import re
from typing import Any

import typer

from manual.markdown import MADE, code, table
from service.cli import SECTIONS, app, name_of


def page() -> str:
    """Write the page."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="foldq")
    names = {section: [name_of(f) for f in functions] for section, functions in SECTIONS.items()}
    parts = [
        "# Commands",
        MADE,
        "Each command with its options, as `foldq COMMAND --help` tells them. What they print, and "
        "what all of them share (streams, JSON, exit codes), stands in "
        "[Use the commands](commands.md).",
        table(
            ("To", "Commands"),
            [
                (section.lower(), " · ".join(f"[`{name}`](#{name})" for name in inner))
                for section, inner in names.items()
            ],
        ),
        "## foldq",
        *_command(group, context),
    ]
    for section, inner in names.items():
        parts.append(f"## {section}")
        for name in inner:
            command = group.commands[name]  # type: ignore[attr-defined]
            parts.append(f"### foldq {name} {{#{name}}}")
            parts += _command(command, typer.Context(command, parent=context, info_name=name))
    return "\n\n".join(parts) + "\n"


def _command(command: Any, context: Any) -> list[str]:
    """Write a command: its usage, what it does, its options, its examples."""
    told, _, examples = (command.help or "").partition("\b\nFor example:")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"```text\n{usage}\n```", told.strip()]
    rows = [
        _row(record)
        for param in command.get_params(context)
        if (record := param.get_help_record(context)) is not None
    ]
    parts.append(table(("Option", "What it does", "Default", "Limits"), rows))
    if examples.strip():
        lines = [line.strip() for line in examples.strip("\n").splitlines()]
        parts.append("```sh\n" + "\n".join(lines) + "\n```")
    return parts


def _row(record: tuple[str, str]) -> tuple[str, str, str, str]:
    """Part what `--help` says of an option into its cells."""
    option, told = record
    default = limits = ""
    for mark in re.findall(r"\[[^\[\]]*\]", told):
        said = mark[1:-1]
        for fact in said.split("; "):
            if fact.startswith("default: "):
                default = fact.removeprefix("default: ")
                told = told.replace(mark, "")
            elif fact == "required":
                limits = "needed"
                told = told.replace(mark, "")
            elif re.fullmatch(r"[\w.<=>-]*x[\w.<=>-]*", fact):
                limits = fact.replace("x>=", "at least ").replace("<=x<=", " to ")
                told = told.replace(mark, "")
    return code(option), " ".join(told.split()), code(default), limits
