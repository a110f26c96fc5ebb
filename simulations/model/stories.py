"""For each rule that chance seldom needs: a short history that goes wrong without it."""

from __future__ import annotations

import random
from collections.abc import Callable

from simulations.model.checks import Told
from simulations.model.family import WAIT, Family
from simulations.model.histories import ALL, calm, exchange, finish, look


class Story:
    """Three devices that share one record; `a.hears(b)`: a takes all that b has."""

    def __init__(self, rules: frozenset[str]) -> None:
        self.family = Family(3, rules)
        self.rng = random.Random(0)
        self.family.create(self.family.devices[0])
        self.hears(1, 0)
        self.hears(2, 0)

    def hears(self, here: int, there: int) -> None:
        devices = self.family.devices
        exchange(self.family, devices[here], devices[there], self.rng, whole=True)

    def edits(self, device: int, *names: str) -> None:
        self.family.edit(self.family.devices[device], 0, names or ("f",))

    def removes(self, device: int, target: int, *, whole: bool = True) -> None:
        self.family.remove(self.family.devices[device], target, whole=whole)

    def purges(self, device: int) -> None:
        self.family.purge(self.family.devices[device])

    def looks(self, device: int, times: int = WAIT + 1) -> None:
        for _ in range(times):
            look(self.family, self.family.devices[device])

    def signs(self, *devices: int) -> None:
        for device in devices:
            self.family.add(self.family.devices[device])

    def calm(self, *devices: int) -> None:
        calm(self.family, [self.family.devices[d] for d in devices], self.rng, looks=0)


def _floor(s: Story) -> None:
    """2 wrote over its own value, 0 purges the first; 1 removes 2 having seen the first alone."""
    s.edits(2)
    s.hears(1, 2)
    s.edits(2, "f", "g")
    s.hears(0, 2)
    s.purges(0)
    s.removes(1, 2)


def _old_admin(s: Story, *, purge: bool) -> None:
    """0 takes away what 2 overrode; 1, played back to before, removes 2 without having seen the override."""
    backup = s.family.devices[1].copy()
    s.edits(2)
    s.calm(0, 1, 2)
    s.family.take_away(s.family.devices[0], 0)
    if purge:
        s.purges(0)
    s.family.play_back(backup)
    s.removes(1, 2)


def _early(s: Story) -> None:
    """0 purges what 2 wrote over while 1 has not seen it."""
    s.edits(2)
    s.hears(0, 2)
    s.hears(1, 2)
    s.edits(2)
    s.hears(0, 2)
    s.purges(0)
    s.looks(0)


def _objection(s: Story) -> None:
    """1 purges; 0 has removed 1 before, and 0's newer frontier, but not the removal, has come to 2."""
    s.edits(1)
    s.edits(1)
    s.calm(0, 1, 2)
    s.family.add(s.family.devices[0])  # a frontier of now
    s.removes(0, 1)
    s.signs(0)
    s.purges(1)
    s.hears(2, 1)
    s.signs(1, 2)
    s.hears(2, 1)
    frontier, two = s.family.devices[0].held[-1], s.family.devices[2]
    s.family.take(two, s.family.events[frontier], set())
    s.looks(2)


def _unheard_removal(s: Story) -> None:
    """1 removed 2; 0 has not heard of it; 2 has not seen what was written over."""
    s.edits(0)
    s.hears(1, 0)
    s.hears(2, 0)
    s.edits(0)
    s.hears(1, 0)
    s.signs(0)
    s.hears(1, 0)
    s.removes(1, 2)
    s.purges(1)
    s.looks(1)


def _thief(s: Story) -> None:
    """1's stolen laptop purges, and 0 removes it within the waiting time."""
    s.edits(1)
    s.edits(1)
    s.calm(0, 1, 2)
    s.purges(1)
    s.hears(2, 1)
    s.signs(1, 2)
    s.hears(2, 1)
    s.looks(2, 1)
    s.removes(0, 1)


def _granted_again(s: Story) -> None:
    """0 takes the right to write from 2 and gives it back; 2 hears of both and edits."""
    s.removes(0, 2, whole=False)
    s.family.grant(s.family.devices[0], 2)
    s.hears(2, 0)
    s.edits(2)


def _listed(s: Story) -> None:
    """0 deletes what 2 wrote over 1's value; 1 removes 2 without having seen it."""
    s.edits(1)
    s.hears(2, 1)
    s.edits(2)
    s.hears(0, 2)
    s.family.delete(s.family.devices[0], 0)
    s.removes(1, 2)


def _through(s: Story) -> None:
    """0 writes over what 2 wrote over 1's value; 1 removes 2 without having seen it."""
    s.edits(1)
    s.hears(2, 1)
    s.edits(2)
    s.hears(0, 2)
    s.edits(0)
    s.removes(1, 2)


def _two_cuts(s: Story) -> None:
    """0 has seen both of 2's edits when it removes 2, 1 only the first."""
    s.edits(2)
    s.hears(1, 2)
    s.edits(2)
    s.hears(0, 2)
    s.removes(0, 2)
    s.removes(1, 2)


def _rank(s: Story) -> None:
    """0 removes 1, and apart from that 1 removes 2."""
    s.removes(0, 1)
    s.removes(1, 2)


def _taken_in(s: Story) -> None:
    """2 wrote on the train; 0 had removed it, and takes the edit in."""
    s.edits(2)
    s.removes(0, 2)
    s.hears(0, 2)
    s.family.take_in(s.family.devices[0])


def _fork(s: Story) -> None:
    """2 is played back and edits another field."""
    backup = s.family.devices[2].copy()
    s.edits(2)
    s.signs(2)
    backup.own = 1
    s.hears(0, 2)
    two = s.family.play_back(backup)
    s.family.take(two, s.family.events[1], {(1, 0)})
    s.edits(2, "g")


def _unopened(s: Story) -> None:
    """1 edits while the key to 2's value has not come."""
    s.edits(2)
    exchange(s.family, s.family.devices[1], s.family.devices[2], s.rng, whole=True, late=True)
    s.edits(1)


STORIES: dict[str, Callable[[Story], None]] = {
    "floor": _floor,
    "floor-alone": _floor,
    "floor-overrides": lambda s: _old_admin(s, purge=True),
    "first-ciphertext": lambda s: _old_admin(s, purge=False),
    "stable": _early,
    "held-frontier": _objection,
    "removed-waited": _unheard_removal,
    "waiting": _thief,
    "lift": _granted_again,
    "list-through": _listed,
    "replaced-through": _through,
    "every-cut": _two_cuts,
    "seniority": _rank,
    "take-in": _taken_in,
    "both-branches": _fork,
    "openable": _unopened,
}


def tell(name: str, rules: frozenset[str] = ALL) -> None:
    """Raises Violation if it goes wrong."""
    story = Story(rules)
    STORIES[name](story)
    finish(story.family, story.rng, Told())
