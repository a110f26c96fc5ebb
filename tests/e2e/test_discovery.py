"""Devices that find one another by themselves, in network namespaces joined by a cable; and without mDNS."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.family import Device, now_ms, until

Three = tuple[Device, Device, Device]

TAP = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3))
tap.bind((sys.argv[1], 0))
print("listening", flush=True)
with open(sys.argv[2], "wb") as seen:
    while True:
        seen.write(tap.recv(65535) + b"\\n--\\n")
        seen.flush()
"""


@contextmanager
def cable() -> Iterator[tuple[list[str], list[str]]]:
    """Two network namespaces and a cable between them; how to run a command in each."""
    holders = []
    try:
        for _ in range(2):
            script = "ip link set lo up && echo up && exec sleep 600"
            holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
            holders.append(holder)
            assert holder.stdout
            assert holder.stdout.readline() == b"up\n"
        one, other = (["nsenter", "--target", str(holder.pid), "--net"] for holder in holders)
        plug = ["ip", "link", "add", "home", "type", "veth", "peer", "home", "netns", str(holders[1].pid)]
        subprocess.run([*one, *plug], check=True)
        for number, inside in enumerate((one, other), 1):
            address = ["ip", "address", "add", f"10.20.30.{number}/24", "dev", "home"]
            subprocess.run([*inside, *address], check=True)
            subprocess.run([*inside, "ip", "link", "set", "home", "up"], check=True)
        yield one, other
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
            if holder.stdout:
                holder.stdout.close()


@pytest.mark.needs("netns")
def test_devices_on_one_cable_find_one_another_and_the_wire_names_nobody(trio_of: Three, tmp_path: Path):
    """No address is typed. A short form of A12: all packets of it are searched."""
    laptop, desktop, _ = trio_of
    capture = tmp_path / "capture"
    with cable() as (here, there):
        words = [*here, sys.executable, "-c", TAP, "home", str(capture)]
        tap = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert tap.stdout
        try:
            assert tap.stdout.readline() == b"listening\n"
            laptop.inside, desktop.inside = here, there
            laptop.up(mdns="lan")
            desktop.up(mdns="lan")
            item = laptop.save(label="canary-label", username="canary-user", password="canary-password")
            until(lambda: desktop.reads(item, "password"), "they did not find one another")
            first = instances(capture)
            # Killed without a goodbye, and back on another port, under another name.
            laptop.kill()
            laptop.port = 0
            laptop.up(mdns="lan")
            back = desktop.save(label="canary-back", password="canary-password-2")
            until(lambda: laptop.reads(back, "password"), "the restarted one was not found again")
            second = instances(capture)
        finally:
            tap.kill()
            tap.wait()
            tap.stdout.close()
    wire = capture.read_bytes()
    assert len(first) >= 2
    assert len(second) > len(first), "the restarted node kept its name"
    names = [b"canary", b"Anna", b"anna", b"laptop", b"desktop", socket.gethostname().encode()]
    ids = [laptop.id, desktop.id, laptop.replica.family or b"", laptop.unlocked().person]
    for told in names + ids + [each.hex().encode() for each in ids] + [laptop.identity.leaf]:
        assert len(told) < 4 or told not in wire, told


def instances(capture: Path) -> set[bytes]:
    """The names of ours that were announced, as they stand in the packets (RFC 1035 §4.1.4: the rest of a
    name is often a pointer)."""
    return set(re.findall(rb"\x1a([a-z2-7]{26})(?:\xc0|\x08_kinring)", capture.read_bytes()))


def test_where_a_device_was_last_reached_is_enough_without_mdns(trio_of: Three):
    laptop, desktop, _ = trio_of
    laptop.up()
    desktop.up()
    desktop.meets(laptop)
    until(lambda: desktop.connected(laptop), "the typed address was not tried")
    desktop.kill()
    laptop.kill()
    item = laptop.save(label="Bank", password=str(now_ms()))
    laptop.up()
    desktop.up()  # nothing is typed this time
    until(lambda: desktop.reads(item, "password"), "the last address was forgotten")


def test_a_typed_address_where_nobody_is_yet_is_tried_again(trio_of: Three):
    laptop, desktop, _ = trio_of
    laptop.up()
    laptop.kill()  # its port is known now, and nobody listens there
    desktop.up()
    told = desktop.run("peers", "add", f"127.0.0.1:{laptop.port}")
    assert told.code == 0
    item = desktop.save(label="Bank", password="p")
    laptop.up()
    until(lambda: laptop.reads(item, "password"), "the typed address was given up")
    listed = desktop.run("peers").json
    assert {peer["device_id"]: peer["connected"] for peer in listed}[laptop.id.hex()]


def test_who_was_away_while_a_device_was_removed_is_called_by_the_older_key(trio_of: Three):
    laptop, desktop, third = trio_of
    laptop.up()
    gone = laptop.run("remove-device", "--device-id", third.id.hex(), "--yes", KINRING_HANDLE=laptop.handle())
    assert gone.code == 0, gone.err
    desktop.up()  # it knows the older discovery key alone, and not where the laptop is
    laptop.meets(desktop)
    item = laptop.save(label="Bank", password="new")
    until(lambda: desktop.reads(item, "password"), "the one who was away was not reached")
    until(lambda: third.id not in desktop.replica.state().devices, "it did not hear of the removal")
    desktop.kill()
    laptop.kill()
    desktop.up()
    laptop.up()
    back = desktop.save(label="Bank", password="once more")
    until(lambda: laptop.reads(back, "password"), "they lost one another")
