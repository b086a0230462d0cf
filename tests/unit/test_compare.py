"""Two searches beside each other."""

import json
import math

import numpy as np
import pytest
from fabricated import SPEC, Fabricated
from rich.console import Console
from scipy import stats

from service.commands.screen_compare import compare_screen, signed
from service.compare import NoSuchMetric, as_json, compare, pair
from service.differing import ABSENT, differences
from service.jsontext import dumps
from service.records import find_job

PREPARED = {
    "fingerprint": "f" * 64, "splits": "5" * 64, "n_samples": 100, "min_train_size": 80,
}  # fmt: skip


@pytest.fixture
def records(tmp_path):
    return Fabricated(tmp_path)


def searched(records: Fabricated, scores: dict[float, list[float]], **columns) -> int:
    """Add a search: {C: its scores}."""
    means = {c: np.mean(found) for c, found in scores.items()}
    prepared = columns.pop("prepared", PREPARED)
    best = max(means, key=means.get)
    job_id = records.job(
        f"search-{len(means)}",
        file_name=f"{np.random.default_rng().random()}.yaml",
        n_splits=len(scores[best]),
        n_candidates=len(scores),
        data_fingerprint=prepared["fingerprint"] if prepared else None,
        **{"best_index": list(means).index(best), "spec": {"search": space(scores)}, **columns},
    )
    if prepared:
        records.update(job_id, prepared=json.dumps(prepared))
    for number, (c, found) in enumerate(scores.items()):
        candidate = records.candidate(job_id, number, {"C": c}, n_resources=50)
        for split, score in enumerate(found):
            records.fold(job_id, candidate, split, {"score": score})
    return job_id


def space(scores: dict) -> dict:
    return {"strategy": "grid", "space": {"C": list(scores)}}


def compared(records: Fabricated, *job_ids: int, **options):
    jobs = [find_job(records.db.conn, job_id) for job_id in job_ids]
    return compare(records.db.conn, jobs, cache=records.spool / "cache", **options)


FIRST = {1: [0.8, 0.7, 0.9, 0.8, 0.85], 10: [0.5, 0.5, 0.5, 0.5, 0.5]}
SECOND = {1: [0.8, 0.75, 0.9, 0.8, 0.85], 100: [0.9, 0.8, 0.9, 0.85, 0.95]}


def test_the_test_is_that_of_nadeau_and_bengio():
    one, other = np.array(FIRST[1]), np.array(SECOND[100])
    found = pair(one, other, 20 / 80)
    # As scikit-learn's example "Statistical comparison of models using grid search" has it.
    each = other - one
    corrected = np.sqrt(np.var(each, ddof=1) * (1 / 5 + 20 / 80))
    t = np.mean(each) / corrected
    assert found.mean == pytest.approx(np.mean(each))
    assert found.sem == pytest.approx(corrected)
    assert found.t == pytest.approx(t)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 4))
    plain = stats.ttest_rel(other, one).pvalue
    assert found.p > plain, "it is more careful than a plain paired t-test"


def test_differences_that_are_all_alike_are_not_tested():
    assert math.isnan(pair([0.5, 0.5], [0.5, 0.5], 0.5).p)
    alone = pair([0.5], [0.75], 0.5)
    assert (alone.mean, alone.n, math.isnan(alone.sem)) == (0.25, 1, True)
    missing = pair([0.5, math.nan, 0.5], [0.75, 0.5, 1.0], 0.5)
    assert (missing.n, missing.mean) == (2, 0.375)


def test_shared_splits_are_compared_one_by_one(records):
    comparison = compared(records, searched(records, FIRST), searched(records, SECOND))
    (against,) = comparison.against
    assert against.unpaired_because is None
    assert against.paired.differences == pytest.approx((0.1, 0.1, 0.0, 0.05, 0.1))
    assert against.difference == pytest.approx(0.07)
    assert comparison.metric == "score"
    common = against.common
    assert (common.n, common.n_better, common.n_worse) == (1, 1, 0)
    assert common.mean == pytest.approx(0.01)
    assert [(d.path, d.values) for d in comparison.differences] == [
        ("search.space.C", ([1, 10], [1, 100])),
    ]
    assert json.loads(dumps(as_json(comparison)))["against_first"][0]["paired"]["n"] == 5


@pytest.mark.parametrize(
    ("prepared", "because"),
    [
        (PREPARED | {"fingerprint": "e" * 64}, "their data differ"),
        (PREPARED | {"splits": "6" * 64}, "split in different ways"),
        (None, "not prepared"),
    ],
)
def test_other_splits_are_not_paired(records, prepared, because):
    first, second = searched(records, FIRST), searched(records, SECOND, prepared=prepared)
    (against,) = compared(records, first, second).against
    assert against.paired is None
    assert because in against.unpaired_because
    assert against.difference == pytest.approx(0.07)
    assert against.sem > 0


def test_halving_on_fewer_samples_is_not_paired_with_a_whole_search(records):
    search = space(SECOND) | {"strategy": "halving_grid", "resource": "n_samples", "seed": 3}
    halving = searched(records, SECOND, spec={"search": search})
    (against,) = compared(records, searched(records, FIRST), halving).against
    assert "different parts of the splits" in against.unpaired_because
    other = searched(records, FIRST, spec={"search": search})
    assert compared(records, halving, other).against[0].paired is not None


def test_a_metric_by_its_scorers_name(records):
    single = searched(records, FIRST, spec={"scoring": "accuracy"})
    other = searched(records, SECOND, spec={"scoring": "r2"})
    neither = compared(records, single, other)
    assert neither.metric is None
    assert [best.mean for best in neither.bests.values()] == pytest.approx([0.81, 0.88])
    assert as_json(neither)["jobs"][1]["metric"] == "r2"
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(compare_screen(neither))
    told = " ".join(captured.get().split())
    assert "accuracy 0.8100 ± 0.0332" in told, "each has its own best"
    assert "no differences of scores to tell: job 1 accuracy, job 2 r2." in told
    assert compared(records, single, searched(records, SECOND, spec={"scoring": "accuracy"})).metric
    with pytest.raises(NoSuchMetric):
        compared(records, single, other, metric="accuracy")


def test_a_search_without_scores(records):
    waiting = records.job("waiting", state="queued")
    (against,) = compared(records, searched(records, FIRST), waiting).against
    assert math.isnan(against.difference)
    assert against.paired is None


def test_only_what_means_another_thing_differs(records):
    steps = [["scale", "StandardScaler"], ["svc", {"$type": "SVC", "C": 1}]]
    specs = [
        {"estimator": {"$type": "Pipeline", "steps": steps}, "cv": "KFold", "tags": ["a"]},
        {
            "estimator": {
                "$type": "Pipeline",
                "steps": [["scale", {"$type": "StandardScaler"}], ["svc", {"$type": "SVC"}]],
            },
            "cv": {"$type": "KFold"},
            "timeout": None,
            "priority": 3,
        },
    ]
    jobs = [
        find_job(records.db.conn, records.job(str(i), spec={**SPEC, **spec}))
        for i, spec in enumerate(specs)
    ]
    assert [(d.path, d.values) for d in differences(jobs)] == [
        ("estimator.steps.svc.C", (1, ABSENT)),
    ]


def test_differences_have_their_sign():
    assert [signed(x) for x in (0.0125, -0.5, 0.00056, 0.0, math.nan, -1234.5)] == [
        "+0.0125", "-0.5000", "+0.0006", "0.0000", "–", "-1234.50",
    ]  # fmt: skip
