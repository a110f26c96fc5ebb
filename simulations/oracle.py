"""What must be true afterwards, worked out from a plain record of what people did, and the checkers.

The record holds every acknowledged write with its dot, target and what it named. Nothing in it comes from a
replica: what is live, shown, deleted or in conflict is worked out here a second time, in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from node.item import BASE, FORM, ROSTER, STATE, TAGS, Item
from replication.encoding import decode, encode
from replication.entry import make_dot
from replication.membership import ADMIN, FULL, PURGE, State
from replication.replica import EntryInfo, Replica
from replication.store import Store
from simulations.family import Family, Record, Written
from simulations.household import CANARY, Attempt, Desk, Meant, opened_by
from simulations.network import without_values
from simulations.store import Disk, Violation

if TYPE_CHECKING:
    from simulations.world import Device, World

Shown = dict[tuple[bytes, str, str], set[tuple[bytes, bytes]]]
"""(record, field, member) to the (dot, value) that are live there."""


def demand(checker: str, true: bool, detail: str) -> None:
    if not true:
        raise Violation(checker, detail)


class Oracle(Record):
    """The plain record."""

    def __init__(self) -> None:
        super().__init__()
        self._attempts: dict[bytes, Attempt] = {}
        self.entries: dict[bytes, Attempt | None] = {}
        """Every entry that is durable somewhere; None for statements."""
        self.forbidden: set[bytes] = set()
        """Entries that no copy may take in."""
        self.copies: dict[bytes, set[bytes]] = {}
        """Dot to what the copies of it say."""

    def note(self, name: bytes, attempt: Attempt) -> None:
        self._attempts[name] = attempt

    def wrote(self, info: EntryInfo, replica: Replica, *, powerless: bool = False) -> None:
        """An entry is durable on its author's disk, `replica`, after all that was there before it."""
        self.entries[info.hash] = self._attempts[info.salt + info.commitment] if info.vault else None
        if powerless:
            self.powerless.add(info.hash)
        attempt = self.entries[info.hash]
        for op in attempt.ops if attempt and attempt.counts else ():
            if op.copies:
                self.copies.setdefault(op.copies, set()).add(encode(op.value))
        seen = frozenset(d for (d,) in replica.store.rows("SELECT hash FROM entries WHERE id < ?", (info.id,)))
        statements: tuple[list[Any], ...] = ()
        names: tuple[bytes, ...] = ()
        if not info.vault:
            statements = tuple(decode(replica.store.row("SELECT body FROM entries WHERE id = ?", (info.id,))[0]))
            names = tuple(replica.statements_of(info.id))
        self.add(info.hash, Written(info.author, info.log, seen, statements, names))

    def attempted(self, info: EntryInfo) -> bool:
        return not info.vault or info.salt + info.commitment in self._attempts

    def forget(self, lost: Iterable[bytes]) -> None:
        """Entries that stood on one disk only, which is gone."""
        for digest in lost:
            self.entries.pop(digest, None)
            self.lose(digest)

    def beyond(self, held: set[bytes]) -> set[bytes]:
        """Of the entries held, the writes that some removal that stands cuts off."""
        family = self.family(held)
        return {
            digest for digest in held & set(self.entries)
            if (attempt := self.entries[digest]) and attempt.counts
            and not self.counts(family, digest, attempt.vault)
        }  # fmt: skip

    def _ops(self, held: set[bytes]) -> Iterable[tuple[bytes, bytes, bool, Meant]]:
        """(dot, vault, whether it is cut off, op) of all that had the right to be written."""
        beyond, floors = self.beyond(held), self.family(held).floors
        for digest, attempt in self.entries.items():
            if attempt and attempt.counts and digest in held:
                for index, op in enumerate(attempt.ops):
                    dot = make_dot(digest, index)
                    if not op.copies:
                        yield dot, attempt.vault, digest in beyond and (attempt.vault, dot) not in floors, op

    def purges(self) -> set[bytes]:
        """The dots that somebody purged who had the right to, whether that stands or not."""
        every = [one for some in self._said.values() for one in some if one.kind == PURGE]
        return {dot for one in every for dot, _ in one.body[2]}

    def live(self, held: set[bytes]) -> dict[bytes, tuple[bytes, Meant]]:
        """Dot to (vault, op): counted, and named by no counted op of the same vault and target, nor by one that is
        cut off and named by such."""
        ops = {dot: (vault, cut, op) for dot, vault, cut, op in self._ops(held)}
        named: set[tuple[bytes, bytes, bytes]] = set()

        def name(vault: bytes, op: Meant) -> None:
            for dot in op.replaces:
                if (place := (vault, op.target, dot)) not in named:
                    named.add(place)
                    below = ops.get(dot)
                    if below and below[1] and (below[0], below[2].target) == place[:2]:
                        name(vault, below[2])

        for vault, cut, op in ops.values():
            if not cut:
                name(vault, op)
        return {d: (v, op) for d, (v, cut, op) in ops.items() if not cut and (v, op.target, d) not in named}

    def shown(self, held: set[bytes]) -> dict[bytes, Shown]:
        """Vault to what its readers must see."""
        found: dict[bytes, Shown] = {}
        for dot, (vault, op) in self.live(held).items():
            if op.shown:
                place = found.setdefault(vault, {}).setdefault((op.record, op.name, op.member), set())
                place.add((dot, encode(op.value)))
        return found

    def values(self, held: set[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
        """Dot to (vault, value) of every write that ever counted and may be shown."""
        return {dot: (v, encode(op.value)) for dot, v, cut, op in self._ops(held) if op.shown and not cut}


def check_durable(device: Device) -> None:
    """All that this device acknowledged, to its people or to a peer, is there; nothing is there by half."""
    held = {digest for (digest,) in device.node.store.rows("SELECT hash FROM entries")}
    missing = device.promised - held
    demand("durable", not missing, f"{device.name} acknowledged {len(missing)} entries that it does not hold")
    check_whole(device.node.store, device.name)


def check_whole(store: Store, name: str) -> None:
    """Nothing is there by half."""
    halves = store.row(
        "SELECT"
        " (SELECT count(*) FROM entries WHERE vault IS NOT NULL AND id NOT IN (SELECT id / 1024 FROM ops))"
        " + (SELECT count(*) FROM entries WHERE vault IS NULL AND id NOT IN (SELECT entry FROM statements))"
        " + (SELECT count(*) FROM ops WHERE id / 1024 NOT IN (SELECT id FROM entries))"
        " + (SELECT count(*) FROM logs WHERE number NOT IN (SELECT log FROM entries))"
    )[0]
    demand("atomic", halves == 0, f"{name} holds {halves} halves of entries")
    store.check()


def check(world: World) -> None:
    """After the calm: everything that security.md calls "nothing lost", for all devices."""
    for device in world.devices:
        check_durable(device)
    _check_family(world)
    _check_agreement(world.remaining())
    _check_wanted(world)
    _check_honest(world)
    _check_accounts(world)
    _check_live(world)
    _check_secrets(world)
    _check_removed(world)
    _check_forks(world)
    _check_views(world)
    _check_history(world)
    _check_rebuilt(world)


def _check_agreement(devices: list[Device]) -> None:
    first = devices[0].node
    for device in devices[1:]:
        other = device.node
        demand("agree", first.frontier() == other.frontier(), f"frontier of {device.name}")
        demand("agree", _same(_wires(first), _wires(other), without_values), f"history of {device.name}")
        demand("agree", _same(_table(first), _table(other), lambda _: b""), f"live values of {device.name}")
        demand("agree", _same_state(first.state(), other.state()), f"membership of {device.name}")
        reasons = sorted(first.put_aside()) == sorted(other.put_aside())
        demand("agree", reasons, f"{device.name} put other entries aside")
    for device in devices:
        # What is remembered from taking statements in must be what a restart reads back.
        if device.page is not device.node:
            same = _same_state(device.page.state(), first.state())
            demand("agree", same, f"membership at {device.name} after a restart")


def _same(one: dict[Any, bytes], other: dict[Any, bytes], bare: Callable[[bytes], bytes]) -> bool:
    """Byte for byte, but for values that one of them dropped: what is wanted is looked at by itself."""
    alike = (one[key] == other[key] or bare(one[key]) == bare(other[key]) for key in one.keys() & other.keys())
    return one.keys() == other.keys() and all(alike)


def _table(replica: Replica) -> dict[tuple[bytes, bytes, bytes, bool], bytes]:
    return {(v, t, dot, sealed is None): sealed or b"" for v, t, dot, sealed in replica.table()}


def _same_state(one: State, other: State) -> bool:
    """But for unlock wraps that were dropped."""
    hashes = [{person: [wrap.hash for wrap in wraps] for person, wraps in s.unlocks.items()} for s in (one, other)]
    return hashes[0] == hashes[1] and replace(one, unlocks={}) == replace(other, unlocks={})


def _wires(replica: Replica) -> dict[bytes, bytes]:
    return {
        digest: replica.wire(entry) for entry, digest in replica.store.rows("SELECT id, hash FROM entries")
    }


def _check_accounts(world: World) -> None:
    node, oracle = world.devices[0].node, world.oracle
    held = {digest for (digest,) in node.store.rows("SELECT hash FROM entries")}
    demand("authority", not held & oracle.forbidden, "an entry was taken in that must be refused")
    # What a removed device wrote unheard may lie on it alone.
    here = oracle.family(held).holders.keys() - world.put_back
    gone = [d for d in oracle.entries.keys() - held if oracle.written[d].author in here]
    demand("kept", not gone, f"{len(gone)} acknowledged entries are gone")
    demand(
        "accounting",
        held <= set(oracle.entries),
        f"{len(held - set(oracle.entries))} entries that nobody wrote",
    )
    aside = {digest for (digest,) in node.store.rows("SELECT hash FROM entries WHERE reason IS NOT NULL")}
    expected = {digest for digest in held if (attempt := oracle.entries[digest]) and not attempt.counts}
    demand(
        "authority", aside == expected, f"put aside {len(aside)} entries, {len(expected)} had no authority"
    )
    cut, beyond = node.cut(), oracle.beyond(held)
    demand("authority", not beyond - cut, f"{len(beyond - cut)} writes count though a removal cuts them off")
    demand("authority", not cut - beyond, f"{len(cut - beyond)} writes do not count though no removal cuts them off")
    powerless = {digest for (digest,) in node.store.rows(
        "SELECT entries.hash FROM statements JOIN entries ON entry = entries.id WHERE statements.reason != ''"
    )}  # fmt: skip
    missing = (oracle.powerless & held) - powerless
    demand("authority", not missing, f"{len(missing)} statements have effect that may not")
    demand("authority", powerless <= oracle.powerless, "an honest statement has no effect")


def _lacking(device: Device) -> set[bytes]:
    """The dots whose values are not there."""
    rows = device.node.store.rows("SELECT hash, op % 1024 FROM missing JOIN entries ON entries.id = op / 1024")
    return {make_dot(digest, index) for digest, index in rows}


def _is_to_be_had(world: World, device: Device, dot: bytes) -> bool:
    """Not if it was kept back from all who remain, by an attacker on the way from who was removed, or was put back to
    before they wrote it."""
    op, here = device.node.op_of(dot), world.remaining()
    author = device.node.info((op or 0) // 1024).author
    stays = author in {holder.id for other in here for holder in other.holders} - world.put_back
    return stays or any(_has_value(other, dot) for other in here)


def _has_value(device: Device, dot: bytes) -> bool:
    op = device.node.op_of(dot)
    return bool(device.node.store.row("SELECT 1 FROM ops WHERE id = ? AND length(sealed) > 0", (op,)))


def _check_wanted(world: World) -> None:
    """Every value is here that nobody purged, and that is to be had."""
    purged = world.oracle.purges()
    for device in world.remaining():
        lacking = {dot for dot in _lacking(device) - purged if _is_to_be_had(world, device, dot)}
        demand("kept", not lacking, f"{device.name} lacks {len(lacking)} values that nobody purged")


def _check_honest(world: World) -> None:
    """Nobody is reported who was not put back, copied, or heard through an attacker."""
    for device in world.devices:
        for alarm in device.node.alarms():
            demand("honest", alarm.subject in world.suspect, f"{device.name} reports an honest device: {alarm.kind}")


def _check_rebuilt(world: World) -> None:
    """Judged and merged anew from its entries alone, a copy is what it was."""
    device = world.random.choice(world.devices)
    disk = Disk(device.disk.content())
    replica = disk.open(world.randbytes, device.mark, type(device.node))
    before = (replica.table(), replica.put_aside(), replica.frontier(), replica.state())
    replica.rebuild()
    after = (replica.table(), replica.put_aside(), replica.frontier(), replica.state())
    replica.close()
    disk.discard()
    demand("atomic", before == after, f"judging anew changes what {device.name} holds")


def _check_family(world: World) -> None:
    """Who is here and who is gone, for good; and that someone can act."""
    family, state = world.oracle.family(world.held()), world.devices[0].node.state()
    for said, is_so, what in (
        (set(family.people), set(state.people), "people"),
        (set(family.devices), set(state.devices), "devices"),
        (set(family.holders), set(state.keyholders), "keyholders"),
        (family.removed, state.removed, "removed ones"),
        (_roles(family), {(person, held.role) for person, held in state.people.items()}, "roles"),
        (_rights(family), _rights_held(state), "rights"),
        (set(family.papers.items()), {(p, paper.sign_key) for p, paper in state.papers.items()}, "paper keys"),
        ({family.recovery}, {state.recovery_key}, "recovery keys"),
    ):
        demand("authority", not is_so - said, f"{len(is_so - said)} {what} more than there should be")
        demand("authority", not said - is_so, f"{len(said - is_so)} {what} less than there should be")
    for device in world.devices:
        own = device.node.state()
        acting = {holder.person for holder in own.keyholders.values()}
        admins = [person for person in acting if own.people[person].role == ADMIN]
        demand("alive", bool(admins) or not own.people, f"no admin is left who can act, as {device.name} knows it")


def _roles(family: Family) -> set[tuple[bytes, int]]:
    return {(person, role) for person, (role, _) in family.people.items()}


def _rights(family: Family) -> set[tuple[bytes, bytes, int]]:
    return {(vault, person, right) for (vault, person), right in family.rights.items()
            if person in family.people and right}  # fmt: skip


def _rights_held(state: State) -> set[tuple[bytes, bytes, int]]:
    return {(vault, person, right) for vault, held in state.vaults.items() for person, right in held.rights.items()
            if person in state.people and right}  # fmt: skip


def _ended(family: Family, key: bytes, vault: bytes, *, but_given_back: bool = False) -> set[bytes]:
    """By what somebody's reading of a vault has ended."""
    cuts = [cut for cut in family.cuts[key] if cut.ends_reading and not (but_given_back and cut.lifted)]
    return {cut.by for cut in cuts if cut.vaults is None or vault in cut.vaults}


def _check_removed(world: World) -> None:
    """With all that ever was on the wire and the keys that they had, those removed open nothing that was written by
    authors who had heard that they go."""
    oracle, held, node = world.oracle, world.held(), world.devices[0].node
    everyone = {holder.id: holder for device in world.devices for holder in device.holders}
    family = oracle.family(held)
    statements = [body for d in held for body in oracle.written[d].statements]
    opened: dict[bytes, set[bytes]] = {}
    for (entry,) in node.store.rows("SELECT id FROM entries WHERE vault IS NOT NULL"):
        info = node.info(entry)
        heard = oracle.family(oracle.written[info.hash].seen)
        for gone in sorted(heard.cuts.keys() & family.cuts.keys() & everyone.keys()):
            if not _ended(heard, gone, info.vault) & _ended(family, gone, info.vault, but_given_back=True):
                continue  # what the author had heard of was undone, and they were here again
            if gone not in opened:
                opened[gone] = opened_by(everyone[gone], node, statements)
            attempt = oracle.entries[info.hash]
            demand(
                "secret",
                not (attempt and attempt.counts) or info.epoch not in opened[gone],
                "someone removed can read what was written by who had heard of it",
            )


def _check_live(world: World) -> None:
    expected = {(vault, op.target, dot) for dot, (vault, op) in world.oracle.live(world.held()).items()}
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


    _check_bound(world)
    for device in world.devices:
        for signed in device.node.signed_frontiers().values():
            try:
                VerifyKey(signed.device).verify(signed.message(device.node.family or b""), signed.signature)
            except BadSignatureError:
                demand("authority", False, f"{device.name} keeps a frontier that nobody signed")


def _check_bound(world: World) -> None:
    """A ciphertext opens where it was written and nowhere else: not at another target, index or place in its log."""
    done: set[bytes] = set()
    for _, desk in world.desks():
        for vault in sorted(desk.keys().keys() - done):
            op = next((op for op in desk.replica.live_ops(vault) if op.sealed and desk.opens(op)), None)
            if op is None:
                continue
            done.add(vault)
            for index, at, seq in ((op.index, bytes(16), 0), (op.index + 1, op.target, 0), (op.index, op.target, 1)):
                demand("secret", not desk.opens(op, index, at, seq), "a ciphertext opens elsewhere than it was written")


def _check_forks(world: World) -> None:
    """A store that found itself restored began new logs: only copies nobody noticed may fork one."""
    node = world.devices[0].node
    forked = {author for (author,) in node.store.rows("SELECT author FROM logs WHERE forked")}
    demand("forks", forked <= world.may_fork, "a log forked though the restored store was known as such")


def _check_views(world: World) -> None:
    expected, remaining, gone = world.oracle.shown(world.held()), world.remaining(), _nowhere(world)
    spoilt = {place[0] for shown in expected.values() for place, pairs in shown.items() if gone & {d for d, _ in pairs}}
    items: dict[tuple[bytes, bytes], Item] = {}
    bases = {dot: value for shown in expected.values() for (_, name, _), some in shown.items() if name == BASE
             for dot, value in some}  # fmt: skip
    for device, desk in world.desks():
        state = desk.state()
        if device not in remaining or desk.holder.id not in state.keyholders:
            continue
        readable = {v for v in state.vaults if state.right(v, desk.holder.person)}
        for vault in sorted(readable):
            lacking = set(state.vaults[vault].epochs) - set(desk.keys().get(vault, {}))
            demand("views", not lacking, f"{device.name} lacks {len(lacking)} keys of a vault it may read")
            seen = _less(_seen(desk, vault, world.oracle.copies, bases), gone)
            wanted = expected[vault] = _less(expected.get(vault, {}), gone)
            demand("views", seen == wanted, f"{device.name} shows {_difference(seen, wanted)}")
            for record in sorted({record for record, _, _ in wanted}):
                item = desk.item(vault, record)
                demand("views", items.setdefault((vault, record), item) == item, f"an item at {device.name}")
    for (vault, record), item in items.items():
        if record not in spoilt:
            _check_item(expected[vault], record, item)


def _nowhere(world: World) -> set[bytes]:
    """The dots whose values nobody who remains has, and nobody had to keep."""
    first = world.devices[0]
    return {dot for dot in _lacking(first) if not _is_to_be_had(world, first, dot)}


def _less(shown: Shown, gone: set[bytes]) -> Shown:
    """Without some dots: one whose value is nowhere may still be shown by a copy."""
    fewer = {place: {pair for pair in values if pair[0] not in gone} for place, values in shown.items()}
    return {place: values for place, values in fewer.items() if values}


def _seen(desk: Desk, vault: bytes, copies: dict[bytes, set[bytes]], bases: dict[bytes, bytes]) -> Shown:
    """A base whose first ciphertext was purged says less by its copy: then it counts as the whole."""
    seen: Shown = {}
    for record, op in desk.opened(vault):
        value = encode(op.value)
        if op.dot in bases and value in copies.get(op.dot, ()):
            value = bases[op.dot]
        seen.setdefault((record, op.name, op.member), set()).add((op.dot, value))
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
    values, remaining = world.oracle.values(world.held()), world.remaining()
    done: set[bytes] = set()
    purged = world.oracle.purges() | _nowhere(world)
    for device, desk in world.desks():
        for vault in sorted(set(desk.keys()) - done) if device in remaining else ():
            done.add(vault)
            wanted = {dot: v for dot, (owner, v) in values.items() if owner == vault and dot not in purged}
            found = desk.every_value(vault)
            demand("kept", wanted.items() <= found.items(), f"history at {device.name} lacks values")
