"""Child processes of Kinring: the node that a command starts for itself, node and page that `up` keeps."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.control import Control, node_runs
from node.errors import ExitCode, KinringError

START_S: Final = 15.0
STOP_S: Final = 1.8


def kinring(folder: Path, *arguments: str) -> list[str]:
    """The command line that runs `kinring` itself on a data folder. Never holds a secret."""
    return [sys.executable, "-m", "node.cli", "--data-dir", str(folder), *arguments]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a node or page of a data folder, silent, for as long as this process lives."""
    return spawn(kinring(folder, *arguments), quiet=True)


def spawn(words: list[str], *, quiet: bool = False) -> subprocess.Popen[bytes]:
    """Start a child that ends when this process does, even if that is killed: its standard input closes then.

    It has a process group of its own, so that Ctrl-C reaches it through us alone, once.
    """
    output = subprocess.DEVNULL if quiet else None
    return subprocess.Popen([*words, "--tied"], stdin=subprocess.PIPE, stdout=output, start_new_session=True)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end; after two seconds it is ended."""
    if child.stdin:
        child.stdin.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for_node(runtime: Path, child: subprocess.Popen[bytes]) -> None:
    """Until the node answers. Raises KinringError UNREACHABLE if it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise KinringError(
                "the node did not start", "run `kinring node` to see why", ExitCode.UNREACHABLE
            )
        if node_runs(runtime):
            return
        time.sleep(0.02)
    raise KinringError(
        "the node did not start in time", "run `kinring node` to see why", ExitCode.UNREACHABLE
    )


@contextmanager
def a_node(folder: Path, runtime: Path, options: Sequence[str] = ()) -> Iterator[Control]:
    """A connection to the node; where none runs, one is started for as long as the block takes."""
    child = None
    if not node_runs(runtime):
        child = start(folder, "node", *options)
        wait_for_node(runtime, child)
    try:
        with Control(runtime) as control:
            yield control
    finally:
        if child:
            stop(child)
