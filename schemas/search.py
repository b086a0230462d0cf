"""Which candidates a job tries, and in which order."""

import math
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema, model_validator

from schemas import grammar, values
from schemas.explain import complaint
from schemas.parts import Part, refusal
from schemas.problems import Problem, nearest, shown

Strategy = Literal["grid", "random", "halving_grid", "halving_random"]


Space = dict[str, JsonValue]


def _as_space(value: object) -> object:
    spaces = value if isinstance(value, list) else [value]
    problems: list[Problem] = []
    result: list[JsonValue] = []
    if not any(spaces):
        raise refusal(
            "The search space is empty.",
            hint="Name at least one parameter and the values to try.",
        )
    for i, space in enumerate(spaces):
        where = f"[{i}]" if isinstance(value, list) else ""
        if not isinstance(space, dict) or not all(isinstance(key, str) for key in space):
            problems.append(
                Problem(
                    where,
                    "A search space is a mapping of parameter names to the values to try, "
                    "or a list of such mappings.",
                    given=shown(space),
                )
            )
            continue
        if dollar := [key for key in space if key.startswith("$")]:
            problems.append(
                Problem(where, "A parameter's name stands here.", given=shown(dollar[0]))
            )
            continue
        try:
            checked = cast(Space, values.canonical(space))
        except values.UnusableValueError as error:
            problems.append(error.problem.below(where))
            continue
        for name, item in checked.items():
            problems += [p.below(where) for p in grammar.check_space_value(item, name)]
        result.append(checked)
    if problems:
        raise complaint(*problems)
    return result if isinstance(value, list) else result[0]


#: Options of a strategy and their defaults, which are scikit-learn's. No other has a meaning.
_OPTIONS: dict[str, dict[str, Any]] = {
    "grid": {},
    "random": {"n_iter": 10, "seed": None},
    "halving_grid": {
        "seed": None,
        "factor": 3,
        "resource": "n_samples",
        "min_resources": "exhaust",
        "max_resources": "auto",
        "aggressive_elimination": False,
    },
    "halving_random": {
        "seed": None,
        "factor": 3,
        "resource": "n_samples",
        "min_resources": "smallest",
        "max_resources": "auto",
        "aggressive_elimination": False,
        "n_candidates": "exhaust",
    },
}


def _whole_or(*words: str) -> BeforeValidator:
    """Return a validator for a whole number from 1 or one of the words."""

    def check(value: object) -> object:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if value is None or is_count or value in words:
            return value
        raise refusal(
            f"{shown(value)} does not fit here.",
            expected="a whole number from 1, or " + " or ".join(words),
            nearest=nearest(value, words),
        )

    return BeforeValidator(check)


class SearchSpec(Part):
    """How candidates are chosen. Options keep scikit-learn's names and defaults."""

    strategy: Strategy = Field(
        default="grid",
        description="grid and random try every candidate on every split; the halving ones give "
        "all candidates few resources first and go on with the best.",
        examples=["random"],
    )
    space: Annotated[
        Space | list[Space],
        BeforeValidator(_as_space),
        WithJsonSchema({"$ref": "#/$defs/Space"}),
    ] = Field(
        description="Parameters and the values to try, or a list of such mappings.",
        examples=[{"svc__C": {"$logspace": [-2, 3, 6]}, "svc__gamma": [0.01, "scale"]}],
    )
    n_iter: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None,
        description="random: how many candidates to draw; default 10.",
        examples=[40],
    )
    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)] | None = Field(
        default=None,
        description="random and halving: the search's random_state; drawn at admission and "
        "recorded when missing.",
        examples=[0],
    )
    factor: Annotated[float, Field(strict=True, gt=1, allow_inf_nan=False)] | None = Field(
        default=None,
        description="halving: one in `factor` candidates goes on; default 3.",
        examples=[2],
    )
    resource: Annotated[str, Field(strict=True, min_length=1)] | None = Field(
        default=None,
        description="halving: what grows with the iterations, n_samples or a parameter of the "
        "estimator that takes whole numbers; default n_samples.",
        examples=["n_estimators"],
    )
    min_resources: Annotated[int | str | None, _whole_or("exhaust", "smallest")] = Field(
        default=None,
        description="halving: resources of the first iteration; default exhaust "
        "(halving_random: smallest).",
        examples=[100],
    )
    max_resources: Annotated[int | str | None, _whole_or("auto")] = Field(
        default=None,
        description="halving: most resources for one candidate; default auto.",
        examples=[2000],
    )
    aggressive_elimination: Annotated[bool, Field(strict=True)] | None = Field(
        default=None,
        description="halving: repeat the first iteration until `factor` candidates are left for "
        "the last; default false.",
        examples=[True],
    )
    n_candidates: Annotated[int | str | None, _whole_or("exhaust")] = Field(
        default=None,
        description="halving_random: candidates of the first iteration; default exhaust.",
        examples=[27],
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: object) -> object:
        strategy = given.get("strategy", "grid") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(strategy, str):
            return given  # the fields say what is wrong
        options = _OPTIONS.get(strategy, {})
        return {
            **given,
            **{name: value for name, value in options.items() if given.get(name) is None},
        }

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := self.misfits():
            raise complaint(*problems)
        return self

    def misfits(self) -> list[Problem]:
        """Return what is wrong between fields that are fine each by itself."""
        options = _OPTIONS[self.strategy]
        every = {name for names in _OPTIONS.values() for name in names}
        problems = [
            Problem(
                name,
                f"{name} has no meaning with strategy: {self.strategy}.",
                hint="It belongs to "
                + " and ".join(s for s, names in _OPTIONS.items() if name in names)
                + ".",
            )
            for name in sorted(every - set(options))
            if getattr(self, name) is not None
        ]
        if self.strategy in ("grid", "halving_grid"):
            problems += [
                Problem(
                    f"space.{name}" if isinstance(self.space, dict) else f"space[{i}].{name}",
                    f"strategy: {self.strategy} tries every value, and a distribution has no end.",
                    given=shown(value),
                    hint="List the values, or write strategy: "
                    + ("random." if self.strategy == "grid" else "halving_random."),
                )
                for i, space in enumerate(self.spaces)
                for name, value in space.items()
                if values.is_distribution(value)
            ]
        if self.min_resources == "exhaust" and self.n_candidates == "exhaust":
            problems.append(
                Problem(
                    "n_candidates",
                    "n_candidates and min_resources cannot both be exhaust.",
                    hint="Give one of them a number.",
                )
            )
        return problems

    @property
    def spaces(self) -> list[Space]:
        """The search space as a list of mappings, however it was written."""
        return self.space if isinstance(self.space, list) else [self.space]

    @property
    def is_halving(self) -> bool:
        """Whether candidates are dropped from iteration to iteration."""
        return self.strategy.startswith("halving")

    @property
    def grid_size(self) -> int | None:
        """Number of points in the search space, or None when it holds a distribution."""
        total = 0
        for space in self.spaces:
            sizes = [values.size(value) for value in space.values()]
            if None in sizes:
                return None
            total += math.prod(cast(list[int], sizes))
        return total

    @property
    def n_first_candidates(self) -> int | None:
        """Number of candidates to begin with; None where only the data can tell."""
        if self.strategy in ("grid", "halving_grid"):
            return self.grid_size
        wanted = self.n_iter if self.strategy == "random" else self.n_candidates
        if not isinstance(wanted, int):
            return None
        return wanted if self.grid_size is None else min(wanted, self.grid_size)
