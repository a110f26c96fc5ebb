"""Refusals. Every decoder refuses with a kind; nothing else escapes from parsing."""

from __future__ import annotations


class Refused(ValueError):
    """Bytes or a statement that are not taken in. `kind` is a stable word for tests and counters.

    The text never quotes what was refused: it may be a secret.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class Malformed(Refused):
    """Not the one canonical form of anything we know, or over a limit."""


class InvalidSignature(Refused):
    """The signature is not the author's."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("signature", detail)


class Missing(Refused):
    """The entry's past is not here: `hash` names what to ask for first."""

    def __init__(self, missing: bytes) -> None:
        super().__init__("missing", missing.hex())
        self.hash = missing


class LocalProtocolError(Exception):
    """Our own code broke the protocol: a bug here."""


class RemoteProtocolError(Exception):
    """The peer broke the protocol: its connection is closed, nothing else happens."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
