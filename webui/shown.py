"""How values are shown. What a vault holds may have come from anywhere, so it is text and nothing else."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from node.item import FORM, SECRET_FIELDS

LABELS: Final = {
    "label": "Name", "kind": "Kind", "username": "User name", "password": "Password", "email": "Email",
    "website_url": "Website", "otp": "One-time code key", "phone": "Phone", "address": "Address",
    "category": "Category", "description": "Description", "notes": "Notes", "expires_at": "Expires",
    "due_at": "Due", "renew_interval_days": "Renew every (days)", "favorite": "Favourite", "icon": "Icon",
}  # fmt: skip
"""In the order in which an item shows them."""
_PARTS: Final = {
    "base": "What it was made with", "state": "Whether it is in the bin", "roster": "Which fields of its own it has",
    "tags": "Tags", FORM: "A field of its own",
}  # fmt: skip
"""What of an item may be missing, beside its fields."""
ROWS: Final = tuple(name for name in LABELS if name not in ("label", "kind", "favorite", "icon"))
KIND_NAMES: Final = {"Logins": "Login", "Contacts": "Contact", "Notes": "Note", "Custom": "Other"}


def text(value: Any) -> str:
    """`value` with every sign that would turn the text around, or hide in it, spelled out."""
    return "".join(_visible(letter) for letter in str(value))


def _visible(letter: str) -> str:
    if letter in "\n\t":
        return letter
    kind = unicodedata.category(letter)
    # Cf: overrides of direction, zero-width signs; the joiners that scripts and emoji need are let pass.
    if kind in ("Cc", "Cs", "Co") or (kind == "Cf" and letter not in "\u200c\u200d"):
        return f"[U+{ord(letter):04X}]"
    return letter


def when(ms: int) -> str:
    """Milliseconds since 1970 as this machine's date and time; a clock may have been anywhere."""
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%d %b %Y, %H:%M")
    except (OverflowError, OSError, ValueError):
        return "at an impossible time"


def ago(ms: int) -> str:
    """How long ago, roughly."""
    seconds = time.time() - ms / 1000
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def web_address(value: Any) -> str:
    """The address if a click on it may open it: http or https with a host, and nothing hidden; else ""."""
    if type(value) is not str or text(value) != value or any(letter.isspace() for letter in value):
        return ""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return ""
    return value if parts.scheme in ("http", "https") and host else ""


def site(value: Any) -> str:
    """A website as a list shows it."""
    address = web_address(value)
    return (urlsplit(address).hostname or "").removeprefix("www.") if address else text(value)[:60]


def initial(label: str) -> str:
    return next((letter.upper() for letter in label if letter.isalnum()), "•")


def hue(identity: str) -> int:
    """One of six colours, always the same for one id."""
    return int(identity[:2], 16) % 6


def label(field: str) -> str:
    """The name of a field, or of a custom one."""
    plain, _, member = field.partition(".")
    return text(member) if plain == FORM and member else LABELS.get(field) or _PARTS.get(field, field)


def is_secret(field: str) -> bool:
    return field.partition(".")[0] in SECRET_FIELDS


def value(found: Any) -> str:
    """A field's value as text."""
    if found is None:
        return "(empty)"
    if type(found) is bool:
        return "yes" if found else "no"
    return text(found)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "shown": text, "when": when, "ago": ago, "web_address": web_address, "site": site, "initial": initial,
    "hue": hue, "label": label, "is_secret": is_secret, "value": value,
}  # fmt: skip
