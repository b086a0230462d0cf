"""How candidates are judged: scoring, refit, error_score."""

import math
from typing import Annotated, cast

from pydantic import Field, JsonValue

from schemas import values
from schemas.parts import Part, refusal
from schemas.problems import Problem, nearest, shown


def as_scoring(value: object) -> object:
    """Return `scoring` as it was written, or raise what is wrong with its form."""
    if isinstance(value, str) and value:
        return value
    if value is None:
        return None
    names = list(value) if isinstance(value, list | dict) else []
    scorers = list(value.values()) if isinstance(value, dict) else names
    if not names or not all(isinstance(name, str) and name for name in names + scorers):
        raise refusal(
            "Scoring is the name of a scorer, a list of names, or a mapping of a name of your "
            "choice to the name of a scorer.",
            given=shown(value),
            hint="For example: scoring: [accuracy, f1_macro].",
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise refusal("A metric stands twice.", given=shown(twice))
    if odd := [name for name in names if not name.isprintable() or name in ("one_se", "score")]:
        raise refusal("The name cannot be used for a metric.", given=shown(odd[0]))
    return dict(value) if isinstance(value, dict) else names


class OneStandardError(Part):
    """Choose the first candidate whose mean score is within one standard error of the best."""

    one_se: Annotated[str, Field(strict=True, min_length=1)] = Field(
        description="The metric to choose by.", examples=["f1_macro"]
    )


def as_refit(value: object) -> object:
    """Return `refit` with the long form of `one_se` as its model."""
    if isinstance(value, bool | OneStandardError) or (isinstance(value, str) and value):
        return value
    if isinstance(value, dict) and list(value) == ["one_se"] and isinstance(value["one_se"], str):
        return OneStandardError(one_se=value["one_se"])
    raise refusal(
        f"{shown(value)} does not fit here.",
        expected="true, false, the name of a metric, one_se, or {one_se: metric}",
    )


def as_error_score(value: object) -> object:
    """Return `error_score` as "raise" or a float."""
    if value == "raise":
        return value
    if isinstance(value, dict):
        special = values.special_float(cast(JsonValue, value))
        value = special if special is not None else value
    if isinstance(value, str) and value.strip().lower() in ("nan", ".nan"):
        return math.nan
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > 1e300:
        return float(value)  # NaN is not above anything either
    raise refusal(f"{shown(value)} does not fit here.", expected="nan, raise or a finite number")


def error_score_to_json(value: str | float) -> str | float:
    """Return `error_score` for JSON, which has no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


Scoring = str | list[str] | dict[str, str] | None
Refit = bool | str | OneStandardError


def refit_problem(scoring: Scoring, refit: Refit, *, halving: bool) -> Problem | None:
    """Return what is wrong between `scoring`, `refit` and the strategy, by scikit-learn's rules."""
    several = isinstance(scoring, list | dict)
    metrics = tuple(scoring) if isinstance(scoring, list | dict) else ()
    one_se = refit == "one_se" or isinstance(refit, OneStandardError)
    chosen_by = refit.one_se if isinstance(refit, OneStandardError) else refit
    if halving and several:
        return Problem(
            "scoring",
            "Successive halving judges by one metric only.",
            given=shown(list(metrics)),
            hint=f"Write scoring: {metrics[0]}, or use strategy: grid or random.",
        )
    if halving and one_se:
        return Problem(
            "refit",
            "one_se has no meaning with successive halving: its candidates see unequal data.",
            hint="Write refit: true.",
        )
    if not several:
        if isinstance(chosen_by, str) and chosen_by not in ("score", "one_se", scoring):
            return Problem(
                "refit",
                f"The only metric is {scoring or 'the score of the estimator'}.",
                given=shown(chosen_by),
                expected="true, false or one_se",
                nearest=str(scoring) if scoring and nearest(chosen_by, [str(scoring)]) else None,
                hint="With one metric, write refit: true.",
            )
        return None
    if refit is True:
        return Problem(
            "refit",
            "With a list or mapping of metrics, refit names the one to choose by.",
            expected="one of " + ", ".join(metrics) + ", or false",
            hint=f"For example: refit: {metrics[0]}.",
        )
    if refit == "one_se":
        return Problem(
            "refit",
            "With a list or mapping of metrics, one_se needs the metric to choose by.",
            hint=f"For example: refit: {{one_se: {metrics[0]}}}.",
        )
    if refit is not False and chosen_by not in metrics:
        return Problem(
            "refit",
            f"{shown(chosen_by)} is not among the metrics.",
            expected="one of " + ", ".join(metrics) + ", or false",
            nearest=nearest(chosen_by, metrics),
        )
    return None
