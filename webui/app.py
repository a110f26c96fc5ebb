"""The application: who may ask for what, and how pages and errors are answered.

A page with anything personal in it is answered only to a request with both halves of a session. A browser
that navigates sends the cookie alone, so it gets the empty frame (401), whose script asks for the same
address again with the other half. Forms and links are plain HTML; htmx follows them, our script adds the half.
"""

from __future__ import annotations

import io
import logging
import traceback
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import jinja2
from flask import Flask, Request, Response, current_app, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from node.errors import ExitCode, KinringError
from node.opening import store_errors
from replication.store import StoreError
from webui import destroying, devices, health, imports, items, unlock, vaults
from webui.guard import guarded
from webui.shown import FILTERS

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

    from webui.desk import Desk

log = logging.getLogger(__name__)

TOKEN_HEADER: Final = "X-Kinring-Token"  # noqa: S105 - a header's name
BACKGROUND_HEADER: Final = "X-Kinring-Background"
"""Sent with what no person asked for: it does not put off locking."""
MAX_BODY: Final = 1 << 20
STATIC: Final = {
    "app.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml",
    "vendor/htmx-2.0.11.min.js": "text/javascript",
}  # fmt: skip
STATUS: Final = {
    ExitCode.NOT_FOUND: 404, ExitCode.INVALID: 400, ExitCode.FORBIDDEN: 403, ExitCode.CONFLICT: 409,
    ExitCode.WRONG_PASSWORD: 403, ExitCode.LOCKED: 409, ExitCode.BUSY: 429, ExitCode.DAMAGED: 500,
    ExitCode.DISK: 507, ExitCode.UNREACHABLE: 503, ExitCode.PAIRING: 409,
}  # fmt: skip
SAID: Final = {
    "saved": "Saved.", "created": "Created.", "deleted": "Moved to the bin.", "restored": "Restored.",
    "settled": "Settled: one value is left.", "vault": "The vault was created.",
    "emptied": "The vault and all it holds are in the bin.", "setting": "The setting was saved.",
    "dismissed": "Dismissed. It comes back only if it happens anew.",
}  # fmt: skip


class PageRequest(Request):
    """Uploads stay in memory: a file of passwords must not be spooled to the disk."""

    def _get_file_stream(
        self, total_content_length: int | None, content_type: str | None, filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:  # fmt: skip
        return io.BytesIO()


def build(desk: Desk, *, port: int) -> Flask:
    """The application with its guard, for `http://localhost:<port>`."""
    app = Flask("webui", root_path=str(Path(__file__).parent), static_folder=None)
    app.request_class = PageRequest
    app.debug = False
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_MEMORY_SIZE=MAX_BODY, MAX_FORM_PARTS=300)
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    app.extensions["desk"] = desk
    app.extensions["cookie"] = f"kinring-{port}"  # browsers show cookies to every port of a host
    app.add_url_rule("/static/<path:name>", "static", _static)
    app.add_url_rule("/live", "live", _live)
    for part in (unlock, items, destroying, vaults, imports, devices, health):
        app.register_blueprint(part.routes)
    app.before_request(_enter)
    app.teardown_request(_leave)
    app.register_error_handler(KinringError, _told)
    app.register_error_handler(StoreError, _store_failed)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _failed)
    app.context_processor(_everywhere)
    app.wsgi_app = guarded(app.wsgi_app, port)  # type: ignore[method-assign, assignment]
    return app


def _enter() -> BaseResponse | None:
    g.desk = desk = current_app.extensions["desk"]
    g.session = g.vaults = None
    endpoint = request.endpoint
    if endpoint in (None, "static"):
        return None
    cookie = request.cookies.get(current_app.extensions["cookie"], "")
    touch = BACKGROUND_HEADER not in request.headers
    g.session = desk.sessions.find(cookie, request.headers.get(TOKEN_HEADER, ""), touch=touch)
    if not (endpoint in unlock.OPEN or (g.session and (g.session.person or endpoint in unlock.JOINING))):
        return _empty_frame()
    if endpoint == "live":
        return None
    if endpoint == "imports.take":
        request.max_content_length = imports.MAX_UPLOAD
    _ = request.form  # read to its end before the store is taken: a slow sender keeps nobody waiting
    g.taken = desk.taken()
    g.taken.__enter__()
    if g.session and g.session.person:
        g.vaults = desk.vaults(g.session.person)
    desk.replica.refresh()
    if desk.replica.family is None and endpoint in ("unlock.form", "unlock.sign_in"):
        return redirect("/welcome", 303)
    return None


def _leave(_: BaseException | None) -> None:
    taken = g.pop("taken", None)
    if taken is not None:
        taken.__exit__(None, None, None)


def _empty_frame() -> BaseResponse:
    """Nothing in it depends on who asks, or for what."""
    return Response(render_template("frame.html"), 401)


def _everywhere() -> dict[str, Any]:
    """What every template may use."""
    signed_in = g.get("vaults") is not None
    return {
        "said": SAID.get(request.args.get("said", "")),
        "username": g.vaults.username if signed_in else None,
        "area": (request.endpoint or "").split(".")[0].replace("destroying", "items"),
        "alarms_standing": len(g.desk.replica.alarms()) if signed_in else 0,
    }


@cache
def _file(name: str) -> bytes:
    return (Path(__file__).parent / "static" / name).read_bytes()


def _static(name: str) -> BaseResponse:
    if name not in STATIC:
        return Response("there is no such file\n", 404, content_type="text/plain")
    return Response(_file(name), content_type=f"{STATIC[name]}; charset=utf-8")


def _live() -> BaseResponse:
    """Says "something changed" for as long as the page listens."""
    live = g.desk.live
    if not live.enter():
        return Response("too many pages listen\n", 503, content_type="text/plain")
    response = Response(live.stream(), content_type="text/event-stream")
    response.call_on_close(live.leave)
    return response


def _told(error: KinringError) -> BaseResponse:
    return _error(STATUS.get(error.code, 500), error.message, error.hint)


def _store_failed(error: StoreError) -> BaseResponse:
    try:
        with store_errors():
            raise error
    except KinringError as told:
        return _told(told)


def _refused(error: HTTPException) -> BaseResponse:
    told = {
        404: ("there is no such page", "the address may be mistyped, or from another version"),
        405: ("this page is not asked for in that way", "go back to the start"),
        413: ("that is too large", "a form holds up to 1 MiB, an import up to 64 MiB"),
    }
    message, hint = told.get(error.code or 500, ("the request was not understood", ""))
    return _error(error.code or 500, message, hint)


def _failed(error: Exception) -> BaseResponse:
    # Neither the error's text nor any value: both may hold what must not be in a log.
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return _error(500, "something went wrong", "it is in the log: please report it")


def _error(status: int, message: str, hint: str) -> BaseResponse:
    return Response(render_template("error.html", message=message, hint=hint), status)
