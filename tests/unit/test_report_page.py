"""The page of a search: its plots, its tables, what it leaves out, and that it obeys nobody."""

import json
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from fabricated import Fabricated, at

from service.records import find_job, open_records
from service.report import figures, render
from service.report.axes import axes, short_labels
from service.report.drawing import frame
from service.report.importance import importance
from service.report.material import Material, thinned

NASTY = "</script><script>alert(1)</script><!-- \u202e\x1b[31m\"'&"


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def db(spool):
    return Fabricated(spool)


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict, str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._within: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._within = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._within != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def search(db, space, score, **job) -> int:
    """A finished search over a list of parameters, three splits, scored by a function."""
    spec = {"search": {"strategy": "grid", "space": {}}, **job.pop("spec", {})}
    job_id = db.job(
        **{"n_splits": 3, "n_candidates": len(space), "n_tasks": 3 * len(space),
           "n_done": 3 * len(space), "spec": spec, **job}
    )  # fmt: skip
    for number, params in enumerate(space):
        candidate = db.candidate(job_id, number, params)
        for split in range(3):
            value = score(params) + split / 1000
            db.fold(
                job_id,
                candidate,
                split,
                {"score": value},
                finished_at=f"2026-03-01T12:00:{number % 60:02}+00:00",
            )
    return job_id


def drawn(spool, job_id) -> dict:
    with open_records(spool / "foldq.db") as records:
        return {figure.key: figure for figure in figures(records, find_job(records, job_id))}


def page_of(spool, job_id, **options) -> str:
    with open_records(spool / "foldq.db") as records:
        return render(records, find_job(records, job_id), results=spool / "results", **options)


def material_of(spool, job_id) -> Material:
    with open_records(spool / "foldq.db") as records:
        return Material.read(records, find_job(records, job_id))


GRID = [{"svc__C": c, "svc__gamma": g} for c in (0.1, 1, 10, 100) for g in (0.01, 0.1, "scale")]


def test_a_grid_has_the_plots_people_look_for_and_plotly_takes_them(db, spool):
    job_id = search(db, GRID, lambda p: 0.5 + np.log10(p["svc__C"]) / 10)
    plots = drawn(spool, job_id)
    assert list(plots) == [
        "progress", "importance", "parallel", "heat-map", "parameter-1", "parameter-2",
        "fit-time", "folds",
    ]  # fmt: skip
    for figure in plots.values():
        assert figure.plot.data, figure.key  # checked by plotly's own validators
        assert json.loads(figure.to_json())["layout"]["height"]


@pytest.mark.parametrize(
    ("state", "n_done"), [("queued", 0), ("failed", 0), ("cancelled", 1), ("running", 1)]
)
def test_a_job_in_any_state_has_a_page(db, spool, state, n_done):
    job_id = db.job(state=state, n_splits=3 if n_done else None, n_candidates=2 * n_done,
                    reason="because", n_tasks=6, n_done=n_done)  # fmt: skip
    if n_done:
        db.fold(job_id, db.candidate(job_id, 0, {"C": 1}), 0, {"score": 0.5})
        db.candidate(job_id, 1, {"C": 2})
    text = Page(page_of(spool, job_id)).text
    assert f"digits-svc {state}" in text
    assert "because" in text


def test_scores_that_are_not_numbers_are_shown_as_missing(db, spool):
    values = {1: float("nan"), 2: float("inf"), 3: 0.5, 4: 0.25}
    job_id = search(db, [{"C": c} for c in values], lambda p: values[p["C"]])
    plots = drawn(spool, job_id)
    assert "NaN" not in "".join(figure.to_json() for figure in plots.values())
    assert plots["progress"].drawing.traces[0]["y"].tolist() == pytest.approx([0.501, 0.251])
    assert "Candidates" in page_of(spool, job_id)


def test_nothing_of_a_user_is_markup_or_ends_a_script(db, spool):
    job_id = search(
        db, [{"C": NASTY + str(n), "gamma": n} for n in range(12)], lambda p: p["gamma"] / 12,
        name=NASTY, tags=[NASTY], estimator=NASTY, data=NASTY, reason=NASTY,
        file_bytes=NASTY.encode(), best_index=1, best_score=0.5, best_params={"C": NASTY},
    )  # fmt: skip
    db.fold(job_id, db.candidate(job_id, 99, {"C": NASTY}), 0, error=f"Boom\n{NASTY}")
    db.event("job noted", NASTY, job_id=job_id)
    honest = search(db, [{"C": str(n), "gamma": n} for n in range(12)], lambda p: p["gamma"] / 12)
    text, page = page_of(spool, job_id), Page(page_of(spool, job_id))
    assert page.tags.count("script") == Page(page_of(spool, honest)).tags.count("script")
    assert "alert(1)" in page.text  # as words
    assert not {"\x1b", "\u202e"} & set(text)
    for attrs, content in page.scripts:
        if attrs.get("type") == "application/json":
            json.loads(content)
        if attrs.get("type"):
            assert "<" not in content


def test_only_the_scripts_of_the_page_itself_may_run(db, spool):
    text = page_of(spool, db.finished_search())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    (scripts,) = re.findall(r"script-src ([^;]+);", policy)
    assert not re.search("unsafe|http", scripts)
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert 'src="http' not in text


def test_a_page_that_is_served_leaves_plotly_out_and_fetches_itself_anew(db, spool):
    job_id = db.job(state="running", n_splits=2)
    text = page_of(spool, job_id, script_url="/static/plotly.min.js", refresh=5, home="/")
    assert len(text) < 200_000
    assert '<script defer src="/static/plotly.min.js">' in text
    assert 'data-refresh="5"' in text
    assert '<a href="/">All jobs</a>' in text
    ended = db.finished_search("other")
    assert "data-refresh" not in page_of(spool, ended, script_url="/p.js", refresh=5)


def test_the_table_is_ranked_with_standard_errors_and_each_split(db, spool):
    job_id = search(db, GRID, lambda p: float(np.log10(p["svc__C"])))
    words = Page(page_of(spool, job_id)).text
    # Of three splits 0.001 apart: the standard error is 0.000577.
    assert re.search(r"1 9 2\.0010 ± 0\.0006 100 0\.01", words)
    assert "split 2: 2.0020" in words


def test_of_a_large_search_the_page_has_the_best_and_stays_small(db, spool):
    random = np.random.default_rng(0)
    space = [{f"p{i}": float(random.random()) for i in range(12)} for _ in range(3000)]
    job_id = db.job(n_splits=1, n_candidates=3000, n_tasks=3000, n_done=3000)
    with db.db.conn as connection:
        connection.executemany(
            "INSERT INTO candidate (id, job_id, number, params) VALUES (?, ?, ?, ?)",
            [(n + 1, job_id, n, json.dumps(params)) for n, params in enumerate(space)],
        )
        connection.executemany(
            "INSERT INTO task (job_id, kind, candidate_id, split, state, test_scores, fit_time,"
            " score_time, finished_at) VALUES (?, 'fold', ?, 0, 'done', ?, 0.5, 0.1, ?)",
            [
                (job_id, n + 1, json.dumps({"score": params["p0"]}), at(n))
                for n, params in enumerate(space)
            ],
        )
    text = page_of(spool, job_id)
    assert len(text.encode()) < 3_000_000
    page = Page(text)
    assert "The best 200 of 3,000" in page.text
    assert "random forest on 3,000 candidates" in page.text
    best = max(range(3000), key=lambda row: space[row]["p0"])
    assert f"1 {best} {space[best]['p0']:.4f}" in page.text


def test_failures_stand_together_by_their_error_with_one_traceback(db, spool):
    job_id = db.job(n_splits=3, n_candidates=2, n_tasks=6, n_failed=6)
    for number in range(2):
        candidate = db.candidate(job_id, number, {"C": number})
        for split in range(3):
            db.fold(job_id, candidate, split, error=f"line {number}{split}\nValueError: too small")
    words = Page(page_of(spool, job_id)).text
    assert "6 × ValueError: too small first: candidate 0, split 0 line 00" in words
    assert "line 01" not in words


def test_the_estimator_is_scikit_learns_view_with_the_best_parameters(db, spool):
    job_id = db.finished_search()
    text = page_of(spool, job_id)
    assert '<div class="model"' in text
    assert "SVC" in text
    assert "onclick" not in text
    unknown = db.finished_search("other", spec={"estimator": "Nobody"}, estimator="Nobody")
    assert '<div class="model"' not in page_of(spool, unknown)


def test_times_are_those_of_the_commands_and_say_where(db, spool, monkeypatch):
    job_id = db.finished_search()
    try:
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        assert "2026-03-01 13:01:01 UTC+01:00" in page_of(spool, job_id)
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert "2026-03-01 12:01:01 UTC" in page_of(spool, job_id)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_large_scores_have_as_many_digits_as_their_errors(db, spool):
    job_id = search(db, [{"C": c} for c in (1, 2)], lambda p: -4000 - 1000 * p["C"])
    assert "-5000.00 ± 0.00" in Page(page_of(spool, job_id)).text


def test_one_score_for_each_value_is_a_point_and_many_are_a_box(db, spool):
    one = search(db, [{"C": c} for c in (0.1, 1, 10)], lambda p: p["C"])
    assert drawn(spool, one)["parameter-1"].drawing.traces[0]["type"] == "scatter"
    assert drawn(spool, one)["parameter-1"].what == "logarithmic"
    plots = drawn(spool, search(db, GRID, lambda p: p["svc__C"], name="grid"))
    assert plots["parameter-1"].drawing.traces[0]["type"] == "box"


def test_numbers_beside_a_plot_are_short_unless_that_makes_them_alike():
    thirds = [{"a": 10 ** (n / 2), "b": 1 + n / 1e5, "c": 123456 + n} for n in range(-7, 0)]
    a, b, c = axes(thirds, {})
    assert a.ticks(a.distinct)[0] == "0.0003162"
    assert b.ticks(b.distinct) == [b.spelled(place) for place in b.distinct]
    assert c.ticks(c.distinct)[0] == "123449"


# --- engines -------------------------------------------------------------------------------------


def test_the_engines_chart_shows_batches_from_when_the_engine_was_free_and_who_was_lost(db, spool):
    job_id = db.job(n_splits=2, n_candidates=2, n_tasks=4, n_done=4, started_at=at(0))
    one, other = (
        db.engine(0),
        db.engine(1, left_at=at(7), left_because="killed"),
    )
    candidates = [db.candidate(job_id, n, {"C": n}) for n in range(2)]
    tasks = [
        db.fold(job_id, candidate, split, {"score": 0.5})
        for candidate in candidates
        for split in range(2)
    ]
    db.attempt(tasks[0], one, "ok", batch=1, submitted_at=at(1), finished_at=at(3))
    db.attempt(tasks[1], one, "ok", batch=2, submitted_at=at(1), finished_at=at(5))  # it waited
    db.attempt(tasks[2], other, "engine_lost", batch=3, submitted_at=at(4), finished_at=at(7))
    db.attempt(tasks[3], other, "returned", batch=4, submitted_at=at(4), finished_at=at(7))
    figure = drawn(spool, job_id)["engines"]
    by_name = {trace["name"]: trace for trace in figure.drawing.traces}
    assert by_name["folds"]["base"] == pytest.approx([1, 3], abs=0.01)
    assert by_name["folds"]["x"] == pytest.approx([2, 2], abs=0.01)
    assert by_name["lost with the engine"]["y"] == [f"engine {other}"]
    assert by_name["engine lost"]["x"] == pytest.approx([7], abs=0.01)
    assert by_name["engine lost"]["text"] == ["killed"]


# --- successive halving --------------------------------------------------------------------------


def test_halving_shows_each_candidate_once_and_how_far_it_came(db, spool):
    spec = {"search": {"strategy": "halving_grid", "resource": "n_samples", "space": {"C": []}}}
    job_id = db.job(spec=spec, n_splits=1, n_candidates=12, n_tasks=12, n_done=12)
    lives = [(0, 10, range(9)), (1, 30, (6, 7, 8))]
    number = 0
    for iteration, n_resources, values in lives:
        for c in values:
            candidate = db.candidate(
                job_id, number, {"C": c}, iteration=iteration, n_resources=n_resources
            )
            db.fold(job_id, candidate, 0, {"score": c / 10 + iteration / 100})
            number += 1
    plots = drawn(spool, job_id)
    rungs = plots["rungs"].drawing
    assert len(rungs.traces) == 9
    assert rungs.traces[-1]["y"].tolist() == pytest.approx([0.8, 0.81])  # the winner, on top
    assert rungs.layout["xaxis"]["ticktext"] == ["0:  9 × 10", "1:  3 × 30"]
    assert sum(len(t["y"]) for t in plots["parameter-1"].drawing.traces) == 9


# --- axes, importance ----------------------------------------------------------------------------


def test_axes_are_logarithmic_where_values_are_and_spell_what_is_no_number():
    found = axes(
        [
            {"C": c, "depth": d, "lr": r, "kind": {"$type": "PCA", "n_components": 2}, "mixed": m}
            for c, d, r, m in (
                (0.01, 1, 0.1, 0.5), (1, 2, 0.5, "scale"), (100, 3, 90, 0.1),
            )
        ] + [{"C": 1}],
        {"space": {"lr": {"$uniform": [0, 100]}}},
    )  # fmt: skip
    c, depth, rate, kind, mixed = found
    assert (c.is_log, depth.is_log, rate.is_log) == (True, False, False)
    assert kind.categories == ("PCA(n_components=2)",)
    assert kind.varies  # the last one has none
    assert mixed.categories == ("0.1", "0.5", "scale")
    assert mixed.places[:3].tolist() == [1, 2, 0]
    assert np.isnan(mixed.places[3])


def test_labels_are_as_short_as_they_can_be():
    assert short_labels(["a__svc__C", "b__svc__C", "n"]) == {
        "a__svc__C": "a__svc__C", "b__svc__C": "b__svc__C", "n": "n",
    }  # fmt: skip


def test_importance_of_a_grid_is_its_analysis_of_variance(db, spool):
    """Scores a + b·c: a by itself, b and c only together."""
    space = [{"a": a, "b": b, "c": c} for a in (-1, 1) for b in (-1, 1) for c in (-1, 1, 0)]
    job_id = search(db, space, lambda p: p["a"] + p["b"] * p["c"])
    found = {s.axis.name: (s.own, s.total) for s in importance(material_of(spool, job_id)).shares}
    whole = 1 + 2 / 3
    assert found["a"] == pytest.approx((1 / whole, 1 / whole))
    assert found["b"] == pytest.approx((0, (2 / 3) / whole))
    assert found["c"] == pytest.approx((0, (2 / 3) / whole))


def test_importance_of_a_sample_comes_from_a_forest_and_is_always_the_same(db, spool):
    random = np.random.default_rng(1)
    columns = random.random(80), random.random(80), random.integers(3, size=80)
    space = [{"a": float(a), "b": float(b), "k": str(k)} for a, b, k in zip(*columns, strict=True)]
    job_id = search(db, space, lambda p: p["a"] + 0.2 * (p["k"] == "1"))
    found, again = (importance(material_of(spool, job_id)) for _ in range(2))
    assert [share.total for share in found.shares] == [share.total for share in again.shares]
    assert [share.axis.name for share in found.shares] == ["a", "k", "b"]
    assert found.fit > 0.7
    assert "random forest on 80 candidates" in drawn(spool, job_id)["importance"].what


def test_importance_is_not_made_up_from_too_few(db, spool):
    job_id = search(db, [{"a": 1, "b": 2}, {"a": 2, "b": 1}], lambda p: p["a"])
    found = importance(material_of(spool, job_id))
    assert found.shares == []
    assert "too few" in found.missing
    assert "too few" in Page(page_of(spool, job_id)).text


def test_a_few_very_bad_scores_are_left_below_the_frame_and_counted():
    good = np.linspace(0.9, 0.95, 40)
    framed, told = frame(np.append(good, [-50.0, 0.1]))
    assert 0.8 < framed["range"][0] < 0.9
    assert told.startswith(" 2 worse than 0.9")
    assert frame(good) == ({}, "")


def test_a_sample_keeps_the_best_and_an_order():
    means = np.arange(1000.0)
    kept = thinned(np.arange(1000), means, 100)
    assert len(kept) == 100
    assert (np.diff(kept) > 0).all()
    assert set(range(950, 1000)) <= set(kept.tolist())
