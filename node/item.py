"""What a vault holds: items, their fields, and how live dots read.

Pure. The merge knows only which dots are live at opaque targets; here they get their meaning: a field over
the base, a set by member, a delete by the list of what it saw. Mirrors docs/spec/item.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import Any, Final

from replication.encoding import encode
from replication.errors import Malformed

BASE: Final = ".base"
STATE: Final = ".state"
ROSTER: Final = ".roster"
TAGS: Final = "tags"
FORM: Final = "form_fields"

TEXT_FIELDS: Final = (
    "kind", "label", "description", "username", "password", "email", "phone", "address", "website_url",
    "category", "otp", "icon", "notes", "expires_at", "due_at",
)  # fmt: skip
FIELDS: Final = (*TEXT_FIELDS, "favorite", "renew_interval_days")
SECRET_FIELDS: Final = ("password", "otp", "notes", FORM)
_TYPES: Final[dict[str, type]] = {"favorite": bool, "renew_interval_days": int}
"""What is not text."""
KINDS: Final = ("Logins", "Contacts", "Notes", "Custom")

MAX_FIELD: Final = 32 * 1024
"""Bytes of one field's text in UTF-8."""
MAX_NAME: Final = 256
"""Bytes of a label, a tag or a custom field's name."""
MAX_MEMBERS: Final = 64
"""Tags, and custom fields, of one item."""
MAX_ITEM: Final = 512 * 1024
"""Bytes of all fields of one item when it is made."""
BASE_ROOM: Final = 24 * 1024
"""Bytes of fields in a base; a longer field gets an op of its own."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A live op, opened. `order` (wall time, dot) says which of several shows first, and nothing else."""

    dot: bytes
    author: bytes
    wall_time: int
    name: str
    member: str
    value: Any = field(repr=False)

    @property
    def order(self) -> tuple[int, bytes]:
        return (self.wall_time, self.dot)


@dataclass(frozen=True, slots=True)
class Unread:
    """A live op that cannot be read here."""

    dot: bytes
    name: str
    wanted: bool
    """Its value is missing and has no copy; else only its key has not come."""


Through = Callable[[Iterable[bytes]], set[bytes]]
"""Dots to themselves and all that they replaced, directly or through others."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the values of a field: the only one, or one side of a conflict."""

    value: Any = field(repr=False)
    author: bytes
    wall_time: int
    dot: bytes


@dataclass(slots=True)
class Item:
    """A record as it reads."""

    record: bytes
    fields: dict[str, Any] = field(default_factory=dict, repr=False)
    tags: list[str] = field(default_factory=list)
    form_fields: dict[str, str] = field(default_factory=dict, repr=False)
    conflicts: dict[str, list[Candidate]] = field(default_factory=dict, repr=False)
    """Field (`form_fields.NAME` for a custom one) to its values, the one that shows first."""
    deleted: bool = False
    revived: bool = False
    """Someone deleted it or emptied it, someone else changed it or took it out of the bin apart: it is back, and
    marked."""
    created_at: int = 0
    updated_at: int = 0
    stub: bool = False
    """No base is there to be read."""
    emptied: bool = False
    """Nothing is left to be shown: it is in no list."""
    wanted: list[str] = field(default_factory=list)
    """Fields whose value is missing and asked of every peer; `base`: what the item was made with."""


def read_item(record: bytes, ops: Iterable[Opened], unread: Iterable[Unread] = (), through: Through = set) -> Item:
    """The meaning of a record's live ops; the same for every order of them.

    `unread`: its live ops that cannot be read here. `through` is asked only where a delete's list leaves out a
    live dot: it may have replaced that one by way of one that a removal has cut.
    """
    unread = list(unread)
    registers: dict[tuple[str, str], list[Opened]] = {}
    for op in ops:
        registers.setdefault((op.name, op.member), []).append(op)
    for found in registers.values():
        if len(found) > 1:
            found.sort(key=lambda op: op.order, reverse=True)
    item = Item(record)
    bases = registers.pop((BASE, ""), [])
    states = registers.pop((STATE, ""), [])
    registers.pop((ROSTER, ""), None)
    item.stub = not bases
    # Of several bases the one that shows first is put in last.
    values = {key: value for base in reversed(bases) for key, value in base_registers(base.value).items()}
    for name, member in sorted(registers):
        readable = [op for op in registers[(name, member)] if _reads(name, op.value)]
        if name == TAGS or not readable:
            continue
        values[(name, member)] = readable[0].value
        if len(readable) > 1 and len(candidates := _one_of_each(readable)) > 1:
            item.conflicts[f"{FORM}.{member}" if name == FORM else name] = candidates
    _read_fields(item, values)
    item.tags = _read_tags(values, registers)
    written = [op for found in registers.values() for op in found] + bases
    hidden = {op.dot for op in unread if op.name not in (STATE, ROSTER)}
    item.wanted = sorted({op.name.removeprefix(".") for op in unread if op.wanted})
    if states:
        _read_state(item, states, {op.dot for op in written} | hidden, through)
    item.emptied = not written and not item.wanted and not item.revived
    times = [op.wall_time for op in written + states]
    item.created_at = min([op.wall_time for op in bases] or times, default=0)
    item.updated_at = max(times, default=0)
    return item


def base_registers(content: Any) -> dict[tuple[str, str], Any]:
    """What a base says of each field and set member. Whoever may write a vault can seal anything into it:
    what is not of its field's type reads as nothing."""
    registers: dict[tuple[str, str], Any] = {}
    for name, value in content.items() if type(content) is dict else ():
        if name == TAGS:
            members = value if type(value) is list else ()
            registers.update({(TAGS, tag): True for tag in members if type(tag) is str and tag})
        elif name == FORM:
            pairs = value.items() if type(value) is dict else ()
            registers.update({(FORM, member): text for member, text in pairs if type(text) is str and member})
        elif _reads(name, value):
            registers[(name, "")] = value
    return registers


def _reads(name: str, value: Any) -> bool:
    return value is None or type(value) is _TYPES.get(name, str)


def overrides(op: Opened) -> bool:
    """Whether a live write at a field's own target hides what the base says of it."""
    return op.name == TAGS or _reads(op.name, op.value)


def _read_fields(item: Item, values: dict[tuple[str, str], Any]) -> None:
    for (name, member), value in sorted(values.items(), key=itemgetter(0)):
        if name == TAGS or value is None:
            continue
        if name == FORM:
            item.form_fields[member] = value
        else:
            item.fields[name] = value


def _one_of_each(written: list[Opened]) -> list[Candidate]:
    kept: dict[bytes, Candidate] = {}
    for op in written:
        kept.setdefault(encode(op.value), Candidate(op.value, op.author, op.wall_time, op.dot))
    return list(kept.values())


def _read_tags(values: Iterable[tuple[str, str]], registers: dict[tuple[str, str], list[Opened]]) -> list[str]:
    present = {member for name, member in values if name == TAGS}
    for (name, member), found in registers.items():
        if name == TAGS:
            # Two who said otherwise apart: present wins.
            present.discard(member)
            if any(op.value is True for op in found):
                present.add(member)
    return sorted(present)


def _read_state(item: Item, states: list[Opened], written: set[bytes], through: Through) -> None:
    if any(op.value == ["alive"] for op in states):
        # Taken out of the bin while someone else emptied it: not to be lost without a word.
        item.revived = not written
        return
    seen: set[bytes] = set()
    for op in states:
        match op.value:
            case ["deleted", list(dots)]:
                seen |= {dot for dot in dots if type(dot) is bytes}
    item.deleted = written <= seen or written <= through(seen)
    item.revived = not item.deleted


def base_without(content: dict[str, Any], registers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """A base that leaves out some (field, member): taking away is all that a copy of it may do."""
    gone = set(registers)
    kept: dict[str, Any] = {}
    for name, value in content.items():
        if name == TAGS and type(value) is list:
            value = [tag for tag in value if type(tag) is not str or (TAGS, tag) not in gone]
        elif name == FORM and type(value) is dict:
            value = {member: text for member, text in value.items() if (FORM, member) not in gone}
        elif (name, "") in gone:
            continue
        if value or name not in (TAGS, FORM):
            kept[name] = value
    return kept


def clean_fields(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes as they are written: known fields, of the right type, within their limits. An empty text or
    None empties a field. Raises Malformed with kind `field`, whose detail names the field."""
    cleaned: dict[str, Any] = {}
    for name, value in changes.items():
        if name == TAGS:
            cleaned[name] = _clean_tags(value)
        elif name == FORM:
            cleaned[name] = _clean_form(value)
        elif name in FIELDS:
            cleaned[name] = _clean_value(name, value)
        else:
            raise Malformed("field", f"{name!r} is no field")
    return cleaned


def _clean_value(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if name == "favorite":
        if type(value) is not bool:
            raise Malformed("field", "favorite is true or false")
        return value
    if name == "renew_interval_days":
        if type(value) is not int or not 0 <= value <= 36_500:
            raise Malformed("field", "renew_interval_days is a number of days, at most 36500")
        return value
    if type(value) is not str:
        raise Malformed("field", f"{name} is text")
    if name == "kind" and value not in KINDS:
        raise Malformed("field", f"kind is one of {', '.join(KINDS)}")
    return _text(name, value, MAX_NAME if name in ("label", "category") else MAX_FIELD)


def _text(name: str, value: Any, most: int) -> str:
    if type(value) is not str:
        raise Malformed("field", f"{name} is text")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise Malformed("field", f"{name} is not valid Unicode") from None
    if size > most:
        raise Malformed("field", f"{name} has {size} bytes, at most {most}")
    return value


def _clean_tags(value: Any) -> list[str]:
    if type(value) not in (list, tuple) or len(value) > MAX_MEMBERS:
        raise Malformed("field", f"tags is a list of at most {MAX_MEMBERS}")
    tags = {_text("a tag", unicodedata.normalize("NFC", str(tag)).strip(), MAX_NAME) for tag in value}
    return sorted(tags - {""})


def _clean_form(value: Any) -> dict[str, str | None]:
    if type(value) is not dict or len(value) > MAX_MEMBERS:
        raise Malformed("field", f"form_fields holds at most {MAX_MEMBERS}")
    return {
        _text("a custom field's name", name, MAX_NAME): None if text in (None, "") else
        _text("a custom field", text, MAX_FIELD)
        for name, text in value.items() if name != ""
    }  # fmt: skip


def read_kind(text: str) -> str:
    """The kind that any text stands for: what it contains decides, as in the documents."""
    text = text.casefold()
    if "note" in text:
        return "Notes"
    if "data" in text or "custom" in text or "form" in text:
        return "Custom"
    return "Contacts" if "contact" in text else "Logins"


_DAY = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?: (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}))?"
    r"|(?P<year2>[0-9]{4})/(?P<month2>[0-9]{2})/(?P<day2>[0-9]{2})"
    r"|(?P<month3>[0-9]{2})/(?P<day3>[0-9]{2})/(?P<year3>[0-9]{4})"
)


def read_day(text: str) -> tuple[str, str] | None:
    """A day in one of the documents' forms as (YYYY-MM-DD, a remark where it can be misread); None: it is none."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        return None
    part = match.groupdict()
    year, month, day = (int(part[f"{n}3"] or part[f"{n}2"] or part[n]) for n in ("year", "month", "day"))
    try:
        value = date(year, month, day).isoformat()
    except ValueError:
        return None
    remark = ""
    if part["month3"] and month != day and day <= 12:
        remark = "read as month/day/year"
    elif part["time"] and part["time"] != "00:00:00":
        remark = f"the time of day, {part['time']}, is left out"
    return value, remark


@dataclass(frozen=True, slots=True)
class Write:
    """One op to be written: a register of a record and the value it gets."""

    name: str
    member: str
    value: Any = field(repr=False)


def writes_for_new(cleaned: dict[str, Any]) -> list[Write]:
    """The ops of a new item: a base with all that fits, one for each long field. Raises Malformed `field`."""
    if len(encode(cleaned)) > MAX_ITEM:
        raise Malformed("field", f"an item holds at most {MAX_ITEM // 1024} KiB when it is made")
    base: dict[str, Any] = {}
    apart: list[Write] = []
    room = BASE_ROOM
    for name, value in sorted(cleaned.items(), key=lambda pair: len(encode(pair[1]))):
        if value is None or value in ([], {}):
            continue
        if name == FORM:
            value = {member: text for member, text in value.items() if text is not None}
        size = len(encode(value))
        if size <= room:
            base[name] = value
            room -= size
        elif name == FORM:
            apart += [Write(FORM, member, text) for member, text in sorted(value.items())]
        elif name == TAGS:
            apart += [Write(TAGS, member, True) for member in value]
        else:
            apart.append(Write(name, "", value))
    members = [[write.name, write.member] for write in apart if write.member]
    if members:
        apart.append(Write(ROSTER, "", members))
    return [Write(BASE, "", base), *apart]


def writes_for_change(item: Item, cleaned: dict[str, Any]) -> list[Write]:
    """The ops of a partial change: only what differs from what shows, and whatever settles a conflict.

    `tags` is the whole new list; `form_fields` names the custom fields to set, None empties one.
    """
    writes: list[Write] = []
    for name, value in cleaned.items():
        if name == TAGS:
            wanted, held = set(value), set(item.tags)
            writes += [Write(TAGS, tag, True) for tag in sorted(wanted - held)]
            writes += [Write(TAGS, tag, False) for tag in sorted(held - wanted)]
        elif name == FORM:
            for member, text in value.items():
                if item.form_fields.get(member) != text or f"{FORM}.{member}" in item.conflicts:
                    writes.append(Write(FORM, member, text))
        elif item.fields.get(name) != value or name in item.conflicts:
            writes.append(Write(name, "", value))
    return writes


def roster_members(values: Iterable[Any]) -> set[tuple[str, str]]:
    """The (field, member) registers that a record's rosters name: where to look beside the base's.

    A roster only grows, so those written apart simply add up.
    """
    found = set()
    for value in values:
        for pair in value if type(value) is list else ():
            match pair:
                case [str(name), str(member)] if name in (TAGS, FORM) and member:
                    found.add((name, member))
    return found


def matches(item: Item, query: str) -> bool:
    """Whether an item shows `query` (any case) in what may be searched; never in a secret field."""
    wanted = query.casefold()
    texts: Iterable[Any] = (
        item.fields.get(name)
        for name in (
            "label",
            "username",
            "email",
            "website_url",
            "description",
            "category",
            "phone",
            "address",
        )
    )
    return any(wanted in text.casefold() for text in texts if type(text) is str) or any(
        wanted in tag.casefold() for tag in item.tags
    )


def fingerprint(values: dict[str, Any]) -> bytes:
    """The canonical form of an item's filled fields: equal for equal content."""
    filled = {name: value for name, value in values.items() if value not in (None, "", [], {}, False)}
    if type(filled.get(TAGS)) is list:
        filled[TAGS] = sorted(filled[TAGS], key=encode)
    return encode(filled)
