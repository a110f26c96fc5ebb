"""`python -m simulations.bench`: measure, beside the floor of the same run.

Goals, not gates: a miss is printed as a miss, with where the time goes, and the exit code stays 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys

from simulations.bench.measures import MEASURES, floors
from simulations.bench.report import Report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulations.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURES, []], help="what to measure (default: all)")
    parser.add_argument("--quick", action="store_true", help="few runs, and no two minutes of idling")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end, nothing before")
    options = parser.parse_args()
    if (code := _inside_namespace()) is not None:
        return code
    report = Report(quiet=options.json)
    if not options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}; medians, then least..most\n")
    floor = floors(report)
    for name, measure in MEASURES.items():
        if not options.names or name in options.names:
            measure(report, floor, options.quick)
    missed = [figure.name for figure in report.figures if figure.missed]
    if options.json:
        print(json.dumps({"figures": [f.as_json() for f in report.figures], "left_out": report.left_out}))
    else:
        print(f"\n{len(missed)} of the goals missed" + (": " + "; ".join(missed) if missed else ""))
    return 0


def _inside_namespace() -> int | None:
    """Run again in a network namespace that has loopback alone, so that every byte on it is ours.

    None where that may not be made: stay here.
    """
    if os.environ.get("KINRING_BENCH_INSIDE") or not (shutil.which("unshare") and shutil.which("ip")):
        return None
    inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        return None
    words = [*inside, sys.executable, "-m", "simulations.bench", *sys.argv[1:]]
    return subprocess.run(words, env={**os.environ, "KINRING_BENCH_INSIDE": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
