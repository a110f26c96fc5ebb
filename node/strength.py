"""Is a master password strong enough, and if not, what would be.

A thief of one laptop who also gets the secret key can guess without limit, so a weak one is refused.
Length and zxcvbn's estimate decide; no rules about kinds of characters, which make passwords worse.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from node.errors import ExitCode, KinringError

MIN_CHARACTERS: Final = 12
MIN_SCORE: Final = 3
"""zxcvbn: at least 10^8 guesses, on its scale from 0 to 4."""
PROPOSED_WORDS: Final = 5
# zxcvbn takes no more. Only the estimate is made from the beginning; the password itself is never cut.
_SCORED_CHARACTERS: Final = 72
_WORD_FILE: Final = Path(__file__).with_name("data") / "passphrase-words.txt"


class WeakPassword(KinringError):
    """The reason, and a passphrase to take instead. The hint is for the person's eyes, never for a log."""

    def __init__(self, reason: str) -> None:
        self.proposal = propose_passphrase()
        super().__init__(
            f"this master password is too weak: {reason}",
            f"several words that have nothing to do with each other are strong, for example: {self.proposal}",
            ExitCode.INVALID,
        )


def check_master_password(password: str, *, own_words: Sequence[str]) -> None:
    """Raises WeakPassword unless there are 12 characters or more (after NFKC) that are hard to guess for
    who knows `own_words`: names of the person, the family, the vaults."""
    # Over 4096 characters the password is refused by its length elsewhere, before it is normalised.
    text = unicodedata.normalize("NFKC", password[:4096])
    if not text:
        raise WeakPassword("it is empty")
    if len(text) < MIN_CHARACTERS:
        raise WeakPassword(f"it has {len(text)} characters, at least {MIN_CHARACTERS} are needed")
    import zxcvbn  # here: its word lists take a while to load

    words = ["kinring", *(word for name in own_words for word in (name, *name.split()) if word)]
    result = zxcvbn.zxcvbn(text[:_SCORED_CHARACTERS], user_inputs=words)
    if result["score"] < MIN_SCORE:
        raise WeakPassword(_reason(result["feedback"]["warning"]))


def propose_passphrase(words: int = PROPOSED_WORDS) -> str:
    """Random words joined by '-'. Each adds 11 bits, so that five make 55."""
    return "-".join(secrets.choice(passphrase_words()) for _ in range(words))


@cache
def passphrase_words() -> tuple[str, ...]:
    """The 2048 words of the list."""
    lines = _WORD_FILE.read_text("ascii").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def _reason(warning: str) -> str:
    """zxcvbn's own warning, which never quotes the password."""
    if not warning:
        return "it can be guessed too easily"
    return warning[0].lower() + warning[1:].rstrip(".")
