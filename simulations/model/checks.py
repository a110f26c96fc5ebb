"""What must hold of records, judged from who had seen what when they wrote: the rules of merging are not asked."""

from __future__ import annotations

from dataclasses import dataclass

from simulations.model.events import ALIVE, Dot, Event, Grant, Remove, TakeIn, Target, bits
from simulations.model.family import FIELDS, MEMBER, WAIT, Device, Family
from simulations.model.records import PURGED, WANTED, View, content_of

TARGETS = (*(("field", name) for name in FIELDS), ("member", MEMBER))


class Violation(Exception):
    """What was found, by the name of the check."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(f"{check}: {detail}")
        self.check = check


@dataclass(slots=True)
class Told:
    """What is no violation but is counted."""

    purged_by: int = 0
    """Values lost to a purge that lost its authority after the waiting time."""
    wanted: int = 0
    """Values wanted by a device while another showed them, and the exchange had ended."""


class Oracle:
    """What a device is to show, from `seen` alone."""

    def __init__(self, family: Family, device: Device, view: View) -> None:
        self.family, self.device, self.view = family, device, view
        self.events: list[Event] = family.events

    def superseded(self, dot: Dot, by: Dot) -> bool:
        """Whether `by` was written by someone who had `dot` before them, as one that counts and opens."""
        seen = self.events[by[0]].seen
        if not seen >> dot[0] & 1 or dot in self.family.unopened[by[0]]:
            return False
        before = self.family.rules.view(list(bits(seen)))
        if dot not in before.counted:
            return False
        # What they could not open had come in its place: they have not written over what they were not shown.
        heirs = [d for d in before.live.get(self._target(dot), []) if d != dot and self.superseded(dot, d)]
        return not heirs or any(heir not in self.family.unopened[by[0]] for heir in heirs)

    def newest(self, target: Target) -> list[Dot]:
        """The counted writes of a target that nobody wrote over, having seen them."""
        writes = [d for d in sorted(self.view.counted) if self._is_write(d) and self._target(d) == target]
        return [d for d in writes if not any(self.superseded(d, by) for by in writes if by != d)]

    def _is_write(self, dot: Dot) -> bool:
        return self.family.rules.op(dot).copies is None

    def _target(self, dot: Dot) -> Target:
        return self.family.rules.op(dot).target

    def field(self, target: Target) -> frozenset[tuple[Dot, object]]:
        op = self.family.rules.op
        own = self.newest(target)
        if own:
            found: set[tuple[Dot, object]] = {(dot, op(dot).value) for dot in own if op(dot).value is not None}
        else:
            bases = [dot for dot in self.newest(("base", target[1], "")) if op(dot).value is not None]
            found = {(dot, content_of(op(dot))[target[2]]) for dot in bases}
        if target[0] == "member" and any(value is True for _, value in found):
            found = {one for one in found if one[1] is True}
        return frozenset(found)

    def status(self, record: int) -> str:
        states = self.newest(("state", record, ""))
        values = [self.family.rules.op(dot).value for dot in states]
        if not states or ALIVE in values:
            return "present"
        targets = [("base", record, ""), *((what, record, name) for what, name in TARGETS)]
        for target in targets:
            for dot in self.newest(target):
                apart = not any(self.superseded(dot, by) for by in states)
                if apart and self.family.rules.op(dot).value is not None:
                    return "revived"
        return "deleted"


def check_counts(family: Family, device: Device, view: View) -> None:
    """Who wrote what when says which entries count."""
    effective = family.rules.effective(sum(1 << e for e in device.held if family.events[e].said))
    for one in device.held:
        event = family.events[one]
        if not event.ops:
            continue
        counts = [(one, index) in view.counted for index in range(len(event.ops))]
        removals = [
            said for e in effective
            if isinstance(said := family.events[e].said, Remove) and said.target == event.author and said.whole
        ]  # fmt: skip
        named = {dot for floors in view.purges.values() for floor in floors for dot in floor}
        for index, counted in enumerate(counts):
            if any(not said.under >> one & 1 for said in removals):
                taken = one in view_taken(family, effective)
                if taken != counted and (one, index) not in named:
                    raise Violation("cut", f"event {one} counts: {counted}, taken in: {taken}")
            elif not counted and not _revoked(family, event, effective):
                raise Violation("cut", f"event {one} had authority, was seen, and does not count")
        if any(counts) and _had_heard_of_removal(family, event):
            raise Violation("authority", f"event {one} had heard of its author's removal and counts")
    for one in effective:
        for other in effective:
            said = family.events[other].said
            mine = isinstance(said, Remove) and said.target == family.events[one].author
            if mine and isinstance(said, Remove) and not said.under >> one & 1 and said.whole:
                raise Violation("cut", f"statement {one} has effect, unseen by removal {other} of its author")
    removed = set(view.gone)
    if set(ADMINS_ALL) <= removed:
        raise Violation("admin", "no admin is left")


ADMINS_ALL = (0, 1)


def view_taken(family: Family, effective: list[int]) -> set[int]:
    return {said.event for e in effective if isinstance(said := family.events[e].said, TakeIn)}


def _had_heard_of_removal(family: Family, event: Event) -> bool:
    past = family.rules.effective(event.heard)
    return any(
        isinstance(said := family.events[e].said, Remove) and said.whole and said.target == event.author
        for e in past
    )


def _revoked(family: Family, event: Event, effective: list[int]) -> bool:
    """A revocation touches it, heard or not, and no grant that it had heard of came after."""
    if _had_heard_of_removal(family, event):
        return True
    past = family.rules.effective(event.heard)
    for known in (past, effective):
        for one in known:
            said = family.events[one].said
            if not isinstance(said, Remove) or said.target != event.author or said.whole:
                continue
            lifted = any(
                isinstance(grant := family.events[e].said, Grant)
                and grant.target == event.author
                and family.events[e].heard >> one & 1
                and event.heard >> e & 1
                for e in known
            )
            if not lifted and (known is past or not said.under >> event.id & 1):
                return True
    return False


def check_shown(family: Family, device: Device, told: Told, *, final: bool) -> None:
    """Every write is current or was written over by who had seen it; nothing comes back by itself."""
    view = family.view(device)
    oracle = Oracle(family, device, view)
    has = device.opens
    for dots in view.live.values():
        for dot in dots:
            names = [dot, *view.copies.get(dot, [])]
            if any(one in view.purges for one in names) and not any(one in device.has for one in names):
                raise Violation("purged", f"{dot} is live, and purged under a purge in force")
    if any(not device.holds(named[0]) for dot in view.counted for named in family.rules.names(dot)):
        return  # an entry that another names is still to be fetched
    for record in range(family.records):
        status = family.rules.status(view, record, has)
        states = view.live.get(("state", record, ""), [])
        if all(has(dot) for dot in states) and status != oracle.status(record):
            raise Violation("deleted", f"record {record} is {status}, not {oracle.status(record)}")
        for what, name in TARGETS:
            _compare(family, device, oracle, (what, record, name), told, final=final)


def _compare(
    family: Family, device: Device, oracle: Oracle, target: Target, told: Told, *, final: bool
) -> None:
    view = oracle.view
    shown = family.rules.shown(view, target, device.opens)
    wanted = oracle.field(target)
    unread = {dot: value for dot, value in shown if value in (WANTED, PURGED)}
    if target[0] == "member" and unread:
        return
    read = {one for one in shown if one[0] not in unread}
    current = {one for one in wanted if one[0] not in unread}
    if read != current:
        raise Violation("shown", f"{target} shows {sorted(shown, key=str)}, not {sorted(wanted, key=str)}")
    if not set(unread) <= {dot for dot, _ in wanted}:
        raise Violation("shown", f"{target} misses {sorted(unread)}, which are not current")
    for dot, value in unread.items():
        if value == PURGED:
            _lost(device, dot, told, view)
        elif not device.partial:
            _wanted(family, device, dot, target, told, final=final)


def _lost(device: Device, dot: Dot, told: Told, view: View) -> None:
    """Purged by one who lost the authority later."""
    if any(one in device.locked for one in [dot, *view.copies.get(dot, [])]):
        return  # it is here, its key is not
    if any(one in view.purges for one in [dot, *view.copies.get(dot, [])]):
        raise Violation("purged", f"{dot} is needed, and purged under a purge in force")
    told.purged_by += 1


def check_dropped(family: Family, device: Device, dropped: dict[Dot, int]) -> None:
    """Bytes go only when nobody shows them any more, and nobody is known to object."""
    view = family.view(device)
    held = device.mask
    for one in device.held:
        if family.events[one].author not in view.gone:
            held |= family.events[one].seen
    known = family.rules.view(list(_numbers(held)))
    for dot in dropped:
        if dot not in known.purges:
            raise Violation("voided", f"{device.number} drops {dot}: a frontier names what voids the purge")
        floors = view.purges[dot]
        for other in family.devices:
            lacks = all(any(not other.holds(named[0]) for named in floor) for floor in floors)
            remain = [d for d in family.devices if d.number not in family.played_back | view.gone.keys()]
            out = all(other.number in family.view(d).gone for d in remain)
            if lacks and not out and other.number not in family.played_back:
                raise Violation("current", f"{device.number} drops {dot}, which {other.number} shows as current")


def _numbers(mask: int) -> list[int]:
    return [n for n in range(mask.bit_length()) if mask >> n & 1]


def check_waited(family: Family, view: View) -> None:
    """A purge that lost its authority in the waiting time destroyed nothing."""
    for dot, looks in family.dropped.items():
        if looks <= WAIT and dot not in view.purges:
            raise Violation("waiting", f"{dot} was dropped at once under a purge that lost its authority")


def _wanted(family: Family, device: Device, dot: Dot, target: Target, told: Told, *, final: bool) -> None:
    if not final and not any(one in family.dropped for one in [dot, *family.view(device).copies.get(dot, [])]):
        return  # on its way, or its key is
    others = [d for d in family.devices if d is not device]
    showing = [
        d for d in others
        if any(one == dot and value not in (WANTED, PURGED)
               for one, value in family.rules.shown(family.view(d), target, d.opens))
    ]  # fmt: skip
    told.wanted += 1
    if final or showing:
        raise Violation("wanted", f"{device.number} wants {dot}, shown by {[d.number for d in showing]}")
