"""Two real searches on two local engines, from the dropped job files to the saved models.

It types what a user would type, and says so. Everything it makes lies in demo-spool/, which each
run replaces. `make demo` runs it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from service import lock
from service.commands.terminal import score, value_text

ROOT = Path(__file__).resolve().parent.parent
FOLDQ = Path(sys.executable).with_name("foldq")

DATA_FILE = Path("examples/data/passengers.csv")
JOB_FILES = (Path("examples/digits-svc.yaml"), Path("examples/passengers.yaml"))

#: Seconds. The scheduler is there after five of them; on a busy machine it takes longer.
READY_WITHIN = 60.0
#: Seconds for the scheduler to end itself and its engines.
STOPPED_WITHIN = 30.0

console = Console(highlight=False, markup=False, soft_wrap=True)


class DemoFailed(Exception):
    """The demo did not come to its end; the message says why."""


def main() -> int:
    """Run the demo; 0 when both searches completed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--spool", type=Path, metavar="DIR", help="use this new directory, not demo-spool/"
    )
    given: Path | None = parser.parse_args().spool
    # Told to end, by a closed terminal or by `timeout`, it still ends its scheduler.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    spool = given.absolute() if given else Path("demo-spool")
    os.chdir(ROOT)
    try:
        make_room(spool, replace=given is None)
        run(spool)
    except DemoFailed as failure:
        console.print(f"\nThe demo failed: {failure}", style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. What is recorded stays, and this goes on where the records end:")
        console.print(f"  .venv/bin/foldq serve --spool {spool} --until-idle")
        return 130
    return 0


def run(spool: Path) -> None:
    """Search, from an empty spool to two saved models."""
    started = time.monotonic()
    # The user's own settings are for the user's own spool.
    for name in [name for name in os.environ if name.startswith("FOLDQ_")]:
        del os.environ[name]
    os.environ["FOLDQ_SPOOL"] = str(spool)

    console.print("Two searches on two engines, from job files to saved models.\n", style="bold")
    typed(f"export FOLDQ_SPOOL={spool}")
    typed("foldq serve --engines 2 &")
    with scheduler(spool):
        typed(f"cp {DATA_FILE} {spool}/data/")
        shutil.copy(DATA_FILE, spool / "data")
        typed(f"cp {' '.join(map(str, JOB_FILES))} {spool}/incoming/")
        for file in JOB_FILES:
            shutil.copy(file, spool / "incoming")
        typed("foldq watch")
        watch = subprocess.run([FOLDQ, "watch"], check=False)
        found = sorted((spool / "results").glob("*/best.json"))
        for best in found:
            show(best)
        if watch.returncode != 0 or len(found) < len(JOB_FILES):
            raise DemoFailed(f"not every search completed. Its log:\n{tail(spool)}")
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. To look around:", style="bold")
    for command in ("history", "results 2", "show 1"):
        console.print(f"  .venv/bin/foldq --spool {spool} {command}")


def make_room(spool: Path, *, replace: bool) -> None:
    """Make an empty directory for the spool, in place of the last run's if that is allowed."""
    if spool.exists():
        if not replace:
            raise DemoFailed(f"{spool} is there already. Give a directory that is not.")
        if held := lock.holder(spool):
            raise DemoFailed(
                f"process {held.pid} is a scheduler that still runs on {spool}/. "
                f"Let it finish, or stop it: kill {held.pid}"
            )
        shutil.rmtree(spool)
    spool.mkdir(mode=0o700, parents=True)


@contextmanager
def scheduler(spool: Path) -> Iterator[None]:
    """Run `foldq serve`; it and its engines are gone at the end, whatever happened."""
    with (spool / "serve.log").open("wb") as log:
        serve = subprocess.Popen(
            [FOLDQ, "serve", "--engines", "2"],
            # Should the scheduler itself be killed, its engines follow soon.
            env={**os.environ, "FOLDQ_GRACE": "5s"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops it
        )
    try:
        deadline = time.monotonic() + READY_WITHIN
        while (held := lock.holder(spool)) is None or held.pid != serve.pid:
            if serve.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"the scheduler did not start. Its log:\n{tail(spool)}")
            time.sleep(0.05)
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        deadline = time.monotonic() + STOPPED_WITHIN
        while serve.poll() is None:
            # The first asks it to finish what runs, the next to stop at once.
            serve.kill() if time.monotonic() > deadline else serve.terminate()
            try:
                serve.wait(3)
            except subprocess.TimeoutExpired:
                continue


def typed(command: str) -> None:
    """Show a command as a user types it."""
    console.print(f"$ {command}", style="cyan")


def show(best_file: Path) -> None:
    """Say what a search found, where it lies and how to load it."""
    best = json.loads(best_file.read_bytes())
    directory, saved = best_file.parent, best["estimator"]
    model = directory / saved["file"]
    n_candidates = best["searched"]["n_candidates"]
    console.print(f"\n{best['job']}: the best of {n_candidates} candidates", style="bold")
    facts = [
        (best["metric"], f"{score(best['score'])} ± {score(best['std'])}"),
        *((name, value_text(value)) for name, value in best["params"].items()),
        ("results", f"{directory}/"),
        ("load it", saved["load"].replace(saved["file"], str(model))),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(f"  {name:<{width}}  {value}")


def tail(spool: Path, lines: int = 15) -> str:
    """Give the last lines that the scheduler wrote."""
    text = (spool / "serve.log").read_text(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main())
