"""What happens to values after they were written: the bin is emptied, histories are purged, values sealed again, taken
away, forgotten; programs are updated one after the other.
"""

from __future__ import annotations

from node.item import Write
from replication.membership import ADMIN, PURGE
from replication.purge import WAITING_MS
from simulations.household import FIELDS, Desk
from simulations.quarrels import anyone
from simulations.store import NewerReplica
from simulations.world import Device, World


def anything(world: World, desk: Desk) -> tuple[bytes, bytes] | None:
    """A vault this person may write, and a record that shows there."""
    vaults = [vault for vault in desk.writable() if world.records.get(vault)]
    if not vaults:
        return None
    vault = world.random.choice(vaults)
    record = world.random.choice(world.records[vault][-4:])
    return (vault, record) if desk.shows(vault, record) else None


def _may_purge(desk: Desk, vault: bytes) -> bool:
    state = desk.state()
    return state.owns(vault, desk.holder.person) or state.role(desk.holder.person) == ADMIN


def empty(world: World) -> None:
    """The bin is emptied."""
    if (who := anyone(world)) and (what := anything(world, who[1])):
        device, desk = who
        if desk.item(*what).deleted or world.random.random() < 0.3:
            world.act(device, "empty", lambda: [desk.empty(*what)])


def seal_again(world: World) -> None:
    """Under the key that is in force now."""
    if (who := anyone(world)) and (what := anything(world, who[1])):
        world.act(who[0], "seal again", lambda: [who[1].seal_again(*what)])


def purge(world: World) -> None:
    """A history is destroyed, or what a record began with and was written over since."""
    who = anyone(world)
    if who is None or (what := anything(world, who[1])) is None or not _may_purge(who[1], what[0]):
        return
    device, desk = who
    if world.random.random() < 0.5:
        world.act(device, "thin", lambda: desk.thin(*what))
    else:
        world.act(device, "purge", lambda: [desk.purge(*what)])


def purges_what_is_live(world: World, device: Device, desk: Desk) -> None:
    """Who may purge names what everybody shows: by itself, or by a write that has nothing to do with it."""
    mine = {vault for vault in desk.keys() if _may_purge(desk, vault)}  # noqa: SIM118  a method of ours
    rows = sorted(row[:3] for row in device.page.table() if row[0] in mine)
    if len(rows) > 1:
        (vault, _, dot), (_, _, other) = world.random.sample(rows, 2)
        floor = world.random.choice(([dot], [other], sorted([dot, other])))
        world.act(device, "purges live", lambda: [desk.say([[PURGE, vault, [[dot, floor]]]])])


def housekeep(world: World) -> None:
    """A machine looks what is due; now and then a month has passed for all."""
    if world.random.random() < 0.3:
        world.trace("a month")
        for device in world.devices:
            device.clock_offset += WAITING_MS + 1
    for device in list(world.devices):
        if device.up and world.random.random() < 0.5:
            world.sign(device)
        if device.up and world.random.random() < 0.7:
            world.housekeep(device)


def update(world: World) -> None:
    if older := [device for device in world.devices if device.up and not device.updated]:
        world.update(world.random.choice(older))


def newer(world: World) -> None:
    """Who has the newer program writes what the others do not understand yet."""
    who = anyone(world)
    if who is None or not isinstance(who[1].replica, NewerReplica):
        return
    device, desk = who
    if world.random.random() < 0.3:
        statement = [200, world.randbytes(8)]
        world.act(device, "newer kind", lambda: [desk.say_newer(statement)], powerless=True)
    elif what := anything(world, desk):
        write = Write(world.random.choice(FIELDS), "", world.text())
        world.act(device, "newer", lambda: [desk.write(what[0], [(what[1], write)], newer=True)])
