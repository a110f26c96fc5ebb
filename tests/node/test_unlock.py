"""Master password, secret key, unlock key: what opens, what never does (A13, A14, A15, A16, A19)."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ExitCode, KinringError
from node.unlock import (
    ARGON2ID,
    PBKDF2,
    PaperKeys,
    WrongPassword,
    family_recovery_key,
    format_recovery_code,
    new_recovery_code,
    open_stretched,
    paper_keys,
    parse_recovery_code,
    parse_unlock_wrap,
    secret_key_from_pepper,
    stretch,
    unwrap_secret,
    unwrap_unlock_key,
    wrap_secret,
    wrap_unlock_key,
)
from replication.encoding import decode, encode
from replication.errors import LocalProtocolError, Malformed, Refused

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "unlock.json").read_text())
PASSWORD = "correct horse battery staple"
FAMILY, PERSON = b"F" * 32, b"P" * 16
SECRET_KEY, UNLOCK_KEY = b"S" * 32, b"U" * 32
WHO = {"family": FAMILY, "person": PERSON}


def wrap_with(password: str, kdf=ARGON2ID, secret_key: bytes = SECRET_KEY) -> bytes:
    return wrap_unlock_key(password, secret_key, UNLOCK_KEY, kdf=kdf, random_bytes=secrets.token_bytes, **WHO)


@pytest.fixture(scope="session")
def wrap() -> bytes:
    return wrap_with(PASSWORD)


@pytest.fixture(scope="session")
def stretched(wrap: bytes) -> bytes:
    parsed = parse_unlock_wrap(wrap)
    return stretch(PASSWORD, parsed.kdf, parsed.salt)


def test_password_and_secret_key_open_the_wrap(wrap):
    assert unwrap_unlock_key(wrap, PASSWORD, SECRET_KEY, **WHO) == UNLOCK_KEY
    assert len(wrap) < 256
    assert all(secret not in wrap for secret in (UNLOCK_KEY, SECRET_KEY, PASSWORD.encode()))


def test_pbkdf2_is_a_choice():
    wrapped = wrap_with(PASSWORD, PBKDF2)
    assert unwrap_unlock_key(wrapped, PASSWORD, SECRET_KEY, **WHO) == UNLOCK_KEY
    with pytest.raises(WrongPassword):
        unwrap_unlock_key(wrapped, PASSWORD + "\0", SECRET_KEY, **WHO)


def test_a_wrong_password_a_wrong_secret_key_and_another_person_are_one_error(wrap, stretched):
    parsed = parse_unlock_wrap(wrap)
    with pytest.raises(WrongPassword) as one:
        unwrap_unlock_key(wrap, PASSWORD + " ", SECRET_KEY, **WHO)
    with pytest.raises(WrongPassword) as two:
        open_stretched(parsed, stretched, b"T" * 32, **WHO)
    with pytest.raises(WrongPassword) as three:
        open_stretched(parsed, stretched, SECRET_KEY, family=FAMILY, person=b"Q" * 16)
    with pytest.raises(WrongPassword) as four:
        open_stretched(parsed, stretched, SECRET_KEY, family=b"G" * 32, person=PERSON)
    errors = [each.value for each in (one, two, three, four)]
    assert len({(error.message, error.hint, error.code) for error in errors}) == 1
    assert errors[0].code is ExitCode.WRONG_PASSWORD
    assert all(PASSWORD not in repr(error) and error.__cause__ is None for error in errors)


def test_no_flipped_bit_opens(wrap, stretched):
    """A15: every position. A flip that changes salt or cost would change what is stretched as well, so it
    can only do worse than here, where the right stretched password is used throughout."""
    outcomes = set()
    for position in range(len(wrap) * 8):
        damaged = bytearray(wrap)
        damaged[position // 8] ^= 1 << position % 8
        try:
            open_stretched(parse_unlock_wrap(bytes(damaged)), stretched, SECRET_KEY, **WHO)
        except WrongPassword:
            outcomes.add("wrong")
        except Malformed:
            outcomes.add("malformed")
        else:
            pytest.fail(f"bit {position} can be flipped")
    assert outcomes == {"wrong", "malformed"}


def test_a_flipped_salt_or_a_raised_cost_ends_the_same_way(wrap):
    parsed = parse_unlock_wrap(wrap)
    fields = decode(wrap)
    fields[8] = bytes([parsed.salt[0] ^ 1]) + parsed.salt[1:]
    dearer = decode(wrap)
    dearer[6] = 4
    for changed in (fields, dearer):
        with pytest.raises(WrongPassword):
            unwrap_unlock_key(encode(changed), PASSWORD, SECRET_KEY, **WHO)


def test_the_commitment_alone_is_compared_first(wrap, stretched):
    """The right key with another commitment does not open, although the tag would fit."""
    parsed = parse_unlock_wrap(wrap)
    with pytest.raises(WrongPassword):
        open_stretched(replace(parsed, commitment=bytes(32)), stretched, SECRET_KEY, **WHO)


# --- costs: checked before any work (A13, A14) ---

CHEAP = [
    (replace(ARGON2ID, memory_kib=(64 << 10) - 1), "kdf-floor"),
    (replace(ARGON2ID, memory_kib=8), "kdf-floor"),
    (replace(ARGON2ID, passes=2), "kdf-floor"),
    (replace(ARGON2ID, lanes=0), "kdf-floor"),
    (replace(ARGON2ID, passes=-1), "kdf-floor"),
    (replace(PBKDF2, rounds=649_999), "kdf-floor"),
    (replace(PBKDF2, rounds=1), "kdf-floor"),
]
DEAR = [
    (replace(ARGON2ID, memory_kib=64 << 20), "kdf-ceiling"),
    (replace(ARGON2ID, memory_kib=(1 << 20) + 1), "kdf-ceiling"),
    (replace(ARGON2ID, passes=21), "kdf-ceiling"),
    (replace(ARGON2ID, lanes=5), "kdf-ceiling"),
    (replace(PBKDF2, rounds=10_000_001), "kdf-ceiling"),
    (replace(PBKDF2, rounds=(1 << 63) - 1), "kdf-ceiling"),
]


@pytest.mark.parametrize(("kdf", "kind"), CHEAP + DEAR)
def test_a_cost_out_of_bounds_is_refused_before_any_work(kdf, kind):
    """An empty password is refused before it is stretched; the cost is refused even before that."""
    cost = [1, kdf.memory_kib, kdf.passes, kdf.lanes] if kdf.name == "argon2id" else [2, kdf.rounds]
    hostile = encode([1, "unlock", FAMILY, PERSON, *cost, bytes(16), bytes(32), bytes(48)])
    for attempt in (
        lambda: unwrap_unlock_key(hostile, "", SECRET_KEY, **WHO),
        lambda: wrap_with("", kdf),
        lambda: stretch("", kdf, bytes(16)),
    ):
        with pytest.raises(Malformed) as refusal:
            attempt()
        assert refusal.value.kind == kind


def test_a_kdf_we_do_not_know_is_refused():
    with pytest.raises(Malformed, match="kdf"):
        wrap_with(PASSWORD, replace(PBKDF2, name="scrypt"))


# --- passwords (A19) ---


def same(one: str, two: str) -> bool:
    return stretch(one, ARGON2ID, bytes(16)) == stretch(two, ARGON2ID, bytes(16))


def test_one_text_typed_in_two_ways_is_one_password():
    assert same("caf\u00e9", "cafe\u0301")
    assert same("\ufb01ne \uff21", "fine A")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("password", "password "),
        ("password", "password\0"),
        ("pass\0word", "pass\0Word"),
        ("pass\0word", "pass"),
        ("Password", "password"),
        ("x" * 1024, "x" * 1023),
        ("x" * 1023 + "y", "x" * 1023 + "z"),
        ("\U0001f511", "\U0001f512"),
    ],
)
def test_nothing_of_a_password_is_cut_or_trimmed(one, two):
    assert not same(one, two)


def test_a_zero_byte_counts_with_pbkdf2_too():
    """HMAC by itself pads its key with zeros and would not tell these apart."""
    salt = bytes(16)
    assert stretch("password", PBKDF2, salt) != stretch("password\0", PBKDF2, salt)


@pytest.mark.parametrize(
    "password",
    ["", "x" * 1025, "\u00e9" * 513, "\ufdfa" * 57, "x" * 10_000_000, "\ud800 half a pair"],
    ids=["empty", "1025", "bytes-count", "grows-by-nfkc", "huge", "surrogate"],
)
def test_a_password_that_cannot_be_one_is_refused_plainly(password):
    with pytest.raises(KinringError) as refusal:
        stretch(password, ARGON2ID, bytes(16))
    assert refusal.value.code is ExitCode.INVALID
    assert refusal.value.__cause__ is None


def test_the_longest_passwords_are_taken():
    assert not same("\u00e9" * 512, "e\u0301" * 511)
    # Three characters typed become one: what counts is the length after composing.
    assert same("\u1ec7" * 341, "e\u0323\u0302" * 341)


# --- envelopes under the unlock key ---


def envelope(
    purpose: str = "keyholder", context: bytes = b"device", secret: bytes = b"private half"
) -> bytes:
    return wrap_secret(UNLOCK_KEY, secret, purpose=purpose, context=context, random_bytes=secrets.token_bytes)


def test_a_wrapped_secret_opens_for_its_purpose_and_context_alone():
    wrapped = envelope()
    assert unwrap_secret(UNLOCK_KEY, wrapped, purpose="keyholder", context=b"device") == b"private half"
    assert wrapped != envelope()
    for key, purpose, context in (
        (b"V" * 32, "keyholder", b"device"),
        (UNLOCK_KEY, "code", b"device"),
        (UNLOCK_KEY, "keyholder", b"other"),
        (UNLOCK_KEY, "keyholderdevice", b""),
    ):
        with pytest.raises(Refused) as refusal:
            unwrap_secret(key, wrapped, purpose=purpose, context=context)
        assert refusal.value.kind == "wrap"


def test_no_flipped_bit_of_an_envelope_opens():
    wrapped = envelope()
    for position in range(len(wrapped) * 8):
        damaged = bytearray(wrapped)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Refused):
            unwrap_secret(UNLOCK_KEY, bytes(damaged), purpose="keyholder", context=b"device")


def test_our_own_mistakes_are_not_taken_for_wrong_passwords():
    with pytest.raises(LocalProtocolError):
        wrap_secret(b"short", b"x", purpose="p", context=b"", random_bytes=secrets.token_bytes)
    with pytest.raises(LocalProtocolError):
        envelope(secret=b"")
    with pytest.raises(LocalProtocolError):
        envelope(purpose="")


# --- hostile bytes ---


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_by_kind(data):
    with pytest.raises(Malformed):
        parse_unlock_wrap(data)
    with pytest.raises(Refused):
        unwrap_secret(UNLOCK_KEY, data, purpose="p", context=b"")


_SIMPLE = st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.text(max_size=4) | st.binary(max_size=48)


@given(st.data())
def test_wraps_with_a_changed_field_never_open(data):
    fields: list[Any] = [1, "unlock", FAMILY, PERSON, 1, 65536, 3, 1, bytes(16), bytes(32), bytes(48)]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(fields) - 1))
        action = data.draw(st.sampled_from(["replace", "delete", "repeat", "nest"]))
        value = data.draw(_SIMPLE)
        if action == "replace":
            fields[place] = value
        elif action == "delete" and len(fields) > 1:
            del fields[place]
        elif action == "repeat":
            fields.insert(place, fields[place])
        else:
            fields[place] = [fields[place]]
    try:
        parsed = parse_unlock_wrap(encode(fields))
        open_stretched(parsed, bytes(32), SECRET_KEY, **WHO)
    except (Malformed, WrongPassword):
        return
    pytest.fail("opened")


@given(st.data())
def test_envelopes_cut_or_lengthened_never_open(data):
    wrapped = envelope()
    cut = data.draw(st.integers(0, len(wrapped) - 1))
    tail = data.draw(st.binary(min_size=1, max_size=8))
    for changed in (wrapped[:cut], wrapped + tail, wrapped[:cut] + tail + wrapped[cut:]):
        with pytest.raises(Refused):
            unwrap_secret(UNLOCK_KEY, changed, purpose="keyholder", context=b"device")


# --- pepper, recovery code, paper keys ---


def test_a_pepper_by_hand_is_another_secret_key_for_each_person():
    pepper = "k3rS0-mXq9-long-enough-to-be-random"
    assert secret_key_from_pepper(pepper, PERSON) == secret_key_from_pepper(pepper, PERSON)
    assert secret_key_from_pepper(pepper, PERSON) != secret_key_from_pepper(pepper, b"Q" * 16)
    assert secret_key_from_pepper(pepper, PERSON) != secret_key_from_pepper(pepper + " ", PERSON)
    for short in ("", "x" * 15):
        with pytest.raises(KinringError) as refusal:
            secret_key_from_pepper(short, PERSON)
        assert refusal.value.code is ExitCode.INVALID


def test_a_recovery_code_reads_back_however_it_is_typed():
    code = new_recovery_code(secrets.token_bytes)
    assert [len(group) for group in code.split("-")] == [5] * 7
    raw = parse_recovery_code(code)
    assert len(raw) == 20
    assert format_recovery_code(raw) == code
    for typed in (
        code.lower(),
        code.replace("-", " "),
        code.replace("-", ""),
        f"  {code}\n",
        code.replace("-", "\u2013"),
        code.replace("0", "o").replace("1", "l"),
        code.replace("0", "O").replace("1", "I"),
    ):
        assert parse_recovery_code(typed) == raw


@given(st.binary(min_size=20, max_size=20))
def test_every_code_reads_back(raw):
    assert parse_recovery_code(format_recovery_code(raw)) == raw


def test_any_one_wrong_letter_and_any_two_exchanged_are_noticed():
    letters = list(format_recovery_code(bytes(range(7, 27))).replace("-", ""))
    for place in range(35):
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ":
            if other != letters[place]:
                with pytest.raises(KinringError):
                    parse_recovery_code("".join([*letters[:place], other, *letters[place + 1 :]]))
        for second in range(place):
            if letters[second] != letters[place]:
                typed = letters.copy()
                typed[place], typed[second] = typed[second], typed[place]
                with pytest.raises(KinringError):
                    parse_recovery_code("".join(typed))


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_refused(text):
    with suppress(KinringError):
        assert len(parse_recovery_code(text)) == 20


def test_codes_of_the_wrong_length_or_alphabet_are_refused():
    code = format_recovery_code(bytes(20))
    for typed in (
        "",
        code[:-1],
        code + "0",
        code[:-1] + "U",
        code[:-1] + "*",
        code * 100,
        "0" * 34 + "\u0661",
    ):
        with pytest.raises(KinringError):
            parse_recovery_code(typed)


def test_the_family_recovery_key_is_made_from_its_code_alone():
    page = (Path(__file__).parents[2] / "docs/spec/unlock.md").read_text()
    assert bytes(family_recovery_key(bytes(range(20))).verify_key).hex() in page
    assert family_recovery_key(bytes(20)) != family_recovery_key(bytes(19) + b"\1")
    assert bytes(family_recovery_key(bytes(20))) != bytes(paper_keys(bytes(20), SECRET_KEY).sign)


def test_paper_keys_need_code_and_secret_key_and_do_not_print():
    keys = paper_keys(bytes(20), SECRET_KEY)
    again = paper_keys(bytes(20), SECRET_KEY)
    assert bytes(keys.sign) == bytes(again.sign)
    assert bytes(keys.box) == bytes(again.box)
    others = [keys, paper_keys(bytes(19) + b"\1", SECRET_KEY), paper_keys(bytes(20), b"T" * 32)]
    assert len({bytes(each.sign) for each in others} | {bytes(each.box) for each in others}) == 6
    assert isinstance(keys, PaperKeys)
    assert repr(keys) == str(keys) == "<secret>"


# --- vectors ---


@pytest.mark.parametrize("case", VECTORS["unlock"], ids=lambda case: case["name"])
def test_unlock_vectors(case):
    def random_bytes(count: int) -> bytes:
        salt = bytes.fromhex(case["salt"])
        assert len(salt) == count
        return salt

    who = {"family": bytes.fromhex(case["family"]), "person": bytes.fromhex(case["person"])}
    secret_key, key = bytes.fromhex(case["secret_key"]), bytes.fromhex(case["unlock_key"])
    kdf = {"argon2id": ARGON2ID, "pbkdf2-hmac-sha256": PBKDF2}[case["kdf"]]
    made = wrap_unlock_key(case["password"], secret_key, key, kdf=kdf, random_bytes=random_bytes, **who)
    assert made.hex() == case["wrap"]


@pytest.mark.parametrize("case", VECTORS["unlock_invalid"], ids=lambda case: case["name"])
def test_invalid_unlock_vectors(case):
    with pytest.raises(Malformed) as refusal:
        parse_unlock_wrap(bytes.fromhex(case["wrap"]))
    assert refusal.value.kind == case["kind"]


@pytest.mark.parametrize("case", VECTORS["secret"], ids=lambda case: case["name"])
def test_secret_vectors(case):
    key, context = bytes.fromhex(case["unlock_key"]), bytes.fromhex(case["context"])
    made = wrap_secret(
        key,
        bytes.fromhex(case["secret"]),
        purpose=case["purpose"],
        context=context,
        random_bytes=lambda count: bytes.fromhex(case["salt"]),
    )
    assert made.hex() == case["wrap"]
    assert unwrap_secret(key, made, purpose=case["purpose"], context=context).hex() == case["secret"]


@pytest.mark.parametrize("case", VECTORS["secret_invalid"], ids=lambda case: case["name"])
def test_invalid_secret_vectors(case):
    with pytest.raises(Refused) as refusal:
        unwrap_secret(
            bytes.fromhex(case["unlock_key"]),
            bytes.fromhex(case["wrap"]),
            purpose=case["purpose"],
            context=bytes.fromhex(case["context"]),
        )
    assert refusal.value.kind == case["kind"]


def test_pepper_code_and_paper_vectors():
    for case in VECTORS["pepper"]:
        assert (
            secret_key_from_pepper(case["pepper"], bytes.fromhex(case["person"])).hex() == case["secret_key"]
        )
    for case in VECTORS["code"]:
        assert format_recovery_code(bytes.fromhex(case["bytes"])) == case["text"]
    for case in VECTORS["code_invalid"]:
        with pytest.raises(KinringError):
            parse_recovery_code(case["text"])
    for case in VECTORS["paper"]:
        keys = paper_keys(bytes.fromhex(case["code"]), bytes.fromhex(case["secret_key"]))
        assert keys.sign.verify_key.encode().hex() == case["sign_public"]
        assert keys.box.public_key.encode().hex() == case["box_public"]
