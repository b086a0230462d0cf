"""Commands that only look are there at once: they import nothing that computes."""

import json
import subprocess
import sys

import pytest
from cluster import ROOT

#: What takes a tenth of a second or more to import, and is for those who compute.
HEAVY = {
    "sklearn", "scipy", "numpy", "pandas", "pyarrow", "joblib", "skops",
    "ipyparallel", "IPython", "zmq", "sqlite_utils",
}  # fmt: skip

COMMAND = """
import json, sys
from service.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(*arguments: str, spool: str = "spool") -> set[str]:
    """The packages that a command has imported when it ends well."""
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, "--spool", spool, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_the_help_needs_neither_models_nor_tables():
    assert imported("--help") & (HEAVY | {"pydantic", "rich", "psutil"}) == set()


@pytest.mark.parametrize(
    "arguments", [["run", "--help"], ["status"], ["history"], ["engines"], ["schema"]]
)
def test_looking_computes_nothing(arguments, store, place):
    assert imported(*arguments, spool=str(place)) & HEAVY == set()


def test_what_runs_a_search_begins_before_it_imports_what_computes():
    """The engines' imports and the scheduler's go on at the same time only then."""
    ended = subprocess.run(
        [sys.executable, "-c", "import sys, service.beginning; print(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert {name.partition(".")[0] for name in ended.stdout.split()} & HEAVY == set()
