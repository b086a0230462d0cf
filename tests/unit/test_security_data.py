"""Attacks on docs/security.md: data files (S13 to S15)."""

import io
import os
import pickle
import zipfile

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.data import FileData
from schemas.problems import InvalidJob
from workers import datafiles
from workers.archives import from_archive
from workers.datafiles import open_data_file
from workers.tables import from_table


@pytest.fixture
def root(tmp_path):
    (tmp_path / "spool" / "data").mkdir(parents=True)
    return tmp_path / "spool" / "data"


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").mkdir()
    file = tmp_path / "secret" / "secret.csv"
    file.write_text("a,label\n1,0\n2,1\n")
    return file


def read(name, *roots, **roles):
    data = FileData(file=name, **roles)
    return (from_archive if data.suffix == ".npz" else from_table)(data, roots)


def test_s13_no_way_leads_out_of_the_roots(root, secret, tmp_path):
    (root / "link.csv").symlink_to(secret)
    (root / "directory").symlink_to(secret.parent)
    (root / "again").symlink_to(root / "directory")
    (root / "relative.csv").symlink_to("../../secret/secret.csv")
    (root / "self.csv").symlink_to("self.csv")
    (tmp_path / "spool" / "data-too").symlink_to(secret.parent)  # the same beginning
    for name in (
        str(secret), "link.csv", "directory/secret.csv", "again/secret.csv", "relative.csv",
        "self.csv", str(tmp_path / "spool" / "data-too" / "secret.csv"), "/etc/hostname",
        "/proc/self/environ", "~/secret.csv", "$HOME/secret.csv", "../../secret/secret.csv",
        "a/../../../secret/secret.csv", "..", ".", "/", "", " ", "a\0b", "a" * 5000,
    ):  # fmt: skip
        with pytest.raises(InvalidJob), open_data_file(name, [root]):
            pass
    with open_data_file(str(secret), [root, secret.parent]) as file:
        assert file.read().startswith(b"a,label")


def test_s13_a_directory_that_becomes_a_link_at_the_last_moment(root, secret, monkeypatch):
    """The path is looked at, then opened; a submitter swaps what it leads through in between."""
    (root / "folder").mkdir()
    (root / "folder" / "secret.csv").write_text("a,label\n9,9\n")
    resolve = datafiles.resolve

    def resolve_then_swap(name, roots, **where):
        path = resolve(name, roots, **where)
        (root / "folder").rename(root / "away")
        (root / "folder").symlink_to(secret.parent)
        return path

    monkeypatch.setattr(datafiles, "resolve", resolve_then_swap)
    with pytest.raises(InvalidJob, match="outside"), open_data_file("folder/secret.csv", [root]):
        pass


def test_s14_only_regular_files(root):
    os.mkfifo(root / "pipe.csv")
    (root / "directory.csv").mkdir()
    for name in ("pipe.csv", "directory.csv"):
        with pytest.raises(InvalidJob, match=r"named pipe|directory"), open_data_file(name, [root]):
            pass


def test_s14_size_packed_and_unpacked(root):
    with (root / "sparse.csv").open("wb") as file:
        file.truncate(4 * 2**30 + 1)
    with pytest.raises(InvalidJob, match="more than the 4,294,967,296"):
        read("sparse.csv", root, target="label")
    np.savez_compressed(root / "bomb.npz", X=np.zeros((1000, 1000)), y=np.zeros(1000))
    assert (root / "bomb.npz").stat().st_size < 100_000
    data = FileData(file="bomb.npz")
    with pytest.raises(InvalidJob, match="unpacked"):
        from_archive(data, [root], max_bytes=1_000_000)
    frame = pd.DataFrame({"a": np.zeros(1_000_000), "label": np.zeros(1_000_000)})
    frame.to_parquet(root / "bomb.parquet")
    assert (root / "bomb.parquet").stat().st_size < 100_000
    data = FileData(file="bomb.parquet", target="label")
    with pytest.raises(InvalidJob, match="unpacked"):
        from_table(data, [root], max_bytes=1000_000)


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return os.mkdir, (self.sprung,)


@pytest.fixture
def trap(tmp_path):
    """A pickle that tells when somebody loads it."""
    sprung = tmp_path / "sprung"
    yield Trap(str(sprung))
    assert not sprung.exists(), "somebody unpickled it"


def test_s15_archives_of_objects(root, trap):
    objects = np.array([[trap]], dtype=object)
    np.savez(root / "objects.npz", X=objects, y=np.zeros(1))
    np.savez(root / "labels.npz", X=np.zeros((1, 1)), y=objects)
    np.save(root / "one.npy", objects)
    (root / "one.npy").rename(root / "one.npz")
    (root / "pickle.npz").write_bytes(pickle.dumps(trap))
    joblib.dump(trap, root / "joblib.npz")
    with zipfile.ZipFile(root / "member.npz", "w") as archive:
        for name in ("X", "X.npy", "y.npy"):
            archive.writestr(name, pickle.dumps(trap))
    # What scipy.sparse.save_npz writes, with objects in it.
    np.savez(
        root / "sparse.npz", format=b"csr", shape=np.array([1, 1]), data=objects[0],
        indices=np.zeros(1, dtype=int), indptr=np.array([0, 1]),
    )  # fmt: skip
    for name in ("objects", "labels", "one", "pickle", "joblib", "member", "sparse"):
        with pytest.raises(InvalidJob):
            read(f"{name}.npz", root)


class PythonType(pa.ExtensionType):
    """As old versions of PyArrow wrote types of Python: with a pickle beside them."""

    def __init__(self, payload):
        self.payload = payload
        super().__init__(pa.int64(), "arrow.py_extension_type")

    def __arrow_ext_serialize__(self):
        return self.payload

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage, serialized):
        return cls(serialized)


def test_s15_parquet_with_types_of_python(root, trap):
    column = pa.ExtensionArray.from_storage(PythonType(pickle.dumps(trap)), pa.array([1, 2]))
    table = pa.table({"a": column, "label": pa.array([0, 1])})
    pq.write_table(table, root / "typed.parquet")
    metadata = {b"pandas": pickle.dumps(trap), b"ARROW:extension:name": b"arrow.py_extension_type"}
    pq.write_table(
        pa.table({"a": [1, 2], "label": [0, 1]}).replace_schema_metadata(metadata),
        root / "odd.parquet",
    )
    pickled = pa.array([pickle.dumps(trap)] * 2)
    pq.write_table(pa.table({"a": pickled, "label": [0, 1]}), root / "bytes.parquet")
    for name in ("typed", "odd", "bytes"):
        try:
            read(f"{name}.parquet", root, target="label")
        except InvalidJob:
            continue


def test_s15_a_pickle_is_no_data_file_whatever_it_is_called(root, trap):
    for name in ("data.pkl", "data.pickle", "data.joblib", "data.npy", "data.skops", "data"):
        joblib.dump(trap, root / name)
        with pytest.raises(ValueError, match="suffix"):
            FileData(file=name)
    for name in ("data.csv", "data.parquet"):
        buffer = io.BytesIO()
        joblib.dump(trap, buffer)
        (root / name).write_bytes(buffer.getvalue())
        with pytest.raises(InvalidJob):
            read(name, root, target="label")
