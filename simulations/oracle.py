"""What must be true afterwards, worked out from a plain record of what people did, and the checkers.

The record holds every acknowledged write with its dot, target and what it named. Nothing in it comes from a
replica: what is live, shown, deleted or in conflict is worked out here a second time, in another way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from node.item import BASE, FORM, ROSTER, STATE, TAGS, Item
from replication.encoding import decode, encode
from replication.entry import make_dot
from replication.membership import FULL, State
from replication.replica import EntryInfo, Replica
from simulations.household import CANARY, Attempt, Desk, Meant
from simulations.store import Violation

if TYPE_CHECKING:
    from simulations.world import Device, World

Shown = dict[tuple[bytes, str, str], set[tuple[bytes, bytes]]]
"""(record, field, member) to the (dot, value) that are live there."""


def demand(checker: str, true: bool, detail: str) -> None:
    if not true:
        raise Violation(checker, detail)


class Oracle:
    """The plain record."""

    def __init__(self) -> None:
        self._attempts: dict[bytes, Attempt] = {}
        self.entries: dict[bytes, Attempt | None] = {}
        """Every entry that is durable somewhere; None for statements."""
        self.powerless: set[bytes] = set()
        """Entries whose statement may have no effect."""
        self.forbidden: set[bytes] = set()
        """Entries that no copy may take in."""

    def note(self, name: bytes, attempt: Attempt) -> None:
        self._attempts[name] = attempt

    def wrote(self, info: EntryInfo, *, powerless: bool = False) -> None:
        self.entries[info.hash] = self._attempts[info.salt + info.commitment] if info.vault else None
        if powerless:
            self.powerless.add(info.hash)

    def attempted(self, info: EntryInfo) -> bool:
        return not info.vault or info.salt + info.commitment in self._attempts

    def forget(self, lost: Iterable[bytes]) -> None:
        """Entries that stood on one disk only, which is gone."""
        for digest in lost:
            self.entries.pop(digest, None)
            self.powerless.discard(digest)

    def _ops(self) -> Iterable[tuple[bytes, bytes, Attempt, Meant]]:
        for digest, attempt in self.entries.items():
            for index, op in enumerate(attempt.ops if attempt else ()):
                assert attempt is not None
                yield make_dot(digest, index), attempt.vault, attempt, op

    def live(self) -> dict[bytes, tuple[bytes, Meant]]:
        """Dot to (vault, op): counted, and named by no counted op of the same vault and target."""
        counted = {dot: (vault, op) for dot, vault, attempt, op in self._ops() if attempt.counts}
        named = {(vault, op.target, dot) for vault, op in counted.values() for dot in op.replaces}
        return {dot: (v, op) for dot, (v, op) in counted.items() if (v, op.target, dot) not in named}

    def shown(self) -> dict[bytes, Shown]:
        """Vault to what its readers must see."""
        found: dict[bytes, Shown] = {}
        for dot, (vault, op) in self.live().items():
            if op.shown:
                place = found.setdefault(vault, {}).setdefault((op.record, op.name, op.member), set())
                place.add((dot, encode(op.value)))
        return found

    def values(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Dot to (vault, value) of every write that ever counted and may be shown."""
        return {
            dot: (v, encode(op.value)) for dot, v, attempt, op in self._ops() if attempt.counts and op.shown
        }


def check_durable(device: Device) -> None:
    """All that this device acknowledged, to its people or to a peer, is there; nothing is there by half."""
    held = {digest for (digest,) in device.node.store.rows("SELECT hash FROM entries")}
    missing = device.promised - held
    demand("durable", not missing, f"{device.name} acknowledged {len(missing)} entries that it does not hold")
    halves = device.node.store.row(
        "SELECT"
        " (SELECT count(*) FROM entries WHERE vault IS NOT NULL AND id NOT IN (SELECT id / 1024 FROM ops))"
        " + (SELECT count(*) FROM entries WHERE vault IS NULL AND id NOT IN (SELECT entry FROM statements))"
        " + (SELECT count(*) FROM ops WHERE id / 1024 NOT IN (SELECT id FROM entries))"
        " + (SELECT count(*) FROM logs WHERE number NOT IN (SELECT log FROM entries))"
    )[0]
    demand("atomic", halves == 0, f"{device.name} holds {halves} halves of entries")
    device.node.store.check()


def check(world: World) -> None:
    """After the calm: everything that security.md calls "nothing lost", for all devices."""
    for device in world.devices:
        check_durable(device)
    _check_agreement(world.devices)
    _check_accounts(world)
    _check_live(world)
    _check_secrets(world)
    _check_forks(world)
    _check_views(world)
    _check_history(world)


def _check_agreement(devices: list[Device]) -> None:
    first = devices[0].node
    for device in devices[1:]:
        other = device.node
        demand("agree", first.frontier() == other.frontier(), f"frontier of {device.name}")
        demand("agree", _wires(first) == _wires(other), f"history of {device.name}")
        demand("agree", first.table() == other.table(), f"live values of {device.name}")
        demand("agree", first.state() == other.state(), f"membership of {device.name}")
        reasons = sorted(first.put_aside()) == sorted(other.put_aside())
        demand("agree", reasons, f"{device.name} put other entries aside")
    for device in devices:
        # What is remembered from taking statements in must be what a restart reads back.
        if device.page is not device.node:
            demand(
                "agree", device.page.state() == first.state(), f"membership at {device.name} after a restart"
            )


def _wires(replica: Replica) -> dict[bytes, bytes]:
    return {
        digest: replica.wire(entry) for entry, digest in replica.store.rows("SELECT id, hash FROM entries")
    }


def _check_accounts(world: World) -> None:
    node, oracle = world.devices[0].node, world.oracle
    held = {digest for (digest,) in node.store.rows("SELECT hash FROM entries")}
    demand("authority", not held & oracle.forbidden, "an entry was taken in that must be refused")
    demand(
        "kept",
        set(oracle.entries) <= held,
        f"{len(set(oracle.entries) - held)} acknowledged entries are gone",
    )
    demand(
        "accounting",
        held <= set(oracle.entries),
        f"{len(held - set(oracle.entries))} entries that nobody wrote",
    )
    aside = {digest for (digest,) in node.store.rows("SELECT hash FROM entries WHERE reason IS NOT NULL")}
    expected = {digest for digest, attempt in oracle.entries.items() if attempt and not attempt.counts}
    demand(
        "authority", aside == expected, f"put aside {len(aside)} entries, {len(expected)} had no authority"
    )
    powerless = {digest for (digest,) in node.store.rows(
        "SELECT entries.hash FROM statements JOIN entries ON entry = entries.id WHERE statements.reason != ''"
    )}  # fmt: skip
    missing = oracle.powerless - powerless
    demand("authority", not missing, f"{len(missing)} statements have effect that may not")
    demand("authority", powerless == oracle.powerless, "an honest statement has no effect")


def _check_live(world: World) -> None:
    expected = {(vault, op.target, dot) for dot, (vault, op) in world.oracle.live().items()}
    held = {row[:3] for row in world.devices[0].node.table()}
    demand("live", not expected - held, f"{len(expected - held)} values lost")
    demand("live", not held - expected, f"{len(held - expected)} values live that were replaced")


def _check_secrets(world: World) -> None:
    canary = CANARY.encode()
    demand("secret", not world.leaked, "a value in the clear on the wire")
    keys = {
        key for device in world.devices for desk in device.desks for held in desk.keys().values()
        for pair in held.values() for key in (pair.vault_key, pair.target_key)
    }  # fmt: skip
    for device in world.devices:
        content = device.disk.content()
        demand("secret", canary not in content, f"a value in the clear in the store of {device.name}")
        demand(
            "secret", not any(key in content for key in keys), f"a vault key in the store of {device.name}"
        )
    state: State = world.devices[0].node.state()
    blind = [h for h in state.keyholders.values() if state.devices[h.device].role != FULL]
    demand("secret", not blind, "a blind device has a keyholder")
    salts = [world.devices[0].node.info(i).salt for (i,) in world.devices[0].node.store.rows(
        "SELECT id FROM entries WHERE vault IS NOT NULL")]  # fmt: skip
    demand("secret", len(set(salts)) == len(salts), "two entries have the same salt")


def _check_forks(world: World) -> None:
    """A store that found itself restored began new logs: only copies nobody noticed may fork one."""
    node = world.devices[0].node
    forked = {author for (author,) in node.store.rows("SELECT author FROM logs WHERE forked")}
    demand("forks", forked <= world.may_fork, "a log forked though the restored store was known as such")


def _check_views(world: World) -> None:
    expected = world.oracle.shown()
    items: dict[tuple[bytes, bytes], Item] = {}
    for device, desk in world.desks():
        state = desk.state()
        if desk.holder.id not in state.keyholders:
            continue
        readable = {v for v in state.vaults if state.right(v, desk.holder.person)}
        for vault in sorted(readable):
            lacking = set(state.vaults[vault].epochs) - set(desk.keys().get(vault, {}))
            demand("views", not lacking, f"{device.name} lacks {len(lacking)} keys of a vault it may read")
            seen = _seen(desk, vault)
            wanted = expected.get(vault, {})
            demand("views", seen == wanted, f"{device.name} shows {_difference(seen, wanted)}")
            for record in sorted({record for record, _, _ in wanted}):
                item = desk.item(vault, record)
                demand("views", items.setdefault((vault, record), item) == item, f"an item at {device.name}")
    for (vault, record), item in items.items():
        _check_item(expected[vault], record, item)


def _seen(desk: Desk, vault: bytes) -> Shown:
    seen: Shown = {}
    for record, op in desk.opened(vault):
        seen.setdefault((record, op.name, op.member), set()).add((op.dot, encode(op.value)))
    return seen


def _difference(seen: Shown, wanted: Shown) -> str:
    more = sum(len(values - wanted.get(place, set())) for place, values in seen.items())
    less = sum(len(values - seen.get(place, set())) for place, values in wanted.items())
    return f"{more} values that it should not, and not {less} that it should"


def _check_item(shown: Shown, record: bytes, item: Item) -> None:
    """An item's meaning from the rules of the specification, without node/item.py."""
    at = {(name, member): values for (owner, name, member), values in shown.items() if owner == record}
    bases = [decode(value) for _, value in at.get((BASE, ""), ())]
    for (name, member), values in at.items():
        if name in (BASE, STATE, ROSTER, TAGS):
            continue
        key = f"{FORM}.{member}" if name == FORM else name
        apart = {value for _, value in values}
        demand(
            "views",
            (key in item.conflicts) == (len(apart) > 1),
            "a conflict is not shown, or shown without cause",
        )
        has = item.form_fields.get(member) if name == FORM else item.fields.get(name)
        demand("views", encode(has) in apart, "a field shows a value that nobody left there")
    tags = {tag for base in bases for tag in base.get(TAGS, ())}
    for (name, member), values in at.items():
        if name == TAGS:
            tags = tags | {member} if encode(True) in {value for _, value in values} else tags - {member}
    demand("views", set(item.tags) == tags, "tags")
    states = [decode(value) for _, value in at.get((STATE, ""), ())]
    listed = {dot for state in states if state[0] == "deleted" for dot in state[1]}
    written = {dot for (name, _), values in at.items() if name not in (STATE, ROSTER) for dot, _ in values}
    gone = bool(states) and ["alive"] not in states and not written - listed
    demand("views", item.deleted == gone, "an item is in the bin, or is not, against the rules")


def _check_history(world: World) -> None:
    """Every value ever acknowledged can still be opened by who may read it."""
    values = world.oracle.values()
    done: set[bytes] = set()
    for device, desk in world.desks():
        for vault in sorted(set(desk.keys()) - done):
            done.add(vault)
            wanted = {dot: value for dot, (owner, value) in values.items() if owner == vault}
            found = desk.every_value(vault)
            demand("kept", wanted.items() <= found.items(), f"history at {device.name} lacks values")
