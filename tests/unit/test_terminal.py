"""How numbers, times and parameters look to people."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from service.commands.terminal import clock, counted, duration, params, score, value_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1:00"),
        (185, "3:05"), (3600, "1:00:00"), (7384, "2:03:04"), (100 * 3600, "4 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (0.97329, "0.9733"), (1.0, "1.0000"), (0, "0.0000"), (-1234.5678, "-1234.57"),
        (1.234e-05, "1.234e-05"), (-2.5e9, "-2.5e+09"), (math.nan, "nan"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_scores(value, text):
    assert score(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (10.0, "10"), (0.1 + 0.2, "0.3"), ("rbf", "rbf"),
        ({"$tuple": [10]}, "(10,)"), ({"$tuple": [10, {"$tuple": [5, 5]}]}, "(10, (5, 5))"),
        ({"$type": "SVC"}, "SVC()"), ({"$type": "SVC", "C": 1.0}, "SVC(C=1)"),
        ({"$float": "-inf"}, "-inf"), ({"$function": "f_classif"}, "f_classif"),
        ([1, "a"], "[1, a]"), ({"a": 1}, "{a: 1}"),
    ],
)  # fmt: skip
def test_values(value, text):
    assert value_text(value) == text
    assert params({"name": value}) == f"name={text}"


def test_one_thing_is_no_plural():
    told = [counted(n, "candidate") for n in (0, 1, 1200, None)]
    assert told == ["0 candidates", "1 candidate", "1,200 candidates", "? candidates"]


def test_times_have_their_date_when_not_of_today():
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).astimezone()
    assert clock(now, now) == now.strftime("%H:%M:%S")
    assert clock(now - timedelta(days=3), now) == (now - timedelta(days=3)).strftime(
        "%Y-%m-%d %H:%M"
    )
    assert clock(None, now) == ""
