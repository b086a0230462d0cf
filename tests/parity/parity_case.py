"""What a parity case is: a job file, and the search that a scikit-learn user would write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any


@dataclass(frozen=True)
class Case:
    """A job file beside the scikit-learn code that means the same.

    Attributes
    ----------
    name : str
        Of the function; also the job's.
    job : str
        YAML.
    search : callable
        Given the directory of data files, returns the fitted search. It is written by hand and
        knows nothing of foldq, so a misreading of the job file shows.
    """

    name: str
    job: str
    search: Callable[[Path], Any]


class Cases(list[Case]):
    """The cases of one module, in the order in which they are written."""

    def case(self, job: str) -> Callable[[Callable[[Path], Any]], Callable[[Path], Any]]:
        """Return a decorator that puts a job file beside the function that means the same."""

        def beside(search: Callable[[Path], Any]) -> Callable[[Path], Any]:
            self.append(Case(search.__name__, dedent(job), search))
            return search

        return beside
