"""A figure, its floor and its goal, and how they are printed."""

from __future__ import annotations

import cProfile
import io
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figure:
    """One measured thing. `values`: one for each run, in `unit`; `goal`: the median is to be under it."""

    name: str
    unit: str
    values: list[float]
    goal: float | None = None
    floor: str = ""
    note: str = ""
    profile: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.median >= self.goal

    def line(self) -> str:
        spread = f"{_short(min(self.values))}..{_short(max(self.values))}" if len(self.values) > 1 else "one run"
        goal = "" if self.goal is None else f"goal < {_short(self.goal)}: {'MISSED' if self.missed else 'met'}"
        return f"{self.name:52} {_short(self.median):>8} {self.unit:6} {spread:18} {goal:22} {self.floor}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "least": min(self.values),
            "most": max(self.values),
            "runs": len(self.values),
            "goal": self.goal,
            "missed": self.missed,
            "floor": self.floor,
            "note": self.note,
        }


@dataclass
class Report:
    """All figures of a run, printed as they come."""

    quiet: bool = False
    figures: list[Figure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        if not self.quiet:
            print(figure.line(), flush=True)
            for text in (figure.note, figure.profile if figure.missed else ""):
                if text:
                    print("    " + text.replace("\n", "\n    "), flush=True)

    def leave_out(self, what: str, why: str) -> None:
        self.left_out.append(f"{what}: {why}")
        if not self.quiet:
            print(f"{what:52} left out: {why}", flush=True)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def timed(act: Callable[[], object]) -> float:
    """Seconds that `act` takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def profiled(act: Callable[[], object], lines: int = 8) -> str:
    """Where the time of `act` goes: the costliest functions by their own time."""
    profiler = cProfile.Profile()
    profiler.runcall(act)
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).strip_dirs().sort_stats("tottime").print_stats(lines)
    return "\n".join(line for line in out.getvalue().splitlines() if line.strip())[:2000]
