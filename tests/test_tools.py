"""A test group left out for a missing tool is named, and is a failure where everything has to run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = """
import pytest

@pytest.mark.needs("chromium")
def test_in_the_browser():
    pass

def test_without_one():
    pass
"""


def _run_where_no_tool_is(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    (folder / "test_group.py").write_text(GROUP)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs(tool): x\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "KINRING_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "."],
        cwd=folder,
        env={**kept, "PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_group_left_out_is_named_with_the_command_that_gets_the_tool(tmp_path):
    run = _run_where_no_tool_is(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "left out: 1 tests that need chromium (sudo apt-get install chromium)" in run.stdout
    assert run.stdout.rstrip().splitlines()[-1].startswith("1 passed, 1 skipped")


def test_where_everything_has_to_run_a_group_left_out_fails(tmp_path):
    run = _run_where_no_tool_is(tmp_path, KINRING_FULL="1")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "needs chromium, and KINRING_FULL=1 allows no test to be left out" in run.stdout
