"""The history of one made-up family, entry by entry: each statement in force once, and what is refused after it.

tests/make_vectors.py writes it to tests/vectors/history.json. Whoever takes in these entries, in this order or any
other that respects their past, has the table, the frontier and the reasons that stand there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from replication.encoding import encode
from replication.entry import Entry, from_wire, log_id, sign_entry, tagged_hash, to_wire
from replication.log import Row, sign_frontier
from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    DISCOVERY,
    EPOCH,
    FORGET,
    GRANT,
    PAPER,
    PROPOSE,
    PURGE,
    READS,
    RECOVER,
    REMOVE,
    REVOKE,
    ROLE,
    SELF,
    TAKE_IN,
    UNLOCK,
    WRITER,
    WRITES,
    device_proof,
    keyholder_proof,
    self_admission,
)
from replication.messages import Ack, Entries, Frontiers, Hello, RefusedEntry, Shared, Values, Want, write_message
from replication.replica import Replica
from replication.session import SILENCE_MS
from tests.kin import BOX, LEAF, Author, Family, copy, new_replica, state, wires, write

BEN, CLEO = Author("ben"), Author("cleo")
BENS_PHONE = Author("bens phone")


class History:
    """A copy that all have written to; each step says what a person did."""

    def __init__(self) -> None:
        self.replica = new_replica("history")
        self.said: list[str] = []
        self.family = Family.found(self.replica)
        self.note("Anna founds the family on her laptop, with the directory and a vault of hers")

    def note(self, what: str) -> None:
        """What the entries since the last note are."""
        self.said += [what] * (self.replica.last_id() - len(self.said))

    def state(self, what: str, author: Author, *statements: list[Any]) -> None:
        assert state(self.replica, author, *statements) == "", what
        self.note(what)


def tell() -> History:
    it = History()
    family, replica = it.family, it.replica
    proof = family.laptop.sign(self_admission(family.family, CLEO.id, CLEO.box_key))
    it.state("Cleo admits herself on it", CLEO, [SELF, CLEO.id[:16], family.laptop.id, CLEO.box_key, proof])
    ben = family.admit(replica, BEN, BENS_PHONE, WRITER)
    it.note("Anna admits Ben with his phone")
    family.grant(replica, family.vault, ben, WRITES, BEN)
    it.note("Anna lets Ben write in her vault")
    first = write(replica, BEN, family.vault, "password", "from ben")
    it.note("Ben writes")
    it.state("Ben chooses a master password", BEN, [UNLOCK, ben, b"w" * 64, b""])
    it.state("Ben prints an emergency kit", BEN, [PAPER, ben, Author("kit").id, Author("kit").box_key, b"s" * 32])
    apart = copy(replica, "bens phone")
    apart.store.run("INSERT INTO own_logs SELECT author, log FROM logs WHERE author = ?", (BEN.id,))
    bens = [[row.log, [_whole(replica, row)]] for row in replica.frontier() if _author(replica, row) == BEN.id]
    it.state("Anna removes Ben's phone", family.anna, [REMOVE, A_DEVICE, BENS_PHONE.id, bens])
    write(apart, BEN, family.vault, "notes", "written before ben heard of it")
    assert replica.ingest(wires(apart)).refused is None
    it.note("what Ben wrote meanwhile arrives: it is beyond the cut")
    (late,) = [row for row in replica.frontier() if row.log == bens[0][0]]
    it.state("Anna takes it in", family.anna, [TAKE_IN, late.log, _whole(replica, late)])
    readers = sorted(replica.state().recipients(family.vault))
    held = replica.state().vaults[family.vault]
    it.state(
        "Anna opens a new epoch for those who are left",
        family.anna,
        [EPOCH, family.vault, held.heads(), b"D" * 32, [[key, BOX] for key in readers], [[held.heads()[0], BOX]]],
    )
    second = write(replica, family.anna, family.vault, "password", "from anna")
    it.note("Anna writes under it, over what Ben wrote")
    mine = [[family.anna.id, BOX]]
    newest = replica.state().vaults[family.vault].newest_epoch()
    it.state("Anna hands the key to herself again", family.anna,
             [GRANT, family.vault, newest, family.person, 3, mine])  # fmt: skip
    _govern(it, ben)
    it.state("Anna purges what Ben wrote", family.anna, [PURGE, family.vault, [[first, [second]]]])
    _start_anew(it)
    return it


def _govern(it: History, ben: bytes) -> None:
    """What admins and owners say of others, and a person of their own wraps."""
    family, anna, state = it.family, it.family.anna, it.replica.state
    cleo = state().person_of(CLEO.id)
    it.state("Anna makes Cleo an admin", anna, [ROLE, cleo, ADMIN, []])
    it.state("Anna lets Ben only read from now on", anna, [REVOKE, family.vault, ben, READS, []])
    it.state("Cleo proposes that Ben be removed", CLEO, [PROPOSE, b"n" * 16, A_PERSON, ben])
    (proposal,) = state().proposals
    it.state("Anna approves", anna, [APPROVE, proposal, []])
    it.state("Anna makes a new discovery key", anna, [DISCOVERY, [[one, BOX] for one in sorted(state().devices)]])
    for wrap in (b"v", b"u"):
        it.state("Anna chooses a master password", anna, [UNLOCK, family.person, wrap * 64, b""])
    old, new = (one.hash for one in state().unlocks[family.person])
    it.state("Anna forgets the one before", anna, [FORGET, [old], new])


def _start_anew(it: History) -> None:
    """The family recovery key brings Dora, as an admin."""
    dora, laptop, family = Author("dora"), Author("doras laptop"), it.family.family
    proof = laptop.sign(device_proof(family, laptop.id, laptop.box_key, LEAF, dora.id[:16]))
    own = dora.sign(keyholder_proof(family, dora.id[:16], laptop.id, dora.id, dora.box_key))
    it.state("the family recovery key brings Dora", Author("recovery"), [
        RECOVER, [], laptop.id, laptop.box_key, LEAF, BOX, proof, dora.id, dora.box_key, own,
        Author("next recovery").id,
    ])  # fmt: skip


def _author(replica: Replica, row: Row) -> bytes:
    return next(author for log, author, _, _ in replica.tips() if log == row.log)


def _whole(replica: Replica, row: Row) -> bytes:
    """The 32-byte hash of the entry at a frontier's row."""
    return next(digest for _, _, digest, _ in replica.tips() if digest[:16] == row.hash)


def history() -> dict[str, Any]:
    it = tell()
    replica = it.replica
    entries = []
    for number, wire in enumerate(wires(replica), 1):
        parsed = from_wire(wire)
        names = replica.statements_of(number) if parsed.statements else []
        entries.append(
            {
                "what": it.said[number - 1],
                "wire": wire.hex(),
                "hash": replica.info(number).hash.hex(),
                "statements": [
                    {"number": body[0], "hash": name.hex(), "reason": replica.membership().reasons.get(name, "")}
                    for body, name in zip(parsed.statements, names, strict=True)
                ],
            }
        )
    return {
        "family": it.family.family.hex(),
        "entries": entries,
        "frontier": [[row.log.hex(), row.seq, row.hash.hex()] for row in replica.frontier()],
        "table": [
            [vault.hex(), target.hex(), dot.hex(), sealed.hex() if sealed is not None else None]
            for vault, target, dot, sealed in replica.table()
        ],
        "aside": sorted([digest.hex(), why] for digest, why in replica.put_aside()),
        "invalid": _refused(it),
        "conversations": _conversations(it),
    }


def _tip(replica: Replica, log: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The newest entry of a log: its hash, and the frontier that it names."""
    digest, frontier = replica.store.one(
        "SELECT hash, frontier FROM entries JOIN logs ON number = entries.log WHERE tip AND logs.log = ?", (log,)
    )
    return digest, tuple(frontier[i : i + 32] for i in range(0, len(frontier), 32))


def _refused(it: History) -> list[dict[str, str]]:
    """Entries that a copy which holds the whole history refuses."""
    replica, anna = it.replica, it.family.anna
    good = _next(it)
    before = good.header.frontier
    nowhere = tagged_hash(b"kinring/1/example", b"nowhere")
    cases: dict[str, tuple[bytes, str]] = {
        "a log in another's name": (_first(it, log_id(it.family.family, BEN.id, b"m" * 16)), "log"),
        "another family's log": (_first(it, log_id(b"G" * 32, anna.id, b"m" * 16)), "log"),
        "the entry before is not here": (_wire(replace(good.header, seq=good.header.seq + 1), anna, good), "missing"),
        "a log that is not here": (_wire(replace(good.header, log=b"?" * 16), anna, good), "missing"),
        "a statement of the frontier is not here": (_wire(replace(good.header, frontier=(nowhere,)), anna, good),
                                                    "missing"),
        "it knows less than the entry before": (_wire(replace(good.header, frontier=()), anna, good), "frontier"),
        "signed by another": (_wire(good.header, BEN, good), "signature"),
        "a time changed": (to_wire(replace(good, header=replace(good.header, wall_time=1)), before), "signature"),
        "an op left out": (to_wire(replace(good, ops=good.ops[:1]), before), "signature"),
        "after another entry": (_wire(replace(good.header, previous=nowhere), anna, good), "signature"),
    }  # fmt: skip
    for wire, kind in cases.values():
        refused = copy(replica, "judge").ingest([wire]).refused
        assert refused is not None
        assert refused.kind == kind, (refused.kind, kind)
    return [{"name": name, "wire": wire.hex(), "kind": kind} for name, (wire, kind) in cases.items()]


def _next(it: History) -> Entry:
    """The entry that Anna would write next, as it would be signed."""
    apart = copy(it.replica, "annas next")
    apart.store.run("INSERT INTO own_logs SELECT author, log FROM logs WHERE author = ?", (it.family.anna.id,))
    log = next(log for log, author, _, _ in apart.tips() if author == it.family.anna.id)
    previous, before = _tip(apart, log)
    write(apart, it.family.anna, it.family.vault, "notes", "next", now=9_000)
    wire = from_wire(wires(apart)[-1])
    ops = (*wire.ops, *wire.ops)
    return sign_entry(
        replace(wire, ops=ops, frontier=None)
        .chain(it.family.family, it.family.anna.id, previous, wire.frontier or before)
        .header,
        ops,
        (),
        it.family.anna.sign,
    )


def _wire(header: Any, author: Author, good: Entry) -> bytes:
    """Under a changed header, signed anew; the frontier is written out."""
    return to_wire(sign_entry(header, good.ops, (), author.sign), None)


def _first(it: History, log: bytes) -> bytes:
    good = _next(it)
    return _wire(replace(good.header, log=log, seq=0, previous=b"m" * 16), it.family.anna, good)


def _conversations(it: History) -> list[dict[str, Any]]:
    """What a device that holds the whole history is told: the last step is refused, and it is over."""
    family = it.family.family
    hello, shared = write_message(Hello(family, ())), write_message(Shared((), ()))
    stranger = Author("stranger")
    unknown = sign_frontier(family, stranger.id, 1, 0, [], stranger.sign)
    forged = replace(sign_frontier(family, it.family.laptop.id, 1, 0, [], it.family.laptop.sign), count=2)
    cases: dict[str, tuple[list[bytes | int], str]] = {
        "entries before hello": ([write_message(Entries((b"x",)))], "order"),
        "hello twice": ([hello, hello], "order"),
        "another family": ([write_message(Hello(b"G" * 32, ()))], "family"),
        "an ack of what was not sent": ([hello, shared, write_message(Ack(1))], "ack"),
        "it refused an entry of ours": ([hello, shared, write_message(RefusedEntry("missing", bytes(32)))], "refused"),
        "a frontier of nobody known": ([hello, shared, write_message(Frontiers((unknown.to_wire(),)))], "device"),
        "a frontier that was changed": ([hello, shared, write_message(Frontiers((forged.to_wire(),)))], "signature"),
        "entries before shared": ([hello, write_message(Entries((b"x",)))], "order"),
        "shared before hello": ([shared], "order"),
        "shared twice": ([hello, shared, shared], "order"),
        "values that were not asked for": ([hello, shared, write_message(Values(()))], "order"),
        "asked again before the answer": ([hello, shared, *[write_message(Want((bytes(18),)))] * 2], "order"),
        "another version": ([encode([0, 2, family, []])], "version"),
        "no message": ([hello, encode([99])], "shape"),
        "nothing heard": ([hello, SILENCE_MS], "silent"),
        "a message after the end": ([encode([99]), hello], "ended"),
    }
    return [
        {"name": name, "steps": [s if isinstance(s, int) else s.hex() for s in steps], "kind": kind}
        for name, (steps, kind) in cases.items()
    ]

