"""Pictures of what users see, for README and the site: `make screenshots` writes docs/img/.

A few real searches are run on a spool of their own. Terminals are drawn as SVG from what the
commands really send to one of 80 columns; the report and the dashboard are opened in Chromium.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manual import browser, screens

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "img"
#: Bytes: pages with pictures are read over slow lines, too.
LARGEST = 250_000

#: Searches of one word each, so that the tables have something to tell.
SEARCHES = {
    "tumours-svc": """
data: {loader: breast_cancer}
estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [svc, SVC]]}
search:
  space:
    svc__C: {$logspace: [-1, 2, 7]}
    svc__gamma: {$logspace: [-4, -1, 7]}
tags: [tutorial]
""",
    "tumours-forest": """
data: {loader: breast_cancer}
estimator: {$type: RandomForestClassifier, random_state: 0}
search:
  space: {n_estimators: [10, 20, 40], max_depth: [2, 4, null]}
tags: [tutorial]
""",
}
#: Each drawing, and what is typed in it.
TERMINALS = {
    "history": ["foldq history --sort -score"],
    "results": ["foldq results 1 -n 5"],
    "show": ["foldq show 3"],
    "status": ["foldq status"],
    "compare": ["foldq compare 1 2"],
}


def main() -> int:
    """Make the pictures; 0 when all that can be made are there."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        del os.environ[name]  # the user's own settings are for the user's own spool
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, scheduler(Path(place)) as directory:
        for name in SEARCHES:
            screens.run(f"foldq submit --wait {name}.yaml", directory)
        shutil.copy(directory / "examples/data/passengers.csv", directory / "spool/data")
        screens.run("cp examples/*.yaml spool/incoming/", directory)
        sent = screens.run("foldq watch", directory, until=_midway)
        save("watch.svg", screens.svg([("foldq watch", screens.frame(sent))], "foldq").encode())
        dashboard(directory)
        screens.run("foldq watch", directory)
        for name, commands in TERMINALS.items():
            shown = [(c, screens.frame(screens.run(c, directory))) for c in commands]
            save(f"{name}.svg", screens.svg(shown, "foldq").encode())
        report(directory)
    return 0


@contextmanager
def scheduler(directory: Path) -> Iterator[Path]:
    """Put the job files into a directory, and run a scheduler beside them."""
    shutil.copytree(ROOT / "examples", directory / "examples")
    for name, text in SEARCHES.items():
        (directory / f"{name}.yaml").write_text(text)
    with (directory / "serve.log").open("wb") as log:
        serve = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--engines", "2"],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FOLDQ_CONTROLLER_TIMEOUT": "60s"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        said = (directory / "serve.log").read_bytes
        screens.wait_for(lambda: b"ready:" in said(), "the scheduler is ready")
        yield directory
    finally:
        serve.terminate()
        try:
            serve.wait(60)
        except subprocess.TimeoutExpired:
            serve.kill()


def _midway(sent: bytes) -> bool:
    """Whether both searches that run have folds on record."""
    return all(
        any(int(done) >= 20 for done in re.findall(rb" (\d+)/" + total, sent))
        for total in (b"100", b"90")
    )


def dashboard(directory: Path) -> None:
    """Open the dashboard in Chromium, while searches run."""
    with browser.dashboard(directory) as address, browser.opened() as page:
        save("dashboard.png", browser.shot(page, address))


def report(directory: Path) -> None:
    """Write a report, and open it in Chromium at some of its plots."""
    screens.run("foldq report 1", directory)
    address = (directory / "spool/results/1/report.html").as_uri()
    with browser.opened() as page:
        save("report.png", browser.shot(page, address, at="#heat-map"))
        save("report-plots.png", browser.shot(page, address, at="#importance", height=880))


def save(name: str, picture: bytes) -> None:
    """Write a picture, if it is small enough to be looked at anywhere."""
    if len(picture) > LARGEST:
        raise ValueError(f"{name} has {len(picture):,} bytes; at most {LARGEST:,} are fine")
    (IMAGES / name).write_bytes(picture)
    sys.stdout.write(f"docs/img/{name}  {len(picture) / 1000:.0f} kB\n")


if __name__ == "__main__":
    sys.exit(main())
