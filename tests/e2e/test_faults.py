"""What goes wrong around a node: garbage, strangers, crowds, a second node, other people's ports."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import ssl
import stat
from pathlib import Path

import pytest

from discovery.rotating_id import sni_make
from node.control import SOCKET_FILE, Control, frame
from node.daemon import Node, NodeOptions
from node.errors import ExitCode, KinringError
from node.identity import throwaway_leaf
from replication.encoding import encode
from tests.e2e.family import (
    NAME,
    PASSWORD,
    Device,
    Home,
    command_lines,
    pair,
    runs,
    same,
    until,
)

Three = tuple[Device, Device, Device]
UPGRADE = b"GET / HTTP/1.1\r\nHost: kinring\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def discovery_key(device: Device) -> bytes:
    """What every device of the family has."""
    node = Node(device.folder, device.runtime, NodeOptions())
    node.refresh()
    node.replica.close()
    return node._discovery_keys[0]


def dial(
    to: Device, *, sni: str | None = None, pem: Path | None = None, newest: ssl.TLSVersion | None = None
) -> ssl.SSLSocket:
    """A connection by hand, as an attacker makes it, or a member whose discovery key is misused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if newest:
        context.maximum_version = newest
    if pem:
        context.load_cert_chain(pem)
    raw = socket.create_connection(("127.0.0.1", to.port), 60)
    try:
        return context.wrap_socket(raw, server_hostname=sni)
    except BaseException:
        raw.close()
        raise


def answer(connection: ssl.SSLSocket) -> bytes:
    """All that comes until the node closes."""
    got = b""
    with connection:
        try:
            while data := connection.recv(65536):
                got += data
        except OSError:
            pass
    return got


def sent(connection: ssl.SSLSocket) -> ssl.SSLSocket:
    """The request is under way, whether or not anybody will take it."""
    with contextlib.suppress(OSError):
        connection.sendall(UPGRADE)
    return connection


def upgraded(connection: ssl.SSLSocket) -> ssl.SSLSocket:
    sent(connection)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        assert data, "closed instead of an upgrade"
        head += data
    assert b" 101 " in head
    return connection


def as_member(to: Device, me: Device, key: bytes) -> ssl.SSLSocket:
    """Through the door as the device `me`."""
    return upgraded(dial(to, sni=sni_make(key, to.id, os.urandom(8)), pem=me.identity.pem))


def still_syncs(one: Device, other: Device) -> None:
    item = one.save(label="Still here", password="yes")
    until(lambda: other.reads(item, "password") == "yes", "the pair does not sync any more")


# One node for each folder and port


def test_a_second_node_on_one_data_folder_is_refused(laptop: Device):
    laptop.up()
    for command in ("node", "up"):
        told = laptop.run(command, "--listen", "127.0.0.1", "--mdns", "off", "--peer-port", "0")
        assert told.code == ExitCode.BUSY
        assert told.error["error"] == "a node already runs on this data folder"
    assert runs(laptop)
    laptop.kill()
    laptop.up()  # what a killed one left is no hindrance


def test_a_port_that_is_taken_is_named(laptop: Device):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = laptop.run("node", "--listen", "127.0.0.1", "--mdns", "off", "--peer-port", str(port))
        assert told.code == ExitCode.BUSY
        assert str(port) in told.error["error"]
        assert "--peer-port" in told.error["hint"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_node_and_up(home: Home, laptop: Device, how: signal.Signals):
    laptop.up()
    assert laptop.down(how) == 0
    assert not (laptop.runtime / SOCKET_FILE).exists()
    up = laptop.start("up", "--http-port", str(free_port()), "--listen", "127.0.0.1", "--mdns", "off",
                      "--peer-port", "0")  # fmt: skip
    until(lambda: runs(laptop), "no node came up")
    up.process.send_signal(how)
    assert up.end().code in (0, ExitCode.STOPPED)
    assert not command_lines(str(laptop.folder))


# Members that misbehave


def test_garbage_from_a_member_ends_that_connection_and_nothing_else(trio_of: Three):
    laptop, desktop, pi = trio_of
    key = discovery_key(pi)
    laptop.up()
    desktop.up()
    desktop.meets(laptop)
    until(lambda: laptop.connected(desktop), "no connection")
    held = laptop.replica.frontier()
    hello = encode([1, 1, laptop.replica.family or b"", []])
    noise = random.Random(7)
    for garbage in (
        noise.randbytes(64),
        (0xFFFFFFFF).to_bytes(4, "big") + b"x" * 100,
        (0).to_bytes(4, "big"),
        (1_114_113).to_bytes(4, "big"),
        len(hello).to_bytes(4, "big") + hello[:-1] + b"\0",
        *(len(data).to_bytes(4, "big") + data for data in (b"\xff", b"\x81" * 3000, noise.randbytes(500))),
    ):
        connection = as_member(laptop, pi, key)
        connection.sendall(garbage)
        answer(connection)  # until the node closes it
    for cut in (1, 3, 4, 5, 20):  # a stream that breaks off inside a frame
        with as_member(laptop, pi, key) as connection:
            connection.sendall((b"\0\0\0\x40" + noise.randbytes(64))[:cut])
    still_syncs(desktop, laptop)
    assert laptop.replica.holds(held[0])
    assert not laptop.replica.put_aside()


# Strangers


def test_a_stranger_sees_a_throw_away_leaf_and_a_closed_door(laptop: Device, home: Home):
    laptop.up()
    for sni in (None, "kinring", "a" * 26, sni_make(os.urandom(32), laptop.id, os.urandom(8))):
        with dial(laptop, sni=sni) as connection:
            assert connection.version() == "TLSv1.3"
            leaf = connection.getpeercert(True)
        assert leaf != laptop.identity.leaf
        assert laptop.id not in (leaf or b"")
    # No invitation is open: what answers the upgrade closes without a frame.
    assert answer(upgraded(dial(laptop))) == b""
    with throwaway_leaf(laptop.folder, os.urandom) as mine:  # A01: a certificate that nobody pinned
        key = discovery_key(laptop)
        got = answer(sent(dial(laptop, sni=sni_make(key, laptop.id, os.urandom(8)), pem=mine.pem)))
        assert got == b""  # TLS 1.3 lets it write; it was not taken
    assert laptop.ask("status")[1]["refused"]


def test_an_older_tls_or_none_at_all_is_refused(laptop: Device):
    """A04."""
    laptop.up()
    with pytest.raises(ssl.SSLError):
        dial(laptop, newest=ssl.TLSVersion.TLSv1_2)
    with socket.create_connection(("127.0.0.1", laptop.port), 60) as plain:
        plain.sendall(UPGRADE)
        said = b""
        try:
            while data := plain.recv(4096):
                said += data
        except OSError:
            pass
    assert b"101" not in said
    assert b"HTTP" not in said
    assert runs(laptop)


def test_an_impostor_at_a_known_address_gets_no_byte(trio_of: Three, tmp_path: Path):
    """A02: who answers where the desktop was, with a certificate of its own, is left after the handshake."""
    laptop, desktop, _ = trio_of
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tmp_path.joinpath("impostor").mkdir(mode=0o700)
    with throwaway_leaf(tmp_path / "impostor", os.urandom) as mine:
        context.load_cert_chain(mine.pem)
    heard = b""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        laptop.up()
        laptop.ask("typed", desktop.id, "127.0.0.1", listening.getsockname()[1])
        for _ in range(2):
            raw, _ = listening.accept()
            with raw:
                raw.settimeout(60)
                try:
                    with context.wrap_socket(raw, server_side=True) as caught:
                        heard += caught.recv(4096)
                except OSError:
                    continue
    assert heard == b""
    assert not laptop.connected(desktop)


def test_a_crowd_of_half_open_connections_keeps_no_paired_device_out(trio_of: Three):
    """A06, small: two hundred that say nothing, or begin a handshake and stop."""
    laptop, desktop, _ = trio_of
    laptop.up()
    desktop.up()
    crowd = [socket.create_connection(("127.0.0.1", laptop.port), 60) for _ in range(200)]
    try:
        for silent in crowd[::2]:
            try:
                silent.sendall(b"\x16\x03\x01\x02\x00\x01")
            except OSError:  # closed already, to make room
                continue
        desktop.meets(laptop)
        still_syncs(desktop, laptop)
        still_syncs(laptop, desktop)
    finally:
        for connection in crowd:
            connection.close()


# The control socket


def test_garbage_on_the_control_socket_ends_that_line_alone(laptop: Device):
    laptop.up()
    noise = random.Random(11)
    sends = [
        b"\xff\xff\xff\xff", b"\0\0\0\0", frame(["nonsense"]), frame(["typed", b"x"]), frame([1]),
        frame(["join", 1, 2, 3, 4]), frame(["invite"]) + frame(["nonsense"]),
        frame(["invite"]) + frame(["commit", b"c" * 35]) + frame(["reveal", b"too early"]),
        frame(["invite"]) + frame(["commit", b"not a message"]) + frame(["complete", b""]),
        frame(["subscribe"]) + b"\xff" * 8, *(noise.randbytes(40) for _ in range(20)),
    ]  # fmt: skip
    for garbage in sends:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(laptop.runtime / SOCKET_FILE))
            line.sendall(garbage)
            line.settimeout(0.05)  # some of it is no end, but half of a beginning
            try:
                while line.recv(4096):
                    pass
            except OSError:
                pass
    # Callers that go away in the middle: of a frame, of an invitation, of what they subscribed to.
    for half in (b"\0\0\0\x09\x81", frame(["invite"]), frame(["subscribe"]), frame(["status"]) * 50):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(laptop.runtime / SOCKET_FILE))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            line.sendall(half)
    for _ in range(3):
        laptop.ask("ping")
        with Control(laptop.runtime) as control:
            control.send("changed")  # goes to subscribers that are not there any more
    assert runs(laptop)
    assert laptop.node
    assert laptop.node.poll() is None
    with pytest.raises(KinringError, match="could not do that"):
        laptop.ask("nonsense")


# Modes and secrets


def test_no_umask_opens_a_file_or_folder(home: Home, laptop: Device):
    """A70 in part: everything that a family makes in a day, under umask 000."""
    before = os.umask(0)
    try:
        new = home.device("new")
        new.up(umask=0)
        laptop.up(umask=0)
        pair(laptop, new, "New")
        laptop.handle()
        open_files = [*laptop.folder.rglob("*"), *new.folder.rglob("*"), *laptop.runtime.parent.rglob("*")]
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in open_files}
    finally:
        os.umask(before)
    names = {path.name for path in modes}
    assert {"kinring.db", "kinring.db-wal", "device.key", "node.sock", "node.lock", "unlocked"} <= names
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


def test_secrets_are_in_no_log_no_command_line_no_temporary_file_and_not_at_the_blind_peer(
    home: Home, laptop: Device, run_folder: Path
):
    """A33, A75: canaries where secrets go, DEBUG everywhere, error paths too."""
    temporary = run_folder / "t"
    temporary.mkdir(mode=0o700)
    canary = "canary-4711-in-a-field"
    laptop.save(label=canary + "-label", password=canary, notes=canary, form_fields={"PIN": canary})
    code = laptop.open()._state().papers[laptop.unlocked().person]
    assert canary.encode() not in code.sealed_code
    desktop, pi = home.device("desktop"), home.device("pi")
    argv: list[str] = []
    debug = {"KINRING_LOG": "DEBUG", "TMPDIR": str(temporary)}
    for device in (laptop, desktop, pi):
        device.up()
    said = ""
    tries = [(desktop, [], "wrong-" + PASSWORD), (desktop, [], PASSWORD), (pi, ["--blind"], "")]
    for new, options, password in tries:
        inviting, text = laptop.invite()
        joining = new.join(text, *options, KINRING_MASTER_PASSWORD=password, **debug)
        digits = joining.hears("digits")
        argv += [words for _, words in command_lines(str(home.folder))]
        inviting.type(digits)
        for done in (joining.end(), inviting.end()):
            said += done.out.replace(text, "") + done.err
    wrong = laptop.run("get-vaults", "--debug", KINRING_MASTER_PASSWORD="wrong-" + PASSWORD, **debug)
    assert wrong.code == ExitCode.WRONG_PASSWORD
    said += wrong.out + wrong.err
    until(lambda: same(laptop, desktop, pi), "the copies differ")
    logs = "".join(device.log.read_text() for device in (laptop, desktop, pi))
    assert "DEBUG" in logs
    assert argv
    from node.keyholder import recovery_code

    secrets = [PASSWORD, canary, recovery_code(laptop.replica, laptop.unlocked())]
    secret_key = (laptop.folder / "secret-keys" / laptop.unlocked().person.hex()).read_text().split()[1]
    for secret in (*secrets, secret_key, laptop.unlocked().unlock_key.hex()):
        assert secret not in logs
        assert secret not in said
        assert not [words for words in argv if secret in words]
    assert list(temporary.rglob("*")) == []
    kept = [secret.encode() for secret in (*secrets, NAME)] + [
        bytes.fromhex(secret_key), laptop.unlocked().unlock_key
    ]  # fmt: skip
    for path in (p for p in pi.folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert not any(secret in content for secret in kept), path
    for path in (p for p in laptop.folder.rglob("*.db*") if p.is_file()):
        assert canary.encode() not in path.read_bytes()
