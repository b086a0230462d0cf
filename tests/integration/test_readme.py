"""What README shows for every day, typed as it is printed there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import ROOT, Scheduler

README = (ROOT / "README.md").read_text()

#: These print the same numbers on every machine; the output of the others has times in it.
REPEATABLE = ("foldq results ",)


def typed_in(section):
    """Yield (command, lines printed below it) of each console block of a section."""
    (text,) = re.findall(rf"(?ms)^## {section}$(.*?)(?=^## )", README)
    for block in re.findall(r"(?ms)^```console\n(.*?)^```$", text):
        for typed in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, printed = typed.partition("\n")
            yield command, printed.splitlines()


@pytest.fixture
def reader(tmp_path):
    """Someone who has cloned the repository, activated `.venv`, and now types."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with Reader(tmp_path) as reader:
        yield reader


class Reader(Scheduler):
    """Types commands; what is started in the other terminal is the scheduler of `Scheduler`."""

    def __enter__(self):
        return self

    def type(self, command):
        """Run a command, and return the lines it prints."""
        words = shlex.split(command)
        if words[:2] == ["foldq", "serve"]:
            assert words[2:] == ["--engines", str(self.engines)]
            self.start()
            return self.tail().splitlines()
        if words[:2] == ["kill", "-9"]:
            self.wait_until(lambda: self._n_recorded() >= 5, "some folds are recorded")
            self.kill()
            return []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            words,
            cwd=self.spool.parent,
            env=self.environment | {"PATH": path, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{self.tail()}"
        return done.stdout.splitlines()

    def _n_recorded(self):
        job = self.job("passengers")
        return 0 if job is None else job["n_done"]


def test_every_day_and_a_killed_scheduler(reader):
    for section in ("Every day", "Kill it"):
        for command, printed in typed_in(section):
            shown = reader.type(command)
            if command.startswith(REPEATABLE):
                assert shown == printed

    # What the text around the blocks promises.
    job = reader.wait("passengers")
    assert (job["n_done"], job["n_failed"], job["n_candidates"]) == (90, 0, 18)
    assert any("is still there" in line for line in reader.tail().splitlines())
    twice = reader.query(
        "SELECT task_id FROM task_attempt WHERE outcome = 'ok' GROUP BY task_id HAVING count(*) > 1"
    )
    assert twice == [], "no fold is computed twice"
    assert reader.query("SELECT 1 FROM attempt WHERE outcome = 'engine_lost'") == []
    assert (reader.results(1) / "best_estimator.skops").exists()


def test_the_job_file_is_the_example():
    (shown,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", README)
    example = (ROOT / "examples" / "digits-svc.yaml").read_text()

    def said(text):
        lines = (re.sub(r"\s*#.*", "", line) for line in text.splitlines())
        return [line for line in lines if line]

    assert said(shown) == said(example)


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
