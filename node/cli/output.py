"""What a command prints: one line of JSON, or lines for a person."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

DOTS: Final = "\u2022" * 8
"""In a secret's place: the same for every length."""


def one_line(value: Any) -> str:
    """JSON on one line, with letters of all scripts as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def instant(milliseconds: int) -> str:
    """ISO 8601, UTC, with milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03}Z"
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)  # somebody's clock is beyond the year that the system can name


def clean(text: str) -> str:
    """Control characters written out: a label that someone else chose must not steer this terminal."""
    return "".join(letter if _harmless(letter) else _written_out(letter) for letter in text)


def _harmless(letter: str) -> bool:
    # The zero-width joiner holds families and flags together.
    return letter in "\n\u200d" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs")


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Aligned columns under their titles."""
    cells = [[_flat(cell) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in [titles, *cells]) for i in range(len(titles))]
    return [
        "  ".join(
            text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in [list(titles), *cells]
    ]


def pairs(values: Iterable[tuple[str, Any]]) -> list[str]:
    """Name and value on a line each; the lines of a longer text stand below one another."""
    shown = [(name, clean(str(value))) for name, value in values]
    width = max((_width(name) for name, _ in shown), default=0)
    gap = "\n" + " " * (width + 2)
    return [name + " " * (width - _width(name)) + "  " + value.replace("\n", gap) for name, value in shown]


def _flat(cell: Any) -> str:
    return clean(str("" if cell is None else cell)).replace("\n", " ")


def _width(text: str) -> int:
    """Columns on a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
