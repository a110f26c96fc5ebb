"""What a password is worth: the entropy figure of the documents, and zxcvbn's estimate beside it.

The figure knows nothing of words: it calls "Password12345!" strong. The score is what to go by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

WEAK_BELOW: Final = 40
STRONG_FROM: Final = 80
"""Bits of the entropy figure."""
_KINDS: Final = {"uppercase": 26, "lowercase": 26, "digits": 10, "special_chars": 32}
"""Each kind of character, and how many the figure takes it to have."""
# zxcvbn takes no more. The figure is made of the whole password.
_SCORED_CHARACTERS: Final = 72


@dataclass(frozen=True, slots=True)
class PasswordInfo:
    """The documents' names, and after them zxcvbn's."""

    strength: str
    """WEAK, MODERATE or STRONG, by the entropy figure alone."""
    entropy: float
    """Bits."""
    uppercase: int
    lowercase: int
    digits: int
    special_chars: int
    length: int
    """Characters (code points)."""
    score: int
    """zxcvbn, 0 to 4: guessed in under 10^3, 10^6, 10^8, 10^10 tries, or in more."""
    warning: str
    """Why the score is low, in zxcvbn's words, which never quote the password; or nothing."""


def analyse(password: str) -> PasswordInfo:
    """The worth of any text, also of the empty one."""
    counts = dict.fromkeys(_KINDS, 0)
    for character in password:
        counts[_kind(character)] += 1
    alphabet = sum(size for kind, size in _KINDS.items() if counts[kind])
    entropy = math.log2(alphabet) * len(set(password)) if alphabet else 0.0
    score, warning = _estimate(password)
    return PasswordInfo(_strength(entropy), entropy, **counts, length=len(password), score=score,
                        warning=warning)  # fmt: skip


def _kind(character: str) -> str:
    if character.isupper():
        return "uppercase"
    if character.islower():
        return "lowercase"
    return "digits" if character.isdecimal() else "special_chars"


def _strength(entropy: float) -> str:
    if entropy < WEAK_BELOW:
        return "WEAK"
    return "STRONG" if entropy >= STRONG_FROM else "MODERATE"


def _estimate(password: str) -> tuple[int, str]:
    if not password:  # zxcvbn stumbles over it
        return 0, "It is empty."
    import zxcvbn  # here: its word lists take a while to load

    result = zxcvbn.zxcvbn(password[:_SCORED_CHARACTERS])
    return result["score"], result["feedback"]["warning"] or ""
