"""Runs the fuzz targets under coverage with atheris (libFuzzer), each in a process of its own.

    python -m tests.fuzz --seconds 60 [--target NAME]

One line a target: executions, executions per second, crashes. What crashed lies in build/fuzz/NAME/, and
`python -m tests.fuzz --again FILE` repeats it. An input may take 10 seconds and a process 1 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.mutation import mutate

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "fuzz"
SECONDS_PER_INPUT = 10
MEMORY_MIB = 1024
MAX_BYTES = 4096


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", help="one of them; may be given again")
    parser.add_argument("--again", type=Path, help="a file that crashed: run it once, with its traceback")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args()
    if asked.worker:
        fuzz(asked.worker, rest)
    if rest:
        parser.error(f"unknown: {' '.join(rest)}")
    from tests.fuzz.targets import TARGETS

    if asked.again:
        print(TARGETS[asked.again.parent.name].outcome(asked.again.read_bytes()))
        return 0
    for name in asked.target or ():
        if name not in TARGETS:
            parser.error(f"no target {name!r}; there are {', '.join(TARGETS)}")
    try:
        import atheris  # noqa: F401 - to say early what to do
    except ImportError:
        print("error: atheris is not installed here", file=sys.stderr)
        print("hint: make fuzz installs it apart (Linux or macOS, Python 3.11 or newer)", file=sys.stderr)
        print("hint: the same targets run without it: python -m pytest tests/fuzz", file=sys.stderr)
        return 1
    crashes = 0
    for name in asked.target or TARGETS:
        corpus = seeded(name, TARGETS[name].seeds())
        crashes += run(name, corpus, asked.seconds)
    return min(crashes, 1)


def seeded(name: str, seeds: list[bytes]) -> Path:
    """The folder of a target's corpus: its valid examples, and what earlier runs found worth keeping."""
    corpus = FOLDER / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:32]).write_bytes(seed)
    return corpus


def run(name: str, corpus: Path, seconds: int) -> int:
    """Fuzz one target, and tell what came of it; how many crashes there were: none or one, which ends it."""
    began = time.monotonic()
    before = set(corpus.parent.glob("*-*"))
    log = corpus.parent / "log"
    with log.open("wb") as out:
        ended = subprocess.run(
            [
                sys.executable, "-m", "tests.fuzz", "--worker", name, f"-max_total_time={seconds}",
                f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={MAX_BYTES}",
                "-print_final_stats=1", f"-artifact_prefix={corpus.parent}/", str(corpus),
            ],
            cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    took = time.monotonic() - began
    text = log.read_text("utf-8", "replace")
    counted = re.findall(r"stat::number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)", text, re.MULTILINE)
    done = int(counted[-1]) if counted else 0
    found = sorted(set(corpus.parent.glob("*-*")) - before)
    crashed = int(bool(found) or ended.returncode != 0)
    print(f"{name:16} {done:9} executions  {done / took:7.0f} a second  {crashed} crashes", flush=True)
    for path in found:
        print(f"  python -m tests.fuzz --again {path.relative_to(ROOT)}")
    if crashed and not found:
        print(f"  it ended with {ended.returncode}: see {log.relative_to(ROOT)}")
    return crashed


def fuzz(name: str, arguments: list[str]) -> None:
    """The process that fuzzes one target. libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["replication", "node", "discovery"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    seeds = target.seeds()

    def change(data: bytes, most: int, seed: int) -> bytes:
        """Half of the changes are libFuzzer's, half know of the encoding."""
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutate(data, seeds, random)[:most]

    atheris.Setup([sys.argv[0], *arguments], target.outcome, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
