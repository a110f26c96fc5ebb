"""One-time codes: HOTP (RFC 4226), TOTP (RFC 6238), Steam's, and the ways a secret is written down.

docs/spec/otp.md has the formulas and what is refused. The code is our own because pyotp, the usual package,
refuses secrets under 112 bits, and services go on handing out shorter ones, such as JBSWY3DPEHPK3PXP.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from node.errors import ExitCode, KinringError
from replication.errors import Malformed

ALGORITHMS: Final = ("SHA1", "SHA256", "SHA512")
KINDS: Final = ("totp", "hotp", "steam")
DIGITS: Final = range(6, 9)
PERIODS: Final = range(1, 86_401)
"""Seconds."""
COUNTERS: Final = range(1 << 64)
SECRET_BYTES: Final = range(5, 257)
"""From 8 characters of base 32, so that a word typed by mistake is no secret."""
MAX_TEXT: Final = 2048
"""Characters of a secret or URL as it is written."""
MAX_PARAMETERS: Final = 32
STEAM_ALPHABET: Final = "23456789BCDFGHJKMNPQRTVWXY"
STEAM_LETTERS: Final = 5

_SEPARATORS: Final = dict.fromkeys(map(ord, " \t\r\n-\u00a0"))
_BASE32: Final = re.compile("[A-Za-z2-7]*=*")
_KNOWN: Final = ("secret", "issuer", "algorithm", "digits", "period", "counter", "encoder")


@dataclass(frozen=True)
class Otp:
    """A secret and how codes are made of it. Raises Malformed with the kind named as the field is."""

    secret: bytes
    kind: str = "totp"
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    """Seconds that a code of kind totp or steam lives."""
    counter: int = 0
    """Of kind hotp: what its next code is made of."""
    account: str = ""
    issuer: str = ""

    def __post_init__(self) -> None:
        for name, taken in (("kind", KINDS), ("algorithm", ALGORITHMS), ("digits", DIGITS),
                            ("period", PERIODS), ("counter", COUNTERS)):  # fmt: skip
            if getattr(self, name) not in taken:
                raise Malformed(name)
        if len(self.secret) not in SECRET_BYTES:
            raise Malformed("secret", f"{SECRET_BYTES.start} to {SECRET_BYTES.stop - 1} bytes")

    def __repr__(self) -> str:
        return "<secret>"

    def code(self, now: int) -> str:
        """The code at `now`, milliseconds since 1970: digits, zeros in front included, or Steam's letters."""
        if self.kind == "hotp":
            return hotp(self.secret, self.counter, self.digits, self.algorithm)
        step = now // 1000 // self.period
        if self.kind == "steam":
            return _steam(self.secret, step, self.algorithm)
        return hotp(self.secret, step, self.digits, self.algorithm)

    def seconds_left(self, now: int) -> int | None:
        """How long the code at `now` lives on; None for hotp, where it lives until the next one."""
        return None if self.kind == "hotp" else self.period - now // 1000 % self.period


def hotp(secret: bytes, counter: int, digits: int = 6, algorithm: str = "SHA1") -> str:
    """RFC 4226, section 5.3: the code of a counter, as text, since it may begin with zeros."""
    return f"{_truncated(secret, counter, algorithm) % 10**digits:0{digits}}"


def _truncated(secret: bytes, counter: int, algorithm: str) -> int:
    """31 bits of the HMAC, at the place that its last byte names."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), algorithm.lower())
    place = digest[-1] & 15
    return int.from_bytes(digest[place : place + 4], "big") & 0x7FFFFFFF


def _steam(secret: bytes, counter: int, algorithm: str) -> str:
    number, letters = _truncated(secret, counter, algorithm), ""
    for _ in range(STEAM_LETTERS):
        number, letter = divmod(number, len(STEAM_ALPHABET))
        letters += STEAM_ALPHABET[letter]
    return letters


# How a secret is written down


def read_otp(text: str) -> Otp:
    """The secret in `text`: base 32 as services print it, an otpauth:// URL, or steam://SECRET.

    Raises Malformed: `size`, `base32`, `secret` (none, too short, too long), `url`, `kind`, `algorithm`,
    `digits`, `period`, `counter`. Its text never holds a piece of what was read.
    """
    if len(text) > MAX_TEXT:
        raise Malformed("size", f"at most {MAX_TEXT} characters")
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Otp(decode_base32(text))
    if scheme.lower() == "steam":
        return Otp(decode_base32(rest), "steam")
    if scheme.lower() != "otpauth":
        raise Malformed("url", "not an otpauth:// URL")
    return _from_url(rest)


def decode_base32(text: str) -> bytes:
    """RFC 4648, section 6, in any case, with spaces and dashes, with or without its padding; bits that
    fill up the last character count for nothing. Raises Malformed `base32`, also for a number of
    characters that no bytes give."""
    bare = text.translate(_SEPARATORS)
    if not _BASE32.fullmatch(bare):  # ASCII alone: other letters have capitals that are ASCII
        raise Malformed("base32")
    bare = bare.rstrip("=").upper()
    try:
        return base64.b32decode(bare + "=" * (-len(bare) % 8))
    except ValueError:
        raise Malformed("base32") from None


def encode_base32(secret: bytes) -> str:
    """RFC 4648, section 6, without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def _from_url(rest: str) -> Otp:
    kind, _, rest = rest.partition("/")
    label, _, query = rest.partition("?")
    given = _parameters(query)
    kind = kind.lower()
    if given.get("encoder", "").lower() == "steam" and kind == "totp":
        kind = "steam"
    if kind == "hotp" and "counter" not in given:
        raise Malformed("counter", "an hotp URL needs one")
    try:
        rest.encode()  # half a character cannot be written again
        prefix, colon, account = unquote(label, errors="strict").partition(":")
    except ValueError:
        raise Malformed("url") from None
    return Otp(
        decode_base32(given.get("secret", "")),
        kind,
        given.get("algorithm", "SHA1").upper().replace("-", ""),
        6 if kind == "steam" else _number(given, "digits", 6),
        30 if kind == "hotp" else _number(given, "period", 30),
        _number(given, "counter", 0) if kind == "hotp" else 0,
        (account if colon else prefix).strip(),
        (given.get("issuer") or (prefix if colon else "")).strip(),
    )


def _parameters(query: str) -> dict[str, str]:
    """Those that mean something, each at most once: of two secrets neither is the right one."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise Malformed("url") from None
    given = [(name.lower(), value) for name, value in pairs if name.lower() in _KNOWN]
    if len(dict(given)) < len(given):
        raise Malformed("url", "a parameter stands there twice")
    return dict(given)


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not re.fullmatch("[0-9]{1,20}", text):
        raise Malformed(name)
    return int(text)


def write_url(otp: Otp) -> str:
    """The otpauth:// URL that other programs read too. It holds the secret. Raises Malformed `size`."""
    parameters = {"secret": encode_base32(otp.secret)}
    if otp.issuer:
        parameters["issuer"] = otp.issuer
    parameters["algorithm"] = otp.algorithm
    if otp.kind != "steam":
        parameters["digits"] = str(otp.digits)
    if otp.kind == "hotp":
        parameters["counter"] = str(otp.counter)
    else:
        parameters["period"] = str(otp.period)
    if otp.kind == "steam":
        parameters["encoder"] = "steam"
    kind = "hotp" if otp.kind == "hotp" else "totp"
    # The label parts at its first colon, written out or not: an issuer that has one stands in `issuer` alone.
    prefix = "" if ":" in otp.issuer else quote(otp.issuer, safe="")
    label = f"{prefix}:{quote(otp.account, safe='')}"
    url = f"otpauth://{kind}/{label}?{urlencode(parameters, quote_via=quote)}"
    if len(url) > MAX_TEXT:
        raise Malformed("size")
    return url


def after_use(otp: Otp) -> Otp:
    """The same one, for the code after this: each hotp code is for one use. Raises Malformed `counter`."""
    return replace(otp, counter=otp.counter + 1) if otp.kind == "hotp" else otp


_TOLD: Final = {
    "size": "is too long",
    "base32": "is not base 32: letters and the digits 2 to 7",
    "secret": f"is too short or too long: at least {SECRET_BYTES.start * 8 // 5} characters of base 32",
    "url": "is not a URL of the form otpauth://totp/NAME?secret=...",
    "kind": "is of a kind other than totp, hotp or steam",
    "algorithm": "names an algorithm other than SHA1, SHA256 or SHA512",
    "digits": "asks for codes of other than 6 to 8 digits",
    "period": "asks for codes that live other than 1 second to a day",
    "counter": "is an hotp URL without a counter that counts",
}


def told(refusal: Malformed) -> KinringError:
    """A refusal of `read_otp` as a person should hear it."""
    return KinringError(
        f"the one-time secret {_TOLD[refusal.kind]}",
        "copy it anew from where the service shows it",
        ExitCode.INVALID,
    )
