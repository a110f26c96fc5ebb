"""kill -9: whatever was acknowledged is there afterwards, nothing is there by half, and the rest goes on.

The moments are chosen (between two messages of a pairing) or drawn from a generator with a fixed seed; what
the machine makes of a drawn one differs from run to run, what must hold does not.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from node.errors import ExitCode
from node.samples import rows
from tests.e2e.family import PASSWORD, ROOT, Command, Device, Home, forget_addresses, same, until

Three = tuple[Device, Device, Device]

WRITER = """
import json, secrets, sys, time
from pathlib import Path
from node.control import tell_changed
from node.folders import runtime_folder
from node.keyholder import unlock_with_key
from node.opening import open_replica
from node.samples import rows
from node.vault import Vaults

task = json.loads(sys.stdin.readline())
folder = Path(task["folder"])
replica = open_replica(folder)
me = unlock_with_key(replica, bytes.fromhex(task["person"]), bytes.fromhex(task["key"]))
vaults = Vaults(replica, me, random_bytes=secrets.token_bytes, clock=lambda: int(time.time() * 1000))
vault = vaults.vaults()[1].vault_id
print("begins", flush=True)
if task["import"]:
    done = vaults.import_items(vault, rows(task["seed"], task["import"]), lambda n, _: print(n, flush=True))
else:
    while True:
        item = vaults.create_item(vault, {"label": secrets.token_hex(4), "password": "p", "notes": "n"})
        vaults.update_item(item, {"password": "q", "notes": "m"})
        print(item, flush=True)
        tell_changed(runtime_folder(folder))
"""


def writer(device: Device, *, imports: int = 0, seed: int = 0) -> subprocess.Popen[str]:
    """A process that saves and tells of each that was saved; it has begun when this returns."""
    assert device.person
    process = subprocess.Popen([sys.executable, "-c", WRITER], cwd=ROOT, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdin
    assert process.stdout
    task = {"folder": str(device.folder), "person": device.person.id.hex(),
            "key": device.person.unlock_key.hex(), "import": imports, "seed": seed}  # fmt: skip
    process.stdin.write(json.dumps(task) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "begins\n"
    return process


def killed(process: subprocess.Popen[str]) -> list[str]:
    """Kill it; the whole lines that it had said."""
    process.kill()
    assert process.stdin
    assert process.stdout
    said = process.stdout.read()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    return said.split("\n")[:-1]


def test_saves_that_were_acknowledged_outlive_any_kill(trio_of: Three):
    laptop, desktop, _ = trio_of
    moments = random.Random(1)
    saved: list[str] = []
    laptop.up()
    desktop.up()
    for round_ in range(12):
        process = writer(laptop)
        time.sleep(moments.uniform(0, 0.12))
        if round_ % 3 == 1:
            laptop.kill()  # the node, while another process writes
        saved += killed(process)
        if round_ % 3 == 2:
            desktop.kill()
            desktop.up()
        if laptop.node is None:
            laptop.up()
        laptop.meets(desktop)
        laptop.replica.store.check()
    until(lambda: same(laptop, desktop), "they do not agree after the kills")
    for item in saved:
        fields = desktop.open().item(item).fields
        assert (fields["password"], fields["notes"]) == ("q", "m")
    assert desktop.conflicts() == []
    for found in desktop.open().items().items:  # the last one of a round may be half edited, never half made
        assert {found.fields["password"], found.fields["notes"]} in ({"p", "n"}, {"q", "m"})
    assert saved


def test_an_import_that_was_killed_is_there_in_whole_batches_and_can_be_run_again(laptop: Device):
    moments = random.Random(2)
    made = 600
    for _ in range(6):
        before = laptop.open().items().total
        process = writer(laptop, imports=made, seed=5)
        time.sleep(moments.uniform(0, 0.25))
        told = [int(line) for line in killed(process) if line.isdigit()]
        laptop.replica.store.check()
        held = laptop.open().items().total
        assert held >= before
        assert held >= (told[-1] if told else 0)
        for item in laptop.open().items().items:
            assert item.fields["label"]
    count = laptop.open().import_items(laptop.vault(), rows(5, made))
    assert count.imported + count.duplicate == made
    assert laptop.open().items().total == made
    assert laptop.conflicts() == []


def test_a_first_copy_that_is_killed_again_and_again_arrives(home: Home, trio_of: Three):
    """Either side, at any moment of it: what arrived stays, and the next try goes on from there."""
    laptop, desktop, _ = trio_of
    moments = random.Random(3)
    laptop.open().import_items(laptop.vault(), rows(6, 3000))
    laptop.up()
    desktop.up()
    held = desktop.replica.last_id()
    for round_ in range(10):
        desktop.meets(laptop)
        time.sleep(moments.uniform(0, 0.12))
        victim = desktop if round_ % 2 else laptop
        victim.kill()
        now = desktop.replica.last_id()
        assert now >= held
        held = now
        desktop.replica.store.check()
        victim.up()
    desktop.meets(laptop)
    until(lambda: same(laptop, desktop), "the copy did not come")
    assert desktop.open().items().total == 3000


# Pairing: every step, every victim

VICTIMS = ("the node that shows", "the command that shows", "the node that scans", "the command that scans")


class Pairing:
    """One pairing by two commands, which can be stopped between its messages."""

    def __init__(self, host: Device, new: Device, passwords: Path) -> None:
        self.host, self.new = host, new
        passwords.unlink(missing_ok=True)
        os.mkfifo(passwords, 0o600)
        self._passwords = passwords
        self.inviting, self.text = host.invite()
        self.joining: Command | None = None
        self.digits = ""

    def scan(self) -> None:
        self.joining = self.new.join(self.text, "--password-file", str(self._passwords))
        self.digits = self.joining.hears("digits")

    def type_digits(self) -> None:
        assert self.joining
        self.inviting.type(self.digits)
        self.inviting.told("waiting for the master password")
        self.joining.told("Now the master password")

    def type_password(self) -> None:
        """The new device's command waits at a pipe for it, unless it has ended meanwhile."""

        def opened() -> int:
            try:
                return os.open(self._passwords, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads there yet, or any more
                assert self.joining
                return -1 if self.joining.process.poll() is not None else 0

        pipe = until(opened, "it never asked for the password")
        if pipe > 0:
            os.write(pipe, PASSWORD.encode())
            os.close(pipe)

    def kill(self, victim: str) -> None:
        if victim == VICTIMS[0]:
            self.host.kill()
        elif victim == VICTIMS[1]:
            self.inviting.kill()
        elif victim == VICTIMS[2]:
            self.new.kill()
        elif self.joining:
            self.joining.kill()

    def end(self) -> tuple[int, int]:
        """Bring up what was killed; the exit codes of both commands."""
        for device in (self.host, self.new):
            if device.node is None:
                device.up()
        assert self.joining
        return self.inviting.end().code, self.joining.end().code


def whole(host: Device, new: Device, passwords: Path) -> None:
    """A pairing that nobody disturbs; the new device can open all."""
    pairing = Pairing(host, new, passwords)
    pairing.scan()
    pairing.type_digits()
    pairing.type_password()
    assert pairing.joining
    joined = pairing.joining.end()
    assert (joined.code, pairing.inviting.end().code) == (0, 0), joined.err
    can_open(host, new)


def can_open(host: Device, new: Device) -> None:
    new.close()
    assert new.run("get-vaults", KINRING_MASTER_PASSWORD=PASSWORD).code == 0
    assert new.open().items().total == host.open().items().total == 1


@pytest.mark.parametrize("step", ["digits are shown", "the password is asked"])
def test_a_pairing_that_is_killed_before_the_password_leaves_nothing(
    home: Home, laptop: Device, tmp_path: Path, step: str
):
    laptop.save(label="Library", password="p")
    new = home.device("new", laptop.person)
    laptop.up()
    new.up()
    before = laptop.replica.frontier()
    for victim in VICTIMS:
        pairing = Pairing(laptop, new, tmp_path / "password")
        pairing.scan()
        if step == "the password is asked":
            pairing.type_digits()
        pairing.kill(victim)
        assert pairing.joining
        if step == "digits are shown" and pairing.inviting.process.poll() is None:
            pairing.inviting.type("")
        elif pairing.joining.process.poll() is None:
            pairing.type_password()
        invited, joined = pairing.end()
        assert invited != 0
        assert joined != 0
        assert laptop.replica.frontier() == before, victim
        assert new.replica.last_id() == 0, victim
    whole(laptop, new, tmp_path / "password")


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_pairing_that_is_killed_at_its_end_leaves_nothing_or_a_device_that_can_open(
    home: Home, laptop: Device, tmp_path: Path, victim: str
):
    """Somewhere between the password and the first copy. A second try then works, or says why not."""
    laptop.save(label="Library", password="p")
    laptop.up()
    moments = random.Random(victim)
    for number in range(2):
        new = home.device(f"new{number}", laptop.person)
        new.up()
        pairing = Pairing(laptop, new, tmp_path / "password")
        pairing.scan()
        pairing.type_digits()
        pairing.type_password()
        time.sleep(moments.uniform(0, 0.6))
        pairing.kill(victim)
        pairing.end()
        if new.replica.last_id():  # admitted, and its copy has begun: it goes on by itself
            new.meets(laptop)
            until(partial(same, laptop, new), "the copy did not go on")
            can_open(laptop, new)
            again = new.join(pairing.text).end()
            assert again.code == ExitCode.CONFLICT
        else:
            whole(laptop, new, tmp_path / "password")
        devices = laptop.replica.state().devices
        assert len([device for device in devices if device == new.id]) == 1
        new.down()
        new.close()


def test_who_was_admitted_and_never_heard_of_it_joins_again_and_nothing_is_done_twice(
    home: Home, laptop: Device, tmp_path: Path
):
    laptop.save(label="Library", password="p")
    new = home.device("new", laptop.person)
    laptop.up()
    new.up()
    whole(laptop, new, tmp_path / "password")
    new.down()
    keyholder = new.unlocked().keyholder
    with new.replica.store.write():  # as if no entry had come before it was killed
        for table in ("own_logs", "replaced", "ops", "statements", "entries", "logs", "signed_frontiers"):
            new.replica.store.run(f"DELETE FROM {table}")  # noqa: S608
    forget_addresses(new)
    new.close()
    told = new.run("get-vaults", KINRING_MASTER_PASSWORD=PASSWORD)
    assert told.code == ExitCode.NOT_FOUND  # not: wrong password
    new.up()
    state = laptop.replica.state()
    before = laptop.replica.frontier()
    whole(laptop, new, tmp_path / "password")
    assert laptop.replica.frontier() == before
    assert laptop.replica.state() == state
    assert new.unlocked().keyholder == keyholder


def test_a_device_that_was_never_admitted_may_join_another_family(
    home: Home, laptop: Device, tmp_path: Path
):
    from replication.replica import Replica

    laptop.save(label="Library", password="p")
    new = home.device("new", laptop.person)
    replica: Replica = new.replica
    replica.adopt(b"another family, never joined    ")
    replica.store.set_local("sign-in", b"ben", b"left behind")
    new.close()
    laptop.up()
    new.up()
    whole(laptop, new, tmp_path / "password")
    assert new.replica.family == laptop.replica.family
    assert set(new.replica.store.local("sign-in")) == {b"anna"}
