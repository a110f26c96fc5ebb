"""A family's day on one machine: two laptops and a blind peer as real processes, in a temporary folder.

What it tells is what it has just looked up; nothing in it is made up for the show.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from discovery.pairing import NewDevice
from node import processes, samples
from node.control import Control, tell_changed
from node.errors import ExitCode, KinringError
from node.family import NewPerson, found
from node.folders import make_private_folder, runtime_folder
from node.identity import DeviceIdentity, load_or_create
from node.joining import Host, Newcomer, follow_invitation, show_invitation
from node.keyholder import Unlocked
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.strength import propose_passphrase
from node.vault import Vaults
from replication.encoding import encode
from replication.log import rows_to_value
from replication.replica import Replica

PATIENCE_S: Final = 15.0
ACCOUNTS: Final = 200
NODE: Final = ("node", "--listen", "127.0.0.1", "--mdns", "off", "--peer-port")

Say = Callable[[str], None]


@dataclass
class Device:
    """One of the three, as its own processes see it: a data folder, a node, perhaps an open vault."""

    name: str
    folder: Path
    runtime: Path
    replica: Replica
    identity: DeviceIdentity
    port: int
    vaults: Vaults | None = None
    unlocked: Unlocked | None = None
    child: subprocess.Popen[bytes] | None = None
    pages: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def up(self) -> None:
        self.child = processes.start(self.folder, *NODE, str(self.port))
        processes.wait_for_node(self.runtime, self.child)

    def down(self) -> None:
        if self.child:
            processes.stop(self.child)
            self.child = None

    def open(self) -> Vaults:
        assert self.vaults is not None
        return self.vaults

    def change(self, label: str, **fields: str) -> None:
        item = self.find(label)
        self.open().update_item(item, fields)
        tell_changed(self.runtime)

    def find(self, label: str) -> str:
        return next(
            item.item_id for item in self.open().items(query=label).items if item.fields["label"] == label
        )


def run(say: Say, *, keep: bool = False) -> None:
    """The whole story, in under half a minute. Raises KinringError if any step does not hold."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kinring-demo-"))
    with _stage(folder) as (make, devices):
        password = propose_passphrase()
        laptop = make("Anna's laptop")
        _found(say, laptop, password)
        laptop.up()
        desktop, pi = make("Anna's desktop"), make("the Pi in the cupboard")
        _join(say, laptop, desktop, password)
        _join(say, laptop, pi, None)
        _level(say, devices)
        _introduce(devices)
        _apart(say, laptop, desktop, pi)
        _settle(say, laptop, desktop, pi)
        say(f"\nThat took {time.monotonic() - began:.1f} seconds.")
        if keep:
            _keep(say, devices, password)


@contextmanager
def _stage(folder: Path) -> Iterator[tuple[Callable[[str], Device], list[Device]]]:
    """Devices in `folder`; whatever happens, their processes end and the folder goes."""
    devices: list[Device] = []
    # The demo's keys lie in its own folder, never in the keyring of whoever tries it.
    before = {name: os.environ.get(name) for name in ("KINRING_KEYRING", "XDG_RUNTIME_DIR")}
    os.environ["KINRING_KEYRING"] = "file"

    def make(name: str) -> Device:
        data = folder / name.replace("'", "").replace(" ", "-").lower()
        make_private_folder(data)
        identity = load_or_create(data, secrets.token_bytes)
        device = Device(name, data, runtime_folder(data), open_replica(data), identity, _free_port())
        devices.append(device)
        return device

    try:
        yield make, devices
    finally:
        for device in devices:
            device.down()
            for page in device.pages:
                processes.stop(page)
            device.replica.close()
            shutil.rmtree(device.runtime, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _clock() -> int:
    return int(time.time() * 1000)


def _found(say: Say, laptop: Device, password: str) -> None:
    say("1. Anna founds her family on her laptop and brings in her passwords.")
    who = NewPerson("anna", password, name="Anna")
    admitted = found(
        laptop.replica,
        laptop.identity,
        SecretKeys(laptop.folder),
        who,
        device_name=laptop.name,
        random_bytes=secrets.token_bytes,
        now=_clock(),
    )
    laptop.unlocked = admitted.unlocked
    laptop.vaults = Vaults(laptop.replica, admitted.unlocked, random_bytes=secrets.token_bytes, clock=_clock)
    vault = laptop.vaults.vaults()[1]
    began = time.monotonic()
    rows = samples.rows(2026, ACCOUNTS)
    rows += [
        {"label": "Streaming", "username": "anna", "password": "first-password"},
        {"label": "Bank", "username": "anna", "password": "bank-password"},
    ]
    count = laptop.vaults.import_items(vault.vault_id, rows)
    took = time.monotonic() - began
    say(
        f"   {count.imported} accounts are in the vault {vault.title!r}, encrypted and on the disk, after {took:.2f} s."
    )


def _join(say: Say, host: Device, new: Device, password: str | None) -> None:
    blind = password is None
    if blind:
        say(f"\n3. {new.name} joins as a blind peer: it will hold everything and read nothing.")
    else:
        say(f"\n2. {new.name} joins.")
    new.up()
    digits: list[str] = []
    shown, seen = threading.Event(), threading.Event()
    told: dict[str, str] = {}
    failure: list[BaseException] = []

    def on_invitation(text: str, _: int) -> None:
        told["text"] = text
        shown.set()

    def ask_digits(_: NewDevice) -> str | None:
        seen.wait(PATIENCE_S)
        say(f"   {new.name} shows {' '.join(digits)}; Anna types it into {host.name}.")
        return "".join(digits)

    def show_digits(six: str) -> None:
        digits.extend((six[:3], six[3:]))
        seen.set()

    def scan() -> None:
        try:
            shown.wait(PATIENCE_S)
            newcomer = Newcomer(new.replica, new.identity, SecretKeys(new.folder), new.name, blind)
            with Control(new.runtime) as control:
                found = follow_invitation(
                    control,
                    newcomer,
                    told["text"],
                    show_digits=show_digits,
                    ask_password=lambda *_: password or "",
                )
            new.unlocked = found
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failure.append(error)
            inviting.hang_up()

    unlocked, vaults = host.unlocked, host.vaults
    assert unlocked is not None
    assert vaults is not None
    party = Host(host.replica, host.identity, unlocked, vaults, SecretKeys(host.folder).load(unlocked.person))
    thread = threading.Thread(target=scan)
    began = time.monotonic()
    try:
        with Control(host.runtime) as inviting:
            thread.start()
            show_invitation(inviting, party, on_invitation=on_invitation, ask_digits=ask_digits)
    except KinringError as error:
        failure.append(error)
    finally:
        thread.join(PATIENCE_S)
    if failure:
        raise failure[0]
    paired = time.monotonic()
    _wait(lambda: new.replica.last_id() >= host.replica.last_id(), f"{new.name} got no copy")
    copied = time.monotonic()
    say(
        f"   Paired in {paired - began:.2f} s, copied {new.replica.last_id()} entries in {copied - paired:.2f} s more."
    )
    if new.unlocked:
        new.vaults = Vaults(new.replica, new.unlocked, random_bytes=secrets.token_bytes, clock=_clock)
        say(f"   It reads {new.vaults.items().total} accounts.")
    else:
        state = new.replica.state()
        epochs = [epoch for vault in state.vaults.values() for epoch in vault.epochs.values()]
        keys = sum(new.identity.id in epoch.sealed for epoch in epochs)
        say(f"   It holds {len(new.replica.table())} sealed values and {keys} vault keys.")


def _introduce(devices: list[Device]) -> None:
    """Tell each where the others are, as one would where a network drops multicast."""
    for device in devices:
        for other in devices:
            if other is not device:
                with Control(device.runtime) as control:
                    control.ask("typed", other.identity.id, "127.0.0.1", other.port)


def _digest(device: Device) -> str:
    """Of all that a copy holds: its frontier and its merged table of ciphertext."""
    content = encode(rows_to_value(device.replica.frontier()))
    for vault, target, dot, sealed in device.replica.table():
        content += vault + target + dot + (sealed or b"")
    return hashlib.sha256(content).hexdigest()[:16]


def _level(say: Say, devices: list[Device]) -> None:
    """All copies are the same, byte for byte."""
    _wait(lambda: len({_digest(device) for device in devices}) == 1, "the copies differ")
    say("   All copies agree, byte for byte:")
    for device in devices:
        say(f"     {device.name:24} {_digest(device)}")


def _apart(say: Say, laptop: Device, desktop: Device, pi: Device) -> None:
    say("\n4. The desktop goes offline. Both sides go on working.")
    desktop.down()
    laptop.change("Streaming", password="changed on the laptop")
    laptop.change("Bank", notes="the branch closes at four")
    desktop.change("Streaming", password="changed-on-the-desktop")
    desktop.change("Bank", username="anna.b")
    say("   The laptop changed the password of Streaming and the notes of Bank;")
    say("   the desktop, offline, the password of Streaming too, and the user name of Bank.")
    _wait(
        lambda: pi.replica.frontier() == laptop.replica.frontier(), "the Pi did not get the laptop's changes"
    )
    say("\n5. The laptop is shut before the desktop is back: the two are never up together.")
    laptop.down()
    desktop.up()
    tell_changed(desktop.runtime)
    _wait(lambda: pi.replica.frontier() == desktop.replica.frontier(), "the desktop did not reach the Pi")
    say("   The desktop met only the Pi. The Pi merged what it cannot read, and handed it on.")
    laptop.up()
    _level(say, [laptop, desktop, pi])


def _settle(say: Say, laptop: Device, desktop: Device, pi: Device) -> None:
    bank = laptop.open().item(laptop.find("Bank"))
    say(
        f"\n6. Bank was changed in two fields: both are there (user name {bank.fields['username']!r}, and the notes)."
    )
    for device in (laptop, desktop):
        conflicts = device.open().conflicts()
        if [(c.label, c.field) for c in conflicts] != [("Streaming", "password")]:
            raise KinringError(
                f"{device.name} shows other conflicts than the one there is", code=ExitCode.FAILED
            )
    say("   Streaming's password was changed apart: both values are kept and shown on both laptops,")
    for side in laptop.open().conflicts()[0].candidates:
        say(f"     {side.value!r} by {side.author} on {side.device}")
    began = time.monotonic()
    laptop.change("Streaming", password="the-one-we-keep")
    item = desktop.find("Streaming")
    _wait(
        lambda: desktop.open().item(item).fields["password"] == "the-one-we-keep", "the change did not arrive"
    )
    say(
        f"   Anna writes the one to keep: {1000 * (time.monotonic() - began):.0f} ms later the desktop reads it,"
    )
    history = [version.value for version in desktop.open().history(item, "password")]
    say(f"   and all {len(history)} passwords it ever had are in its history.")
    if desktop.open().conflicts():
        raise KinringError("the conflict was not settled")
    _level(say, [laptop, desktop, pi])


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise KinringError(otherwise, "this is a fault of Kinring: please report it")
        time.sleep(0.003)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _keep(say: Say, devices: list[Device], password: str) -> None:
    say("\nEverything is left running until Ctrl-C:")
    for device in devices:
        if device.vaults:
            port = _free_port()
            device.pages.append(processes.start(device.folder, "page", "--http-port", str(port)))
            say(f"  {device.name:24} http://localhost:{port}")
        say(f"  {device.name:24} data in {device.folder}")
    say(f"  user name anna, master password {password}")
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    stopped.wait()
