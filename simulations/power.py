"""The power goes at any file operation under a real copy that saves, takes in, removes; or its disk fails or is full.

Each time the copy is opened again, and what it acknowledged must be there, nothing by half, and the file sound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Final

import apsw

from replication.membership import A_DEVICE
from replication.replica import Replica
from replication.store import StoreError
from simulations.disk import SectorDisk
from simulations.household import Attempt, Desk, Holder, Identity, Safe, found, seeded_boxes
from simulations.oracle import check_whole, demand
from simulations.remember import remembering
from simulations.run import Result
from simulations.store import Disk, Violation

CUTS: Final = 25
"""In one life of a copy."""
_DEEDS: Final = 10
"""At most so many until something goes wrong."""


class Life:
    """A copy on a disk that is cut off again and again, and a peer on a sound one whose entries it takes in."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = SectorDisk()
        self.promised: set[bytes] = set()
        self.identity, self.discovery = Identity.make(random.randbytes), random.randbytes(32)
        self.holder, peer = Holder.make(random.randbytes), Holder.make(random.randbytes)
        self.replica = self.disk.open(random.randbytes, b"")
        found(self.replica, self.identity, self.holder, self.discovery, Safe(), self.random.randbytes, 0)
        self.desk = self._desk(self.replica, self.holder)
        self.desk.admit(Identity.make(self.random.randbytes), peer, self.discovery, None)
        self.peer = Disk().open(self.random.randbytes, b"")
        self.peer.adopt(self.replica.family or b"")
        self.peer_desk = self._desk(self.peer, peer)
        self._carry(self.replica, self.peer)
        self.records = self._items(self.desk) + self._items(self.peer_desk)
        self._keep(0)

    def _desk(self, replica: Replica, holder: Holder) -> Desk:
        return Desk(replica, holder, self.random.randbytes, lambda: 0, _forget)

    def _vault(self) -> bytes:
        return min(self.desk.writable())

    def _items(self, desk: Desk) -> list[bytes]:
        fields = [{"label": "kanarienvogel", "password": "x" * self.random.choice((4, 300))} for _ in range(3)]
        return desk.create(self._vault(), fields)[1]

    def _carry(self, source: Replica, to: Replica) -> None:
        held = {digest for (digest,) in to.store.rows("SELECT hash FROM entries")}
        rows = source.store.rows("SELECT id, hash FROM entries ORDER BY id")
        to.ingest([source.wire(entry) for entry, digest in rows if digest not in held])

    def _keep(self, before: int) -> None:
        """What has been acknowledged."""
        rows = self.replica.store.rows("SELECT hash FROM entries WHERE id > ?", (before,))
        self.promised |= {digest for (digest,) in rows}

    # What it does

    def _save(self) -> None:
        self._items(self.desk)

    def _change(self) -> None:
        self.desk.change(self._vault(), self.random.choice(self.records), {"password": self.random.randbytes(8).hex()})

    def _take_in(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            record = self.random.choice(self.records)
            self.peer_desk.change(self._vault(), record, {"notes": self.random.randbytes(8).hex()})
        self._carry(self.peer, self.replica)

    def _send(self) -> None:
        self._carry(self.replica, self.peer)

    def _come_and_go(self) -> None:
        device = Identity.make(self.random.randbytes)
        self.desk.admit(device, Holder.make(self.random.randbytes), self.discovery, None)
        self.desk.remove(A_DEVICE, device.id)

    def _sign(self) -> None:
        self.replica.sign_frontier(self.identity.id, self.identity.signs, 0)

    def _close(self) -> None:
        try:
            self.replica.close()
        except apsw.Error:
            raise StoreError("io", "while closing") from None
        self._open()

    def _deed(self) -> None:
        deeds: tuple[Callable[[], None], ...] = (
            self._save, self._change, self._change, self._take_in, self._take_in, self._send, self._sign, self._close,
            self._come_and_go,
        )  # fmt: skip
        before = self.replica.last_id()
        self.random.choices(deeds, (4, 4, 4, 4, 4, 2, 2, 1, 1))[0]()
        self._keep(before)

    # What goes wrong

    def go_on_until_it_ends(self) -> None:
        disk, kind = self.disk, self.random.random()
        if kind < 0.75:
            disk.cut_at = disk.operations + self.random.randrange(1, 60)
        elif kind < 0.95:
            disk.failing = (self.random.choice(("read", "write", "sync", "sync")), self.random.randrange(20))
        else:
            disk.free = self.random.randrange(40_000)
        syncs = disk.failing is not None and disk.failing[0] == "sync"
        try:
            for _ in range(_DEEDS):
                self._deed()
        except StoreError as error:
            disk.die()
            disk.let_go()  # at once: a connection that could not be opened is closed when the error is forgotten
            demand("alive", error.kind in ("io", "full"), f"a disk that failed counts as: {error}")
            if syncs:
                self._demand_silence()
        else:
            disk.die()
            disk.let_go()
        self.replica.close()
        disk.revive(self.random, power_cut=self.random.random() < 0.85)
        self._open()
        self.check()

    def _demand_silence(self) -> None:
        """After a failed sync what the system says of the disk is worth nothing: no write until it is opened again."""
        try:
            self._save()
        except (StoreError, apsw.ConnectionClosedError):
            return
        raise Violation("durable", "it goes on writing after the disk failed")

    def _open(self) -> None:
        self.replica = self.disk.open(self.random.randbytes, b"")
        self.desk = self._desk(self.replica, self.holder)

    def check(self) -> None:
        store = self.replica.store
        held = {digest for (digest,) in store.rows("SELECT hash FROM entries")}
        demand("durable", self.promised <= held, f"{len(self.promised - held)} acknowledged entries are gone")
        check_whole(store, "it")
        demand("atomic", store.row("PRAGMA integrity_check")[0] == "ok", "the file is damaged")
        self.promised = held

    def rebuild(self) -> None:
        """Taken in anew on a sound disk, its entries give the same."""
        copy = Disk().open(self.random.randbytes, b"")
        copy.adopt(self.replica.family or b"")
        self._carry(self.replica, copy)
        for what in ("frontier", "table", "state", "put_aside"):
            demand("agree", getattr(copy, what)() == getattr(self.replica, what)(), f"{what} is not what entries say")
        copy.close()

    def close(self) -> None:
        self.replica.close()
        self.peer.close()
        self.disk.discard()


def _forget(_: bytes, __: Attempt) -> None:
    """Nothing is compared with what was meant here."""


def life(seed: int, cuts: int = CUTS) -> Result:
    """So many power cuts, failures and full disks. `crashes` of the result are those survived."""
    began = time.process_time()
    checker = detail = ""
    survived = 0
    random = Random(f"{seed} power")
    with ExitStack() as stack:
        stack.enter_context(seeded_boxes(random.randbytes))
        stack.enter_context(remembering())
        life = Life(random)
        stack.callback(life.close)
        try:
            for survived in range(1, cuts + 1):  # noqa: B007  told below
                life.go_on_until_it_ends()
            life.rebuild()
        except Violation as wrong:
            checker, detail = wrong.checker, f"{wrong.detail}, at cut {survived}"
        except Exception as error:  # noqa: BLE001  whatever the product raises is a finding
            checker, detail = "alive", f"{type(error).__name__}: {error}, at cut {survived}"
    return Result(seed, "", life.disk.operations, len(life.promised), 1, survived, 0,
                  time.process_time() - began, checker, detail)  # fmt: skip
