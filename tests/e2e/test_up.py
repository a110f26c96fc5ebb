"""`kinring up`: node and page come together and go together, however their keeper goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.control import node_runs
from node.folders import runtime_folder
from tests.e2e.family import PATIENCE_S, until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setenv("KINRING_KEYRING", "file")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    words = [sys.executable, "-m", "node.cli", "-d", str(data), "up", "--mdns", "off"]
    words += ["--listen", "127.0.0.1", "--peer-port", "0", "--http-port", "0"]
    with subprocess.Popen(words, env=os.environ, start_new_session=True, stdout=subprocess.DEVNULL) as up:
        runtime = runtime_folder(data)
        until(lambda: node_runs(runtime) and (runtime / "page.json").exists(), "up did not come up")
        page = json.loads((runtime / "page.json").read_text())["pid"]
        up.send_signal(number)
        assert up.wait(PATIENCE_S) == (-number if number == signal.SIGKILL else 0)
    until(lambda: not node_runs(runtime), "the node runs on")
    until(lambda: not alive(page), "the page runs on")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
