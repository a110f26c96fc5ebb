"""What is measured, each on real stores, real processes and real TLS over loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from node import processes, samples
from node.control import Control, tell_changed
from node.handles import create as create_handle
from node.imports.documents_csv import Row, read
from node.keyholder import unlock
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.unlock import ARGON2ID, stretch
from node.vault import Vaults
from simulations.bench.core import core
from simulations.bench.family import PASSWORD, Device, clock, make_founder, pair, stage, wait
from simulations.bench.report import Figure, Report, profiled, timed

SEED: Final = 2026
MANY: Final = 10_000
SIX_FIELDS: Final = ("label", "username", "password", "email", "website_url", "notes")


def floors(report: Report) -> dict[str, float]:
    """What nothing built on them can be faster than, in seconds."""
    found = {
        "argon2": min(timed(lambda: stretch("floor", ARGON2ID, bytes(16))) for _ in range(5)),
        "fsync": _fsync_floor(),
        "python": min(timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(9)),
    }
    found["tls"] = _tls_floor()
    names = {
        "argon2": "floor: Argon2id 64 MiB t=3 p=1",
        "fsync": "floor: append and fsync",
        "python": "floor: a bare Python process",
        "tls": "floor: 64 bytes there and back over open TLS",
    }
    for key, name in names.items():
        report.add(Figure(name, "ms", [1000 * found[key]]))
    return found


def _fsync_floor() -> float:
    with tempfile.TemporaryFile() as file:

        def once() -> None:
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())

        return sorted(timed(once) for _ in range(51))[25]


def _tls_floor() -> float:
    """Two ends in memory: encryption alone, no scheduler and no socket."""
    from node.identity import throwaway_leaf

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        with throwaway_leaf(Path(folder), secrets.token_bytes) as leaf:
            server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server_context.load_cert_chain(leaf.pem)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    wires = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(wires[0], wires[1])
    server = server_context.wrap_bio(wires[2], wires[3], server_side=True)

    def carry() -> None:
        wires[2].write(wires[1].read())
        wires[0].write(wires[3].read())

    for _ in range(4):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            carry()

    def once() -> None:
        client.write(b"x" * 64)
        carry()
        server.write(server.read(64))
        carry()
        client.read(64)

    return sorted(timed(once) for _ in range(201))[100]


def save_to_readable(report: Report, floor: dict[str, float], records: int, runs: int) -> None:
    """A saves a password; B, whose page listens to its node, has read it."""
    with stage() as make:
        a, b = make("a"), make("b")
        make_founder(a, samples.rows(SEED, records))
        a.up()
        b.up()
        pair(a, b)
        wait(lambda: b.replica.last_id() >= a.replica.last_id())
        here, there = a.vaults(), b.vaults()
        item = here.items(limit=1).items[0].item_id
        there.items(limit=1)
        with Control(b.runtime) as control:
            control.ask("subscribe")
            values = [f"password-{run}" for run in range(runs + 5)]
            taken = [timed(partial(_save_and_read, a, here, there, item, control, value)) for value in values]
        report.add(
            Figure(
                f"save on A to readable on B, {records:,} records",
                "ms",
                [1000 * t for t in taken[5:]],
                10,
                f"fsync here and there + TLS: {1000 * (2 * floor['fsync'] + floor['tls']):.2f} ms",
            )
        )


def _save_and_read(a: Device, here: Vaults, there: Vaults, item: str, control: Control, value: str) -> None:
    here.update_item(item, {"password": value})
    tell_changed(a.runtime)
    while there.item(item).fields.get("password") != value:
        control.receive(10)


def bytes_for_one_password(report: Report, records: int, runs: int) -> None:
    """Counted on the loopback interface of a network namespace of this run's own."""
    if not _alone_on_loopback():
        report.leave_out("bytes on the wire", "needs a network namespace (root on Linux)")
        return
    with stage() as make:
        a, b = make("a"), make("b")
        make_founder(a, samples.rows(SEED, records))
        a.up()
        b.up()
        pair(a, b)
        wait(lambda: b.replica.last_id() >= a.replica.last_id())
        here, there = a.vaults(), b.vaults()
        item = here.items(limit=1).items[0].item_id
        _settle()
        counted = []
        for run in range(runs):
            before = _loopback_bytes()
            here.update_item(item, {"password": f"another-password-{run}"})
            tell_changed(a.runtime)
            wait(partial(_reads, there, item, f"another-password-{run}"))
            time.sleep(0.2)  # the acknowledgements are part of it
            counted.append(float(_loopback_bytes() - before))
        report.add(
            Figure(
                f"bytes on the wire for one password, {records:,} records",
                "B",
                counted,
                800,
                note="frames, TLS, TCP, IP and 14 bytes of Ethernet a packet, both ways; a signed frontier "
                "follows at most once a minute and is not in the median",
            )
        )
        if records >= MANY:
            _idle(report)


def _reads(vaults: Vaults, item: str, password: str) -> bool:
    return vaults.item(item).fields.get("password") == password


def _idle(report: Report) -> None:
    """Two minutes in which nobody does anything."""
    _settle(65)
    before = _loopback_bytes()
    time.sleep(120)
    report.add(Figure("idle traffic with one peer", "B/min", [(_loopback_bytes() - before) / 2], 350))


def _settle(seconds: float = 4) -> None:
    """Until what follows a change, a signed frontier, has gone out."""
    time.sleep(seconds)


def _alone_on_loopback() -> bool:
    names = {line.split(":")[0].strip() for line in _net_dev()}
    return names == {"lo"}


def _net_dev() -> list[str]:
    try:
        return Path("/proc/net/dev").read_text("ascii").splitlines()[2:]
    except OSError:
        return []


def _loopback_bytes() -> int:
    return next(int(line.split(":")[1].split()[0]) for line in _net_dev() if line.strip().startswith("lo:"))


def bulk(report: Report, floor: dict[str, float], runs: int) -> None:
    """Import, unlock and list, disk: on one device with many records."""
    rows = samples.rows(SEED, MANY)
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
        samples.write_csv(rows, file)
        file.seek(0)
        data = file.read().encode()
    imports, disks, unlocks, lists = [], [], [], []
    for run in range(runs):
        with stage() as make:
            device = make(f"laptop{run}")
            vault = make_founder(device, [])

            def take(device: Device = device, vault: str = vault) -> None:
                parsed = [row.fields for row in read(data) if isinstance(row, Row)]
                device.vaults().import_items(vault, parsed)

            imports.append(timed(take))
            unlocks.append(_unlock_and_list(device))
            lists.append(_list_alone(device))
            profile = profiled(device.vaults().items)
            disks.append(_disk_per_record(make(f"disk{run}")))
    report.add(Figure(f"import of {MANY:,} rows of CSV", "s", imports, 2.0, f"{len(data) / 1e6:.1f} MB of CSV"))
    report.add(
        Figure(
            f"unlock and list of {MANY:,}",
            "s",
            unlocks,
            floor["argon2"] + 0.4,
            f"Argon2 {floor['argon2']:.2f} s",
            profile=profile,
        )
    )
    report.add(Figure(f"  of that, open and list {MANY:,}", "s", lists))
    report.add(Figure("disk for a record of six filled fields", "B", disks, 700))


def _unlock_and_list(device: Device) -> float:
    def act() -> None:
        replica = open_replica(device.folder)
        me = unlock(replica, SecretKeys(device.folder), username="anna", password=PASSWORD)
        Vaults(replica, me, random_bytes=secrets.token_bytes, clock=clock).items()
        replica.close()

    return timed(act)


def _list_alone(device: Device) -> float:
    return timed(lambda: device.vaults().items())


def _disk_per_record(device: Device) -> float:
    rows = []
    for number, row in enumerate(samples.rows(SEED, MANY)):
        filled = {name: str(row.get(name) or f"{name} of number {number}") for name in SIX_FIELDS}
        rows.append({**filled, "notes": filled["notes"][:60]})
    vault = make_founder(device, [])
    empty = _store_size(device)
    device.vaults().import_items(vault, rows)
    return (_store_size(device) - empty) / MANY


def _store_size(device: Device) -> int:
    device.replica.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(path.stat().st_size for path in device.folder.glob("kinring.db*"))


def first_copy(report: Report, runs: int) -> None:
    """Two paired devices; the second has its store taken away but for what it needs to begin again."""
    times, sizes = [], []
    rows = samples.rows(SEED, MANY)
    for run in range(runs):
        with stage() as make:
            a, b = make(f"a{run}"), make(f"b{run}")
            make_founder(a, rows)
            a.up()
            b.up()
            before = _loopback_bytes() if _alone_on_loopback() else 0
            pair(a, b)
            paired = time.perf_counter()
            wait(partial(_has_all, b, a))
            times.append(time.perf_counter() - paired)
            if before:
                sizes.append((_loopback_bytes() - before) / 1e6)
            if run == 0:
                _memory(report, a, b)
    report.add(Figure(f"first copy of {MANY:,} to an empty device", "s", times, 1.5))
    if sizes:
        report.add(Figure("  its bytes on the wire, the pairing included", "MB", sizes, 8))


def _has_all(device: Device, other: Device) -> bool:
    return device.replica.last_id() >= other.replica.last_id()


def _memory(report: Report, a: Device, b: Device) -> None:
    nodes = [float(_rss(d.node.pid)) for d in (a, b) if d.node]
    report.add(Figure(f"memory of a node, {MANY:,} records", "MB", nodes, 100))
    report.add(Figure(f"memory of the page, {MANY:,} records unlocked", "MB", [_page_memory(a)], 100))


def _page_memory(device: Device) -> float:
    """Of the process that serves, after a person has signed in and seen the list."""
    words = [sys.executable, "-m", "webui.start", "--data-dir", str(device.folder), "--http-port", "0"]
    keeper = processes.spawn(words, quiet=True)
    told = device.runtime / "page.json"
    try:
        wait(told.exists)
        page = json.loads(told.read_text("utf-8"))
        site = f"http://localhost:{page['port']}"
        with httpx.Client(base_url=site, headers={"Origin": site, "Sec-Fetch-Site": "same-origin"}) as browser:
            signed_in = browser.post("/unlock", data={"username": "anna", "password": PASSWORD})
            token = signed_in.headers["X-Kinring-Token"]
            browser.get("/", headers={"X-Kinring-Token": token}, timeout=30).raise_for_status()
        children = Path(f"/proc/{page['pid']}/task/{page['pid']}/children").read_text("ascii").split()
        return _rss(int(children[0]))
    finally:
        processes.stop(keeper)


def _rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def command_line(report: Report, floor: dict[str, float], runs: int) -> None:
    """`get-account` with an unlock handle, as a whole process, among many records."""
    with stage() as make:
        device = make("laptop")
        make_founder(device, samples.rows(SEED, MANY))
        item = device.vaults().items(limit=1).items[0].item_id
        assert device.unlocked is not None
        me = device.unlocked
        token = create_handle(
            device.runtime,
            person=me.person,
            keyholder=me.keyholder,
            unlock_key=me.unlock_key,
            now=time.time(),
        )
        # An installed program's bytecode lies on the disk: the first call below writes it.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(device.folder.parent / "bytecode")}
        environment = {**os.environ, **compiled, "KINRING_HANDLE": token}
        words = processes.kinring(device.folder, "--json", "get-account", "--account-id", item)

        def once() -> None:
            subprocess.run(words, env=environment, check=True, capture_output=True)

        once()
        report.add(
            Figure(
                "get-account with a handle, whole process",
                "ms",
                [1000 * timed(once) for _ in range(runs)],
                150,
                f"bare Python {1000 * floor['python']:.0f} ms",
            )
        )


Measure = Callable[[Report, dict[str, float], bool], None]

MEASURES: Final[dict[str, Measure]] = {
    "core": lambda report, _, quick: core(report, 1 if quick else 5),
    "cli": lambda report, floor, quick: command_line(report, floor, 5 if quick else 21),
    "bulk": lambda report, floor, quick: bulk(report, floor, 1 if quick else 5),
    "copy": lambda report, _, quick: first_copy(report, 1 if quick else 5),
    "save": lambda report, floor, quick: _each(
        (100, MANY), lambda n: save_to_readable(report, floor, n, 20 if quick else 200)
    ),
    "bytes": lambda report, _, quick: _each(
        (100,) if quick else (100, MANY), lambda n: bytes_for_one_password(report, n, 5 if quick else 11)
    ),
}


def _each(numbers: Sequence[int], act: Callable[[int], Any]) -> None:
    for number in numbers:
        act(number)
