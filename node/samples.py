"""Made-up accounts of a made-up family, for `kinring demo`, the benchmarks and the tests.

The same seed gives the same rows on every machine. `random` is right here, and only here: these values are
no one's secrets, and must be repeatable. Sites lie under .example (RFC 2606), telephone numbers in
555-0100 to 555-0199, card numbers begin with 9999, which no bank issues.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Final, TextIO
from urllib.parse import quote

from node.imports.documents_csv import COLUMNS

MAX_NOTE: Final = 8 << 10
"""Bytes of UTF-8 in the longest notes."""

_FIRST = """
    Harbour Maple Northgate Silver Lantern Bright Pebble Juniper Copper Willow Granite Meadow Falcon
    Amber River Cedar Summit Coral Violet Hollow Orchard Beacon Tidal Saffron Cobalt Birch Quarry
    Clover Ember Frost
""".split()
_SECOND = """
    Bank Mail Books Air Market Cloud Power Gas Telecom School Library Games Video Music Insurance
    Pharmacy Clinic Cinema Bakery Garage Rail Photos Forum Pets Travel Shop Water Sports News Tax
""".split()
_CATEGORY = {
    "Bank": "Finance",
    "Insurance": "Finance",
    "Tax": "Finance",
    "Mail": "Social",
    "Forum": "Social",
    "Photos": "Social",
    "Market": "Shopping",
    "Books": "Shopping",
    "Shop": "Shopping",
    "Bakery": "Shopping",
    "Air": "Travel",
    "Rail": "Travel",
    "Travel": "Travel",
    "Games": "Gaming",
}
_PEOPLE = ("Ada", "Bruno", "Chiara", "Dmitri", "Esme", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_SURNAMES = ("Ashdown", "Bellamy", "Costa", "Dvorak", "Eriksen", "Fontaine")
_TAGS = (
    "family",
    "old",
    "kids",
    "work",
    "shared",
    "streaming",
    "travel",
    "bills",
    "school",
    "to check",
    "Haus",
    "été",
)
_WORDS = """
    anchor apple autumn basket beach bottle branch bridge butter candle carpet castle cherry cloud
    coffee corner cotton dance desert dinner dragon eagle engine evening fabric farmer feather
    finger flower forest garden giant ginger glove guitar hammer honey island jacket kettle kitchen
    ladder lemon letter lion marble mirror monkey mountain needle ocean olive orange paper pencil
    pepper piano pillow planet pocket potato rabbit ribbon rocket salad shadow sister spider spring
    stone sugar summer table thunder ticket tiger tomato tower train turtle umbrella valley velvet
    village window winter yellow zebra
""".split()
_PHRASES = (
    "Ask for the branch on the square.",
    "The security question is the name of the first dog.",
    "Changed after the letter in March.",
    "Customer number on the back of the bill, top right.",
    "Do not use on the old tablet: it logs everybody out.",
    "Grandma uses this one too.",
    "Called the hotline; they want the PIN, then the postcode.",
    'They said "never by e-mail", and then sent an e-mail.',
    "Cancel before the end of the year, otherwise it renews.",
    "Straße und Hausnummer wie im Vertrag; Überweisung am 1.",
    "パスワードは紙にも書いてある。",
    "الرقم السري في الدرج",
    "Works only with the card reader 🔑 from the kitchen drawer.",
)
_ODD = (
    " {} ",
    "{} ",
    " {}",
    'say "{}" twice',
    '"{}"',
    "{},{}",
    "{};{}\t",
    "{}🐙🔑",
    "סיסמה-{}",
    "كلمة {} سر",
    "ca\u0301fe\u0323-{}",
    "{}\u200d👩\u200d👧",
    "='{}'!",
    "\\{}\\",
)
"""Passwords that programs get wrong: spaces at the ends, quotes, commas, other scripts, combining marks."""

_ALPHABET: Final = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789!@#$%^&*()-_=+[]{};:,.<>?"
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class _Family:
    """What one household reuses: names, addresses, old passwords, and the sites it goes to most."""

    def __init__(self, random: Random) -> None:
        surname = random.choice(_SURNAMES)
        self.people = random.sample(_PEOPLE, 4)
        self.usernames = [
            name
            for person in self.people
            for name in (person.lower(), f"{person}.{surname}".lower(), f"{person[0]}{surname}".lower())
        ]
        self.emails = [f"{person}@{surname}.example".lower() for person in self.people]
        self.emails += [f"{person}.{surname}@mail.example".lower() for person in self.people[:2]]
        self.address = (
            f"{random.randint(1, 99)} {random.choice(_FIRST)} Road\n{random.randint(10000, 99999)} Middletown"
        )
        self.old_passwords = [
            f"{random.choice(_WORDS)}{random.choice(('', '1', '123', '!', '2009', '1987'))}" for _ in range(8)
        ]
        self.services = [(first, second) for first in _FIRST for second in _SECOND]
        random.shuffle(self.services)
        # Zipf: the n-th most used site has about 1/n of the first one's accounts.
        self.shares = list(accumulate(1 / rank for rank in range(1, len(self.services) + 1)))


def rows(seed: int, count: int) -> list[dict[str, Any]]:
    """`count` items as {field: value}, six filled fields each on average; empty fields are left out.

    No two have the same kind, label and username, so that an import of them finds no duplicates.
    """
    random = Random(seed)
    family = _Family(random)
    seen: dict[tuple[str, str, str], int] = {}
    made = []
    for _ in range(count):
        make = random.choices((_login, _note, _card, _contact), (86, 7, 4, 3))[0]
        item = make(random, family)
        key = (item["kind"], item["label"], item.get("username", ""))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            item["label"] += f" ({seen[key]})"
        made.append(item)
    return made


def write_csv(records: Sequence[dict[str, Any]], file: TextIO) -> None:
    """The rows as `node.imports.documents_csv` reads them; `file` is opened with newline="" and UTF-8.

    Custom fields get a column each, after the known ones.
    """
    custom = list(dict.fromkeys(name for record in records for name in record.get("form_fields", {})))
    writer = csv.writer(file)
    writer.writerow([names[0] for names in COLUMNS.values()] + custom)
    for record in records:
        form = record.get("form_fields", {})
        writer.writerow(
            [_cell(record.get(name)) for name in COLUMNS] + [form.get(name, "") for name in custom]
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(value)
    return str(value)


def _login(random: Random, family: _Family) -> dict[str, Any]:
    first, second = random.choices(family.services, cum_weights=family.shares)[0]
    label = f"{first} {second}"
    domain = f"{first}-{second}.example".lower()
    email = random.choice(family.emails)
    username = email if random.random() < 0.4 else random.choice(family.usernames)
    item: dict[str, Any] = {"kind": "Logins", "label": label}
    item["website_url"] = (
        f"https://{random.choice(('www.', '', 'login.'))}{domain}/{random.choice(('', 'login'))}"
    )
    optional: tuple[tuple[str, float, Callable[[], Any]], ...] = (
        ("username", 0.96, lambda: username),
        ("password", 0.98, lambda: _password(random, family)),
        ("email", 0.22, lambda: email),
        ("notes", 0.26, lambda: _text(random)),
        ("category", 0.30, lambda: _CATEGORY.get(second, "Logins")),
        ("tags", 0.18, lambda: random.sample(_TAGS, random.choice((1, 1, 1, 2, 3)))),
        ("otp", 0.12, lambda: _otp(random, label, username)),
        ("description", 0.06, lambda: f"{random.choice(family.people)}'s account"),
        ("phone", 0.03, lambda: _phone(random)),
        ("favorite", 0.06, lambda: True),
        ("renew_interval_days", 0.04, lambda: random.choice((30, 90, 180, 365))),
        ("expires_at", 0.05, lambda: _day(random)),
        ("due_at", 0.02, lambda: _day(random)),
        ("icon", 0.02, second.lower),
    )
    for name, share, value in optional:
        if random.random() < share:
            item[name] = value()
    return item


def _note(random: Random, family: _Family) -> dict[str, Any]:
    what = random.choice(
        ("Alarm", "Router", "Safe", "Heating", "Bicycle lock", "Passport", "Letter box", "Diary")
    )
    item: dict[str, Any] = {"kind": "Notes", "label": f"{what} {random.choice(family.people)}"}
    item["notes"] = _text(random)
    item["category"] = "Notes"
    if random.random() < 0.4:
        item["tags"] = [random.choice(_TAGS)]
    return item


def _card(random: Random, family: _Family) -> dict[str, Any]:
    item: dict[str, Any] = {"kind": "Custom", "label": f"{random.choice(_FIRST)} Bank card"}
    item["username"] = random.choice(family.usernames)
    item["category"] = "Credit Cards"
    item["expires_at"] = _day(random)
    item["form_fields"] = {
        "card number": " ".join(["9999"] + [f"{random.randrange(10000):04}" for _ in range(3)]),
        "card holder": random.choice(family.people),
        "security code": f"{random.randrange(1000):03}",
    }
    if random.random() < 0.5:
        item["form_fields"]["PIN"] = f"{random.randrange(10000):04}"
    return item


def _contact(random: Random, family: _Family) -> dict[str, Any]:
    name = f"{random.choice(_PEOPLE)} {random.choice(_SURNAMES)}"
    item: dict[str, Any] = {
        "kind": "Contacts",
        "label": name,
        "category": "Contacts",
        "phone": _phone(random),
    }
    item["email"] = f"{name.replace(' ', '.').lower()}@mail.example"
    if random.random() < 0.6:
        item["address"] = family.address
    if random.random() < 0.3:
        item["notes"] = _text(random)
    return item


def _password(random: Random, family: _Family) -> str:
    style = random.random()
    if style < 0.34:  # an old one, used everywhere: the likeliest of the eight most of all
        return family.old_passwords[min(int(random.expovariate(0.7)), 7)]
    if style < 0.80:
        return "".join(random.choices(_ALPHABET, k=random.randint(12, 40)))
    words = random.choices(_WORDS, k=random.randint(4, 6))
    if style < 0.94:
        return random.choice((" ", "-", ".")).join(words)
    return random.choice(_ODD).format(*words)


def _text(random: Random) -> str:
    """Mostly a line or two; one in sixty is long, up to MAX_NOTE bytes."""
    if random.random() < 1 / 60:
        size = random.randint(1 << 10, MAX_NOTE)
    else:
        size = int(random.lognormvariate(4.2, 0.8))
    lines = [random.choice(_PHRASES)]
    left = min(size, MAX_NOTE) - len(lines[0].encode())
    while left > 0:
        line = random.choice(_PHRASES)
        if len(line.encode()) + 2 > left:
            break
        left -= len(line.encode()) + 2
        lines.append(line)
    return random.choice(("\n", "\n", "\r\n")).join(lines)


def _otp(random: Random, label: str, username: str) -> str:
    secret = "".join(random.choices(_BASE32, k=random.choice((16, 32))))
    if random.random() < 0.3:
        return f"otpauth://totp/{quote(f'{label}:{username}')}?secret={secret}&issuer={quote(label)}"
    return secret


def _phone(random: Random) -> str:
    return f"+1 {random.randint(201, 989)} 555-01{random.randrange(100):02}"


def _day(random: Random) -> str:
    return (date(2021, 1, 1) + timedelta(days=random.randrange(365 * 10))).isoformat()
