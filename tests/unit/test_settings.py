"""Settings: flags before environment before the file, and every mistake names its source."""

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.settings import InvalidSettings, Settings


@pytest.fixture
def spool(tmp_path, monkeypatch):
    for name in list(__import__("os").environ):
        if name.startswith("FOLDQ_"):
            monkeypatch.delenv(name)
    return tmp_path


def write(spool, text):
    (spool / "foldq.toml").write_text(text)


def test_nothing_need_be_set(spool):
    settings = Settings.load(spool)
    assert settings.engines >= 1
    assert settings.poll == 0.2
    assert settings.database_path == spool / "foldq.db"
    assert settings.all_data_roots == (spool / "data",)
    assert settings.limits.n_jobs == 1
    assert not settings.cluster.is_running


def test_flags_beat_environment_beats_file(spool, monkeypatch):
    write(spool, "engines = 3\npoll = '1s'\nheartbeat = 500\n[limits]\nn_jobs = 4\n")
    assert Settings.load(spool).engines == 3
    monkeypatch.setenv("FOLDQ_ENGINES", "5")
    assert Settings.load(spool).engines == 5
    loaded = Settings.load(spool, engines=7, poll=None)
    assert (loaded.engines, loaded.poll, loaded.heartbeat, loaded.limits.n_jobs) == (7, 1.0, 500, 4)


def test_one_limit_in_the_environment_leaves_the_others_of_the_file(spool, monkeypatch):
    write(spool, "[limits]\nn_jobs = 4\ncandidates = 10\n")
    monkeypatch.setenv("FOLDQ_LIMITS__N_JOBS", "2")
    limits = Settings.load(spool).limits
    assert (limits.n_jobs, limits.candidates) == (2, 10)


def test_a_section_or_a_mapping_comes_from_the_environment_as_json(spool, monkeypatch):
    write(spool, "[limits]\ncandidates = 10\n[catalog.estimators]\nA = 'a.A'\n")
    monkeypatch.setenv("FOLDQ_LIMITS", '{"n_jobs": 3}')
    monkeypatch.setenv("FOLDQ_LIMITS__FITS", "7")
    monkeypatch.setenv("foldq_catalog__estimators", '{"B": "b.B"}')
    monkeypatch.setenv("FOLDQ_SHORTCUTS__MEMORY", "1GiB")
    monkeypatch.setenv("FOLDQ_FAILPOINT", "x")  # no setting
    settings = Settings.load(spool)
    limits = settings.limits
    assert (limits.n_jobs, limits.candidates, limits.fits) == (3, 10, 7)
    assert settings.catalog.estimators == {"A": "a.A", "B": "b.B"}
    assert settings.shortcuts.memory == 1 << 30
    monkeypatch.setenv("FOLDQ_LIMITS", "n_jobs=3")
    with pytest.raises(InvalidSettings, match=r"FOLDQ_LIMITS: .*JSON"):
        Settings.load(spool)
    monkeypatch.setenv("FOLDQ_LIMITS", '{"njobs": 3}')
    with pytest.raises(InvalidSettings, match=r"FOLDQ_LIMITS.*Did you mean n_jobs"):
        Settings.load(spool)


def test_the_spool_comes_from_the_environment(spool, monkeypatch):
    write(spool, "engines = 3")
    monkeypatch.setenv("FOLDQ_SPOOL", str(spool))
    assert Settings.load().spool == spool
    assert Settings.load().engines == 3
    monkeypatch.delenv("FOLDQ_SPOOL")
    monkeypatch.chdir(spool)
    assert Settings.load().spool == Path("spool")


def test_paths_in_the_environment_are_separated_as_in_path(spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_DATA_ROOTS", "/data:/more")
    assert Settings.load(spool).data_roots == [Path("/data"), Path("/more")]


def test_the_operator_lists_estimators(spool):
    write(spool, '[catalog.estimators]\nLGBMClassifier = "lightgbm.LGBMClassifier"\n')
    assert Settings.load(spool).catalog.estimators == {"LGBMClassifier": "lightgbm.LGBMClassifier"}


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("engins = 3", "engins", "Did you mean engines?"),
        ("engines = 0", "engines", "a number from 1 up"),
        ("engines = 'many'", "engines", "a whole number"),
        ("poll = '5 minutes'", "poll", "span of time"),
        ("[limits]\nnjobs = 1", "limits.njobs", "Did you mean n_jobs?"),
        ("[catalog.estimators]\nA = 'x y'", "catalog.estimators.A", "module.Class"),
        ("[cluster]\nprofile = 'a'\nconnection_file = 'c.json'", "cluster", "one source only"),
        ("synchronous = 'OFF'", "synchronous", "FULL"),
        ("spool = 'x'", "spool", "--spool"),
        ("a = [", "", "not valid TOML"),
        ("data_roots = 3", "data_roots", "a list"),
    ],
)
def test_a_mistake_in_the_file_names_the_file_and_the_key(spool, text, where, words):
    write(spool, text)
    with pytest.raises(InvalidSettings) as refused:
        Settings.load(spool)
    message = str(refused.value)
    assert str(spool / "foldq.toml") in message
    assert where in message
    assert words in message


def test_a_number_in_the_environment_is_seconds(spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_GRACE", "2")
    monkeypatch.setenv("FOLDQ_POLL", "0.5")
    settings = Settings.load(spool)
    assert (settings.grace, settings.poll) == (2.0, 0.5)


def test_a_mistake_in_the_environment_names_the_variable(spool, monkeypatch):
    monkeypatch.setenv("FOLDQ_ENGINES", "five")
    monkeypatch.setenv("FOLDQ_LIMITS__N_JOBS", "0")
    with pytest.raises(InvalidSettings) as refused:
        Settings.load(spool)
    assert [p.where for p in refused.value.problems] == ["FOLDQ_ENGINES", "FOLDQ_LIMITS__N_JOBS"]


def test_a_mistake_in_a_flag_names_the_flag(spool):
    with pytest.raises(InvalidSettings, match="--target-seconds"):
        Settings.load(spool, target_seconds="soon")


def test_the_schemas_import_fast():
    code = (
        "import sys, schemas.job, schemas.settings, service.jobfile\n"
        "heavy = {'sklearn', 'pandas', 'scipy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
