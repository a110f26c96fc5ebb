"""Who was seen where, and which address to try next, and when. Hints only: who answers is proved by TLS.

A device has several addresses at once: what mDNS says now, where it was last reached, what a person typed.
The likeliest is tried first, the next 250 ms later beside it (RFC 8305 §5), each given up after a second;
one that failed waits longer each time. All times are milliseconds of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from replication.errors import Refused

MAX_PLACES: Final = 64
MAX_MDNS: Final = 8
MAX_LAST_KNOWN: Final = 4
"""Addresses of one device, by how they became known."""
MAX_TYPED: Final = 32
GIVE_UP_MS: Final = 1_000
STAGGER_MS: Final = 250
FIRST_WAIT_MS: Final = 1_000
LONGEST_WAIT_MS: Final = 300_000
SEEN_AGAIN_MS: Final = 5_000
"""A new sighting makes an address due at once, but never sooner than this after its last attempt."""
MDNS_FAILURES: Final = 8
"""So often may an address known from mDNS alone fail before it is forgotten."""

Address = tuple[str, int]
"""Host literal (IPv6 link-local with its scope) and port."""


class Source(IntEnum):
    """How an address became known; the higher is the harder to forget."""

    MDNS = 0
    LAST_KNOWN = 1
    TYPED = 2


@dataclass(frozen=True)
class Attempt:
    """Dial `address` now, expect `device` there, give up connecting at `give_up_at`."""

    device: bytes
    address: Address
    give_up_at: int


@dataclass
class _Place:
    source: Source
    seen: int
    due: int
    reached: int = -1
    failures: int = 0
    trying: bool = False
    tried: int | None = None


class Sightings:
    """At most 64 addresses, of members alone. The caller reports each attempt: `failed` or `reached`.

    `random_bytes` spreads the waiting times, so that laptops that woke together do not knock together.
    """

    def __init__(self, members: Iterable[bytes], random_bytes: Callable[[int], bytes]) -> None:
        self._places: dict[bytes, dict[Address, _Place]] = {device: {} for device in members}
        self._connected: set[bytes] = set()
        self._random_bytes = random_bytes

    def set_members(self, members: Iterable[bytes]) -> None:
        """Forgets all of a device that is no member any more."""
        self._places = {device: self._places.get(device, {}) for device in members}
        self._connected &= self._places.keys()

    def saw(self, device: bytes, addresses: Iterable[Address], source: Source, now: int) -> None:
        """Notes where `device` is said to be; strangers are passed over.

        Raises Refused `full` for a typed one over 32.
        """
        known = self._places.get(device)
        if known is None:
            return
        for address in list(addresses)[:MAX_MDNS]:
            place = known.get(address)
            if place is not None:
                self._saw_again(place, source, now)
            else:
                self._make_room(device, source)
                known[address] = _Place(source, seen=now, due=now)

    def forget_typed(self, device: bytes, address: Address) -> None:
        """A person takes back what they typed; nothing else ever does."""
        self._places.get(device, {}).pop(address, None)

    def due(self, now: int) -> list[Attempt]:
        """What to dial now: one address of each device that is not connected, the next 250 ms later."""
        attempts = []
        for device, places in self._places.items():
            if device in self._connected:
                continue
            waiting = [a for a, place in places.items() if not place.trying and place.due <= now]
            waiting.sort(key=lambda a: _likeliest_first(places[a]))
            for number, address in enumerate(waiting):
                places[address].due = now + number * STAGGER_MS
            if waiting:
                first = places[waiting[0]]
                first.trying, first.tried = True, now
                attempts.append(Attempt(device, waiting[0], now + GIVE_UP_MS))
        return attempts

    def next_timeout(self) -> int | None:
        """When `due` has something next; None: not before something else happens."""
        return min(
            (
                place.due
                for device, places in self._places.items()
                if device not in self._connected
                for place in places.values()
                if not place.trying
            ),
            default=None,
        )

    def failed(self, device: bytes, address: Address, now: int) -> None:
        """Nobody, or somebody else, was there. It waits 1 s, 2 s, 4 s ... 5 minutes, times 0.5 to 1.5."""
        place = self._places.get(device, {}).get(address)
        if place is None:
            return
        place.trying = False
        place.failures += 1
        if place.source is Source.MDNS and place.failures >= MDNS_FAILURES:
            del self._places[device][address]
            return
        wait = min(FIRST_WAIT_MS << min(place.failures - 1, 20), LONGEST_WAIT_MS)
        place.due = now + wait // 2 + wait * int.from_bytes(self._random_bytes(2), "big") // 65536

    def reached(self, device: bytes, address: Address | None, now: int) -> None:
        """`device` proved that it is there: other attempts at it are over. None: it was it that called."""
        places = self._places.get(device)
        if places is None:
            return
        self._connected.add(device)
        for other in places.values():
            other.trying = False
        place = places.get(address) if address is not None else None
        if place is None:
            return
        if place.source is Source.MDNS:
            if self._count(device, Source.LAST_KNOWN) >= MAX_LAST_KNOWN:
                self._drop_worst(device, Source.LAST_KNOWN)
            place.source = Source.LAST_KNOWN
        place.reached = place.seen = now
        place.failures = 0

    def lost(self, device: bytes, now: int) -> None:
        """The connection ended: everywhere it was seen is tried again, where it was reached first."""
        self._connected.discard(device)
        for place in self._places.get(device, {}).values():
            place.due = now if place.failures == 0 else now + FIRST_WAIT_MS

    def worth_keeping(self) -> list[tuple[bytes, Address, Source]]:
        """What outlives the process: typed and last-known addresses."""
        return [
            (device, address, place.source)
            for device, places in self._places.items()
            for address, place in places.items()
            if place.source is not Source.MDNS
        ]

    def places(self, device: bytes) -> list[tuple[Address, Source, int]]:
        """What a person is shown of `device`: address, how it is known, when it was last seen."""
        return [(a, place.source, place.seen) for a, place in self._places.get(device, {}).items()]

    def _saw_again(self, place: _Place, source: Source, now: int) -> None:
        place.source = max(place.source, source)
        place.seen = now
        place.due = min(place.due, now if place.tried is None else max(now, place.tried + SEEN_AGAIN_MS))

    def _make_room(self, device: bytes, source: Source) -> None:
        """Room for one more of `device`: its own worst goes before anybody else's, and typed ones never go.

        So who repeats one member's name with a thousand addresses pushes out that member's mDNS ones alone.
        """
        if source is Source.TYPED:
            if sum(self._count(other, Source.TYPED) for other in self._places) >= MAX_TYPED:
                raise Refused("full", "typed addresses")
        elif self._count(device, source) >= (MAX_MDNS if source is Source.MDNS else MAX_LAST_KNOWN):
            self._drop_worst(device, source)
        if sum(map(len, self._places.values())) >= MAX_PLACES:
            crowded = max(self._places, key=self._spare)
            self._drop_worst(crowded, *(s for s in Source if s is not Source.TYPED))

    def _count(self, device: bytes, source: Source) -> int:
        return sum(place.source is source for place in self._places[device].values())

    def _spare(self, device: bytes) -> int:
        return len(self._places[device]) - self._count(device, Source.TYPED)

    def _drop_worst(self, device: bytes, *sources: Source) -> None:
        places = self._places[device]
        spare = [address for address, place in places.items() if place.source in sources]
        del places[min(spare, key=lambda a: _worst_first(places[a]))]


def _likeliest_first(place: _Place) -> tuple[int, ...]:
    return (place.failures, -place.reached, -place.source, -place.seen)


def _worst_first(place: _Place) -> tuple[int, ...]:
    return (place.source, -place.failures, place.reached, place.seen)
