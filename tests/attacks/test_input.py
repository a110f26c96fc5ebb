"""Bytes made to hurt whoever reads them: every decoder refuses by kind, and does no work for them (A51)."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import cbor2
import pytest
from nacl.public import PublicKey, SealedBox

from node.grants import open_keys
from node.sealing import Opener, Place, Sealer, Unopened, VaultKeys, _pad, target
from replication.encoding import MAX_BYTES, MAX_ITEMS, decode, encode
from replication.entry import from_wire
from replication.errors import Malformed, Refused, RemoteProtocolError
from replication.log import signed_from_wire
from replication.messages import Entries, read_message, write_message
from replication.session import SessionState, SyncSession
from tests.kin import Author, Family, copy, new_replica, shown, source, state, sync, wires, write

KINDS = {"size", "cbor", "tag", "type", "canonical", "shape", "version", "box"}
MEMORY = 8 << 20


def colliding_integers(count: int) -> bytes:
    """A map whose keys have one hash in CPython, so that a plain dict of them costs the square of their number."""
    modulus = sys.hash_info.modulus
    keys = [number * modulus + 5 for number in range(count)]  # the larger ones are big integers, a tag
    return cbor2.dumps(dict.fromkeys(keys, 0))


def bombs() -> dict[str, bytes]:
    made = {
        "a million arrays in one another": b"\x81" * 1_200_000 + b"\x00",
        "claims 2^64 bytes": b"\x5b" + b"\xff" * 8,
        "claims 2^40 bytes": b"\x5b" + (1 << 40).to_bytes(8, "big"),
        "claims 2^40 letters": b"\x7b" + (1 << 40).to_bytes(8, "big"),
        "claims a list of 2^40": b"\x9b" + (1 << 40).to_bytes(8, "big"),
        "claims a map of 2^40": b"\xbb" + (1 << 40).to_bytes(8, "big"),
        "lists in lists, each of 2^28": b"\x9a\x0f\xff\xff\xff" * 8,
        "maps in maps, each of 2^28": b"\xba\x0f\xff\xff\xff\x61a" * 8,
        "an endless list": b"\x9f" + b"\x00" * 100_000,
        "an endless string of empty pieces": b"\x5f" + b"\x40" * 100_000 + b"\xff",
        "one key twice": b"\xa2\x61a\x01\x61a\x02",
        "keys out of order": b"\xa2\x61b\x01\x61a\x02",
        "keys with one hash": colliding_integers(20_000),
        "NaN as a key": b"\xa2\xf9\x7e\x00\x01\xf9\x7e\x01\x02",
        "NaN": b"\x81\xfa\x7f\xc0\x00\x00",
        "1, 1.0 and true as keys": b"\xa3\x01\x00\xf9\x3c\x00\x00\xf5\x00",
        "an integer with a long form": b"\x81\x1b" + bytes(7) + b"\x01",
        "two behind one another": encode([4]) + encode([4]),
        "trailing zeros": encode([4]) + bytes(100),
        "bad UTF-8": b"\x62\xc3\x28",
    }
    for tag in (2, 3, 4, 5, 24, 25, 28, 29, 35, 36, 256, 258, 1 << 40):
        for content in (b"\xff" * 500_000, "(a+)+$" * 1000, [1_000_000_000, 1]):
            made[f"tag {tag}, {type(content).__name__} {len(made)}"] = cbor2.dumps(cbor2.CBORTag(tag, content))
    made["shared, and within itself"] = b"\xd8\x1c\x81\xd8\x1d\x00"
    made["1E+1000000000"] = b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01"
    return made


BOMBS = bombs()
ANNA = Author("anna")
KEYS = VaultKeys(b"k" * 32, b"t" * 32)
PLACE = Place(b"F" * 32, b"v" * 16, b"e" * 32, 1, b"l" * 16, 7)


def in_a_box(data: bytes) -> None:
    box = SealedBox(PublicKey(ANNA.box_key)).encrypt(data)
    open_keys(box, family=b"F" * 32, vault=b"v" * 16, commitment=b"c" * 32, recipient=ANNA.id, private=ANNA.box)


def in_a_value(data: bytes) -> None:
    """Sealed by a member with the vault's key, as no honest program would."""
    sealer, where = Sealer(KEYS, PLACE, source("value")), target(KEYS.target_key, b"r" * 16, "password")
    sealed = sealer._cipher.encrypt(bytes(12), _pad(data), where)
    Opener(KEYS, PLACE, sealer.salt, sealer.commitment).open(0, where, sealed)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "value": decode,
    "entry": from_wire,
    "message": read_message,
    "signed frontier": signed_from_wire,
    "grant": in_a_box,
    "sealed value": in_a_value,
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_a51_no_decoder_does_work_for_a_bomb(decoder: str):
    read, limit = DECODERS[decoder], sys.getrecursionlimit()
    for name, data in BOMBS.items():
        # Sealing it is the test's own work, and opening it gives that many bytes before any is parsed.
        held = 4 * len(data) if decoder in ("grant", "sealed value") else 0
        tracemalloc.start()
        try:
            with pytest.raises((Malformed, Unopened)) as refused:
                read(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert refused.value.kind in KINDS, name
        assert peak < MEMORY + held, name
        assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("piece", [b"\x80", b"\xa0", b"\x81\x00", b"\x42xx", b"\x19\x80\x00"])
def test_a51_a_message_full_of_small_things_takes_no_more_than_eighty_times_its_size(piece: bytes):
    """The price of Python's objects: what bounds it is the limit on a message and on the items within."""
    count = MAX_ITEMS // 2 // len(piece)
    data = encode([cbor2.loads(piece)] * count)
    tracemalloc.start()
    try:
        assert len(decode(data)) == count
        assert tracemalloc.get_traced_memory()[1] < 80 * len(data)
    finally:
        tracemalloc.stop()


def test_a51_work_grows_with_the_bytes_and_not_with_what_they_say():
    """Counted in steps of the interpreter, not in time: twice the bytes, about twice the steps."""
    for make in (
        lambda n: b"\x81" * n + b"\x00",
        lambda n: cbor2.dumps({f"{number:06}": 0 for number in range(n // 8)}),
        lambda n: cbor2.dumps([[number] for number in range(n // 4)]),
        lambda n: cbor2.dumps({number * sys.hash_info.modulus: 0 for number in range(8)}) * (n // 8),
    ):
        small, large = (steps(make(size)) for size in (20_000, 40_000))
        assert large < 3 * small + 1000


def steps(data: bytes) -> int:
    """How many lines and calls of Python it takes to refuse or to read it."""
    counted = 0

    def count(*_: object) -> object:
        nonlocal counted
        counted += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        decode(data)
    except Refused:
        pass
    finally:
        sys.settrace(before)
    return counted


def test_a51_a_member_sends_it_and_loses_only_the_connection():
    one = new_replica("one")
    family = Family.found(one)
    other = copy(one, "other")
    for name, bomb in BOMBS.items():
        for message in (bomb, write_message(Entries((bomb[:MAX_BYTES],)))):
            session = SyncSession(one, 0)
            for hello in SyncSession(other, 0).messages_to_send(0):
                session.receive_message(hello, 0)
            try:
                session.receive_message(message, 0)
            except RemoteProtocolError as refused:
                assert refused.kind in KINDS, name
            assert session.state is SessionState.ENDED, name
    write(one, family.anna, family.vault, "t", "still here")
    sync(one, other)
    assert shown(other, family.vault) == {"t": {"still here"}}
    assert wires(one) == wires(other)


def test_a51_a_statement_full_of_nothing_is_refused_and_one_without_effect_costs_no_more_than_its_bytes():
    """One byte of an empty list is 64 bytes of Python: a million are not read, and of what has no effect no parsed
    body is kept."""
    one = new_replica("one")
    family = Family.found(one)
    peer, nobody = copy(one, "peer"), Author("nobody")
    with pytest.raises(Malformed, match="size"):
        state(peer, nobody, [9999, 0, *([[]] * 1_000_000)])
    for number in range(3):
        state(peer, nobody, [9999, number, b"x" * 200_000, *([[]] * 60_000)])
    tracemalloc.start()
    try:
        one.ingest(wires(peer)[1:])
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
    finally:
        tracemalloc.stop()
    assert one.state().family == family.family
