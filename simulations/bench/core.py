"""The core alone: taking in entries beside the floor of the same run, and merging a great many fields."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import apsw
from cbor2 import loads
from nacl.signing import SigningKey, VerifyKey

from node.opening import open_replica
from replication.entry import Op, make_dot
from replication.replica import Draft, Replica
from simulations.bench.family import Device, clock, make_founder, stage
from simulations.bench.report import Figure, Report, profiled, timed

ENTRIES: Final = 10_000
FIELDS: Final = 100_000
BATCH: Final = 1000
SEALED: Final = 272
"""Bytes of a sealed value: an op is then about as long as the 358 bytes that the floor takes."""

Dots = list[bytes]


def core(report: Report, runs: int) -> None:
    """Entries of one op each, entries of 256 and a merge of 100,000 live fields."""
    with stage() as make, TemporaryDirectory() as folder:
        device = make("laptop")
        vault = bytes.fromhex(make_founder(device, []))
        known = _wires(device.replica, 0)
        _write(device, vault, ENTRIES, 1)
        single = _wires(device.replica, len(known))
        _write(device, vault, FIELDS, 256)
        bulk = _wires(device.replica, len(known) + len(single))
        stores = (Path(folder) / str(number) for number in range(4 * runs))
        checked = [_floor(next(stores), verify=True) for _ in range(runs)]
        bare = [_floor(next(stores), verify=False) for _ in range(runs)]
        ones = [_take(device, next(stores), [known, single]) for _ in range(runs)]
        many = [_take(device, next(stores), [known, single, bulk]) for _ in range(runs)]
    report.add(Figure("floor: read, verify, store a row, for each op", "1/s", [ENTRIES / t for t in checked]))
    report.add(Figure("floor: read and store a row, for each op", "1/s", [ENTRIES / t for t in bare]))
    rate, floor = ENTRIES / min(ones), ENTRIES / min(checked)
    report.add(_share("entries of one op: read, verified, stored", [ENTRIES / t for t in ones], rate / floor))
    rate, floor = FIELDS / min(many), ENTRIES / min(bare)
    report.add(_share("ops in entries of 256: read, verified, stored", [FIELDS / t for t in many], rate / floor))
    _merge(report, runs)


def _share(name: str, values: list[float], share: float) -> Figure:
    met = "met" if share >= 0.6 else "MISSED"
    return Figure(name, "1/s", values, floor=f"{share:.0%} of its floor, goal 60 %: {met}")


def _merge(report: Report, runs: int) -> None:
    """One side wrote all fields anew, the other takes that in: every field's live dot is replaced."""
    with stage() as make, TemporaryDirectory() as folder:
        device = make("laptop")
        vault = bytes.fromhex(make_founder(device, []))
        dots = _write(device, vault, FIELDS, 1000)
        first = _wires(device.replica, 0)
        _write(device, vault, FIELDS, 1000, dots)
        second = _wires(device.replica, len(first))
        stores = [Path(folder) / str(number) for number in range(runs + 1)]
        times = [_take(device, store, [first, second]) for store in stores[:-1]]
        profile = profiled(lambda: _take(device, stores[-1], [first, second]))
    report.add(Figure(f"merge of {FIELDS:,} live fields, each written over", "s", times, 1.0, profile=profile))


def _write(device: Device, vault: bytes, count: int, per_entry: int, named: Dots | None = None) -> Dots:
    """`count` fields of random bytes, `per_entry` to an entry, over `named`; their dots."""
    assert device.unlocked is not None
    replica, me, dots = device.replica, device.unlocked, []
    epoch = replica.state().vaults[vault].newest_epoch() or b""
    with replica.transaction():
        for start in range(0, count, per_entry):
            numbers = range(start, min(count, start + per_entry))
            ops = tuple(
                Op(number.to_bytes(16, "big"), (named[number],) if named else (), secrets.token_bytes(SEALED))
                for number in numbers
            )
            draft = Draft(ops, (), vault, epoch, 1, secrets.token_bytes(32), secrets.token_bytes(32))
            entry = replica.append(me.keyholder, me.sign, lambda _, draft=draft: draft, clock())  # type: ignore[misc]
            dots += [make_dot(entry.hash, index) for index in range(len(numbers))]
    return dots


def _wires(replica: Replica, after: int) -> list[bytes]:
    """All entries from the place `after` on, in their order of arrival."""
    return [replica.wire(entry) for (entry,) in replica.store.rows("SELECT id FROM entries ORDER BY id")][after:]


def _take(device: Device, folder: Path, lots: Sequence[Sequence[bytes]]) -> float:
    """Seconds that a new copy takes for the last of `lots`, in batches as they travel."""
    folder.mkdir(mode=0o700)
    replica = open_replica(folder)
    replica.adopt(device.replica.family or b"")
    for lot in lots[:-1]:
        _ingest(replica, lot)
    seconds = timed(lambda: _ingest(replica, lots[-1]))
    replica.close()
    return seconds


def _ingest(replica: Replica, wires: Sequence[bytes]) -> None:
    for batch in _batches(wires):
        result = replica.ingest(batch)
        assert result.refused is None


def _batches(wires: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for wire in wires:
        if batch and size + len(wire) > 256 * 1024:
            yield batch
            batch, size = [], 0
        batch.append(wire)
        size += len(wire)
    yield batch


def _floor(path: Path, *, verify: bool) -> float:
    """Seconds to read, verify and store as many rows, a thousand to a transaction: what nothing can be under on one
    core (the floor of the platform's facts)."""
    key = SigningKey.generate()
    rows = [key.sign(b"\x58\xf2" + secrets.token_bytes(242)) for _ in range(ENTRIES)]
    public: VerifyKey = key.verify_key
    db = apsw.Connection(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, body BLOB NOT NULL)")

    def act() -> None:
        for start in range(0, ENTRIES, BATCH):
            with db:
                for row in rows[start : start + BATCH]:
                    if verify:
                        public.verify(row)
                    loads(row.message)
                    db.execute("INSERT INTO rows (hash, body) VALUES (?, ?)", (row.signature[:32], row.message))

    seconds = timed(act)
    db.close()
    return seconds
