"""What a set of events means for one vault: which writes count, which are live, what is shown, what may be purged.

Device 0 is the family's eldest admin, device 1 the second; rank is the number. `rules` names the rules in force:
the run that looks whether a rule is needed leaves one out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simulations.model.events import ALIVE, Content, Dot, Event, Grant, Op, Purge, Remove, TakeIn, Target, bits

RULES = {
    "dead-set": "a dot named before it came is replaced all the same",
    "same-target": "replaces counts only against an op of the same target",
    "openable": "a write names only dots that its author could open",
    "copy-is-no-write": "a copy makes no dot and replaces nothing",
    "first-ciphertext": "while the first ciphertext is there it is the one that is read",
    "take-away-stable": "a copy leaves out only what a stable write overrides",
    "list": "a delete hides only the live dots on its list",
    "list-through": "what a listed dot replaced, directly or through others, counts as listed",
    "valueless": "an op without value brings no record back",
    "restore-wins": "a restore wins over a delete made apart",
    "present-wins": "present wins over absent made apart",
    "stable": "a purge takes effect once its floor stands in every device's signed frontier",
    "held-frontier": "a device is waited for until all that its newest known frontier names is held",
    "removed-waited": "a removed device is waited for until its removal stands in all remaining frontiers",
    "waiting": "bytes are dropped only after a waiting time",
    "floor": "a write named by the floor of a purge in force counts whatever the cuts",
    "floor-overrides": "the floor of an older ciphertext names the writes that override what the copy leaves out",
    "floor-alone": "a floor lifts the named write alone, not its whole entry",
    "replaced-through": "what a cut write replaced stays replaced if a counted write replaced the cut one",
    "cut-drops": "what the remover had not seen does not count",
    "cut-keeps": "what the remover had seen counts",
    "every-cut": "an entry counts only if it lies under every cut",
    "take-in": "an admin can take in what lies beyond a cut",
    "seniority": "of two admins who remove each other the senior stays",
    "own-past": "authority is judged in the author's own past",
    "lift": "a later grant lifts a revocation for entries that had heard of it",
    "both-branches": "both branches of a forked log count",
}
ADMINS = (0, 1)
WANTED, PURGED = "<wanted>", "<purged by>"


@dataclass(slots=True)
class View:
    """What a set of events says, before any value is opened."""

    counted: set[Dot] = field(default_factory=set)
    """Writes and copies."""
    live: dict[Target, list[Dot]] = field(default_factory=dict)
    replaced: set[Dot] = field(default_factory=set)
    copies: dict[Dot, list[Dot]] = field(default_factory=dict)
    purges: dict[Dot, list[frozenset[Dot]]] = field(default_factory=dict)
    """Ciphertexts under a purge in force, with the floors."""
    purged_once: set[Dot] = field(default_factory=set)
    """Ciphertexts named by any purge that is known, in force or not."""
    gone: dict[int, list[int]] = field(default_factory=dict)
    """Removed devices, with their removals."""
    cut: set[int] = field(default_factory=set)
    """Events beyond a cut."""

    def live_of(self, record: int) -> list[Dot]:
        return [dot for target, dots in self.live.items() if target[1] == record for dot in dots]


class Rules:
    """The pure functions, over events that never change; what was computed once is remembered."""

    def __init__(self, events: list[Event], rules: frozenset[str]) -> None:
        self.events = events
        self.rules = rules
        self._effective: dict[int, list[int]] = {}
        self._views: dict[int, View] = {}

    def op(self, dot: Dot) -> Op:
        return self.events[dot[0]].ops[dot[1]]

    # Who may do what.

    def effective(self, statements: int) -> list[int]:
        """The statements with effect among these, the senior author's first."""
        found = self._effective.get(statements)
        if found is None:
            order = sorted(bits(statements), key=lambda e: (self.events[e].author, e))
            if "seniority" not in self.rules:
                order = sorted(bits(statements), reverse=True)
            found = []
            for one in order:
                event = self.events[one]
                past = self.effective(event.heard) if "own-past" in self.rules else list(found)
                if self._may_say(event, past) and not self._beyond(event, found):
                    found.append(one)
            self._effective[statements] = found
        return found

    def _may_say(self, event: Event, past: list[int]) -> bool:
        if event.author not in ADMINS or self._removed(event.author, past):
            return False
        return not isinstance(event.said, Remove) or event.author < event.said.target

    def _removed(self, device: int, effective: list[int]) -> bool:
        return any(
            said.target == device and (said.whole or not self._granted_after(one, effective))
            for one in effective
            if isinstance(said := self.events[one].said, Remove)
        )

    def _granted_after(self, removal: int, effective: list[int]) -> bool:
        said = self.events[removal].said
        assert isinstance(said, Remove)
        return any(
            isinstance(grant := self.events[one].said, Grant)
            and grant.target == said.target
            and self.events[one].heard >> removal & 1
            for one in effective
        )

    def _beyond(self, event: Event, effective: list[int]) -> bool:
        """Whether the event lies beyond a cut."""
        verdicts = []
        for one in effective:
            said = self.events[one].said
            if isinstance(said, Remove) and said.target == event.author:
                heard = [e for e in effective if event.heard >> e & 1 or e == one]
                lifted = not said.whole and "lift" in self.rules and self._granted_after(one, heard)
                inside = bool(said.under >> event.id & 1) and "cut-keeps" in self.rules
                verdicts.append(not inside and not lifted)
        if "cut-drops" not in self.rules:
            return False
        return any(verdicts) if "every-cut" in self.rules else bool(verdicts) and all(verdicts)

    # Which writes count and which are live.

    def view(self, arrived: Sequence[int]) -> View:
        """The meaning of a set of events. Only a rule that is switched off looks at their order."""
        key = 0
        for one in arrived:
            key |= 1 << one
        found = self._views.get(key)
        if found is None or "dead-set" not in self.rules:
            found = self._views[key] = self._view(arrived, key)
        return found

    def _view(self, arrived: Sequence[int], mask: int) -> View:
        view = View()
        statements = sum(1 << e for e in arrived if self.events[e].said)
        effective = self.effective(statements)
        for one in effective:
            said = self.events[one].said
            if isinstance(said, Remove) and said.whole:
                view.gone.setdefault(said.target, []).append(one)
            if isinstance(said, Purge):
                for item, floor in said.items:
                    view.purges.setdefault(item, []).append(floor)
        for one in bits(statements):
            said = self.events[one].said
            if isinstance(said, Purge):
                view.purged_once |= {item for item, _ in said.items}
        self._count(view, mask, effective)
        self._merge(view, arrived)
        return view

    def _count(self, view: View, mask: int, effective: list[int]) -> None:
        taken = {s.event for e in effective if isinstance(s := self.events[e].said, TakeIn)}
        lifted = {dot for floors in view.purges.values() for floor in floors for dot in floor}
        whole = {dot[0] for dot in lifted} if "floor-alone" not in self.rules else set()
        first = self._first_branches(mask)
        for one in bits(mask):
            event = self.events[one]
            if not event.ops or not self.authority(event, effective) or one not in first:
                continue
            beyond = self._beyond(event, effective)
            if beyond:
                view.cut.add(one)
            inside = not beyond or ("take-in" in self.rules and one in taken) or one in whole
            for index in range(len(event.ops)):
                if inside or ("floor" in self.rules and (one, index) in lifted):
                    view.counted.add((one, index))

    def authority(self, event: Event, effective: list[int]) -> bool:
        past = self.effective(event.heard) if "own-past" in self.rules else effective
        return not self._removed(event.author, past)

    def _first_branches(self, mask: int) -> set[int]:
        if "both-branches" in self.rules:
            return set(bits(mask))
        kept: set[int] = set()
        taken: set[tuple[int, int]] = set()
        for one in bits(mask):
            event = self.events[one]
            if event.prev is None or (event.prev in kept and (event.prev, event.author) not in taken):
                kept.add(one)
                if event.prev is not None:
                    taken.add((event.prev, event.author))
        return kept

    def is_write(self, op: Op) -> bool:
        return op.copies is None or "copy-is-no-write" not in self.rules

    def names(self, dot: Dot) -> frozenset[Dot]:
        op = self.op(dot)
        if op.copies is not None:
            return frozenset([op.copies]) if self.is_write(op) else frozenset()
        return op.replaces

    def _same_target(self, dot: Dot, named: Dot) -> bool:
        return self.op(dot).target == self.op(named).target or "same-target" not in self.rules

    def _merge(self, view: View, arrived: Sequence[int]) -> None:
        came = {one: at for at, one in enumerate(arrived)}
        todo = [dot for dot in view.counted if self.is_write(self.op(dot))]
        done = set(todo)
        while todo:
            dot = todo.pop()
            for named in self.names(dot):
                if named[0] not in came:
                    continue
                if not self._same_target(dot, named):
                    continue
                if "dead-set" not in self.rules and came[named[0]] > came[dot[0]]:
                    continue
                view.replaced.add(named)
                if named not in done and "replaced-through" in self.rules:
                    done.add(named)
                    todo.append(named)
        for dot in sorted(view.counted):
            op = self.op(dot)
            if op.copies is not None and self.is_write(op) is False:
                if op.copies[0] in came and self.op(op.copies).target == op.target:
                    view.copies.setdefault(op.copies, []).append(dot)
            elif dot not in view.replaced:
                view.live.setdefault(op.target, []).append(dot)

    # What is shown.

    def content(self, view: View, dot: Dot, has: Callable[[Dot], bool]) -> Op | None:
        """The ciphertext of `dot` that is read here: the first while it is there, else the fullest copy."""
        if self.op(dot).value is None:
            return self.op(dot)
        there = [one for one in [dot, *view.copies.get(dot, [])] if has(one)]
        if not there:
            return None
        if self.op(dot).target[0] != "base":
            return self.op(there[0])
        if "first-ciphertext" not in self.rules:
            return self.op(there[-1])
        return self.op(there[0] if there[0] == dot else max(there, key=lambda d: (len(content_of(self.op(d))), d)))

    def missing(self, view: View, dot: Dot) -> str:
        names = [dot, *view.copies.get(dot, [])]
        return PURGED if any(name in view.purged_once for name in names) else WANTED

    def status(self, view: View, record: int, has: Callable[[Dot], bool]) -> str:
        """present, deleted or revived."""
        states = view.live.get(("state", record, ""), [])
        read = [op.value if (op := self.content(view, dot, has)) else None for dot in states]
        lists = [value[1] for value in read if isinstance(value, tuple) and value[0] == "deleted"]
        if not lists or ("restore-wins" in self.rules and ALIVE in read):
            return "present"
        if "list" not in self.rules:
            return "deleted"
        listed: set[Dot] = set()
        todo = [dot for one in lists if isinstance(one, frozenset) for dot in one]
        while todo:
            dot = todo.pop()
            if dot not in listed:
                listed.add(dot)
                if "list-through" in self.rules:
                    todo += [named for named in self.names(dot) if self._same_target(dot, named)]
        for dot in view.live_of(record):
            op = self.op(dot)
            if op.target[0] == "state" or dot in listed:
                continue
            if op.value is not None or "valueless" not in self.rules:
                return "revived"
        return "deleted"

    def shown(self, view: View, target: Target, has: Callable[[Dot], bool]) -> frozenset[tuple[Dot, object]]:
        """The candidates of a field or a member; what cannot be opened here reads as WANTED or PURGED."""
        found: set[tuple[Dot, object]] = set()
        own = view.live.get(target, [])
        for dot in own:
            op = self.content(view, dot, has)
            if op is None:
                found.add((dot, self.missing(view, dot)))
            elif op.value is not None:
                found.add((dot, op.value))
        for dot in () if own else view.live.get(("base", target[1], ""), []):
            op = self.content(view, dot, has)
            if self.op(dot).value is None:
                continue
            values = content_of(op) if op else {}
            found.add((dot, values.get(target[2], self.missing(view, dot))))
        if target[0] == "member" and len(found) > 1 and "present-wins" in self.rules:
            found = {one for one in found if one[1] is not False} or found
        return frozenset(found)

    # What may be dropped.

    def stable(self, arrived: Sequence[int], view: View, devices: int) -> int:
        """The events that stand in the newest signed frontier of every device that is waited for."""
        held = sum(1 << e for e in arrived)
        newest: dict[int, int] = {}
        for one in sorted(arrived):
            event = self.events[one]
            whole = "held-frontier" not in self.rules or event.seen & ~held == 0
            newest[event.author] = event.seen | 1 << one if whole else 0
        result = held
        remain = [device for device in range(devices) if device not in view.gone]
        for device in range(devices):
            removals = view.gone.get(device)
            if removals:
                heard = all(newest.get(d, 0) >> r & 1 for d in remain for r in removals)
                if heard or "removed-waited" not in self.rules:
                    continue
            result &= newest.get(device, 0)
        return result

    def may_drop(self, arrived: Sequence[int], devices: int) -> set[Dot]:
        """The ciphertexts whose purge takes effect here (the waiting time begins)."""
        view = self.view(arrived)
        if not view.purges:
            return set()
        stable = self.stable(arrived, view, devices) if "stable" in self.rules else sum(1 << e for e in arrived)
        return {
            item
            for item, floors in view.purges.items()
            if any(all(stable >> dot[0] & 1 for dot in floor) for floor in floors)
        }


def content_of(op: Op) -> dict[str, object]:
    """A base's values by target name, but for those that a copy took away."""
    return op.value.values if isinstance(op.value, Content) else {}
