"""A person imports a CSV file: what is taken, what is remarked on, what is refused."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.errors import ExitCode, KinringError
from node.imports.documents_csv import COLUMNS, MAX_CELL, MAX_FILE, Row, Skipped, read

ACCOUNTS = Path(__file__).parent.parent / "data" / "accounts.csv"


def taken(text: str) -> list[Row]:
    rows = list(read(text.encode()))
    assert all(isinstance(row, Row) for row in rows), rows
    return rows  # type: ignore[return-value]


def one(text: str) -> Row:
    [row] = taken(text)
    return row


def refusal(data: bytes) -> KinringError:
    with pytest.raises(KinringError) as caught:
        read(data)
    assert caught.value.code is ExitCode.INVALID
    assert caught.value.hint
    return caught.value


def test_all_six_rows_of_the_documents_are_taken() -> None:
    rows = taken(ACCOUNTS.read_text())
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7]
    assert [row.fields["label"] for row in rows] == [
        "Youtube",
        "Amazon",
        "Bank of America",
        "Twitter",
        "AT&T",
        "Personal Note name",
    ]
    assert [row.fields["kind"] for row in rows] == ["Logins"] * 5 + ["Notes"]
    assert rows[0].fields == {
        "kind": "Logins",
        "label": "Youtube",
        "website_url": "https://www.youtube.com/",
        "username": "youlogin",
        "password": "youpassword",
        "notes": "tempor incididunt ut labore et",
    }
    assert [len(row.remarks) for row in rows] == [0, 1, 1, 0, 0, 0]


def test_an_unquoted_comma_in_the_note_is_put_back() -> None:
    amazon = taken(ACCOUNTS.read_text())[1]
    assert amazon.fields["notes"] == "sit amet, consectetur adipiscing"
    assert "otp" not in amazon.fields
    assert "form_fields" not in amazon.fields
    assert "commas in note" in amazon.remarks[0]


@pytest.mark.parametrize("item_field", COLUMNS)
def test_each_column_is_known_by_each_of_its_names_in_any_case(item_field: str) -> None:
    cell = {
        "renew_interval_days": "90",
        "expires_at": "2031-01-02",
        "due_at": "2031-01-02",
        "favorite": "yes",
    }
    for name in COLUMNS[item_field]:
        for spelled in (name, name.upper(), f" {name.title()} "):
            row = one(f"{spelled}\n{cell.get(item_field, 'ABCDEFGH')}\n")
            assert item_field in row.fields


@pytest.mark.parametrize("item_field", ["password", "username", "notes"])
def test_secrets_and_notes_keep_their_spaces(item_field: str) -> None:
    value = ' \t two spaces, a "quote"\r\nand a line  '
    cell = value.replace('"', '""')
    row = one(f'{item_field}\n"{cell}"\n')
    assert row.fields == {item_field: value}
    assert row.remarks == []


def test_name_and_address_of_a_site_are_trimmed_with_a_remark() -> None:
    row = one("name,url,password\n Bank , https://bank.example/\t, x \n")
    assert row.fields == {"label": "Bank", "website_url": "https://bank.example/", "password": " x "}
    assert row.remarks == ["name: spaces around it removed", "url: spaces around it removed"]


@pytest.mark.parametrize(
    ("cell", "kind", "plain"),
    [
        ("Login", "Logins", True),
        ("logins", "Logins", True),
        ("Secure Note", "Notes", True),
        ("contact", "Contacts", True),
        ("Custom", "Custom", True),
        ("Form data", "Custom", False),
        ("note about a contact", "Notes", False),
        ("Business contacts", "Contacts", False),
        ("Credit Card", "Logins", False),
    ],
)
def test_kinds_go_by_what_they_contain(cell: str, kind: str, plain: bool) -> None:
    row = one(f"Type,name\n{cell},x\n")
    assert row.fields["kind"] == kind
    assert row.fields.get("form_fields") == (None if plain else {"Type": cell})
    assert bool(row.remarks) is not plain


def test_without_a_type_the_vault_decides_on_the_kind() -> None:
    assert "kind" not in one("Type,name\n,x\n").fields


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2031-02-03", "2031-02-03"),
        ("2031-02-03 00:00:00", "2031-02-03"),
        ("2031-02-03 14:05:06", "2031-02-03"),
        ("2031/02/03", "2031-02-03"),
        ("02/03/2031", "2031-02-03"),
        (" 2031-02-03 ", "2031-02-03"),
    ],
)
def test_dates_are_taken_in_four_spellings(cell: str, expected: str) -> None:
    assert one(f"expires_at\n{cell}\n").fields == {"expires_at": expected}


def test_what_a_date_cannot_keep_is_remarked_on() -> None:
    assert one("due_at\n2031-02-03 14:05:06\n").remarks == ["due_at: the time of day, 14:05:06, is left out"]
    assert one("due_at\n02/03/2031\n").remarks == ["due_at: read as month/day/year"]
    assert one("due_at\n12/31/2031\n").remarks == []


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("expires_at", "2031-02-30"),
        ("expires_at", "31/12/2031"),
        ("due_at", "next May"),
        ("due_at", "0000-01-01"),
        ("due_at", "٢٠٣١-٠٢-٠٣"),
        ("renew_interval_days", "-3"),
        ("renew_interval_days", "1e9"),
        ("renew_interval_days", "123456"),
        ("favorite", "perhaps"),
        ("totp", "123 456"),
        ("totp", "steam://ABC"),
    ],
)
def test_a_value_that_does_not_fit_becomes_a_custom_field(column: str, cell: str) -> None:
    row = one(f"name,{column}\nx,{cell}\n")
    assert row.fields == {"label": "x", "form_fields": {column: cell}}
    assert row.remarks == [f"{column}: does not fit, kept as a custom field"]


@pytest.mark.parametrize(
    ("cell", "value"), [("true", True), ("YES", True), ("1", True), ("0", False), ("no", False)]
)
def test_favorites(cell: str, value: bool) -> None:
    assert one(f"favorite\n{cell}\n").fields == {"favorite": value}


@pytest.mark.parametrize(
    "cell", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "otpauth://totp/a?secret=JBSWY3DP"]
)
def test_one_time_password_secrets_are_kept_as_they_are(cell: str) -> None:
    assert one(f"totp\n{cell}\n").fields == {"otp": cell}


def test_tags_are_split_on_commas_and_semicolons() -> None:
    assert one('tags\n"a; b,c;;a"\n').fields == {"tags": ["a", "b", "c"]}


def test_unknown_and_repeated_columns_become_custom_fields() -> None:
    row = one("url,website,Pet,Pet,,name\na.example,b.example,cat,dog,?,x\n")
    assert row.fields == {
        "website_url": "a.example",
        "label": "x",
        "form_fields": {"website": "b.example", "Pet": "cat", "Pet (2)": "dog", "column 5": "?"},
    }
    assert len(row.remarks) == 4


def test_short_rows_empty_lines_and_line_numbers() -> None:
    text = '\ufeffname,username,password\r\n\r\nx\r\n"two\r\nlines",u\r\n,,\r\ny,,p\r\n'
    assert list(read(text.encode())) == [
        Row(3, {"label": "x"}, []),
        Row(4, {"label": "two\r\nlines", "username": "u"}, []),
        Skipped(6, "nothing in it"),
        Row(7, {"label": "y", "password": "p"}, []),
    ]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # A site has no space in it, so the comma was in the name.
        ("name,url,note\nSmith, John,https://a.example/,hello\n", ("label", "Smith, John")),
        # Commas in two columns: what stands after each must fit.
        ("description,due_at,note,otp\na,b,2031-01-01,c,d,\n", ("notes", "c,d")),
        ("description,due_at,note,otp\na,b,2031-01-01,c,d,\n", ("description", "a,b")),
        # Two ways fit: commas are followed by a space.
        ("description,note\none, two,three\n", ("description", "one, two")),
        # Many commas in one cell.
        (
            f"name,note,favorite\nx,{','.join('abcdefghijklmnop')},yes\n",
            ("notes", ",".join("abcdefghijklmnop")),
        ),
    ],
)
def test_unquoted_commas_are_found(text: str, fields: tuple[str, str]) -> None:
    row = one(text)
    assert row.fields[fields[0]] == fields[1]
    assert "form_fields" not in row.fields
    assert len(row.remarks) == 1


def test_cells_that_fit_nowhere_go_to_the_end_of_the_notes() -> None:
    row = one("name,note,due_at\nx,hello,soon,later,never\n")
    assert row.fields == {"label": "x", "notes": "hello\nlater,never", "form_fields": {"due_at": "soon"}}
    assert row.remarks[0] == "more cells than columns: the last of them are at the end of the notes"
    assert one("username,due_at\nu,2031-01-01,over,\n").fields["notes"] == "over,"


def test_commas_at_the_end_of_a_line_are_nothing() -> None:
    assert one("name,note,otp\nx,hello,,,,\n") == Row(2, {"label": "x", "notes": "hello"}, [])


def test_a_cell_over_the_limit_skips_its_row_alone() -> None:
    longest = "é" * (MAX_CELL // 2)
    rows = list(read(f"name,note\na,{longest}\nb,{longest}x\nc,{'x' * 300_000}\nd,ok\n".encode()))
    assert rows == [
        Row(2, {"label": "a", "notes": longest}, []),
        Skipped(3, "note: over 32 KiB"),
        Skipped(4, "note: over 32 KiB"),
        Row(5, {"label": "d", "notes": "ok"}, []),
    ]
    [skipped] = read(f"name,note,due_at\na,{longest},soon,late\n".encode())
    assert skipped == Skipped(2, "the notes, with the cells too many: over 32 KiB")


def test_a_row_with_too_many_filled_fields_is_skipped() -> None:
    header = ["name"] + [f"extra {n}" for n in range(64)]
    text = ",".join(header) + "\n" + ",".join("x" * 65) + "\n" + ",".join("x" * 64) + ",\n"
    skipped, row = read(text.encode())
    assert skipped == Skipped(2, "over 64 filled fields")
    assert isinstance(row, Row)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no header line"),
        (b"\xef\xbb\xbf", "no header line"),
        (b"\n\r\n", "no header line"),
        (b" , \nx,y\n", "no header line"),
        (b"hunter2,correct horse\nname,password\n", "no column of the header line is known"),
        ("name,password\nx,pä\n".encode("utf-16"), "UTF-16"),
        ("name,password\nx,pä\n".encode("utf-16-le"), "UTF-16"),
        ("name,password\nx,pä\n".encode("utf-16-be"), "UTF-16"),
        ("name,password\r\nx,y\r\nx,pä\n".encode("latin-1"), "not UTF-8 at byte 23 (line 3)"),
        (b"name\nx\ny\0\n", "a NUL byte at byte 8 (line 3)"),
        (b'name,note\nx,y\nx,"y\nz\n', "the row on lines 3 to 4"),
        (b'name,note\nx,"y"z\n', "the row on lines 2 to 2"),
        (b'"name,note\nx,y\n', "the row on lines 1 to 2"),
        (b"name" + b",x" * 256 + b"\n", "257 columns"),
        (b"name," + b"x" * 257 + b"\n", "column 2 is over 256 bytes"),
        (b"name\n" * (MAX_FILE // 5 + 1), "over 64 MiB"),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    assert message in refusal(data).message


def test_semicolons_and_tabs_are_hinted_at() -> None:
    assert "commas" in refusal(b"name;url;password\nx;y;z\n").hint
    assert "commas" in refusal(b"name\turl\tpassword\nx\ty\tz\n").hint


def test_no_secret_is_told() -> None:
    """A file without header begins with an account; a wrong quote stands beside a password."""
    for data in (b"Site,hunter2\n", b'name,password\nx,"hunter2\n', b"name,password\nx,hunter2\xff\n"):
        error = refusal(data)
        assert "hunter2" not in error.message + error.hint
        assert error.__context__ is None or "hunter2" not in repr(error.__context__)
    row = one("name,password,due_at,Type\nx,hunter2,hunter2,hunter2,hunter2\n")
    assert "hunter2" in row.fields["notes"]
    assert "hunter2" not in repr(row)


@given(st.one_of(st.binary(max_size=400), st.text(' ,";\n\rnameé0', max_size=200).map(str.encode)))
@example(b"name\n\r")
@example(b'name\n"')
@example(b"\xff\xfe")
@settings(deadline=None)
def test_any_bytes_give_rows_or_a_refusal(data: bytes) -> None:
    for candidate in (data, b"name,note,otp\n" + data):
        try:
            rows = read(candidate)
        except KinringError as error:
            code = error.code
        else:  # what is refused is refused before the first row
            code = ExitCode.INVALID
            assert all(isinstance(row, Row | Skipped) for row in rows)
        assert code is ExitCode.INVALID


_TEXT = st.text(
    st.one_of(
        st.sampled_from(" ,;\"'\n\r\tab1"), st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    ),
    max_size=12,
)
_CELL = st.one_of(
    _TEXT,
    st.just(""),
    st.sampled_from(
        [
            "Login",
            "Secure Note",
            "data",
            "yes",
            "0",
            "30",
            "2030-01-02",
            "2030/01/02",
            "02/01/2030",
            "02/13/2030",
            "2030-01-02 03:04:05",
            "JBSWY3DPEHPK3PXP",
            "a@b.example",
            "https://a.example/",
            "a, b;c",
            " x ",
        ]
    ),
)
_NAMES = st.one_of(st.sampled_from([name for names in COLUMNS.values() for name in names]), _TEXT)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    header = [*draw(st.lists(_NAMES, max_size=8)), draw(st.sampled_from(["name", "note", "password"]))]
    body = draw(st.lists(st.lists(_CELL, min_size=1, max_size=len(header) + 4), max_size=4))
    return [header, *body]


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [str(value)]


def kept(cell: str, kept_texts: list[str]) -> bool:
    """Whether the cell is there: as it is or trimmed, inside a rejoined text, or as what it means."""
    if any(cell.strip() in text for text in kept_texts):
        return True
    pieces = [piece.strip() for piece in re.split("[,;]", cell)]
    if all(not piece or piece in kept_texts for piece in pieces):
        return True
    plain = cell.strip().casefold()
    if plain in ("login", "secure note", "yes", "0"):
        return {"login": "Logins", "secure note": "Notes", "yes": "True", "0": "False"}[plain] in kept_texts
    digits = re.split("[-/ ]", plain)
    if plain.isascii() and plain.isdigit():
        return str(int(plain)) in kept_texts
    day = f"{digits[2]}-{digits[0]}-{digits[1]}" if "/" in plain[:3] else "-".join(digits[:3])
    return day in kept_texts and all(any(time in text for text in kept_texts) for time in digits[3:])


@given(tables())
@example([["renew_interval_days"], ["0\x1f"]])
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost(table: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(table)
    rows = list(read(file.getvalue().encode()))
    assert len(rows) == len(table) - 1
    for cells, row in zip(table[1:], rows, strict=True):
        if isinstance(row, Skipped):
            assert not re.search(r"[^\s,;]", "".join(cells))
            continue
        found = texts(row.fields) + row.remarks
        lost = [cell for cell in cells if not kept(cell, found)]
        assert not lost


@given(password=_TEXT, note=_TEXT, name=_TEXT)
@settings(deadline=None)
def test_a_password_arrives_as_it_was_written(password: str, note: str, name: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["name", "password", "note"], ["x" + name, password, note]])
    fields = one(file.getvalue()).fields
    assert fields.get("password", "") == password
    assert fields.get("notes", "") == note
