"""What stands before every route: which requests are let in, and the headers of every answer.

A browser on this machine runs pages of strangers, and other programs listen on other ports of `localhost`.
Cookies do not keep ports apart, and a name that a stranger owns can be made to point here. So a request
counts only if it is addressed to `localhost:<port>` by that very name, and comes from a page of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types default"
)
HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cache-Control", "no-store"),
    ("Server", "kinring"),
)
"""On every answer, those of errors and static files included."""

SAFE: Final = ("GET", "HEAD")
METHODS: Final = (*SAFE, "POST")


@dataclass(frozen=True, slots=True)
class Refusal:
    """`location`: where the same page is to be asked for under its one name."""

    status: str
    message: str
    location: str = ""


def check(environ: WSGIEnvironment, port: int) -> Refusal | None:
    """Why a request is not let in, or None. Looks at the request's head alone."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        # No browser sends one; two ways to say how long a body is are one too many.
        return Refusal("400 Bad Request", "a body needs a Content-Length")
    length = environ.get("CONTENT_LENGTH", "")
    if length and not (length.isascii() and length.isdigit()):
        return Refusal("400 Bad Request", "the Content-Length is no number")
    host = environ.get("HTTP_HOST", "")
    method = environ.get("REQUEST_METHOD", "")
    if host in (f"127.0.0.1:{port}", f"[::1]:{port}") and method in SAFE:
        return Refusal("307 Temporary Redirect", "", f"http://localhost:{port}{_path(environ)}")
    if host != f"localhost:{port}":
        return Refusal(
            "421 Misdirected Request", f"this is http://localhost:{port} and answers to no other name"
        )
    if method not in METHODS:
        return Refusal("405 Method Not Allowed", "GET, HEAD and POST are understood")
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if method not in SAFE:
        foreign = origin != f"http://localhost:{port}" or site not in (None, "same-origin")
    else:
        foreign = origin not in (None, f"http://localhost:{port}") or site not in (
            None,
            "same-origin",
            "none",
        )
    if foreign:
        return Refusal(
            "403 Forbidden", f"another page may not send you here: type http://localhost:{port} yourself"
        )
    return None


def _path(environ: WSGIEnvironment) -> str:
    """The path and nothing more, never as `//name`, which would lead elsewhere."""
    path = environ.get("PATH_INFO", "/")
    known = path.isascii() and all(letter.isalnum() or letter in "/-_." for letter in path)
    return "/" + path.lstrip("/") if known else "/"


def guarded(app: WSGIApplication, port: int) -> WSGIApplication:
    """`app` behind the guard."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            ours = {name.lower() for name, _ in HEADERS}
            kept = [(name, value) for name, value in headers if name.lower() not in ours]
            return start_response(status, [*kept, *HEADERS], *rest)

        refusal = check(environ, port)
        if refusal is None:
            return app(environ, start)
        body = (refusal.message + "\n").encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))),
                   ("Connection", "close")]  # fmt: skip
        if refusal.location:
            headers.append(("Location", refusal.location))
        start(refusal.status, headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return call
