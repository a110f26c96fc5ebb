"""A person at the command line, for tests: Anna's data folder, founded once and copied for each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from node.cli import main
from node.opening import open_replica
from replication.session import SyncSession

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "violin marmot teaspoon quarry"
KINRING = [sys.executable, "-m", "node.cli"]
_FROM_OUTSIDE = (
    "KINRING_HANDLE",
    "KINRING_MASTER_PASSWORD",
    "DEVICE_PEPPER_KEY",
    "DATA_DIR",
    "_KINRING_COMPLETE",
)


@dataclass
class Result:
    code: int
    out: str = field(repr=False)
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, "one line of JSON"
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What `--json` says of an error."""
        assert self.code != 0
        assert self.out == ""
        told: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        assert told["code"] == self.code
        return told


@dataclass
class Home:
    """One device: where it keeps its data, and the environment of whoever sits at it."""

    place: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.place / "data"
        runtime = self.place / "run"
        runtime.mkdir(0o700, exist_ok=True)
        self.environment = {
            "KINRING_DATA_DIR": str(self.data),
            "XDG_RUNTIME_DIR": str(runtime),
            "KINRING_KEYRING": "file",
            **self.environment,
        }

    def run(self, *words: str, stdin: bytes = b"", **environment: str) -> Result:
        """The command in this very process."""
        wanted: dict[str, str | None] = dict.fromkeys(_FROM_OUTSIDE)
        runner = CliRunner(env={**wanted, **self.environment, **environment})
        with runner.isolation(input=stdin) as (out, err, _):
            code = main(list(words))
            sys.stdout.flush()
            sys.stderr.flush()
            return Result(code, out.getvalue().decode(), err.getvalue().decode())

    def env(self) -> dict[str, str]:
        """The environment for a process of its own."""
        kept = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
        return {**kept, **self.environment, "PYTHONPATH": str(ROOT)}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        return subprocess.Popen([*KINRING, *words], env=self.env(), **options)

    def process(self, *words: str, **options: Any) -> Result:
        """The command in a process of its own."""
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=60)
        return Result(process.returncode, (out or b"").decode(), (err or b"").decode())

    def unlock(self) -> Home:
        """Anna signs in with her password once; the handle serves what follows."""
        self.environment["KINRING_HANDLE"] = self.run("unlock", KINRING_MASTER_PASSWORD=PASSWORD).out.strip()
        return self

    def vault(self, title: str = "Personal") -> str:
        """A vault's id by its title."""
        views = self.run("get-vaults", "--json").json
        found: str = next(view["vault_id"] for view in views if view["title"] == title)
        return found

    def save(self, *options: str) -> str:
        """A new account; its id."""
        made = self.run("create-account", "--vault-id", self.vault(), *options, "--json")
        account: str = made.json["account_id"]
        return account

    def account(self, account_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.run("get-account", "--account-id", account_id, "--json").json
        return shown

    def copy(self, place: Path) -> Home:
        """The same data folder on another disk: a store that finds itself elsewhere starts a new log."""
        place.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(self.data, place / "data")
        return Home(place)


def exchange(one: Home, other: Home) -> None:
    """Both get what they lack of one another."""
    replicas = [open_replica(home.data, create=False) for home in (one, other)]
    now = int(time.time() * 1000)
    left, right = (SyncSession(replica, now) for replica in replicas)
    for session, messages in _turns(left, right, now):
        for message in messages:
            session.receive_message(message, now)
    for replica in replicas:
        replica.close()


def _turns(left: SyncSession, right: SyncSession, now: int) -> Iterator[tuple[SyncSession, list[bytes]]]:
    while True:
        to_right, to_left = left.messages_to_send(now), right.messages_to_send(now)
        if not to_right and not to_left:
            return
        yield right, to_right
        yield left, to_left
