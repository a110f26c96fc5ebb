"""Real multicast, in network namespaces that each test makes: on `lo`, and over a pair of cables."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from discovery.mdns import MAX_PER_WINDOW

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs("netns")

PRELUDE = """
import json, os, queue, socket, subprocess, sys, threading, time
from discovery import rotating_id
from discovery.announcement import SERVICE_TYPE, announcement
from discovery.mdns import Mdns, local_addresses

KEY, ANNA, BEN, CARL = b"k" * 32, b"a" * 32, b"b" * 32, b"c" * 32
LO = lambda: ["127.0.0.1"]

def ours(device, addresses, port=4711, loopback=True):
    name = rotating_id.make(KEY, device, os.urandom(8))
    return announcement(name, port, addresses, os.urandom, loopback=loopback)

def listener(others, interfaces):
    heard = queue.Queue()
    recognise = lambda name: rotating_id.recognise(name, [KEY], others)
    return Mdns(recognise, lambda device, what: heard.put((device, what)), interfaces), heard

def until(heard, wanted, seconds=30):
    end = time.monotonic() + seconds
    while True:
        device, what = heard.get(timeout=max(0.01, end - time.monotonic()))
        if wanted(device, what):
            return what
"""


def in_namespace(script: str, *, before: str = "") -> str:
    """Runs the script where there is no other network than `lo`, which has multicast."""
    setup = "ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo && " + before
    command = ["unshare", "--net", "sh", "-c", setup + 'exec "$0" -c "$1"', sys.executable]
    done = subprocess.run(
        [*command, PRELUDE + textwrap.dedent(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_devices_find_one_another_and_follow_a_new_name():
    out = in_namespace("""
        anna, _ = listener([BEN], LO)
        ben, heard = listener([ANNA], LO)
        first = ours(ANNA, ["127.0.0.1"])
        anna.announce(first)
        ben.start()
        anna.start()
        seen = until(heard, lambda device, what: device == ANNA)
        assert (seen.instance, seen.port, seen.addresses) == (first.instance, 4711, ("127.0.0.1",)), seen
        second = ours(ANNA, ["127.0.0.1"], port=4712)
        anna.announce(second)
        assert until(heard, lambda device, what: what.instance == second.instance).port == 4712
        anna.announce()
        anna.stop(); ben.stop(); ben.stop()
        assert threading.active_count() == 1, threading.enumerate()
        print("found")
    """)
    assert out == "found\n"


def test_a_device_is_found_by_each_of_the_keys_in_use():
    out = in_namespace("""
        anna, _ = listener([BEN], LO)
        ben, heard = listener([ANNA], LO)
        names = [ours(ANNA, ["127.0.0.1"], port=port) for port in (4711, 4712)]
        anna.start()
        anna.announce(*names)
        ben.start()
        left = {one.instance for one in names}
        while left:
            left.discard(until(heard, lambda device, what: device == ANNA).instance)
        anna.stop(); ben.stop()
        print("both")
    """)
    assert out == "both\n"


def test_what_is_on_the_wire_names_nothing():
    out = in_namespace("""
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3))
        tap.bind(("lo", 0))
        tap.settimeout(30)
        host = socket.gethostname().encode()
        anna, _ = listener([BEN], LO)
        anna.start()
        sent = ours(ANNA, ["127.0.0.1"])
        anna.announce(sent)
        labels = set()
        while sent.instance.encode() not in b"".join(labels):
            packet = tap.recv(9000)[28:]
            labels.add(packet)
        anna.stop()
        wire = b"".join(labels)
        assert sent.host.split(".")[0].encode() in wire
        assert not host or len(host) < 4 or host not in wire
        assert ANNA not in wire and b"python" not in wire.lower()
        print("silent")
    """)
    assert out == "silent\n"


def test_a_flood_of_strangers_costs_nothing_that_stays():
    """A07: names with control characters and markup, foreign tags, one member's name repeated without end."""
    out = in_namespace("""
        from zeroconf import DNSOutgoing, DNSPointer, DNSService, DNSAddress, DNSText
        ben, heard = listener([ANNA, CARL], LO)
        asked = []
        inner = ben._recognise
        ben._recognise = lambda name: (asked.append(name), inner(name))[1]
        ben.start()
        real = ours(ANNA, ["127.0.0.1"])
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        def say(records):
            answer = DNSOutgoing(0x8400)
            for record in records:
                answer.add_answer_at_time(record, 0)
            for packet in answer.packets():
                out.sendto(packet, ("224.0.0.251", 5353))
        def pointer(name):
            return DNSPointer(SERVICE_TYPE, 12, 1, 120, name)
        for i in range(0, 3000, 10):
            strange = [rotating_id.make(os.urandom(32), ANNA, os.urandom(8)) for _ in range(8)]
            strange += [f"\\x1b[31m{i}", f"<script>{i}</script>"]
            say([pointer(f"{name}.{SERVICE_TYPE}") for name in strange])
        for i in range(1, 201):  # a replayed name of Anna's, at two hundred addresses
            say([pointer(real.name), DNSService(real.name, 33, 1, 120, 0, 0, 1000 + i, real.host),
                 DNSText(real.name, 16, 1, 120, b"\\0"),
                 DNSAddress(real.host, 1, 1 | 0x8000, 120, socket.inet_aton(f"10.0.0.{i}"))])
        for _ in range(50):  # pointers that point at themselves
            chain = b"\\xc0\\x0c" * 1500
            out.sendto(bytes.fromhex("000084000000000100000000") + chain, ("224.0.0.251", 5353))
        carl, _ = listener([], LO)
        carl.start()
        carl.announce(ours(CARL, ["127.0.0.1"]))
        count = [0]
        def right(device, what):
            count[0] += 1
            return device == CARL
        until(heard, right)
        carl.stop(); ben.stop()
        assert all(len(name) == 26 and name.isalnum() for name in asked)
        # Not getrusage: its maximum goes on from the process that this one was forked from.
        status = open("/proc/self/status").read()
        print(json.dumps([count[0], int(status.split("VmHWM:")[1].split()[0]) // 1024]))
    """)
    handed_on, mebibytes = map(int, out.strip("[]\n").split(","))
    assert handed_on <= MAX_PER_WINDOW + 1
    assert mebibytes < 256


ANNOUNCER = """
anna, _ = listener([BEN], local_addresses)
anna.announce(ours(ANNA, local_addresses(), loopback=False))
anna.start()
sys.stdin.readline()
anna.stop()
"""


def test_a_network_that_comes_later_is_joined_and_link_local_addresses_have_their_scope():
    script = """
        def ip(*words, inside=()):
            subprocess.run([*inside, "ip", *words], check=True)
        ip("addr", "flush", "dev", "lo")
        ben, heard = listener([ANNA], local_addresses)
        ben.start()  # no network at all yet
        assert not ben.refresh_interfaces()
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        there = ["nsenter", "--net", "--target", str(holder.pid)]
        ip("link", "add", "cable", "type", "veth", "peer", "name", "far", "netns", str(holder.pid))
        ip("addr", "add", "10.77.0.2/24", "dev", "far", inside=there)
        ip("link", "set", "far", "up", inside=there)
        ip("addr", "add", "10.77.0.1/24", "dev", "cable")
        ip("link", "set", "cable", "up")
        for show in (["ip", "-6", "addr", "show", "cable"], [*there, "ip", "-6", "addr", "show", "far"]):
            while b"fe80" not in (seen := subprocess.check_output(show)) or b"tentative" in seen:
                time.sleep(0.1)  # duplicate address detection of the link-local address
        assert ben.refresh_interfaces()
        assert not ben.refresh_interfaces()
        scope = f"%{socket.if_nametoindex('cable')}"
        anna = subprocess.Popen([*there, sys.executable, "-c", ANNOUNCER], stdin=subprocess.PIPE)
        seen = until(heard, lambda device, what: len(what.addresses) >= 2)
        anna.communicate(b"\\n")
        holder.communicate()
        ben.stop()
        assert [address for address in seen.addresses if ":" not in address] == ["10.77.0.2"], seen
        six = [address for address in seen.addresses if ":" in address]
        assert six and all(address.startswith("fe80::") and address.endswith(scope) for address in six), seen
        print("joined")
    """
    out = in_namespace(f"ANNOUNCER = {PRELUDE + ANNOUNCER!r}\n" + textwrap.dedent(script))
    assert out == "joined\n"
