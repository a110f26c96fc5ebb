"""The family's devices: which is which, how far behind each is, and letting a new one in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import segno
from flask import Blueprint, g, redirect, render_template, request

from node.errors import ExitCode, KinringError
from node.identity import load_or_create
from node.vault import Vaults
from replication.encoding import decode
from replication.errors import Malformed
from replication.membership import FULL
from webui import alarms, destroying
from webui.desk import Desk
from webui.joining import OVER, Showing

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

routes = Blueprint("devices", __name__)

SEEN: Final = "seen"
"""Where the node keeps when it last had a connection to a device. Its own name for it is node.daemon.SEEN,
not imported: that would bring the whole node into the page's process. A test compares the two."""
_QR_SCALE: Final = 6


def _desk() -> Desk:
    desk: Desk = g.desk
    return desk


def _vaults() -> Vaults:
    found: Vaults = g.vaults
    return found


@dataclass(frozen=True, slots=True)
class DeviceView:
    name: str
    owner: str
    reads: bool
    here: bool
    seen_at: int | None
    """Milliseconds since 1970 when this device last had a connection to it; None for never."""
    behind: int | None
    """How many of the entries here it had not got when it last said so; None if it never did."""
    waited_for: bool
    """Whether something is destroyed for good only once it has said that it heard of it."""


@routes.get("/devices")
def index() -> str:
    standing = alarms.standing(_desk().replica, _vaults())
    return render_template("devices.html", devices=_views(), alarms=standing)


def _views() -> list[DeviceView]:
    replica = _desk().replica
    state, names = replica.state(), _vaults().names()
    here = load_or_create(_desk().folder, secrets.token_bytes).id
    seen = {device: _time(value) for device, value in replica.store.local(SEEN).items()}
    frontiers = replica.signed_frontiers()
    late = destroying.waited_for(replica)
    views = []
    for device, about in state.devices.items():
        views.append(DeviceView(
            names.get(device[:16], device.hex()[:8]), names.get(about.owner, about.owner.hex()[:8]),
            about.role == FULL, device == here, seen.get(device),
            replica.behind(frontiers[device].rows) if device in frontiers else None, device in late,
        ))  # fmt: skip
    return sorted(views, key=lambda view: (not view.here, view.name.casefold()))


def _time(value: bytes) -> int | None:
    try:
        found = decode(value)
    except Malformed:
        return None
    return found if type(found) is int else None


@routes.post("/devices/dismiss")
def dismiss() -> BaseResponse:
    """Tick off an alarm."""
    try:
        subject = bytes.fromhex(request.form.get("subject", ""))
    except ValueError:
        subject = b"?"
    kind = request.form.get("kind", "")
    if not any((alarm.kind, alarm.subject) == (kind, subject) for alarm in _desk().replica.alarms()):
        raise KinringError("there is no such alarm", "load the page again", ExitCode.NOT_FOUND)
    _desk().replica.dismiss_alarm(kind, subject)
    return redirect("/devices?said=dismissed", 303)


# Letting a new one in


def _showing() -> Showing:
    found = _desk().showing.get(g.session.person)
    if found is None:
        raise KinringError("no invitation is open", "show a new one", ExitCode.NOT_FOUND)
    return found


@routes.post("/devices/invite")
def invite() -> BaseResponse:
    desk, person = _desk(), g.session.person
    if person in desk.showing:
        desk.showing[person].give_up()
    desk.showing[person] = Showing(desk.folder, desk.runtime, desk.unlocked(person))
    desk.showing[person].start()
    return redirect("/devices/invitation", 303)


@routes.get("/devices/invitation")
def invitation() -> str:
    showing = _showing()
    picture = ""
    if showing.stage == "shown":
        picture = segno.make(showing.invitation, error="m").svg_data_uri(
            scale=_QR_SCALE, border=4, light="white"
        )
    return render_template("invitation.html", showing=showing, picture=picture, over=showing.stage in OVER)


@routes.post("/devices/invitation")
def answer() -> BaseResponse:
    """The six digits that the new device shows, or `no` to refuse it."""
    showing = _showing()
    if request.form.get("answer") == "no":
        showing.give_up()
        return redirect("/devices", 303)
    digits = "".join(request.form.get("digits", "").split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        raise KinringError("six digits are needed", "type those that the new device shows", ExitCode.INVALID)
    showing.give(digits)
    return redirect("/devices/invitation", 303)
