"""Histories of records: random ones of three to five devices, and every one of a few events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from simulations.model.checks import TARGETS, Told, Violation, check_counts, check_dropped, check_shown, check_waited
from simulations.model.events import Event, Op
from simulations.model.family import WAIT, Device, Family
from simulations.model.records import RULES

ALL = frozenset(RULES)

Act = Callable[[Family, Device, random.Random], Event | None]


def _record(family: Family, rng: random.Random) -> int:
    return rng.randrange(family.records)


def _seal(family: Family, device: Device, rng: random.Random) -> Event | None:
    live = sorted(dot for dots in family.view(device).live.values() for dot in dots)
    return family.seal_again(device, rng.choice(live)) if live else None


def _hostile(family: Family, device: Device, rng: random.Random) -> Event | None:
    """A write that names dots of another target."""
    live = sorted(dot for dots in family.view(device).live.values() for dot in dots)
    target = ("field", _record(family, rng), rng.choice("fg"))
    own = family.openable(device, target)
    named = frozenset(dot for dot in live if family.rules.op(dot).target != target) | own
    return family.add(device, (Op(target, named, f"h{len(family.events)}"),)) if live else None


ACTS: dict[str, tuple[int, Act]] = {
    "edit": (14, lambda f, d, r: f.edit(d, _record(f, r), r.choice((("f",), ("g",), ("f", "g"))))),
    "mark": (5, lambda f, d, r: f.mark(d, _record(f, r), present=r.random() < 0.5)),
    "delete": (5, lambda f, d, r: f.delete(d, _record(f, r))),
    "restore": (3, lambda f, d, r: f.restore(d, _record(f, r))),
    "empty": (3, lambda f, d, r: f.empty(d, _record(f, r))),
    "seal": (3, _seal),
    "take-away": (4, lambda f, d, r: f.take_away(d, _record(f, r))),
    "purge": (5, lambda f, d, _: f.purge(d)),
    "remove": (2, lambda f, d, r: f.remove(d, r.randrange(1, len(f.devices)))),
    "revoke": (1, lambda f, d, r: f.remove(d, r.randrange(1, len(f.devices)), whole=False)),
    "grant": (1, lambda f, d, r: f.grant(d, r.randrange(1, len(f.devices)))),
    "take-in": (2, lambda f, d, _: f.take_in(d)),
    "frontier": (4, lambda f, d, _: f.add(d)),
    "hostile": (1, _hostile),
}
NAMES = list(ACTS)
PROFILES: dict[str, dict[str, int]] = {
    "plain": {},
    "purging": {"purge": 14, "take-away": 8, "remove": 3, "frontier": 6},
    "removing": {"remove": 8, "take-in": 5, "revoke": 3, "grant": 3, "edit": 24},
}
"""What is done more often than ACTS says."""
HOUSEKEEPING = ("seal", "take-away")


def everything_shown(family: Family, device: Device) -> list[object]:
    """The state and all values of every record."""
    view, has = family.view(device), device.opens
    found: list[object] = []
    for record in range(family.records):
        found.append(family.rules.status(view, record, has))
        found += [family.rules.shown(view, (what, record, name), has) for what, name in TARGETS]
    return found


def run(seed: int, rules: frozenset[str] = ALL) -> Told:
    """One random history. Raises Violation."""
    rng = random.Random(seed)
    family = Family(rng.randint(3, 5), rules)
    told = Told()
    first = family.devices[0]
    for _ in range(rng.choice((1, 1, 2))):
        family.create(first)
    for device in family.devices[1:]:
        exchange(family, device, first, rng, whole=True)
    drawer = {rng.randrange(len(family.devices))} if rng.random() < 0.3 else set()
    weights = PROFILES[rng.choice(list(PROFILES))]
    chances = [weights.get(name, weight) for name, (weight, _) in ACTS.items()]
    backups: list[Device] = []
    for _ in range(rng.randint(6, 40)):
        device = rng.choice(family.devices)
        chance = rng.random()
        if chance < 0.5:
            act(family, device, rng.choices(NAMES, chances)[0], rng)
        elif chance < 0.80:
            other = rng.choice(family.devices)
            if other is not device and not {device.number, other.number} & drawer:
                exchange(family, device, other, rng, whole=rng.random() < 0.6, late=rng.random() < 0.1)
        elif chance < 0.85:
            look(family, device)
        elif chance < 0.90:
            calm(family, [d for d in family.devices if d.number not in drawer], rng)
        elif chance < 0.96 or not backups:
            backups.append(device.copy())
        else:
            device = family.play_back(rng.choice(backups))
            act(family, device, rng.choice(("remove", "edit", "delete")), rng)
        check_shown(family, family.devices[device.number], told, final=False)
    finish(family, rng, told)
    return told


def calm(family: Family, devices: list[Device], rng: random.Random, looks: int | None = None) -> None:
    """An evening at home: those who are there exchange all, sign what they hold, and look at the purges."""
    meet(family, devices, rng)
    for device in devices:
        family.add(device)
    meet(family, devices, rng)
    looks = rng.randint(0, WAIT + 1) if looks is None else looks
    for device in devices:
        for _ in range(looks):
            look(family, device)


def look(family: Family, device: Device) -> None:
    dropped = family.look(device)
    if dropped:
        check_dropped(family, device, dropped)


def act(family: Family, device: Device, name: str, rng: random.Random) -> None:
    before = everything_shown(family, device) if name in HOUSEKEEPING else None
    ACTS[name][1](family, device, rng)
    removed = device.number in family.view(device).gone
    if before is not None and not removed and everything_shown(family, device) != before:
        raise Violation("housekeeping", f"{name} changed what is shown")


def exchange(
    family: Family, here: Device, there: Device, rng: random.Random, *, whole: bool, late: bool = False
) -> None:
    """`here` takes from `there`, in any order that chains and statements allow. `late`: the keys to open what
    came are not there yet."""
    left = 1 << 30 if whole else rng.randint(1, 4)
    while left and (found := family.next_for(here, there)):
        family.give(here, there, rng.choice(found), late=late)
        left -= 1
    here.partial = late or bool(there.mask & ~here.mask)
    if not late:
        family.want(here, there)


def finish(family: Family, rng: random.Random, told: Told) -> None:
    """All meet, wait, and meet again: all show the same, and nothing is missing."""
    for late in range(3):
        meet(family, family.devices, rng)
        agree(family, rng)
        for device in family.devices:
            check_counts(family, device, family.view(device))
            check_shown(family, device, told, final=True)
            check_waited(family, family.view(device))
            if late == 0:
                family.add(device)  # a signed frontier
            if late == 1:
                for _ in range(WAIT + 1):
                    look(family, device)


def meet(family: Family, devices: list[Device], rng: random.Random) -> None:
    everyone = list(devices)
    rng.shuffle(everyone)
    for _ in range(2):
        for here in everyone:
            for there in everyone:
                if here is not there:
                    exchange(family, here, there, rng, whole=True)


def agree(family: Family, rng: random.Random) -> None:
    """The same for every device, and for every order in which the events might have come."""
    seen = {str(sorted(map(_plain, everything_shown(family, device)))) for device in family.devices}
    if len(seen) > 1:
        raise Violation("agree", " / ".join(sorted(seen)))
    device = family.devices[0]
    order = list(device.held)
    live = family.rules.view(order).live
    rng.shuffle(order)
    fresh = type(family.rules)(family.events, family.rules.rules)
    if fresh.view(order).live != live:
        raise Violation("order", "another order of arrival shows something else")


def _plain(shown: object) -> str:
    return str(sorted(map(str, shown))) if isinstance(shown, frozenset) else str(shown)


# Every history of a few events.

FEW: dict[str, Callable[[Family, Device], Event | None]] = {
    "edit": lambda f, d: f.edit(d, 0),
    "absent": lambda f, d: f.mark(d, 0, present=False),
    "delete": lambda f, d: f.delete(d, 0),
    "restore": lambda f, d: f.restore(d, 0),
    "empty": lambda f, d: f.empty(d, 0),
    "seal": lambda f, d: f.seal_again(d, (0, 0)) if (0, 0) in f.view(d).live_of(0) else None,
    "take-away": lambda f, d: f.take_away(d, 0),
    "purge": lambda f, d: f.purge(d),
    "remove 2": lambda f, d: f.remove(d, 2),
    "remove 1": lambda f, d: f.remove(d, 1),
    "take-in": lambda f, d: f.take_in(d),
}


def every(events: int, rules: frozenset[str] = ALL) -> Iterator[tuple[tuple[str, ...], Violation | None]]:
    """Each history: who did what having seen which of the events before; then all meet."""
    yield from _grow(events, (), rules)


def _grow(
    left: int, steps: tuple[tuple[int, str, int], ...], rules: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], Violation | None]]:
    for device in range(3):
        for seen in _pasts(steps, device):
            for name in FEW:
                step = (device, name, seen)
                family = replay((*steps, step), rules)
                if family is None:
                    continue
                named = tuple(f"{d} {n}, seen {[*_numbers(s)]}" for d, n, s in (*steps, step))
                if left > 1:
                    yield from _grow(left - 1, (*steps, step), rules)
                else:
                    yield named, _found(family)


def _numbers(mask: int) -> Iterator[int]:
    return (n + 1 for n in range(mask.bit_length()) if mask >> n & 1)


def _pasts(steps: tuple[tuple[int, str, int], ...], device: int) -> list[int]:
    """The sets of earlier steps that `device` may have seen: its own, and with each what that had seen."""
    own = sum(1 << n for n, step in enumerate(steps) if step[0] == device)
    found = []
    for mask in range(1 << len(steps)):
        closed = all(steps[n][2] & ~mask == 0 for n in range(len(steps)) if mask >> n & 1)
        if closed and own & ~mask == 0:
            found.append(mask)
    return found


def replay(steps: tuple[tuple[int, str, int], ...], rules: frozenset[str]) -> Family | None:
    """The family after these steps, or None if the last one does nothing."""
    family = Family(3, rules)
    family.create(family.devices[0])
    for device in family.devices[1:]:
        family.give(device, family.devices[0], 0)
    for number, name, seen in steps:
        device = family.devices[number]
        for n in range(len(steps)):
            if seen >> n & 1 and not device.holds(n + 1):
                event = family.events[n + 1]
                family.take(device, event, {(n + 1, index) for index in range(len(event.ops))})
        if FEW[name](family, device) is None:
            return None
    return family


def _found(family: Family) -> Violation | None:
    rng = random.Random(0)
    try:
        finish(family, rng, Told())
    except Violation as violation:
        return violation
    return None
