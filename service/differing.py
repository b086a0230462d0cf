"""What differs between the job files of several searches, path by path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from service.records import Job
from workers.names import ESTIMATORS
from workers.spelling import spell_out, spell_out_object

#: What says nothing of the search itself, or stands in the head of a comparison.
_LEFT_OUT = frozenset({"name", "tags", "priority"})


class Absent:
    """Stands for a value that a job file does not have."""

    def __repr__(self) -> str:
        return "–"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the jobs do not all say the same.

    Attributes
    ----------
    path : str
        As in messages about job files: `search.space.svc__C`. A pipeline's steps stand under
        their names.
    values : tuple
        One for each job, in the job file's grammar; `ABSENT` where there is none.
    """

    path: str
    values: tuple[Any, ...]


def differences(jobs: Sequence[Job]) -> list[Difference]:
    """List what differs: in the job files, then in the data and the packages they were run with."""
    leaves = [dict(_leaves(_spelled(job.spec), "")) for job in jobs]
    for job, found in zip(jobs, leaves, strict=True):
        if job.data_fingerprint is not None:
            found["(data) fingerprint"] = job.data_fingerprint[:12]
        for package, version in job.versions.items():
            found[f"(version) {package}"] = version
    paths = dict.fromkeys(path for found in leaves for path in found)
    listed = [
        Difference(path, tuple(found.get(path, ABSENT) for found in leaves)) for path in paths
    ]
    return [
        difference
        for difference in listed
        if any(_unlike(value, difference.values[0]) for value in difference.values[1:])
        and not _is_unknown(difference)
    ]


def _is_unknown(difference: Difference) -> bool:
    """Whether it only differs because a job's data are not prepared yet."""
    there = {str(value) for value in difference.values if value is not ABSENT}
    return difference.path.startswith("(") and len(there) == 1


def _unlike(one: Any, other: Any) -> bool:
    if _is_nothing(one) and _is_nothing(other):
        return False
    return type(one) is not type(other) or bool(one != other)


def _is_nothing(value: Any) -> bool:
    return value is None or value is ABSENT


def _spelled(spec: dict[str, Any]) -> dict[str, Any]:
    """Spell out what may be written in two ways, so that only what means another thing differs."""
    spelled = {key: value for key, value in spec.items() if key not in _LEFT_OUT}
    if "estimator" in spelled:
        spelled["estimator"] = spell_out_object(spelled["estimator"], ESTIMATORS)
    cv = spelled.get("cv")
    if isinstance(cv, str):
        spelled["cv"] = {"$type": cv}
    search = spelled.get("search")
    if isinstance(search, dict) and isinstance(search.get("space"), dict):
        space = {
            name: [spell_out(name, item, ESTIMATORS) for item in value]
            if isinstance(value, list)
            else value
            for name, value in search["space"].items()
        }
        spelled["search"] = {**search, "space": space}
    return spelled


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of everything that is not an object or a mapping of plain keys."""
    if isinstance(value, dict) and set(value) == {"$tuple"}:
        value = value["$tuple"]
    named = _by_name(value)
    if named is not None:
        value = named
    if isinstance(value, dict) and ("$type" in value or not any(k[:1] == "$" for k in value)):
        if not value and path:
            return
        for key, item in value.items():
            yield from _leaves(item, path if key == "$type" else f"{path}.{key}".lstrip("."))
        return
    yield path, value


def _by_name(value: Any) -> dict[str, Any] | None:
    """Give a list of (name, estimator, …) as {name: estimator}, so that steps are told by name."""
    if not isinstance(value, list) or not value:
        return None
    entries = [item.get("$tuple") if isinstance(item, dict) else None for item in value]
    if not all(entry and len(entry) >= 2 and isinstance(entry[0], str) for entry in entries):
        return None
    named = {e[0]: e[1] if len(e) == 2 else {"": e[1], "columns": e[2]} for e in entries if e}
    return named if len(named) == len(value) else None
