"""`python -m simulations`: one seed, many seeds, a named scenario, power cuts, or the planted faults."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator

from simulations.planted import BUGS, Hunt, hunt
from simulations.power import CUTS, life
from simulations.run import Result, run
from simulations.scenarios import SCENARIOS
from simulations.shrink import read, shrink, written

SHRINK_SECONDS = 60.0
PROGRESS_SECONDS = 30.0


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found (with --planted: every fault was). 1: otherwise. 130: nothing was found until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, metavar="N", help="run one seed and show what happens")
    what.add_argument("--seeds", type=int, metavar="COUNT", help="run COUNT seeds, from --first on")
    what.add_argument("--scenario", choices=["all", *SCENARIOS], help="a story with a name")
    what.add_argument("--disk", type=int, metavar="CUTS", help="cut the power so often under a copy at work")
    what.add_argument("--planted", nargs="?", const="all", choices=["all", *(bug.name for bug in BUGS)],
                      help="plant faults, one at a time, and look whether they are found")  # fmt: skip
    parser.add_argument("--first", type=int, default=0, metavar="N", help="first seed (default 0)")
    parser.add_argument("--without", type=read, default=frozenset(), metavar="DEEDS",
                        help="with --seed: leave deeds out, such as 3,9,20-31")  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="S", help="start no further seed after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J",
                        help="processes (default: one for each core)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="with --seed: only the result")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        left_out = f" --without {written(given.without)}" if given.without else ""
        print(f"python -m simulations --seed {given.seed}{left_out}", flush=True)
        result = run(given.seed, verbose=not given.quiet, without=given.without)
        print(_line(result))
        return bool(result.checker)
    if given.scenario:
        names = list(SCENARIOS) if given.scenario == "all" else [given.scenario]
        print(f"python -m simulations --scenario {given.scenario}", flush=True)
        return max(_story(name, given.first, verbose=not given.quiet) for name in names)
    if given.planted:
        return _planted([bug.name for bug in BUGS] if given.planted == "all" else [given.planted], given.jobs)
    if given.disk is not None:
        return _cuts(range(given.first, given.first + -(-given.disk // CUTS)), given.jobs)
    return _storms(range(given.first, given.first + given.seeds), given.jobs, given.seconds)


def _story(name: str, seed: int, *, verbose: bool) -> int:
    result = run(seed, verbose=verbose, story=SCENARIOS[name])
    print(f"{name} {_line(result)}")
    return bool(result.checker)


def _storms(seeds: range, jobs: int, seconds: float | None) -> int:
    limit = "" if seconds is None else f" --seconds {seconds:g}"
    print(f"python -m simulations --seeds {len(seeds)} --first {seeds.start}{limit}", flush=True)
    began, results, stopped = time.monotonic(), list[Result](), False
    with multiprocessing.get_context("spawn").Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for result in _told(pool.imap_unordered(run, seeds, chunksize=4), len(seeds)):
                results.append(result)
                if seconds is not None and time.monotonic() - began > seconds:
                    break
        except KeyboardInterrupt:
            stopped = True
    if results:
        _summary(results, time.monotonic() - began, jobs)
    failed = sorted((result for result in results if result.checker), key=lambda result: result.seed)
    if failed:
        _shrink(failed[0])
    return 1 if failed else 130 if stopped else 0


def _cuts(lives: range, jobs: int) -> int:
    print(f"python -m simulations --disk {len(lives) * CUTS} --first {lives.start}", flush=True)
    began, results = time.monotonic(), list[Result]()
    with multiprocessing.get_context("spawn").Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for result in pool.imap_unordered(life, lives, chunksize=2):
                results.append(result)
                if result.checker:
                    print(f"FAILED {result.checker}: {result.detail}; repeat it with: "
                          f"python -m simulations --disk {CUTS} --first {result.seed}", flush=True)  # fmt: skip
        except KeyboardInterrupt:
            print("stopped")
    spent, cuts = time.monotonic() - began, sum(result.crashes for result in results)
    cores = sum(result.seconds for result in results)
    print(f"{cuts} power cuts and failures of a disk in {spent:.1f} s: {cuts / spent:.0f} a second, "
          f"{cuts / cores if cores else 0:.0f} for each second of a core's time, "
          f"{sum(result.events for result in results) / max(1, cuts):.0f} writes and syncs each")  # fmt: skip
    failed = any(result.checker for result in results)
    print("some lost or broke something" if failed else f"none failed: at 95 % fewer than 3 in {cuts} such do")
    return int(failed)


def _told(results: Iterable[Result], count: int) -> Iterator[Result]:
    """Passes on results, and says now and then how many there were."""
    began = time.monotonic()
    last = began - PROGRESS_SECONDS + 2
    for done, result in enumerate(results, 1):
        if result.checker:
            print(_line(result), flush=True)
        yield result
        if (now := time.monotonic()) - last > PROGRESS_SECONDS:
            last = now
            print(f"{done} of {count} seeds, {done / (now - began):.1f} a second", flush=True)


def _line(result: Result) -> str:
    verdict = f"FAILED {result.checker}: {result.detail}" if result.checker else "ok"
    return (f"seed {result.seed} trace {result.trace} devices {result.devices} entries {result.entries} "
            f"events {result.events} crashes {result.crashes} calm {result.calm_ms / 1000:.1f} s: "
            f"{verdict}")  # fmt: skip


def _summary(results: list[Result], spent: float, jobs: int) -> None:
    count = len(results)

    def mean(name: str) -> float:
        return float(sum(getattr(result, name) for result in results) / count)

    print(f"{count} seeds in {spent:.1f} s: {count / spent:.1f} a second with {jobs} processes, "
          f"{1 / mean('seconds'):.1f} for each second of a core's time")  # fmt: skip
    print(f"a seed: {mean('devices'):.1f} devices (at most {max(r.devices for r in results)}), "
          f"{mean('entries'):.0f} entries, {mean('events'):.0f} events, {mean('crashes'):.1f} crashes; "
          f"longest way to agreement {max(r.calm_ms for r in results) / 1000:.1f} s")  # fmt: skip
    failed = sum(bool(result.checker) for result in results)
    print(f"{failed} failed" if failed else f"none failed: at 95 % fewer than 3 in {count} such runs do", flush=True)


def _shrink(failed: Result) -> None:
    print(f"looking for the fewest deeds with which seed {failed.seed} fails, {SHRINK_SECONDS:.0f} s", flush=True)
    shrunk = shrink(failed, SHRINK_SECONDS)
    print(f"{len(shrunk.deeds)} of {len(failed.deeds)} deeds are enough ({shrunk.runs} runs"
          f"{'' if shrunk.whole else ', then the time was over'}):")  # fmt: skip
    print("\n".join(shrunk.told()))
    print(f"{shrunk.result.checker}: {shrunk.result.detail}")
    print(f"repeat it with: {shrunk.command()}")


def _planted(names: list[str], jobs: int) -> int:
    print(f"python -m simulations --planted {'all' if len(names) > 1 else names[0]}", flush=True)
    says = {bug.name: bug.says for bug in BUGS}
    missed = 0
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(names))) as pool:
        for found in pool.imap(hunt, names):
            missed += found.result is None
            print(_hunt_line(found, says[found.bug]), flush=True)
    print(f"{len(names) - missed} of {len(names)} planted faults were found")
    return bool(missed)


def _hunt_line(hunt: Hunt, says: str) -> str:
    if hunt.result is None:
        return f"MISSED  {hunt.bug} ({says}): not found in {hunt.runs} runs"
    result = hunt.result
    verdict = "found  " if hunt.expected else "STRANGE"
    return f"{verdict} {hunt.bug} ({says}): by {result.checker} at {hunt.where}: {result.detail}"


if __name__ == "__main__":
    sys.exit(main())
