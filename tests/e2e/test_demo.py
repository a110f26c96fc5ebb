"""`kinring demo`, as somebody types it who has just installed Kinring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.family import ROOT, Home, command_lines

SECONDS = 30
"""What is promised. Only the time limit of the process: nothing is measured."""


def test_the_demo_ends_well_and_leaves_nothing_behind(home: Home, tmp_path: Path, run_folder: Path):
    temporary = Path(os.environ["XDG_RUNTIME_DIR"]) / "t"
    temporary.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "demo"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "All copies agree, byte for byte" in done.stdout
    assert done.stderr == ""
    assert list(temporary.iterdir()) == []
    assert not command_lines(str(temporary))
    left = [path for path in run_folder.rglob("*") if path.is_file() or path.is_socket()]
    assert left == []
