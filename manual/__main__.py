"""Build the site from docs/ into build/site: `make docs`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(site: Path) -> int:
    """Run MkDocs; 0 when every page and every link is fine, else it says what is not.

    Its `--quiet` would keep warnings from ending the build, so what it says is taken here.
    """
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # what another tool will be one day
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(build(ROOT / "build" / "site"))
