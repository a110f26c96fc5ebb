"""Two devices and whatever may stand between them. Time is a number, randomness a seed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from discovery import pairing
from discovery.invitation import LIFETIME_MS, Invitation, OpenInvitation
from discovery.pairing import (
    LINGER_MS,
    TABLE,
    Answer,
    Complete,
    Digits,
    Inviter,
    Keys,
    Message,
    NewDevice,
    Offer,
    Over,
    ScanningSession,
    ShowingSession,
    Side,
    State,
    Transcript,
)
from node.identity import load_or_create
from replication.encoding import encode
from replication.errors import LocalProtocolError, Malformed, Refused, RemoteProtocolError

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "pairing.json").read_text())
PAYLOAD = b"what only the family knows"
LEAF = bytes.fromhex(VECTORS["leaf"])


class New:
    """The device that scans: its keys, and the process of the person who sits there."""

    def __init__(self, invitation: Invitation, seed: int = 1, name: str = "Ben's laptop") -> None:
        self.dice = random.Random(seed)
        self.key = SigningKey(self.dice.randbytes(32))
        self.offer_key = PrivateKey(self.dice.randbytes(32))
        box = PrivateKey(self.dice.randbytes(32))
        self.device = NewDevice(
            bytes(self.key.verify_key),
            bytes(box.public_key),
            bytes(self.offer_key.public_key),
            LEAF,
            name,
            False,
        )
        self.invitation = invitation

    def session(self, now: int = 0) -> ScanningSession:
        return ScanningSession(self.invitation, self.device, self.sign, self.dice.randbytes(32), now)

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data).signature


class Old:
    """The device that shows: its node's open invitation, and the unlocked process."""

    def __init__(self, seed: int = 2) -> None:
        dice = random.Random(seed)
        self.invitation = Invitation(("10.0.0.1:4711",), dice.randbytes(32), dice.randbytes(16))
        self.shown = OpenInvitation(self.invitation, 0)
        self.inviter = Inviter(self.invitation, dice.randbytes(32))

    def session(self, now: int = 0) -> ShowingSession:
        return ShowingSession(self.shown, self.inviter.commit, now)


class Pair:
    """Both, and the six messages by name as far as they have gone."""

    def __init__(self) -> None:
        self.old = Old()
        self.new = New(self.old.invitation)
        self.e, self.n = self.old.session(), self.new.session()
        self.said: list[bytes] = []
        self.digits = ""
        self.transcript: Any = None

    def carry(self, sender, receiver, now=0):
        (message,) = sender.messages_to_send(now)
        self.said.append(message)
        return receiver.receive_message(message, now)

    def until_digits(self, now=0):
        assert self.carry(self.e, self.n, now) == []
        (keys,) = self.carry(self.n, self.e, now)
        assert keys == Keys(self.said[0], self.said[1], self.new.device)
        self.e.reveal(self.old.inviter.reveal(keys.keys), now)
        (shown,) = self.carry(self.e, self.n, now)
        self.digits, self.transcript = shown.digits, shown.transcript

    def until_offer(self, now=0):
        self.until_digits(now)
        self.old.inviter.confirm(self.digits)
        self.e.confirm(self.old.inviter.seal(PAYLOAD), now)
        (offer,) = self.carry(self.e, self.n, now)
        return offer.offer

    def to_the_end(self):
        self.until_offer()
        self.n.ready(b"keys and signature", 0)
        assert self.carry(self.n, self.e) == [Answer(b"keys and signature")]
        self.e.complete(b"entry", 0)
        assert self.carry(self.e, self.n) == [Complete(b"entry")]


def scared(session, message: bytes, now: int = 0) -> str:
    """The kind with which the session ends; it says so to the peer and nothing else."""
    with pytest.raises(RemoteProtocolError) as refused:
        session.receive_message(message, now)
    assert session.state is State.SCARED
    assert session.over
    (last,) = session.messages_to_send(now)
    assert last == encode([1, 0, refused.value.kind])
    return refused.value.kind


def test_a_device_joins():
    pair = Pair()
    pair.until_digits()
    assert pair.digits.isdigit()
    assert len(pair.digits) == 6
    pair.old.inviter.confirm(f" {pair.digits[:3]} - {pair.digits[3:]} ")
    pair.e.confirm(pair.old.inviter.seal(PAYLOAD), 0)
    (offer,) = pair.carry(pair.e, pair.n)
    opened = pairing.open_offer(offer.offer, pair.old.invitation, pair.transcript, pair.new.offer_key)
    assert opened == PAYLOAD
    pair.n.ready(b"", 0)
    assert pair.carry(pair.n, pair.e) == [Answer(b"")]
    pair.e.complete(b"entry", 0)
    assert pair.carry(pair.e, pair.n) == [Complete(b"entry")]
    assert pair.e.state is pair.n.state is State.DONE
    assert pair.e.ended == pair.n.ended == "done"
    assert pair.old.inviter.device == pair.new.device
    assert pairing.check_transcript(pair.old.invitation, pair.transcript) == pair.new.device


def test_nothing_of_the_family_crosses_before_the_digits():
    pair = Pair()
    pair.until_digits()
    said = b"".join(pair.said)
    for secret in (PAYLOAD, pair.old.invitation.secret):
        assert secret not in said
    with pytest.raises(LocalProtocolError):
        pair.old.inviter.seal(PAYLOAD)
    assert pair.e.messages_to_send(0) == []
    with pytest.raises(Refused, match="digits"):
        pair.old.inviter.confirm("not the digits")
    with pytest.raises(LocalProtocolError):
        pair.old.inviter.seal(PAYLOAD)
    with pytest.raises(Refused, match="digits"):
        pair.old.inviter.confirm(pair.digits)  # one try, even if right now
    with pytest.raises(LocalProtocolError):
        pair.old.inviter.seal(PAYLOAD)
    pair.e.refuse("digits", 0)
    assert pair.carry(pair.e, pair.n) == [Over("digits")]
    assert pair.e.ended == pair.n.ended == "digits"


def test_both_sides_pass_the_same_states():
    pair = Pair()
    pair.to_the_end()
    assert [int(step.message) for step in TABLE] == [1, 2, 3, 4, 5, 6]
    assert [step.then for step in TABLE[:-1]] == [step.state for step in TABLE[1:]]
    assert len(pair.said) == len(TABLE)


# A09: in the middle, with the invitation photographed and TLS out of the way: the worst case.


def test_who_swaps_the_keys_makes_the_digits_differ():
    old = Old()
    ben, mallory = New(old.invitation, 1), New(old.invitation, 7, "Ben's laptop")
    to_ben, e = ben.session(), old.session()
    (commit,) = e.messages_to_send(0)
    to_ben.receive_message(commit, 0)
    to_ben.messages_to_send(0)  # swallowed
    forged = pairing.keys_message(old.invitation, commit, mallory.device, mallory.sign, bytes(32))
    (keys,) = e.receive_message(forged, 0)
    assert isinstance(keys, pairing.Keys)
    reveal = old.inviter.reveal(keys.keys)
    (shown,) = to_ben.receive_message(reveal, 0)
    with pytest.raises(Refused, match="digits"):
        old.inviter.confirm(cast(pairing.Digits, shown).digits)


def test_who_shows_ben_a_nonce_of_their_own_makes_the_digits_differ():
    old = Old()
    ben, mallory = New(old.invitation, 1), Inviter(old.invitation, bytes(32))
    n = ben.session()
    n.receive_message(mallory.commit, 0)
    (keys,) = n.messages_to_send(0)
    assert len(n.receive_message(mallory.reveal(keys), 0)) == 1  # Ben shows digits
    with pytest.raises(Refused, match="mac"):
        old.inviter.reveal(keys)  # but his keys answer another commitment


def test_who_does_not_know_the_secret_gets_no_further():
    pair = Pair()
    stranger = New(replace(pair.old.invitation, secret=bytes(16)))
    (commit,) = pair.e.messages_to_send(0)
    n = stranger.session()
    n.receive_message(commit, 0)
    (keys,) = n.messages_to_send(0)
    assert scared(pair.e, keys) == "mac"
    pair.old.shown.take(0)  # and has not used the invitation up


def test_another_certificate_than_the_one_scanned_makes_the_mac_wrong():
    pair = Pair()
    relayed = New(replace(pair.old.invitation, leaf_sha256=bytes(32))).session()
    (commit,) = pair.e.messages_to_send(0)
    relayed.receive_message(commit, 0)
    (keys,) = relayed.messages_to_send(0)
    assert scared(pair.e, keys) == "mac"


@pytest.mark.parametrize("at", range(6))
def test_one_s_own_message_is_no_answer(at):
    pair = Pair()
    pair.to_the_end()
    reflecting, said = Pair(), pair.said
    sides = {Side.SHOWING: reflecting.e, Side.SCANNING: reflecting.n}
    play(reflecting, at)
    sender = sides[TABLE[at].sender]
    if at < 5:
        sender.messages_to_send(0)
        assert scared(sender, said[at]) == "order"


@pytest.mark.parametrize(("at", "waiting"), [(2, "e"), (3, "e"), (4, "n"), (5, "e")])
def test_what_one_has_to_say_oneself_is_taken_from_nobody(at, waiting):
    """The other side sends what our own process is still being asked for."""
    _, message = receiver_at(at)
    pair = Pair()
    pair.carry(pair.e, pair.n)
    (keys,) = pair.carry(pair.n, pair.e)
    if at >= 3:
        pair.e.reveal(pair.old.inviter.reveal(keys.keys), 0)
        (shown,) = pair.carry(pair.e, pair.n)
    if at >= 4:
        pair.old.inviter.confirm(shown.digits)
        pair.e.confirm(pair.old.inviter.seal(PAYLOAD), 0)
        pair.carry(pair.e, pair.n)
    if at == 5:
        pair.n.ready(b"", 0)
        pair.carry(pair.n, pair.e)
    assert scared(getattr(pair, waiting), message) == "order"


def play(pair: Pair, count: int) -> None:
    """The first `count` messages arrive; message `count` waits to be sent."""
    pair.said = []
    if count >= 1:
        pair.carry(pair.e, pair.n)
    if count >= 2:
        (keys,) = pair.carry(pair.n, pair.e)
        pair.e.reveal(pair.old.inviter.reveal(keys.keys), 0)
    if count >= 3:
        (shown,) = pair.carry(pair.e, pair.n)
        pair.digits = shown.digits
        pair.old.inviter.confirm(shown.digits)
        pair.e.confirm(pair.old.inviter.seal(PAYLOAD), 0)
    if count >= 4:
        pair.carry(pair.e, pair.n)
        pair.n.ready(b"ready", 0)
    if count >= 5:
        pair.carry(pair.n, pair.e)
        pair.e.complete(b"done", 0)


def receiver_at(at: int):
    """The side that waits for message `at`, and that message."""
    pair = Pair()
    play(pair, at)
    sender, receiver = (pair.e, pair.n) if TABLE[at].sender is Side.SHOWING else (pair.n, pair.e)
    (message,) = sender.messages_to_send(0)
    return receiver, message


@pytest.mark.parametrize("at", range(6))
def test_a_message_twice_is_once_too_often(at):
    receiver, message = receiver_at(at)
    receiver.receive_message(message, 0)
    receiver.messages_to_send(0)
    if receiver.over:
        with pytest.raises(RemoteProtocolError, match="order"):
            receiver.receive_message(message, 0)
        assert receiver.state is State.DONE
    else:
        assert scared(receiver, message) == "order"


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("other", range(6))
def test_no_message_comes_out_of_turn(at, other):
    _, message = receiver_at(other)
    receiver, right = receiver_at(at)
    if message != right and other != at:
        assert scared(receiver, message) == "order"


def test_a_recorded_pairing_cannot_be_played_again():
    pair = Pair()
    pair.to_the_end()
    again = pair.old.session(1)
    assert scared(again, pair.said[1], 1) == "used"
    fresh = New(pair.old.invitation, 3).session()
    fresh.receive_message(pair.said[0], 0)
    (shown,) = fresh.receive_message(pair.said[2], 0)
    assert isinstance(shown, pairing.Digits)
    assert shown.digits != pair.digits
    fresh.receive_message(pair.said[3], 0)  # carried, never opened:
    with pytest.raises(Refused, match="mac"):
        pairing.open_offer(
            pairing._parse(pair.said[3])[1][0], pair.old.invitation, shown.transcript, pair.new.offer_key
        )


def test_another_nonce_than_the_committed_one():
    n, _ = receiver_at(2)
    assert scared(n, encode([1, 3, bytes(32)])) == "commitment"


# A10: looking for keys that give the digits one needs.


def test_without_a_commitment_digits_are_found_and_with_it_they_are_not():
    old = Old()
    ben, mallory = New(old.invitation, 1), New(old.invitation, 7)
    dice = random.Random(5)
    n = ben.session()
    n.receive_message(old.inviter.commit, 0)
    (keys,) = n.messages_to_send(0)
    reveal = old.inviter.reveal(keys)
    target = pairing.digits(Transcript(old.inviter.commit, keys, reveal))

    def forged() -> bytes:
        return pairing.keys_message(
            old.invitation, old.inviter.commit, mallory.device, mallory.sign, dice.randbytes(32)
        )

    # Who knows the nonce may try as often as they like: three of the six digits take about a thousand tries.
    tries = (pairing.digits(Transcript(old.inviter.commit, forged(), reveal)) for _ in range(20_000))
    assert any(found[:3] == target[:3] for found in tries)
    # Who must send before it is shown has one try for each pairing.
    hits = 0
    for _ in range(2_000):
        committed = forged()
        nonce = dice.randbytes(32)
        hits += pairing.digits(Transcript(old.inviter.commit, committed, encode([1, 3, nonce]))) == target
    assert hits == 0


def test_the_unlocked_process_shows_its_nonce_once_and_only_for_good_keys():
    pair = Pair()
    pair.until_digits()
    with pytest.raises(LocalProtocolError):
        pair.old.inviter.reveal(pair.said[1])
    fresh = Old()
    with pytest.raises(Refused):
        fresh.inviter.reveal(b"")
    with pytest.raises(LocalProtocolError):
        fresh.inviter.confirm("000000")


# A11 and time.


def test_an_old_code_is_dead_and_a_used_one_too():
    old = Old()
    late = old.session(LIFETIME_MS - 1)
    (commit,) = late.messages_to_send(0)
    n = New(old.invitation).session()
    n.receive_message(commit, 0)
    (keys,) = n.messages_to_send(0)
    assert scared(late, keys, LIFETIME_MS) == "expired"
    in_time, second = Old(), New(old.invitation, 3).session()
    e1, e2 = in_time.session(), in_time.session()
    e1.receive_message(keys, 0)
    second.receive_message(commit, 0)
    e2.messages_to_send(0)
    assert scared(e2, second.messages_to_send(0)[0]) == "used"


def test_the_end_of_the_two_minutes_cuts_no_pairing_under_way():
    pair = Pair()
    pair.until_digits(now=20_000)
    now = LIFETIME_MS + 5_000
    pair.e.handle_timeout(now)
    pair.old.inviter.confirm(pair.digits)
    pair.e.confirm(pair.old.inviter.seal(PAYLOAD), now)
    assert isinstance(pair.carry(pair.e, pair.n, now)[0], Offer)


@pytest.mark.parametrize("at", range(6))
def test_every_state_ends_by_itself_and_the_other_side_is_told(at):
    for waiting, step_waits in (("e", "showing_waits"), ("n", "scanning_waits")):
        pair = Pair()
        play(pair, at)
        session = getattr(pair, waiting)
        if at == 5 and waiting == "e":
            continue  # it has said the last word already
        session.messages_to_send(0)
        due = session.next_timeout()
        session.handle_timeout(due - 1)
        assert not session.over
        session.handle_timeout(due)
        assert session.ended == "timeout"
        assert session.messages_to_send(due) == [encode([1, 0, "timeout"])]
        assert session.next_timeout() == due + LINGER_MS
        with pytest.raises(RemoteProtocolError, match="timeout"):
            session.handle_timeout(due + LINGER_MS)
        assert due in {getattr(step, step_waits) for step in TABLE}


# Bytes.


@pytest.mark.parametrize("at", range(4))
def test_every_message_cut_anywhere_is_refused(at):
    _, message = receiver_at(at)
    for length in range(len(message)):
        with pytest.raises(Malformed):
            pairing._parse(message[:length])
    for length in (0, 1, 2, len(message) // 2, len(message) - 1):
        receiver, message = receiver_at(at)
        scared(receiver, message[:length])


@pytest.mark.parametrize("at", range(3))
def test_every_byte_of_what_makes_the_digits_is_guarded(at):
    """Flipped anywhere, nobody shows digits that the other side would take."""
    pair = Pair()
    pair.to_the_end()
    good = list(pair.said[:3])
    right = pairing.digits(Transcript(*good))
    for position in range(len(good[at])):
        for bit in (1, 128):
            said = list(good)
            said[at] = good[at][:position] + bytes([good[at][position] ^ bit]) + good[at][position + 1 :]
            with pytest.raises(Refused):
                pairing.check_transcript(pair.old.invitation, Transcript(*said))
            assert pairing.digits(Transcript(*said)) != right


def test_every_byte_of_the_offer_is_guarded():
    pair = Pair()
    offer = pair.until_offer()
    key, invitation = pair.new.offer_key, pair.old.invitation
    for position in range(len(offer)):
        changed = offer[:position] + bytes([offer[position] ^ 1]) + offer[position + 1 :]
        with pytest.raises(Refused):
            pairing.open_offer(changed, invitation, pair.transcript, key)
        with pytest.raises(Refused):
            pairing.open_offer(offer[:position], invitation, pair.transcript, key)


def test_an_offer_is_for_one_pairing_from_who_knows_the_secret_to_one_key():
    pair = Pair()
    offer = pair.until_offer()
    invitation, transcript, key = pair.old.invitation, pair.transcript, pair.new.offer_key
    other_secret = replace(invitation, secret=bytes(16))
    other_transcript = replace(transcript, reveal=encode([1, 3, bytes(32)]))
    for refused, args in {
        "mac": (offer, other_secret, transcript, key),
        "mac ": (offer, invitation, other_transcript, key),
        "seal": (offer, invitation, transcript, PrivateKey(bytes(31) + b"1")),
    }.items():
        with pytest.raises(Refused) as error:
            pairing.open_offer(*args)
        assert error.value.kind == refused.strip()
    # A box sealed in another pairing, under a MAC of this one: the transcript inside says so.
    elsewhere = pairing.seal_offer(b"x", invitation, other_transcript, bytes(key.public_key))
    sealed = pairing._decoded(elsewhere)[1]
    mac = pairing._mac(invitation, pairing.LABEL_OFFER_MAC, transcript.hash() + sealed)
    with pytest.raises(Refused, match="transcript"):
        pairing.open_offer(encode([1, sealed, mac]), invitation, transcript, key)


@given(st.integers(0, 5), st.binary(max_size=300))
def test_garbage_ends_it_with_a_word(at, garbage):
    receiver, _ = receiver_at(at)
    scared(receiver, garbage)


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.binary(max_size=70) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=11),
    max_leaves=14,
)


@given(st.integers(0, 5), st.integers(0, 7), st.lists(SMALL, max_size=10))
def test_well_formed_garbage_too(at, kind, fields):
    receiver, _ = receiver_at(at)
    try:
        events = receiver.receive_message(encode([1, kind, *fields]), 0)
    except RemoteProtocolError:
        assert receiver.state is State.SCARED
    else:
        assert not any(isinstance(event, Digits | Keys) for event in events)


@given(st.binary(max_size=300))
def test_an_offer_of_garbage_is_refused(garbage):
    pair = Pair()
    pair.until_digits()
    with pytest.raises(Refused):
        pairing.open_offer(garbage, pair.old.invitation, pair.transcript, pair.new.offer_key)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"name": "\x1b[2Jlaptop"}, "name"),
        ({"name": "abc\u202egnp"}, "name"),
        ({"name": " laptop"}, "name"),
        ({"box_key": bytes(32)}, "key"),
        ({"offer_key": b"\x01" + bytes(31)}, "key"),
        ({"leaf": b"0\x00"}, "leaf"),
        ({"device": bytes(32)}, "proof"),
        ({"device": b"\x01" + bytes(31)}, "proof"),
    ],
)
def test_a_device_that_could_not_be_admitted_is_refused(changes, kind):
    old = Old()
    new = New(old.invitation)
    new.device = replace(new.device, **changes)
    e = old.session()
    (commit,) = e.messages_to_send(0)
    assert scared(e, pairing.keys_message(old.invitation, commit, new.device, new.sign, bytes(32))) == kind
    if kind != "proof":
        with pytest.raises(Refused, match=kind):
            new.session()


def test_nobody_joins_under_another_device_s_id():
    old = Old()
    mallory, ben = New(old.invitation, 7), New(old.invitation, 1)
    claimed = replace(mallory.device, device=ben.device.device)
    with pytest.raises(Refused, match="proof"):
        pairing.check_keys(
            old.invitation,
            old.inviter.commit,
            pairing.keys_message(old.invitation, old.inviter.commit, claimed, mallory.sign, bytes(32)),
        )


def test_a_real_device_s_own_keys_are_taken(tmp_path):
    own = load_or_create(tmp_path, random.Random(1).randbytes)
    old = Old()
    device = NewDevice(
        own.id, bytes(own.box.public_key), bytes(PrivateKey.generate().public_key), own.leaf, "Pi", True
    )
    message = pairing.keys_message(
        old.invitation, old.inviter.commit, device, lambda data: own.sign.sign(data).signature, bytes(32)
    )
    assert pairing.check_keys(old.invitation, old.inviter.commit, message) == device


def test_our_own_mistakes_are_told_apart_and_change_nothing():
    pair = Pair()
    for wrong in (
        lambda: pair.e.confirm(b"offer", 0),
        lambda: pair.e.complete(b"", 0),
        lambda: pair.e.reveal(encode([1, 3, bytes(32)]), 0),
        lambda: pair.n.ready(b"", 0),
        lambda: pair.n.refuse("Two words", 0),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    pair.to_the_end()


def test_a_later_version_says_so():
    n = Pair().n
    assert scared(n, encode([2, 1, bytes(32)])) == "version"


def test_vectors():
    invitation = Invitation(
        tuple(VECTORS["addresses"]), bytes.fromhex(VECTORS["leaf_sha256"]), bytes.fromhex(VECTORS["secret"])
    )
    transcript = Transcript(*(bytes.fromhex(VECTORS[name]) for name in ("commit", "keys", "reveal")))
    device = pairing.check_transcript(invitation, transcript)
    assert device.name == VECTORS["name"]
    assert device.device.hex() == VECTORS["device"]
    assert transcript.hash().hex() == VECTORS["transcript_hash"]
    assert pairing.digits(transcript) == VECTORS["digits"]
    key = PrivateKey(bytes.fromhex(VECTORS["offer_private_key"]))
    assert (
        pairing.open_offer(bytes.fromhex(VECTORS["offer"]), invitation, transcript, key).hex()
        == VECTORS["payload"]
    )
    for vector in VECTORS["invalid"]:
        with pytest.raises(Refused) as refused:
            if "offer" in vector:
                pairing.open_offer(bytes.fromhex(vector["offer"]), invitation, transcript, key)
            else:
                said = {
                    name: bytes.fromhex(vector[name])
                    for name in ("commit", "keys", "reveal")
                    if name in vector
                }
                pairing.check_transcript(invitation, replace(transcript, **said))
        assert refused.value.kind == vector["kind"], vector["why"]


# The page with the states.


def test_the_page_shows_the_table_that_runs():
    page = ROOT / "docs" / "machines" / "pairing.md"
    drawn = draw()
    if not page.exists() or page.read_text(encoding="utf-8") != drawn:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(drawn, encoding="utf-8")
        pytest.fail(f"{page.relative_to(ROOT)} was stale and has been drawn anew", pytrace=False)


def draw() -> str:
    rows = [
        f"| {step.state.name} | {step.state.value} | {step.message.name} | {step.sender.value} "
        f"| {step.then.name} | {step.showing_waits // 1000} s | {step.scanning_waits // 1000} s |"
        for step in TABLE
    ]
    ends = [f"| {state.name} | {state.value} | | | | | |" for state in (State.DONE, State.SCARED)]
    return "\n".join(
        [
            "# Pairing: the states",
            "",
            "Drawn by `tests/discovery/test_pairing.py` from the table that `discovery/pairing.py` runs on.",
            "Both sides pass the same states; what each message holds: [pairing](../spec/pairing.md).",
            "",
            "| State | What is known | Next message | Sent by | Then | Showing waits | Scanning waits |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            *ends,
            "",
            "Any other message, one that does not hold, an ABORT or the end of the wait leads to SCARED.",
            f"{LINGER_MS // 1000} seconds after the end a driver closes the connection.",
            "",
        ]
    )


assert {Message.ABORT, *(step.message for step in TABLE)} == set(Message)
