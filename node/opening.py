"""Opening this device's store: private files, the mark that tells a copied store, errors with advice."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.errors import ExitCode, KinringError
from replication.replica import Replica
from replication.store import StoreError

STORE_FILE: Final = "kinring.db"
SMALLEST: Final = 512
"""Bytes of the smallest page that SQLite knows."""

_TOLD: Final = {
    "damaged": ("the store is damaged",
                "restore a backup, or join this device to the family anew", ExitCode.DAMAGED),
    "version": ("the store was written by another version of Kinring, or is not Kinring's",
                "no format is released yet: start with an empty data folder", ExitCode.DAMAGED),
    "busy": ("another Kinring process has been writing to the store for too long",
             "wait for it, or stop it", ExitCode.BUSY),
    "full": ("the disk is full; nothing was half saved", "make room and try again", ExitCode.DISK),
    "io": ("the disk refuses to read or write; nothing was half saved", "check the disk", ExitCode.DISK),
    "missing": ("the store cannot be opened",
                "check that the data folder exists and is yours", ExitCode.DAMAGED),
}  # fmt: skip


@contextmanager
def store_errors() -> Iterator[None]:
    """StoreError as KinringError."""
    try:
        yield
    except StoreError as error:
        message, hint, code = _TOLD[error.kind]
        raise KinringError(message, hint, code) from error


def open_replica(folder: Path, *, create: bool = True) -> Replica:
    """The copy in a data folder (see node.folders). Raises KinringError DAMAGED, BUSY, DISK."""
    path = folder / STORE_FILE
    with store_errors():
        if create:
            _make_private(path)
        elif not path.exists():
            raise KinringError("there is no family in this data folder yet",
                               "found one with create-user, or join one", ExitCode.NOT_FOUND)  # fmt: skip
        _check_private(path)
        size = path.stat().st_size
        if size < SMALLEST and not (create and size == 0):
            raise StoreError("damaged", "cut off")  # SQLite would take it for an empty one
        return Replica.open(str(path), random_bytes=secrets.token_bytes, mark=store_mark(path), create=create)


def _make_private(path: Path) -> None:
    """SQLite gives -wal and -shm the mode of the file itself: so that one is made before, by us."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError("full" if error.errno == 28 else "io") from error


def _check_private(path: Path) -> None:
    info = path.lstat()
    if not os.path.isfile(path) or path.is_symlink():
        raise KinringError(
            "the store is not a plain file", f"look at {STORE_FILE} in the data folder", ExitCode.DAMAGED
        )
    if hasattr(os, "getuid") and (info.st_uid != os.getuid() or info.st_mode & 0o077):
        raise KinringError(
            "others may read the store", f"chmod 600 {STORE_FILE} in the data folder", ExitCode.DAMAGED
        )


def store_mark(path: Path) -> bytes:
    """Which machine and which file this is, hashed. Another answer than last time: the store was copied."""
    machine = b""
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine = Path(name).read_bytes().strip()
            break
        except OSError:
            continue
    info = path.stat()
    return hashlib.sha256(b"kinring/1/store-mark\0" + machine + f"{info.st_ino}".encode()).digest()[:16]
