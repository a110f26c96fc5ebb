"""The storm: a family made from the seed, and some hundred things that people, machines and attackers do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from random import Random
from typing import Final

from node.item import FORM, STATE, TAGS, Write
from replication.encoding import encode
from replication.entry import make_dot
from replication.membership import ADMIN, OWNS, READER, READS, WRITER, WRITES
from replication.messages import ENTRIES
from replication.replica import EntryInfo
from simulations.disk import SectorDisk
from simulations.household import FIELDS, FORM_NAMES, TAG_NAMES, Desk, Holder, Identity, found, let_in
from simulations.network import ATTACKERS
from simulations.quarrels import (
    admins,
    anyone,
    approve,
    backdates,
    by_paper,
    by_recovery,
    new_discovery,
    new_paper,
    password,
    propose,
    remove,
    revoke,
    role,
    stolen_kit,
)
from simulations.store import SimulatedStore
from simulations.upkeep import (
    anything,
    empty,
    housekeep,
    newer,
    purge,
    purges_what_is_live,
    seal_again,
    update,
)
from simulations.world import YEAR, Device, Snapshot, World, unheard

STEPS: Final = 130
DEEDS: Final = STEPS + 23
"""More than any storm's deeds: those by which a family comes together are numbered too."""
_SIZES: Final = ((2, 10), (3, 18), (4, 24), (5, 20), (6, 13), (8, 8), (12, 4), (20, 3))
"""How large a family grows: most are small."""


def founded(world: World, *, second_person: bool = True) -> Device:
    """The first device, and perhaps a second person on it."""
    bytes_of = world.randbytes
    identity, founder = Identity.make(bytes_of), Holder.make(bytes_of)
    device = world.add("first", identity, [])
    device.holders = [founder]
    found(device.node, identity, founder, world.discovery, world.safe, bytes_of, world.clock(device))
    if second_person:
        newcomer = Holder.make(bytes_of)
        device.holders.append(newcomer)
        let_in(device.node, identity, newcomer, world.safe, bytes_of, world.clock(device))
    for (entry,) in device.node.store.rows("SELECT id FROM entries ORDER BY id"):
        world.oracle.wrote(device.node.info(entry), device.node)
    device.promised = device.disk.hashes()
    world.reopen(device)
    return device


def admit(
    world: World, at: Device, desk: Desk, name: str, role: int | None, *, blind: bool = False
) -> Device | None:
    """A further device: the person's own (`role` None), a new person's, or a blind one."""
    identity = Identity.make(world.randbytes)
    holder = None if blind else Holder.make(world.randbytes)
    admissions: list[EntryInfo] = []

    def action() -> list[EntryInfo]:
        admissions.append(desk.admit(identity, holder, world.discovery, role))
        return admissions

    if not world.act(at, "admit", action) and not admissions:
        return None
    device = world.add(name, identity, [holder] if holder else [], family=at.node.family)
    device.admission = admissions[0].hash
    return device


def share(world: World, device: Device, desk: Desk, right: int | None = None) -> None:
    """An owner gives someone a right in a vault, or more than before."""
    state = desk.state()
    owned = [v for v in desk.writable() if state.owns(v, desk.holder.person)]
    others = sorted(set(state.people) - {desk.holder.person})
    if owned and others:
        vault, person = world.random.choice(owned), world.random.choice(others)
        wanted = right or world.random.choice((READS, READS, WRITES, WRITES, OWNS))
        given = max(wanted, state.vaults[vault].rights.get(person, 0))
        world.act(device, "share", lambda: [desk.give_right(vault, person, given)])


def storm(world: World, steps: int = STEPS) -> None:
    """Make a family, and let it live. Each deed has a number."""
    world.sectors = world.random.random() < 0.2
    first = founded(world, second_person=world.random.random() < 0.6)
    sizes, weights = zip(*_SIZES, strict=True)
    world.most_devices = world.random.choices(sizes, weights)[0]
    coming = max(1, round(world.most_devices * world.random.uniform(0.5, 1)) - 1)
    beginning: list[Callable[[World], None]] = [*(_come for _ in range(coming)), _shares, _drawers, _apart]
    kinds, chances = zip(*_DEEDS, strict=True)

    def choose(number: int) -> tuple[str, Callable[[], None]]:
        deed = beginning[number] if number < len(beginning) else world.random.choices(kinds, chances)[0]
        return deed.__name__.strip("_").replace("_", " "), partial(deed, world)

    world.create(first, first.desks[0], first.desks[0].writable()[0])
    for number in range(len(beginning) + steps):
        world.do(number, partial(choose, number))


def _come(world: World) -> None:
    """Another device of the founder's, someone else's, or one that may read nothing."""
    random, first = world.random, world.devices[0]
    kinds = (("second", None), ("admin", ADMIN), ("writer", WRITER), ("child", READER), ("blind", None))
    kind, role = random.choices(kinds, (22, 26, 20, 14, 18))[0]
    name = f"{kind}{len(world.devices)}"
    world.trace("name", name)
    device = admit(world, first, first.desks[0], name, role, blind=kind == "blind")
    if device is not None and role in (WRITER, READER) and kind != "blind" and random.random() < 0.6:
        device.holders[0].hostile = True


def _shares(world: World) -> None:
    """The founder lets most people write their vaults."""
    first = world.devices[0]
    for vault in first.desks[0].writable() if first.up else ():
        for person in sorted(first.desks[0].state().people) if first.up else ():
            if person != first.holders[0].person and world.random.random() < 0.8:
                desk = first.desks[0]
                if not world.act(first, "share", lambda: [desk.give_right(vault, person, WRITES)]):  # noqa: B023  at once
                    return
        if first.up:
            world.create(first, first.desks[0], vault)


def _drawers(world: World) -> None:
    """Some lie in a drawer until the end."""
    for device in world.devices[1:]:
        if device.up and world.random.random() < 0.12:
            world.shut(device, drawer=True)


def _apart(world: World) -> None:
    """Some pairs never meet."""
    for a, b in combinations(world.devices, 2):
        if world.random.random() < 0.25:
            world.apart.add(frozenset((a.name, b.name)))
            world.trace("apart", a.name, b.name)


def _create(world: World) -> None:
    if (who := anyone(world)) and (vaults := who[1].writable()):
        world.create(*who, world.random.choice(vaults), world.random.choice((1, 1, 1, 2, 5)))


def _change(world: World) -> None:
    who = anyone(world)
    if who is None or (what := anything(world, who[1])) is None:
        return
    kind = world.random.random()
    if kind < 0.65:
        names = world.random.sample(FIELDS[:2] if kind < 0.45 else FIELDS, world.random.choice((1, 1, 2)))
        world.change(*who, *what, {name: world.text() for name in names})
    elif kind < 0.85:
        world.change(*who, *what, {TAGS: [tag for tag in TAG_NAMES if world.random.random() < 0.5]})
    else:
        value = world.text() if world.random.random() < 0.7 else ""
        world.change(*who, *what, {FORM: {world.random.choice(FORM_NAMES): value}})


def _delete(world: World) -> None:
    if (who := anyone(world)) and (what := anything(world, who[1])):
        device, desk = who
        if desk.item(*what).deleted:
            world.act(device, "restore", lambda: [desk.restore(*what)])
        else:
            world.act(device, "delete", lambda: [desk.delete(*what)])


def _share(world: World) -> None:
    if who := anyone(world):
        share(world, *who)


def _hand_on(world: World) -> None:
    if who := anyone(world):
        world.act(who[0], "hand on", lambda: [who[1].grant_missing()])


def _epoch(world: World) -> None:
    if (who := anyone(world)) and (vaults := who[1].writable()):
        vault = world.random.choice(vaults)
        world.act(who[0], "epoch", lambda: [who[1].new_epoch(vault)])


def _admit(world: World) -> None:
    acting = admins(world)
    if acting and len(world.devices) < world.most_devices:
        device, desk = world.random.choice(acting)
        if not desk.writable():
            return
        role = world.random.choice((None, None, WRITER, ADMIN))
        admit(world, device, desk, f"new{len(world.devices)}", role, blind=world.random.random() < 0.3)


def _take_in(world: World) -> None:
    """An admin lets count what lies beyond a cut."""
    if acting := admins(world):
        device, desk = world.random.choice(acting)
        beyond = sorted(device.page.cut() & set(world.oracle.written))
        if beyond:
            head = world.random.choice(beyond)
            log = world.oracle.written[head].log
            world.act(device, "take in", lambda: [desk.take_in(log, head)])


def _sign(world: World) -> None:
    if up := [device for device in world.devices if device.up]:
        world.sign(world.random.choice(up))


# The network


def _connect(world: World) -> None:
    up = [device for device in world.devices if device.up]
    if len(up) < 2:
        return
    a, b = world.random.sample(up, 2)
    if not world.reach(a, b):
        return
    connection = world.connect(a, b, slow=world.random.random() < 0.3)
    if connection is not None and world.random.random() < 0.3:
        attacker = world.random.choice(ATTACKERS)
        world.trace(attacker.__name__)
        connection.tamper = attacker(Random(world.random.randbytes(8)))


def _cut(world: World) -> None:
    if world.connections:
        connection = world.random.choice(world.connections)
        how = world.random.random()
        if how < 0.4:
            # Wholly, or one way only.
            connection.swallows |= {0, 1} if how < 0.2 else {world.random.randrange(2)}
            world.trace("silence", *(connection.ends[side].name for side in sorted(connection.swallows)))
        else:
            connection.cut()


def _partition(world: World) -> None:
    """Two parts of the network that hear nothing of each other, for some time."""
    names = frozenset(device.name for device in world.devices if world.random.random() < 0.5)
    ms = world.random.randrange(2_000, 40_000)
    world.trace("part", *sorted(names), f"for {ms} ms")
    world.part(names, ms)


def _clog(world: World) -> None:
    """Links stop one after the other, and come back in another order."""
    names = sorted(device.name for device in world.devices)
    ways = [(a, b) for a in names for b in names if a != b]
    ways = world.random.sample(ways, min(len(ways), world.random.randrange(1, 7)))
    start = world.time.now
    for way in ways:
        world.trace("clog", *way)
        stops = start + world.random.randrange(5_000)
        world.time.at(stops, partial(world.clog, way))
        world.time.at(stops + world.random.randrange(1_000, 60_000), partial(world.unclog, way))


# Machines


def _crash(world: World) -> None:
    if up := [device for device in world.devices if device.up]:
        device = world.random.choice(up)
        if world.random.random() < 0.25:
            world.crash(device)
            return
        if isinstance(device.disk, SectorDisk) and world.random.random() < 0.6:
            _disk_fails(world, device, device.disk)
            return
        store = world.random.choice((device.node, device.page)).store
        assert isinstance(store, SimulatedStore)
        store.fuse = world.random.randrange(1, 40)
        world.trace("fuse", device.name, str(store.fuse))


def _disk_fails(world: World, device: Device, disk: SectorDisk) -> None:
    """The power goes during a write to the disk, one write or sync fails, or it is full for some time."""
    how = world.random.random()
    if how < 0.6:
        disk.cut_at = disk.operations + world.random.randrange(1, 60)
        world.trace("power", device.name, str(disk.cut_at - disk.operations))
    elif how < 0.9:
        disk.failing = (world.random.choice(("write", "sync")), world.random.randrange(12))
        world.trace("disk", device.name, disk.failing[0], str(disk.failing[1]))
    else:
        disk.free = world.random.randrange(30_000)
        world.trace("fills", device.name, str(disk.free))
        world.time.at(world.time.now + world.random.randrange(30_000), disk.empty)


def _clock(world: World) -> None:
    device = world.random.choice(world.devices)
    by = world.random.choice((-YEAR, YEAR, -3_600_000, 60_000, 60 * YEAR))
    world.trace("clock", device.name, f"{by} ms")
    device.clock_offset += by


def _snapshot(world: World) -> None:
    device = world.random.choice(world.devices)
    world.trace("snapshot", device.name)
    world.snapshots.append(Snapshot(device, device.disk.content()))


def _copy_back(world: World) -> None:
    if world.snapshots:
        snapshot = world.random.choice(world.snapshots)
        if snapshot.device.drawer:
            return
        if world.random.random() < 0.5 or len(world.devices) >= world.most_devices or not snapshot.device.holders:
            world.restore(snapshot, known=world.random.random() < 0.6)
        elif not snapshot.device.name.endswith("'"):
            world.clone(snapshot, known=world.random.random() < 0.2)


# Hostile members


def _hostile(world: World) -> None:
    hostile = [(device, desk) for device, desk in world.desks() if desk.holder.hostile]
    if hostile:
        device, desk = world.random.choice(hostile)
        world.random.choice(_CRIMES)(world, device, desk)
    elif (who := anyone(world)) and who[1].holder is world.devices[0].holders[0]:
        key_for_blind(world, *who)


def names_what_is_not_theirs(world: World, device: Device, desk: Desk) -> None:
    """A write that claims to replace other fields of other records in other vaults."""
    what = anything(world, desk)
    if what is None:
        return
    vault, record = what
    rows = device.page.table()
    names = [row[2] for row in world.random.sample(rows, min(6, len(rows)))]
    # Also ones that are not there yet: the names of writes still to come cannot be known, so any will do.
    names.append(make_dot(world.random.randbytes(32), 0))
    write = Write(world.random.choice(FIELDS), "", world.text())
    world.act(device, "names", lambda: [desk.write(vault, [(record, write)], names=names)])


def lies_about_place(world: World, device: Device, desk: Desk) -> None:
    """A value sealed for another record than the one whose target it stands at; or under no key of theirs."""
    what = anything(world, desk)
    if what is None:
        return
    vault, record = what
    other = world.random.choice(world.records[vault])
    lie = "commitment" if other == record else "place"
    write = Write(world.random.choice(FIELDS), "", world.text())
    world.act(device, lie, lambda: [desk.write(vault, [(record, write)], hostile=lie, elsewhere=other)])


def writes_without_right(world: World, device: Device, desk: Desk) -> None:
    """A reader whose program does not ask for the right to write."""
    state = desk.state()
    vaults = [
        v for v, held in desk.keys().items()
        if world.records.get(v) and state.right(v, desk.holder.person) < WRITES
        and state.vaults[v].newest_epoch() in held
    ]  # fmt: skip
    if not vaults:
        return
    vault = world.random.choice(vaults)
    record = world.random.choice(world.records[vault])
    write = world.random.choice((Write("password", "", world.text()), Write(STATE, "", ["deleted", []])))
    world.act(device, "no right", lambda: [desk.write(vault, [(record, write)], hostile="right")])


def stale_key(world: World, device: Device, desk: Desk) -> None:
    """A write under a key that someone removed has, by who has heard of it."""
    state = desk.state()
    found = [
        (vault, epoch)
        for vault in desk.writable() if world.records.get(vault)
        for epoch in desk.keys()[vault] if not state.is_clean(vault, epoch)
    ]  # fmt: skip
    if found:
        vault, epoch = world.random.choice(found)
        record = world.random.choice(world.records[vault])
        write = Write("password", "", world.text())
        world.act(device, "stale", lambda: [desk.write(vault, [(record, write)], hostile="stale", stale=epoch)])


def takes_right(world: World, device: Device, desk: Desk) -> None:
    """A grant to themselves, of what they do not own."""
    state = desk.state()
    vaults = [
        v
        for v, held in state.vaults.items()
        if v != state.directory and held.epochs and held.rights.get(desk.holder.person) != OWNS
    ]
    if vaults and desk.holder.id in state.keyholders:
        statement = desk.grab_right(world.random.choice(vaults))
        world.act(device, "takes", lambda: [desk.append_statement(statement)], powerless=True)


def key_for_blind(world: World, device: Device, desk: Desk) -> None:
    """Keys for a machine that may read nothing."""
    blind = [d for d, held in desk.state().devices.items() if held.role == 1]
    if blind:
        statement = desk.key_for_blind(world.random.choice(sorted(blind)))
        world.act(device, "for blind", lambda: [desk.append_statement(statement)], powerless=True)


def proves_nothing(world: World, device: Device, desk: Desk) -> None:
    """A further keyholder on their own machine, without a proof that anyone holds the key."""
    if device.identity.id in desk.state().devices:
        statement = desk.unproved(device.identity.id)
        world.act(device, "unproved", lambda: [desk.append_statement(statement)], powerless=True)


def un_hears(world: World, device: Device, desk: Desk) -> None:
    """An entry, well signed and chained, that claims to know less than the one before it did."""
    connections = [c for c in world.connections if device in c.ends]
    made = unheard(world, device, desk)
    if connections and made is not None:
        digest, wire = made
        world.oracle.forbidden.add(digest)
        connection = world.random.choice(connections)
        connection.tampered = True
        world.trace("un-hears", device.name)
        connection.send(connection.side_of(device), encode([ENTRIES, [wire]]))


_CRIMES: Final = (
    names_what_is_not_theirs, names_what_is_not_theirs, lies_about_place, lies_about_place,
    writes_without_right, writes_without_right, takes_right, un_hears, stale_key, proves_nothing, backdates, backdates,
    purges_what_is_live,
)  # fmt: skip

_DEEDS: Final[tuple[tuple[Callable[[World], None], int], ...]] = (
    (_change, 40), (_create, 10), (_delete, 7), (_share, 4), (_hand_on, 4), (_epoch, 2), (_admit, 2),
    (_sign, 3), (_connect, 22), (_cut, 8), (_crash, 7), (_clock, 3), (_snapshot, 4), (_copy_back, 3),
    (_hostile, 14), (remove, 3), (_take_in, 3), (_partition, 2), (_clog, 3),
    (role, 3), (revoke, 3), (propose, 2), (approve, 3), (by_paper, 1), (by_recovery, 1), (new_paper, 1),
    (new_discovery, 1), (password, 1), (stolen_kit, 1),
    (empty, 2), (seal_again, 2), (purge, 4), (housekeep, 3), (update, 1), (newer, 3),
)  # fmt: skip
