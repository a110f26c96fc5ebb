"""House rules that a reviewer would otherwise have to remember."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Put together here, so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
MACHINE_PATH = re.compile(r"(?:^|[^\w.-])/(?:work|farm|root|home/[a-z]+|Users/[a-z]+)/")
ADDRESS = re.compile(r"\w+://|--(?:extra-)?index-url|--find-links|--trusted-host")
SPEC_LINES = 80


def tracked() -> list[Path]:
    """The text files of the repository; in an unpacked archive there is no list to go by."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def hits(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_somebody_s_machine():
    assert hits(MACHINE_PATH, tracked()) == []


def test_nothing_is_marked_unfinished():
    assert hits(UNFINISHED, tracked()) == []


def test_locks_name_no_index_and_hash_every_package():
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert [path.stem for path in locks] == ["build", "runtime", "test", "tools-fuzz", "tools"]
    assert hits(ADDRESS, [*locks, *(ROOT / "requirements").glob("*.in")]) == []
    for path in locks:
        blocks = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
        assert blocks, path.name
        assert all("==" in block and "--hash=sha256:" in block for block in blocks), path.name
    assert [path.name for path in ROOT.glob("*.lock")] == [], "uv.lock and its like record index addresses"


def _pinned(lock: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lines, flags=re.MULTILINE))


def _declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=\[; ]", line, maxsplit=1)[0].lower() for line in project["dependencies"]]


def test_tests_run_on_the_versions_that_people_get():
    test = _pinned("test")
    assert {name: test.get(name) for name in _pinned("runtime")} == _pinned("runtime")
    assert set(_declared()) <= set(test)


def test_every_runtime_dependency_is_explained_with_its_locked_version():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = {
        cells[1].strip(" `").lower(): cells[4].strip()
        for cells in (line.split("|") for line in page.splitlines())
        if len(cells) > 6 and cells[1].strip().startswith("`")
    }
    pinned = _pinned("runtime")
    assert set(rows) == set(_declared())
    assert rows == {name: pinned[name] for name in rows}


def test_pages_of_the_formats_are_short():
    lines = {page.name: len(page.read_text().splitlines()) for page in (ROOT / "docs/spec").glob("*.md")}
    assert {name: count for name, count in lines.items() if count > SPEC_LINES} == {}


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "see /ro" + "ot/notes.txt"),
        (UNFINISHED, "# TO" + "DO: later"),
        (ADDRESS, "--index-url somewhere"),
        (ADDRESS, "# from ftp://example"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, line):
    assert pattern.search(line)
