"""Canonical CBOR (RFC 8949 §4.2.1): one spelling for each value, limits before anything is allocated.

What is taken: integers of 64 bits, byte strings, text, arrays, maps with text keys,
true, false and null. No floats, no tags, no indefinite lengths, no duplicate keys. Bytes that do
not encode back to themselves are refused, so that two replicas can never hash one value in two ways.
"""

from __future__ import annotations

from typing import Any, Final

import cbor2

from replication.errors import Malformed

MAX_BYTES: Final = 1 << 20
"""No message, header or body is longer: 1 MiB."""

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1 << 16
"""Values within a value. One byte may be an empty list, which costs 64 once it is read, and much time."""


def _refuse_tag(*_: object) -> Any:
    raise Malformed("tag")


# Known tags have decoders of their own (numbers, dates, regular expressions, shared references ...):
# each is replaced, since some of them do unbounded work. `tag_hook` sees the rest.
_KNOWN_TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 43000, 100, 256, 258, 260, 261, 1004, 55799)
_TAG_DECODERS = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def encode(value: Any) -> bytes:
    """The one canonical form of `value`."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, limit: int = MAX_BYTES) -> Any:
    """The value whose canonical form is exactly `data`.

    Raises Malformed with kind `size`, `cbor`, `tag`, `type` or `canonical`.
    """
    if len(data) > limit:
        raise Malformed("size", f"{len(data)} bytes, at most {limit}")
    if len(data) > MAX_ITEMS:
        _count_items(data)
    try:
        value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=_TAG_DECODERS,
            tag_hook=_refuse_tag,
        )
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - cbor2 raises many kinds, builtin ones too, on hostile input
        raise _refusal(error) from None
    _check_types(value)
    # Catches trailing bytes, long integers, unsorted keys: whatever another spelling could be.
    if cbor2.dumps(value, canonical=True) != data:
        raise Malformed("canonical")
    return value


def _count_items(data: bytes) -> None:
    """Raises Malformed `size` for too many items, from their heads alone (RFC 8949, 3); what is no CBOR is left."""
    at = count = 0
    while at < len(data):
        major, argument = data[at] >> 5, data[at] & 0x1F
        at += 1
        if argument > 27:
            return
        if argument > 23:
            size = 1 << (argument - 24)
            argument = int.from_bytes(data[at : at + size], "big")
            at += size
        if major in (2, 3):
            at += argument
        count += 1
        if count > MAX_ITEMS:
            raise Malformed("size", f"over {MAX_ITEMS} items")


def _refusal(error: BaseException) -> Malformed:
    """cbor2 wraps what a tag decoder raises: our own refusal is looked for underneath."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Malformed):
            return Malformed(cause.kind)
        cause = cause.__cause__ or cause.__context__
    return Malformed("cbor")


_PLAIN: Final = frozenset((bytes, str, bool, type(None)))


def _check_types(value: Any) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is int:
        if not -(1 << 63) <= value < 1 << 63:
            raise Malformed("type", "integer over 64 bits")
        return
    if kind is list:
        items = value
    elif kind is dict:
        for key in value:
            if type(key) is not str:
                raise Malformed("type", "map key")
        items = value.values()
    else:
        raise Malformed("type", kind.__name__)
    for item in items:
        if type(item) not in _PLAIN:
            _check_types(item)
