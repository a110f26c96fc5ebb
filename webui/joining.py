"""A pairing as the page drives it: it takes minutes and waits for people, so it runs in a thread of its own.

Each has its own connection to the store; the page asks now and then what it should show.
"""

from __future__ import annotations

import queue
import secrets
import threading
from pathlib import Path
from typing import Final

from discovery.pairing import NewDevice
from node.control import Control
from node.errors import ExitCode, KinringError
from node.identity import load_or_create
from node.keyholder import Unlocked
from node.opening import open_replica, store_errors
from node.secret_keys import SecretKeys
from node.vault import Vaults
from replication.errors import Refused
from webui.clock import now_ms

TYPING_S: Final = 600.0
OVER: Final = ("done", "failed")


class _Errand(threading.Thread):
    """`stage` names what the page shows; `done` and `failed` are the last ones."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.runtime = runtime
        self.stage = "connecting"
        self.error: KinringError | None = None
        self._given: queue.Queue[str | None] = queue.Queue(1)

    def run(self) -> None:
        try:
            with store_errors(), Control(self.runtime) as control:
                self._do(control)
        except KinringError as error:
            self._fail(error)
        except Refused as refusal:
            self._fail(
                KinringError(f"the pairing failed: {refusal.kind}", "show a new invitation", ExitCode.PAIRING)
            )

    def _do(self, control: Control) -> None:
        raise NotImplementedError

    def _fail(self, error: KinringError) -> None:
        self.error, self.stage = error, "failed"

    def give(self, text: str | None) -> None:
        """What a person typed; None to give up."""
        try:
            self._given.put_nowait(text)
        except queue.Full:
            raise KinringError("this was answered already", "wait a moment", ExitCode.CONFLICT) from None

    def give_up(self) -> None:
        if self.stage not in OVER and self._given.empty():
            self.give(None)

    def _typed(self) -> str | None:
        try:
            return self._given.get(timeout=TYPING_S)
        except queue.Empty:
            return None


class Joining(_Errand):
    """This device joins a family. Stages: connecting, digits, password, finishing, done."""

    def __init__(self, folder: Path, runtime: Path, text: str, name: str) -> None:
        super().__init__(folder, runtime)
        self._text = text
        self._name = name
        self.digits = ""
        self.username = ""
        self.wrong = 0
        self.unlocked: Unlocked | None = None

    def _do(self, control: Control) -> None:
        from node.joining import Newcomer, follow_invitation  # here: it brings the node's network code along

        replica = open_replica(self.folder)
        try:
            device = load_or_create(self.folder, secrets.token_bytes)
            newcomer = Newcomer(replica, device, SecretKeys(self.folder), self._name, False)
            self.unlocked = follow_invitation(
                control, newcomer, self._text, show_digits=self._show, ask_password=self._ask
            )
        finally:
            replica.close()
        self.stage = "done"

    def _show(self, digits: str) -> None:
        self.digits, self.stage = digits, "digits"

    def _ask(self, username: str, wrong: int) -> str:
        self.username, self.wrong, self.stage = username, wrong, "password"
        typed = self._typed()
        if typed is None:
            raise KinringError("joining was given up", "begin anew", ExitCode.PAIRING)
        self.stage = "finishing"
        return typed


class Showing(_Errand):
    """A new device of one's own is let in. Stages: connecting, shown, ask, waiting, done."""

    def __init__(self, folder: Path, runtime: Path, unlocked: Unlocked) -> None:
        super().__init__(folder, runtime)
        self._unlocked = unlocked
        self.invitation = ""
        self.seconds = 0
        self.device: NewDevice | None = None

    def _do(self, control: Control) -> None:
        from node.joining import Host, show_invitation

        replica = open_replica(self.folder)
        try:
            me = self._unlocked
            vaults = Vaults(replica, me, random_bytes=secrets.token_bytes, clock=now_ms)
            device = load_or_create(self.folder, secrets.token_bytes)
            host = Host(replica, device, me, vaults, SecretKeys(self.folder).load(me.person))
            self.device = show_invitation(
                control, host, on_invitation=self._show, ask_digits=self._ask, on_waiting=self._wait
            )
        finally:
            replica.close()
        self.stage = "done"

    def _show(self, text: str, lifetime_ms: int) -> None:
        self.invitation, self.seconds, self.stage = text, lifetime_ms // 1000, "shown"

    def _ask(self, device: NewDevice) -> str | None:
        self.device, self.stage = device, "ask"
        return self._typed()

    def _wait(self) -> None:
        self.stage = "waiting"
