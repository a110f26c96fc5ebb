"""How this copy is: what it holds, what was put aside, what does not open; and the page's settings."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import apsw
from flask import Blueprint, g, redirect, render_template, request

from node.errors import ExitCode, KinringError
from node.vault import Vaults
from webui.desk import IDLE_MINUTES, Desk
from webui.destroying import waiting

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

routes = Blueprint("health", __name__)

NOT_UNDERSTOOD: Final = ("unknown version", "unknown kind", "unknown suite", "unknown statement")
"""Put aside until this program is updated. As node.cli.status has it, not imported: that would bring the command
line into the page's process. A test compares the two."""


@routes.get("/health")
def index() -> str:
    desk: Desk = g.desk
    vaults: Vaults = g.vaults
    items = vaults.items()
    aside = Counter(reason for _, reason in desk.replica.put_aside())
    titles = {view.vault_id: view.title for view in vaults.vaults()}
    (entries,) = desk.replica.store.row("SELECT count(*) FROM entries")
    return render_template(
        "health.html", entries=entries, items=items.total, binned=vaults.items(deleted=True).total,
        conflicts=len({conflict.item_id for conflict in vaults.conflicts()}),
        put_aside=[(reason, count) for reason, count in aside.most_common() if reason not in NOT_UNDERSTOOD],
        update_needed=sum(aside[reason] for reason in NOT_UNDERSTOOD),
        wanted=[(titles.get(vault, vault[:8]), count) for vault, count in vaults.wanted().items()],
        to_destroy=waiting(desk.replica, vaults),
        unopened=Counter(vaults.unopened.values()).most_common(), minutes=int(desk.sessions.idle_s // 60),
        choices=IDLE_MINUTES, versions=_versions(), folder=str(desk.folder),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"Kinring": version("kinring"), "Python": python, "SQLite": apsw.sqlite_lib_version()}


@routes.post("/settings")
def settings() -> BaseResponse:
    desk: Desk = g.desk
    try:
        minutes = int(request.form.get("minutes", ""))
    except ValueError:
        raise KinringError(
            "that is no number of minutes", "choose one of the list", ExitCode.INVALID
        ) from None
    desk.set_idle_minutes(minutes)
    return redirect("/health?said=setting", 303)


@routes.post("/here")
def here() -> tuple[str, int]:
    """Somebody is typing: that alone puts off locking."""
    return "", 204
