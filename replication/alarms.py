"""What a person must be told, and may tick off: kept on this device, never replicated.

Nothing here decides what counts. The kinds:

    shows-less     a device shows less than it once signed: put back from a backup, or keeping something back
    two-places     a keyholder's log grows in two places: its device, or a copy of its disk, is somewhere else too
    flood          an author writes more than a person does: fetched and handed on slowly
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from replication.encoding import decode, encode
from replication.errors import Malformed
from replication.store import Store, StoreError

SHOWS_LESS: Final = "shows-less"
TWO_PLACES: Final = "two-places"
FLOOD: Final = "flood"

MAX_ALARMS: Final = 256
"""The oldest make room, those ticked off first: a member who invents subjects fills no disk."""
_STORED: Final = "alarm"


@dataclass(frozen=True, slots=True)
class Alarm:
    """`subject`: the device or author; `at`: when it last happened, milliseconds since 1970; `count`: how often."""

    kind: str
    subject: bytes
    detail: str
    at: int
    count: int


def raise_alarm(store: Store, kind: str, subject: bytes, detail: str, evidence: bytes, now: int) -> bool:
    """Note what happened; whether it is news. The same evidence again changes nothing, ticked off or not."""
    key = _key(kind, subject)
    with store.write():
        held = store.local(_STORED)
        before: list[Any] = _read(held[key]) if key in held else [b"", "", 0, 0, False]
        if before[3] and before[0] == evidence:
            return False
        store.set_local(_STORED, key, encode([evidence, detail, max(0, now), before[3] + 1, False]))
        _make_room(store, held, key)
    return True


def _make_room(store: Store, held: dict[bytes, bytes], new: bytes) -> None:
    if new in held or len(held) < MAX_ALARMS:
        return
    values = {key: _read(value) for key, value in held.items()}
    store.set_local(_STORED, min(values, key=lambda key: (not values[key][4], values[key][2], key)), None)


def dismiss(store: Store, kind: str, subject: bytes) -> None:
    """It stays known as ticked off, so that only what happens anew brings it back."""
    key = _key(kind, subject)
    with store.write():
        held = store.local(_STORED).get(key)
        if held is not None:
            store.set_local(_STORED, key, encode([*_read(held)[:4], True]))


def standing(store: Store) -> list[Alarm]:
    """Those not ticked off, the newest first."""
    found = []
    for key, value in store.local(_STORED).items():
        _, detail, at, count, dismissed = _read(value)
        if not dismissed:
            kind, _, subject = key.partition(b"\0")
            found.append(Alarm(kind.decode("ascii"), subject, detail, at, count))
    return sorted(found, key=lambda alarm: (-alarm.at, alarm.kind, alarm.subject))


def _key(kind: str, subject: bytes) -> bytes:
    return kind.encode("ascii") + b"\0" + subject


def _read(value: bytes) -> list[Any]:
    """[evidence, detail, at, count, dismissed], as we wrote it."""
    try:
        found: list[Any] = decode(value)
    except Malformed as error:
        raise StoreError("damaged", error.kind) from None
    return found
