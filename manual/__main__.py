"""Build the site from docs/ into build/site: `make docs`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(site: Path) -> int:
    """Run MkDocs; 0 when every page and every link is fine."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # what another tool will be one day
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(build(ROOT / "build" / "site"))
