"""Vaults as a person uses them: nothing lost, nothing touched that was not named (A26, A44, A45, A54)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from node.errors import ExitCode, KinringError
from node.grants import grant_statement
from node.item import BASE, ROSTER, TAGS
from node.keyholder import Unlocked
from node.sealing import Place, Sealer, VaultKeys, target
from node.vault import Vaults
from replication.entry import Op
from replication.membership import READS, WRITES
from replication.replica import Draft, Replica
from replication.session import SyncSession
from tests.kin import exchange, new_replica, wires
from tests.node.house import House

PERSONAL = 1


def vault_of(vaults: Vaults) -> str:
    return vaults.vaults()[PERSONAL].vault_id


def fresh(vaults: Vaults) -> Vaults:
    """Another process on the same store, which has read nothing yet."""
    return Vaults(vaults._replica, vaults._unlocked, random_bytes=secrets.token_bytes, clock=vaults._clock)


def elsewhere(vaults: Vaults, name: str = "elsewhere") -> Vaults:
    """The same person on a second copy of the store, as if made by a sync; it writes a log of its own."""
    copy = new_replica(name, vaults._replica.family)
    assert copy.ingest(wires(vaults._replica)).refused is None
    clock = iter(range(1_900_000_000_000, 2_000_000_000_000, 1000))
    return Vaults(copy, vaults._unlocked, random_bytes=secrets.token_bytes, clock=lambda: next(clock))


def meet(one: Vaults, two: Vaults) -> None:
    exchange(SyncSession(one._replica, 0), SyncSession(two._replica, 0))


def code_of(action: Any, *arguments: Any, **named: Any) -> ExitCode:
    with pytest.raises(KinringError) as told:
        action(*arguments, **named)
    assert told.value.message
    return told.value.code


def test_the_five_first_vaults_have_their_titles(vaults: Vaults):
    assert [v.title for v in vaults.vaults()] == ["Identity", "Personal", "Work", "Contacts", "Secure Notes"]
    assert all(view.can_write for view in vaults.vaults())
    assert vaults.unopened == {}


def test_an_item_comes_back_as_it_was_made(vaults: Vaults):
    fields = {
        "label": "Bank",
        "password": " pass word ",
        "favorite": True,
        TAGS: ["b", "a"],
        "form_fields": {"pin": "1"},
    }
    item_id = vaults.create_item(vault_of(vaults), fields)
    for reader in (vaults, fresh(vaults), elsewhere(vaults)):
        item = reader.item(item_id)
        assert item.fields == {"kind": "Logins", "label": "Bank", "password": " pass word ", "favorite": True}
        assert (item.tags, item.form_fields, item.version) == (["a", "b"], {"pin": "1"}, 1)


def test_an_update_touches_nothing_else(vaults: Vaults):
    item_id = vaults.create_item(
        vault_of(vaults), {"label": "Bank", "password": "one", "notes": "keep", TAGS: ["t"]}
    )
    count = len(wires(vaults._replica))
    after = vaults.update_item(item_id, {"password": "two"})
    assert after.fields == {"kind": "Logins", "label": "Bank", "password": "two", "notes": "keep"}
    assert after.tags == ["t"]
    assert len(wires(vaults._replica)) == count + 1
    vaults.update_item(item_id, {"password": "two", "label": "Bank"})
    assert len(wires(vaults._replica)) == count + 1


def test_a_custom_field_named_like_a_tag_is_found_alone(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), {"label": "x", TAGS: ["same"]})
    vaults.update_item(item_id, {"form_fields": {"same": "value"}})
    assert fresh(vaults).item(item_id).form_fields == {"same": "value"}


def test_history_and_restore(vaults: Vaults):
    item_id = vaults.create_item(
        vault_of(vaults), {"label": "Bank", "password": "one", "form_fields": {"pin": "1"}}
    )
    for password in ("two", "three"):
        vaults.update_item(item_id, {"password": password})
    vaults.update_item(item_id, {"form_fields": {"pin": "2"}})
    versions = vaults.history(item_id, "password")
    assert [(v.value, v.current) for v in versions] == [("three", True), ("two", False), ("one", False)]
    assert {(v.author, v.device) for v in versions} == {("Anna", "Annas laptop")}
    assert [v.value for v in vaults.history(item_id, "form_fields.pin")] == ["2", "1"]
    assert vaults.restore_version(item_id, "password", versions[2].dot).fields["password"] == "one"
    assert [v.value for v in vaults.history(item_id, "password")] == ["one", "three", "two", "one"]
    assert code_of(vaults.restore_version, item_id, "password", "00" * 18) is ExitCode.NOT_FOUND
    assert code_of(vaults.history, item_id, "colour") is ExitCode.NOT_FOUND
    vaults.update_item(item_id, {"form_fields": {"pin": None, "later": "3"}})
    vaults.update_item(item_id, {"form_fields": {"later": None}})
    custom = [(v.field, v.value) for v in vaults.history(item_id) if v.field.startswith("form_fields.")]
    assert sorted(custom, key=lambda pair: pair[0]) == [
        ("form_fields.later", None), ("form_fields.later", "3"),
        ("form_fields.pin", None), ("form_fields.pin", "2"), ("form_fields.pin", "1"),
    ]  # fmt: skip


def test_two_who_change_a_field_apart_see_both_until_one_settles_it(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), {"label": "Bank", "password": "one"})
    other = elsewhere(vaults)
    vaults.update_item(item_id, {"password": "here"})
    other.update_item(item_id, {"password": "there"})
    other.update_item(item_id, {"label": "Bank!"})
    meet(vaults, other)
    for reader in (vaults, other):
        (conflict,) = reader.conflicts()
        assert (conflict.field, conflict.label) == ("password", "Bank!")
        assert [c.value for c in conflict.candidates] == ["there", "here"]
    vaults.update_item(item_id, {"password": "there"})
    meet(vaults, other)
    assert vaults.conflicts() == other.conflicts() == []
    assert other.item(item_id).fields["password"] == "there"


def test_delete_restore_and_an_edit_made_apart(vaults: Vaults):
    vault = vault_of(vaults)
    item_id = vaults.create_item(vault, {"label": "Bank"})
    other = elsewhere(vaults)
    vaults.delete_item(item_id)
    assert vaults.items(vault).total == 0
    assert [item.item_id for item in vaults.items(vault, deleted=True).items] == [item_id]
    assert code_of(vaults.update_item, item_id, {"notes": "in the bin"}) is ExitCode.CONFLICT
    other.update_item(item_id, {"notes": "apart"})
    meet(vaults, other)
    for reader in (vaults, other, fresh(vaults)):
        assert (reader.item(item_id).deleted, reader.item(item_id).revived) == (False, True)
    vaults.delete_item(item_id)
    meet(vaults, other)
    assert other.item(item_id).deleted
    vaults.delete_item(item_id)
    other.restore_item(item_id)
    meet(vaults, other)
    assert not vaults.item(item_id).deleted
    assert not other.item(item_id).revived


def test_an_import_is_not_doubled(vaults: Vaults):
    vault = vault_of(vaults)
    rows = [{"label": f"Site {n}", "username": "anna", "password": f"p{n}"} for n in range(600)]
    seen: list[tuple[int, int]] = []
    count = vaults.import_items(
        vault, [*rows, {"label": 5}, rows[0]], lambda done, of: seen.append((done, of))
    )
    assert (count.imported, count.duplicate, [index for index, _ in count.failed]) == (600, 1, [600])
    assert seen[-1] == (602, 602)
    assert vaults.items(vault).total == 600
    again = fresh(vaults).import_items(vault, rows)
    assert (again.imported, again.duplicate) == (0, 600)
    first = vaults.items(vault, "Site 599").items[0]
    vaults.update_item(first.item_id, {"password": "changed"})
    assert vaults.import_items(vault, rows).imported == 0
    vaults.delete_item(first.item_id)
    assert vaults.import_items(vault, rows).imported == 1


def test_an_import_that_is_stopped_keeps_what_it_counted(vaults: Vaults):
    vault = vault_of(vaults)
    rows = [{"label": f"Site {n}"} for n in range(600)]
    count = vaults.import_items(vault, rows, lambda done, of: True)
    assert count.stopped
    assert 0 < count.imported < 600
    assert fresh(vaults).items(vault).total == count.imported


def test_vaults_are_made_changed_hidden_and_brought_back(vaults: Vaults):
    made = vaults.create_vault("Boat", "Custom", "anchor")
    item_id = vaults.create_item(made, {"label": "Key"})
    assert (vaults.vault(made).title, vaults.vault(made).icon) == ("Boat", "anchor")
    vaults.update_vault(made, title="Ship")
    assert (vaults.vault(made).title, vaults.vault(made).kind, vaults.vault(made).icon) == (
        "Ship",
        "Custom",
        "anchor",
    )
    assert code_of(vaults.create_vault, "Ship") is ExitCode.CONFLICT
    vaults.delete_vault(made)
    assert made not in [view.vault_id for view in vaults.vaults()]
    assert [view.vault_id for view in vaults.vaults(deleted=True)] == [made]
    assert "Key" not in [item.label for item in vaults.items().items]
    vaults.restore_vault(made)
    assert fresh(vaults).vault(made).title == "Ship"
    assert vaults.item(item_id).label == "Key"
    for title, kind in (("", "Logins"), ("x" * 257, "Logins"), ("ok", "Cars")):
        assert code_of(vaults.create_vault, title, kind) is ExitCode.INVALID


def test_what_is_not_there_or_not_valid_is_told(vaults: Vaults):
    assert code_of(vaults.item, "00" * 16) is ExitCode.NOT_FOUND
    assert code_of(vaults.item, "zz") is ExitCode.INVALID
    assert code_of(vaults.vault, "00" * 16) is ExitCode.NOT_FOUND
    assert code_of(vaults.item, vault_of(vaults)) is ExitCode.NOT_FOUND
    assert code_of(vaults.create_item, vault_of(vaults), {"label": 5}) is ExitCode.INVALID
    assert code_of(vaults.create_item, vault_of(vaults), {"colour": "x"}) is ExitCode.INVALID


def test_another_persons_vaults_are_not_seen(house: House):
    replica = house.open()
    anna, ben = house.vaults(replica), house.vaults(replica, house.ben)
    item_id = anna.create_item(vault_of(anna), {"label": "Bank"})
    assert {v.vault_id for v in anna.vaults()} & {v.vault_id for v in ben.vaults()} == set()
    assert code_of(ben.item, item_id) is ExitCode.NOT_FOUND
    assert code_of(ben.create_item, vault_of(anna), {"label": "x"}) is ExitCode.NOT_FOUND


def test_a_newcomer_reads_the_directory_once_the_founder_has_unlocked(house: House):
    replica = house.open()
    ben = house.vaults(replica, house.ben)
    assert ben.names() == {house.ben: "Ben"}
    house.vaults(replica).grant_missing()
    assert ben.names()[house.anna] == "Anna"
    count = len(wires(replica))
    house.vaults(replica).grant_missing()
    assert len(wires(replica)) == count
    ben.set_names({house.ben: "Benedikt"})
    assert house.vaults(replica).names()[house.ben] == "Benedikt"


def share(house: House, replica: Replica, vaults: Vaults, right: int) -> str:
    """Anna grants Ben a right in a vault of hers."""
    vault = bytes.fromhex(vault_of(vaults))
    state, me = replica.state(), vaults._unlocked
    epoch = state.vaults[vault].newest_epoch()
    assert epoch is not None
    keys = vaults.epoch_keys(vault)[epoch]
    boxes = {key: state.keyholders[key].box_key for key in state.keyholders_of(house.ben)}
    statement = grant_statement(state.family, vault, epoch, keys, house.ben, right, boxes)
    replica.append(me.keyholder, me.sign, lambda _: Draft(statements=(statement,)), 1)
    return vault.hex()


def test_who_may_read_reads_and_writes_nothing(house: House):
    replica = house.open()
    anna, ben = house.vaults(replica), house.vaults(replica, house.ben)
    item_id = anna.create_item(vault_of(anna), {"label": "Bank"})
    vault = share(house, replica, anna, READS)
    assert ben.item(item_id).label == "Bank"
    assert not ben.vault(vault).can_write
    for action, arguments in (
        (ben.create_item, (vault, {"label": "x"})),
        (ben.update_item, (item_id, {"label": "x"})),
        (ben.delete_item, (item_id,)),
        (ben.delete_vault, (vault,)),
    ):
        assert code_of(action, *arguments) is ExitCode.FORBIDDEN
    share(house, replica, anna, WRITES)
    assert ben.update_item(item_id, {"label": "Bens"}).label == "Bens"
    assert anna.item(item_id).label == "Bens"


def hostile_write(replica: Replica, me: Unlocked, vault: bytes, keys: VaultKeys, parts: list[tuple]) -> None:
    """A writer seals whatever it likes: (record, name, member, value, target or None)."""

    def make(position: Any) -> Draft:
        held = position.state.vaults[vault]
        epoch = held.newest_epoch()
        place = Place(position.family, vault, epoch, held.suite, position.log, position.seq)
        sealer, ops = Sealer(keys, place, secrets.token_bytes), []
        for record, name, member, value, at in parts:
            at = at or target(keys.target_key, record, name, member or None)
            ops.append(Op(at, (), sealer.seal(at, record, name, member, value)))
        return Draft(
            tuple(ops),
            vault=vault,
            epoch=epoch,
            suite=held.suite,
            salt=sealer.salt,
            commitment=sealer.commitment,
        )

    replica.append(me.keyholder, me.sign, make, 1)


def test_a_hostile_writer_breaks_no_list_and_moves_no_value(vaults: Vaults):
    vault_id = vault_of(vaults)
    vault, replica = bytes.fromhex(vault_id), vaults._replica
    item_id = vaults.create_item(vault_id, {"label": "Bank", "password": "mine"})
    record = bytes.fromhex(item_id)
    keys = next(iter(vaults.epoch_keys(vault).values()))
    moved = target(keys.target_key, record, "password")
    odd = [5, None, [["a"]], {"a": {"b": 1}}, b"x", [1, "x", [2]], True]
    names = [BASE, ROSTER, "label", "category", "password", "form_fields", TAGS, ".state", "icon", "title"]
    parts: list[tuple] = [(record, "label", "", "swapped", moved)]
    parts += [(secrets.token_bytes(16), name, "", value, None) for name in names for value in odd]
    parts += [(b"h" * 16, BASE, "", {name: value}, None) for name in names for value in odd]
    parts += [
        (vault, name, "", value, None)
        for name in (BASE, "title", "kind")
        for value in odd
        if value is not None
    ]
    hostile_write(replica, vaults._unlocked, vault, keys, parts)
    for reader in (vaults, fresh(vaults)):
        assert reader.item(item_id).fields["password"] == "mine"
        assert reader.item((b"h" * 16).hex()).item_id == (b"h" * 16).hex()
        for item in reader.items().items:
            assert reader.item(item.item_id).fields == item.fields
            reader.history(item.item_id)
        reader.items(query="x")
        reader.categories()
        reader.conflicts()
        assert reader.vaults(count=True)[PERSONAL].title == "Personal"
        assert reader.import_items(vault_id, [{"label": "new"}]).failed == []
        assert len(reader.unopened) == 1


def test_something_saved_by_another_process_is_noticed(vaults: Vaults):
    other = fresh(vaults)
    assert other.items().total == 0
    assert not other.changed()
    item_id = vaults.create_item(vault_of(vaults), {"label": "Bank"})
    assert other.changed()
    assert not other.changed()
    assert other.items().items[0].item_id == item_id


def test_lists_are_in_order_and_in_pages(vaults: Vaults):
    vault = vault_of(vaults)
    for label in ("b", "A", "c", "a"):
        vaults.create_item(vault, {"label": label, "category": label.upper()})
    everything = [item.label for item in vaults.items(vault).items]
    assert sorted(everything[:2]) == ["A", "a"]
    assert everything[2:] == ["b", "c"]
    page = vaults.items(vault, offset=1, limit=2)
    assert (page.total, [item.label for item in page.items]) == (4, everything[1:3])
    assert vaults.categories() == ["A", "B", "C"]
    assert vaults.vaults(count=True)[PERSONAL].items == 4


def test_nothing_secret_shows_in_a_repr(vaults: Vaults):
    item_id = vaults.create_item(
        vault_of(vaults), {"label": "Bank", "password": "hunter2", "form_fields": {"pin": "hunter2"}}
    )
    shown = (
        repr(vaults.item(item_id))
        + repr(vaults.history(item_id))
        + repr(vaults.items())
        + repr(vaults._unlocked)
    )
    assert "hunter2" not in shown


# A model: a plain dict with its history, beside two ways of reading


FIELD = st.sampled_from(["label", "password", "notes", "username"])
TEXT = st.text("abcé", max_size=4)
TAG_LIST = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
CUSTOM = st.dictionaries(st.sampled_from(["a", "pin"]), TEXT, max_size=2)


class Machine(RuleBasedStateMachine):
    items = Bundle("items")

    @initialize()
    def start(self) -> None:
        self.vaults = elsewhere(Machine.base, secrets.token_hex(4))
        self.vaults.items()
        self.alone = fresh(self.vaults)
        self.vault = vault_of(self.vaults)
        self.model: dict[str, dict[str, Any]] = {}
        self.past: dict[str, dict[str, list[str]]] = {}

    base: Vaults

    @rule(target=items, label=TEXT, password=TEXT, tags=TAG_LIST, custom=CUSTOM, long=st.booleans())
    def create(self, label: str, password: str, tags: list[str], custom: dict[str, str], long: bool) -> str:
        fields: dict[str, Any] = {"label": label, "password": password, TAGS: tags, "form_fields": custom}
        if long:
            fields["notes"] = "n" * 25_000
        item_id = self.vaults.create_item(self.vault, fields)
        held = {"kind": "Logins", "label": label, "password": password, "notes": fields.get("notes", "")}
        self.model[item_id] = {"fields": held, "tags": sorted(tags), "form": dict(custom), "deleted": False}
        self.past[item_id] = {name: [value] for name, value in held.items() if value}
        return item_id

    @rule(item_id=items, field=FIELD, value=TEXT)
    def change(self, item_id: str, field: str, value: str) -> None:
        if not self.refused(self.vaults, item_id):
            self.vaults.update_item(item_id, {field: value})
            self.write(item_id, field, value)

    def refused(self, vaults: Vaults, item_id: str) -> bool:
        """What is in the bin is not changed there."""
        if self.model[item_id]["deleted"]:
            assert code_of(vaults.update_item, item_id, {"label": "x"}) is ExitCode.CONFLICT
        return bool(self.model[item_id]["deleted"])

    def write(self, item_id: str, field: str, value: str) -> None:
        held = self.model[item_id]["fields"]
        if held.get(field, "") != value:
            held[field] = value
            self.past[item_id].setdefault(field, []).append(value)

    @rule(item_id=items, tags=TAG_LIST)
    def tag(self, item_id: str, tags: list[str]) -> None:
        if not self.refused(self.alone, item_id):
            self.alone.update_item(item_id, {TAGS: tags})
            self.model[item_id]["tags"] = sorted(tags)

    @rule(item_id=items, custom=CUSTOM)
    def custom_fields(self, item_id: str, custom: dict[str, str]) -> None:
        if not self.refused(self.vaults, item_id):
            self.vaults.update_item(item_id, {"form_fields": custom})
            self.model[item_id]["form"].update(custom)

    @rule(item_id=items)
    def delete(self, item_id: str) -> None:
        self.vaults.delete_item(item_id)
        self.model[item_id]["deleted"] = True

    @rule(item_id=items)
    def restore(self, item_id: str) -> None:
        self.alone.restore_item(item_id)
        self.model[item_id]["deleted"] = False

    @rule(item_id=items, field=FIELD, which=st.integers(0, 5))
    def go_back(self, item_id: str, field: str, which: int) -> None:
        versions = self.alone.history(item_id, field)
        past = self.past[item_id].get(field, [])
        assert [version.value or "" for version in versions] == past[::-1]
        if versions and not self.model[item_id]["deleted"]:
            version = versions[which % len(versions)]
            self.vaults.restore_version(item_id, field, version.dot)
            self.write(item_id, field, version.value or "")

    @rule(target=items, item_id=consumes(items))
    def other_process(self, item_id: str) -> Any:
        self.alone = fresh(self.vaults)
        return multiple(item_id)

    @invariant()
    def both_ways_of_reading_agree_with_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        single = fresh(self.vaults)
        for item_id, held in self.model.items():
            listed, alone = self.vaults.item(item_id), single.item(item_id)
            assert listed == alone
            assert alone.fields == {name: value for name, value in held["fields"].items() if value}
            assert alone.tags == held["tags"]
            assert alone.form_fields == {name: text for name, text in held["form"].items() if text}
            assert alone.deleted is held["deleted"]
            assert alone.conflicts == {}
        shown = {item.item_id for item in self.vaults.items(self.vault).items}
        assert shown == {item_id for item_id, held in self.model.items() if not held["deleted"]}


def test_every_history_reads_as_a_plain_dict_would(vaults: Vaults):
    Machine.base = vaults
    Machine.TestCase.settings = settings(
        max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Machine.TestCase().runTest()
