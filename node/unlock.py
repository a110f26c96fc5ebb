"""From a master password and a secret key to the unlock key, and what the unlock key wraps.

docs/spec/unlock.md has the formulas. Labels:

    kinring/1/unlock      the wrap of the unlock key
    kinring/1/password    a password's digest, for PBKDF2 alone
    kinring/1/wrap        a secret wrapped under the unlock key
    kinring/1/pepper      a secret key made from a pepper given by hand
    kinring/1/paper       the paper keys of the emergency kit
    kinring/1/family-recovery  the family recovery key
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from node.errors import ExitCode, KinringError
from replication.encoding import decode, encode
from replication.errors import LocalProtocolError, Malformed, Refused

_UNLOCK: Final = b"kinring/1/unlock"
_PASSWORD: Final = b"kinring/1/password"
_WRAP: Final = b"kinring/1/wrap"
_PEPPER: Final = b"kinring/1/pepper"
_PAPER: Final = b"kinring/1/paper"
_FAMILY_RECOVERY: Final = b"kinring/1/family-recovery"

RandomBytes = Callable[[int], bytes]

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
MAX_TEXT_BYTES: Final = 1024
"""A password or pepper, after NFKC, as UTF-8."""
MIN_PEPPER_BYTES: Final = 16
MAX_WRAP_BYTES: Final = 256
MAX_SECRET_BYTES: Final = 4096

MEMORY_KIB: Final = (64 << 10, 1 << 20)
PASSES: Final = (3, 20)
LANES: Final = (1, 4)
ROUNDS: Final = (650_000, 10_000_000)
"""Floors and ceilings, both included: below, guessing is cheap; above, a hostile wrap would hang us."""


class WrongPassword(KinringError):
    """The wrong password, the wrong secret key, or a damaged wrap: which of them is not to be told."""

    def __init__(self) -> None:
        super().__init__(
            "wrong user name, master password or secret key",
            "check the keyboard layout, Caps Lock and, if one was given when signing up, the pepper "
            "(--device-pepper-key or DEVICE_PEPPER_KEY); the emergency kit opens the vault too",
            ExitCode.WRONG_PASSWORD,
        )


@dataclass(frozen=True)
class Kdf:
    """How a password is stretched: Argon2id (RFC 9106) or PBKDF2-HMAC-SHA256 (RFC 8018)."""

    name: str
    memory_kib: int = 0
    passes: int = 0
    lanes: int = 0
    rounds: int = 0


ARGON2ID: Final = Kdf("argon2id", memory_kib=64 << 10, passes=3, lanes=1)
PBKDF2: Final = Kdf("pbkdf2-hmac-sha256", rounds=650_000)


@dataclass(frozen=True)
class UnlockWrap:
    """A wrap taken apart. `header` is what key, nonce and tag are bound to."""

    family: bytes
    person: bytes
    kdf: Kdf
    salt: bytes
    header: bytes
    commitment: bytes
    sealed: bytes


def wrap_unlock_key(
    password: str,
    secret_key: bytes,
    unlock_key: bytes,
    *,
    family: bytes,
    person: bytes,
    kdf: Kdf = ARGON2ID,
    random_bytes: RandomBytes,
) -> bytes:
    """`unlock_key` under `password` and `secret_key` (32 bytes each): about 170 bytes, which may replicate.

    Raises KinringError (INVALID) for an empty or over-long password, Malformed for a `kdf` out of bounds.
    """
    _expect(secret_key=(secret_key, 32), unlock_key=(unlock_key, 32))
    _expect(family=(family, 32), person=(person, 16))
    _check_cost(kdf)
    salt = random_bytes(SALT_BYTES)
    fields = [1, "unlock", family, person, *_kdf_fields(kdf), salt]
    header = encode(fields)
    stretched = stretch(password, kdf, salt)
    commitment, sealed = seal_committed(stretched, secret_key, _UNLOCK, header, unlock_key)
    return encode([*fields, commitment, sealed])


def unwrap_unlock_key(
    wrap: bytes, password: str, secret_key: bytes, *, family: bytes, person: bytes
) -> bytes:
    """The unlock key, 32 bytes.

    Raises WrongPassword; Malformed for a wrap that is not canonical or whose cost is out of bounds (before
    any work); KinringError (INVALID) for an empty or over-long password.
    """
    _expect(secret_key=(secret_key, 32))
    parsed = parse_unlock_wrap(wrap)
    return open_stretched(
        parsed, stretch(password, parsed.kdf, parsed.salt), secret_key, family=family, person=person
    )


def parse_unlock_wrap(wrap: bytes) -> UnlockWrap:
    """Raises Malformed: the encoding's kinds, `wrap`, `version`, `kdf`, `kdf-floor`, `kdf-ceiling`."""
    fields = decode(wrap, limit=MAX_WRAP_BYTES)
    if type(fields) is not list or len(fields) not in (9, 11):
        raise Malformed("wrap", "shape")
    if type(fields[0]) is not int or fields[0] != 1:
        raise Malformed("version")
    kdf = _read_kdf(fields[4:-3])
    family, person = fields[2:4]
    salt, commitment, sealed = fields[-3:]
    sizes = ((family, 32), (person, 16), (salt, SALT_BYTES), (commitment, 32), (sealed, KEY_BYTES + 16))
    if fields[1] != "unlock" or any(type(part) is not bytes or len(part) != size for part, size in sizes):
        raise Malformed("wrap", "field")
    return UnlockWrap(family, person, kdf, salt, encode(fields[:-2]), commitment, sealed)


def stretch(password: str, kdf: Kdf, salt: bytes) -> bytes:
    """The slow step, on purpose about a tenth of a second: 32 bytes. The cost is checked first.

    Raises Malformed for a cost out of bounds, KinringError for a password that can't be one, or where
    memory is short.
    """
    _check_cost(kdf)
    secret = _text_bytes(password, "master password")
    if kdf.name == PBKDF2.name:
        # HMAC pads its key with zeros: raw, "x" and "x\0" would be one password. The digest has one length.
        digest = hashlib.sha256(_PASSWORD + b"\0" + secret).digest()
        return hashlib.pbkdf2_hmac("sha256", digest, salt, kdf.rounds, 32)
    from argon2.exceptions import HashingError  # here: with a handle no command needs it
    from argon2.low_level import Type, hash_secret_raw

    try:
        return hash_secret_raw(
            secret, salt, kdf.passes, kdf.memory_kib, kdf.lanes, hash_len=32, type=Type.ID, version=19
        )
    except (HashingError, MemoryError):
        raise KinringError(
            "not enough free memory to check the master password",
            f"close something: {kdf.memory_kib >> 10} MiB are needed for a moment",
        ) from None


def open_stretched(
    wrap: UnlockWrap, stretched: bytes, secret_key: bytes, *, family: bytes, person: bytes
) -> bytes:
    """The fast step: the unlock key. Raises WrongPassword, also for a wrap of another family or person."""
    if (wrap.family, wrap.person) != (family, person):
        raise WrongPassword
    try:
        return open_committed(stretched, secret_key, _UNLOCK, wrap.header, wrap.commitment, wrap.sealed)
    except Refused:
        raise WrongPassword from None


def wrap_secret(
    unlock_key: bytes, secret: bytes, *, purpose: str, context: bytes, random_bytes: RandomBytes
) -> bytes:
    """`secret` (1..4096 bytes) for one purpose (1..32 characters) and context (0..256 bytes)."""
    _expect(unlock_key=(unlock_key, 32))
    if not 1 <= len(secret) <= MAX_SECRET_BYTES:
        raise LocalProtocolError("a wrapped secret has 1 to 4096 bytes")
    salt = random_bytes(32)
    commitment, sealed = seal_committed(unlock_key, salt, _WRAP, _purpose(purpose, context), secret)
    return encode([1, salt, commitment, sealed])


def unwrap_secret(unlock_key: bytes, wrapped: bytes, *, purpose: str, context: bytes) -> bytes:
    """What `wrap_secret` wrapped for the same purpose and context.

    Raises Malformed for what is no such wrap, Refused with kind `wrap` where it does not open.
    """
    _expect(unlock_key=(unlock_key, 32))
    fields = decode(wrapped, limit=MAX_SECRET_BYTES + 128)
    if type(fields) is not list or len(fields) != 4:
        raise Malformed("wrap", "shape")
    version, salt, commitment, sealed = fields
    if type(version) is not int or version != 1:
        raise Malformed("version")
    if any(type(part) is not bytes for part in (salt, commitment, sealed)):
        raise Malformed("wrap", "field")
    if len(salt) != 32 or len(commitment) != 32 or not 17 <= len(sealed) <= MAX_SECRET_BYTES + 16:
        raise Malformed("wrap", "field")
    return open_committed(unlock_key, salt, _WRAP, _purpose(purpose, context), commitment, sealed)


def seal_committed(
    ikm: bytes, salt: bytes | None, label: bytes, context: bytes, plain: bytes
) -> tuple[bytes, bytes]:
    """(commitment, sealed). Key and nonce are derived: never the same `ikm`, `salt`, `context` twice."""
    key, nonce, commitment = _derive(ikm, salt, label, context)
    return commitment, AESGCM(key).encrypt(nonce, plain, context)


def open_committed(
    ikm: bytes, salt: bytes | None, label: bytes, context: bytes, commitment: bytes, sealed: bytes
) -> bytes:
    """Raises Refused with kind `wrap`, the same whatever does not fit."""
    key, nonce, expected = _derive(ikm, salt, label, context)
    # First of all: AES-GCM alone opens one ciphertext under several keys, so a crafted wrap
    # could test many passwords in one guess.
    if not hmac.compare_digest(expected, commitment):
        raise Refused("wrap")
    try:
        return AESGCM(key).decrypt(nonce, sealed, context)
    except InvalidTag:
        raise Refused("wrap") from None


def secret_key_from_pepper(pepper: str, person: bytes) -> bytes:
    """The secret key (32 bytes) of `person` that a pepper given by hand stands for.

    Raises KinringError (INVALID) under 16 or over 1024 bytes. Nothing slows down guesses at it: it must be
    random.
    """
    _expect(person=(person, 16))
    secret = _text_bytes(pepper, "pepper")
    if len(secret) < MIN_PEPPER_BYTES:
        raise KinringError(
            f"the pepper is too short: it needs {MIN_PEPPER_BYTES} characters or more, at random",
            "make one of 32 characters or more, and keep it with the emergency kit",
            ExitCode.INVALID,
        )
    return _hkdf(secret, None, _PEPPER + b"\0" + person, 32)


# The recovery code: Crockford's base 32, without his check symbol, which needs * ~ $ = on paper.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
CODE_BYTES: Final = 20
_CODE_LETTERS: Final = 35
# The whole code, read as a number, is a multiple of this prime. 32 is a primitive root of it, so each
# place has another weight: any one wrong letter and any two exchanged ones are noticed.
_CODE_PRIME: Final = 32749


def new_recovery_code(random_bytes: RandomBytes) -> str:
    """160 random bits and 15 check bits, as seven groups of five letters."""
    return format_recovery_code(random_bytes(CODE_BYTES))


def format_recovery_code(code: bytes) -> str:
    """The printed form of a code of 20 bytes."""
    _expect(code=(code, CODE_BYTES))
    number = int.from_bytes(code, "big") << 15
    number += -number % _CODE_PRIME
    letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CODE_LETTERS)))
    return "-".join(letters[start : start + 5] for start in range(0, _CODE_LETTERS, 5))


def parse_recovery_code(text: str) -> bytes:
    """The 20 bytes of a code as typed: any case, spaces and dashes anywhere, O for 0, I and L for 1.

    Raises KinringError (INVALID) for a typo.
    """
    letters = [letter for letter in text[:256].upper() if not _is_filler(letter)]
    if len(text) > 256 or len(letters) != _CODE_LETTERS:
        raise _code_error(f"a recovery code has {_CODE_LETTERS} letters and digits")
    if any(letter not in _VALUES for letter in letters):
        raise _code_error("the recovery code has a letter that such codes never have")
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    # One spelling for each code: a check value is less than the prime.
    if number % _CODE_PRIME or number & 0x7FFF >= _CODE_PRIME:
        raise _code_error("the recovery code has a typing error")
    return (number >> 15).to_bytes(CODE_BYTES, "big")


@dataclass(frozen=True)
class PaperKeys:
    """What the emergency kit can do: sign for a person, and open what is sealed to their paper key."""

    sign: SigningKey
    box: PrivateKey

    def __repr__(self) -> str:
        return "<secret>"


def paper_keys(code: bytes, secret_key: bytes) -> PaperKeys:
    """The person's paper keys, from the recovery code (20 bytes) and the secret key (32)."""
    _expect(code=(code, CODE_BYTES), secret_key=(secret_key, 32))
    seeds = _hkdf(code, secret_key, _PAPER, 64)
    return PaperKeys(SigningKey(seeds[:32]), PrivateKey(seeds[32:]))


def family_recovery_key(code: bytes) -> SigningKey:
    """The family recovery key, from its code (20 bytes), which is on paper and nowhere else."""
    _expect(code=(code, CODE_BYTES))
    return SigningKey(_hkdf(code, None, _FAMILY_RECOVERY + b"\0", 32))


def _check_cost(kdf: Kdf) -> None:
    if kdf.name == ARGON2ID.name:
        costs = [(kdf.memory_kib, MEMORY_KIB), (kdf.passes, PASSES), (kdf.lanes, LANES)]
    elif kdf.name == PBKDF2.name:
        costs = [(kdf.rounds, ROUNDS)]
    else:
        raise Malformed("kdf")
    for value, (floor, ceiling) in costs:
        if value < floor:
            raise Malformed("kdf-floor", f"{value}, at least {floor}")
        if value > ceiling:
            raise Malformed("kdf-ceiling", f"{value}, at most {ceiling}")


def _kdf_fields(kdf: Kdf) -> list[int]:
    if kdf.name == ARGON2ID.name:
        return [1, kdf.memory_kib, kdf.passes, kdf.lanes]
    return [2, kdf.rounds]


def _read_kdf(fields: list[Any]) -> Kdf:
    if any(type(field) is not int for field in fields):
        raise Malformed("wrap", "kdf field")
    match fields:
        case [1, memory_kib, passes, lanes]:
            kdf = Kdf(ARGON2ID.name, memory_kib=memory_kib, passes=passes, lanes=lanes)
        case [2, rounds]:
            kdf = Kdf(PBKDF2.name, rounds=rounds)
        case _:
            raise Malformed("kdf")
    _check_cost(kdf)
    return kdf


def _text_bytes(text: str, what: str) -> bytes:
    """NFKC, then UTF-8, so that one text typed on two systems is one secret. Nothing is cut or trimmed."""
    # Composing makes at most four characters into one: more than 4096 are too long however they end up.
    if len(text) > 4 * MAX_TEXT_BYTES:
        raise _text_error(f"the {what} is longer than {MAX_TEXT_BYTES} bytes")
    try:
        data = unicodedata.normalize("NFKC", text).encode()
    except UnicodeEncodeError:
        raise _text_error(f"the {what} is not valid text") from None
    if not data:
        raise _text_error(f"the {what} is empty")
    if len(data) > MAX_TEXT_BYTES:
        raise _text_error(f"the {what} is longer than {MAX_TEXT_BYTES} bytes")
    return data


def _text_error(message: str) -> KinringError:
    return KinringError(message, "", ExitCode.INVALID)


def _code_error(message: str) -> KinringError:
    return KinringError(message, "compare it with the emergency kit, group by group", ExitCode.INVALID)


def _is_filler(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) == "Pd"


def _purpose(purpose: str, context: bytes) -> bytes:
    if not 1 <= len(purpose) <= 32 or len(context) > 256:
        raise LocalProtocolError("purpose or context out of bounds")
    return encode([1, purpose, context])


def _derive(ikm: bytes, salt: bytes | None, label: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    okm = _hkdf(ikm, salt, label + b"\0" + context, 76)
    return okm[:32], okm[32:44], okm[44:]


def _hkdf(ikm: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(ikm)


def _expect(**sizes: tuple[bytes, int]) -> None:
    for name, (value, size) in sizes.items():
        if len(value) != size:
            raise LocalProtocolError(f"{name} has {len(value)} bytes, not {size}")
