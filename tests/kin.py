"""A made-up family for tests of the replication core: keys from seeds, statements, replicas in memory.

Sealed values are opaque there, so short byte strings stand for them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from replication.entry import STATEMENTS, Header, Op, log_id, statement_hashes
from replication.membership import (
    ADMIN,
    BLIND,
    DEVICE,
    DIRECTORY,
    EPOCH,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    PERMIT,
    PERSON,
    RECOVER,
    SHARED,
    SUITE,
    VAULT,
    Membership,
    Statement,
    device_proof,
    family_id,
    keyholder_proof,
)
from replication.replica import Draft, Position, Replica
from replication.session import SyncSession

LEAF = b"L" * 64
BOX = b"sealed box of no matter what".ljust(80, b".")


def source(seed: object) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run."""
    return random.Random(str(seed)).randbytes


class Author:
    """A keyholder's two key pairs; a device has the like."""

    def __init__(self, name: str) -> None:
        draw = source(name)
        self.name = name
        self.key = SigningKey(draw(32))
        self.box = PrivateKey(draw(32))
        self.id = bytes(self.key.verify_key)
        self.box_key = bytes(self.box.public_key)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message).signature

    def __repr__(self) -> str:
        return self.name


def admit_device(
    family: bytes, device: Author, owner: bytes, *, role: int = FULL, signer: Author | None = None
) -> list[Any]:
    owner = b"" if role == BLIND else owner
    proof = (signer or device).sign(device_proof(family, device.id, device.box_key, LEAF, owner))
    return [DEVICE, device.id, device.box_key, LEAF, role, owner, BOX, proof]


def add_keyholder(family: bytes, person: bytes, device: Author, holder: Author) -> list[Any]:
    proof = holder.sign(keyholder_proof(family, person, device.id, holder.id, holder.box_key))
    return [KEYHOLDER, person, device.id, holder.id, holder.box_key, proof]


def recovery(family: bytes, name: str, *removals: list[Any]) -> list[Any]:
    """What the family recovery key states: `Author(name)` comes as an admin, on a laptop of their own."""
    holder, laptop = Author(name), Author(f"{name}s laptop")
    person = holder.id[:16]
    device = laptop.sign(device_proof(family, laptop.id, laptop.box_key, LEAF, person))
    own = holder.sign(keyholder_proof(family, person, laptop.id, holder.id, holder.box_key))
    return [
        RECOVER, list(removals), laptop.id, laptop.box_key, LEAF, BOX, device, holder.id, holder.box_key, own,
        Author("next recovery").id,
    ]  # fmt: skip


def new_vault(
    position: Position, before: list[list[Any]], kind: int, holders: Sequence[Author]
) -> tuple[list[list[Any]], bytes]:
    """A vault with suite and first epoch, and its id; `before` are the statements that precede it."""
    made = [VAULT, kind, bytes([len(before)]) * 16]
    vault = position.statement_hash(before, made)[:16]
    boxes = [[key, BOX] for key in sorted(holder.id for holder in holders)]
    return [made, [SUITE, vault, 1, [1, 2], 1], [EPOCH, vault, [], b"C" * 32, boxes, []]], vault


@dataclass
class Family:
    """Anna founded it on her laptop; `vault` is hers."""

    anna: Author
    laptop: Author
    family: bytes = b""
    person: bytes = b""
    directory: bytes = b""
    vault: bytes = b""

    @classmethod
    def found(cls, replica: Replica, *, permit: bool = True) -> Family:
        it = cls(Author("anna"), Author("annas laptop"))
        recovery, nonce = Author("recovery").id, b"N" * 32
        it.family = family_id(it.anna.id, it.anna.box_key, recovery, nonce)

        def make(position: Position) -> Draft:
            person = [PERSON, ADMIN, it.anna.id[:16]]
            start = [FOUND, it.anna.box_key, recovery, nonce]
            it.person = position.statement_hash([start], person)[:16]
            statements: list[list[Any]] = [
                start,
                person,
                admit_device(it.family, it.laptop, it.person),
                add_keyholder(it.family, it.person, it.laptop, it.anna),
                [PERMIT, it.laptop.id if permit else b"\0" * 32],
            ]
            if not permit:
                statements.pop()
            directory, it.directory = new_vault(position, statements, DIRECTORY, [it.anna])
            statements += directory
            shared, it.vault = new_vault(position, statements, SHARED, [it.anna])
            return Draft(statements=(*statements, *shared))

        replica.found(it.anna.id, it.anna.sign, it.family, nonce, make, 1_000)
        return it

    def admit(self, replica: Replica, holder: Author, device: Author, role: int) -> bytes:
        """Anna admits a person with a device and a keyholder. Their person id."""
        person = b""

        def make(position: Position) -> Draft:
            nonlocal person
            admission = [PERSON, role, holder.id[:16]]
            person = position.statement_hash([], admission)[:16]
            return Draft(statements=(
                admission,
                admit_device(self.family, device, person),
                add_keyholder(self.family, person, device, holder),
            ))  # fmt: skip

        replica.append(self.anna.id, self.anna.sign, make, 2_000)
        return person

    def grant(self, replica: Replica, vault: bytes, person: bytes, right: int, *holders: Author) -> None:
        boxes = [[key, BOX] for key in sorted(holder.id for holder in holders)]
        epoch = replica.state().vaults[vault].newest_epoch()
        state(replica, self.anna, [GRANT, vault, epoch, person, right, boxes])


def state(replica: Replica, author: Author, *statements: list[Any], now: int = 3_000) -> str:
    """Append statements; why the first has no effect, or ''."""
    info = replica.append(author.id, author.sign, lambda _: Draft(statements=statements), now)
    return reason_of(replica, replica.statements_of(info.id)[0])


def reason_of(replica: Replica, statement: bytes) -> str:
    return replica.membership().reasons.get(statement, "")


def write(
    replica: Replica,
    author: Author,
    vault: bytes,
    target: str,
    value: str | None,
    *,
    replaces: Sequence[bytes] | None = None,
    epoch: bytes | None = None,
    suite: int = 1,
    now: int = 5_000,
) -> bytes:
    """Append one op; its dot. `replaces` is what is live there unless given."""

    def make(position: Position) -> Op:
        dots = position.live(vault, at(target)) if replaces is None else sorted(replaces)
        return Op(at(target), tuple(dots), None if value is None else sealed(value))

    return write_op(replica, author, vault, make, epoch=epoch, suite=suite, now=now)


def write_op(
    replica: Replica,
    author: Author,
    vault: bytes,
    make: Callable[[Position], Op],
    *,
    epoch: bytes | None = None,
    suite: int = 1,
    now: int = 5_000,
) -> bytes:
    """Append one op, made where it will stand; its dot."""
    found = replica.state().vaults.get(vault)
    epoch = epoch or (found.newest_epoch() if found else None) or b"E" * 32

    def draft(position: Position) -> Draft:
        return Draft((make(position),), (), vault, epoch, suite, b"s" * 32, b"c" * 32)

    return replica.append(author.id, author.sign, draft, now).hash[:16] + b"\0\0"


def write_copy(replica: Replica, author: Author, vault: bytes, target: str, dot: bytes, value: str) -> bytes:
    """Append another ciphertext of `dot`; the copy's own name."""
    return write_op(replica, author, vault, lambda _: Op(at(target), (), sealed(value), dot))


def sealed(value: str) -> bytes:
    return value.encode().ljust(80, b".")


def at(target: str) -> bytes:
    return target.encode().ljust(16, b"_")


def shown(replica: Replica, vault: bytes | None = None) -> dict[str, set[str]]:
    """Target to the live values there."""
    found: dict[str, set[str]] = {}
    for where, target, _, sealed in replica.table():
        if vault is None or where == vault:
            text = "" if sealed is None else sealed.rstrip(b".").decode()
            found.setdefault(target.rstrip(b"_").decode(), set()).add(text)
    return found


def new_replica(name: str, family: bytes | None = None, path: str = ":memory:", mark: bytes = b"") -> Replica:
    replica = Replica.open(path, random_bytes=source(name), mark=mark)
    if family is not None and replica.family is None:
        replica.adopt(family)
    return replica


def wires(replica: Replica) -> list[bytes]:
    """All entries of a copy, in its order of arrival."""
    ids = replica.store.rows("SELECT id FROM entries ORDER BY id")
    return [replica.wire(entry) for (entry,) in ids]


def copy(source_: Replica, name: str) -> Replica:
    """Another device's copy of all that is in `source_`."""
    made = new_replica(name, source_.family)
    result = made.ingest(wires(source_))
    assert result.refused is None
    return made


def exchange(a: SyncSession, b: SyncSession, *, now: int = 0, most: int | None = None) -> int:
    """Carry messages until both are quiet, or `most` were carried; how many were."""
    carried = 0
    while True:
        rounds = [(b, m) for m in a.messages_to_send(now)] + [(a, m) for m in b.messages_to_send(now)]
        if not rounds:
            return carried
        for side, message in rounds:
            if carried == most:
                return carried
            side.receive_message(message, now)
            carried += 1


def sync(a: Replica, b: Replica) -> None:
    one, two = SyncSession(a, 0), SyncSession(b, 0)
    exchange(one, two)
    assert one.level()
    assert two.level()


class Statements:
    """Statements without entries around them: what the membership alone is made of."""

    def __init__(self, family: bytes) -> None:
        self.family = family
        self.membership = Membership(family)
        self.batches: list[list[Statement]] = []
        self._seqs: dict[bytes, int] = {}

    def make(
        self, author: Author, *bodies: list[Any], frontier: tuple[bytes, ...] | None = None, log: str = ""
    ) -> list[Statement]:
        """One entry's statements, after `frontier` (all that is known, unless given)."""
        name = log_id(self.family, author.id, log.encode().ljust(16, b"_"))
        seq = self._seqs.get(name, -1) + 1
        after = self.membership.heads() if frontier is None else frontier
        place = (self.family, author.id, name, seq, b"", STATEMENTS, b"", b"", 0, after)
        hashes = statement_hashes(Header(*place, 0, b"", b"", 0, b""), bodies)
        return [
            Statement(digest, author.id, name, seq, index, after, body)
            for index, (digest, body) in enumerate(zip(hashes, bodies, strict=True))
        ]

    def add(
        self, author: Author, *bodies: list[Any], frontier: tuple[bytes, ...] | None = None, log: str = ""
    ) -> list[str]:
        """Take them in; for each why it has no effect, or ''."""
        made = self.make(author, *bodies, frontier=frontier, log=log)
        name = made[0].log
        self._seqs[name] = made[0].seq
        self.membership.add(made)
        self.batches.append(made)
        return [self.membership.reasons.get(statement.hash, "") for statement in made]
