"""The real store over memory: a crash at any step loses what was not committed and keeps what was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any, Final

import apsw

from replication.replica import Ingested, Replica
from replication.store import Store

_names: Final = count()


class Crash(BaseException):
    """The process ends here. No product code may catch it and go on."""


class Violation(AssertionError):
    """A checker found something wrong. `checker` is its name."""

    def __init__(self, checker: str, detail: str) -> None:
        super().__init__(f"{checker}: {detail}")
        self.checker = checker
        self.detail = detail

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        return Violation, (self.checker, self.detail)


class SimulatedStore(Store):
    """Counts its steps; where `fuse` reaches zero the process dies, before a statement, before a commit, or
    after one that nobody will hear of."""

    fuse: int | None = None
    dead = False

    def _step(self) -> None:
        if self.dead:
            raise Crash
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.dead = True
                raise Crash

    @contextmanager
    def write(self) -> Iterator[None]:
        outermost = not self._depth
        self._step()
        with super().write():
            yield
            self._step()
        if outermost:
            self._step()

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self._step()
        super().run(sql, values)

    def run_many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        self._step()
        super().run_many(sql, values)


class CountedReplica(Replica):
    """The real replica; what it takes in is counted by us as well."""

    received = 0

    def ingest(self, wires: Sequence[bytes]) -> Ingested:
        before = self._count()
        result = super().ingest(wires)
        self.received += len(wires)
        looked_at = result.stored + result.duplicate + (result.refused is not None)
        if looked_at != len(wires) and not (result.refused and looked_at < len(wires)):
            raise Violation("accounting", f"{len(wires)} received, {looked_at} accounted for")
        if self._count() - before != result.stored:
            raise Violation("accounting", f"{result.stored} said to be stored, {self._count() - before} are")
        return result

    def cut(self) -> set[bytes]:
        """The writes that lie beyond a cut."""
        return {digest for (digest,) in self.store.rows("SELECT hash FROM entries WHERE cut")}

    def _count(self) -> int:
        return int(self.store.row("SELECT count(*) FROM entries")[0])


class NewerReplica(CountedReplica):
    """A program that understands the next version, too."""

    understood = 2


class Disk:
    """A store's bytes, which outlive its processes. On this one whatever was written is safe."""

    dead = False
    path: str

    def __init__(self, content: bytes | None = None) -> None:
        self.path = f"file:/kinring-{next(_names)}?vfs=memdb"
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_CREATE
        self._keeper = apsw.Connection(self.path, flags=flags)
        if content is not None:
            source = apsw.Connection(":memory:")
            source.deserialize("main", content)
            with self._keeper.backup("main", source, "main") as backup:
                backup.step(-1)
            source.close()

    def content(self) -> bytes:
        return bytes(self._keeper.serialize("main"))

    def hashes(self) -> set[bytes]:
        """The entries that are committed."""
        return {digest for (digest,) in self._keeper.execute("SELECT hash FROM entries")}

    def open(
        self, random_bytes: Callable[[int], bytes], mark: bytes, program: type[CountedReplica] = CountedReplica
    ) -> CountedReplica:
        replica = program.open(self.path, random_bytes=random_bytes, mark=mark)
        assert isinstance(replica, CountedReplica)
        return replica

    def die(self) -> None:
        """The power goes: its processes must end."""

    def let_go(self) -> None:
        """They end now."""

    def revive(self, random: Random, *, power_cut: bool = True) -> None:
        """What is there afterwards."""

    def calm(self) -> None:
        """From now on it is sound, and has room."""

    def discard(self) -> None:
        self._keeper.close()
