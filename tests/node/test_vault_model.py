"""A plain model beside the product: three devices of one person, each with its own store, keyholder and log.

The model is a list of all that was ever written and, for each device, which of it is known there. What a field shows,
what is in conflict, in the bin and in the history follows from that list alone; every device has to show the same.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from node.errors import ExitCode, KinringError
from node.item import FORM, TAGS
from node.keyholder import Unlocked
from node.vault import ItemView, Vaults
from replication.replica import Draft, Replica
from replication.session import SyncSession
from tests.kin import Author, add_keyholder, admit_device, exchange, wires
from tests.node.house import House

BASE, STATE = (".base", ""), (".state", "")
NAMES = ("first", "second", "third")
Register = tuple[str, str]
"""A field, or a tag or custom field by its name."""


# The model


@dataclass(frozen=True)
class Written:
    """One value at one register of one item. `number` is the order in which all was written, as clocks tell it."""

    number: int
    item: str
    register: Register
    value: Any
    replaces: frozenset[int]


@dataclass
class Shown:
    """An item as a person sees it."""

    fields: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    form: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, list[Any]] = field(default_factory=dict)
    deleted: bool = False
    revived: bool = False


class Model:
    """All that was written, and by device what of it is known there."""

    def __init__(self) -> None:
        self.all: list[Written] = []
        self.known: dict[str, set[int]] = {name: set() for name in NAMES}

    def at(self, device: str) -> list[Written]:
        return [self.all[number] for number in sorted(self.known[device])]

    def items(self, device: str) -> set[str]:
        return {one.item for one in self.at(device)}

    def live(self, device: str, item: str) -> dict[Register, list[Written]]:
        """What nothing known replaces, newest first."""
        known = self.at(device)
        gone = {number for one in known for number in one.replaces}
        found: dict[Register, list[Written]] = {}
        for one in reversed(known):
            if one.item == item and one.number not in gone:
                found.setdefault(one.register, []).append(one)
        return found

    def write(self, device: str, item: str, values: dict[Register, Any]) -> None:
        live = self.live(device, item)
        for register, value in values.items():
            replaces = frozenset(one.number for one in live.get(register, ()))
            self.known[device].add(len(self.all))
            self.all.append(Written(len(self.all), item, register, value, replaces))

    def meet(self, one: str, two: str) -> None:
        self.known[one] |= self.known[two]
        self.known[two] = set(self.known[one])

    def base(self, device: str, item: str) -> dict[Register, Any]:
        content = self.live(device, item)[BASE][0].value
        return {register: value for register, value in content.items() if value not in (None, "")}

    def shown(self, device: str, item: str) -> Shown:
        live = self.live(device, item)
        states, it = live.pop(STATE, []), Shown()
        values = self.base(device, item)
        written = {one.number for found in live.values() for one in found}
        for register, found in live.items():
            name, member = register
            if register == BASE:
                continue
            values[register] = any(one.value for one in found) if name == TAGS else found[0].value
            apart = list(dict.fromkeys(one.value for one in found))
            if name != TAGS and len(apart) > 1:
                it.conflicts[f"{FORM}.{member}" if member else name] = apart
        for (name, member), value in values.items():
            if name == TAGS and value:
                it.tags.append(member)
            elif name == FORM and value is not None:
                it.form[member] = value
            elif not member and value is not None:
                it.fields[name] = value
        it.tags.sort()
        if states and all(one.value != "alive" for one in states):
            it.deleted = written <= {number for one in states for number in one.value}
            it.revived = not it.deleted
        return it

    def history(self, device: str, item: str) -> dict[str, list[tuple[Any, bool]]]:
        """Field to its values and whether they are live, newest first."""
        live = {one.number for found in self.live(device, item).values() for one in found}
        base = self.base(device, item)
        found: dict[str, list[tuple[Any, bool]]] = {}
        overridden = set()
        for one in reversed([one for one in self.at(device) if one.item == item]):
            name, member = one.register
            if one.register not in (BASE, STATE) and name != TAGS:
                found.setdefault(f"{FORM}.{member}" if member else name, []).append((one.value, one.number in live))
                if one.number in live:
                    overridden.add(one.register)
        for (name, member), value in base.items():
            if name != TAGS:
                own = found.setdefault(f"{FORM}.{member}" if member else name, [])
                own.append((value, (name, member) not in overridden))
        return found

    def change(self, device: str, item: str, changes: dict[str, Any]) -> dict[Register, Any]:
        """What a change of some fields writes: only what differs from what shows, and what settles a conflict."""
        shown = self.shown(device, item)
        writes: dict[Register, Any] = {}
        for name, value in changes.items():
            if name == TAGS:
                writes |= {(TAGS, tag): True for tag in value if tag not in shown.tags}
                writes |= {(TAGS, tag): False for tag in shown.tags if tag not in value}
            elif name == FORM:
                for member, text in value.items():
                    if shown.form.get(member) != (text or None) or f"{FORM}.{member}" in shown.conflicts:
                        writes[(FORM, member)] = text or None
            elif shown.fields.get(name) != (value or None) or name in shown.conflicts:
                writes[(name, "")] = value or None
        return writes

    def contents(self, device: str) -> list[dict[str, Any]]:
        """What an imported row must not be the same as: each item not in the bin, as it is and as it was made."""
        found = []
        for item in self.items(device):
            shown = self.shown(device, item)
            if not shown.deleted:
                base = [pair for pair in self.base(device, item).items() if not pair[0][1]]
                members = len(self.base(device, item)) > len(base)
                found.append({} if members else {name: value for (name, _), value in base})
                found.append({} if shown.tags or shown.form else shown.fields)
        return found


# The devices


class PowerCut(BaseException):
    """The device stops in the middle of a transaction."""


@dataclass
class Device:
    """A store on the disk and, while it is unlocked, what a person reads and writes."""

    name: str
    folder: Path
    unlocked: Unlocked
    clock: Iterator[int]
    dies: bool = False
    lives: int = 0

    def start(self) -> None:
        self.replica = Replica.open(str(self.path), random_bytes=self.random, mark=self.name.encode())
        self.replica.store.run("PRAGMA synchronous = OFF")  # a power cut is made by a copy of the files as they are
        self.vaults = self.reader()

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}{self.lives}.db"

    def reader(self) -> Vaults:
        """Another process on the same store, which has read nothing yet."""
        return Vaults(self.replica, self.unlocked, random_bytes=self.random, clock=lambda: next(self.clock))

    def random(self, count: int) -> bytes:
        """Drawn while an entry is made: where the power fails, the disk stays as it is at that moment."""
        if self.dies:
            before = self.path
            self.lives += 1
            for end in ("", "-wal"):
                if (lost := before.with_name(before.name + end)).exists():
                    shutil.copy(lost, self.path.with_name(self.path.name + end))
            raise PowerCut
        return secrets.token_bytes(count)


@dataclass(frozen=True)
class Start:
    """Anna's family, with two devices more of hers: keys and entries, to begin each example with."""

    family: bytes
    entries: list[bytes]
    unlocked: dict[str, Unlocked]


def begin(house: House) -> Start:
    vaults = house.vaults()
    replica, anna = vaults._replica, vaults._unlocked
    assert replica.family is not None
    unlocked = {NAMES[0]: anna}
    for name in NAMES[1:]:
        device, holder = Author(f"annas {name}"), Author(f"anna on {name}")
        draft = Draft(
            statements=(
                admit_device(replica.family, device, anna.person),
                add_keyholder(replica.family, anna.person, device, holder),
            )
        )
        replica.append(anna.keyholder, anna.sign, lambda _, made=draft: made, house.clock())  # type: ignore[misc]
        unlocked[name] = Unlocked("anna", anna.person, holder.id, anna.unlock_key, holder.key, holder.box)
    vaults.grant_missing()
    return Start(replica.family, wires(replica), unlocked)


# What may happen

DEVICE = st.sampled_from(NAMES)
FIELD = st.sampled_from(["label", "password", "notes"])
TEXT = st.text("ab", max_size=2)
TAG_LIST = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2)
CUSTOM = st.dictionaries(st.sampled_from(["pin", "x"]), TEXT, max_size=2)


class Machine(RuleBasedStateMachine):
    start: Start
    tmp: Path
    items = Bundle("items")

    @initialize()
    def three_devices(self) -> None:
        self.model = Model()
        self.folder = Path(tempfile.mkdtemp(dir=self.tmp))
        clock = iter(range(1_900_000_000_000, 2_000_000_000_000, 1000))
        self.devices = {
            name: Device(name, self.folder, unlocked, clock) for name, unlocked in self.start.unlocked.items()
        }
        for device in self.devices.values():
            device.start()
            device.replica.adopt(self.start.family)
            assert device.replica.ingest(self.start.entries).refused is None
        self.vault = self.devices[NAMES[0]].vaults.vaults()[1].vault_id

    def teardown(self) -> None:
        if not hasattr(self, "devices"):
            return
        for one, two in ((0, 1), (1, 2), (0, 1), (0, 2)):
            self.sync(NAMES[one], NAMES[two])
        first, *others = (device.replica.table() for device in self.devices.values())
        assert all(other == first for other in others)
        for device in self.devices.values():
            device.replica.close()
        shutil.rmtree(self.folder)

    @rule(target=items, device=DEVICE, label=TEXT, password=TEXT, tags=TAG_LIST, custom=CUSTOM, long=st.booleans())
    def create(
        self, device: str, label: str, password: str, tags: list[str], custom: dict[str, str], long: bool
    ) -> str:
        fields: dict[str, Any] = {"label": label, "password": password, TAGS: tags, FORM: custom}
        item = self.devices[device].vaults.create_item(self.vault, {**fields, "notes": "n" * 25_000 * long})
        base: dict[Register, Any] = {("kind", ""): "Logins", ("label", ""): label, ("password", ""): password}
        base |= {(TAGS, tag): True for tag in tags} | {(FORM, name): text for name, text in custom.items()}
        self.model.write(device, item, {BASE: base} | ({("notes", ""): "n" * 25_000} if long else {}))
        self.check(device, item)
        return item

    def edited(self, device: str, item: str, changes: dict[str, Any]) -> None:
        """Change an item, where it is known and not in the bin."""
        vaults = self.devices[device].vaults
        if item not in self.model.items(device):
            self.refused(ExitCode.NOT_FOUND, vaults.update_item, item, changes)
        elif self.model.shown(device, item).deleted:
            self.refused(ExitCode.CONFLICT, vaults.update_item, item, changes)
        else:
            vaults.update_item(item, changes)
            self.model.write(device, item, self.model.change(device, item, changes))

    def refused(self, code: ExitCode, action: Any, *arguments: Any) -> None:
        with pytest.raises(KinringError) as told:
            action(*arguments)
        assert told.value.code is code

    @rule(device=DEVICE, item=items, name=FIELD, value=TEXT)
    def edit(self, device: str, item: str, name: str, value: str) -> None:
        self.edited(device, item, {name: value})
        self.check(device, item)

    @rule(device=DEVICE, item=items, tags=TAG_LIST, custom=CUSTOM)
    def edit_members(self, device: str, item: str, tags: list[str], custom: dict[str, str]) -> None:
        self.edited(device, item, {TAGS: tags, FORM: custom})
        self.check(device, item)

    @rule(item=items, name=FIELD, here=TEXT, there=TEXT)
    def edit_apart(self, item: str, name: str, here: str, there: str) -> None:
        self.sync(NAMES[0], NAMES[1])
        self.edited(NAMES[0], item, {name: here})
        self.edited(NAMES[1], item, {name: there})
        self.sync(NAMES[1], NAMES[2])

    @rule(item=items, name=FIELD, value=TEXT, back=st.booleans())
    def delete_while_another_edits(self, item: str, name: str, value: str, back: bool) -> None:
        self.sync(NAMES[0], NAMES[1])
        self.edited(NAMES[0], item, {name: value})
        self.delete(NAMES[1], item)
        if back:
            self.restore(NAMES[1], item)
        self.sync(NAMES[0], NAMES[1])

    @rule(device=DEVICE, item=items)
    def delete(self, device: str, item: str) -> None:
        vaults = self.devices[device].vaults
        if item not in self.model.items(device):
            self.refused(ExitCode.NOT_FOUND, vaults.delete_item, item)
            return
        vaults.delete_item(item)
        live = self.model.live(device, item)
        seen = [one.number for register, found in live.items() if register != STATE for one in found]
        self.model.write(device, item, {STATE: tuple(seen)})
        self.check(device, item)

    @rule(device=DEVICE, item=items)
    def restore(self, device: str, item: str) -> None:
        if item in self.model.items(device):
            self.devices[device].vaults.restore_item(item)
            self.model.write(device, item, {STATE: "alive"})
            self.check(device, item)

    @rule(device=DEVICE, item=items, name=FIELD, which=st.integers(0, 5))
    def go_back(self, device: str, item: str, name: str, which: int) -> None:
        if item not in self.model.items(device) or self.model.shown(device, item).deleted:
            return
        vaults = self.devices[device].vaults
        if versions := vaults.history(item, name):
            version = versions[which % len(versions)]
            vaults.restore_version(item, name, version.dot)
            self.model.write(device, item, self.model.change(device, item, {name: version.value}))
            self.check(device, item)

    @rule(target=items, device=DEVICE, rows=st.lists(st.tuples(TEXT, TEXT), max_size=4))
    def bring_in(self, device: str, rows: list[tuple[str, str]]) -> Any:
        vaults, before = self.devices[device].vaults, self.model.items(device)
        there = self.model.contents(device)
        fresh: list[dict[str, str]] = []
        for label, password in rows:
            row = {"kind": "Logins", "label": label, "password": password}
            filled = {name: value for name, value in row.items() if value}
            if filled not in there:
                there.append(filled)
                fresh.append(filled)
        count = vaults.import_items(self.vault, [{"label": label, "password": password} for label, password in rows])
        assert (count.imported, count.duplicate, count.failed) == (len(fresh), len(rows) - len(fresh), [])
        made = []
        for view in vaults.items(self.vault).items:
            if view.item_id not in before:
                assert view.fields in fresh
                made.append(view.item_id)
                base = {(name, ""): value for name, value in view.fields.items()}
                self.model.write(device, view.item_id, {BASE: base})
        assert len(made) == len(fresh)
        self.check(device)
        return multiple(*made)

    @rule(one=DEVICE, two=DEVICE)
    def sync(self, one: str, two: str) -> None:
        if one == two:
            return
        here, there = self.devices[one], self.devices[two]
        exchange(SyncSession(here.replica, 0), SyncSession(there.replica, 0))
        self.model.meet(one, two)
        assert here.replica.table() == there.replica.table()
        self.check(one)
        self.check(two)

    @rule(device=DEVICE)
    def lock_and_open_again(self, device: str) -> None:
        self.devices[device].replica.close()
        self.devices[device].start()
        self.check(device)

    @rule(device=DEVICE, item=items, name=FIELD, value=TEXT)
    def die_before_it_is_saved(self, device: str, item: str, name: str, value: str) -> None:
        found = self.devices[device]
        found.dies = True
        try:
            self.edited(device, item, {name: value})
        except PowerCut:
            found.replica.close()
            found.dies = False
            found.start()
        found.dies = False
        self.check(device, item)

    # What has to agree

    def check(self, device: str, only: str = "") -> None:
        """Both ways of reading, the one that is kept up to date and the one that looks an item up, show the model.

        `only`: the item that was written, so that the others need not be looked up again.
        """
        vaults, once = self.devices[device].vaults, self.devices[device].reader()
        known = {item: self.model.shown(device, item) for item in self.model.items(device)}
        for item, expected in known.items():
            assert as_shown(vaults.item(item)) == expected
            if only not in ("", item):
                continue
            assert as_shown(once.item(item)) == expected
            history: dict[str, list[tuple[Any, bool]]] = {}
            for version in once.history(item):
                history.setdefault(version.field, []).append((version.value, version.current))
            assert history == self.model.history(device, item)
        for deleted in (False, True):
            listed = {view.item_id for view in vaults.items(self.vault, deleted=deleted).items}
            assert listed == {item for item, shown in known.items() if shown.deleted is deleted}
        assert {(found.item_id, found.field) for found in vaults.conflicts()} == {
            (item, name) for item, shown in known.items() if not shown.deleted for name in shown.conflicts
        }
        assert vaults.unopened == once.unopened == {}


def as_shown(view: ItemView) -> Shown:
    conflicts = {name: [candidate.value for candidate in found] for name, found in view.conflicts.items()}
    return Shown(view.fields, view.tags, view.form_fields, conflicts, view.deleted, view.revived)


def test_three_devices_show_what_a_plain_model_says(house: House, tmp_path: Path):
    Machine.start, Machine.tmp = begin(house), tmp_path
    Machine.TestCase.settings = settings(
        max_examples=10, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Machine.TestCase().runTest()
