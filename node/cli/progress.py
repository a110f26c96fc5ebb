"""A long piece of work at the command line: a bar, and Ctrl-C that ends it after the batch at hand."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether the work is to end after the batch at hand."""

    def __init__(self) -> None:
        self.asked = False

    def on_signal(self, *_: Any) -> None:
        """The first Ctrl-C only asks; the second is one as always."""
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stopped_by_ctrl_c() -> Iterator[Stop]:
    stop = Stop()
    before = signal.signal(signal.SIGINT, stop.on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def shown(stop: Stop, what: str) -> Iterator[Callable[[int, int], bool]]:
    """A bar on stderr where that is a terminal; it is told (done, of) and says whether to stop."""
    if not sys.stderr.isatty():
        yield lambda *_: stop.asked
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def progress(done: int, of: int) -> bool:
            bar.update(task, completed=done, total=of)
            return stop.asked

        yield progress
