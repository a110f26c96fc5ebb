"""Values that are not here: purged, or kept back by who handed the entry on. Asked of every peer, taken by their hash.

An op's hash is made of its value's hash, so an entry stays whole without the value: chain, signature and merge need
none of it. A value that is not here and is under no purge in force is *wanted*, though a copy of it may be here: who
wrote that copy may be lying, and only who has both can see it. The two parts of an unlock statement, which may be
forgotten, are one value here. Mirrors docs/spec/purge.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from replication.encoding import decode, encode
from replication.entry import MAX_COUNT, MAX_SEALED, UNLOCK, detached, make_dot
from replication.errors import Malformed
from replication.purge import really_replaced
from replication.replica import MAX_BATCH, Replica


def wanted(replica: Replica, limit: int, after: int = 0) -> list[tuple[bytes, int]]:
    """(dot, local id) of what is wanted, at most `limit`: wraps, then ops from the local id `after` on, and round to
    the beginning. So what nobody has keeps nothing else waiting for ever."""
    found = list(_wraps(replica))[:limit]
    purged = _purges(replica)
    for op, entry in replica.store.each(
        "SELECT op, hash FROM missing JOIN entries ON entries.id = op / 1024 ORDER BY op <= ?, op", (after,)
    ):
        if len(found) >= limit:
            break
        dot = make_dot(entry, op % MAX_COUNT)
        if not _is_purged(replica, op, purged.get(dot, ())):
            found.append((dot, op))
    return found


Floors = Sequence[frozenset[bytes]]


def _purges(replica: Replica) -> dict[bytes, list[frozenset[bytes]]]:
    """Dot to the floors of the purges in force that name it."""
    found: dict[bytes, list[frozenset[bytes]]] = {}
    for purge in replica.state().purges:
        for dot, floor in purge.items.items():
            found.setdefault(dot, []).append(floor)
    return found


def _is_purged(replica: Replica, op: int, floors: Floors) -> bool:
    """Whether a purge in force names it whose floor does what it says: one that lies hides nothing."""
    for floor in floors:
        ops = [found for dot in floor if (found := replica.op_of(dot)) is not None]
        if len(ops) == len(floor) and really_replaced(replica, op, ops, held=False):
            return True
    return False


def _wraps(replica: Replica) -> Iterator[tuple[bytes, int]]:
    """The unlock statements of which a part is not here though nobody had it forgotten."""
    state = replica.state()
    for unlocks in state.unlocks.values():
        for unlock in unlocks:
            if None in (unlock.wrap, unlock.older) and unlock.hash not in state.forgotten:
                entry = replica.entry_of(unlock.hash)
                index = replica.statements_of(entry).index(unlock.hash)
                yield make_dot(replica.info(entry).hash, index), entry * MAX_COUNT + index


def values(replica: Replica, dots: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """(dot, value) of those that are here, up to about 256 KiB."""
    found: list[tuple[bytes, bytes]] = []
    size = 0
    for dot in dots:
        op = replica.op_of(dot)
        value = None if op is None else _value(replica, op)
        if not value:
            continue
        size += len(value)
        if found and size > MAX_BATCH:
            break
        found.append((dot, value))
    return found


def _value(replica: Replica, op: int) -> bytes | None:
    row = replica.store.row("SELECT sealed FROM ops WHERE id = ?", (op,))
    if row:
        return row[0]  # type: ignore[no-any-return]
    statement = _unlock(replica, op)
    if statement is None or any(type(part) is not bytes for part in statement[2:]):
        return None
    return encode(statement[2:])


def _unlock(replica: Replica, op: int) -> list[Any] | None:
    """The unlock statement at a place, as it lies in the store."""
    row = replica.store.row("SELECT body FROM entries WHERE id = ? AND body IS NOT NULL", (op // MAX_COUNT,))
    body = decode(row[0]) if row else []
    statement = body[op % MAX_COUNT] if op % MAX_COUNT < len(body) else [0]
    return statement if statement[0] == UNLOCK and len(statement) == 4 else None


def take_values(replica: Replica, given: Sequence[tuple[bytes, bytes]]) -> int:
    """Store values that were wanted; how many. What is not wanted is left alone.

    Raises Malformed `value` for one that is not what was signed.
    """
    purged = _purges(replica)
    taken = 0
    with replica.transaction():
        for dot, value in given:
            op = replica.op_of(dot)
            if op is not None and (_take(replica, op, value, purged.get(dot, ())) or _take_wrap(replica, op, value)):
                taken += 1
    return taken


def _take(replica: Replica, op: int, sealed: bytes, floors: Floors) -> bool:
    row = replica.store.row("SELECT digest FROM missing WHERE op = ?", (op,))
    if row is None or _is_purged(replica, op, floors):
        return False
    if not 16 <= len(sealed) <= MAX_SEALED or hashlib.sha256(sealed).digest() != row[0]:
        raise Malformed("value", "not what was signed")
    replica.store.run("UPDATE ops SET sealed = ? WHERE id = ?", (sealed, op))
    replica.store.run("DELETE FROM missing WHERE op = ?", (op,))
    replica.store.run(
        "INSERT INTO recounts (vault, target) SELECT vault, target FROM ops "
        "JOIN entries ON entries.id = ops.id / 1024 WHERE ops.id = ?",
        (op,),
    )
    return True


def _take_wrap(replica: Replica, op: int, value: bytes) -> bool:
    held = _unlock(replica, op)
    if held is None or all(type(part) is bytes for part in held[2:]):
        return False
    name = replica.statements_of(op // MAX_COUNT)[op % MAX_COUNT]
    if name in replica.state().forgotten:
        return False
    parts = decode(value)
    whole = [*held[:2], *parts] if type(parts) is list and len(parts) == 2 else held
    if any(type(part) is not bytes for part in whole[2:]) or detached(whole) != detached(held):
        raise Malformed("value", "not what was signed")
    replica.replace_statement(name, whole)
    return True
