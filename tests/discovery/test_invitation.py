"""The text under the QR code: short, forgiving to the hand, unforgiving to a typo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from discovery.invitation import LIFETIME_MS, Invitation, OpenInvitation, decode, encode
from replication.errors import Malformed, Refused

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "invitation.json").read_text())
SECRET = b"sixteen secrets!"
HOME = Invitation(
    (
        "192.168.178.21:51234",
        "10.11.12.13:51234",
        "172.16.254.1:51234",
        "[fe80::a1b2:c3d4:e5f6:a7b8]:51234",
        "[fd12:3456:789a:1:a1b2:c3d4:e5f6:a7b8]:51234",
    ),
    bytes(range(32)),
    SECRET,
)
V4 = st.tuples(st.ip_addresses(v=4), st.integers(1, 65535)).map(lambda a: f"{a[0]}:{a[1]}")
V6 = st.tuples(st.ip_addresses(v=6), st.integers(1, 65535)).map(lambda a: f"[{a[0]}]:{a[1]}")
INVITATIONS = st.builds(
    Invitation,
    st.lists(st.one_of(V4, V6), min_size=1, max_size=8, unique=True).map(tuple),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
)


def kind_of(text: str) -> str:
    with pytest.raises(Malformed) as refused:
        decode(text)
    assert refused.value.__cause__ is None, "a cause could quote the secret"
    return refused.value.kind


def test_vectors():
    for vector in VECTORS["valid"]:
        invitation = Invitation(
            tuple(vector["addresses"]), bytes.fromhex(vector["leaf_sha256"]), bytes.fromhex(vector["secret"])
        )
        assert encode(invitation) == vector["text"]
        assert decode(vector["text"]) == invitation
        assert invitation.hash().hex() == vector["hash"]
    for vector in VECTORS["invalid"]:
        assert kind_of(vector["text"]) == vector["kind"], vector["why"]


def test_three_ipv4_and_two_ipv6_addresses_fit_a_small_code():
    text = encode(HOME)
    assert len(text) <= 300
    code = segno.make(text, error="m")
    assert code.mode == "alphanumeric"
    assert int(code.version) <= 10


@given(INVITATIONS)
def test_every_invitation_comes_back_from_one_spelling_alone(invitation):
    text = encode(invitation)
    assert decode(text) == invitation
    assert kind_of(text + "0") == "typo", "not even a zero more, where there are bits to spare"


def test_copied_by_hand_or_mail():
    text = encode(HOME)
    wrapped = "\r\n  ".join(text[i : i + 40] for i in range(0, len(text), 40))
    dashed = "-".join(text[i : i + 4] for i in range(0, len(text), 4))
    for copied in (
        wrapped.lower(),
        dashed,
        f"\n {text}\t",
        text[:9] + text[9:].replace("0", "o").replace("1", "l"),
    ):
        assert decode(copied) == HOME


@given(st.integers(0, len(encode(HOME)) - 1), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZU:?é"))
def test_one_wrong_character_is_told(at, character):
    text = encode(HOME)
    changed = text[:at] + character + text[at + 1 :]
    if changed != text:
        assert kind_of(changed) in {"prefix", "version", "typo"}
        assert at < 9 or kind_of(changed) == "typo"


def test_every_cut_swap_and_doubling_is_told():
    text = encode(HOME)
    for at in range(9, len(text)):
        assert kind_of(text[:at]) == "typo"
        assert kind_of(text[:at] + text[at] + text[at:]) == "typo"
        if at + 1 < len(text) and text[at] != text[at + 1]:
            assert kind_of(text[:at] + text[at + 1] + text[at] + text[at + 2 :]) == "typo"


@given(st.text(max_size=60), st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", max_size=400))
def test_garbage_is_refused(garbage, characters):
    assert kind_of(garbage) == "prefix"
    assert kind_of("KINRING:1" + characters) == "typo"


def test_a_long_text_is_not_looked_at():
    assert kind_of(encode(HOME) + " " * 2048) == "size"


@pytest.mark.parametrize(
    "addresses",
    [
        (),
        ("10.0.0.1:1",) * 2,
        tuple(f"10.0.0.{i}:1" for i in range(9)),
        *[(one,) for one in ["pi.local:1", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:01", "10.0.0.1:65536", "fe80::1:1"]],
        *[(one,) for one in ["[fe80::1%eth0]:1", "[FE80::1]:1", "[fe80:0::1]:1", "[10.0.0.1]:1", ":1", "10.0.0.1:"]],
    ],
)
def test_only_addresses_in_their_usual_spelling(addresses):
    with pytest.raises(ValueError):
        Invitation(addresses, bytes(32), SECRET)


def test_the_secret_is_not_shown():
    assert (
        "<secret>" in repr(HOME)
    )
    assert (
        repr(SECRET)[2:-1] not in repr(HOME)
    )
    assert (
        SECRET.hex() not in repr(HOME)
    )
    assert SECRET.hex() not in HOME.hash().hex()


def test_one_use():
    shown = OpenInvitation(HOME, 1_000)
    shown.take(1_000 + LIFETIME_MS - 1)
    for now in (1_000, 1_000_000):
        with pytest.raises(Refused, match="used"):
            shown.take(now)


def test_two_minutes():
    shown = OpenInvitation(HOME, 1_000)
    with pytest.raises(Refused, match="expired"):
        shown.take(1_000 + LIFETIME_MS)
    withdrawn = OpenInvitation(HOME, 1_000)
    withdrawn.withdraw()
    with pytest.raises(Refused, match="used"):
        withdrawn.take(1_000)
