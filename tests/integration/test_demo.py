"""`make demo`, as a newcomer runs it, though on a spool of the test's own."""

import re
import signal
import subprocess
import sys

import pytest
from cluster import ROOT, STARTED_WITHIN, STOPPED_WITHIN, Scheduler

DEMO = ROOT / "examples" / "demo.py"


@pytest.fixture
def newcomer(tmp_path):
    """An empty place; what is run with its environment is found and ended afterwards."""
    place = Scheduler(tmp_path)
    yield place
    place.close()


def start_demo(newcomer):
    return subprocess.Popen(
        [sys.executable, DEMO, "--spool", newcomer.spool],
        cwd=newcomer.spool.parent,
        env=newcomer.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_both_searches_complete_and_their_models_can_be_loaded(newcomer):
    demo = start_demo(newcomer)
    told, _ = demo.communicate(timeout=170)
    assert demo.returncode == 0, told
    assert newcomer.processes() == []

    # What was typed, how it went on, and what came out.
    assert re.search(r"(?m)^\$ cp .*examples/passengers.yaml .*/incoming/$", told)
    assert re.search(r"(?m)job 1 digits-svc: running, \d+/100 folds, best 0\.\d+, .* left$", told)
    assert re.search(r"job 2 passengers: completed, 90/90 folds", told)
    found = dict(re.findall(r"(?m)^(\S+): the best of \d+ candidates\n((?:  .*\n)+)", told))
    digits, passengers = found["digits-svc"], found["passengers"]
    assert re.search(r"accuracy +0\.98\d\d ± 0\.\d{4}\n", digits)
    assert re.search(r"svc__C +10\n +svc__gamma +0\.01\n", digits)
    assert re.search(r"roc_auc +0\.84\d\d ± ", passengers)
    assert f"{newcomer.spool}/results/2/\n" in passengers

    # The lines that load the models do so, and the models answer.
    (load_digits,) = re.findall(r"load it +(.*)", digits)
    (load_passengers,) = re.findall(r"load it +(.*)", passengers)
    answers = f"""
import pandas as pd
from sklearn.datasets import load_digits
{load_digits}
X, y = load_digits(return_X_y=True)
print((model.predict(X) == y).mean() > 0.99)
{load_passengers}
table = pd.read_csv("examples/data/passengers.csv")
print((model.predict(table) == table["rescued"]).mean() > 0.75)
"""
    loaded = subprocess.run(
        [sys.executable, "-c", answers], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert loaded.stdout.split() == ["True", "True"], loaded.stderr


def test_ctrl_c_leaves_nothing_running(newcomer):
    demo = start_demo(newcomer)
    started = newcomer.spool / "cluster" / "processes.json"
    newcomer.wait_until(started.exists, "the cluster is being started", STARTED_WITHIN)
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=STOPPED_WITHIN)
    assert demo.returncode == 130
    assert f"foldq serve --spool {newcomer.spool}" in told
    assert newcomer.processes() == []


def test_a_directory_that_is_there_is_left_alone(newcomer):
    newcomer.spool.mkdir()
    (newcomer.spool / "thesis.txt").touch()
    demo = start_demo(newcomer)
    told, _ = demo.communicate(timeout=STARTED_WITHIN)
    assert demo.returncode == 1
    assert "is there already" in told
    assert (newcomer.spool / "thesis.txt").exists()
