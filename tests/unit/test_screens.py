"""What people see, line by line: bars, time lines, completion."""

import re
from datetime import timedelta

import pytest
from fabricated import START, Fabricated, at
from rich.console import Console
from typer.testing import CliRunner

from schemas.lifecycle import JobState
from service.cli import app
from service.commands.screen_history import history_table
from service.commands.screen_life import reason_lines, time_line
from service.commands.screen_show import show_screen
from service.commands.screen_status import engines_table, jobs_table, live_table
from service.commands.screens import Bar, share_bar, spark
from service.history import Progress, Query, find_jobs
from service.lives import Engine, Event, LiveEngine, Load
from service.ranking import Best
from service.records import find_job

NOW = START + timedelta(seconds=100)


def shown(content: object, width: int = 80) -> str:
    """As a terminal without colours shows it."""
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def event(seconds: float, kind: str, message: str) -> Event:
    return Event(at(seconds), kind, message, None, None)


LIFE = [
    event(0, "job admitted", "admitted from digits.yaml"),
    event(10, "job moved", "preparing"),
    event(20, "job moved", "running"),
    event(30, "engine lost", "engine 2 died"),
    event(60, "job moved", "paused: by request"),
]


def test_a_bar_tells_failed_folds_from_done_ones_without_colours():
    assert shown(Bar(50, 25, 100, "cyan", width=8)) == "━━━━××──\n"
    assert "×" in shown(Bar(10_000, 1, 10_001, "cyan")), "a single failure is seen"
    assert shown(Bar(99_999, 0, 100_000, "cyan", width=8)).endswith("─\n"), "not yet all of it"


def test_sparks_and_share_bars():
    assert spark([1, 2, float("nan"), 8], 10) == "▁▂ █"
    assert spark(list(range(100)), 4) == "▁▃▆█"
    assert spark([5, 5], 4) == "▁▁"
    assert [share_bar(share, 4) for share in (0, 0.5, 1)] == ["▏", "██", "████"]


def test_a_life_has_a_bar_for_each_state_as_long_as_it_lasted():
    lines = shown(time_line(LIFE, NOW)).splitlines()
    assert "● queued         10 s  ████ " in lines[0]
    assert "+20 s  ● running        40 s  ████████████████" in lines[2]
    assert "│ engine lost: engine 2 died" in lines[3]
    assert "● paused         40 s  ████████████████  by request" in lines[4]
    assert all(len(line) <= 80 for line in lines)


def test_a_paused_job_is_paused_since_its_pause(tmp_path):
    records = Fabricated(tmp_path)
    job_id = records.job(state="paused", started_at=at(5))
    for found in LIFE:
        records.event(found.kind, found.message, at=found.at, job_id=job_id)
    job = find_job(records.db.conn, job_id)
    screen = shown(show_screen(records.db.conn, job, NOW, all_attempts=False))
    assert "paused for 40 s" in screen.splitlines()[0]


def test_a_life_tells_of_the_scheduler_that_was_gone_and_of_the_paused_queue(tmp_path):
    records = Fabricated(tmp_path)
    records.event("scheduler started", "a scheduler started: process 1 on a", at=at(0))
    job_id = records.job(started_at=at(5), finished_at=at(61), state="completed")
    records.event("job admitted", "admitted from a.yaml", at=at(2), job_id=job_id)
    records.event("queue paused", "on request", at=at(10))
    records.event("queue resumed", "on request", at=at(20))
    records.event("job moved", "running", at=at(30), job_id=job_id)
    records.event("scheduler ended", "last sign of life", at=at(25))  # told by the next one
    records.event("scheduler started", "a scheduler started: process 2 on a", at=at(37))
    records.event("job moved", "completed", at=at(61), job_id=job_id)
    records.event("queue paused", "on request", at=at(70))
    job = find_job(records.db.conn, job_id)
    told = shown(show_screen(records.db.conn, job, NOW, all_attempts=False)).splitlines()
    assert told[0].endswith("completed after 56 s, 12 s of it without a scheduler")
    life = [line.partition("│ ")[2].strip() for line in told[told.index("Life") :] if "│" in line]
    assert life == [
        "queue paused: on request",
        "queue resumed: on request",
        "scheduler ended: last sign of life",
        "a scheduler started: process 2 on a",
    ]


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        ("cancelled by request", ["cancelled by request"]),
        (
            "All the 3 fits failed. The first with: ValueError: a (b) (2 × ValueError: a (b);"
            " 1 × KeyError: c; d)",
            [
                "All the 3 fits failed. The first with: ValueError: a (b)",
                "2 × ValueError: a (b)",
                "1 × KeyError: c; d",
            ],
        ),
        (
            "2 fits failed out of a total of 9: 2 × ValueError: f(x)",
            ["2 fits failed out of a total of 9", "2 × ValueError: f(x)"],
        ),
    ],
)
def test_the_reason_for_a_failure_is_broken_into_lines(reason, lines):
    assert reason_lines(reason) == lines


def test_show_ranks_candidates_and_cuts_tracebacks_to_what_tells(tmp_path):
    records = Fabricated(tmp_path)
    job_id = records.finished_search(n_failed=1)
    candidate = records.candidate(job_id, 2, {"C": -1})
    place = 'File "/a/lib/python3/site-packages/sklearn/svm.py", line 7'
    error = f"Traceback\n  {place}\n    fit()\n    ^^^^^\nValueError: no"
    records.fold(job_id, candidate, 0, error=error)
    job = find_job(records.db.conn, job_id)
    screen = shown(show_screen(records.db.conn, job, NOW, all_attempts=False))
    assert "0.9600 ± 0.0000" in screen
    assert 'File "sklearn/svm.py", line 7' in screen
    assert "^^^" not in screen


def test_the_busy_engines_are_told_first():
    engines = [LiveEngine(number, "node-1", 4000 + number) for number in range(1, 21)]
    loads = {20: [Load(20, 7, "digits", "fold", 3, at(99))]}
    screen = shown(live_table(engines, loads, NOW))
    assert "job 7: 3 folds, for 1.0 s" in screen
    assert "and 12 more: foldq engines" in screen


@pytest.mark.parametrize("width", [24, 48, 60, 100])
def test_no_number_is_cut_however_narrow_the_screen_is(tmp_path, width):
    records = Fabricated(tmp_path)
    job_id = records.finished_search(
        "a-name-that-may-be-cut",
        n_tasks=12345,
        n_done=9876,
        n_failed=543,
        n_reused=432,
        best_score=-1234.56,
        scoring=["score", "other"],
    )
    job = find_job(records.db.conn, job_id)
    engines = [Engine(1, "c", 1, "node-1", 40001, at(0), None, None, 98765)]
    screens = {
        "jobs": (jobs_table([Progress(job, Best(-1234.56), 678.0, 98.76)], bars=True),
                 ["9876+543", "543", "432", "99", "-1234.56", "11:18"]),
        "history": (history_table([job], NOW, wide=False, bars=True), ["-1234.56", "12345"]),
        "engines": (engines_table(engines, {}, NOW, is_served=True), ["40001", "98765"]),
    }  # fmt: skip
    headings = {"543": "Failed", "432": "Reused", "99": "Per s", "11:18": "Left",
                "12345": "Folds", "40001": "PID", "98765": "Done"}  # fmt: skip
    for content, numbers in screens.values():
        lines = shown(content, width).splitlines()
        assert max(map(len, lines)) <= width
        told = " ".join(lines)
        for number in numbers:
            whole = "10419/12345" if "+" in number else number
            missing = re.search(rf"No room for .*{headings.get(number)}", told)
            assert missing or whole in told or width < 48, f"{whole}:\n" + "\n".join(lines)
        assert width < 100 or "No room" not in told


def test_history_sets_best_scores_on_the_same_data_beside_each_other(tmp_path):
    records = Fabricated(tmp_path)
    for number, (best, data) in enumerate([(0.5, "a"), (0.9, "a"), (0.7, "a"), (0.99, "b")]):
        records.finished_search(
            f"job{number}", file_name=f"{number}", best_score=best, data_fingerprint=data
        )
    jobs = find_jobs(records.db.conn, Query(), NOW)
    lines = shown(history_table(jobs, NOW, wide=False, bars=True)).splitlines()[2:]
    assert [line.count("█") for line in lines] == [0, 6, 3, 0]
    assert "█" not in shown(history_table(jobs, NOW, wide=False, bars=False))


class TestCompletion:
    @pytest.fixture(autouse=True)
    def _jobs(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        records = Fabricated(tmp_path / "spool")
        records.finished_search("digits", tags=["course", "two words"])
        records.job("wine\x1b[31m", file_name="w", state="running")

    def completed(self, line: str, **environment: str) -> str:
        asked = {
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": line.rpartition(" ")[2],
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
            **environment,
        }
        return CliRunner().invoke(app, [], env=asked, prog_name="foldq").stdout

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_numbers_of_jobs_in_every_shell(self, shell):
        told = self.completed("foldq show ", _FOLDQ_COMPLETE=f"complete_{shell}")
        assert "1" in told
        assert "2" in told
        assert "\x1b" not in told
        if shell != "bash":
            assert "digits (completed)" in told

    def test_words_of_options(self, tmp_path):
        def bash(line: str) -> list[str]:
            return self.completed(line, _FOLDQ_COMPLETE="complete_bash").split()

        assert bash("foldq history --state pre") == ["preparing"]
        assert bash("foldq history --tag c") == ["course"]
        assert bash("foldq history --name d") == ["digits"]
        assert bash("foldq history --sort sc") == ["score"]
        assert bash(f"foldq --spool {tmp_path} show ") == []
        assert bash(f"foldq cancel --spool {tmp_path / 'spool'} ") == ["2", "1"]
        (tmp_path / "spool" / "foldq.toml").write_text('database = "/nowhere/foldq.db"')
        assert bash("foldq show ") == []


def test_completion_knows_every_state():
    result = CliRunner().invoke(
        app,
        [],
        env={
            "_FOLDQ_COMPLETE": "complete_bash",
            "COMP_WORDS": "foldq history --state ",
            "COMP_CWORD": "3",
        },
        prog_name="foldq",
    )
    assert result.stdout.split() == [state.value for state in JobState]
