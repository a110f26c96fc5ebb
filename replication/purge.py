"""When a purge takes effect, and dropping what it names: the value alone, so that chain and merge stay whole.

The problem. Who destroys an old password wants it gone from every device; but the laptop in the drawer may not have
heard of the new one, and a thief with an owner's laptop may want everything gone.

What we do. A purge names for each value its *floor*: the write that replaced it. It takes effect when the floor is
stable, that is when it stands in the signed frontier of every device that may still need the older value; and the bytes
go only a waiting time later, so that a purge by a thief can be undone by removing the thief. From its first day the
floor counts whatever is cut, so what was purged can never be live again. Mirrors docs/spec/purge.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from replication.encoding import decode
from replication.entry import MAX_COUNT, detached, make_dot
from replication.log import Row
from replication.membership import Purge
from replication.replica import Replica

WAITING_MS: Final = 30 * 24 * 3600 * 1000
"""From when a purge takes effect on a device until it drops the bytes."""
DUE: Final = "purge"
"""What the store keeps of it for itself: dot to when its purge took effect here."""

Stands = Callable[[int], bool]
"""Whether a stored entry, by its local id, stands in a device's signed frontier."""


def lagging(replica: Replica, entry: int, frontiers: dict[bytes, Stands] | None = None) -> list[bytes]:
    """The devices (ids) whose word is waited for until `entry` (local id) is stable.

    A device that was removed is waited for until all that remain have heard so: until then one of them may be
    showing what the removed one wrote. A frontier counts only where all that it names is here. `frontiers`: as
    `standing_frontiers` has them, for who asks more than once.
    """
    state = replica.state()
    frontiers = standing_frontiers(replica) if frontiers is None else frontiers
    waiting = [device for device in state.devices if not frontiers.get(device, _nowhere)(entry)]
    for gone, removals in state.removed_by.items():
        if len(gone) != 32 or frontiers.get(gone, _nowhere)(entry):
            continue
        entries = [replica.entry_of(removal) for removal in removals]
        if not all(frontiers.get(device, _nowhere)(one) for device in state.devices for one in entries):
            waiting.append(gone)
    return sorted(waiting)


def _nowhere(_: int) -> bool:
    return False


def standing_frontiers(replica: Replica) -> dict[bytes, Stands]:
    """Device to what stands in its latest signed frontier, where all that it names is here."""
    found: dict[bytes, Stands] = {}
    for device, signed in replica.signed_frontiers().items():
        if all(replica.holds(row) for row in signed.rows):
            found[device] = _stands_in(replica, signed.rows)
    return found


def _stands_in(replica: Replica, rows: tuple[Row, ...]) -> Stands:
    of_log: dict[bytes, list[Row]] = {}
    for row in rows:
        of_log.setdefault(row.log, []).append(row)
    branches = {log: _under(replica, held) for log, held in of_log.items() if replica.is_forked(log)}

    def stands(entry: int) -> bool:
        info = replica.info(entry)
        if info.log in branches:
            return info.hash in branches[info.log]
        return any(row.seq >= info.seq for row in of_log.get(info.log, ()))

    return stands


def _under(replica: Replica, rows: list[Row]) -> set[bytes]:
    return {digest for row in rows for digest in replica.ancestors(row)}


def waiting_for(replica: Replica, purge: Purge) -> set[bytes]:
    """The devices that a purge still waits for."""
    floors = {dot for floor in purge.items.values() for dot in floor}
    entries = {op // MAX_COUNT for dot in floors if (op := replica.op_of(dot)) is not None}
    frontiers = standing_frontiers(replica)
    return {device for entry in entries for device in lagging(replica, entry, frontiers)}


def drop_purged(replica: Replica, now: int, waiting_ms: int = WAITING_MS) -> int:
    """Drop the values whose purge took effect here at least `waiting_ms` ago; how many went.

    `now`: milliseconds since 1970. To be called now and then, by one process of a device.
    """
    dropped = 0
    with replica.transaction():
        due = replica.store.local(DUE)
        ready = {make_dot(replica.info(op // MAX_COUNT).hash, op % MAX_COUNT): (op, by) for op, by in _ready(replica)}
        for dot in due.keys() - ready.keys():
            replica.store.set_local(DUE, dot, None)  # it lost its authority, or was dropped
        for dot, (op, floor) in ready.items():
            since = int.from_bytes(due[dot], "big") if dot in due else now
            if dot not in due or since > now:  # noted by a clock that was ahead: the waiting begins anew
                since = now
                replica.store.set_local(DUE, dot, max(0, now).to_bytes(8, "big"))
            # Looked at again: two copies, each the other's floor, must not both go.
            if now - since >= waiting_ms and really_replaced(replica, op, floor):
                _drop(replica, op)
                dropped += 1
        dropped += _forget(replica)
    if dropped:
        replica.store.truncate_log()  # the old pages lie in SQLite's write-ahead log, too
    return dropped


def _ready(replica: Replica) -> Iterator[tuple[int, list[int]]]:
    """The ops that are here with their value, and whose purge is in force and stable, with the ops of its floor."""
    stable: dict[int, bool] = {}
    frontiers = standing_frontiers(replica) if replica.state().purges else {}
    for purge in replica.state().purges:
        for dot, floor in purge.items.items():
            op = replica.op_of(dot)
            named = [found for one in floor if (found := replica.op_of(one)) is not None]
            if op is None or len(named) < len(floor) or not _has_value(replica, op, purge.vault):
                continue
            if not really_replaced(replica, op, named):
                continue
            for one in named:
                entry = one // MAX_COUNT
                if entry not in stable:
                    stable[entry] = not lagging(replica, entry, frontiers)
            if all(stable[one // MAX_COUNT] for one in named):
                yield op, named


def _has_value(replica: Replica, op: int, vault: bytes) -> bool:
    return bool(
        replica.store.row(
            "SELECT 1 FROM ops JOIN entries ON entries.id = ops.id / 1024 "
            "WHERE ops.id = ? AND vault = ? AND length(sealed) > 0",
            (op, vault),
        )
    )


def really_replaced(replica: Replica, op: int, floor: list[int], *, held: bool = True) -> bool:
    """Whether the floor (ops by their local ids) does what it says: all of it is of the same vault, and one of its
    writes replaced the dot, or one is another copy of it that is here (without `held`: or was). A copy goes as its dot
    goes. Else a purge could name what everybody still shows."""
    target, copies, vault = replica.store.one(
        "SELECT target, copies, vault FROM ops JOIN entries ON entries.id = ops.id / 1024 WHERE ops.id = ?", (op,)
    )
    first = op if copies is None else replica.op_of(copies)
    if first is None:
        return False
    dot = make_dot(replica.info(first // MAX_COUNT).hash, first % MAX_COUNT)
    replaced = copied = False
    for one in floor:
        found = replica.store.row(
            "SELECT target, coalesce(replaces, x''), copies, length(sealed) FROM ops "
            "JOIN entries ON entries.id = ops.id / 1024 WHERE ops.id = ? AND vault = ? AND reason IS NULL",
            (one, vault),
        )
        if found is None:
            return False
        at, replaces, copies, size = found
        dots = [replaces[i : i + 18] for i in range(0, len(replaces), 18)]
        replaced = replaced or (at == target and dot in dots)
        copied = copied or (at == target and copies == dot and one != op and (bool(size) or not held))
    (live,) = replica.store.row("SELECT live FROM ops WHERE id = ? AND target = ?", (first, target)) or (True,)
    return copied or (replaced and not live)


def _drop(replica: Replica, op: int) -> None:
    sealed, vault, target = replica.store.one(
        "SELECT sealed, vault, target FROM ops JOIN entries ON entries.id = ops.id / 1024 WHERE ops.id = ?", (op,)
    )
    replica.store.run("INSERT INTO missing VALUES (?, ?)", (op, hashlib.sha256(sealed).digest()))
    replica.store.run("UPDATE ops SET sealed = x'' WHERE id = ?", (op,))
    replica.store.run("INSERT INTO recounts (vault, target) VALUES (?, ?)", (vault, target))


def _forget(replica: Replica) -> int:
    """Drop unlock wraps that their person had forgotten, once the newer one is everywhere: no waiting, since the
    newer one opens the older's key."""
    dropped = 0
    forgotten = replica.state().forgotten
    frontiers = standing_frontiers(replica) if forgotten else {}
    for old, new in forgotten.items():
        if lagging(replica, replica.entry_of(new), frontiers):
            continue
        entry = replica.entry_of(old)
        hashes = replica.statements_of(entry)
        body = decode(replica.store.one("SELECT body FROM entries WHERE id = ?", (entry,))[0])
        statement = body[hashes.index(old)]
        if all(type(part) is list for part in statement[2:]):
            continue
        # Whoever handed it on may have left out one part of it.
        parts = detached(statement)
        replica.replace_statement(old, [*parts[:2], *([digest] for digest in parts[2:])])
        dropped += 1
    return dropped
