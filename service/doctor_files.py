"""What `foldq doctor` sees on the disks: rights, file systems, free space, keys."""

import os
import shutil
import stat
from pathlib import Path

import psutil

from service.layout import DIRECTORIES
from service.patient import Finding, Notes, Patient
from service.sizes import size

#: Free space below which nothing can be relied on, and below which somebody should look.
CRITICAL_SPACE = 100 * 1_000_000
SCARCE_SPACE = 1 << 30
SCARCE_SHARE = 0.05
SCARCE_INODES = 1000

#: File systems that other machines share. SQLite's WAL needs memory that all its processes
#: share, and locks that hold: neither is promised there.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.cephfs",
        "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
        "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf",
    }
)  # fmt: skip
VOLATILE_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


def rights(patient: Patient) -> Finding:
    """Tell whether the spool is there, its owner's alone, and writable."""
    spool, notes = patient.spool, Notes()
    if not spool.exists():
        told = f"there is no spool at {spool} yet"
        return Finding("spool", "warning", told, "foldq serve makes it; or name another: --spool")
    if not spool.is_dir():
        return Finding("spool", "critical", f"{spool} is no directory", "name another with --spool")
    missing: list[str] = []
    for directory in (spool, *(spool / name for name in (*DIRECTORIES, "cluster"))):
        if directory.is_dir():
            _rights_of(directory, notes, os.R_OK | os.W_OK | os.X_OK, 0o700)
        elif directory.name in DIRECTORIES:
            missing.append(directory.name)
    for file in (patient.database, spool / "scheduler.lock"):
        if file.is_file():
            _rights_of(file, notes, os.R_OK | os.W_OK, 0o600)
    if missing:
        notes.warn(f"not there: {', '.join(missing)}", "foldq serve makes what is missing")
    return notes.finding("spool", f"{spool}: complete, writable, its owner's alone")


def _rights_of(path: Path, notes: Notes, wanted: int, mode: int) -> None:
    found = path.stat()
    if not os.access(path, wanted):
        owner = f"it belongs to user {found.st_uid}" if found.st_uid != os.getuid() else "read-only"
        fix = f"chmod u+rwX {path}"
        notes.fail(f"{path} cannot be written ({owner})", fix)
    elif found.st_mode & 0o077:
        told = f"others can get at {path} (mode {stat.S_IMODE(found.st_mode):o})"
        notes.warn(told, f"chmod {mode:o} {path}")


def file_systems(patient: Patient) -> Finding:
    """Tell what the spool and the records lie on: a database wants a disk of this machine."""
    notes = Notes()
    of_spool = file_system(patient.spool)
    of_database = file_system(patient.database)
    if of_database in NETWORK_FILE_SYSTEMS:
        notes.fail(
            f"the database {patient.database} lies on a network file system ({of_database}):"
            " SQLite's WAL does not work there, and can be damaged",
            f'stop the scheduler, move the file, and set `database = "/local/path/foldq.db"` in'
            f" {patient.spool / 'foldq.toml'}",
        )
    elif of_database.startswith("fuse."):
        notes.warn(
            f"the database lies on {of_database}, which may not have the locks that SQLite needs",
            f'`database = "/local/path/foldq.db"` in {patient.spool / "foldq.toml"}',
        )
    if of_spool in NETWORK_FILE_SYSTEMS:
        notes.warn(
            f"the spool lies on a network file system ({of_spool}): start schedulers on one"
            " machine only",
            "a spool on a local disk",
        )
    for what, kind in (("spool", of_spool), ("database", of_database)):
        if kind in VOLATILE_FILE_SYSTEMS:
            notes.warn(f"the {what} lies in memory ({kind}): gone when the machine restarts")
    same = of_spool == of_database
    told = f"{of_spool}, local" if same else f"spool on {of_spool}, database on {of_database}"
    return notes.finding("disk", told)


def file_system(path: Path) -> str:
    """Return the type of the file system that a path lies on, or would lie on: "ext4", "nfs4"."""
    place = Path(os.path.realpath(_existing(path)))
    best, kind = -1, "unknown"
    for partition in psutil.disk_partitions(all=True):
        mount = Path(partition.mountpoint)
        # Of several mounted at one place the last one is seen.
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), partition.fstype
    return kind


def _existing(path: Path) -> Path:
    """Return the path itself or the directory above it that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def space(patient: Patient) -> Finding:
    """Tell how much room is left where foldq writes."""
    notes, told = Notes(), []
    seen: set[int] = set()
    places = {name: patient.spool / name for name in ("cache", "results", "logs")}
    for name, path in {"spool": patient.spool, "database": patient.database, **places}.items():
        place = _existing(path)
        if (device := place.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage, counts = shutil.disk_usage(place), os.statvfs(place)
        left = f"{size(usage.free)} free of {size(usage.total)} for the {name}"
        fix = "delete what is not needed; of the records: foldq prune --older-than 90d"
        if usage.free < CRITICAL_SPACE:
            notes.fail(f"only {left}: results cannot be relied on to find room", fix)
        elif usage.free < max(SCARCE_SPACE, SCARCE_SHARE * usage.total):
            notes.warn(f"only {left}", fix)
        elif counts.f_files and counts.f_favail < SCARCE_INODES:
            notes.warn(f"room for {counts.f_favail} more files only, for the {name}", fix)
        told.append(left)
    return notes.finding("space", "; ".join(told))


def connection_files(patient: Patient) -> Finding | None:
    """Tell whether the keys to the engines are their owner's alone."""
    directory, notes = patient.spool / "cluster", Notes()
    files = sorted(directory.rglob("*.json")) if directory.is_dir() else []
    for file in files:
        mode = file.stat().st_mode
        if mode & 0o077 and b'"key"' in file.read_bytes():
            told = f"others can read {file} (mode {stat.S_IMODE(mode):o}), a key to the engines"
            notes.fail(told, f"chmod 600 {file}")
    return notes.finding("connection", "its files are their owner's alone") if files else None
