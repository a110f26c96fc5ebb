"""New passwords, random or of words, that keep a policy to the letter. docs/spec/generator.md.

How many passwords keep the policy is counted first; one of them is then drawn, all equally likely. So the
bits that are told are the true ones, and a policy that nothing can keep is refused instead of tried.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, log2
from typing import Final

from node.errors import ExitCode, KinringError
from node.strength import passphrase_words

RandomBytes = Callable[[int], bytes]

SPECIAL: Final = "!@#$%^&*()-_=+[]{}\\|;:,.<>?"
AMBIGUOUS: Final = frozenset("0OoDQ1IlL|!B8G6S5Z2")
"""What `exclude_ambiguous` leaves out: the documents' fifteen, and o, l, L, |."""
MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 16
MAX_LENGTH_WORDS: Final = 40
"""The documents' 16 has room for three words of four letters: 42 bits. Four of any length make 61."""
LIMIT: Final = 128
"""No length and no minimum is over this."""
WORDS: Final = 4
"""As many as there is room for, unless the least length asks for more."""
_TRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Policy:
    """The documents' policy. Of two lengths the one left out gives way to the one that is given."""

    random: bool = False
    """Random characters; otherwise words."""
    min_uppercase: int = 1
    min_lowercase: int = 1
    min_digits: int = 1
    min_special_chars: int = 1
    min_length: int | None = None
    max_length: int | None = None
    exclude_ambiguous: bool = False

    def lengths(self) -> tuple[int, int]:
        """The least and the greatest length, both included."""
        longest = MAX_LENGTH if self.random else MAX_LENGTH_WORDS
        if self.min_length is None:
            high = longest if self.max_length is None else self.max_length
            return min(MIN_LENGTH, high), high
        return self.min_length, max(longest, self.min_length) if self.max_length is None else self.max_length

    def minimums(self) -> dict[str, int]:
        """The least numbers by their documented names."""
        return {
            "min_uppercase": self.min_uppercase,
            "min_lowercase": self.min_lowercase,
            "min_digits": self.min_digits,
            "min_special_chars": self.min_special_chars,
        }

    def kept_by(self, password: str) -> bool:
        """Whether the password keeps it."""
        low, high = self.lengths()
        return (
            low <= len(password) <= high
            and all(
                sum(map(kind.__contains__, password)) >= least
                for kind, least in zip(_KINDS, self.minimums().values(), strict=True)
            )
            and not (self.exclude_ambiguous and AMBIGUOUS & set(password))
        )


_KINDS: Final = (string.ascii_uppercase, string.ascii_lowercase, string.digits, SPECIAL)
"""In the order of Policy.minimums."""


@dataclass(frozen=True, slots=True)
class Generated:
    password: str
    bits: float
    """log2 of the number of passwords that it was drawn from."""

    def __repr__(self) -> str:
        return "<secret>"


def generate(policy: Policy, random_bytes: RandomBytes) -> Generated:
    """A password that keeps the policy. Raises KinringError INVALID for one that nothing can keep."""
    _check(policy)
    return _random(policy, random_bytes) if policy.random else _of_words(policy, random_bytes)


def below(limit: int, random_bytes: RandomBytes) -> int:
    """0 to limit - 1, each equally likely: a number that is too large is drawn again, since a remainder
    would make the small ones likelier."""
    bits = (limit - 1).bit_length()
    size = -(-bits // 8)
    while True:
        number = int.from_bytes(random_bytes(size), "big") >> (size * 8 - bits)
        if number < limit:
            return number


def _check(policy: Policy) -> None:
    low, high = policy.lengths()
    limits = {"min_length": low, "max_length": high, **policy.minimums()}
    for name, value in limits.items():
        if not 0 <= value <= LIMIT:
            raise _impossible(f"{name} is {value}, but may be 0 to {LIMIT}", f"choose a number up to {LIMIT}")
    if high == 0:
        raise _impossible("max_length is 0: that is no password", "raise it")
    if low > high:
        raise _impossible(f"min_length is {low}, but max_length is {high}", "raise max_length")
    least = sum(policy.minimums().values())
    if least > high:
        raise _impossible(
            f"the minimums ask for {least} characters, but max_length is {high}",
            "lower a minimum or raise max_length",
        )


def _impossible(message: str, hint: str) -> KinringError:
    return KinringError(f"no password can be made: {message}", hint, ExitCode.INVALID)


# Random characters


def _random(policy: Policy, random_bytes: RandomBytes) -> Generated:
    """Of the greatest length. A kind of which none is asked for is left out: the one way to say so."""
    kinds = [
        (_allowed(kind, policy), least)
        for kind, least in zip(_KINDS, policy.minimums().values(), strict=True)
        if least
    ]
    if not kinds:
        raise _impossible("every minimum is 0, so no character may be used", "ask for one kind at least")

    @cache
    def ways(first: int, length: int) -> int:
        """How many texts of that length the kinds from `first` on can make."""
        if first == len(kinds):
            return int(length == 0)
        return sum(block(first, length, count) for count in range(kinds[first][1], length + 1))

    def block(first: int, length: int, count: int) -> int:
        """Those of them with so many characters of the kind `first`."""
        texts: int = len(kinds[first][0]) ** count
        return comb(length, count) * texts * ways(first + 1, length - count)

    left = policy.lengths()[1]
    bits = log2(ways(0, left))
    characters: list[str] = []
    for first, (kind, count) in enumerate(kinds):
        place = below(ways(first, left), random_bytes)
        while place >= (size := block(first, left, count)):
            place -= size
            count += 1
        characters += [kind[below(len(kind), random_bytes)] for _ in range(count)]
        left -= count
    return Generated(_shuffled(characters, random_bytes), bits)


def _allowed(kind: str, policy: Policy) -> str:
    return "".join(c for c in kind if c not in AMBIGUOUS) if policy.exclude_ambiguous else kind


def _shuffled(characters: list[str], random_bytes: RandomBytes) -> str:
    """Fisher and Yates: every order is equally likely."""
    for last in range(len(characters) - 1, 0, -1):
        other = below(last + 1, random_bytes)
        characters[last], characters[other] = characters[other], characters[last]
    return "".join(characters)


# Words


class _Rows:
    """Rows of words, counted and drawn by how many letters they have together."""

    def __init__(self, words: Sequence[str]) -> None:
        self._by_length: dict[int, list[str]] = {}
        for word in words:
            self._by_length.setdefault(len(word), []).append(word)
        self._known: dict[tuple[int, int, int], int] = {}

    def ways(self, count: int, low: int, high: int) -> int:
        """How many rows of `count` words have `low` to `high` letters."""
        if count == 0:
            return int(low <= 0 <= high)
        if high < count or low > high:
            return 0
        key = count, low, high
        if key not in self._known:
            self._known[key] = sum(
                len(same) * self.ways(count - 1, low - size, high - size)
                for size, same in self._by_length.items()
            )
        return self._known[key]

    def draw(self, count: int, low: int, high: int, random_bytes: RandomBytes) -> list[str]:
        """One of them, each equally likely. There must be one."""
        place, row = below(self.ways(count, low, high), random_bytes), []
        for left in range(count - 1, -1, -1):
            for size, same in self._by_length.items():
                rest = self.ways(left, low - size, high - size)
                if place < len(same) * rest:
                    break
                place -= len(same) * rest
            index, place = divmod(place, rest)
            row.append(same[index])
            low, high = low - size, high - size
        return row


@dataclass(frozen=True, slots=True)
class _Shape:
    """What stands around the words: a character of `joiner` between each two, then the rest."""

    words: int
    joiner: str
    digits: int
    specials: int
    low: int
    high: int
    """Letters of all words together, both included."""


def _of_words(policy: Policy, random_bytes: RandomBytes) -> Generated:
    rows = _Rows([w for w in passphrase_words() if not (policy.exclude_ambiguous and AMBIGUOUS & set(w))])
    digits, specials = _allowed(string.digits, policy), _allowed(SPECIAL, policy)

    def all_of(shape: _Shape) -> int:
        joints: int = len(shape.joiner or " ") ** (shape.words - 1)
        around: int = joints * len(digits) ** shape.digits * len(specials) ** shape.specials
        return rows.ways(shape.words, shape.low, shape.high) * around

    shape = _best([_shape(policy, count, digits, specials) for count in range(2, LIMIT // 4 + 1)], all_of)
    if shape is None:
        raise _impossible("no row of two or more words fits", "raise max_length or ask for random ones")

    def some(alphabet: str, count: int) -> str:
        return "".join(alphabet[below(len(alphabet), random_bytes)] for _ in range(count))

    for _ in range(_TRIES):
        words = _capitals(rows.draw(shape.words, shape.low, shape.high, random_bytes), policy)
        joints = [some(shape.joiner, 1) if shape.joiner else "" for _ in words[1:]]
        text = words[0] + "".join(joint + word for joint, word in zip(joints, words[1:], strict=True))
        password = text + some(digits, shape.digits) + some(specials, shape.specials)
        if policy.kept_by(password):  # too few letters may have a capital that is not ambiguous
            return Generated(password, log2(all_of(shape)))
    raise _impossible("words hardly ever keep this policy", "ask for random characters")


def _shape(policy: Policy, words: int, digits: str, specials: str) -> _Shape:
    low, high = policy.lengths()
    joiner = specials if policy.min_special_chars else digits if policy.min_digits else ""
    joints = words - 1 if joiner else 0
    more_digits = max(0, policy.min_digits - (joints if joiner is digits else 0))
    more_specials = max(0, policy.min_special_chars - (joints if joiner is specials else 0))
    around = joints + more_digits + more_specials
    least = max(low - around, policy.min_uppercase + policy.min_lowercase)
    return _Shape(words, joiner, more_digits, more_specials, least, high - around)


def _best(shapes: Sequence[_Shape], all_of: Callable[[_Shape], int]) -> _Shape | None:
    """Of up to WORDS words the one with most passwords, else the first longer one that has any."""
    few = max((shape for shape in shapes if shape.words <= WORDS), key=all_of)
    if all_of(few):
        return few
    return next((shape for shape in shapes if all_of(shape)), None)


def _capitals(words: list[str], policy: Policy) -> list[str]:
    """The first letters of the first words become capitals, then their second ones: as many as asked for."""
    places = sorted((at, number) for number, word in enumerate(words) for at in range(len(word)))
    if policy.exclude_ambiguous:
        places = [(at, number) for at, number in places if words[number][at].upper() not in AMBIGUOUS]
    chosen = set(places[: policy.min_uppercase])
    return [
        "".join(letter.upper() if (at, number) in chosen else letter for at, letter in enumerate(word))
        for number, word in enumerate(words)
    ]
