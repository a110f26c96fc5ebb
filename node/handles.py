"""What `kinring unlock` leaves for the next commands: the unlock key for some minutes, under a token.

The token (256 bits) is only with the person; the file, runtime folder/unlocked/<name>, only on the disk.
Neither alone opens anything. docs/spec/handle.md has the format. Labels:

    kinring/1/handle        key, nonce and commitment of the file
    kinring/1/handle-name   the file's name

Two clocks bound its life, and whichever says "over" wins: the wall clock, and the one that counts from
boot, through sleep, which nobody can set back.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import ExitCode, KinringError
from node.folders import check_private_folder, disk_error, make_private_folder, read_private, write_private
from node.unlock import open_committed, seal_committed
from replication.encoding import decode, encode
from replication.errors import Malformed, Refused

_HANDLE: Final = b"kinring/1/handle"
_NAME: Final = b"kinring/1/handle-name"

TOKEN_BYTES: Final = 32
MAX_BYTES: Final = 512
_MAX_BOOT_ID: Final = 64
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Handle:
    """Who is unlocked, and with what."""

    person: bytes
    keyholder: bytes
    unlock_key: bytes

    def __repr__(self) -> str:
        return f"Handle({self.person.hex()}, <secret>)"


@dataclass(frozen=True)
class Boot:
    """One reading of the clock that counts from boot: which boot (may be unknown: b""), and milliseconds."""

    id: bytes
    ms: int


@dataclass(frozen=True)
class Expiry:
    """When a handle ends: `wall_ms` since 1970, `boot_ms` since the boot it was made in, at `made_ms`."""

    boot_id: bytes
    made_ms: int
    boot_ms: int
    wall_ms: int

    def over(self, wall_ms: int, boot: Boot) -> bool:
        if boot.id != self.boot_id or boot.ms < self.made_ms:  # started anew since
            return True
        return wall_ms >= self.wall_ms or boot.ms >= self.boot_ms


@dataclass(frozen=True)
class HandleFile:
    """A handle file taken apart, not yet opened: until then its expiry is only claimed."""

    person: bytes
    keyholder: bytes
    expiry: Expiry
    header: bytes
    commitment: bytes
    sealed: bytes


def create(
    runtime: Path, *, person: bytes, keyholder: bytes, unlock_key: bytes, now: float, lifetime: int = 600
) -> str:
    """Keeps the unlock key for `lifetime` seconds from `now` (seconds since 1970) and returns the token.

    Raises KinringError: DISK, or DAMAGED where the folder is not ours alone.
    """
    sweep(runtime, now)
    boot = boot_clock()
    wall = int(now * 1000)
    expiry = Expiry(boot.id, boot.ms, boot.ms + lifetime * 1000, wall + lifetime * 1000)
    token = secrets.token_bytes(TOKEN_BYTES)
    folder = runtime / "unlocked"
    make_private_folder(folder)
    check_private_folder(folder)
    handle = Handle(person, keyholder, unlock_key)
    write_private(folder / handle_name(token), seal_handle(token, handle, expiry))
    return token.hex()


def open_handle(runtime: Path, token: str, *, now: float) -> Handle:
    """What the token stands for. `now` is in seconds since 1970.

    Raises KinringError with code LOCKED, the same for a wrong, damaged or expired one.
    """
    sweep(runtime, now)
    try:
        secret = bytes.fromhex(token)
    except ValueError:
        raise _locked() from None
    if len(secret) != TOKEN_BYTES or secret.hex() != token:
        raise _locked()
    try:
        data = read_private(_folder(runtime) / handle_name(secret), limit=MAX_BYTES)
        file = decode_handle(data)
        handle = unseal_handle(secret, file)
    except Refused:
        raise _locked() from None
    except KinringError as error:
        if error.code is not ExitCode.NOT_FOUND:
            raise
        raise _locked() from None
    # Again, now that the expiry is authenticated.
    if file.expiry.over(int(now * 1000), boot_clock()):
        raise _locked()
    return handle


def lock_all(runtime: Path) -> int:
    """Deletes every handle of the runtime folder; how many there were."""
    return sum(_delete(path) for path in _files(runtime))


def sweep(runtime: Path, now: float) -> int:
    """Deletes the handles whose time is over, and whatever is none; how many. `now` in seconds since 1970."""
    boot, wall = boot_clock(), int(now * 1000)
    count = 0
    for path in _files(runtime):
        # A file that another command is just writing has a dotted name and is left to it for a minute.
        if path.name.startswith(".") and _age(path) < 60:
            continue
        try:
            spent = decode_handle(read_private(path, limit=MAX_BYTES)).expiry.over(wall, boot)
        except Refused:
            spent = True
        except KinringError as error:
            spent = error.code is ExitCode.DAMAGED
        count += _delete(path) if spent else 0
    return count


def seal_handle(token: bytes, handle: Handle, expiry: Expiry) -> bytes:
    """The bytes of a handle file."""
    fields = [
        1, "handle", handle.person, handle.keyholder,
        expiry.boot_id, expiry.made_ms, expiry.boot_ms, expiry.wall_ms,
    ]  # fmt: skip
    # No salt: a token is used for one header only, ever.
    commitment, sealed = seal_committed(token, None, _HANDLE, encode(fields), handle.unlock_key)
    return encode([*fields, commitment, sealed])


def decode_handle(data: bytes) -> HandleFile:
    """Raises Malformed: the encoding's kinds, `version`, `handle`."""
    fields = decode(data, limit=MAX_BYTES)
    if type(fields) is not list or len(fields) != 10:
        raise Malformed("handle", "shape")
    version, word, person, keyholder, boot_id, made_ms, boot_ms, wall_ms, commitment, sealed = fields
    if type(version) is not int or version != 1:
        raise Malformed("version")
    sizes = ((person, 16), (keyholder, 32), (commitment, 32), (sealed, 48))
    if word != "handle" or any(type(part) is not bytes or len(part) != size for part, size in sizes):
        raise Malformed("handle", "field")
    if type(boot_id) is not bytes or len(boot_id) > _MAX_BOOT_ID:
        raise Malformed("handle", "boot")
    if any(type(time_ms) is not int for time_ms in (made_ms, boot_ms, wall_ms)):
        raise Malformed("handle", "time")
    expiry = Expiry(boot_id, made_ms, boot_ms, wall_ms)
    return HandleFile(person, keyholder, expiry, encode(fields[:-2]), commitment, sealed)


def unseal_handle(token: bytes, file: HandleFile) -> Handle:
    """Raises Refused with kind `wrap` for another token, or where any bit is not as it was written."""
    unlock_key = open_committed(token, None, _HANDLE, file.header, file.commitment, file.sealed)
    return Handle(file.person, file.keyholder, unlock_key)


def handle_name(token: bytes) -> str:
    """The file's name: says nothing about the token."""
    return hashlib.sha256(_NAME + b"\0" + token).hexdigest()[:32]


def boot_clock() -> Boot:
    """Linux: CLOCK_BOOTTIME and the kernel's boot id. Elsewhere the monotonic clock alone: going back
    then shows a restart."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        boot_id = _BOOT_ID.read_bytes().strip()[:_MAX_BOOT_ID]
    except OSError:
        boot_id = b""
    return Boot(boot_id, time.clock_gettime_ns(clock) // 1_000_000)


def _folder(runtime: Path) -> Path:
    folder = runtime / "unlocked"
    if os.path.lexists(folder):
        check_private_folder(folder)
    return folder


def _files(runtime: Path) -> list[Path]:
    folder = _folder(runtime)
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error(f"cannot list {folder}", error) from None


def _age(path: Path) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _delete(path: Path) -> int:
    """A link is deleted itself; what it points to stays."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return 0  # another command was quicker
    except OSError as error:
        raise disk_error(f"cannot delete {path}", error) from None
    return 1


def _locked() -> KinringError:
    return KinringError(
        "the vault is locked: this handle is unknown or has expired",
        "unlock it again with: kinring unlock",
        ExitCode.LOCKED,
    )
