"""What is fuzzed: a function for each decoder, from bytes to what became of them. hypothesis and atheris share them.

Each says `taken`, or the kind of our refusal. Whatever is taken was the one spelling of itself; an exception that
is not a refusal of ours, or a kind that the decoder does not announce, is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from discovery import announcement, invitation, pairing
from node.errors import ExitCode, KinringError
from node.grants import LABEL_DISCOVERY, LABEL_GRANT, open_discovery_key, open_keys
from node.imports import documents_csv
from node.item import Opened, clean_fields, fingerprint, matches, read_item, writes_for_new
from node.sealing import Opener, Place, Sealer, VaultKeys, padded_size, target
from node.unlock import (
    LANES,
    MEMORY_KIB,
    PASSES,
    ROUNDS,
    format_recovery_code,
    parse_recovery_code,
    parse_unlock_wrap,
    unwrap_secret,
)
from replication.encoding import decode, encode
from replication.entry import LABEL_SIGNATURE, STATEMENTS, Header, from_wire, statement_hashes, tagged_hash, to_wire
from replication.errors import Refused, RemoteProtocolError
from replication.leaf import check_leaf
from replication.log import signed_from_wire
from replication.membership import Membership, Statement
from replication.messages import Hello, Shared, read_message, write_message
from replication.replica import Replica
from replication.session import SyncSession
from replication.state import can_act
from tests.kin import Author, new_replica
from tests.make_history import BEN, CLEO
from tests.make_vectors import boxed

FOLDER = Path(__file__).parents[1] / "vectors"
DATA = Path(__file__).parents[1] / "data"
TAKEN = "taken"

ENCODING = frozenset(("size", "cbor", "tag", "type", "canonical"))
FIXED = bytes(range(32))
KEYS = VaultKeys(bytes(range(100, 132)), bytes(range(132, 164)))
RECORD = bytes(range(64, 80))
ANNA = Author("anna")
AUTHORS = (ANNA.id, BEN.id, CLEO.id, Author("kit").id)


@dataclass(frozen=True)
class Target:
    """`run` raises for a fault; `seeds` are valid examples; `kinds` all that a refusal may be."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    kinds: frozenset[str]

    def outcome(self, data: bytes) -> str:
        """`taken` or a kind. AssertionError, or whatever escapes, is a fault."""
        try:
            self.run(data)
        except (Refused, RemoteProtocolError) as refusal:
            assert refusal.kind in self.kinds, f"{self.name} announces no refusal {refusal.kind!r}"
            return refusal.kind
        except KinringError as told:
            assert told.code is ExitCode.INVALID and "invalid" in self.kinds
            return "invalid"
        return TAKEN


@cache
def vectors(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def _hex(items: list[dict[str, Any]], key: str) -> list[bytes]:
    return [bytes.fromhex(item[key]) for item in items]


# replication/


def run_encoding(data: bytes) -> None:
    assert encode(decode(data)) == data


def run_entry(data: bytes) -> None:
    wire = from_wire(data)
    # A frontier that is left out is the one before; one that is there must not be taken for it.
    before = (b"\0" * 32,) if wire.frontier is None else (*wire.frontier, b"\xff" * 33)
    entry = wire.chain(FIXED, wire.author or ANNA.id, wire.nonce or FIXED, before)
    assert to_wire(entry, before) == data
    assert len(entry.hash) == 32
    statement_hashes(entry.header, entry.statements)
    entry.verify()


def run_message(data: bytes) -> None:
    assert write_message(read_message(data)) == data


def run_frontier(data: bytes) -> None:
    signed = signed_from_wire(data)
    assert signed.to_wire() == data
    signed.verify(FIXED)


def run_leaf(data: bytes) -> None:
    check_leaf(data)


@cache
def _batches() -> list[list[Statement]]:
    """The statements of the history, by entry."""
    batches: dict[tuple[bytes, int], list[Statement]] = {}
    for statement in _copy().membership().statements.values():
        batches.setdefault((statement.log, statement.seq), []).append(statement)
    return list(batches.values())


@cache
def _copy() -> Replica:
    """A copy in memory that holds the whole history."""
    history = vectors("history")
    replica = new_replica("fuzzed", bytes.fromhex(history["family"]))
    assert replica.ingest(_hex(history["entries"], "wire")).refused is None
    return replica


def run_membership(data: bytes) -> None:
    """An entry's statements, by one of those who are there (the first byte says who, and of what they had heard)."""
    known, batches = _copy().membership(), _batches()
    choice, bodies = data[:1] or b"\0", decode(data[1:])
    if type(bodies) is not list or not all(type(b) is list and b and type(b[0]) is int for b in bodies) or not bodies:
        raise Refused("shape")
    membership = Membership(known.family)
    for batch in batches:
        membership.add(batch, known.reasons)
    author = AUTHORS[choice[0] % 4]
    heads = membership.heads()
    frontier = (heads, heads, (batches[0][-1].hash,), ())[choice[0] // 4 % 4]
    place = (known.family, author, b"l" * 16, choice[0] // 16, b"", STATEMENTS, b"", b"", 0, frontier)
    header = Header(*place, 0, b"", b"", 0, b"")
    names = statement_hashes(header, bodies)
    made = [Statement(n, author, header.log, header.seq, i, frontier, b)
            for i, (n, b) in enumerate(zip(names, bodies, strict=True))]  # fmt: skip
    membership.add(made)
    state = membership.state()
    assert can_act(state), "nobody is left who can act"
    assert all(type(membership.reasons.get(name, "")) is str for name in names)
    for vault in state.vaults:
        state.recipients(vault)
        state.writable_epoch(vault)
    membership.frontier_for(author, heads)
    if all(name in membership.reasons for name in names):
        raise Refused("powerless")


class _Undone(Exception):
    """Raised to leave the copy as it was."""


def run_hostile_entry(data: bytes) -> None:
    """An entry of a member who signs whatever they like: it is stored or refused, and the copy can go on."""
    replica, parsed, value = _copy(), from_wire(data), decode(data)
    if parsed.seq == 0:
        previous: bytes = parsed.nonce or b""
        before: tuple[bytes, ...] = ()
    else:
        log, _, previous, _ = next(tip for tip in replica.tips() if tip[1] == ANNA.id)
        seq, held = replica.store.one("SELECT seq, frontier FROM entries WHERE hash = ?", (previous,))
        before = tuple(held[at : at + 32] for at in range(0, len(held), 32))
        value[1], value[2] = log, seq + 1
    entry = from_wire(encode(value)).chain(replica.family or b"", ANNA.id, previous, before)
    value[12] = ANNA.sign(tagged_hash(LABEL_SIGNATURE, entry.hash))
    try:
        with replica.transaction():
            result = replica.ingest([encode(value)])
            replica.table()
            replica.put_aside()
            replica.frontier()
            assert can_act(replica.state()), "nobody is left who can act"
            raise _Undone
    except _Undone:
        pass
    if result.refused is not None:
        raise result.refused


def run_session(data: bytes) -> None:
    """A message to a device whose peer has said hello, and what it shares."""
    replica = _copy()
    session = SyncSession(replica, 0)
    session.receive_message(write_message(Hello(replica.family or b"", ())), 0)
    session.receive_message(write_message(Shared((), ())), 0)
    # Nothing is undone: what is not signed anew leaves no entry here.
    session.receive_message(data, 0)
    session.messages_to_send(0)
    assert replica.last_id() == len(vectors("history")["entries"])


# node/


def _opened(op_target: bytes, sealer: Sealer, place: Place, sealed: bytes) -> bytes:
    """The plaintext that a sealed value was read from, made anew of what was read."""
    opener = Opener(KEYS, place, sealer.salt, sealer.commitment)
    value = opener.open(0, op_target, sealed)
    opened = Opened(b"d" * 18, b"a" * 32, 1, value.name, value.member, value.value)
    base = Opened(b"e" * 18, b"a" * 32, 2, ".base", "", {"label": "Bank", "tags": ["x"]})
    item = read_item(value.record, [opened, base])
    matches(item, "bank")
    fingerprint({**item.fields, "tags": item.tags, "form_fields": item.form_fields})
    return encode([value.record, value.name, value.member, value.value])


def _sealer() -> tuple[Place, Sealer]:
    place = Place(FIXED, bytes(range(16)), FIXED, 1, bytes(16), 5)
    return place, Sealer(KEYS, place, lambda count: bytes(range(count)))


def run_sealed(data: bytes) -> None:
    """Bytes in the place of a sealed value: only what was sealed opens."""
    place, sealer = _sealer()
    _opened(target(KEYS.target_key, RECORD, "password"), sealer, place, data)
    assert data in sealed_seeds()


def run_sealed_plain(data: bytes) -> None:
    """What one who has the keys may seal: the content, read as the value of the place that it names."""
    place, sealer = _sealer()
    content = decode(data, limit=48 * 1024)
    match content:
        case [bytes(), bytes(record), str(name), str(member), _]:
            op_target = target(KEYS.target_key, record, name, member or None)
        case _:
            op_target = bytes(16)
    padded = (data + b"\x80").ljust(padded_size(len(data) + 1), b"\0")
    again = _opened(op_target, sealer, place, sealer._cipher.encrypt(bytes(12), padded, op_target))
    assert again == encode(content[1:])


@cache
def sealed_seeds() -> list[bytes]:
    _, sealer = _sealer()
    op_target = target(KEYS.target_key, RECORD, "password")
    return [sealer.seal(op_target, RECORD, "password", "", "hunter2")]


def plain_seeds() -> list[bytes]:
    values: list[tuple[str, str, Any]] = [
        (".base", "", {"label": "Bank", "password": "x", "tags": ["a", "b"], "form_fields": {"pin": "1"}}),
        (".state", "", ["deleted", [b"d" * 18, b"e" * 18]]), (".state", "", ["alive"]),
        (".roster", "", [["tags", "a"], ["form_fields", "pin"]]), ("password", "", "two"), ("notes", "", None),
        ("tags", "family", True), ("form_fields", "pin", "2"), ("favorite", "", True), ("renew_interval_days", "", 90),
    ]  # fmt: skip
    return [encode([bytes(16), RECORD, name, member, value]) for name, member, value in values]


def run_grant(data: bytes) -> None:
    """A box, or (first byte 1) what lies in one, or (2) in one with a discovery key."""
    how, vault, private = data[:1], bytes(range(16)), ANNA.box
    if how == b"\x02":
        box = boxed(data[1:], ANNA.box.public_key, PrivateKey(FIXED))
        assert len(open_discovery_key(box, family=FIXED, device=ANNA.id, private=private)) == 32
        assert encode(decode(data[1:])) == data[1:]
        return
    box = boxed(data[1:], ANNA.box.public_key, PrivateKey(FIXED)) if how == b"\x01" else data[1:]
    keys = open_keys(
        box, family=FIXED, vault=vault, commitment=KEYS.commitment(), recipient=ANNA.id, private=private
    )
    assert keys == KEYS


def grant_seeds() -> list[bytes]:
    context = tagged_hash(LABEL_GRANT, encode([FIXED, bytes(range(16)), KEYS.commitment(), ANNA.id]))
    plain = encode([context, KEYS.vault_key, KEYS.target_key])
    discovery = encode([tagged_hash(LABEL_DISCOVERY, encode([FIXED, ANNA.id])), bytes(32)])
    return [b"\0" + boxed(plain, ANNA.box.public_key, PrivateKey(FIXED)), b"\x01" + plain, b"\x02" + discovery]


def run_unlock_wrap(data: bytes) -> None:
    """The parts that are read before any work is done for them."""
    wrap = parse_unlock_wrap(data)
    assert encode([*decode(wrap.header), wrap.commitment, wrap.sealed]) == data
    cost = wrap.kdf
    bounds = [(cost.memory_kib, MEMORY_KIB), (cost.passes, PASSES), (cost.lanes, LANES)]
    if cost.rounds:
        bounds = [(cost.rounds, ROUNDS)]
    assert all(least <= value <= most for value, (least, most) in bounds), "work without a bound"


def run_wrapped_secret(data: bytes) -> None:
    vector = vectors("unlock")["secret"][0]
    key, context = bytes.fromhex(vector["unlock_key"]), bytes.fromhex(vector["context"])
    assert unwrap_secret(key, data, purpose=vector["purpose"], context=context).hex() == vector["secret"]
    assert data.hex() == vector["wrap"]


def run_recovery_code(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    code = parse_recovery_code(text)
    assert parse_recovery_code(format_recovery_code(code)) == code


def run_csv(data: bytes) -> None:
    for row in documents_csv.read(data):
        if isinstance(row, documents_csv.Skipped):
            assert row.reason
            continue
        try:
            writes_for_new(clean_fields({"kind": "Logins", **row.fields}))
        except Refused as refusal:
            assert refusal.kind == "field"  # told with the row, the others are imported


def csv_seeds() -> list[bytes]:
    return [
        DATA.joinpath("accounts.csv").read_bytes()[:2000],
        b'Type,name,url,username,password,note\nLogins,Bank,https://bank.example,anna,"a,""b",one, two\n',
        b"\xef\xbb\xbfname,tags,otp,renew_interval_days,expires_at,favorite\nx,a;b,JBSWY3DPEHPK3PXP,90,2026-01-31,yes\n",
        b"title\tpassword\nx\ty\n", b"password,password,strange\r\n1,2,3,4,5\r\n",
    ]  # fmt: skip


# discovery/


def run_announcement(data: bytes) -> None:
    """Lines: the service's name, the port, the text record, then addresses."""
    name, port, txt, *addresses = [*data.split(b"\n"), b"", b"", b""]
    told = name.decode("utf-8", "replace")
    number = int(port) if port.isdigit() and len(port) < 9 else None
    heard = announcement.check(told, number, [a.decode("utf-8", "replace") for a in addresses], txt)
    assert f"{heard.instance}.{announcement.SERVICE_TYPE}" == told
    assert 0 < heard.port < 65536
    assert 0 < len(heard.addresses) <= announcement.MAX_ADDRESSES
    assert all(announcement.is_near(address) for address in heard.addresses)


def announcement_seeds() -> list[bytes]:
    name = b"abcdefghijklmnopqrstuvwxyz._kinring._tcp.local."
    return [name + b"\n4711\n\n192.168.1.7\nfe80::1\nfd00::7", name + b"\n1\n\0\n10.0.0.1\nfe80::1%eth0\n8.8.8.8"]


def run_invitation(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = invitation.decode(text)
    spelled = invitation.encode(found)
    assert invitation.decode(spelled) == found
    bare = "".join(c for c in text if c not in " \t\r\n-\u00a0").upper()
    start = len(invitation.PREFIX)
    forgiven = bare[start:].replace("O", "0").replace("I", "1").replace("L", "1")
    assert bare[:start] + forgiven == spelled


def run_pairing_message(data: bytes) -> None:
    kind, fields = pairing._parse(data)
    assert pairing._encoded(kind, *fields) == data


@cache
def _pairing() -> tuple[invitation.Invitation, bytes, SigningKey]:
    v = vectors("pairing")
    shown = invitation.Invitation(
        tuple(v["addresses"]), bytes.fromhex(v["leaf_sha256"]), bytes.fromhex(v["secret"])
    )
    return shown, bytes.fromhex(v["commit"]), SigningKey(bytes.fromhex(v["signing_seed"]))


def run_pairing_keys(data: bytes) -> None:
    """The keys of one who was invited, and may say what they like: proof and MAC are made anew."""
    shown, commit, key = _pairing()
    kind, fields = pairing._parse(data)
    if kind is not pairing.Message.KEYS:
        raise Refused("form")
    said = fields[:-2]
    proven = [*said, key.sign(pairing._proven(pairing.LABEL_PROOF, shown, commit, said)).signature]
    mac = pairing._mac(shown, pairing.LABEL_KEYS_MAC, pairing._proven(pairing.LABEL_KEYS_MAC, shown, commit, proven))
    device = pairing.check_keys(shown, commit, encode([1, 2, *proven, mac]))
    assert [device.device, device.box_key, device.offer_key, device.leaf, device.name, device.blind] == said[:-1]
    check_leaf(device.leaf)
    pairing.check_name(device.name)


def run_pairing_session(data: bytes) -> None:
    """One message to the side that scans (an even first byte) or shows, at the point that it says."""
    shown, commit, _ = _pairing()
    v = vectors("pairing")
    which, message = (data[:1] or b"\0")[0], data[1:]
    if which % 2:
        open_one = invitation.OpenInvitation(shown, 0)
        session: pairing.PairingSession = pairing.ShowingSession(open_one, commit, 0)
    else:
        device, box, offer, leaf = (bytes.fromhex(v[name]) for name in ("device", "box_key", "offer_key", "leaf"))
        new = pairing.NewDevice(device, box, offer, leaf, v["name"], v["blind"])
        sign = SigningKey(bytes.fromhex(v["signing_seed"])).sign
        session = pairing.ScanningSession(
            shown, new, lambda m: sign(m).signature, bytes.fromhex(v["nonce_scanning"]), 0
        )
        for before in (commit, bytes.fromhex(v["reveal"]))[: which // 2 % 3]:
            session.receive_message(before, 0)
            session.messages_to_send(0)
    try:
        session.receive_message(message, 0)
    finally:
        for answer in session.messages_to_send(0):
            pairing._parse(answer)


def run_pairing_offer(data: bytes) -> None:
    """An offer (first byte 0), or its box under a right MAC (1), or what lies in the box (else)."""
    shown, _, _ = _pairing()
    v = vectors("pairing")
    transcript = pairing.Transcript(*(bytes.fromhex(v[name]) for name in ("commit", "keys", "reveal")))
    private = PrivateKey(bytes.fromhex(v["offer_private_key"]))
    how, offer = data[:1], data[1:]
    if how != b"\0":
        sealed = offer if how == b"\x01" else boxed(offer, private.public_key, PrivateKey(FIXED))
        mac = pairing._mac(shown, pairing.LABEL_OFFER_MAC, transcript.hash() + sealed)
        offer = encode([1, sealed, mac])
    payload = pairing.open_offer(offer, shown, transcript, private)
    if how not in (b"\0", b"\x01"):
        assert encode([transcript.hash(), payload]) == data[1:]


def pairing_seeds() -> list[bytes]:
    v = vectors("pairing")
    whole = [bytes.fromhex(v[name]) for name in ("commit", "keys", "reveal")]
    return [*whole, encode([1, 0, "timeout"]), encode([1, 4, b"o"]), encode([1, 5, b""]), encode([1, 6, b"r"])]


def offer_seeds() -> list[bytes]:
    v = vectors("pairing")
    offer = bytes.fromhex(v["offer"])
    inner = encode([bytes.fromhex(v["transcript_hash"]), bytes.fromhex(v["payload"])])
    return [b"\0" + offer, b"\x01" + decode(offer)[1], b"\x02" + inner]


def entry_seeds() -> list[bytes]:
    return _hex(vectors("entry")["valid"], "wire") + _hex(vectors("history")["entries"], "wire")


def hostile_seeds() -> list[bytes]:
    """The examples as they follow an entry, with what had been heard before."""
    values = [decode(seed) for seed in entry_seeds()]
    return [encode([1, v[1], 5, None, *v[4:8], None, *v[9:]]) for v in values] + entry_seeds()


def membership_seeds() -> list[bytes]:
    wires = (decode(wire) for wire in _hex(vectors("history")["entries"], "wire"))
    return [bytes([who]) + encode(wire[13]) for wire in wires if wire[4] == 1 for who in (0, 1, 16)]


def session_seeds() -> list[bytes]:
    entries = [write_message(read_message(encode([1, [wire]]))) for wire in entry_seeds()]
    signed = [encode([5, [wire]]) for wire in _hex(vectors("frontier")["valid"], "wire")]
    return _hex(vectors("sync")["valid"], "hex") + entries + signed


WIRE = ENCODING | {"version", "shape", "suite"}
CHAINED = WIRE | {"log", "missing", "frontier", "signature"}
FORMS = ENCODING | {"version", "form"}

TARGETS = {
    target.name: target
    for target in (
        Target("encoding", run_encoding, lambda: _hex(vectors("encoding")["valid"], "hex"), ENCODING),
        Target("entry", run_entry, entry_seeds, WIRE | {"signature"}),
        Target("hostile-entry", run_hostile_entry, hostile_seeds, CHAINED),
        Target("message", run_message, lambda: _hex(vectors("sync")["valid"], "hex"), ENCODING | {"version", "shape"}),
        Target("session", run_session, session_seeds,
               CHAINED | {"order", "family", "ack", "refused", "device"}),
        Target("frontier", run_frontier, lambda: _hex(vectors("frontier")["valid"], "wire"),
               ENCODING | {"shape", "signature"}),
        Target("membership", run_membership, membership_seeds, ENCODING | {"shape", "powerless"}),
        Target("leaf", run_leaf, lambda: [bytes.fromhex(vectors("pairing")["leaf"])], frozenset((
            "size", "leaf", "key-type", "ca", "extension", "validity", "name", "self-signed"))),
        Target("sealed", run_sealed, sealed_seeds, frozenset(("tag",))),
        Target("sealed-plain", run_sealed_plain, plain_seeds, ENCODING | {"shape", "target", "padding"}),
        Target("grant", run_grant, grant_seeds, frozenset(("box", "context", "commitment"))),
        Target("unlock-wrap", run_unlock_wrap, lambda: _hex(vectors("unlock")["unlock"], "wrap"),
               ENCODING | {"wrap", "version", "kdf", "kdf-floor", "kdf-ceiling"}),
        Target("wrapped-secret", run_wrapped_secret, lambda: _hex(vectors("unlock")["secret"][:1], "wrap"),
               ENCODING | {"wrap", "version"}),
        Target("recovery-code", run_recovery_code, lambda: [v["text"].encode() for v in vectors("unlock")["code"]],
               frozenset(("invalid",))),
        Target("csv", run_csv, csv_seeds, frozenset(("invalid",))),
        Target("announcement", run_announcement, announcement_seeds, frozenset(("name", "port", "txt", "addresses"))),
        Target("invitation", run_invitation, lambda: [v["text"].encode() for v in vectors("invitation")["valid"]],
               frozenset(("size", "prefix", "version", "typo", "form"))),
        Target("pairing-message", run_pairing_message, pairing_seeds, FORMS),
        Target("pairing-keys", run_pairing_keys, pairing_seeds, FORMS | {"proof", "leaf", "key", "name"}),
        Target("pairing-session", run_pairing_session,
               lambda: [bytes([at]) + seed for seed in pairing_seeds() for at in range(6)],
               FORMS | {"order", "mac", "proof", "leaf", "key", "name", "commitment"}),
        Target("pairing-offer", run_pairing_offer, offer_seeds, FORMS | {"mac", "seal", "transcript"}),
    )
}  # fmt: skip
