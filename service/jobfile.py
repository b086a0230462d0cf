"""From the bytes of a job file to a checked job, or to the list of everything wrong with them."""

import errno
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from schemas.form import Form, read_form
from schemas.job import JobSpec
from schemas.problems import InvalidJob, Problem, join, nearest, shown
from schemas.sections import Limits
from schemas.settings import Settings
from service.yamltext import MAX_DEPTH, MAX_VALUES, read_yaml

#: What a job file's name ends in.
SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_MAX_BYTES = Limits().file_bytes
#: What keeps a file from being read and is not the file's fault.
_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
#: Comments and strings of TOML, also those without an end; and what ends a key. Nothing is looked
#: at twice, so that the time is in proportion to the text.
_TOML_TEXT = re.compile(
    "|".join(
        (
            r"#[^\n]*+",
            r'"""(?:\\.|[^\\"]|"(?!""))*+(?:""")?',
            r"'''(?:[^']|'(?!''))*+(?:''')?",
            r'"(?:\\.|[^"\\\n])*+"?',
            r"'[^'\n]*+'?",
        )
    ),
    re.DOTALL,
)
_TOML_KEY_END = re.compile(r"[\n,={}\[\]]")
#: Control characters but tabs and line breaks.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: A file with more problems than this tells the first ones only.
MAX_PROBLEMS = 100


def read_job_file(path: Path, max_bytes: int = _MAX_BYTES) -> bytes:
    """Return the bytes of a job file, read once.

    Parameters
    ----------
    max_bytes : int
        Largest file that is taken.

    Raises
    ------
    InvalidJob
        For anything but a regular file with one link, and for one that is too large.
    OSError
        When the machine is at fault: it has no file descriptor left, or the disk is broken.
    """
    try:
        # Neither follow a link out of the spool, nor wait for a FIFO's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise _refused("The file is a symbolic link.", "Copy the file itself.") from None
        if error.errno in _MACHINE:
            raise
        raise _refused(f"The file cannot be read: {error.strerror}.") from None
    facts = os.fstat(descriptor)
    if stat.S_ISDIR(facts.st_mode):  # which cannot be opened as a file at all
        os.close(descriptor)
        raise _refused("This is a directory.", "A job is one file.")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(facts.st_mode):
            raise _refused("This is not a regular file.", "A job is one file.")
        if facts.st_nlink > 1:
            raise _refused(
                "The file has several hard links, so that it can change under another name.",
                "Copy it instead of linking it.",
            )
        try:
            data = file.read(max_bytes + 1)
        except OSError as error:
            if error.errno in _MACHINE:
                raise
            raise _refused(f"The file cannot be read: {error.strerror}.") from None
    _check_size(data, max_bytes)
    return data


def parse(data: bytes, name: str, max_bytes: int = _MAX_BYTES) -> JobSpec:
    """Return the job that the bytes of a file describe, its form checked.

    Parameters
    ----------
    data : bytes
    name : str
        The file's name: its suffix tells the format, its stem is the default for the job's name.

    Raises
    ------
    InvalidJob
        Lists every problem of the form at once.
    """
    form, lines = _read_form(data, name, max_bytes)
    if form.problems:
        raise InvalidJob(_in_file_order(form.problems, lines)[:MAX_PROBLEMS])
    return form.job


def check(
    spec: JobSpec, settings: Settings, unsound: Collection[str] = frozenset()
) -> list[Problem]:
    """Return what is wrong with the names and values of a job; warnings included.

    Parameters
    ----------
    unsound : collection of str
        Fields whose form is broken already, as in `Form`: they are not looked at.
    """
    # Importing scikit-learn takes a while: only when there is something to ask it.
    from workers.catalog import Catalog
    from workers.jobcheck import job_problems

    return job_problems(Catalog(settings.catalog.estimators), spec, settings.limits, unsound)


def examine(data: bytes, name: str, settings: Settings) -> tuple[JobSpec, list[Problem]]:
    """Parse and check in one go, with the line of each problem where the format tells it.

    What is wrong with the form of one part keeps no other part from being checked.

    Returns
    -------
    spec : JobSpec
    warnings : list of Problem
        What does not keep the job from being admitted.

    Raises
    ------
    InvalidJob
        Lists every problem at once, the warnings included, in the order of the file.
    """
    form, lines = _read_form(data, name, settings.limits.file_bytes)
    told = {problem.where for problem in form.problems}
    found = form.as_written(check(form.job, settings, form.unsound))
    # What has the wrong form has no meaning yet.
    found = [problem for problem in found if problem.where not in told]
    problems = _in_file_order([*form.problems, *found], lines)
    if any(problem.is_error for problem in problems):
        raise InvalidJob(problems[:MAX_PROBLEMS])
    return form.job, problems


def placed(problems: Iterable[Problem], data: bytes, name: str) -> list[Problem]:
    """Return problems of a valid job file that were found later, in its order and with its lines.

    Parameters
    ----------
    data, name
        As in `parse`.
    """
    problems = list(problems)
    if not problems:
        return []  # and the file is not read again
    return _in_file_order(problems, read_document(data, PurePath(name).suffix.lower())[1])


def _read_form(data: bytes, name: str, max_bytes: int) -> tuple[Form, dict[str, int]]:
    _check_size(data, max_bytes)
    document, lines = read_document(data, PurePath(name).suffix.lower())
    if not isinstance(document, dict):
        raise _refused(
            "A job file is a mapping of keys to values.",
            "It begins with a line such as: data: {loader: digits}",
            given=shown(document),
        )
    if odd := [key for key in document if not isinstance(key, str)]:
        raise _refused("The keys of a job file are words.", given=shown(odd[0]))
    if unprintable := list(islice(_control_characters(document, ""), MAX_PROBLEMS)):
        raise InvalidJob(_in_file_order(unprintable, lines))
    document.setdefault("name", PurePath(name).stem)
    return read_form(document), lines


def _control_characters(value: Any, where: str) -> Iterator[Problem]:
    """Yield the texts that hold control characters.

    Texts of a job file come back in tables, logs and error messages, and so on terminals, which
    take such characters for commands.
    """
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _control_characters(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and _CONTROL.search(key):
                yield _unprintable(where, key)
            yield from _control_characters(item, join(where, str(key)[:100]))
    elif isinstance(value, str) and _CONTROL.search(value):
        yield _unprintable(where, value)


def _unprintable(where: str, text: str) -> Problem:
    return Problem(
        where,
        "The text holds a control character.",
        given=ascii(text[:40]),
        expected="printable characters, tabs and line breaks",
    )


def _check_size(data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise _refused(
            f"The file is larger than the {max_bytes:,} bytes that a job file may have.",
            "Data go into files of their own: data: {file: …}.",
        )


def read_document(data: bytes, suffix: str) -> tuple[Any, dict[str, int]]:
    """Return what the bytes of a job file hold, and the line of each place where that is told.

    Parameters
    ----------
    suffix : str
        In lower case; tells the format.

    Raises
    ------
    InvalidJob
        When they are not in that format.
    """
    if suffix not in SUFFIXES:
        raise _refused(
            "The kind of a job file is told by its suffix, and this one is not known.",
            given=shown(suffix),
            expected="one of " + ", ".join(SUFFIXES),
            near=nearest(suffix, SUFFIXES),
        )
    text = _decode(data)
    if not text.strip():
        raise _refused("The file is empty.")
    if suffix == ".json":
        return _read_json(text), {}
    if suffix == ".toml":
        return _read_toml(text), {}
    return read_yaml(text)


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidJob(
            [Problem(f"line {line}", "The file is not in UTF-8.", hint="Save it as UTF-8.")]
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidJob([Problem(f"line {line}", "The file holds a NUL byte.")])
    return text


def _read_json(text: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise _refused(f"The key {shown(twice)} stands twice in the same mapping.")
        return mapping

    def no_constant(word: str) -> Any:
        spelled = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[word]
        raise _refused(f"{word} is not JSON.", f'Write {{"$float": "{spelled}"}}.')

    def bounded(text: str) -> float:
        number = float(text)
        if math.isinf(number):
            raise _refused("A number is too large.", given=text[:40])
        return number

    try:
        document = json.loads(
            text,
            object_pairs_hook=no_duplicates,
            parse_constant=no_constant,
            parse_float=bounded,
        )
    except json.JSONDecodeError as error:
        raise InvalidJob(
            [
                Problem(
                    f"line {error.lineno}, column {error.colno}",
                    f"The file is not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}.",
                )
            ]
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except InvalidJob:
        raise
    except ValueError:  # an integer of thousands of digits
        raise _refused("A number has too many digits.") from None
    _check_bounds(document)
    return document


def _read_toml(text: str) -> Any:
    # tomllib keeps every beginning of a dotted key: 100,000 parts would take 40 GB.
    bare = _TOML_TEXT.sub("s", text)
    if any(part.count(".") > MAX_DEPTH for part in _TOML_KEY_END.split(bare)):
        raise _too_deep()
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        where = place.rstrip(")")
        if where == "end of document":
            where = f"line {text.count(chr(10)) + 1}"
        raise InvalidJob(
            [Problem(where, f"The file is not valid TOML: {message[:1].lower()}{message[1:]}.")]
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise _refused("A number has too many digits.") from None
    _check_bounds(document)
    return document


def _check_bounds(document: Any) -> None:
    """Refuse what YAML would be refused for: too deep, or too many values."""
    level: list[Any] = [document]
    n_values = 0
    for _ in range(MAX_DEPTH + 1):
        n_values += len(level)
        if n_values > MAX_VALUES:
            raise _refused(
                f"The file holds more than {MAX_VALUES:,} values.",
                "Write long lists as $range, $linspace or $logspace.",
            )
        level = [
            item
            for value in level
            if isinstance(value, list | dict)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidJob:
    return _refused(f"The file is nested more than {MAX_DEPTH} deep.")


def _in_file_order(problems: Iterable[Problem], lines: dict[str, int]) -> list[Problem]:
    """Return the problems with the line of their place, or of what it lies in, by that line."""
    placed = [
        replace(problem, line=line)
        if problem.line is None and (line := _line(problem.where, lines)) is not None
        else problem
        for problem in problems
    ]
    return sorted(placed, key=lambda problem: problem.line or 0)


#: What is wrong with a field that need not be written stands where its cause does.
_CAUSES = {"refit": "scoring"}


def _line(where: str, lines: dict[str, int]) -> int | None:
    if where not in lines:
        where = _CAUSES.get(where, where)
    while where:
        if where in lines:
            return lines[where]
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return None


def _refused(
    message: str,
    hint: str | None = None,
    given: str | None = None,
    expected: str | None = None,
    near: str | None = None,
) -> InvalidJob:
    return InvalidJob(
        [Problem("", message, given=given, expected=expected, nearest=near, hint=hint)]
    )
