"""Values that are not here: purged, or kept back by who handed the entry on. Asked of every peer, taken by their hash.

An op's hash is made of its value's hash, so an entry stays whole without the value: chain, signature and merge need
none of it. A value that is not here and is under no purge in force is *wanted*, though a copy of it may be here: who
wrote that copy may be lying, and only who has both can see it.
Mirrors docs/spec/purge.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from replication.entry import MAX_COUNT, MAX_SEALED, make_dot
from replication.errors import Malformed
from replication.replica import MAX_BATCH, Replica


def wanted(replica: Replica, limit: int) -> list[tuple[bytes, bytes]]:
    """(dot, SHA-256 of its value) of what is wanted, what is live first; at most `limit`."""
    purged = {dot for purge in replica.state().purges for dot in purge.items}
    found: list[tuple[bytes, bytes]] = []
    for op, digest, entry in replica.store.each(
        "SELECT op, digest, hash FROM missing JOIN ops ON ops.id = op JOIN entries ON entries.id = op / 1024 "
        "ORDER BY live DESC, op"
    ):
        dot = make_dot(entry, op % MAX_COUNT)
        if dot not in purged:
            found.append((dot, digest))
        if len(found) == limit:
            break
    return found


def values(replica: Replica, dots: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """(dot, sealed value) of those that are here, up to about 256 KiB."""
    found: list[tuple[bytes, bytes]] = []
    size = 0
    for dot in dots:
        op = replica.op_of(dot)
        row = op is not None and replica.store.row("SELECT sealed FROM ops WHERE id = ?", (op,))
        if not row or not row[0]:
            continue
        size += len(row[0])
        if found and size > MAX_BATCH:
            break
        found.append((dot, row[0]))
    return found


def take_values(replica: Replica, given: Sequence[tuple[bytes, bytes]]) -> int:
    """Store values that were wanted; how many. What is not wanted is left alone.

    Raises Malformed `value` for one that is not what its op was signed with.
    """
    purged = {dot for purge in replica.state().purges for dot in purge.items}
    taken = 0
    with replica.transaction():
        for dot, sealed in given:
            op = replica.op_of(dot)
            row = replica.store.row("SELECT digest FROM missing WHERE op = ?", (op,))
            if row is None or dot in purged:
                continue
            if not 16 <= len(sealed) <= MAX_SEALED or hashlib.sha256(sealed).digest() != row[0]:
                raise Malformed("value", "not what was signed")
            replica.store.run("UPDATE ops SET sealed = ? WHERE id = ?", (sealed, op))
            replica.store.run("DELETE FROM missing WHERE op = ?", (op,))
            replica.store.run(
                "INSERT INTO recounts (vault, target) SELECT vault, target FROM ops "
                "JOIN entries ON entries.id = ops.id / 1024 WHERE ops.id = ?",
                (op,),
            )
            taken += 1
    return taken
