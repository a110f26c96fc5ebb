"""docs/spec/attacks.md names every attack on copies and members, and a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBERS = {17, 18, *range(25, 55), 56, 77}


def test_every_attack_is_listed_with_a_test_that_exists():
    page = (ROOT / "docs/spec/attacks.md").read_text()
    rows = re.findall(r"^\| A(\d+) \| .* \| `(test_\w+)` \|$", page, re.MULTILINE)
    assert {int(number) for number, _ in rows} == NUMBERS
    assert len(rows) == len(NUMBERS)
    files = (ROOT / "tests").rglob("test_*.py")
    there = {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    assert {test for _, test in rows} <= there
    assert not [test for number, test in rows if number != "77" and not test.startswith(f"test_a{number}_")]
    numbered = {int(number) for name in there for number in re.findall(r"^test_a(\d+)_", name)}
    assert numbered <= NUMBERS
