"""Commands that only look are there at once: they import nothing that computes."""

import json
import subprocess
import sys

import pytest
from cluster import ROOT

#: What takes a tenth of a second or more to import, and is for those who compute.
HEAVY = {
    "sklearn", "scipy", "numpy", "pandas", "pyarrow", "joblib", "skops",
    "ipyparallel", "IPython", "zmq", "sqlite_utils", "asyncio", "pydantic_settings",
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
    "arguments", [["run", "--help"], ["status"], ["history"], ["engines"], ["schema"], ["config"]]
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


def test_what_saves_models_imports_no_library_that_scikit_learn_only_adapts_to(tmp_path):
    """skops asks for every package of scikit-learn; dask or torch would take engines seconds."""
    for library in ("cupy", "dask", "torch"):
        package = tmp_path / library
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import workers.saving\n"
        "from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES as known\n"
        "print(len(known), [name for name in sys.modules if '.array_api_compat.dask' in name])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    n_known, left = ended.stdout.split(maxsplit=1)
    assert int(n_known) > 200, "every estimator is known all the same"
    assert left.strip() == "[]", "who needs the adapters can import them"


def test_a_command_is_not_held_up_by_looking_for_garbage():
    """What is imported is no garbage: Python's usual 700 objects made it a fifth slower."""
    code = (
        "import gc, sys; from service.cli import main\n"
        "sys.argv = ['foldq', '--version']\n"
        "try: main()\n"
        "finally: print(gc.isenabled(), gc.get_threshold()[0] >= 10_000)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout.splitlines()[-1] == "True True"
