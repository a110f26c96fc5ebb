"""Where things lie on disk, and files that nobody else may read.

Every file is opened without following links, and what was opened is checked, not the name: it must be
an ordinary file of ours, with one name, that no other user may read. Modes are set outright, so that
no umask widens or narrows them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shlex
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

from node.errors import ExitCode, KinringError

MAX_RUNTIME_PATH: Final = (103 if sys.platform == "darwin" else 107) - len("/node.sock")
"""Bytes of the runtime folder's path: the system gives a socket's 104 (macOS) or 108, a zero byte among them."""

_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC: Final[int] = getattr(os, "O_CLOEXEC", 0)
# A FIFO put in a file's place must not hang us in open().
_NONBLOCK: Final[int] = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY: Final[int] = getattr(os, "O_DIRECTORY", 0)


def data_folder(path: Path | None, *, create: bool = True) -> Path:
    """The folder that holds this device's copy: `path`, else $KINRING_DATA_DIR, else $DATA_DIR, else the
    platform's own place. Absolute, 0700, ours.

    Raises KinringError: NOT_FOUND where there is none and `create` is false; DAMAGED where it is a link or
    no folder, belongs to someone else, or may be read by others; DISK where it cannot be made.
    """
    folder = (path or _configured_folder() or _platform_folder()).expanduser().absolute()
    if not os.path.lexists(folder):
        if not create:
            raise KinringError(
                f"there is no data folder at {folder}", "name another with --data-dir", ExitCode.NOT_FOUND
            )
        make_private_folder(folder)
    check_private_folder(folder)
    return folder.resolve()


def runtime_folder(data: Path) -> Path:
    """The folder for what ends with the login: socket, lock, handles. One for each data folder, 0700, ours.

    Under $XDG_RUNTIME_DIR where that is a private folder of ours, else under the temporary folder, where
    another user may have taken the name: that is refused. Where a socket's path would be too long, under /tmp.
    Raises KinringError as `data_folder` does.
    """
    short = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    base, shared = _login_folder(), f"kinring-{_our_uid()}"
    parents = [base / "kinring"] if base else []
    parents += [Path(tempfile.gettempdir()) / shared]
    fitting = [parent for parent in parents if len(os.fsencode(parent / short)) <= MAX_RUNTIME_PATH]
    parent = fitting[0] if fitting else Path("/tmp") / shared  # noqa: S108 - checked below to be ours alone
    for folder in (parent, parent / short):
        if not os.path.lexists(folder):
            make_private_folder(folder)
        check_private_folder(folder)
    return parent / short


def make_private_folder(folder: Path) -> None:
    """Makes `folder` and the parents it lacks, each 0700. One that is there already is left as it is.

    Raises KinringError with code DISK.
    """
    try:
        if not folder.parent.exists():
            make_private_folder(folder.parent)
        os.mkdir(folder, 0o700)
        os.chmod(folder, 0o700)
    except FileExistsError:
        return  # another process was quicker; the caller checks what it made
    except OSError as error:
        raise disk_error(f"cannot make the folder {folder}", error) from None


def check_private_folder(folder: Path) -> None:
    """Raises KinringError with code DAMAGED unless `folder` is a real folder, ours, closed to others."""
    try:
        status = os.lstat(folder)
    except OSError as error:
        raise disk_error(f"cannot look at the folder {folder}", error) from None
    if stat.S_ISLNK(status.st_mode):
        raise KinringError(
            f"{folder} is a symbolic link", "name the folder itself, not a link to it", ExitCode.DAMAGED
        )
    if not stat.S_ISDIR(status.st_mode):
        raise KinringError(f"{folder} is not a folder", "move it away", ExitCode.DAMAGED)
    _check_ours(folder, status, "700")


def write_private(path: Path, data: bytes) -> None:
    """Puts `data` at `path`, 0600, whole or not at all, and on the disk when this returns.

    A link or file that stood there is replaced, never written through. Raises KinringError with code DISK.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise disk_error(f"cannot write {path}", error) from None


def read_private(path: Path, *, limit: int) -> bytes:
    """The bytes of `path`, at most `limit` of them.

    Raises KinringError: NOT_FOUND where there is no file; DAMAGED where it is a link, no ordinary file,
    has a second name, is not ours, may be read by others, or is longer; DISK where reading fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _CLOEXEC)
    except FileNotFoundError:
        raise KinringError(f"there is no file {path}", "", ExitCode.NOT_FOUND) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KinringError(f"{path} is a symbolic link", "move it away", ExitCode.DAMAGED) from None
        raise disk_error(f"cannot read {path}", error) from None
    try:
        status = os.fstat(descriptor)
        # No name at all is fine: it was replaced between our open() and now.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise KinringError(f"{path} is not an ordinary file", "move it away", ExitCode.DAMAGED)
        _check_ours(path, status, "600")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise disk_error(f"cannot read {path}", error) from None
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise KinringError(f"{path} is longer than it can be", "restore it from a backup", ExitCode.DAMAGED)
    return data


def disk_error(what: str, error: OSError) -> KinringError:
    """`what` with the system's reason, as a person is told it."""
    hints = {
        errno.ENOSPC: "free some space and try again",
        errno.EDQUOT: "free some space and try again",
        errno.EROFS: "the disk is mounted read-only",
        errno.EACCES: "check who owns it, and its mode",
        errno.EPERM: "check who owns it, and its mode",
    }
    reason = os.strerror(error.errno) if error.errno else "unknown reason"
    return KinringError(f"{what}: {reason}", hints.get(error.errno or 0, ""), ExitCode.DISK)


def _configured_folder() -> Path | None:
    named = os.environ.get("KINRING_DATA_DIR") or os.environ.get("DATA_DIR")
    return Path(named) if named else None


def _platform_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Kinring"
    local = os.environ.get("LOCALAPPDATA")
    if sys.platform == "win32" and local:
        return Path(local) / "Kinring"
    shared = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path is to be ignored.
    base = Path(shared) if os.path.isabs(shared) else Path.home() / ".local" / "share"
    return base / "kinring"


def _login_folder() -> Path | None:
    """$XDG_RUNTIME_DIR, unless it is another user's (as after `su`) or open to others."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.path.isabs(named):
        return None
    try:
        check_private_folder(Path(named))
    except KinringError:
        return None
    return Path(named)


def _our_uid() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _check_ours(path: Path, status: os.stat_result, mode: str) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: the profile folder's own access list decides
    if status.st_uid != os.geteuid():
        raise KinringError(
            f"{path} belongs to another user", "run as its owner, or use another folder", ExitCode.DAMAGED
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KinringError(
            f"other users may read or write {path}",
            f"chmod {mode} {shlex.quote(str(path))}",
            ExitCode.DAMAGED,
        )


def _sync_folder(folder: Path) -> None:
    """The new name itself must outlive a power cut."""
    if not _DIRECTORY:
        return
    descriptor = os.open(folder, os.O_RDONLY | _DIRECTORY | _CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
