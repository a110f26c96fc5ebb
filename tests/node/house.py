"""A family that was founded once: each test gets a copy of its folder. Argon2 is paid for once."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.family import Admitted, NewPerson, admit_person_here, found
from node.identity import DeviceIdentity, load_or_create
from node.keyholder import Unlocked, unlock_with_key
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.vault import Vaults
from replication.replica import Replica

PASSWORD = "correct horse battery staple"


@dataclass
class House:
    """A data folder with a family in it, opened; Anna founded it, and let Ben in on the same device."""

    folder: Path
    anna: bytes
    anna_key: bytes
    ben: bytes
    ben_key: bytes
    now: int = 1_800_000_000_000

    def open(self) -> Replica:
        return open_replica(self.folder)

    def device(self) -> DeviceIdentity:
        return load_or_create(self.folder, secrets.token_bytes)

    def sign_in(self, replica: Replica, person: bytes | None = None) -> Unlocked:
        person = person or self.anna
        return unlock_with_key(replica, person, self.anna_key if person == self.anna else self.ben_key)

    def vaults(self, replica: Replica | None = None, person: bytes | None = None) -> Vaults:
        replica = replica or self.open()
        return Vaults(
            replica, self.sign_in(replica, person), random_bytes=secrets.token_bytes, clock=self.clock
        )

    def clock(self) -> int:
        self.now += 1000
        return self.now


@pytest.fixture(scope="session")
def house_made_once(tmp_path_factory) -> tuple[Path, Admitted, Admitted]:
    before = os.environ.get("KINRING_KEYRING")
    os.environ["KINRING_KEYRING"] = "file"
    try:
        folder = tmp_path_factory.mktemp("family")
        folder.chmod(0o700)
        device, keys = load_or_create(folder, secrets.token_bytes), SecretKeys(folder)
        replica = open_replica(folder)
        anna = found(
            replica,
            device,
            keys,
            NewPerson("anna", PASSWORD, "Anna"),
            device_name="Annas laptop",
            random_bytes=secrets.token_bytes,
            now=1_790_000_000_000,
        )
        ben = admit_person_here(
            replica,
            device,
            keys,
            NewPerson("Ben", PASSWORD + " two", "Ben", suite=2),
            random_bytes=secrets.token_bytes,
            now=1_790_000_001_000,
        )
        replica.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
        replica.close()
    finally:
        if before is None:
            del os.environ["KINRING_KEYRING"]
        else:
            os.environ["KINRING_KEYRING"] = before
    return folder, anna, ben


@pytest.fixture
def house(
    house_made_once: tuple[Path, Admitted, Admitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> House:
    monkeypatch.setenv("KINRING_KEYRING", "file")
    folder, anna, ben = house_made_once
    copied = tmp_path / "data"
    shutil.copytree(folder, copied)
    copied.chmod(0o700)
    return House(
        copied, anna.unlocked.person, anna.unlocked.unlock_key, ben.unlocked.person, ben.unlocked.unlock_key
    )


@pytest.fixture
def vaults(house: House) -> Vaults:
    return house.vaults()
