"""Attacks on real nodes over real TLS: a blind peer searched, devices that were removed, answers made to hurt."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import sys
from functools import partial
from pathlib import Path

import pytest

from discovery.rotating_id import sni_make
from node.control import tell_changed
from node.people import remove_device
from node.sealing import Opener, Place, Unopened
from node.vault import Vaults
from replication.membership import BLIND
from replication.replica import Replica
from tests.e2e.family import Device, Home, same, until
from tests.e2e.test_faults import Three, answer, as_member, dial, discovery_key, sent
from tests.kin import wires

CANARY = "canary-4711-of-the-bank"


def removed(by: Device, device: Device) -> None:
    """Anna removes one of her devices, and her node hears of it."""
    remove_device(by.replica, by.unlocked(), by.open(), device.id)
    tell_changed(by.runtime)


def stolen(home: Home, device: Device, name: str) -> Device:
    """A byte copy of all that the device has."""
    device.close()
    return home.device(name, device.person, like=device.folder)


def keys_tried(thief: Device, replica: Replica, after: int) -> int:
    """Every key that the thief ever had, under the name of every epoch, on every later write: how many were tried,
    none of which opens it."""
    opened = thief.open()
    vaults = replica.state().vaults
    keys = [held for vault in vaults for held in opened.epoch_keys(vault).values()]
    epochs = {name for vault in vaults.values() for name in vault.epochs}
    tried = 0
    for (entry,) in replica.store.rows("SELECT id FROM entries WHERE id > ? AND vault IS NOT NULL", (after,)):
        info = replica.info(entry)
        for held in keys:
            for epoch in epochs:
                place = Place(replica.family or b"", info.vault, epoch, info.suite, info.log, info.seq)
                with pytest.raises(Unopened, match="commitment"):
                    Opener(held, place, info.salt, info.commitment)
                tried += 1
    return tried


def memory(pid: int) -> bytes:
    """All that a process can write to. Linux shows it to the same user."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as image:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode, *_ = line.split()
            if mode.startswith("rw"):
                low, high = (int(part, 16) for part in span.split("-"))
                with contextlib.suppress(OSError):
                    image.seek(low)
                    found.append(image.read(high - low))
    return b"\0".join(found)


def test_a33_a_blind_peers_disk_and_memory_hold_no_secret_and_no_grant(trio_of: Three):
    laptop, _, pi = trio_of
    key = discovery_key(pi)
    laptop.up()
    pi.up()
    pi.meets(laptop)
    laptop.save(label=CANARY + "-label", username=CANARY, password=CANARY, notes=CANARY, form_fields={"PIN": CANARY})
    tell_changed(laptop.runtime)
    until(lambda: same(laptop, pi), "the Pi got no copy")
    me, opened = laptop.unlocked(), laptop.open()
    state = pi.replica.state()
    private = [bytes(me.signing_key), bytes(me.box), me.unlock_key, CANARY.encode()]
    for vault in state.vaults:
        for keys in opened.epoch_keys(vault).values():
            private += [keys.vault_key, keys.target_key]
    assert len(private) > 12
    for path in (path for path in pi.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not [secret for secret in private if secret in content], path
    if sys.platform == "linux":
        assert pi.node
        image = memory(pi.node.pid)
        assert key in image  # what it does hold is found
        assert not [secret for secret in private if secret in image]
    assert state.devices[pi.id].role == BLIND
    assert not [holder for holder in state.keyholders.values() if holder.device == pi.id]
    boxes = {key for vault in state.vaults.values() for epoch in vault.epochs.values() for key in epoch.sealed}
    assert boxes
    assert pi.id not in boxes


def test_a34_a_byte_copy_of_the_removed_device_opens_nothing_written_later(home: Home, trio_of: Three):
    laptop, desktop, _ = trio_of
    for device in (laptop, desktop):
        device.up()
    desktop.meets(laptop)
    item = laptop.save(label="Bank", password="known to both")
    tell_changed(laptop.runtime)
    until(lambda: desktop.reads(item, "password") == "known to both", "it did not come")
    thief = stolen(home, desktop, "thief")
    before = laptop.replica.last_id()
    removed(laptop, desktop)
    laptop.change(item, password=CANARY)
    for number in range(5):
        laptop.save(label=f"later {number}", password=CANARY)
    assert thief.replica.ingest(wires(laptop.replica)).refused is None  # whoever gave it to them
    assert keys_tried(thief, laptop.replica, before) > 50
    assert thief.reads(item, "password") == "known to both"
    assert CANARY not in str([thief.open().items(), thief.open().history(item)])


def test_a35_the_open_connection_of_a_removed_device_is_cut_and_it_gets_in_nowhere(trio_of: Three):
    laptop, desktop, pi = trio_of
    key = discovery_key(desktop)
    for device in trio_of:
        device.up()
    desktop.meets(laptop)
    pi.meets(laptop)
    until(lambda: laptop.connected(desktop) and laptop.connected(pi), "no connection")
    open_ = as_member(laptop, desktop, key)
    open_.settimeout(60)
    removed(laptop, desktop)
    with open_, contextlib.suppress(ConnectionError, ssl.SSLError):  # but no timeout: that would be a failure
        while open_.recv(65536):
            continue
    until(lambda: not any(p["connected"] for p in laptop.ask("status")[1]["peers"] if p["device"] == desktop.id),
          "still connected")  # fmt: skip
    until(lambda: same(laptop, pi), "the Pi did not hear of it")
    def shut(peer: Device) -> bool:
        """Whether the node lets it in no further than a stranger without an invitation."""
        try:
            name = sni_make(key, peer.id, secrets.token_bytes(8))
            return b" 101 " not in answer(sent(dial(peer, sni=name, pem=desktop.identity.pem)))
        except OSError:
            return True

    for peer in (laptop, pi):
        until(partial(shut, peer), "let in after its removal")
        for _ in range(3):
            assert shut(peer)
    laptop.save(label="Still here", password="yes")
    tell_changed(laptop.runtime)
    until(lambda: same(laptop, pi), "the others do not sync any more")


def test_a41_a_removed_device_and_the_blind_peer_put_together_what_they_have(home: Home, trio_of: Three):
    laptop, desktop, pi = trio_of
    for device in trio_of:
        device.up()
    desktop.meets(laptop)
    pi.meets(laptop)
    item = laptop.save(label="Bank", password="from before")
    tell_changed(laptop.runtime)
    until(lambda: same(laptop, desktop, pi), "the copies differ")
    thief = stolen(home, desktop, "thief")
    before = laptop.replica.last_id()
    removed(laptop, desktop)
    laptop.change(item, password=CANARY)
    later = laptop.save(label=CANARY, password=CANARY)
    tell_changed(laptop.runtime)
    until(lambda: same(laptop, pi), "the Pi did not get it")
    held = home.device("the pis disk", like=pi.folder)
    assert thief.replica.ingest(wires(held.replica)).refused is None
    assert same(thief, laptop)  # all of the ciphertext
    assert keys_tried(thief, laptop.replica, before) > 0
    assert thief.reads(item, "password") == "from before"
    assert thief.reads(later, "password") is None
    # And the other way: what the removed one writes comes in through the Pi, and counts nowhere.
    table = laptop.replica.table()
    me, old = thief.unlocked(), wires(held.replica)
    forger = Replica.open(":memory:", random_bytes=secrets.token_bytes)
    forger.adopt(held.replica.family or b"")
    forger.ingest(old[:before])
    forged = Vaults(forger, me, random_bytes=secrets.token_bytes, clock=lambda: 1)  # as if it had heard of nothing
    forged.update_item(item, {"password": "forged"})
    assert pi.replica.ingest(wires(forger)).stored == 1
    tell_changed(pi.runtime)
    until(lambda: laptop.replica.last_id() >= pi.replica.last_id(), "it was not forwarded")
    assert laptop.replica.table() == table
    assert [why for _, why in laptop.replica.put_aside()] == ["beyond the cut of a removal"]


BOMBS = {
    "switch, gzip": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n"
    b"Content-Encoding: gzip\r\n\r\n",
    **{
        f"answer, {coding}": b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding.encode() + b"\r\n"
        b"Content-Length: 999999999\r\n\r\n"
        for coding in ("gzip", "br", "zstd", "deflate")
    },
    "chunks, gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
}


def test_a52_an_answer_that_would_unpack_to_gigabytes_is_left_at_its_head(trio_of: Three):
    """From a member with a good certificate. It waits with its body: the node has closed by then."""
    laptop, desktop, _ = trio_of
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(desktop.identity.pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        laptop.up()
        for name, head in BOMBS.items():
            laptop.ask("typed", desktop.id, "127.0.0.1", listening.getsockname()[1])
            raw, _ = listening.accept()
            with raw:
                raw.settimeout(60)
                with context.wrap_socket(raw, server_side=True) as connection:
                    asked = b""
                    while not asked.endswith(b"\r\n\r\n"):
                        asked += connection.recv(4096)
                    assert b"accept-encoding" not in asked.lower()
                    connection.sendall(head)
                    rest = b""
                    with contextlib.suppress(OSError):
                        rest = connection.recv(4096)
                    assert rest == b"", name  # closed, without a byte of ours
            assert not laptop.connected(desktop)
    assert not laptop.replica.put_aside()

