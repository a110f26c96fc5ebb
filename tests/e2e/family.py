"""Devices as a person has them: a data folder, a runtime folder, and a real node process on loopback."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discovery.pairing import NewDevice
from node import handles
from node.control import Control, node_runs
from node.daemon import ADDRESS
from node.errors import KinringError
from node.family import NewPerson, found
from node.folders import make_private_folder, runtime_folder
from node.identity import DeviceIdentity, load_or_create
from node.joining import Host, Newcomer, follow_invitation, show_invitation
from node.keyholder import Unlocked, unlock_with_key
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.vault import Vaults
from replication.replica import Replica

ROOT = Path(__file__).parents[2]
PASSWORD = "seven-quiet-otters-row"
NAME = "anna"
PATIENCE_S = 60.0
"""Far beyond what anything takes: only a fault reaches it."""


def now_ms() -> int:
    return int(time.time() * 1000)


def until(done: Callable[[], Any], what: str) -> Any:
    """Ask again and again until the answer is true; the answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := done()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return answer


def command_lines(text: str) -> list[tuple[int, str]]:
    """The processes of this machine that have `text` on their command line: (pid, command line)."""
    listed = subprocess.run(["ps", "-axwwo", "pid=,command="], capture_output=True, text=True, check=True)
    rows = (line.split(None, 1) for line in listed.stdout.splitlines())
    return [(int(pid), words) for pid, words in rows if text in words and int(pid) != os.getpid()]


@dataclass
class Done:
    """What a command left: its exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of its output."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def error(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return told


class Command:
    """A command that is still running, with pipes at both ends."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            words, env=environment, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._said: list[str] = []
        self._told: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self._said), (self.process.stderr, self._told))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines += [line]  # one at a time: who waits sees each

    def hears(self, word: str) -> Any:
        """The value of `word` in a line of its JSON output, once it has come."""

        def found() -> Any:
            for line in list(self._said):
                value = json.loads(line)
                if word in value:
                    return value
            ended = self.process.poll() is not None and not any(r.is_alive() for r in self._readers)
            assert not ended, f"it ended before it said {word!r}: {self._told}"
            return None

        return until(found, f"it never said {word!r}")[word]

    def told(self, text: str) -> None:
        """Wait until it has said `text` on stderr."""
        until(lambda: text in "".join(self._told), f"it never told of {text!r}")

    def type(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> Done:
        """Wait for its end."""
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        assert self.process.stdin
        self.process.stdin.close()
        return Done(code, "".join(self._said), "".join(self._told))

    def kill(self) -> Done:
        """As the system does it: at once and without a word."""
        self.process.kill()
        return self.end()


@dataclass
class Person:
    """Anna, as her own devices know her. The unlock key spares the tests an Argon2 each."""

    id: bytes
    unlock_key: bytes = field(repr=False)


class Device:
    """One device. `open()` is its unlocked page, `run()` and `start()` are its command line."""

    def __init__(self, folder: Path, person: Person | None = None) -> None:
        make_private_folder(folder)
        self.folder = folder
        self.person = person
        self.runtime = runtime_folder(folder)
        self.log = folder.with_suffix(".log")
        self.node: subprocess.Popen[str] | None = None
        self.port = 0
        self.inside: list[str] = []
        """What a command begins with that runs in another network namespace."""
        self._commands: list[Command] = []
        self._replicas: list[Replica] = []
        self._vaults: Vaults | None = None

    @property
    def identity(self) -> DeviceIdentity:
        return load_or_create(self.folder, secrets.token_bytes)

    @property
    def id(self) -> bytes:
        return self.identity.id

    def words(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "node.cli", "--json", "--data-dir", str(self.folder)]
        return [*self.inside, *command, *arguments]

    # The node

    def up(self, *options: str, mdns: str = "off", umask: int = -1) -> None:
        """Start the node, on the port that it had before, and wait until it listens."""
        words = self.words("node", "--mdns", mdns, "--peer-port", str(self.port), *options)
        if mdns == "off":
            words += ["--listen", "127.0.0.1"]
        with self.log.open("a") as log:
            self.node = subprocess.Popen(
                words, cwd=ROOT, env={**os.environ, "KINRING_LOG": "DEBUG"}, umask=umask,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.node.stdout
        line = self.node.stdout.readline()
        assert line, f"the node did not start: {self.log.read_text()[-2000:]}"
        self.port = json.loads(line)["peer_port"]

    def down(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the node as a person does; its exit code."""
        assert self.node
        self.node.send_signal(how)
        return self._gone()

    def kill(self) -> None:
        """kill -9."""
        assert self.node
        self.node.kill()
        self._gone()

    def _gone(self) -> int:
        assert self.node
        assert self.node.stdout
        code = self.node.wait(PATIENCE_S)
        self.node.stdout.close()
        self.node = None
        return code

    def ask(self, *words: Any) -> list[Any]:
        with Control(self.runtime) as control:
            return control.ask(*words)

    def meets(self, other: Device) -> None:
        """A person types where the other device is."""
        self.ask("typed", other.id, "127.0.0.1", other.port)

    def connected(self, other: Device) -> bool:
        return any(p["connected"] for p in self.ask("status")[1]["peers"] if p["device"] == other.id)

    # The store, and the page

    @property
    def replica(self) -> Replica:
        if not self._replicas:
            self._replicas.append(open_replica(self.folder))
        return self._replicas[0]

    def open(self, *, clock: Callable[[], int] = now_ms) -> Vaults:
        """Anna unlocked here."""
        if self._vaults is None:
            self._vaults = Vaults(
                self.replica, self.unlocked(), random_bytes=secrets.token_bytes, clock=clock
            )
            self._vaults.grant_missing()
        return self._vaults

    def unlocked(self) -> Unlocked:
        assert self.person
        return unlock_with_key(self.replica, self.person.id, self.person.unlock_key)

    def vault(self) -> str:
        return self.open().vaults()[1].vault_id

    def save(self, **fields: Any) -> str:
        """A new account; its id."""
        return self.open().create_item(self.vault(), fields)

    def change(self, item: str, **fields: Any) -> None:
        self.open().update_item(item, fields)

    def reads(self, item: str, field_name: str) -> Any:
        """The field's value, None while it has not come."""
        try:
            return self.open().item(item).fields.get(field_name)
        except KinringError:
            return None

    def conflicts(self) -> list[tuple[str, set[str]]]:
        return [(c.field, {str(s.value) for s in c.candidates}) for c in self.open().conflicts()]

    def close(self) -> None:
        """Close the store, as the page does when it is locked."""
        self._vaults = None
        while self._replicas:
            self._replicas.pop().close()

    # The command line

    def start(self, *arguments: str, **environment: str) -> Command:
        command = Command(self.words(*arguments), {**os.environ, **environment})
        self._commands.append(command)
        return command

    def run(self, *arguments: str, **environment: str) -> Done:
        return self.start(*arguments, **environment).end()

    def handle(self) -> str:
        """What `kinring unlock` prints."""
        me = self.unlocked()
        return handles.create(self.runtime, person=me.person, keyholder=me.keyholder,
                              unlock_key=me.unlock_key, now=time.time())  # fmt: skip

    def invite(self) -> tuple[Command, str]:
        """`kinring invite` and the invitation that it shows."""
        command = self.start("invite", KINRING_HANDLE=self.handle())
        return command, command.hears("invitation")

    def join(self, text: str, *options: str, **environment: str) -> Command:
        """`kinring join`; a node that it starts for itself stays on loopback."""
        given = {"KINRING_MASTER_PASSWORD": PASSWORD, **environment}
        loopback = ("--mdns", "off", "--listen", "127.0.0.1", "--peer-port", "0")
        return self.start("join", text, *loopback, *options, **given)

    def leave_nothing_running(self) -> None:
        """Ends what this device still runs, also the node of a command that was killed."""
        self.close()
        if self.node:
            self.kill()
        for command in self._commands:
            if command.process.poll() is None:
                command.kill()
        for pid, _ in command_lines(str(self.folder)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until(lambda: not command_lines(str(self.folder)), "a killed process is still there")


class Home:
    """The devices of one test, in its own folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices: list[Device] = []

    def device(self, name: str, person: Person | None = None, *, like: Path | None = None) -> Device:
        """A new device, or (`like`) one that has a copy of that folder."""
        folder = self.folder / name
        if like:
            shutil.copytree(like, folder)
        device = Device(folder, person)
        self.devices.append(device)
        return device

    def leave_nothing_running(self) -> None:
        for device in self.devices:
            device.leave_nothing_running()


@contextmanager
def at_home(folder: Path, run: Path) -> Iterator[Home]:
    """Environment and end of a test's devices: keys in files, sockets in `run` (their paths are short)."""
    given = {"KINRING_KEYRING": "file", "XDG_RUNTIME_DIR": str(run), "PYTHONPATH": str(ROOT)}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    home = Home(folder)
    try:
        yield home
    finally:
        home.leave_nothing_running()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def found_family(device: Device) -> Person:
    """Anna founds her family on the device."""
    admitted = found(
        device.replica, device.identity, SecretKeys(device.folder), NewPerson(NAME, PASSWORD, "Anna"),
        device_name="Anna's laptop", random_bytes=secrets.token_bytes, now=now_ms(),
    )  # fmt: skip
    device.person = Person(admitted.unlocked.person, admitted.unlocked.unlock_key)
    return device.person


def pair(host: Device, new: Device, name: str, *, blind: bool = False) -> None:
    """Both nodes run; what the two commands do happens in two threads. The new device has its copy then."""
    told: dict[str, str] = {}
    shown, seen = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def on_invitation(text: str, _: int) -> None:
        told["text"] = text
        shown.set()

    def show_digits(six: str) -> None:
        told["digits"] = six
        seen.set()

    def ask_digits(device: NewDevice) -> str | None:
        assert seen.wait(PATIENCE_S)
        return told["digits"]

    def scan() -> None:
        try:
            assert shown.wait(PATIENCE_S)
            newcomer = Newcomer(open_replica(new.folder), new.identity, SecretKeys(new.folder), name, blind)
            with Control(new.runtime) as control:
                follow_invitation(control, newcomer, told["text"], show_digits=show_digits,
                                  ask_password=lambda *_: PASSWORD)  # fmt: skip
            newcomer.replica.close()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failures.append(error)

    me = host.unlocked()
    party = Host(host.replica, host.identity, me, host.open(), SecretKeys(host.folder).load(me.person))
    thread = threading.Thread(target=scan)
    thread.start()
    with Control(host.runtime) as control:
        show_invitation(control, party, on_invitation=on_invitation, ask_digits=ask_digits)
    thread.join(PATIENCE_S)
    if failures:
        raise failures[0]
    if not blind:
        new.person = host.person
    until(lambda: new.replica.frontier() == host.replica.frontier(), f"{name} got no copy")


def forget_addresses(device: Device) -> None:
    """Before a folder is copied: at the ports that it knows other tests' devices may listen."""
    with device.replica.store.write():
        device.replica.store.run("DELETE FROM local WHERE kind = ?", (ADDRESS,))


def runs(device: Device) -> bool:
    return node_runs(device.runtime)


def same(*devices: Device) -> bool:
    """Whether all copies are the same: entries, and the merged table of ciphertext, byte for byte."""
    first, *others = [(device.replica.frontier(), device.replica.table()) for device in devices]
    return all(other == first for other in others)
