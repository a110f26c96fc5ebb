"""What an unlocked process does beside a person's own work: re-sealing, and comparing copies.

After a removal, somebody who has not heard of it still writes under the key that the removed one has. What comes so is
kept, and sealed once more under the present key, so that who joins later can read it without the old one. It stays on
the list of what to change: who was removed could read it. And whoever can open both looks whether a copy says what the
write says that it stands in for. Mirrors docs/spec/housekeeping.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from node.item import BASE, base_registers
from node.keyholder import Unlocked
from node.sealing import Value, target
from node.vault import BATCH_BYTES, Vaults
from replication.encoding import decode, encode
from replication.entry import MAX_COUNT, make_dot
from replication.membership import READS, REVOKE, WRITES, Membership
from replication.replica import Replica, StoredOp

RESEAL: Final = 256
"""Values sealed anew in one call."""
COPY_DIFFERS: Final = "copy-differs"
"""The alarm's kind; its subject is the keyholder who wrote the copy."""
_COMPARED: Final = "compared"
"""What the store keeps for itself: keyholder to how far its copies were compared."""
_RESEALED: Final = "resealed"
"""The same: keyholder to how far nothing is left to be sealed anew."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What one call did, and what it left for the next."""

    resealed: int
    left: int
    """Values that are still to be sealed anew here."""
    compared: int
    """Copies that came since the last call and could be compared."""
    differing: int


def tidy(replica: Replica, unlocked: Unlocked, vaults: Vaults, now: int, most: int = RESEAL) -> Tidied:
    """To be called at unlock and when something has arrived. `now`: milliseconds since 1970."""
    compared, differing = compare_copies(replica, unlocked, vaults, now)
    resealed, left = reseal(replica, unlocked, vaults, most)
    return Tidied(resealed, left, compared, differing)


# Re-sealing


def reseal(replica: Replica, unlocked: Unlocked, vaults: Vaults, most: int = RESEAL) -> tuple[int, int]:
    """Copies, under the present key, of what came after its author should have used it: (made now, still to make)."""
    done = left = 0
    since, mark = _resealed(replica, unlocked)
    for vault in replica.state().vaults:
        if not vaults.epoch_keys(vault) or replica.state().right(vault, unlocked.person) < WRITES:
            continue
        waiting = list(_to_reseal(replica, vaults, vault, since))
        now, rest = waiting[: most - done], waiting[most - done :]
        for batch in _batches(now):
            vaults.write_copies(vault, batch)
        done += len(now)
        left += len(rest)
    if mark is not None and not left:
        replica.store.set_local(_RESEALED, unlocked.keyholder, mark)
    return done, left


def _resealed(replica: Replica, unlocked: Unlocked) -> tuple[int, bytes | None]:
    """(the entry up to which nothing is left, what to remember of this time or None if nothing came). Where a
    statement came, or what is live changed otherwise, everything is looked at again."""
    entries, recounts = replica.change_mark()
    heads = hashlib.sha256(b"".join(replica.membership().heads())).digest()
    mark = encode([entries, recounts, heads])
    before = replica.store.local(_RESEALED).get(unlocked.keyholder)
    if before == mark:
        return entries, None
    known: list[Any] = decode(before) if before is not None else [0, -1, b""]
    return (known[0] if known[1:] == [recounts, heads] else 0), mark


def _batches(values: list[tuple[bytes, Value, int]]) -> Iterator[list[tuple[bytes, Value]]]:
    """Entries of about half a MiB."""
    batch: list[tuple[bytes, Value]] = []
    size = 0
    for dot, value, length in values:
        if batch and size + length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((dot, value))
        size += length
    if batch:
        yield batch


def _to_reseal(replica: Replica, vaults: Vaults, vault: bytes, since: int) -> Iterator[tuple[bytes, Value, int]]:
    """(dot, what it says, bytes of its ciphertext) of live values under a key that someone has who may not, which came
    after this device knew that, and of which there is no copy under a newer one."""
    membership, state = replica.membership(), replica.state()
    closed = _closed(replica, vault)
    if not closed:
        return
    first = min(entry for reasons in closed.values() for entry, _ in reasons)
    for op in replica.live_ops(vault, max(first, since)):
        info = replica.info(op.entry)
        known = [statement for entry, statement in closed.get(info.epoch, ()) if entry < op.entry]
        if not op.sealed or not known:
            continue
        dot = make_dot(info.hash, op.index)
        under = {replica.info(copy.entry).epoch for copy in replica.copies_of(dot)}
        if any(state.is_clean(vault, epoch) or membership.includes([epoch], known) for epoch in under):
            continue
        value = vaults.read_op(op)
        if value is not None:
            yield dot, value, len(op.sealed)


def _closed(replica: Replica, vault: bytes) -> dict[bytes, list[tuple[int, bytes]]]:
    """Epoch that is not to be written under any more, to the statements that say so and were not heard of by who
    opened it: (the entry by which this device knows, statement)."""
    membership, state = replica.membership(), replica.state()
    taken_away = _taken_away(membership, vault)
    closed = {
        epoch: [(replica.entry_of(one), one) for one in taken_away if not membership.includes([epoch], [one])]
        for epoch in state.vaults[vault].epochs
        if not state.is_clean(vault, epoch)
    }
    return {epoch: reasons for epoch, reasons in closed.items() if reasons}


def _taken_away(membership: Membership, vault: bytes) -> set[bytes]:
    """The statements in force by which someone who had a key of the vault may not read it any more."""
    state = membership.state()
    given = {key for epoch in state.vaults[vault].epochs.values() for key in epoch.sealed}
    found: set[bytes] = set()
    for key in given & state.former.keys():
        holder = state.former[key]
        found |= state.removed_by.get(holder.device, set()) | state.removed_by.get(holder.person, set())
    for digest, statement in membership.statements.items():
        body: list[Any] = statement.body
        if digest not in membership.reasons and body[0] == REVOKE and body[1] == vault and body[3] < READS:
            found.add(digest)
    return found


# Comparing


def compare_copies(replica: Replica, unlocked: Unlocked, vaults: Vaults, now: int) -> tuple[int, int]:
    """Look at the copies that came, or can be opened, since this was last done: (compared, differing). One that says
    something else than the write it stands in for raises an alarm that names its author."""
    since, mark = _compared(replica, unlocked, vaults)
    compared = differing = 0
    for dot, name, copy in _copies_since(replica, since):
        first, second = _first(replica, vaults, dot), vaults.first_of(copy)
        if first is None or second is None:
            continue
        compared += 1
        vault = replica.info(copy.entry).vault
        if not agrees(replica, vaults, vault, first, second):
            differing += 1
            detail = f"a copy that it made in vault {vault.hex()} is not what it stands in for"
            replica.raise_alarm(COPY_DIFFERS, replica.info(copy.entry).author, detail, name, now)
    if mark is not None:
        replica.store.set_local(_COMPARED, unlocked.keyholder, mark)
    return compared, differing


def _compared(replica: Replica, unlocked: Unlocked, vaults: Vaults) -> tuple[tuple[int, int], bytes | None]:
    """(up to where copies were compared, what to remember of this time or None if nothing came). Keys that have
    come since may open any of them, so then it is done for all."""
    held = sorted(epoch for vault in replica.state().vaults for epoch in vaults.epoch_keys(vault))
    keys = hashlib.sha256(b"".join(held)).digest()
    mark = encode([*replica.change_mark(), keys])
    before = replica.store.local(_COMPARED).get(unlocked.keyholder)
    if before == mark:
        return replica.change_mark(), None
    if before is not None:
        entries, recounts, known = decode(before)
        if known == keys:
            return (entries, recounts), mark
    return (0, 0), mark


def _copies_since(replica: Replica, since: tuple[int, int]) -> list[tuple[bytes, bytes, StoredOp]]:
    """(dot, name of the copy, copy) of those that came, or at whose target something came or went."""
    rows = replica.store.rows(
        "SELECT c.id, c.target, copies, sealed, hash FROM ops c JOIN entries e ON e.id = c.id / 1024 "
        "WHERE copies IS NOT NULL AND reason IS NULL AND length(sealed) > 0 AND (e.id > ? OR "
        "EXISTS (SELECT 1 FROM recounts r WHERE r.id > ? AND r.vault = e.vault AND r.target = c.target)) "
        "ORDER BY c.id",
        since,
    )
    return [
        (dot, make_dot(digest, op % MAX_COUNT),
         StoredOp(op // MAX_COUNT, op % MAX_COUNT, at, (), sealed, live=False))
        for op, at, dot, sealed, digest in rows
    ]  # fmt: skip


def _first(replica: Replica, vaults: Vaults, dot: bytes) -> Value | None:
    """What the first ciphertext of a dot says, if it is here and opens."""
    op = replica.op_of(dot)
    row = op is not None and replica.store.row("SELECT target, sealed FROM ops WHERE id = ?", (op,))
    if not row or not row[1]:
        return None
    assert op is not None
    return vaults.first_of(StoredOp(op // MAX_COUNT, op % MAX_COUNT, row[0], (), row[1], live=False))


def agrees(replica: Replica, vaults: Vaults, vault: bytes, first: Value, copy: Value) -> bool:
    """Whether a copy says what its dot says; of a base it may leave out what has a write of its own."""
    if (copy.record, copy.name, copy.member) != (first.record, first.name, first.member):
        return False
    if first.name != BASE:
        return encode(copy.value) == encode(first.value)
    said, kept = base_registers(first.value), base_registers(copy.value)
    if any(register not in said or encode(value) != encode(said[register]) for register, value in kept.items()):
        return False
    key = next(iter(vaults.epoch_keys(vault).values())).target_key
    gone = (target(key, first.record, name, member or None) for name, member in said.keys() - kept.keys())
    return all(replica.count_at(vault, [at]) for at in gone)
