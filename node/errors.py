"""What is told to a person when something is wrong, and the exit code that goes with it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The command's exit codes; docs/cli.md lists them."""

    OK = 0
    FAILED = 1
    """Something went wrong that has no code of its own."""
    USAGE = 2
    """The command line was not understood."""
    LOCKED = 3
    """The vault is locked: a password or a handle is needed, or it has expired."""
    WRONG_PASSWORD = 4
    """Wrong user name, master password or secret key."""
    NOT_FOUND = 5
    """No such vault, account, field, device or file."""
    INVALID = 6
    """The input was refused: too weak, too long, not the format it claims to be."""
    CONFLICT = 7
    """It exists already, or has changed since it was read."""
    FORBIDDEN = 8
    """This person or device may not do that."""
    BUSY = 9
    """Another node runs on this data folder, or a port is taken."""
    DAMAGED = 10
    """The store is damaged, of another version, or may be read by others."""
    DISK = 11
    """The disk is full or refuses to write. Nothing was half saved."""
    UNREACHABLE = 12
    """The other device did not answer."""
    PAIRING = 13
    """The pairing failed: expired, used, wrong digits or code."""
    STOPPED = 130
    """Stopped by Ctrl-C."""


class KinringError(Exception):
    """An error with advice: printed as `error: message` and `hint: hint`, never with a traceback.

    Neither text ever holds a secret.
    """

    def __init__(self, message: str, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
