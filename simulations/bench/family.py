"""Real devices to measure on: data folders, node processes, open vaults; all on this machine's loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node import processes
from node.control import Control
from node.family import NewPerson, found
from node.folders import make_private_folder, runtime_folder
from node.identity import DeviceIdentity, load_or_create
from node.joining import Host, Newcomer, follow_invitation, show_invitation
from node.keyholder import Unlocked
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.strength import propose_passphrase
from node.vault import Vaults
from replication.replica import Replica

PATIENCE_S: Final = 60.0
PASSWORD: Final = propose_passphrase()
"""Of this run alone."""


def clock() -> int:
    return int(time.time() * 1000)


@dataclass
class Device:
    name: str
    folder: Path
    runtime: Path
    identity: DeviceIdentity
    replica: Replica
    port: int
    unlocked: Unlocked | None = None
    node: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        arguments = ("node", "--listen", "127.0.0.1", "--mdns", "off", "--peer-port", str(self.port))
        self.node = processes.start(self.folder, *arguments)
        processes.wait_for_node(self.runtime, self.node)

    def down(self) -> None:
        if self.node:
            processes.stop(self.node)
            self.node = None

    def vaults(self) -> Vaults:
        assert self.unlocked is not None
        return Vaults(self.replica, self.unlocked, random_bytes=secrets.token_bytes, clock=clock)


@contextmanager
def stage() -> Iterator[Callable[[str], Device]]:
    """A folder for the devices of a run; their processes end and it goes, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="kinring-bench-"))
    os.environ["KINRING_KEYRING"] = "file"
    devices: list[Device] = []

    def make(name: str) -> Device:
        data = folder / name
        make_private_folder(data)
        device = Device(
            name,
            data,
            runtime_folder(data),
            load_or_create(data, secrets.token_bytes),
            open_replica(data),
            free_port(),
        )
        devices.append(device)
        return device

    try:
        yield make
    finally:
        for device in devices:
            device.down()
            device.replica.close()
            shutil.rmtree(device.runtime, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_founder(device: Device, rows: Sequence[dict[str, Any]]) -> str:
    """Found a family on `device` and import `rows`; the id of the vault they are in."""
    who = NewPerson("anna", PASSWORD)
    admitted = found(
        device.replica,
        device.identity,
        SecretKeys(device.folder),
        who,
        device_name=device.name,
        random_bytes=secrets.token_bytes,
        now=clock(),
    )
    device.unlocked = admitted.unlocked
    vaults = device.vaults()
    vault = vaults.vaults()[1].vault_id
    vaults.import_items(vault, rows)
    return vault


def pair(host: Device, new: Device) -> None:
    """Join `new` to the family of `host`, as a second device of its person. Both nodes must be up."""
    told: dict[str, str] = {}
    shown, seen = threading.Event(), threading.Event()

    def scan() -> None:
        shown.wait(PATIENCE_S)
        newcomer = Newcomer(new.replica, new.identity, SecretKeys(new.folder), new.name, False)
        with Control(new.runtime) as control:
            new.unlocked = follow_invitation(
                control, newcomer, told["text"], show_digits=show_digits, ask_password=lambda *_: PASSWORD
            )

    def show_digits(six: str) -> None:
        told["digits"] = six
        seen.set()

    def on_invitation(text: str, _: int) -> None:
        told["text"] = text
        shown.set()

    def ask_digits(_: object) -> str | None:
        seen.wait(PATIENCE_S)
        return told.get("digits")

    assert host.unlocked is not None
    secret_key = SecretKeys(host.folder).load(host.unlocked.person)
    party = Host(host.replica, host.identity, host.unlocked, host.vaults(), secret_key)
    thread = threading.Thread(target=scan)
    thread.start()
    with Control(host.runtime) as control:
        show_invitation(control, party, on_invitation=on_invitation, ask_digits=ask_digits)
    thread.join(PATIENCE_S)


def wait(done: Callable[[], bool], pause: float = 0.002) -> None:
    """Raises TimeoutError after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)
