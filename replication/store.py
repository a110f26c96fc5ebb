"""The store: one SQLite file (apsw, WAL, synchronous FULL), shared by node, page and command line.

Every write is one short `BEGIN IMMEDIATE` transaction, and what it wrote is on the disk when `write()`
ends: durable before acknowledged. Nothing here knows what an entry means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, NoReturn

import apsw

FORMAT: Final = b"kinring-draft-6"
"""Changed whenever an older store would be misread. No format is released yet: an older one is refused."""

BUSY_MS: Final = 10_000
WAL_FLOOR: Final = 3_051_003
"""SQLite before 3.51.3 can corrupt a database when its WAL is reset."""


class StoreError(Exception):
    """`kind`: damaged, version, busy, full, io, missing. Nothing was half written."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


_KINDS: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.FullError, "full"),
    (apsw.BusyError, "busy"),
    (apsw.LockedError, "busy"),
    (apsw.CorruptError, "damaged"),
    (apsw.NotADBError, "damaged"),
    (apsw.SQLError, "damaged"),  # our statements fit our schema
    (apsw.CantOpenError, "missing"),
    (apsw.ReadOnlyError, "io"),
    (apsw.PermissionsError, "io"),
    (apsw.IOError, "io"),
)


def _fail(error: apsw.Error) -> NoReturn:
    """SQLite's errors by our kinds. The text of a statement or a value is never repeated."""
    for kind, name in _KINDS:
        if isinstance(error, kind):
            raise StoreError(name, type(error).__name__) from error
    raise error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        _fail(error)


class Store:
    """One connection. Not to be shared between threads. Without `create`, an empty file is a damaged store."""

    def __init__(self, path: str, *, create: bool = True, vfs: str | None = None) -> None:
        if apsw.SQLITE_VERSION_NUMBER < WAL_FLOOR:
            raise StoreError("version", "SQLite is older than 3.51.3")
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_CREATE if create else 0)
        self._depth = 0
        self._broken = False
        with _told():
            self._db = apsw.Connection(path, flags=flags, vfs=vfs)
            try:
                self._prepare(create=create)
            except BaseException:
                self._db.close(True)
                raise

    def _prepare(self, *, create: bool) -> None:
        self._db.set_busy_timeout(BUSY_MS)
        for pragma in (
            "trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON", "secure_delete=ON",
            "journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-16000",
        ):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        # A statement is planned once, and not anew for each value that is looked for.
        self._db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        # What a process that was killed wrote last may be seen now and yet not be on the disk: it is, after this.
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if not self._db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            if not create:
                raise StoreError("damaged", "empty")
            self._create()
        expected = {"meta", "logs", "entries", "statements", "ops", "missing", "lifted", "replaced", "recounts",
                    "signed_frontiers", "own_logs", "local", "sqlite_sequence"}  # fmt: skip
        kinds = self._db.execute("SELECT type, name FROM sqlite_schema WHERE type != 'index'").fetchall()
        if {name for kind, name in kinds if kind == "table"} != expected or len(kinds) != len(expected):
            # A view or trigger put there by someone else would run in our name.
            raise StoreError("version" if ("table", "meta") in kinds else "damaged", "another schema")
        if self.meta("format") != FORMAT:
            raise StoreError("version", "another format")

    def _create(self) -> None:
        schema = files("replication").joinpath("schema.sql").read_text("utf-8")
        with self.write():
            # Another process may have made it while this one waited for the lock.
            if not self._db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                self._db.execute(schema)
                self.set_meta("format", FORMAT)

    def truncate_log(self) -> None:
        """Empty SQLite's write-ahead log: what was deleted is then in no file. Later, if another process reads now."""
        with _told():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """SQLite's own check of the whole file. Raises StoreError `damaged`."""
        with _told():
            if self._db.pragma("quick_check") != "ok":
                raise StoreError("damaged", "quick_check")

    @property
    def writing(self) -> bool:
        """Whether a transaction of ours is under way."""
        return self._depth > 0

    def close(self) -> None:
        with _told():
            self._db.close(True)

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction, committed and on the disk when it ends, or not at all. Nests."""
        if self._broken:
            # After a failed fsync the system may report success for pages it lost: reopen and look.
            raise StoreError("io", "the disk failed before")
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with _told():
            self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            with _told():
                yield
                self._db.execute("COMMIT")
        except BaseException as error:
            self._broken = isinstance(error, StoreError) and error.kind == "io"
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    @contextmanager
    def read(self) -> Iterator[None]:
        """Several reads that see one and the same moment."""
        if self._depth or self._db.in_transaction:
            yield
            return
        with _told():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._end_read()

    def _end_read(self) -> None:
        if self._db.in_transaction:  # after an error SQLite may have ended it
            self._db.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except apsw.Error as error:
            _fail(error)

    def row(self, sql: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._db.execute(sql, values).fetchone()
        except apsw.Error as error:
            _fail(error)

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """A row that has to be there: in a sound store it is."""
        found = self.row(sql, values)
        if found is None:
            raise StoreError("damaged", "a row is gone")
        return found

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        with _told():
            yield from self._db.execute(sql, values)

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        try:
            self._db.execute(sql, values)
        except apsw.Error as error:
            _fail(error)

    def run_many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        try:
            self._db.executemany(sql, values)
        except apsw.Error as error:
            _fail(error)

    def changed(self) -> int:
        """How many rows the last `run` wrote."""
        return self._db.changes()

    def last_rowid(self) -> int:
        return self._db.last_insert_rowid()

    def data_version(self) -> int:
        """Another number than before: another process has written."""
        with _told():
            version: int = self._db.pragma("data_version")
        return version

    def meta(self, key: str) -> bytes | None:
        found = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return found[0] if found else None

    def set_meta(self, key: str, value: bytes) -> None:
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def local(self, kind: str) -> dict[bytes, bytes]:
        """What this device keeps for itself under `kind`; never replicated."""
        return dict(self.rows("SELECT key, value FROM local WHERE kind = ? ORDER BY key", (kind,)))

    def set_local(self, kind: str, key: bytes, value: bytes | None) -> None:
        with self.write():
            if value is None:
                self.run("DELETE FROM local WHERE kind = ? AND key = ?", (kind, key))
            else:
                self.run("INSERT OR REPLACE INTO local VALUES (?, ?, ?)", (kind, key, value))
