"""A disk under the real SQLite, in memory: what was synced is safe, what was not may be lost, kept, torn or garbled by
sectors and out of order when the power goes. It can be full, and it can fail to read, write and sync.

Only the bytes are ours: locks and the WAL's shared memory are those of the operating system, on empty files.
"""

# ruff: noqa: N802 - SQLite names its calls so.

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from random import Random
from typing import Any, Final

import apsw

from simulations.store import CountedReplica, Disk

VFS: Final = "kinring-simulated-disk"
SECTOR: Final = 512
_GARBLED: Final = 0.03
"""Of the sectors that are lost, how many read as something else altogether."""


class File:
    """One file as programs see it, and as it stands when the power goes."""

    def __init__(self, content: bytes = b"") -> None:
        self.seen = bytearray(content)
        self.safe = bytearray(content)
        self.unsynced: list[tuple[int, bytes | None]] = []
        """(offset, bytes) written, or (size, None) cut to, since the last sync."""

    def write(self, offset: int, data: bytes) -> None:
        _put(self.seen, offset, data)
        self.unsynced.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.seen[size:]
        self.unsynced.append((size, None))

    def sync(self) -> None:
        for offset, data in self.unsynced:
            _change(self.safe, offset, data)
        self.unsynced.clear()

    def copy(self) -> File:
        copied = File(bytes(self.safe))
        copied.seen = bytearray(self.seen)
        copied.unsynced = list(self.unsynced)
        return copied

    def after_power_cut(self, random: Random) -> File:
        kept = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        found = bytearray(self.safe)
        for offset, data in self.unsynced:
            if data is None:
                if random.random() < kept:
                    _change(found, offset, None)
                continue
            at = 0
            while at < len(data):
                end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
                if random.random() < kept:
                    _put(found, offset + at, data[at:end])
                elif random.random() < _GARBLED:
                    _put(found, offset + at, random.randbytes(end - at))
                at = end
        return File(bytes(found))


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    else:
        _put(content, offset, data)


class _Handle(apsw.VFSFile):
    def __init__(self, disk: SectorDisk, name: Any, flags: Any) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._file = disk.file(name.filename() if isinstance(name, apsw.URIFilename) else name)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.step("read")
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.step("write", max(0, offset + len(data) - len(self._file.seen)))
        self._file.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.step("write")
        self._file.truncate(size)

    def xSync(self, flags: int) -> None:
        try:
            self._disk.step("sync")
        except apsw.IOError:
            # The system has marked these pages as written all the same: no later sync brings them to the disk.
            if not self._disk.dead:
                self._file.unsynced.clear()
            raise
        self._file.sync()
        self._disk.sync_folder(self._file)

    def xFileSize(self) -> int:
        return len(self._file.seen)

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        # As SQLite takes it of real disks: bytes beside those that are written stay as they are.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


class _Disks(apsw.VFS):
    def __init__(self) -> None:
        self.disks: dict[str, SectorDisk] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="kinring-simulation-")
        self._names = count()
        super().__init__(VFS, "unix")

    def place(self) -> str:
        return os.path.join(self._folder.name, f"{next(self._names)}.db")

    def _disk(self, name: str) -> SectorDisk:
        return self.disks[name.removesuffix("-wal").removesuffix("-journal")]

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _Handle(self._disk(path), name, flags)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self._disk(name).files

    def xDelete(self, name: str, sync: bool) -> None:
        disk = self._disk(name)
        disk.step("write")
        disk.files.pop(name, None)
        if sync:
            disk.named.pop(name, None)
        super().xDelete(name, sync)

    def end(self) -> None:
        self.unregister()
        self._folder.cleanup()


@cache
def _all_disks() -> _Disks:
    """Made when first needed: it has a folder on the real disk, and goes with the process."""
    disks = _Disks()
    atexit.register(disks.end)
    return disks


class SectorDisk(Disk):
    """A store's bytes on such a disk."""

    def __init__(self, content: bytes | None = None) -> None:
        self._vfs = _all_disks()
        self.path = self._vfs.place()
        self._vfs.disks[self.path] = self
        open(self.path, "xb").close()  # for the locks
        self.files: dict[str, File] = {} if content is None else {self.path: File(content)}
        self.named = dict(self.files)
        """The folder as it is on the disk: a file is there for good from its first sync on."""
        self.operations = 0
        self.cut_at: int | None = None
        """The power goes with this operation."""
        self.failing: tuple[str, int] | None = None
        """(read, write or sync, how many of them still go well before one fails)."""
        self.free: int | None = None
        """Bytes that still fit."""
        self.dead = False
        self._then: list[dict[str, File]] = []
        """The files, and the folder, at the moment it died."""

    def step(self, kind: str, grows: int = 0) -> None:
        if not self.dead and kind != "read":
            self.operations += 1
            if self.cut_at is not None and self.operations >= self.cut_at:
                self.die()
        if self.dead:
            raise apsw.exception_for(_ERRORS[kind])
        if self.failing is not None and self.failing[0] == kind:
            left = self.failing[1]
            self.failing = (kind, left - 1) if left else None
            if not left:
                raise apsw.exception_for(_ERRORS[kind])
        if self.free is not None and grows:
            if grows > self.free:
                raise apsw.exception_for(apsw.SQLITE_FULL)
            self.free -= grows

    def file(self, name: str) -> File:
        return self.files.setdefault(name, File())

    def sync_folder(self, synced: File) -> None:
        """File systems that keep a journal keep its order: what was deleted before a sync is so for good."""
        there = {name: file for name, file in self.named.items() if name in self.files}
        self.named = there | {name: file for name, file in self.files.items() if file is synced}

    def calm(self) -> None:
        self.cut_at = self.failing = self.free = None

    def empty(self) -> None:
        """Somebody made room."""
        self.free = None

    def die(self) -> None:
        if not self.dead:
            self.dead = True
            copies = {id(file): file.copy() for file in (*self.files.values(), *self.named.values())}
            self._then = [{name: copies[id(file)] for name, file in of.items()} for of in (self.files, self.named)]

    def let_go(self) -> None:
        """Its processes end: what SQLite does to the files when they are closed is done to none that is kept."""
        self.dead = False
        self.calm()

    def revive(self, random: Random, *, power_cut: bool = True) -> None:
        """After `die` and `let_go`. Without a power cut the system still has all that was written."""
        self.files, self.named = self._then
        if power_cut:
            files = {}
            for name in sorted(self.files.keys() | self.named.keys()):
                now, before = self.files.get(name), self.named.get(name)
                there = now if now is before or random.random() < 0.5 else before
                if there is not None:
                    files[name] = there.after_power_cut(random)
            self.files = files
            self.named = dict(files)
        self._remove("-wal", "-shm", "-journal")
        for name in self.files:
            open(name, "ab").close()

    def _remove(self, *ends: str) -> None:
        for end in ends:
            if os.path.exists(self.path + end):
                os.unlink(self.path + end)

    @contextmanager
    def _looking(self) -> Iterator[apsw.Connection]:
        """From outside: nothing goes wrong meanwhile."""
        kept = self.cut_at, self.failing, self.free
        self.calm()
        connection = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
        try:
            yield connection
        finally:
            connection.close()
            self.cut_at, self.failing, self.free = kept

    def content(self) -> bytes:
        with self._looking() as connection:
            content = bytearray(connection.serialize("main"))
        content[18:20] = b"\1\1"  # all of it is here, and in no WAL beside it
        return bytes(content)

    def hashes(self) -> set[bytes]:
        with self._looking() as connection:
            return {digest for (digest,) in connection.execute("SELECT hash FROM entries")}

    def open(
        self, random_bytes: Callable[[int], bytes], mark: bytes, program: type[CountedReplica] = CountedReplica
    ) -> CountedReplica:
        replica = program.open(self.path, random_bytes=random_bytes, mark=mark, vfs=VFS)
        assert isinstance(replica, CountedReplica)
        return replica

    def discard(self) -> None:
        del self._vfs.disks[self.path]
        self._remove("", "-wal", "-shm", "-journal")


_ERRORS: Final = {
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
}
