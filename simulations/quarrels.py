"""What a family's people do to each other: roles, rights, removals, recovery.

Of each the simulator knows beforehand whether it may have effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replication.membership import A_DEVICE, A_PERSON, ADMIN, OWNS, READER, REMOVE, WRITER, State
from replication.replica import EntryInfo, Replica
from simulations.household import Desk, Holder, Identity, comes_back, cuts_of, keys_of, recover
from simulations.store import CountedReplica
from simulations.world import Device, World


def anyone(world: World) -> tuple[Device, Desk] | None:
    people = list(world.desks())
    return world.random.choice(people) if people else None


def admins(world: World) -> list[tuple[Device, Desk]]:
    found = []
    for device, desk in world.desks():
        state = desk.state()
        person = state.person_of(desk.holder.id)
        if person is not None and state.people[person].role == ADMIN:
            found.append((device, desk))
    return found


def founder(world: World) -> bytes:
    """Nobody takes the founder or their first device away: the checkers look there."""
    return world.devices[0].holders[0].person


def _others(world: World, state: State, desk: Desk) -> list[bytes]:
    return [person for person in sorted(state.people) if person not in (desk.holder.person, founder(world))]


def remove(world: World) -> None:
    """An admin removes someone junior or a device of theirs, or one of their own; one who tries it with a senior has
    no effect. The device of the founding stays. Several do it apart, and those removed go on until they hear."""
    acting = admins(world)
    if not acting or len(world.devices) < 3:
        return
    device, desk = world.random.choice(acting)
    state, first = desk.state(), world.devices[0]
    own = state.people[desk.holder.person]
    people = _others(world, state, desk)
    machines = [d for d in sorted(state.devices) if d not in (first.identity.id, device.identity.id)]
    if not people + machines:
        return
    target = world.random.choice(machines + people)
    what = A_PERSON if target in people else A_DEVICE
    owner = state.people.get(target if what == A_PERSON else state.devices[target].owner)
    powerless = owner is not None and owner.rank < own.rank
    if owner is own and device is not first:
        return  # two devices of one person that remove each other: whoever hears first shuns the one that stays
    world.act(device, "remove", lambda: [desk.remove(what, target)], powerless=powerless)


def role(world: World) -> None:
    """An admin makes someone an admin, a writer or a reader; a senior stays what they are."""
    if not (acting := admins(world)):
        return
    device, desk = world.random.choice(acting)
    state = desk.state()
    people = _others(world, state, desk)
    if not people:
        return
    person = world.random.choice(people)
    held = state.people[person]
    wanted = world.random.choice([one for one in (ADMIN, WRITER, READER) if one != held.role])
    powerless = wanted > held.role and held.rank < state.people[desk.holder.person].rank
    world.act(device, "role", lambda: [desk.set_role(person, wanted)], powerless=powerless)


def revoke(world: World) -> None:
    """An owner leaves somebody less than they had, or gives their own right back; not who owned it before them."""
    if not (who := anyone(world)):
        return
    device, desk = who
    state, me = desk.state(), desk.holder.person
    given = [
        (vault, person)
        for vault in sorted(desk.keys()) if state.owns(vault, me) and vault != state.directory
        for person, right in sorted(state.vaults[vault].rights.items())
        if right and person in state.people and person not in (me, founder(world))
    ]  # fmt: skip
    if not given:
        return
    vault, person = world.random.choice(given)
    held = state.vaults[vault]
    right = world.random.randrange(held.rights[person])
    senior = person in held.owners and held.owners[person] <= held.owners.get(me, (0, b""))
    world.act(device, "revoke", lambda: [desk.revoke(vault, person, right)], powerless=senior)


def propose(world: World) -> None:
    """An admin proposes that somebody goes; a senior, too."""
    if not (acting := admins(world)):
        return
    device, desk = world.random.choice(acting)
    if people := _others(world, desk.state(), desk):
        person = world.random.choice(people)
        world.act(device, "propose", lambda: [desk.propose(A_PERSON, person)])


def approve(world: World) -> None:
    """Another admin approves; one who may not, for their own proposal or their own removal, has no effect."""
    found = []
    for device, desk in admins(world):
        state = desk.state()
        found += [(device, desk, name) for name, one in sorted(state.proposals.items()) if one.target in state.people]
    if not found:
        return
    device, desk, name = world.random.choice(found)
    state, me = desk.state(), desk.holder.person
    proposed = state.proposals[name]
    stands = state.person_of(proposed.author) == proposed.person and state.role(proposed.person) == ADMIN
    may = stands and len({me, proposed.person, proposed.target}) == 3
    world.act(device, "approve", lambda: [desk.approve(name)], powerless=not may)


def new_paper(world: World) -> None:
    if who := anyone(world):
        device, desk = who
        if desk.holder.id in desk.state().keyholders:
            world.act(device, "paper", lambda: [desk.new_paper(world.safe)])


def new_discovery(world: World) -> None:
    if acting := admins(world):
        device, desk = world.random.choice(acting)
        world.act(device, "discovery", lambda: [desk.new_discovery()])


def password(world: World) -> None:
    """Another password; now and then the older ones are forgotten."""
    if (who := anyone(world)) and who[1].holder.id in who[1].state().keyholders:
        device, desk = who
        world.act(device, "password", lambda: [desk.new_unlock()])
        if device.up and desk in device.desks and world.random.random() < 0.5:
            world.act(device, "forget", lambda: [desk.forget_unlocks()])


def _kit(world: World, state: State, but: Sequence[bytes] = ()) -> Holder | None:
    """Somebody's paper key in force."""
    mine = [p for p, paper in sorted(state.papers.items()) if p in state.people and p not in but]
    return world.safe.kits[state.papers[world.random.choice(mine)].sign_key] if mine else None


def fresh_laptop(world: World, peer: Device, kind: str) -> tuple[Device, Holder]:
    """A new laptop that has fetched everything from a peer."""
    holder = Holder.make(world.randbytes)
    wires = [peer.node.wire(entry) for (entry,) in peer.node.store.rows("SELECT id FROM entries ORDER BY id")]
    device = world.add(f"{kind}{len(world.devices)}", Identity.make(world.randbytes), [holder], family=peer.node.family)
    device.node.ingest(wires)
    device.promised = device.disk.hashes()
    return device, holder


def _takes_out(replica: Replica, device: bytes) -> list[Any]:
    return [REMOVE, A_DEVICE, device, cuts_of(replica, keys_of(replica.state(), device))]


def by_paper(world: World) -> None:
    """Somebody comes back with a new laptop by their paper key, and perhaps takes the old ones out by it."""
    up = [device for device in world.devices if device.up]
    if not up or len(world.devices) > world.most_devices:
        return
    peer = world.random.choice(up)
    kit = _kit(world, peer.node.state())
    if kit is None:
        return
    device, holder = fresh_laptop(world, peer, "back")
    old = [d for d, held in device.node.state().devices.items() if held.owner == kit.person]
    old = [d for d in sorted(old) if d != world.devices[0].identity.id and world.random.random() < 0.3]
    more = [_takes_out(device.node, one) for one in old]
    back: list[EntryInfo] = []

    def action() -> list[EntryInfo]:
        back.extend(comes_back(device.page, kit, device.identity, holder, world.discovery,
                               world.clock(device), more))  # fmt: skip
        return back

    world.act(device, "by paper", action)
    if back:
        device.admission = back[0].hash


def by_recovery(world: World) -> None:
    """The family recovery key: a new admin, and some go."""
    up = [device for device in world.devices if device.up]
    if not up or len(world.devices) > world.most_devices:
        return
    peer = world.random.choice(up)
    if peer.node.state().recovery_key not in world.safe.recovery:
        return  # it has not got anything yet
    device, holder = fresh_laptop(world, peer, "recovered")
    people = [p for p in sorted(device.node.state().people) if p != founder(world)]
    gone = [p for p in people if world.random.random() < 0.2]
    back: list[EntryInfo] = []

    def action() -> list[EntryInfo]:
        back.append(recover(device.page, world.safe, device.identity, holder, gone, world.randbytes,
                            world.clock(device)))  # fmt: skip
        return back

    world.act(device, "recover", action)
    if back:
        device.admission = back[0].hash


def stolen_kit(world: World) -> None:
    """A thief has a paper key and an old copy of the family: as of then, they take a laptop in and one out."""
    up = [device for device in world.devices if device.up]
    if not (up and world.snapshots):
        return
    snapshot, to = world.random.choice(world.snapshots), world.random.choice(up)
    thief, holder = Identity.make(world.randbytes), Holder.make(world.randbytes)

    def say(replica: CountedReplica) -> list[EntryInfo]:
        state = replica.state()
        if (kit := _kit(world, state)) is None:
            return []
        own = [d for d, held in sorted(state.devices.items()) if held.owner == kit.person]
        own = [d for d in own if d != world.devices[0].identity.id]
        more = [_takes_out(replica, world.random.choice(own))] if own and world.random.random() < 0.5 else []
        now = world.clock(snapshot.device)
        return comes_back(replica, kit, thief, holder, world.discovery, now, more)

    world.backdated(snapshot, to, say)


def backdates(world: World, device: Device, desk: Desk) -> None:
    """Who was removed or lowered says something on an old copy of their store: as of a time when they might."""
    own = [snapshot for snapshot in world.snapshots if snapshot.device.identity is device.identity]
    up = [other for other in world.devices if other.up]
    if not own or not up:
        return
    holder, to, kind = desk.holder, world.random.choice(up), world.random.random()

    def say(replica: CountedReplica) -> list[EntryInfo]:
        state = replica.state()
        if holder.id not in state.keyholders:
            return []
        old = Desk(replica, holder, world.randbytes, lambda: world.clock(device), world.oracle.note)
        role = state.people[holder.person].role
        if kind < 0.5 and (vaults := [v for v in old.writable() if state.writable_epoch(v)]):
            return [old.create(world.random.choice(vaults), [world.fields()])[0]]
        people = [p for p in _others(world, state, old) if state.people[p].rank > state.people[holder.person].rank]
        if role == ADMIN and people and kind < 0.75:
            made = old.remove(A_PERSON, world.random.choice(people))
            return [made] if made else []
        owned = [v for v in sorted(old.keys()) if state.owns(v, holder.person) and v != state.directory]
        if owned and people:
            made = old.give_right(world.random.choice(owned), world.random.choice(people), OWNS)
            return [made] if made else []
        return []

    world.backdated(world.random.choice(own), to, say)
