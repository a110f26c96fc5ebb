"""The made-up accounts: repeatable, varied as real vaults are, and readable by the import."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.imports.documents_csv import MAX_CELL, Row, read
from node.samples import MAX_NOTE, rows, write_csv

ROOT = Path(__file__).parent.parent.parent


def as_csv(records: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    write_csv(records, file)
    return file.getvalue().encode()


@pytest.fixture(scope="module")
def many() -> list[dict[str, Any]]:
    return rows(7, 3000)


@given(seed=st.integers(), count=st.integers(1, 60))
@settings(deadline=None)
def test_what_is_written_is_read_back(seed: int, count: int) -> None:
    records = rows(seed, count)
    back = list(read(as_csv(records)))
    assert all(isinstance(row, Row) for row in back)
    assert [row.fields for row in back if isinstance(row, Row)] == records


def test_a_large_file_is_read_back(many: list[dict[str, Any]]) -> None:
    assert [row.fields for row in read(as_csv(many)) if isinstance(row, Row)] == many


def test_the_same_seed_gives_the_same_file_whatever_the_hash_seed() -> None:
    program = (
        "import hashlib, io, node.samples as s; f = io.StringIO(newline='');"
        "s.write_csv(s.rows(11, 300), f); print(hashlib.sha256(f.getvalue().encode()).hexdigest())"
    )
    expected = hashlib.sha256(as_csv(rows(11, 300))).hexdigest()
    for hash_seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == expected
    assert rows(11, 300) != rows(12, 300)


def test_more_rows_begin_with_the_same_rows() -> None:
    assert rows(3, 50)[:20] == rows(3, 20)


def test_no_two_are_the_same_account(many: list[dict[str, Any]]) -> None:
    names = Counter((item["kind"], item["label"], item.get("username", "")) for item in many)
    assert max(names.values()) == 1


def test_about_six_fields_are_filled(many: list[dict[str, Any]]) -> None:
    assert 5.5 < sum(len(item) for item in many) / len(many) < 6.5
    assert all(value not in ("", None, [], {}) for item in many for value in item.values())


def test_sizes(many: list[dict[str, Any]]) -> None:
    notes = sorted(len(item["notes"].encode()) for item in many if "notes" in item)
    assert notes[len(notes) // 2] < 200
    assert 4 << 10 < notes[-1] <= MAX_NOTE
    assert all(len(str(value).encode()) <= MAX_CELL for item in many for value in item.values())
    assert any("\n" in item.get("notes", "") for item in many)


def test_passwords_are_as_good_and_as_odd_as_people_make_them(many: list[dict[str, Any]]) -> None:
    passwords = Counter(item["password"] for item in many if "password" in item)
    reused = sum(count for count in passwords.values() if count > 1)
    assert 0.25 < reused / passwords.total() < 0.45
    odd = "".join(passwords)
    assert any(password != password.strip() for password in passwords)
    assert {'"', ",", "'", "\\"} <= set(odd)
    assert any(unicodedata.bidirectional(character) in ("R", "AL") for character in odd)
    assert any(unicodedata.combining(character) for character in odd)
    assert any(ord(character) > 0xFFFF for character in odd)
    assert any(32 < len(password) <= 40 for password in passwords)


def test_a_few_sites_hold_most_accounts(many: list[dict[str, Any]]) -> None:
    sites = Counter(
        item["website_url"].split("/")[2].split(".")[-2] for item in many if "website_url" in item
    )
    top = sum(count for _, count in sites.most_common(20))
    assert 0.3 < top / sites.total() < 0.7
    assert len(sites) > 200


def test_every_kind_is_there_and_no_site_is_real(many: list[dict[str, Any]]) -> None:
    assert {item["kind"] for item in many} == {"Logins", "Notes", "Custom", "Contacts"}
    assert all(
        item["website_url"].split("/")[2].endswith(".example") for item in many if "website_url" in item
    )
    assert all(item["email"].endswith(".example") for item in many if "email" in item)
    filled = {name for item in many for name in item}
    assert {"otp", "tags", "category", "expires_at", "due_at", "favorite", "form_fields", "icon"} <= filled
