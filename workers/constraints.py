"""Ask scikit-learn itself whether a parameter's value is one that it takes.

`_parameter_constraints` is private to scikit-learn, so everything here may answer "not known":
then the value is left for the fit to judge. A contract test tells when its form changes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.problems import nearest


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a value is not taken: what would be, and the valid word closest to it."""

    expected: str
    nearest: str | None


def violation(owner: Any, param: str, value: Any) -> Violation | None:
    """Return how `value` breaks scikit-learn's own rule for a parameter.

    Parameters
    ----------
    owner : class, estimator or function
        What has the parameter.
    param : str
    value : object
        Built, not as spelled in the job file.

    Returns
    -------
    Violation or None
        None when the value is fine, or when nothing is known about it.
    """
    table = getattr(owner, "_parameter_constraints", None)
    if table is None:
        table = getattr(owner, "_skl_parameter_constraints", None)
    if not isinstance(table, dict) or not isinstance(table.get(param), list):
        return None
    try:
        from sklearn.utils._param_validation import StrOptions, make_constraint

        rules = [make_constraint(rule) for rule in table[param]]
        if any(rule.is_satisfied_by(value) for rule in rules):
            return None
        # A job file has no callables, so they are not worth naming.
        visible = [rule for rule in rules if not rule.hidden and str(rule) != "a callable"]
        words = [word for rule in visible if isinstance(rule, StrOptions) for word in rule.options]
        expected = ", or ".join(_readable(str(rule)) for rule in visible)
    except Exception:  # whatever a private interface may raise once it changes
        return None
    return Violation(expected, nearest(value, words) if isinstance(value, str) else None)


def _readable(rule: str) -> str:
    """Return scikit-learn's description of a rule in shorter words."""
    options = re.fullmatch(r"a str among \{(.*)\}(.*)", rule)
    if options:
        return "one of " + ", ".join(sorted(_words(options[1])))
    return rule.replace("'", "").replace("np.inf", "inf")


def _words(listed: str) -> Iterable[str]:
    return (word.strip().strip("'") for word in listed.split(","))
