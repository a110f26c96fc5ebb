"""Housekeeping beside what people ask for: what node.housekeeping does, after a sign-in and when something has arrived.

It has a connection of its own, so that no request waits for it, and does a bounded part at a time.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.errors import KinringError
from node.housekeeping import tidy
from node.keyholder import Unlocked
from node.opening import open_replica, store_errors
from node.vault import Vaults
from replication.replica import Replica
from webui.clock import now_ms

log = logging.getLogger(__name__)

PAUSE_S: Final = 2.0
"""From one turn to the next: what arrives in a row is looked at together."""


class Tidying:
    """For one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replica: Replica | None = None
        self._people: dict[bytes, tuple[Unlocked, Vaults]] = {}
        self._done: dict[bytes, tuple[int, int]] = {}
        """Person to how the store was when nothing was left to do."""

    def turn(self, people: Iterable[Unlocked]) -> bool:
        """A part of what is to do for those who are signed in; whether anything was saved. Raises KinringError."""
        with store_errors():
            return sum(self._for(unlocked) for unlocked in people) > 0

    def _for(self, unlocked: Unlocked) -> bool:
        if self._replica is None:
            self._replica = open_replica(self._folder)
        mark = self._replica.change_mark()
        if self._done.get(unlocked.person) == mark:
            return False
        self._replica.refresh()
        try:
            done = tidy(self._replica, unlocked, self._vaults(unlocked), now_ms())
        except KinringError as error:  # the newest key has not come yet, say: to be looked at when more arrives
            log.warning("housekeeping: %s", error.message)
            self._done[unlocked.person] = mark
            return False
        if not done.left:
            self._done[unlocked.person] = mark
        return bool(done.resealed)

    def _vaults(self, unlocked: Unlocked) -> Vaults:
        held = self._people.get(unlocked.person)
        if held is None or held[0] is not unlocked:
            assert self._replica is not None
            vaults = Vaults(self._replica, unlocked, random_bytes=secrets.token_bytes, clock=now_ms)
            held = self._people[unlocked.person] = (unlocked, vaults)
        return held[1]
