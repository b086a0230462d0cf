"""`import foldq` as users have it: the page that tells of it, the example notebook, a server."""

import doctest
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import nbformat
import pytest
from cluster import MARK, ROOT, Scheduler
from nbclient import NotebookClient

import foldq
from service.lock import holder

PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "examples" / "model-selection.ipynb"

#: Seconds that the cells of a notebook may take, each, on a busy machine.
CELL = 300

SLOW = {
    "data": {"loader": "digits"},
    "estimator": "SVC",
    "search": {"space": {"C": {"$logspace": [-2, 2, 300]}}},
    "refit": False,
    "reuse": False,
}


@pytest.fixture
def place(tmp_path) -> Iterator[Scheduler]:
    """A spool; whatever is started with its environment is gone after the test."""
    place = Scheduler(tmp_path, controller_timeout=60)
    yield place
    place.close()


def test_the_page_for_users_is_true(scheduler, monkeypatch):
    monkeypatch.setenv("FOLDQ_SPOOL", str(scheduler.spool))
    mpl.use("agg")
    names: dict[str, Any] = {}
    told: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=options)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)):
        if ">>>" not in block:
            exec(compile(block, f"{PAGE}, block {number}", "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", None, 0)
        runner.run(test, out=told.append, clear_globs=False)
        names |= test.globs
    assert not told, "".join(told)
    assert runner.summarize(verbose=False).attempted > 8


def test_the_example_notebook_runs_as_it_stands(place, monkeypatch):
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FOLDQ_SPOOL", str(place.spool))
    monkeypatch.setenv("FOLDQ_EXAMPLE_SMALL", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    where = {"metadata": {"path": str(place.spool.parent)}}
    client = NotebookClient(notebook, timeout=CELL, kernel_name="python3", resources=where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.execute()

    said = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream"
    )
    assert "equal, bit for bit: 4 candidates" in said
    assert "2 of 6 folds were on record already" in said
    assert holder(place.spool) is None


def test_the_stored_notebook_shows_its_figures_and_no_error():
    assert NOTEBOOK.stat().st_size < 200_000
    outputs = [
        output
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells
        for output in cell.get("outputs", ())
    ]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert not [output for output in outputs if output.output_type == "error"]


def test_a_scheduler_that_is_there_is_used_and_left_running(scheduler):
    with foldq.serve(engines=7, spool=scheduler.spool) as server:
        assert server.is_running
        assert not server.is_own
        assert "another scheduler" in server._repr_html_()
    assert scheduler.is_alive


def test_a_scheduler_ends_with_the_python_that_started_it(place):
    program = f"""
import foldq
server = foldq.serve(engines=1, spool={str(place.spool)!r})
assert server.is_own and server.is_running, server
foldq.serve(spool={str(place.spool)!r}).stop()  # not its own
assert server.is_running
"""
    subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=place.environment, check=True, timeout=120
    )
    deadline = time.monotonic() + 60
    while place.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert place.processes() == []
    assert holder(place.spool) is None


def test_a_scheduler_that_cannot_start_says_why(place, monkeypatch):
    monkeypatch.setenv(MARK, place.environment[MARK])
    place.spool.mkdir()
    (place.spool / "foldq.db").write_bytes(b"no database, but long enough to be one" * 99)
    with pytest.raises(RuntimeError, match=r"did not start: .*foldq\.db"):
        foldq.serve(engines=1, spool=place.spool)
    assert holder(place.spool) is None


def test_a_job_is_paused_resumed_and_cancelled(scheduler):
    job = foldq.submit(SLOW, name="steered-from-python", spool=scheduler.spool)
    assert job.pause().state == "paused"
    assert job.resume().state != "paused"
    with pytest.raises(foldq.JobFailed, match="was cancelled"):
        job.cancel().wait(timeout=60)
    assert foldq.engines(spool=scheduler.spool)["state"].eq("live").sum() == 2
