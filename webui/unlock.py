"""Coming in: the first run, joining a family, unlocking, locking."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, current_app, g, redirect, render_template, request

from node.errors import ExitCode, KinringError
from node.family import NewPerson, admit_person_here, found
from node.identity import host_name, load_or_create
from node.keyholder import sign_ins
from node.strength import check_master_password
from webui.clock import now_ms
from webui.desk import Desk
from webui.joining import Joining

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

routes = Blueprint("unlock", __name__)

OPEN: Final = ("unlock.welcome", "unlock.found_family", "unlock.new_person", "unlock.admit", "unlock.form",
               "unlock.sign_in", "unlock.join", "unlock.join_start")  # fmt: skip
"""Endpoints for who has no session yet. None of them shows anything of a vault."""
JOINING: Final = ("unlock.join_state", "unlock.join_password", "unlock.join_finish")
"""Endpoints for the session of who is joining: both halves, but no person yet."""


def _desk() -> Desk:
    desk: Desk = g.desk
    return desk


def _with_session(response: Response, halves: tuple[str, str]) -> Response:
    """Both halves on their way: the cookie, which no script can read, and the token, which the page keeps."""
    cookie, token = halves
    # Not `Secure`: Safari would drop it on http://localhost. The cookie alone is worth nothing anyway.
    response.set_cookie(current_app.extensions["cookie"], cookie, httponly=True, samesite="Strict", path="/")
    response.headers["X-Kinring-Token"] = token
    return response


# The first run


@routes.get("/welcome")
def welcome() -> BaseResponse | str:
    if _desk().replica.family is not None:
        return redirect("/unlock", 303)
    return render_template("welcome.html", device_name=host_name())


@routes.post("/found")
def found_family() -> BaseResponse:
    """Found a family on this device."""
    desk = _desk()
    if desk.replica.family is not None:
        raise KinringError("this device belongs to a family already", "unlock it", ExitCode.CONFLICT)
    who = _new_person()
    admitted = found(desk.replica, load_or_create(desk.folder, secrets.token_bytes), desk.secrets, who,
                     device_name=request.form.get("device", "").strip()[:64] or host_name(),
                     random_bytes=secrets.token_bytes, now=now_ms())  # fmt: skip
    page = Response(render_template("kit.html", admitted=admitted, who=who))
    return _with_session(page, desk.begin(admitted.unlocked))


@routes.get("/people/new")
def new_person() -> BaseResponse | str:
    if _desk().replica.family is None:
        return redirect("/welcome", 303)
    return render_template("new_person.html")


@routes.post("/people")
def admit() -> BaseResponse:
    """A further person on a family's only device."""
    desk = _desk()
    who = _new_person()
    device = load_or_create(desk.folder, secrets.token_bytes)
    admitted = admit_person_here(
        desk.replica, device, desk.secrets, who, random_bytes=secrets.token_bytes, now=now_ms()
    )
    page = Response(render_template("kit.html", admitted=admitted, who=who))
    return _with_session(page, desk.begin(admitted.unlocked))


def _new_person() -> NewPerson:
    form = request.form
    username, password = form.get("username", "").strip(), form.get("password", "")
    name = form.get("name", "").strip()[:256]
    if not username:
        raise KinringError("a user name is missing", "choose the one to sign in with", ExitCode.INVALID)
    if password != form.get("again", ""):
        raise KinringError("the two master passwords differ", "type the same one twice", ExitCode.INVALID)
    check_master_password(password, own_words=[username, name])
    return NewPerson(username, password, name)


# Unlocking and locking


@routes.get("/unlock")
def form() -> str:
    return render_template("unlock.html", usernames=sorted(name for name, _, _ in sign_ins(_desk().replica)))


@routes.post("/unlock")
def sign_in() -> BaseResponse:
    halves = _desk().sign_in(request.form.get("username", ""), request.form.get("password", ""))
    return _with_session(Response(render_template("frame.html", next="/")), halves)


@routes.post("/lock")
def lock() -> BaseResponse:
    """Forget every key; the process ends, and a new one answers at the same address."""
    response = redirect("/unlock", 303)
    response.delete_cookie(current_app.extensions["cookie"], path="/")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    response.call_on_close(_desk().lock_up)
    return response


# Joining a family


def _joining() -> Joining:
    joining = _desk().joining
    if joining is None:
        raise KinringError("nobody is joining here", "begin anew", ExitCode.NOT_FOUND)
    return joining


@routes.get("/join")
def join() -> BaseResponse | str:
    if _desk().replica.family is not None:
        return redirect("/unlock", 303)
    return render_template("join.html", device_name=host_name())


@routes.post("/join")
def join_start() -> BaseResponse:
    desk = _desk()
    if desk.replica.family is not None:
        raise KinringError("this device belongs to a family already", "unlock it", ExitCode.CONFLICT)
    if desk.joining is not None:
        desk.joining.give_up()
    desk.joining = Joining(desk.folder, desk.runtime, request.form.get("invitation", "").strip(),
                           request.form.get("device", "").strip()[:64] or host_name())  # fmt: skip
    desk.joining.start()
    page = Response(render_template("frame.html", next="/join/state"))
    return _with_session(page, desk.sessions.begin(b""))


@routes.get("/join/state")
def join_state() -> str:
    return render_template("joining.html", joining=_joining())


@routes.post("/join/password")
def join_password() -> BaseResponse:
    _joining().give(request.form.get("password", ""))
    return redirect("/join/state", 303)


@routes.post("/join/finish")
def join_finish() -> BaseResponse:
    desk, unlocked = _desk(), _joining().unlocked
    if unlocked is None:
        raise KinringError("this device has not joined yet", "wait for the other device", ExitCode.CONFLICT)
    desk.joining = None
    return _with_session(Response(render_template("frame.html", next="/")), desk.begin(unlocked))
