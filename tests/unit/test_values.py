"""The grammar of values: what it says is what NumPy says, and what is malformed is told."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.durations import seconds
from schemas.grammar import USAGE, check_space_value, check_value
from schemas.values import (
    UnusableValueError,
    canonical,
    expand,
    is_distribution,
    size,
    special_float,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"))
)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=5)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_canonical_values_survive_json_and_a_second_reading(value):
    once = canonical(value)
    assert check_value(once) == []
    text = json.dumps(once, allow_nan=False)
    assert canonical(json.loads(text)) == once


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ({"$logspace": [-2, 3, 6]}, np.logspace(-2, 3, 6).tolist()),
        ({"$linspace": [0, 1, 7]}, np.linspace(0, 1, 7).tolist()),
        ({"$geomspace": [1e-4, 10, 11]}, np.geomspace(1e-4, 10, 11).tolist()),
        ({"$range": [2, 11, 3]}, [2, 5, 8]),
        ({"$range": 3}, [0, 1, 2]),
        ({"$range": [5, 0, -2]}, [5, 3, 1]),
        ({"$choice": ["a", None]}, ["a", None]),
        ([1, "auto"], [1, "auto"]),
    ],
)
def test_lists_are_what_numpy_and_python_make_of_them(value, values):
    assert check_space_value(value) == []
    assert expand(value) == values
    assert size(value) == len(values)


def test_numbers_are_plain_so_that_json_holds_them():
    assert all(type(number) is float for number in expand({"$logspace": [0, 2, 3]}))
    assert all(type(number) is int for number in expand({"$range": [0, 4]}))


def test_distributions_have_no_size():
    value = {"$loguniform": [1e-3, 10]}
    assert is_distribution(value)
    assert size(value) is None
    assert not is_distribution({"$logspace": [0, 1, 2]})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"$logspace": [0, 1]}, "three numbers"),
        ({"$logspace": [0, 1, 0]}, "whole number from 1"),
        ({"$logspace": ["a", 1, 3]}, "ends are numbers"),
        ({"$logspace": [0, 400, 3]}, "10^300"),
        ({"$geomspace": [-1, 1, 3]}, "same side of zero"),
        ({"$linspace": [0, 1, 10**9]}, "1,000,000,000 values"),
        ({"$range": [0, 10**12]}, "1,000,000,000,000 values"),
        ({"$range": [3, 3]}, "range is empty"),
        ({"$range": [0, 3, 0]}, "step is not zero"),
        ({"$range": [0.5, 3]}, "whole numbers"),
        ({"$uniform": [1, 0]}, "low is below high"),
        ({"$loguniform": [0, 1]}, "above zero"),
        ({"$randint": [0.5, 3]}, "whole numbers"),
        ([], "empty"),
        ({"$choice": []}, "empty"),
        (3, "needs a list"),
        ("rbf", "needs a list"),
        ({"$type": "SVC"}, "needs a list"),
        ([{"$uniform": [0, 1]}], "whole of a parameter"),
        ([{"$choice": [1, 2]}], "whole of a parameter"),
        ([{"$float": "pi"}], "nan, inf and -inf"),
        ([{"$tuple": 3}], "list of values"),
        ([{"$dict": [[1, 2], [1, 3]]}], "stands twice"),
        ([{"$type": 3}], "name of a class"),
        ([{"$tuple": [1], "other": 2}], "stands alone"),
        ([{"$tuple": [1], "$float": "nan"}], "one $ key only"),
    ],
)
def test_what_is_malformed_is_told(value, words):
    [problem, *_] = check_space_value(value, "search.space.C")
    assert words in str(problem)
    assert problem.where.startswith("search.space.C")


def test_an_unknown_key_names_the_nearest():
    [problem] = check_space_value({"$lognspace": [0, 1, 2]}, "space.C")
    assert problem.nearest == "$logspace"
    assert "$uniform" in problem.expected


def test_absurd_sizes_are_told_without_listing_them():
    assert size({"$linspace": [0, 1, 10**15]}) == 10**15


def test_what_json_lacks_gets_a_spelling():
    assert canonical(math.inf) == {"$float": "inf"}
    assert canonical({0: 1.0, 1: 5.0}) == {"$dict": [[0, 1.0], [1, 5.0]]}
    assert canonical([{"$null": True}]) == [None]
    assert canonical({"$float": math.nan}) == {"$float": "nan"}
    assert math.isnan(special_float({"$float": "nan"}))


@pytest.mark.parametrize("value", [2**63, "\ud800", "a\0b", object(), {"a": {1, 2}}, {(1, 2): 3}])
def test_what_cannot_be_kept_is_refused(value):
    with pytest.raises(UnusableValueError):
        canonical(value)


def test_deep_nesting_is_refused_not_followed():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnusableValueError, match="nested"):
        canonical(deep)


def test_every_key_says_how_it_is_written():
    assert all(usage.startswith(f"{{{key}:") for key, usage in USAGE.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 600), ("2s", 2), ("1h30m", 5400), ("500ms", 0.5), ("1.5 h", 5400), (7, 7),
        ("0s", 0), ("2", 2), (" 0.5 ", 0.5),
    ],
)  # fmt: skip
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "1h30", "1 2", ".", "m", "10 minutes", "-1", "-1s", "1s" * 50,
        -1, math.nan, math.inf, True, None, 1e20,
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="span of time"):
        seconds(text)
