"""How live dots read: fields over the base, tags by member, delete and restore, and any hostile content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.item import (
    BASE,
    BASE_ROOM,
    FIELDS,
    FORM,
    KINDS,
    MAX_FIELD,
    MAX_ITEM,
    MAX_MEMBERS,
    ROSTER,
    SECRET_FIELDS,
    STATE,
    TAGS,
    Item,
    Opened,
    Unread,
    Write,
    base_registers,
    base_without,
    clean_fields,
    fingerprint,
    matches,
    read_item,
    roster_members,
    writes_for_change,
    writes_for_new,
)
from replication.encoding import encode
from replication.errors import Malformed

RECORD = b"r" * 16


def op(
    name: str, value: Any, time: int = 1, number: int = 0, member: str = "", author: bytes = b"a" * 32
) -> Opened:
    return Opened(b"%017d" % number + b"\0", author, time, name, member, value)


def read(*ops: Opened) -> Item:
    return read_item(RECORD, ops)


BASE_OP = op(BASE, {"label": "Bank", "password": "one", TAGS: ["a", "b"], FORM: {"pin": "1"}}, 1, 1)


def test_a_base_reads_as_it_was_made():
    item = read(BASE_OP)
    assert item.fields == {"label": "Bank", "password": "one"}
    assert (item.tags, item.form_fields, item.conflicts) == (["a", "b"], {"pin": "1"}, {})
    assert (item.created_at, item.updated_at, item.stub, item.deleted) == (1, 1, False, False)


def test_a_fields_own_write_overrides_the_base_and_leaves_the_rest():
    item = read(BASE_OP, op("password", "two", 5, 2), op(FORM, "2", 6, 3, "pin"), op(FORM, "x", 6, 4, "new"))
    assert item.fields == {"label": "Bank", "password": "two"}
    assert item.form_fields == {"pin": "2", "new": "x"}
    assert item.updated_at == 6


def test_an_emptied_field_reads_as_none():
    item = read(BASE_OP, op("password", None, 5, 2), op(FORM, None, 5, 3, "pin"))
    assert "password" not in item.fields
    assert item.form_fields == {}
    assert item.conflicts == {}


def test_two_who_changed_a_field_apart_are_both_kept():
    item = read(BASE_OP, op("password", "bens", 9, 3), op("password", "annas", 5, 2), op("label", "B", 1, 9))
    assert item.fields["password"] == "bens"
    assert [c.value for c in item.conflicts["password"]] == ["bens", "annas"]
    assert set(item.conflicts) == {"password"}
    pins = read(op(FORM, "1", 1, 1, "pin"), op(FORM, "2", 1, 2, "pin"))
    assert set(pins.conflicts) == {"form_fields.pin"}


def test_equal_values_are_one():
    assert read(op("label", "same", 1, 1), op("label", "same", 2, 2)).conflicts == {}


def test_emptied_here_and_changed_there_is_a_conflict_too():
    item = read(BASE_OP, op("password", None, 9, 3), op("password", "new", 5, 2))
    assert [c.value for c in item.conflicts["password"]] == [None, "new"]


def test_a_clock_in_2099_shows_first_and_loses_nothing():
    item = read(op("label", "now", 5, 1), op("label", "2099", 4_070_908_800_000, 2))
    assert [c.value for c in item.conflicts["label"]] == ["2099", "now"]


def test_a_tag_put_on_and_taken_off_apart_is_there():
    assert read(BASE_OP, op(TAGS, False, 1, 2, "a")).tags == ["b"]
    assert read(BASE_OP, op(TAGS, False, 1, 2, "a"), op(TAGS, True, 1, 3, "a")).tags == ["a", "b"]
    assert read(BASE_OP, op(TAGS, False, 9, 3, "a"), op(TAGS, True, 1, 2, "a")).tags == ["a", "b"]
    assert read(BASE_OP, op(TAGS, True, 1, 2, "c")).tags == ["a", "b", "c"]


def test_a_delete_that_saw_everything_deletes():
    own = op("password", "two", 5, 2)
    item = read(BASE_OP, own, op(STATE, ["deleted", [BASE_OP.dot, own.dot]], 6, 3))
    assert (item.deleted, item.revived) == (True, False)


def test_an_edit_made_apart_brings_the_record_back_marked():
    item = read(BASE_OP, op("password", "two", 5, 2), op(STATE, ["deleted", [BASE_OP.dot]], 6, 3))
    assert (item.deleted, item.revived) == (False, True)


def test_a_restore_wins_over_a_delete_made_apart():
    gone = op(STATE, ["deleted", [BASE_OP.dot]], 9, 3)
    item = read(BASE_OP, gone, op(STATE, ["alive"], 1, 4))
    assert (item.deleted, item.revived) == (False, False)


def test_a_delete_covers_what_its_list_replaced_and_asks_only_when_it_must():
    asked: list[set[bytes]] = []
    cut_off, earlier = op("password", "two", 5, 2), op("password", "one", 4, 5)

    def through(dots: Iterable[bytes]) -> set[bytes]:
        asked.append(set(dots))
        return {*dots, earlier.dot}

    gone = op(STATE, ["deleted", [BASE_OP.dot, cut_off.dot]], 6, 3)
    assert read_item(RECORD, [BASE_OP, cut_off, gone], (), through).deleted
    assert asked == []
    assert read_item(RECORD, [BASE_OP, earlier, gone], (), through).deleted
    assert asked == [{BASE_OP.dot, cut_off.dot}]
    assert read_item(RECORD, [BASE_OP, op("notes", "apart", 7, 9), gone], (), through).revived


def test_what_cannot_be_read_here_is_named_and_keeps_the_record_out_of_the_bin():
    gone = op(STATE, ["deleted", [BASE_OP.dot]], 6, 3)
    hidden = [Unread(b"u" * 18, "notes", wanted=True), Unread(b"v" * 18, "label", wanted=False)]
    assert read_item(RECORD, [BASE_OP, gone], hidden).wanted == ["notes"]
    assert read_item(RECORD, [BASE_OP, gone], hidden[1:]).revived
    assert read_item(RECORD, [BASE_OP, gone], [Unread(b"w" * 18, ROSTER, wanted=True)]).deleted
    assert read_item(RECORD, [], [Unread(b"x" * 18, BASE, wanted=True)]).wanted == ["base"]


def test_a_record_with_nothing_left_is_emptied_unless_someone_took_it_out_of_the_bin():
    assert read(op(STATE, ["deleted", [BASE_OP.dot]], 6, 3)).emptied
    assert read(op(ROSTER, [[TAGS, "z"]], 6, 3)).emptied
    back = read(op(STATE, ["deleted", [BASE_OP.dot]], 6, 3), op(STATE, ["alive"], 6, 4))
    assert (back.emptied, back.revived, back.stub) == (False, True, True)
    assert not read(BASE_OP).emptied
    assert not read_item(RECORD, [], [Unread(b"x" * 18, BASE, wanted=True)]).emptied


def test_taking_away_from_a_base_leaves_the_rest_as_it_is():
    content = {"label": "Bank", "password": "one", "odd": [1], TAGS: ["a", "b", 5], FORM: {"pin": "1", "puk": "2"}}
    assert base_without(content, []) == content
    assert base_without(content, [("password", ""), (TAGS, "a"), (FORM, "pin")]) == {
        "label": "Bank", "odd": [1], TAGS: ["b", 5], FORM: {"puk": "2"},
    }  # fmt: skip
    assert base_without({TAGS: ["a"], FORM: {"pin": "1"}}, [(TAGS, "a"), (FORM, "pin")]) == {}


def test_two_deletes_made_apart_add_up():
    own = op("password", "two", 5, 2)
    item = read(
        BASE_OP, own, op(STATE, ["deleted", [BASE_OP.dot]], 9, 3), op(STATE, ["deleted", [own.dot]], 9, 4)
    )
    assert item.deleted


def test_the_roster_keeps_nothing_alive_and_shows_nothing():
    item = read(BASE_OP, op(ROSTER, [[TAGS, "z"]], 9, 3), op(STATE, ["deleted", [BASE_OP.dot]], 6, 4))
    assert item.deleted
    assert item.tags == ["a", "b"]
    assert roster_members([[[TAGS, "z"], [FORM, ""], ["label", "x"], [TAGS], 5], None]) == {(TAGS, "z")}


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [BASE, STATE, ROSTER, TAGS, FORM, "label", "password", "favorite", "renew_interval_days", "x"]
)
BASES = st.dictionaries(st.sampled_from([*FIELDS[:6], "favorite", TAGS, FORM]), VALUES, max_size=5)
OPS = st.lists(
    st.tuples(NAMES, st.sampled_from(["", "m", "n"]), VALUES | BASES | st.just(["alive"]), st.integers(0, 3)),
    max_size=8,
)


@given(OPS, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_any_content_reads_the_same_in_every_order(parts, rng):
    """Whoever may write a vault can seal anything: it is read by type, and hurts nobody."""
    ops = [op(name, value, time, number, member) for number, (name, member, value, time) in enumerate(parts)]
    item = read_item(RECORD, ops)
    assert read_item(RECORD, rng.sample(ops, len(ops))) == item
    for name, value in item.fields.items():
        assert type(value) is {"favorite": bool, "renew_interval_days": int}.get(name, str)
    assert all(type(text) is str for text in (*item.tags, *item.form_fields, *item.form_fields.values()))
    matches(item, "x")
    for number, (name, _, value, _) in enumerate(parts):
        if name == BASE:
            fingerprint(value) if type(value) is dict else None
            assert base_registers(value) is not None, number


# Writing


CLEAN = st.fixed_dictionaries(
    {},
    optional={
        "label": st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable()),
        "password": st.text("ab ", max_size=30) | st.none(),
        "notes": st.text("n", max_size=BASE_ROOM + 50) | st.just("n" * (BASE_ROOM + 9)),
        "favorite": st.booleans(),
        "renew_interval_days": st.integers(0, 36_500),
        TAGS: st.lists(st.text("abc", min_size=1, max_size=3), max_size=5),
        FORM: st.dictionaries(
            st.text("xyz", min_size=1, max_size=3), st.text("123", min_size=1, max_size=5), max_size=4
        ),
    },
)


def as_ops(writes: list[Write], start: int, time: int) -> list[Opened]:
    return [op(w.name, w.value, time, start + n, w.member) for n, w in enumerate(writes)]


@given(CLEAN)
def test_what_is_written_reads_back(fields):
    cleaned = clean_fields(fields)
    item = read(*as_ops(writes_for_new(cleaned), 0, 1))
    expected = {k: v for k, v in cleaned.items() if v is not None and k not in (TAGS, FORM)}
    assert item.fields == expected
    assert item.tags == cleaned.get(TAGS, [])
    assert item.form_fields == cleaned.get(FORM, {})
    assert writes_for_change(item, cleaned) == []


@given(CLEAN, CLEAN)
def test_a_change_writes_what_differs_and_nothing_else(before, change):
    start = as_ops(writes_for_new(clean_fields(before)), 0, 1)
    item, cleaned = read(*start), clean_fields(change)
    writes = writes_for_change(item, cleaned)
    own = {(w.name, w.member) for w in writes}
    kept = [o for o in start if (o.name, o.member) not in own]
    after = read(*kept, *as_ops(writes, 1000, 2))
    for name, value in cleaned.items():
        if name == TAGS:
            assert after.tags == value
        elif name == FORM:
            assert all(after.form_fields.get(k) == v for k, v in value.items())
        else:
            assert after.fields.get(name) == value
    for name in set(item.fields) - set(cleaned):
        assert after.fields[name] == item.fields[name]
    assert (TAGS in cleaned) or after.tags == item.tags


def test_a_change_of_a_field_in_conflict_settles_it_even_with_what_shows():
    item = read(op("label", "a", 2, 1), op("label", "b", 1, 2))
    assert writes_for_change(item, {"label": "a"}) == [Write("label", "", "a")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "x"},
        {".base": "x"},
        {"label": 5},
        {"label": "x" * 257},
        {"notes": "x" * (MAX_FIELD + 1)},
        {"favorite": "yes"},
        {"favorite": 1},
        {"renew_interval_days": -1},
        {"renew_interval_days": True},
        {"renew_interval_days": 36_501},
        {"kind": "Cars"},
        {TAGS: "abc"},
        {TAGS: ["x"] * (MAX_MEMBERS + 1)},
        {TAGS: ["x" * 257]},
        {FORM: ["x"]},
        {FORM: {"a" * 257: "x"}},
        {FORM: {"a": 5}},
        {"label": "\ud800"},
        {FORM: {str(n): "x" for n in range(MAX_MEMBERS + 1)}},
        {FORM: {5: "x"}},
    ],
    ids=str,
)
def test_what_is_no_field_or_over_its_limit_is_refused(wrong):
    with pytest.raises(Malformed) as refused:
        clean_fields(wrong)
    assert refused.value.kind == "field"
    assert "\ud800" not in str(refused.value)


def test_an_item_has_a_largest_size():
    fields = clean_fields({FORM: {str(n): "x" * 30_000 for n in range(18)}})
    with pytest.raises(Malformed):
        writes_for_new(fields)
    assert len(encode(fields)) > MAX_ITEM


def test_emptying_and_spelling_of_values():
    cleaned = clean_fields(
        {"label": "", "notes": None, "password": " x ", TAGS: [" b", "a", "a", ""], FORM: {"": "x", "k": ""}}
    )
    assert cleaned == {"label": None, "notes": None, "password": " x ", TAGS: ["a", "b"], FORM: {"k": None}}
    assert all(clean_fields({"kind": kind}) for kind in KINDS)


def test_a_search_never_looks_into_a_secret():
    fields = {"label": "Bank", "password": "hunter2", "otp": "otpauth", "notes": "hidden"}
    item = read(op(BASE, {**fields, TAGS: ["money"], FORM: {"pin": "4711"}}))
    assert all(matches(item, query) for query in ("bank", "BANK", "mon", ""))
    assert not any(matches(item, query) for query in ("hunter", "otpauth", "hidden", "4711", "pin"))
    assert {"password", "otp", "notes", FORM} == set(SECRET_FIELDS)


def test_nothing_secret_shows_in_a_repr():
    item = read(
        op(BASE, {"label": "Bank", "password": "hunter2", FORM: {"pin": "hunter2"}}),
        op("password", "x", 2, 3),
    )
    assert "hunter2" not in repr(item) + repr(op("password", "hunter2")) + repr(
        Write("password", "", "hunter2")
    )
