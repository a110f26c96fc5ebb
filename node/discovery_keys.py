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
from replication.membership import DISCOVERY, State

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


def new_key_statement(state: State, gone: set[bytes], key: bytes) -> list[Any]:
    """A new discovery key for all devices but those that are `gone` when it is stated."""
    boxes = [
        [device, seal_discovery_key(key, family=state.family, device=device, box_key=held.box_key)]
        for device, held in sorted(state.devices.items())
        if device not in gone
    ]
    return [DISCOVERY, boxes]
