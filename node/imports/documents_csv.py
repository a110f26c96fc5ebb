"""The CSV of accounts: from bytes to rows of item fields, with nothing lost on the way.

The form is RFC 4180 with a header line, UTF-8, commas; docs/spec/import-csv.md is its page. A value
that does not fit its column is kept as a custom field and remarked on. Remarks, reasons and errors name
lines and columns, never a value: any cell may be a secret, and so may a header line that is none.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from node.errors import ExitCode, KinringError
from node.item import read_day, read_kind

MAX_FILE: Final = 64 << 20
"""Bytes."""

MAX_CELL: Final = 32 << 10
"""Bytes of UTF-8 in one field."""

MAX_COLUMNS: Final = 256
MAX_COLUMN_NAME: Final = 256
"""Bytes of UTF-8: a column may become the name of a custom field."""

MAX_FILLED: Final = 64
"""Fields and custom fields of one item."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "kind": ("Type", "kind"),
    "label": ("name", "label", "title"),
    "website_url": ("website_url", "website", "url"),
    "username": ("username",),
    "password": ("password",),
    "email": ("email",),
    "phone": ("phone",),
    "address": ("address",),
    "description": ("description",),
    "notes": ("note", "notes", "secure_notes"),
    "category": ("category",),
    "tags": ("tags",),
    "otp": ("otp", "totp"),
    "icon": ("icon",),
    "renew_interval_days": ("renew_interval_days",),
    "expires_at": ("expires_at",),
    "due_at": ("due_at",),
    "favorite": ("favorite",),
}
"""Item field -> the column names taken for it, in any case; the first is the one to write."""

_FIELD_OF = {name.casefold(): item_field for item_field, names in COLUMNS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Row:
    """One row that was taken. `line` is where it begins, 1 being the first; empty fields are left out."""

    line: int
    fields: dict[str, Any] = field(repr=False)
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class Skipped:
    """One row that cannot be taken whole, and is therefore not taken at all."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Column:
    field: str
    """The item field, or "" where the column is kept as a custom field."""
    name: str
    """As the header has it, made unique: the custom field for whatever does not fit."""


def read(data: bytes) -> Iterator[Row | Skipped]:
    """The rows of `data`, in order. The whole file is checked first: a refused file yields nothing.

    Raises KinringError INVALID for more than 64 MiB, not UTF-8, NUL bytes, unbalanced quotes, or a
    header `header_columns` refuses.
    """
    _check_bytes(data)
    records = _records(data)
    _, header = next(records, (1, []))
    columns = header_columns(header)
    for _ in records:
        pass
    return _rows(data, columns)


def header_columns(header: list[str]) -> list[Column]:
    """What each column is taken for. A second column for one field is kept as a custom field.

    Raises KinringError INVALID if there is no header, none of its columns is known, or it is too large.
    """
    known = ", ".join(names[0] for names in COLUMNS.values())
    if not any(name.strip() for name in header):
        raise _refused(
            "the CSV file has no header line", f"the first line names the columns, of these: {known}"
        )
    if len(header) > MAX_COLUMNS:
        raise _refused(
            f"the header has {len(header)} columns, at most {MAX_COLUMNS} are taken", "split the file"
        )
    columns: list[Column] = []
    taken: set[str] = set()
    for number, cell in enumerate(header, 1):
        if len(cell.encode()) > MAX_COLUMN_NAME:
            raise _refused(f"the name of column {number} is over {MAX_COLUMN_NAME} bytes", "shorten it")
        item_field = _FIELD_OF.get(cell.strip().casefold(), "")
        if item_field in taken:
            item_field = ""
        taken.add(item_field)
        columns.append(Column(item_field, _unique(cell.strip() or f"column {number}", columns)))
    if taken == {""}:
        hint = f"the first line must name the columns, of these: {known}"
        if len(header) == 1 and re.search("[;\t]", header[0]):
            hint = "the cells seem to be separated by semicolons or tabs: save the file with commas"
        raise _refused("no column of the header line is known", hint)
    return columns


def _refused(message: str, hint: str) -> KinringError:
    return KinringError(message, hint, ExitCode.INVALID)


def _unique(name: str, columns: list[Column]) -> str:
    used = {column.name for column in columns}
    number = 1
    unique = name
    while unique in used:
        number += 1
        unique = f"{name} ({number})"
    return unique


def _check_bytes(data: bytes) -> None:
    if len(data) > MAX_FILE:
        raise _refused(
            f"the CSV file is over {MAX_FILE >> 20} MiB", "split it; each part needs the header line"
        )
    start = data[:64]
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or (
        len(start) >= 4 and not (any(start[::2]) and any(start[1::2]))
    ):
        raise _refused("the CSV file is UTF-16, not UTF-8", "save it again as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        raise _refused(
            f"the CSV file has a NUL byte {_place(data, nul)}", "this is no text file; export it again"
        )
    try:
        data.decode()
        return
    except UnicodeDecodeError as error:
        wrong = error.start
    # Raised out here, so that it does not carry the decoding error, which holds the whole file.
    raise _refused(f"the CSV file is not UTF-8 {_place(data, wrong)}", "save it again as UTF-8")


def _place(data: bytes, offset: int) -> str:
    line = len(re.findall(rb"\r\n|\r|\n", data[:offset])) + 1
    return f"at byte {offset} (line {line})"


def _records(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins on; empty lines are left out."""
    # One limit for the whole process, of characters; ours is checked row by row, so that one long
    # cell costs one row.
    csv.field_size_limit(MAX_FILE)
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error:
        raise _refused(
            f"the quotes of the row on lines {begins} to {reader.line_num} do not match",
            'a cell that holds " is written in quotes, with each " inside doubled',
        ) from None


def _rows(data: bytes, columns: list[Column]) -> Iterator[Row | Skipped]:
    records = _records(data)
    next(records)
    for line, cells in records:
        yield _row(line, cells, columns)


def _row(line: int, cells: list[str], columns: list[Column]) -> Row | Skipped:
    remarks: list[str] = []
    overflow = ""
    if len(cells) > len(columns):
        cells, overflow = _fitted(cells, columns, remarks)
    fields: dict[str, Any] = {}
    form: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if not cell:
            continue
        if _too_long(cell):
            return Skipped(line, f"{column.name}: over {MAX_CELL >> 10} KiB")
        _take(column, cell, fields, form, remarks)
    if overflow:
        notes = f"{fields['notes']}\n{overflow}" if "notes" in fields else overflow
        if _too_long(notes):
            return Skipped(line, f"the notes, with the cells too many: over {MAX_CELL >> 10} KiB")
        fields["notes"] = notes
    if len(fields) + len(form) > MAX_FILLED:
        return Skipped(line, f"over {MAX_FILLED} filled fields")
    if form:
        fields["form_fields"] = form
    return Row(line, fields, remarks) if fields else Skipped(line, "nothing in it")


def _too_long(text: str) -> bool:
    return len(text) * 4 > MAX_CELL and len(text.encode()) > MAX_CELL


def _take(
    column: Column, cell: str, fields: dict[str, Any], form: dict[str, str], remarks: list[str]
) -> None:
    if not column.field:
        form[column.name] = cell
        remarks.append(f"{column.name}: not a column we know, kept as a custom field")
        return
    convert = _CONVERTERS.get(column.field)
    if convert is None:  # password, username, notes ...: as it is, to the last space
        fields[column.field] = cell
        return
    value, remark, whole = convert(cell)
    if value is not None:
        fields[column.field] = value
    if not whole:
        form[column.name] = cell
    if remark:
        remarks.append(f"{column.name}: {remark}")


# A converter gives the value (or None), a remark (or ""), and whether the cell is wholly in the two.
_Taken = tuple[Any, str, bool]

_NO_FIT: Final = "does not fit, kept as a custom field"


_PLAIN_KINDS: Final = frozenset(
    ("login", "logins", "note", "notes", "secure note", "secure notes", "contact", "contacts", "custom")
)


def _kind(cell: str) -> _Taken:
    text = cell.strip().casefold()
    kind = read_kind(text)
    if text in _PLAIN_KINDS:
        return kind, "", True
    return kind, f"taken as {kind}, and kept as a custom field", False


def _trimmed(cell: str) -> _Taken:
    text = cell.strip()
    return text or None, "" if text == cell else "spaces around it removed", True


def _tags(cell: str) -> _Taken:
    tags = [tag.strip() for tag in re.split("[,;]", cell)]
    return list(dict.fromkeys(tag for tag in tags if tag)) or None, "", True


def _otp(cell: str) -> _Taken:
    """A base32 secret as services print it (RFC 4648, any case, with spaces or dashes), or an otpauth URI."""
    if cell.startswith("otpauth://") or re.fullmatch(r"[A-Za-z2-7](?:[ -]?[A-Za-z2-7]){7,}=*", cell):
        return cell, "", True
    return None, _NO_FIT, False


def _days(cell: str) -> _Taken:
    text = cell.strip()  # int() trims too, but not the same characters
    if re.fullmatch("[0-9]{1,5}", text):
        return int(text), "", True
    return None, _NO_FIT, False


def _date(cell: str) -> _Taken:
    found = read_day(cell)
    return (None, _NO_FIT, False) if found is None else (*found, True)


def _favorite(cell: str) -> _Taken:
    value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        cell.strip().casefold()
    )
    return (None, _NO_FIT, False) if value is None else (value, "", True)


_CONVERTERS: Final[dict[str, Callable[[str], _Taken]]] = {
    "kind": _kind,
    "label": _trimmed,
    "website_url": _trimmed,
    "tags": _tags,
    "otp": _otp,
    "renew_interval_days": _days,
    "expires_at": _date,
    "due_at": _date,
    "favorite": _favorite,
}

# Rows with more cells than columns: somebody wrote a comma without quotes.

_FREE_TEXT: Final = ("notes", "description", "address", "label")
"""Where an unquoted comma is looked for, the likeliest first."""

_MAX_SPREAD: Final = 4
"""Up to so many extra cells may belong to several columns: every way to share them out is tried."""


def _fitted(cells: list[str], columns: list[Column], remarks: list[str]) -> tuple[list[str], str]:
    """As many cells as columns, and what is left over for the notes."""
    width = len(columns)
    if not any(cells[width:]) and _fits(cells[:width], columns):
        return cells[:width], ""  # commas at the end of the line
    best: tuple[int, list[str], list[int]] | None = None
    for extra in _ways(len(cells) - width, columns):
        spaces, joined = _joined(cells, extra, width)
        # Of several ways that fit, the one that joins most commas followed by a space, as in a sentence.
        if _fits(joined, columns) and (best is None or spaces > best[0]):
            best = spaces, joined, sorted(extra)
    if best is None:
        remarks.append("more cells than columns: the last of them are at the end of the notes")
        return cells[:width], ",".join(cells[width:])
    names = " and ".join(columns[index].name for index in best[2])
    remarks.append(f"more cells than columns: taken for commas in {names}; look whether that is right")
    return best[1], ""


def _ways(count: int, columns: list[Column]) -> Iterator[dict[int, int]]:
    """The ways to give `count` extra cells to the free-text columns: {column index: extra cells}."""
    order = {item_field: rank for rank, item_field in enumerate(_FREE_TEXT)}
    free = [index for index, column in enumerate(columns) if column.field in order]
    free.sort(key=lambda index: order[columns[index].field])
    for index in free:
        yield {index: count}
    if count <= _MAX_SPREAD:
        for shares in product(range(count), repeat=len(free)):
            if sum(shares) == count:
                yield {index: share for index, share in zip(free, shares, strict=True) if share}


def _joined(cells: list[str], extra: dict[int, int], width: int) -> tuple[int, list[str]]:
    """The row with the extra cells rejoined, and how many of them begin with a space."""
    joined = []
    spaces = at = 0
    for index in range(width):
        end = at + 1 + extra.get(index, 0)
        spaces += sum(cell[:1] == " " for cell in cells[at + 1 : end])
        joined.append(",".join(cells[at:end]))
        at = end
    return spaces, joined


def _fits(cells: list[str], columns: list[Column]) -> bool:
    return all(not cell or _plausible(cell, column) for cell, column in zip(cells, columns, strict=True))


def _plausible(cell: str, column: Column) -> bool:
    """Whether the cell may stand in that column as it is. A guess: it only decides where commas belong."""
    if column.field in ("password", "notes", "description", "address"):
        return True
    if cell[0].isspace():
        return False
    if column.field == "email":
        return "@" in cell
    if column.field == "website_url":
        return re.search(r"[.:/]", cell) is not None and " " not in cell.strip()
    convert = _CONVERTERS.get(column.field)
    return convert is None or convert(cell)[2]
