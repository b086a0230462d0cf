"""The pages for users: what they show is typed as it stands there, and answers as it says."""

import re
import shutil

import pytest
from cluster import ROOT
from pages import Reader, blocks

PAGES = {
    path.stem: path
    for path in [
        ROOT / "README.md",
        ROOT / "docs" / "tutorial.md",
        ROOT / "docs" / "report.md",
        ROOT / "docs" / "dashboard.md",
        *sorted((ROOT / "docs").glob("how-to-*.md")),
    ]
}
README = PAGES["README"].read_text()


@pytest.fixture
def reader(tmp_path, name):
    """Someone who has cloned the repository, activated `.venv`, and now types.

    What README shows is what a shell finds as `foldq`, to the last import.
    """
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    # The machine may be busy with other tests: what is silent is not dead yet.
    with Reader(tmp_path, warm=name != "README", controller_timeout="60s") as reader:
        yield reader


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows(reader, name):
    reader.follow(PAGES[name].read_text())
    if not (reader.spool / "foldq.db").exists():
        return  # it only looks at files, or nothing of it is typed
    twice = "SELECT 1 FROM attempt WHERE outcome = 'ok' GROUP BY task_id HAVING count(*) > 1"
    assert reader.query(twice) == [], "no fold is computed twice, whatever is killed"
    if name == "README":
        job = reader.job("passengers")
        assert (job["n_done"], job["n_failed"], job["n_candidates"]) == (90, 0, 18)
        assert reader.query("SELECT 1 FROM attempt WHERE outcome = 'engine_lost'") == []
        assert reader.job("digits-finer")["n_reused"] == 100


def test_the_job_file_of_readme_is_the_example():
    (shown,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", README)
    example = (ROOT / "examples" / "digits-svc.yaml").read_text()

    def said(text):
        lines = (re.sub(r"\s*#.*", "", line) for line in text.splitlines())
        return [line for line in lines if line]

    assert said(shown) == said(example)


def test_the_links_of_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_blocks_that_are_not_run_say_why():
    for page in PAGES.values():
        for block in blocks(page.read_text()):
            assert all(why.strip(" -.") for why in block.marks.values())
