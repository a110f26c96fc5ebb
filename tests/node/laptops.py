"""Several devices of one founded family, each with a copy of its own, without a network between them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from discovery.pairing import NewDevice
from node.identity import DeviceIdentity, load_or_create
from node.joining import Host, admit_device
from node.keyholder import Unlocked
from node.vault import Vaults
from replication.encoding import encode
from replication.membership import device_proof, keyholder_proof
from replication.replica import Replica
from tests.kin import sync
from tests.node.house import House


@dataclass
class Laptop:
    """One of Anna's devices, unlocked."""

    device: DeviceIdentity
    replica: Replica
    unlocked: Unlocked

    @property
    def vaults(self) -> Vaults:
        return Vaults(
            self.replica, self.unlocked, random_bytes=secrets.token_bytes, clock=lambda: 1_900_000_000_000
        )

    def password(self, item: str) -> str | None:
        return self.vaults.item(item).fields.get("password")


@pytest.fixture
def laptop(house: House) -> Laptop:
    replica = house.open()
    return Laptop(house.device(), replica, house.sign_in(replica))


def join(host: Laptop, folder: Path) -> Laptop:
    """A further device of Anna's, admitted and copied."""
    folder.mkdir(mode=0o700)
    device = load_or_create(folder, secrets.token_bytes)
    key, box = SigningKey.generate(), PrivateKey.generate()
    me, family = host.unlocked, host.replica.family or b""
    new = NewDevice(device.id, bytes(device.box.public_key), b"\0" * 32, device.leaf, folder.name, False)
    proof = device.sign.sign(device_proof(family, device.id, new.box_key, device.leaf, me.person)).signature
    public = bytes(box.public_key)
    owned = key.sign(keyholder_proof(family, me.person, device.id, bytes(key.verify_key), public)).signature
    party = Host(host.replica, host.device, me, host.vaults, b"")
    admit_device(party, new, encode([proof, bytes(key.verify_key), public, owned]))
    replica = Replica.open(":memory:", random_bytes=secrets.token_bytes)
    replica.adopt(family)
    sync(host.replica, replica)
    return Laptop(
        device, replica, Unlocked("anna", me.person, bytes(key.verify_key), me.unlock_key, key, box)
    )


def account(laptop: Laptop, password: str) -> str:
    vault = laptop.vaults.vaults()[1].vault_id
    return laptop.vaults.create_item(vault, {"label": "Bank", "username": "anna", "password": password})
