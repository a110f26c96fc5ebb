"""What all tests share: tools from outside Python that may be missing, and hypothesis without deadlines."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

import hypothesis
import pytest


class Tool(NamedTuple):
    present: Callable[[], bool]
    how_to_get: str


def _has_chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))


def _may_make_namespaces() -> bool:
    """Tried, not guessed: root in a container may lack the right."""
    if not (shutil.which("ip") and shutil.which("unshare")):
        return False
    probe = ["unshare", "--net", "ip", "link", "set", "lo", "up"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


TOOLS = {
    "chromium": Tool(_has_chromium, "sudo apt-get install chromium"),
    "netns": Tool(_may_make_namespaces, "on Linux: sudo apt-get install iproute2, then the tests as root"),
}
FULL = os.environ.get("KINRING_FULL") == "1"
LEFT_OUT = "needs "

# A slow machine is no failure: no time is asserted.
hypothesis.settings.register_profile(
    "kinring", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("kinring")

_present: dict[str, bool] = {}


def needs(name: str) -> None:
    """Skip the running test when a tool of TOOLS is missing; with KINRING_FULL=1, fail it."""
    if name not in _present:
        _present[name] = TOOLS[name].present()
    if _present[name]:
        return
    if FULL:
        pytest.fail(f"{LEFT_OUT}{name}, and KINRING_FULL=1 allows no test to be left out", pytrace=False)
    pytest.skip(f"{LEFT_OUT}{name}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            needs(name)


def _left_out(skipped: list[pytest.TestReport]) -> Iterator[str]:
    for report in skipped:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        yield reason.removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names what was left out and the command that gets it; pytest's own closing line stays the last."""
    reasons = list(_left_out(terminalreporter.getreports("skipped")))
    for name, tool in TOOLS.items():
        count = reasons.count(LEFT_OUT + name)
        if count:
            line = f"left out: {count} tests that need {name} ({tool.how_to_get})"
            terminalreporter.write_line(line, yellow=True)
