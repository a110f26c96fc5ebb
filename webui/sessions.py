"""Who is signed in at the page, and for how long.

A session has two halves, and either alone is worth nothing: a cookie, which every port of `localhost` gets
to see, and a token, which the page keeps in storage that belongs to its origin, port included. Neither is
stored anywhere by us: the table holds their hashes, in memory, and ends with the process.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

ABSOLUTE_S: Final = 8 * 3600
"""However busy a session is, it ends after this."""
DEFAULT_IDLE_S: Final = 600
MAX_SESSIONS: Final = 32


@dataclass(slots=True)
class Session:
    person: bytes
    token_hash: bytes
    began: float
    used: float


class Sessions:
    """`clock`: seconds that nobody can set back and that go on while the machine sleeps."""

    def __init__(self, clock: Callable[[], float], random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random = random_bytes
        self._held: dict[bytes, Session] = {}
        self.idle_s: float = DEFAULT_IDLE_S

    def begin(self, person: bytes) -> tuple[str, str]:
        """The two halves of a new session: (cookie, token), 64 hex digits each."""
        if len(self._held) >= MAX_SESSIONS:
            del self._held[min(self._held, key=lambda key: self._held[key].used)]
        cookie, token = self._random(32).hex(), self._random(32).hex()
        now = self._clock()
        self._held[_hash(cookie)] = Session(person, _hash(token), now, now)
        return cookie, token

    def find(self, cookie: str, token: str, *, touch: bool) -> Session | None:
        """The session of two halves that belong together. `touch`: a person did something."""
        session = self._held.get(_hash(cookie))
        if (
            session is None
            or not hmac.compare_digest(session.token_hash, _hash(token))
            or self._over(session)
        ):
            return None
        if touch:
            session.used = self._clock()
        return session

    def _over(self, session: Session) -> bool:
        now = self._clock()
        return now - session.used >= self.idle_s or now - session.began >= ABSOLUTE_S

    def any_over(self) -> bool:
        """Whether one has been idle for too long: then the page locks."""
        return any(self._over(session) for session in self._held.values())

    def forget(self) -> None:
        self._held.clear()


def _hash(half: str) -> bytes:
    return hashlib.sha256(b"kinring/1/page-session\0" + half.encode("utf-8", "replace")).digest()
