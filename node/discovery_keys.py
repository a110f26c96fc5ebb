"""The keys by which the family's devices find one another: which of them a device has, and which are still in use.

A removed device goes on knowing the discovery key that it had, so a removal brings a new one. Until every device that
remains has it, the older one is in use beside it: or whoever was away during the removal would find nobody any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.grants import open_discovery_key, seal_discovery_key
from node.identity import DeviceIdentity
from node.sealing import Unopened
from replication.membership import ADMIN, DEVICE, DISCOVERY, RECOVER, Membership, State
from replication.purge import lagging
from replication.replica import Replica

RandomBytes = Callable[[int], bytes]


def held_keys(state: State, device: DeviceIdentity) -> list[bytes]:
    """The discovery keys (32 bytes each) that this device was given, the newest first; none where it is no member.

    What was made before it came has no box for it: what it was let in with is the older of all that it can open.
    """
    own = state.devices.get(device.id)
    boxes = [own.sealed_discovery_key] if own else []
    boxes += [sealed[device.id] for _, sealed in state.discovery if device.id in sealed]
    found: list[bytes] = []
    for box in reversed(boxes):
        try:
            found.append(open_discovery_key(box, family=state.family, device=device.id, private=device.box))
        except Unopened:
            continue
    return list(dict.fromkeys(found))


def newest_key(state: State, device: DeviceIdentity) -> bytes:
    """The key for a device that is let in now. Raises Unopened where this one has none."""
    found = held_keys(state, device)
    if not found:
        raise Unopened("box")
    return found[0]


def keys_in_use(replica: Replica, device: DeviceIdentity) -> list[bytes]:
    """Those by which this device is found and finds the others, the newest first. The older ones are among them until
    every device of the family has the newest, and has said so in its signed frontier."""
    state = replica.state()
    found = held_keys(state, device)
    if len(found) > 1 and not _waiting(replica, state):
        return found[:1]
    return found


def _waiting(replica: Replica, state: State) -> bool:
    newest = state.discovery[-1][0]
    late = state.devices.keys() & set(lagging(replica, replica.entry_of(newest)))
    return bool(late) or bool(without_newest(replica.membership()))


def without_newest(membership: Membership) -> set[bytes]:
    """The devices that have no way to the newest discovery key: let in by who had not heard of it."""
    state = membership.state()
    if not state.discovery:
        return set()
    newest, boxes = state.discovery[-1]
    later = {
        statement.body[1 if statement.body[0] == DEVICE else 2]
        for digest, statement in membership.statements.items()
        if digest not in membership.reasons and statement.body[0] in (DEVICE, RECOVER)
        if membership.includes([digest], [newest])
    }
    return state.devices.keys() - boxes.keys() - later


def renewal(membership: Membership, person: bytes, random_bytes: RandomBytes) -> list[list[Any]]:
    """What an admin states, at their unlock, for devices that have no way to the newest key: one more for all."""
    state = membership.state()
    if state.role(person) != ADMIN or not without_newest(membership):
        return []
    return [new_key_statement(state, set(), random_bytes(32))]


def new_key_statement(state: State, gone: set[bytes], key: bytes) -> list[Any]:
    """A new discovery key for all devices but those that are `gone` when it is stated."""
    boxes = [
        [device, seal_discovery_key(key, family=state.family, device=device, box_key=held.box_key)]
        for device, held in sorted(state.devices.items())
        if device not in gone
    ]
    return [DISCOVERY, boxes]
