"""What `foldq validate` and `foldq submit` find out about a job file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.problems import InvalidJob, Problem
from service.commands.terminal import ExitCode, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from schemas.job import JobSpec
    from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about one job file.

    Attributes
    ----------
    content : bytes
        Of the file, as read once; empty when it cannot be read.
    problems : tuple of Problem
        Errors and warnings; only errors make a file invalid.
    is_there : bool
        Whether there is a file of that name at all.
    n_candidates, n_splits : int or None
        None where only the data can tell and they were not looked at. The candidates of
        successive halving are counted over all iterations.
    """

    file: str
    content: bytes = b""
    spec: "JobSpec | None" = None
    problems: tuple[Problem, ...] = ()
    n_candidates: int | None = None
    n_splits: int | None = None
    is_there: bool = True

    @property
    def is_valid(self) -> bool:
        """Whether foldq would take the file."""
        return not any(problem.is_error for problem in self.problems)

    @property
    def n_fits(self) -> int | None:
        """Folds to compute; the refit at the end is not counted."""
        if self.n_candidates is None or self.n_splits is None:
            return None
        return self.n_candidates * self.n_splits

    def to_dict(self) -> dict[str, Any]:
        """Give the verdict as JSON values."""
        return {
            "file": self.file,
            "valid": self.is_valid,
            "name": self.spec.name if self.spec else None,
            "n_candidates": self.n_candidates,
            "n_splits": self.n_splits,
            "n_fits": self.n_fits,
            "problems": [p.to_dict() for p in self.problems if p.is_error],
            "warnings": [p.to_dict() for p in self.problems if not p.is_error],
        }


def exit_code(verdicts: "Sequence[Verdict]") -> ExitCode:
    """Tell how a command ends: a file that is not there is a slip of the hand, not invalid."""
    if not all(verdict.is_there for verdict in verdicts):
        return ExitCode.USAGE
    invalid = not all(verdict.is_valid for verdict in verdicts)
    return ExitCode.INVALID_JOB_FILE if invalid else ExitCode.DONE


def judge(path: Path, settings: "Settings", *, name: str | None = None, data: bool) -> Verdict:
    """Check one job file, all its problems at once.

    Parameters
    ----------
    name : str, optional
        What the file is to be called; its own name by default.
    data : bool
        Load the data too: some problems only the data show, such as more folds than members
        of a class.
    """
    from service import jobfile

    content = b""
    try:
        content = jobfile.read_job_file(path, settings.limits.file_bytes)
        spec, warnings = jobfile.examine(content, name or path.name, settings)
    except InvalidJob as invalid:
        there = path.is_symlink() or path.is_file()
        return Verdict(str(path), content, problems=invalid.problems, is_there=there)
    if not data:
        return Verdict(
            str(path), content, spec, tuple(warnings), *_counts_without_data(spec, settings)
        )
    try:
        n_candidates, n_splits, more = _examine(spec, settings)
    except InvalidJob as invalid:
        problems = jobfile.placed((*warnings, *invalid.problems), content, name or path.name)
        return Verdict(str(path), content, spec, tuple(problems))
    problems = jobfile.placed((*warnings, *more), content, name or path.name)
    return Verdict(str(path), content, spec, tuple(problems), n_candidates, n_splits)


def _counts_without_data(spec: "JobSpec", settings: "Settings") -> tuple[int | None, int | None]:
    from service import planner
    from workers.catalog import Catalog

    n_splits: int | None
    if isinstance(spec.cv, int):
        n_splits = spec.cv
    else:
        try:
            splitter = Catalog(settings.catalog.estimators).cv(spec)
            n_splits = int(splitter.get_n_splits())
        except (TypeError, ValueError, AttributeError):  # it needs the data to tell
            n_splits = None
    return planner.count(spec.search), n_splits


def _examine(spec: "JobSpec", settings: "Settings") -> tuple[int | None, int, tuple[Problem, ...]]:
    """Load the data; give the number of candidates and of splits, and what to warn of."""
    from schemas.task import Prepared
    from service import planner
    from workers.catalog import Catalog
    from workers.data import examine
    from workers.trial import trial_problem

    catalog = Catalog(settings.catalog.estimators)
    examined = examine(spec, catalog, settings.all_data_roots)
    tried = trial_problem(spec, catalog, examined)
    n_splits = len(examined.splits)
    prepared = Prepared(
        fingerprint="",
        splits="",
        n_samples=examined.dataset.n_samples,
        n_features=None,
        n_splits=n_splits,
        n_classes=examined.n_classes,
        is_classifier=examined.classifier,
        min_train_size=examined.min_train_size,
        versions={},
    )
    notes = (*examined.warnings, *([] if tried is None else [tried]))
    return planner.count(spec.search, prepared), n_splits, notes


def verdict_screen(verdict: Verdict) -> "RenderableType":
    """Give a verdict for people: one line when all is well, else every problem with its way out."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    problems = [Padding.indent(problem_text(problem), 2) for problem in verdict.problems]
    if not verdict.is_valid:
        n = sum(problem.is_error for problem in verdict.problems)
        found = counted(n, "problem") + _warnings_too(len(problems) - n)
        head = Text.assemble(("✗ ", "bold red"), (verdict.file, "bold"), f": {found}")
        return Group(head, *problems)
    count = f"{counted(verdict.n_candidates, 'candidate')} × {counted(verdict.n_splits, 'split')}"
    is_known = verdict.n_fits is not None
    count += f" = {counted(verdict.n_fits, 'fit')}" if is_known else " (the data will tell)"
    count += _warnings_too(len(problems))
    head = Text.assemble(("✓ ", "bold green"), (verdict.file, "bold"), ": valid, ", count)
    return Group(head, *problems)


def _warnings_too(n: int) -> str:
    return f", {counted(n, 'warning')}" if n else ""


def problem_text(problem: Problem) -> "RenderableType":
    """Give a problem in lines: where and what, then what was given, expected, meant, and to do."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    place = problem.where + (f" (line {problem.line})" if problem.line is not None else "")
    head = Text()
    if place:
        head.append(f"{place}: ", style="bold cyan" if problem.is_error else "bold yellow")
    head.append(("" if problem.is_error else "warning: ") + problem.message)
    details = Table.grid(padding=(0, 2))
    details.add_column(style="dim", no_wrap=True)
    details.add_column()
    for label, value in (
        ("given", problem.given),
        ("expected", problem.expected),
        ("did you mean", problem.nearest and f"{problem.nearest}?"),
        ("hint", problem.hint),
    ):
        if value:
            details.add_row(label, Text(value))
    return Group(head, Padding.indent(details, 2)) if details.row_count else head
