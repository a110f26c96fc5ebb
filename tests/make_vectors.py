"""Writes tests/vectors/{encoding,entry,frontier,sync,membership,history,sealing,grant}.json, the same in every run.

    python -m tests.make_vectors            writes them
    python -m tests.make_vectors --check    fails if what is there is something else

Vectors change with the format, and with nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_scalarmult_base
from nacl.public import Box, PrivateKey, PublicKey

from node.grants import LABEL_GRANT
from node.sealing import Place, Sealer, VaultKeys, padded_size, target
from replication.encoding import encode
from replication.entry import (
    OPS,
    STATEMENTS,
    Header,
    Op,
    body_root,
    log_id,
    make_dot,
    sign_entry,
    statement_hashes,
    tagged_hash,
    to_wire,
)
from replication.log import Row, held_digest, sign_frontier
from replication.membership import (
    ADMIN,
    APPROVE,
    DEVICE,
    DISCOVERY,
    FORGET,
    FOUND,
    PERMIT,
    PERSON,
    PROPOSE,
    PURGE,
    READER,
    RECOVER,
    REVOKE,
    ROLE,
    SHARED,
    SUITE,
    UNLOCK,
    VAULT,
    device_proof,
    family_id,
    keyholder_proof,
    self_admission,
)
from replication.messages import (
    NONE_HELD,
    Ack,
    Entries,
    Frontiers,
    Hello,
    Message,
    Ping,
    RefusedEntry,
    Shared,
    Values,
    Want,
    write_message,
)
from tests.kin import LEAF, Author
from tests.make_history import history

FOLDER = Path(__file__).parent / "vectors"
ANNA, LAPTOP = Author("anna"), Author("annas laptop")
FAMILY, VAULT_ID, EPOCH_ID = bytes(range(32)), bytes(range(16)), bytes(range(32, 64))
RECORD = bytes(range(64, 80))
KEYS = VaultKeys(bytes(range(100, 132)), bytes(range(132, 164)))


def fixed(count: int) -> bytes:
    return bytes(range(count))


def encoding() -> dict[str, Any]:
    valid = {
        "null": None,
        "true": True,
        "integers": [0, 23, 24, 255, 256, 65536, 2**63 - 1, -1, -(2**63)],
        "bytes": b"\x00\x01",
        "text": "Käthe",
        "empty": [[], {}, b"", ""],
        "map": {"a": 1, "b": [2], "aa": None},
        "eight deep": [[[[[[["x"]]]]]]],
    }
    invalid = {
        "nothing": ("", "cbor"),
        "truncated string": ("43 0102", "cbor"),
        "trailing byte": ("01 00", "canonical"),
        "number in two bytes": ("18 01", "canonical"),
        "length in two bytes": ("58 01 00", "canonical"),
        "keys unsorted": ("a2 6162 01 6161 02", "canonical"),
        "longer key first": ("a2 626161 01 6162 02", "canonical"),
        "key twice": ("a2 6161 01 6161 02", "cbor"),
        "key of bytes": ("a1 4161 01", "type"),
        "key a number": ("a1 01 01", "cbor"),
        "indefinite list": ("9f 01 ff", "cbor"),
        "indefinite bytes": ("5f 4101 ff", "cbor"),
        "date": ("c0 74 323031332d30332d32315432303a30343a30305a", "tag"),
        "big number": ("c2 49 010000000000000000", "tag"),
        "shared": ("d81c 80", "tag"),
        "reference": ("d81d 00", "tag"),
        "set": ("d90102 80", "tag"),
        "self-described": ("d9d9f7 00", "tag"),
        "unknown tag": ("d9ffff 00", "tag"),
        "half float": ("f9 3c00", "type"),
        "NaN": ("f9 7e00", "type"),
        "float": ("fb 3ff0000000000000", "type"),
        "undefined": ("f7", "type"),
        "simple value": ("e0", "type"),
        "2^63": ("1b 8000000000000000", "type"),
        "not UTF-8": ("61 ff", "cbor"),
        "surrogate": ("63 eda080", "cbor"),
        "a list of 2^40": ("9b 0000010000000000", "cbor"),
        "bytes of 2^40": ("5b 0000010000000000", "cbor"),
        "too deep": ("81" * 20 + "00", "cbor"),
        "reserved length": ("1c", "cbor"),
    }
    return {
        "valid": [{"name": name, "hex": encode(value).hex()} for name, value in valid.items()],
        "invalid": [
            {"name": name, "hex": text.replace(" ", ""), "kind": kind} for name, (text, kind) in invalid.items()
        ]
        + [{"name": "over the limit", "hex": encode([1, 2, 3]).hex(), "limit": 3, "kind": "size"}],
    }


def made_entry(
    ops: tuple[Op, ...],
    statements: tuple[list[Any], ...],
    seq: int,
    frontier: tuple[bytes, ...],
    later: tuple[Any, ...] = (1,),
) -> Any:
    """`later`: version, and what it adds."""
    log = log_id(FAMILY, ANNA.id, fixed(16))
    place = (VAULT_ID, EPOCH_ID, 1) if ops else (b"", b"", 0)
    salts = (fixed(32), bytes(range(32, 64))) if ops else (b"", b"")
    header = Header(
        FAMILY,
        ANNA.id,
        log,
        seq,
        fixed(16) if seq == 0 else fixed(32),
        OPS if ops else STATEMENTS,
        *place,
        frontier,
        1_700_000_000_000,
        *salts,
        max(len(ops), len(statements)),
        body_root(ops, statements),
        later[0],
        later[1:],
    )
    return sign_entry(header, ops, statements, ANNA.sign)


def entry() -> dict[str, Any]:
    head = tagged_hash(b"kinring/1/example", b"head")
    op = Op(fixed(16), (), fixed(80))
    later = Op(fixed(16), (make_dot(head, 0), make_dot(head, 1)), None)
    copy = Op(fixed(16), (), fixed(80), make_dot(head, 2))
    gone = Op(fixed(16), (), None, digest=FAMILY)
    forgotten = [UNLOCK, fixed(16), [FAMILY], [FAMILY]]
    cases = {
        "first of a log": (made_entry((op,), (), 0, (head,)), ()),
        "frontier unchanged": (made_entry((op, later), (), 5, (head,)), (head,)),
        "frontier changed": (made_entry((later,), (), 6, (head,)), ()),
        "statements": (made_entry((), ([VAULT, SHARED, fixed(16)], [99, "unknown"]), 7, (head,)), (head,)),
        "a copy, and a value that is not here": (made_entry((copy, gone), (), 8, (head,)), (head,)),
        "a wrap, and one that was forgotten": (
            made_entry((), ([UNLOCK, fixed(16), fixed(64), b""], forgotten), 9, (head,)),
            (head,),
        ),
        "a later version with a part more": (made_entry((op,), (), 10, (head,), (2, "more")), (head,)),
    }
    valid = []
    for name, (made, before) in cases.items():
        valid.append(
            {
                "name": name,
                "family": FAMILY.hex(),
                "author": ANNA.id.hex(),
                "previous": made.header.previous.hex(),
                "previous_frontier": [h.hex() for h in before],
                "wire": to_wire(made, before).hex(),
                "header": made.header.encoded().hex(),
                "hash": made.hash.hex(),
                "op_hashes": [o.hash().hex() for o in made.ops],
                "statement_hashes": [h.hex() for h in statement_hashes(made.header, made.statements)],
            }
        )
    return {"valid": valid, "invalid": [*_bad_entries(cases["first of a log"][0])]}


def _bad_entries(made: Any) -> list[dict[str, str]]:
    h = made.header
    good = [
        1,
        h.log,
        0,
        [h.author, h.previous],
        0,
        h.vault,
        h.epoch,
        1,
        list(h.frontier),
        h.wall_time,
        h.salt,
        h.commitment,
        made.signature,
        [op.to_value() for op in made.ops],
    ]
    target_, dot = fixed(16), make_dot(FAMILY, 0)
    changes: dict[str, tuple[int, Any, str]] = {
        "version 0": (0, 0, "version"),
        "version 65536": (0, 65536, "version"),
        "version true": (0, True, "version"),
        "log of 15 bytes": (1, h.log[:15], "shape"),
        "seq below zero": (2, -1, "shape"),
        "seq of 2^48": (2, 1 << 48, "shape"),
        "author given again": (2, 1, "shape"),
        "no author": (3, None, "shape"),
        "nonce of 32 bytes": (3, [h.author, FAMILY], "shape"),
        "unknown kind": (4, 2, "shape"),
        "kind true": (4, True, "shape"),
        "vault of 17 bytes": (5, fixed(17), "shape"),
        "no epoch": (6, b"", "shape"),
        "suite 256": (7, 256, "shape"),
        "no frontier": (8, None, "shape"),
        "frontier unsorted": (8, [bytes(range(1, 33)), FAMILY], "shape"),
        "frontier twice": (8, [FAMILY, FAMILY], "shape"),
        "time below zero": (9, -1, "shape"),
        "time in the year 300000": (9, (1 << 53) + 1, "shape"),
        "salt of 31 bytes": (10, fixed(31), "shape"),
        "no commitment": (11, b"", "shape"),
        "signature of 63 bytes": (12, made.signature[:63], "shape"),
        "empty body": (13, [], "shape"),
        "body a map": (13, {}, "shape"),
        "op of two parts": (13, [[target_, []]], "shape"),
        "target of 17 bytes": (13, [[fixed(17), [], None]], "shape"),
        "sealed too short": (13, [[target_, [], fixed(15)]], "shape"),
        "dot of 17 bytes": (13, [[target_, [dot[:17]], None]], "shape"),
        "dot twice": (13, [[target_, [dot, dot], None]], "shape"),
        "a copy of 17 bytes": (13, [[target_, dot[:17], fixed(80)]], "shape"),
        "a copy of nothing": (13, [[target_, dot, None]], "shape"),
        "digest of 31 bytes": (13, [[target_, [], [fixed(31)]]], "shape"),
        "two digests": (13, [[target_, [], [FAMILY, FAMILY]]], "shape"),
        "statements where ops belong": (13, [[1, 2]], "shape"),
    }
    bad = [
        {"name": name, "wire": encode([*good[:i], value, *good[i + 1 :]]).hex(), "kind": kind}
        for name, (i, value, kind) in changes.items()
    ]
    wire = encode(good)
    return [
        *bad,
        {"name": "a part more", "wire": encode([*good, 0]).hex(), "kind": "shape"},
        {
            "name": "nine parts more in a later version",
            "wire": encode([2, *good[1:13], *range(9), good[13]]).hex(),
            "kind": "shape",
        },
        {"name": "a part less", "wire": encode(good[:-1]).hex(), "kind": "shape"},
        {"name": "no list", "wire": encode(1).hex(), "kind": "shape"},
        {"name": "cut short", "wire": wire[:-1].hex(), "kind": "cbor"},
        {"name": "trailing byte", "wire": (wire + b"\0").hex(), "kind": "canonical"},
    ]


def frontier() -> dict[str, Any]:
    rows = [
        Row(fixed(16), 3, bytes(range(16, 32))),
        Row(fixed(16), 3, bytes(range(17, 33))),
        Row(bytes(range(1, 17)), 0, fixed(16)),
    ]
    signed = sign_frontier(FAMILY, LAPTOP.id, 7, 1_700_000_000_000, rows, LAPTOP.sign)
    none = sign_frontier(FAMILY, LAPTOP.id, 1, 0, [], LAPTOP.sign)
    valid = [
        {"name": name, "family": FAMILY.hex(), "message": s.message(FAMILY).hex(), "wire": s.to_wire().hex()}
        for name, s in (("two logs, one forked", signed), ("nothing held", none))
    ]
    value = [[r.log, r.seq, r.hash] for r in sorted(rows)]
    good: list[Any] = [signed.device, 7, signed.wall_time, 1, value, signed.signature]
    changes: dict[str, tuple[int, Any, str]] = {
        "device of 31 bytes": (0, fixed(31), "shape"),
        "count 0": (1, 0, "shape"),
        "count true": (1, True, "shape"),
        "time below zero": (2, -1, "shape"),
        "reads no version": (3, 0, "shape"),
        "reads a version over 65535": (3, 65536, "shape"),
        "reads true": (3, True, "shape"),
        "rows unsorted": (4, value[::-1], "shape"),
        "row twice": (4, [value[0]] * 2, "shape"),
        "row of two parts": (4, [value[0][:2]], "shape"),
        "hash of 32 bytes": (4, [[fixed(16), 0, fixed(32)]], "shape"),
        "seq of 2^48": (4, [[fixed(16), 1 << 48, fixed(16)]], "shape"),
        "no signature": (5, b"", "shape"),
        "count raised": (1, 8, "signature"),
        "row left out": (4, value[1:], "signature"),
        "another version that it reads": (3, 2, "signature"),
        "another device": (0, ANNA.id, "signature"),
    }
    bad = [
        {"name": n, "family": FAMILY.hex(), "wire": encode([*good[:i], v, *good[i + 1 :]]).hex(), "kind": k}
        for n, (i, v, k) in changes.items()
    ]
    bad.append({"name": "another family", "family": bytes(32).hex(), "wire": encode(good).hex(), "kind": "signature"})
    return {"valid": valid, "invalid": bad}


def sync() -> dict[str, Any]:
    messages: dict[str, Message] = {
        "hello": Hello(FAMILY, (Row(fixed(16), 3, fixed(16)),), held_digest({FAMILY: (7, fixed(8))})),
        "hello of an empty copy": Hello(FAMILY, ()),
        "entries": Entries((fixed(20), fixed(30))),
        "ack": Ack(258),
        "refused": RefusedEntry("missing", FAMILY),
        "refused without a hash": RefusedEntry("signature", b""),
        "ping": Ping(),
        "frontiers": Frontiers((fixed(9),)),
        "want": Want((make_dot(FAMILY, 0), make_dot(FAMILY, 1))),
        "values": Values(((make_dot(FAMILY, 1), fixed(16)),)),
        "values, none of them here": Values(()),
        "shared": Shared(
            (Row(fixed(16), 3, fixed(16)),),
            ((fixed(32), 1, fixed(8)), (bytes(range(1, 33)), (1 << 48) - 1, fixed(8))),
        ),
        "shared, nothing": Shared((), ()),
    }
    dot, nothing = make_dot(FAMILY, 0), NONE_HELD
    bad: dict[str, tuple[Any, str]] = {
        "no list": (5, "shape"),
        "nothing": ([], "shape"),
        "unknown number": ([9], "shape"),
        "number true": ([True], "shape"),
        "another version": ([0, 2, FAMILY, [], nothing], "version"),
        "version true": ([0, True, FAMILY, [], nothing], "shape"),
        "family of 31 bytes": ([0, 1, fixed(31), [], nothing], "shape"),
        "rows a map": ([0, 1, FAMILY, {}, nothing], "shape"),
        "hello without what stands for its signed frontiers": ([0, 1, FAMILY, []], "shape"),
        "hello with a hash of 32 bytes": ([0, 1, FAMILY, [], FAMILY], "shape"),
        "want nothing": ([6, []], "shape"),
        "want a dot of 17 bytes": ([6, [dot[:17]]], "shape"),
        "want a dot twice": ([6, [dot, dot]], "shape"),
        "want 257 values": ([6, [make_dot(FAMILY, number) for number in range(257)]], "shape"),
        "value without a dot": ([7, [[b"", fixed(16)]]], "shape"),
        "value of 15 bytes": ([7, [[dot, fixed(15)]]], "shape"),
        "value null": ([7, [[dot, None]]], "shape"),
        "value of 65537 bytes": ([7, [[dot, bytes(65537)]]], "shape"),
        "values a map": ([7, {}], "shape"),
        "shared of 31 bytes": ([8, [], [[fixed(31), 1, fixed(8)]]], "shape"),
        "shared with count 0": ([8, [], [[fixed(32), 0, fixed(8)]]], "shape"),
        "shared with count true": ([8, [], [[fixed(32), True, fixed(8)]]], "shape"),
        "shared with a device twice": ([8, [], [[fixed(32), 1, fixed(8)], [fixed(32), 2, fixed(8)]]], "shape"),
        "shared with rows unsorted": ([8, [[fixed(16), 1, fixed(16)], [fixed(16), 0, fixed(16)]], []], "shape"),
        "shared with a mark of 7 bytes": ([8, [], [[fixed(32), 1, fixed(7)]]], "shape"),
        "shared of one part": ([8, []], "shape"),
        "no entries": ([1, []], "shape"),
        "an empty entry": ([1, [b""]], "shape"),
        "an entry as text": ([1, ["x"]], "shape"),
        "too many entries": ([1, [b"x"] * 1025], "shape"),
        "ack of nothing": ([2, 0], "shape"),
        "ack true": ([2, True], "shape"),
        "ack of 2^48": ([2, 1 << 48], "shape"),
        "refused for too long": ([3, "x" * 33, b""], "shape"),
        "refused with a control character": ([3, "x\x1b[2J", b""], "shape"),
        "refused with 33 bytes": ([3, "x", fixed(33)], "shape"),
        "ping with more": ([4, 0], "shape"),
        "no frontiers": ([5, []], "shape"),
        "too many frontiers": ([5, [b"x"] * 65], "shape"),
        "a float": ([2, 1.0], "type"),
    }
    return {
        "valid": [
            {"name": name, "message": type(m).__name__, "hex": write_message(m).hex()} for name, m in messages.items()
        ],
        "invalid": [{"name": n, "hex": encode(value).hex(), "kind": kind} for n, (value, kind) in bad.items()],
    }


def membership() -> dict[str, Any]:
    nonce, recovery = b"_" * 32, Author("recovery").id
    family = family_id(ANNA.id, ANNA.box_key, recovery, nonce)
    person = fixed(16)
    header = replace(made_entry((), ([1],), 0, ()).header, family=family, log=log_id(family, ANNA.id, nonce[:16]))
    found = [[FOUND, ANNA.box_key, recovery, nonce], [PERSON, ADMIN, ANNA.id[:16]]]
    messages = {
        "device": device_proof(family, LAPTOP.id, LAPTOP.box_key, LEAF, person),
        "keyholder": keyholder_proof(family, person, LAPTOP.id, ANNA.id, ANNA.box_key),
        "self admission": self_admission(family, ANNA.id, ANNA.box_key),
    }
    return {
        "keys": {
            "keyholder": ANNA.id.hex(),
            "keyholder_box": ANNA.box_key.hex(),
            "device": LAPTOP.id.hex(),
            "device_box": LAPTOP.box_key.hex(),
            "leaf": LEAF.hex(),
            "recovery": recovery.hex(),
            "nonce": nonce.hex(),
            "person": person.hex(),
        },
        "family": family.hex(),
        "proofs": {name: message.hex() for name, message in messages.items()},
        "invalid": [
            {"name": name, "body": encode(body).hex(), "reason": reason}
            for name, (body, reason) in _powerless().items()
        ],
        "founding": {
            "log": header.log.hex(),
            "statements": [encode(s).hex() for s in found],
            "hashes": [h.hex() for h in statement_hashes(header, found)],
        },
    }


def _powerless() -> dict[str, tuple[list[Any], str]]:
    """Statements of the founder, right after the founding, that have no effect."""
    device = [DEVICE, LAPTOP.id, LAPTOP.box_key, LEAF, 0, fixed(16), fixed(48), fixed(64)]
    return {
        "unknown number": ([99], "unknown statement"),
        "a part less": ([PERSON, ADMIN], "shape"),
        "a part more": ([PERSON, ADMIN, fixed(16), 0], "shape"),
        "role true": ([PERSON, True, fixed(16)], "shape"),
        "nonce of 15 bytes": ([PERSON, ADMIN, fixed(15)], "shape"),
        "number of 2^32": ([VAULT, 1 << 32, fixed(16)], "shape"),
        "a list in place of bytes": ([PERMIT, [fixed(32)]], "shape"),
        "founded again": (
            [FOUND, ANNA.box_key, Author("recovery").id, fixed(32)],
            "founds only at the start",
        ),
        "the founder again": ([PERSON, ADMIN, fixed(16)], "founder admitted already"),
        "a device of nobody": (device, "unknown owner"),
        "leaf of 63 bytes": ([*device[:3], fixed(63), *device[4:]], "shape"),
        "role of a device": ([*device[:4], 2, *device[5:]], "unknown role"),
        "a permit for nothing": ([PERMIT, LAPTOP.id], "unknown device"),
        "suite of no vault": ([SUITE, fixed(16), 1, [1, 2], 1], "not the owner"),
        "another's wrap": ([UNLOCK, fixed(16), fixed(64), b""], "another person's"),
        "a wrap by a digest of 31 bytes": ([UNLOCK, fixed(16), [fixed(31)], b""], "shape"),
        "a role of nobody": ([ROLE, fixed(16), READER, []], "unknown person"),
        "a role with a log of 15 bytes": ([ROLE, fixed(16), READER, [[fixed(15), []]]], "shape"),
        "a right in no vault": ([REVOKE, fixed(16), fixed(16), 0, []], "unknown vault or person"),
        "a proposal about nobody": ([PROPOSE, fixed(16), 1, fixed(16)], "unknown person"),
        "a proposal about no kind": ([PROPOSE, fixed(16), 2, fixed(16)], "unknown person"),
        "approval of nothing": ([APPROVE, fixed(32), []], "unknown proposal"),
        "a recovery by the founder": (
            [RECOVER, [], LAPTOP.id, LAPTOP.box_key, LEAF, fixed(48), fixed(64), ANNA.id, ANNA.box_key, fixed(64),
             fixed(32)],
            "not the recovery key in force",
        ),
        "purged in no vault": ([PURGE, fixed(16), [[fixed(18), [fixed(18)]]]], "unknown vault"),
        "purged without a floor": ([PURGE, fixed(16), [[fixed(18), []]]], "shape"),
        "forgotten for no wrap": ([FORGET, [fixed(32)], fixed(32)], "unknown floor"),
        "a discovery key for no device": ([DISCOVERY, [[fixed(32), fixed(48)]]], "recipients are not the devices"),
    }


def sealing() -> dict[str, Any]:
    log = log_id(FAMILY, ANNA.id, fixed(16))
    valid = []
    for name, suite, values in (
        ("base, AES-256-GCM", 1, [(".base", "", {"label": "Bank", "password": "hunter2"})]),
        ("ChaCha20-Poly1305, second op", 2, [("password", "", "one"), ("password", "", "two")]),
        ("a tag", 1, [("tags", "family", True)]),
        ("emptied", 1, [("notes", "", None)]),
    ):
        place = Place(FAMILY, VAULT_ID, EPOCH_ID, suite, log, 5)
        sealer = Sealer(KEYS, place, fixed)
        for index, (field, member, value) in enumerate(values):
            op_target = target(KEYS.target_key, RECORD, field, member or None)
            sealed = sealer.seal(op_target, RECORD, field, member, value)
            valid.append(
                {
                    "name": f"{name} {index}",
                    "suite": suite,
                    "index": index,
                    "salt": sealer.salt.hex(),
                    "commitment": sealer.commitment.hex(),
                    "target": op_target.hex(),
                    "sealed": sealed.hex(),
                    "field": field,
                    "member": member,
                    "value": value,
                }
            )
    about = {
        "family": FAMILY.hex(),
        "vault": VAULT_ID.hex(),
        "epoch": EPOCH_ID.hex(),
        "log": log.hex(),
        "seq": 5,
        "record": RECORD.hex(),
        "vault_key": KEYS.vault_key.hex(),
        "target_key": KEYS.target_key.hex(),
        "commitment": KEYS.commitment().hex(),
    }
    return {
        "place": about,
        "padded": {str(n): padded_size(n) for n in (1, 64, 65, 96, 97, 128, 129, 1000, 5000)},
        "valid": valid,
        "invalid": _bad_seals(log),
    }


def _bad_seals(log: bytes) -> list[dict[str, Any]]:
    """What who has the keys could seal, and who opens it must put aside."""
    place = Place(FAMILY, VAULT_ID, EPOCH_ID, 1, log, 5)
    sealer = Sealer(KEYS, place, fixed)
    own = target(KEYS.target_key, RECORD, "password")
    cases: dict[str, tuple[bytes, str]] = {
        "no mark": (b"\0" * 64, "padding"),
        "padded with ones": ((b"\xf6\x80").ljust(64, b"\x01"), "padding"),
        "a class too large": ((b"\xf6\x80").ljust(96, b"\0"), "padding"),
        "no class": ((b"\xf6\x80").ljust(65, b"\0"), "padding"),
        "empty": (b"", "padding"),
        "null": ((b"\xf6\x80").ljust(64, b"\0"), "shape"),
        "not CBOR": ((b"\x43\x80").ljust(64, b"\0"), "cbor"),
        "a float": ((encode([fixed(16), RECORD, "password", "", 1.5]) + b"\x80").ljust(64, b"\0"), "type"),
        "record of 15 bytes": (
            (encode([fixed(16), RECORD[:15], "password", "", "x"]) + b"\x80").ljust(64, b"\0"),
            "shape",
        ),
        "another field": (
            (encode([fixed(16), RECORD, "label", "", "x"]) + b"\x80").ljust(64, b"\0"),
            "target",
        ),
        "another record": (
            (encode([fixed(16), fixed(16), "password", "", "x"]) + b"\x80").ljust(64, b"\0"),
            "target",
        ),
        "a member": (
            (encode([fixed(16), RECORD, "password", "x", "x"]) + b"\x80").ljust(64, b"\0"),
            "target",
        ),
    }
    bad = []
    for name, (plain, kind) in cases.items():
        sealed = sealer._cipher.encrypt(bytes(12), plain, own)
        bad.append(
            {
                "name": name,
                "target": own.hex(),
                "salt": sealer.salt.hex(),
                "commitment": sealer.commitment.hex(),
                "sealed": sealed.hex(),
                "kind": kind,
            }
        )
    return bad


def boxed(plain: bytes, recipient: PublicKey, ephemeral: PrivateKey) -> bytes:
    """A sealed box (libsodium) with a key of ours in place of a random one."""
    public = crypto_scalarmult_base(bytes(ephemeral))
    nonce = blake2b(public + bytes(recipient), digest_size=24).digest()
    return public + Box(ephemeral, recipient).encrypt(plain, nonce).ciphertext


def grant() -> dict[str, Any]:
    commitment = KEYS.commitment()
    context = tagged_hash(LABEL_GRANT, encode([FAMILY, VAULT_ID, commitment, ANNA.id]))
    ephemeral, box_key = PrivateKey(fixed(32)), ANNA.box.public_key
    other = VaultKeys(KEYS.target_key, KEYS.vault_key)
    elsewhere = tagged_hash(LABEL_GRANT, encode([FAMILY, fixed(16)[::-1], commitment, ANNA.id]))
    cases: dict[str, tuple[Any, str]] = {
        "valid": ([context, KEYS.vault_key, KEYS.target_key], ""),
        "another vault": ([elsewhere, KEYS.vault_key, KEYS.target_key], "context"),
        "another key": ([context, other.vault_key, other.target_key], "commitment"),
        "key of 31 bytes": ([context, KEYS.vault_key[:31], KEYS.target_key], "box"),
        "two parts": ([context, KEYS.vault_key], "box"),
        "context as text": (["x", KEYS.vault_key, KEYS.target_key], "box"),
    }
    boxes = {name: boxed(encode(value), box_key, ephemeral) for name, (value, _) in cases.items()}
    listed = [{"name": name, "box": boxes[name].hex(), "kind": kind} for name, (_, kind) in cases.items() if kind]
    listed.append({"name": "cut short", "box": boxes["valid"][:-1].hex(), "kind": "box"})
    listed.append({"name": "not CBOR", "box": boxed(b"\xff", box_key, ephemeral).hex(), "kind": "box"})
    return {
        "family": FAMILY.hex(),
        "vault": VAULT_ID.hex(),
        "commitment": commitment.hex(),
        "recipient": ANNA.id.hex(),
        "private": bytes(ANNA.box).hex(),
        "vault_key": KEYS.vault_key.hex(),
        "target_key": KEYS.target_key.hex(),
        "context": context.hex(),
        "valid": [{"name": "valid", "box": boxes["valid"].hex()}],
        "invalid": listed,
    }


MADE: tuple[Callable[[], dict[str, Any]], ...] = (
    encoding, entry, frontier, sync, membership, history, sealing, grant,
)  # fmt: skip


def main() -> int:
    wrong = []
    for make in MADE:
        path = FOLDER / f"{make.__name__}.json"
        text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
        elif path.read_text("utf-8") != text:
            wrong.append(path.name)
    if wrong:
        print("not what would be written:", ", ".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
