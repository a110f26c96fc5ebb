"""One-time codes: those of the RFCs, of other programs, and every way a secret is written or mistyped."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.otp import (
    ALGORITHMS,
    MAX_TEXT,
    STEAM_ALPHABET,
    Otp,
    after_use,
    decode_base32,
    encode_base32,
    hotp,
    read_otp,
    told,
    write_url,
)
from replication.errors import Malformed

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "otp.json").read_text())
KINDS = {"size", "base32", "secret", "url", "kind", "algorithm", "digits", "period", "counter"}
SECRETS = st.binary(min_size=5, max_size=64)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip)


@st.composite
def otps(draw: st.DrawFn) -> Otp:
    kind = draw(st.sampled_from(["totp", "hotp", "steam"]))
    return Otp(
        draw(SECRETS),
        kind,
        draw(st.sampled_from(ALGORITHMS)),
        6 if kind == "steam" else draw(st.integers(6, 8)),
        30 if kind == "hotp" else draw(st.integers(1, 86_400)),
        draw(st.integers(0, 2**64 - 1)) if kind == "hotp" else 0,
        draw(NAMES),
        draw(NAMES),
    )


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: f"{case['from']} {case['code']}")
def test_codes_that_others_make_too(case):
    otp = read_otp(case["text"])
    assert otp.code(case["now"]) == case["code"]
    assert otp.seconds_left(case["now"]) == case["seconds_left"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: f"{case['kind']}: {case['why']}")
def test_what_is_refused(case):
    with pytest.raises(Malformed) as refusal:
        read_otp(case["text"])
    assert refusal.value.kind == case["kind"]
    heard = told(refusal.value)
    assert len(case["text"]) < 5 or case["text"] not in heard.message + heard.hint + str(refusal.value)


def test_every_kind_of_refusal_has_a_vector():
    assert {case["kind"] for case in VECTORS["invalid"]} == KINDS


def test_a_code_lives_until_its_period_ends():
    otp = read_otp("JBSWY3DPEHPK3PXP")
    assert otp.code(30_000) == otp.code(59_999) != otp.code(60_000)
    assert [otp.seconds_left(now) for now in (30_000, 59_999, 60_000)] == [30, 1, 30]


def test_zeros_in_front_stay():
    codes = [hotp(b"12345678901234567890", counter) for counter in range(200)]
    assert all(len(code) == 6 for code in codes)
    assert any(code.startswith("0") for code in codes)


def test_a_counter_moves_on_by_one_and_never_over_its_end():
    otp = read_otp("otpauth://hotp/Bank:anna?secret=JBSWY3DPEHPK3PXP&counter=7&digits=8")
    after = read_otp(write_url(after_use(otp)))
    assert (after.counter, after.digits, after.account, after.issuer) == (8, 8, "anna", "Bank")
    assert after.code(0) != otp.code(0)
    with pytest.raises(Malformed, match="counter"):
        after_use(Otp(b"secret", "hotp", counter=2**64 - 1))
    totp = read_otp("JBSWY3DPEHPK3PXP")
    assert after_use(totp) == totp


def test_names_in_a_label():
    url = "otpauth://totp/Old%20Bank%3A%20anna%40home?secret=JBSWY3DPEHPK3PXP"
    assert (read_otp(url).issuer, read_otp(url).account) == ("Old Bank", "anna@home")
    assert read_otp(url + "&issuer=New").issuer == "New"
    assert read_otp("otpauth://totp/anna?secret=JBSWY3DPEHPK3PXP").account == "anna"


@pytest.mark.parametrize("issuer", ["", "Bank", "Bank: Town", ":", "a%3Ab"])
@pytest.mark.parametrize("account", ["", "anna", "anna:home", "?#&+ü"])
def test_names_with_signs_that_mean_something(issuer, account):
    otp = Otp(b"secret", issuer=issuer, account=account)
    assert read_otp(write_url(otp)) == otp


def test_a_secret_is_not_shown_by_repr():
    assert repr(read_otp("JBSWY3DPEHPK3PXP")) == "<secret>"


@given(otps())
def test_what_is_written_is_read_again(otp):
    try:
        url = write_url(otp)
    except Malformed as refusal:
        assert refusal.kind == "size"
        return
    assert read_otp(url) == otp
    assert read_otp(url).code(1_700_000_000_000) == otp.code(1_700_000_000_000)


@given(SECRETS, st.sampled_from(["", " ", "-", "\n", "\u00a0"]), st.booleans(), st.booleans())
def test_base32_however_it_is_spelled(secret, between, small, padded):
    text = encode_base32(secret)
    text += "=" * (-len(text) % 8 if padded else 0)
    text = text.lower() if small else text
    assert decode_base32(between.join(text)) == secret


@given(st.one_of(
    st.text(st.characters(), max_size=100),
    st.text(st.characters(), max_size=60).map("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&".__add__),
    st.text(st.characters(), max_size=60).map("otpauth://hotp/".__add__),
    st.text("ABCDEFGHabcdefgh234567= -", max_size=300),
    st.builds(
        "otpauth://{}/{}?{}".format,
        st.sampled_from(["totp", "hotp", "steam", "TOTP", "x"]),
        NAMES.map(quote),
        st.lists(st.builds(
            "{}={}".format,
            st.sampled_from(["secret", "SECRET", "digits", "period", "counter", "algorithm", "encoder"]),
            st.sampled_from(["JBSWY3DPEHPK3PXP", "6", "30", "0", "-1", "1" * 25, "sha256", "steam", "", "%"]),
        ), max_size=7).map("&".join),
    ),
))  # fmt: skip
def test_whatever_is_read_gives_a_code_or_is_refused_by_its_kind(text):
    try:
        otp = read_otp(text)
    except Malformed as refusal:
        assert refusal.kind in KINDS
        told(refusal)
        return
    code = otp.code(1_700_000_000_000)
    assert len(code) == (5 if otp.kind == "steam" else otp.digits)
    assert set(code) <= set(STEAM_ALPHABET if otp.kind == "steam" else "0123456789")
    try:
        assert read_otp(write_url(otp)) == otp
    except Malformed as refusal:
        assert refusal.kind == "size"


def test_nothing_over_the_limit_is_looked_at():
    read_otp(" " * (MAX_TEXT - 16) + "JBSWY3DPEHPK3PXP")
    with pytest.raises(Malformed, match="size"):
        read_otp(" " * MAX_TEXT + "JBSWY3DPEHPK3PXP")
