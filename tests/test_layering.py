"""The one rule of the code's layout, as a table: imports only point right, and pure code stays pure.

    webui -> node -> discovery -> replication
    simulations -> discovery, replication and the pure files of node, never trio
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "replication": ("replication",),
    "discovery": ("discovery", "replication"),
    "node": ("node", "discovery", "replication"),
    "webui": ("webui", "node", "discovery", "replication"),
    "simulations": (
        "simulations", "discovery", "replication", "node.sealing", "node.item", "node.grants",
    ),
    # The benchmarks drive the product's real processes; nothing of the simulation depends on them.
    "simulations/bench": ("simulations.bench", "node", "discovery", "replication"),
}  # fmt: skip
PURE = ("replication/", "discovery/", "node/sealing.py", "node/item.py", "node/grants.py")
MAY_TOUCH_THE_WORLD = {"replication/transport.py", "replication/store.py", "discovery/mdns.py"}

# What a function of its arguments does not import: time, randomness, files, the network.
WORLD = {"apsw", "h11", "httpx", "trio", "zeroconf"}
WORLD |= {"fcntl", "glob", "locale", "os", "pathlib", "platform", "shutil", "sqlite3", "tempfile"}
WORLD |= {"http", "select", "selectors", "signal", "socket", "socketserver", "ssl", "urllib"}
WORLD |= {"asyncio", "logging", "multiprocessing", "queue", "sched", "subprocess", "threading"}
WORLD |= {"random", "secrets", "time", "uuid"}
# Functions of otherwise pure modules that look at the clock or draw randomness. Sealed boxes are let pass:
# libsodium draws their one-time key by itself, and nothing of it steers what happens next.
WORLDLY = (
    "nacl.utils.random", "SigningKey.generate", "PrivateKey.generate", "PrivateKey.generate_key",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
)  # fmt: skip
NEVER_IN_SIMULATIONS = {"asyncio", "flask", "httpx", "socket", "threading", "trio", "zeroconf"}


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Every imported name with its line: `from a import b` is a and a.b, since b may be a module."""
    for at in ast.walk(tree):
        if isinstance(at, ast.Import):
            yield from ((at.lineno, name.name) for name in at.names)
        elif isinstance(at, ast.ImportFrom):
            base = at.module or ""
            if at.level:  # relative: inside the same package or a parent of it
                parents = package.split(".")[: len(package.split(".")) - at.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from ((at.lineno, f"{base}.{name.name}") for name in at.names)


def _inside(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


def _is_pure(file: str) -> bool:
    return file.startswith(PURE) and file not in MAY_TOUCH_THE_WORLD


def _says(file: str, name: str) -> str | None:
    """What is wrong with this file importing this name, if anything."""
    folder = "simulations/bench" if file.startswith("simulations/bench/") else file.split("/", 1)[0]
    top = name.split(".", 1)[0]
    if top in MAY_IMPORT and not _inside(name, MAY_IMPORT[folder]):
        return f"{folder}/ may not import {name}"
    if top == "tests":
        return "tests are not part of the product"
    if _is_pure(file) and top in WORLD:
        return f"{name} touches the world: take time, randomness or the store as an argument"
    if folder == "simulations" and top in NEVER_IN_SIMULATIONS:
        return f"the simulation does not use {top}: its schedule would not repeat"
    return None


def _worldly(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for at in ast.walk(tree):
        if isinstance(at, ast.Attribute):
            name = ast.unparse(at)
            if name.endswith(WORLDLY):
                yield at.lineno, name


def violations(root: Path) -> list[str]:
    found = []
    for folder in (folder for folder in MAY_IMPORT if "/" not in folder):
        for path in sorted((root / folder).rglob("*.py")):
            file = path.relative_to(root).as_posix()
            package = ".".join(path.relative_to(root).parent.parts)
            tree = ast.parse(path.read_text(encoding="utf-8"), file)
            for line, name in imports(tree, package):
                wrong = _says(file, name)
                if wrong:
                    found.append(f"{file}:{line}: {wrong}")
            if _is_pure(file):
                found += [f"{file}:{line}: {name}: make it an argument" for line, name in _worldly(tree)]
    return found


def test_imports_only_point_right_and_two_folders_do_not_touch_the_world():
    assert violations(ROOT) == []


def test_the_table_names_folders_and_files_that_exist():
    for folder in MAY_IMPORT:
        assert (ROOT / folder).is_dir(), f"{folder}/ is gone: mend the table"
    for file in MAY_TOUCH_THE_WORLD:
        assert (ROOT / file).is_file(), f"{file} is gone: mend the table"


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("replication/log.py", "from discovery import sightings", "replication/ may not import discovery"),
        ("discovery/pairing.py", "import node.vault", "discovery/ may not import node.vault"),
        ("node/vault.py", "def late():\n    from webui.guard import check", "node/ may not import webui"),
        ("node/vault.py", "import simulations", "node/ may not import simulations"),
        ("replication/log.py", "import time", "time touches the world"),
        ("replication/log.py", "from os import urandom", "os.urandom touches the world"),
        ("discovery/pairing.py", "import nacl.utils\nnacl.utils.random(32)", "nacl.utils.random: make it"),
        ("node/sealing.py", "import secrets", "secrets touches the world"),
        ("simulations/world.py", "import trio", "does not use trio"),
        ("simulations/world.py", "from node import vault", "simulations/ may not import node.vault"),
        ("webui/start.py", "from tests import conftest", "tests are not part"),
        ("replication/session.py", "from ..node import item", "replication/ may not import node"),
        ("replication/leaf.py", "import datetime\nx = datetime.datetime.now()", "datetime.now: make it"),
    ],
)
def test_it_catches(tmp_path, file, line, told):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    found = violations(tmp_path)
    assert found, "nothing was found"
    assert all(one.startswith(file) for one in found)
    assert told in found[0]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("webui/items.py", "from node.vault import Vaults"),
        ("node/daemon.py", "import os, time, trio\nfrom replication import replica"),
        ("replication/store.py", "import apsw, time"),
        ("discovery/mdns.py", "import zeroconf, socket"),
        ("simulations/world.py", "from node import sealing\nfrom node.item import Item\nimport random"),
        ("replication/log.py", "from .encoding import encode\nimport hashlib"),
    ],
)
def test_it_lets_pass(tmp_path, file, line):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(tmp_path) == []
