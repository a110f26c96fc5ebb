"""What the page's process holds: the store, who is signed in, and who listens for changes.

One connection to the store and one lock around it: requests wait for each other, and each sees one state.
Locking forgets every key and then ends the process, for Python cannot be made to overwrite what it held.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.control import tell_changed
from node.errors import ExitCode, KinringError
from node.identity import host_name
from node.keyholder import Unlocked, unlock
from node.opening import open_replica, store_errors
from node.secret_keys import SecretKeys
from node.unlock import WrongPassword
from node.upkeep import at_unlock
from node.vault import Vaults
from replication.encoding import decode, encode
from replication.errors import Malformed
from webui.clock import awake_clock, now_ms
from webui.delays import Delays
from webui.joining import Joining, Showing
from webui.live import Live
from webui.sessions import DEFAULT_IDLE_S, Sessions
from webui.tidying import PAUSE_S, Tidying

log = logging.getLogger(__name__)

WATCH_S: Final = 0.25
SETTINGS: Final = "page-setting"
IDLE_MINUTES: Final = range(1, 61)


class Desk:
    def __init__(
        self, folder: Path, runtime: Path, *,
        clock: Callable[[], float] = awake_clock, on_locked: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`on_locked` is called once every key was forgotten: the process is to end."""
        self.folder = folder
        self.runtime = runtime
        self.replica = open_replica(folder)
        self.secrets = SecretKeys(folder)
        self.sessions = Sessions(clock, secrets.token_bytes)
        self.delays = Delays(clock)
        self.live = Live()
        self.locked = threading.Event()
        self._on_locked = on_locked
        self.joining: Joining | None = None
        self.showing: dict[bytes, Showing] = {}
        """Person to the pairing that they have open."""
        self._people: dict[bytes, tuple[Unlocked, Vaults]] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._mark = self.replica.change_mark()
        self._load_settings()

    def close(self) -> None:
        self._stopping.set()
        self.live.close()
        with self._lock:
            self.replica.close()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The store and all that is open, for this thread alone. Raises KinringError for a failing store."""
        with self._lock, store_errors():
            before = self.replica.last_id()
            try:
                yield
            finally:
                saved = self.replica.last_id() != before
        if saved:
            tell_changed(self.runtime)

    # Signing in

    def sign_in(self, username: str, password: str) -> tuple[str, str]:
        """Both halves of a new session. Raises WrongPassword; KinringError BUSY while it is to wait."""
        left = self.delays.left(self.replica.store, username)
        if left:
            raise KinringError(
                f"too many wrong passwords: wait {left} seconds", "then try again", ExitCode.BUSY
            )
        try:
            unlocked = unlock(self.replica, self.secrets, username=username, password=password)
        except WrongPassword:
            self.delays.failed(self.replica.store, username)
            raise
        self.delays.succeeded(self.replica.store, username)
        return self.begin(unlocked)

    def begin(self, unlocked: Unlocked) -> tuple[str, str]:
        """A session for a person whose keys are open."""
        vaults = Vaults(self.replica, unlocked, random_bytes=secrets.token_bytes, clock=now_ms)
        at_unlock(self.replica, unlocked, vaults, host_name(), secrets.token_bytes)
        self._people[unlocked.person] = (unlocked, vaults)
        return self.sessions.begin(unlocked.person)

    def vaults(self, person: bytes) -> Vaults:
        return self._people[person][1]

    def unlocked(self, person: bytes) -> Unlocked:
        return self._people[person][0]

    def lock_up(self) -> None:
        """Forget every key and session, of all who are signed in; then the process ends."""
        with self._lock:
            for showing in self.showing.values():
                showing.give_up()
            self._people.clear()
            self.sessions.forget()
        self.locked.set()
        self._on_locked()

    # Settings

    def _load_settings(self) -> None:
        held = self.replica.store.local(SETTINGS).get(b"idle")
        try:
            minutes = decode(held) if held else DEFAULT_IDLE_S // 60
        except Malformed:
            minutes = 0
        self.sessions.idle_s = 60 * minutes if minutes in IDLE_MINUTES else DEFAULT_IDLE_S

    def set_idle_minutes(self, minutes: int) -> None:
        """Lock after so many minutes without a person doing anything. Raises KinringError INVALID."""
        if minutes not in IDLE_MINUTES:
            raise KinringError(
                "the time before locking is 1 to 60 minutes", "choose one of these", ExitCode.INVALID
            )
        self.replica.store.set_local(SETTINGS, b"idle", encode(minutes))
        self.sessions.idle_s = 60 * minutes

    # Watching

    def watch(self) -> None:
        """Until `close`: lock who is idle, and tell open pages what another process or a peer saved."""
        while not self._stopping.wait(WATCH_S):
            self.look()

    def look(self) -> None:
        """One look of `watch`."""
        with self._lock:
            if self._stopping.is_set():
                return
            if self.sessions.any_over():
                self.lock_up()
            if self.live.heard:
                mark = self.replica.change_mark()
                if mark != self._mark:
                    self._mark = mark
                    self.live.say()

    # Housekeeping

    def housekeep(self) -> None:
        """Until `close`: what is to be done for who is signed in, beside what they ask for."""
        tidying = Tidying(self.folder)
        while not self._stopping.wait(PAUSE_S):
            with self._lock:
                people = [unlocked for unlocked, _ in self._people.values()]
            try:
                if tidying.turn(people):
                    tell_changed(self.runtime)
            except KinringError as error:  # a disk that is full, a busy store: told where a person asks for something
                log.warning("housekeeping: %s", error.message)
