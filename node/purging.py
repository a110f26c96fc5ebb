"""What of a record can be destroyed for good, and the floor that each value goes by.

Pure but for reading the store. Mirrors docs/spec/housekeeping.md: a value that was replaced goes by the write that
replaced it; an older ciphertext by the copy in its place, and by the writes that override what the copy leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from replication.entry import MAX_COUNT, make_dot
from replication.membership import PURGE, Purge
from replication.replica import Replica
from replication.values import wanted

MAX_ITEMS: Final = 1024
"""Values that one statement names."""
MAX_FLOOR: Final = 64
MAX_WANTED: Final = 10_000
"""Missing values that are counted; more are as good as all."""

Items = dict[bytes, frozenset[bytes]]
"""The dot of a value, or the name of a copy, to its floor."""


def replaced(replica: Replica, vault: bytes, targets: Iterable[bytes], before: int | None = None) -> Items:
    """Every value at some targets that has been replaced, its copies too. `before`: only what was replaced by then,
    in milliseconds since 1970 by the clock of who replaced it."""
    items: Items = {}
    for target in targets:
        by, has_value = _named(replica, vault, target)
        for dot, writer in by.items():
            if dot not in has_value or (before is not None and _at(replica, writer) > before):
                continue
            for name in (dot, *copies(replica, dot)):
                items[name] = frozenset([writer])
    return without_purged(replica, items)


def _named(replica: Replica, vault: bytes, target: bytes) -> tuple[dict[bytes, bytes], set[bytes]]:
    """(dot to the write that replaced it, the dots that have a value). Writes beyond a cut lead on, as in the merge:
    what one of them replaced stays replaced once a write that counts has named it."""
    writes: dict[bytes, tuple[bool, tuple[bytes, ...]]] = {}
    has_value = set()
    for op, digest, replaces, counts, valued in replica.store.each(
        "SELECT ops.id, hash, coalesce(replaces, x''), NOT cut OR ops.id IN (SELECT op FROM lifted), "
        "sealed IS NOT NULL FROM ops JOIN entries ON entries.id = ops.id / 1024 "
        "WHERE target = ? AND vault = ? AND copies IS NULL AND reason IS NULL ORDER BY ops.id",
        (target, vault),
    ):
        dot = make_dot(digest, op % MAX_COUNT)
        writes[dot] = (bool(counts), tuple(replaces[i : i + 18] for i in range(0, len(replaces), 18)))
        if valued:
            has_value.add(dot)
    by: dict[bytes, bytes] = {}
    waiting = [dot for dot, (counts, _) in writes.items() if counts]
    while waiting:
        writer = waiting.pop(0)
        for dot in writes[writer][1]:
            if dot in writes and dot not in by:
                by[dot] = writer
                if not writes[dot][0]:
                    waiting.append(dot)
    return by, has_value


def _at(replica: Replica, dot: bytes) -> int:
    op = replica.op_of(dot)
    return replica.info(op // MAX_COUNT).wall_time if op is not None else 0


def copies(replica: Replica, dot: bytes) -> list[bytes]:
    """The names of a dot's copies."""
    return [make_dot(replica.info(copy.entry).hash, copy.index) for copy in replica.copies_of(dot)]


def without_purged(replica: Replica, items: Items) -> Items:
    """Less what a purge in force names already."""
    already = {dot for purge in replica.state().purges for dot in purge.items}
    return {dot: floor for dot, floor in items.items() if dot not in already}


def statements(vault: bytes, items: Items) -> list[list[Any]]:
    """The purge of `items`, in as many statements as it takes."""
    pairs = [[dot, sorted(floor)] for dot, floor in sorted(items.items())]
    return [[PURGE, vault, pairs[i : i + MAX_ITEMS]] for i in range(0, len(pairs), MAX_ITEMS)]


def pending(replica: Replica) -> list[tuple[Purge, int]]:
    """The purges in force of which values are still here, and how many."""
    found = []
    for purge in replica.state().purges:
        ops = [(replica.op_of(dot),) for dot in purge.items]
        here = "SELECT 1 FROM ops WHERE id = ? AND length(sealed) > 0"
        count = sum(replica.store.row(here, op) is not None for op in ops)
        if count:
            found.append((purge, count))
    return found


def wanted_in(replica: Replica) -> dict[bytes, int]:
    """Vault to how many values of it are wanted: not here, and not purged."""
    counts: dict[bytes, int] = {}
    for dot, _ in wanted(replica, MAX_WANTED):
        op = replica.op_of(dot)
        assert op is not None
        vault = replica.info(op // MAX_COUNT).vault
        counts[vault] = counts.get(vault, 0) + 1
    return counts
