"""The page: what a person sees in the browser of this device. docs/page.md describes it.

Flask on plain threads, on loopback alone. Everything secret is opened here and in the command line, nowhere
else; what strangers can reach runs in another process, the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from webui.desk import Desk


def create_app(desk: Desk, *, port: int) -> Flask:
    """The WSGI application, guarded, for `http://localhost:<port>`."""
    from webui.app import build  # here: the process that only supervises needs no Flask

    return build(desk, port=port)
