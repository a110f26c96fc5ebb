"""Devices that act on what they hold: each act makes one event as an honest device would make it."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.model.events import (
    ALIVE,
    Content,
    Dot,
    Event,
    Grant,
    Op,
    Purge,
    Remove,
    Statement,
    TakeIn,
    Target,
    bits,
)
from simulations.model.records import ADMINS, Rules, View, content_of

FIELDS = ("f", "g")
MEMBER = "m"
WAIT = 2
"""Looks of a device at its purges, between which the bytes are dropped."""


@dataclass(slots=True)
class Device:
    number: int
    held: list[int] = field(default_factory=list)
    """Events in their order of arrival."""
    mask: int = 0
    has: set[Dot] = field(default_factory=set)
    """The ciphertexts whose bytes are here."""
    locked: set[Dot] = field(default_factory=set)
    """Those that are here and cannot be opened yet: the key has not come."""
    own: int | None = None
    """The newest event of its log."""
    seen_due: dict[Dot, int] = field(default_factory=dict)
    """Purges in effect here, with the looks at them so far."""
    partial: bool = False
    """The last exchange broke off: what is missing may be on its way."""

    def holds(self, event: int) -> bool:
        return bool(self.mask >> event & 1)

    def opens(self, dot: Dot) -> bool:
        return dot in self.has and dot not in self.locked

    def copy(self) -> Device:
        return Device(
            self.number, list(self.held), self.mask, set(self.has), set(self.locked), self.own, dict(self.seen_due),
            self.partial,
        )  # fmt: skip


class Family:
    """The devices, and every event that was ever made."""

    def __init__(self, devices: int, rules: frozenset[str]) -> None:
        self.events: list[Event] = []
        self.rules = Rules(self.events, rules)
        self.devices = [Device(number) for number in range(devices)]
        self.records = 0
        self.unopened: dict[int, set[Dot]] = {}
        """Live dots that an event's author could not open."""
        self.dropped: dict[Dot, int] = {}
        """Ciphertexts that any device dropped, with the fewest looks before it did."""
        self.played_back: set[int] = set()

    def view(self, device: Device) -> View:
        return self.rules.view(device.held)

    def add(self, device: Device, ops: tuple[Op, ...] = (), said: Statement | None = None) -> Event:
        heard = sum(1 << e for e in device.held if self.events[e].said)
        event = Event(len(self.events), device.number, device.own, heard, device.mask, ops, said)
        self.unopened[event.id] = {
            dot for dots in self.view(device).live.values() for dot in dots if not self._opens(device, dot)
        }
        self.events.append(event)
        device.own = event.id
        self.take(device, event, {(event.id, index) for index in range(len(ops))})
        return event

    def take(self, device: Device, event: Event, bytes_of: set[Dot]) -> None:
        device.held.append(event.id)
        device.mask |= 1 << event.id
        device.has |= bytes_of

    def _opens(self, device: Device, dot: Dot) -> bool:
        return self.rules.content(self.view(device), dot, device.opens) is not None

    def openable(self, device: Device, target: Target) -> frozenset[Dot]:
        """What a write names: the live dots that its author could open."""
        live = self.view(device).live.get(target, [])
        return frozenset(d for d in live if "openable" not in self.rules.rules or self._opens(device, d))

    def status(self, device: Device, record: int) -> str:
        return self.rules.status(self.view(device), record, device.opens)

    # The acts. Each returns None where there is nothing to do.

    def create(self, device: Device) -> Event:
        content = Content({"f": f"f{len(self.events)}", "g": f"g{len(self.events)}", MEMBER: True})
        self.records += 1
        return self.add(device, (Op(("base", self.records - 1, ""), frozenset(), content),))

    def edit(self, device: Device, record: int, names: tuple[str, ...] = ("f",)) -> Event | None:
        if self.status(device, record) == "deleted" or not self._known(device, record):
            return None
        ops = []
        for name in names:
            target = ("field", record, name)
            ops.append(Op(target, self.openable(device, target), f"{name}{len(self.events)}"))
        return self.add(device, tuple(ops))

    def mark(self, device: Device, record: int, *, present: bool) -> Event | None:
        if self.status(device, record) == "deleted" or not self._known(device, record):
            return None
        target = ("member", record, MEMBER)
        return self.add(device, (Op(target, self.openable(device, target), present),))

    def _known(self, device: Device, record: int) -> bool:
        return bool(self.view(device).live_of(record))

    def delete(self, device: Device, record: int) -> Event | None:
        if self.status(device, record) == "deleted" or not self._known(device, record):
            return None
        listed = frozenset(
            dot
            for dot in self.view(device).live_of(record)
            if self.rules.op(dot).target[0] != "state" and self._opens(device, dot)
        )
        target = ("state", record, "")
        return self.add(device, (Op(target, self.openable(device, target), ("deleted", listed)),))

    def restore(self, device: Device, record: int) -> Event | None:
        if self.status(device, record) == "present":
            return None
        target = ("state", record, "")
        return self.add(device, (Op(target, self.openable(device, target), ALIVE),))

    def empty(self, device: Device, record: int) -> Event | None:
        """Empty the bin of this record."""
        if self.status(device, record) != "deleted":
            return None
        ops = []
        for target in sorted(self.view(device).live):
            if target[1] != record or target[0] == "state":
                continue
            named = self.openable(device, target)
            if any(self.rules.op(dot).value is not None for dot in named):
                ops.append(Op(target, named, None))
        return self.add(device, tuple(ops)) if ops else None

    def seal_again(self, device: Device, dot: Dot) -> Event | None:
        """Housekeeping: another ciphertext of a live dot, as after a new epoch."""
        read = self.rules.content(self.view(device), dot, device.opens)
        if read is None or read.value is None or len(self.view(device).copies.get(dot, [])) > 1:
            return None
        op = self.rules.op(dot)
        return self.add(device, (Op(op.target, frozenset(), read.value, dot),))

    def take_away(self, device: Device, record: int) -> Event | None:
        """Housekeeping: a base without what its fields' own writes override, as soon as these are stable."""
        view = self.view(device)
        stable = self.rules.stable(device.held, view, len(self.devices))
        if "take-away-stable" not in self.rules.rules:
            stable = device.mask
        for dot in view.live.get(("base", record, ""), []):
            read = self.rules.content(view, dot, device.opens)
            if read is None or not isinstance(read.value, Content):
                continue
            over = {name for name in [*FIELDS, MEMBER] if self._overrides(view, record, name, stable)}
            kept = {name: value for name, value in read.value.values.items() if name not in over}
            if kept != read.value.values:
                return self.add(device, (Op(read.target, frozenset(), Content(kept), dot),))
        return None

    def _overrides(self, view: View, record: int, name: str, stable: int) -> bool:
        return any(stable >> d[0] & 1 for d in view.live.get((_what(name), record, name), []))

    def purge(self, device: Device) -> Event | None:
        """Everything replaced, and every ciphertext older than a copy."""
        if device.number not in ADMINS:
            return None
        view = self.view(device)
        items: list[tuple[Dot, frozenset[Dot]]] = []
        for by in sorted(view.counted):
            old = [dot for dot in self._replaced_by(by) if dot not in view.purges and dot in view.replaced]
            items += [(dot, frozenset([by])) for dot in old]
        for dot, copies in sorted(view.copies.items()):
            items += self._older(device, view, dot, copies)
        return self.add(device, said=Purge(tuple(items))) if items else None

    def _replaced_by(self, by: Dot) -> list[Dot]:
        target = self.rules.op(by).target
        return sorted(dot for dot in self.rules.names(by) if self.rules.op(dot).target == target)

    def _older(self, device: Device, view: View, dot: Dot, copies: list[Dot]) -> list[tuple[Dot, frozenset[Dot]]]:
        """The ciphertexts before the newest copy that its purger can open and finds to agree."""
        op, newest = self.rules.op(dot), copies[-1]
        if op.target not in view.live or dot not in view.live[op.target] or not device.opens(newest):
            return []
        floor = {newest}
        old = [one for one in [dot, *copies[:-1]] if one not in view.purges]
        if op.target[0] == "base":
            kept = content_of(self.rules.op(newest))
            for name in [*FIELDS, MEMBER]:
                own = view.live.get((_what(name), op.target[1], name), [])
                if name not in kept and not own:
                    return []
                if name not in kept and "floor-overrides" in self.rules.rules:
                    floor |= set(own)
        return [(one, frozenset(floor)) for one in old]

    def remove(self, device: Device, target: int, *, whole: bool = True) -> Event | None:
        if device.number not in ADMINS or target <= device.number or target in self.view(device).gone:
            return None
        under = sum(1 << e for e in device.held if self.events[e].author == target)
        return self.add(device, said=Remove(target, under, whole))

    def grant(self, device: Device, target: int) -> Event | None:
        return self.add(device, said=Grant(target)) if device.number in ADMINS else None

    def take_in(self, device: Device) -> Event | None:
        view = self.view(device)
        beyond = [e for e in view.cut if any((e, i) not in view.counted for i in range(len(self.events[e].ops)))]
        if device.number not in ADMINS or not beyond:
            return None
        return self.add(device, said=TakeIn(min(beyond)))

    # Exchange.

    def next_for(self, here: Device, there: Device) -> list[int]:
        """What `there` has and `here` can take now: its chain and all that it had heard are held."""
        found = []
        for one in bits(there.mask & ~here.mask):
            event = self.events[one]
            if event.heard & ~here.mask == 0 and (event.prev is None or here.holds(event.prev)):
                found.append(one)
        return found

    def give(self, here: Device, there: Device, one: int, *, late: bool = False) -> None:
        """`here` takes an event from `there`, with the bytes that are there; `late`: not yet with their key."""
        refs = {(one, index) for index in range(len(self.events[one].ops))}
        self.take(here, self.events[one], refs & there.has)
        if late:
            here.locked |= refs

    def want(self, here: Device, there: Device) -> None:
        """Bytes that are missing here and not under a purge in force are asked for, and so are keys."""
        here.locked.clear()
        purges = self.view(here).purges
        here.has |= {dot for dot in there.has if here.holds(dot[0]) and dot not in purges}

    def look(self, device: Device) -> dict[Dot, int]:
        """Look at the purges; drop what has been due for the waiting time. What was dropped, with the looks."""
        due = self.rules.may_drop(device.held, len(self.devices))
        device.seen_due = {dot: device.seen_due.get(dot, 0) + 1 for dot in due}
        wait = WAIT if "waiting" in self.rules.rules else 0
        dropped = {dot: n for dot, n in device.seen_due.items() if n > wait and dot in device.has}
        for dot, looks in dropped.items():
            device.has.discard(dot)
            self.dropped[dot] = min(looks, self.dropped.get(dot, looks))
        return dropped

    def play_back(self, backup: Device) -> Device:
        """A device is again as it was: if it wrote since, its log forks at its next write."""
        back = backup.copy()
        back.seen_due, back.partial = {}, True
        self.devices[back.number] = back
        self.played_back.add(back.number)
        return back


def _what(name: str) -> str:
    return "member" if name == MEMBER else "field"
