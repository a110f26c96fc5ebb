"""From a seed that fails to the few deeds that make it fail: leave out deeds while the same checker objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

from simulations.run import Result, run
from simulations.storm import DEEDS


@dataclass(frozen=True, slots=True)
class Shrunk:
    """`deeds` is enough; the runs that were made to find out. `whole`: not stopped by the time given for it."""

    result: Result
    deeds: tuple[int, ...]
    without: tuple[int, ...]
    runs: int
    whole: bool

    def command(self) -> str:
        left_out = f" --without {written(self.without)}" if self.without else ""
        return f"python -m simulations --seed {self.result.seed}{left_out}"

    def told(self) -> list[str]:
        """In words, a line for each deed."""
        return [f"{number:4} {self.result.deeds[number]}" for number in self.deeds]


def written(numbers: Iterable[int]) -> str:
    """1,2,3,7 as 1-3,7."""
    parts = []
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        run_of = [number for _, number in group]
        parts.append(f"{run_of[0]}-{run_of[-1]}" if len(run_of) > 1 else f"{run_of[0]}")
    return ",".join(parts)


def read(text: str) -> frozenset[int]:
    """The numbers that `written` wrote. Raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def shrink(failed: Result, seconds: float, runs_of: Callable[..., Result] = run) -> Shrunk:
    """Delta debugging (Zeller and Hildebrandt, 2002) over the deeds' numbers; no further try after `seconds`."""
    until = time.monotonic() + seconds
    every = tuple(sorted(failed.deeds))
    best, kept, runs = failed, every, 0

    def fails(deeds: Collection[int]) -> bool:
        nonlocal best, kept, runs
        runs += 1
        result = runs_of(failed.seed, without=frozenset(range(DEEDS)) - frozenset(deeds))
        if result.checker != failed.checker:
            return False
        best, kept = result, tuple(sorted(deeds))
        return True

    pieces = 2
    while kept and time.monotonic() < until:
        size = -(-len(kept) // pieces)
        parts = [kept[at : at + size] for at in range(0, len(kept), size)]
        tried = ([one for one in kept if one not in part] for part in parts)
        if any(time.monotonic() < until and fails(deeds) for deeds in tried):
            pieces = max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(kept))
    without = tuple(sorted(set(range(DEEDS)) - set(kept)))
    return Shrunk(best, kept, without if kept != every else (), runs, time.monotonic() < until)
