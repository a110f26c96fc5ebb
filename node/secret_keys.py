"""Where a person's secret key lies on this device: the system's keyring, or a 0600 file where there is none.

One file for each person, secret-keys/<person hex>, says which, so that a keyring that is missing or locked
later is an error and never taken for "no key yet":

    keyring <entry name>
    file <64 hex digits>
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.errors import ExitCode, KinringError
from node.folders import check_private_folder, make_private_folder, read_private, write_private

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE: Final = "Kinring"
_KEY_HEX: Final = 64
_MAX_FILE: Final = 256


class SecretKeys:
    """The secret keys (32 bytes each) of the people who use the data folder `folder`.

    $KINRING_KEYRING: `file` never asks the system's keyring, `os` never writes a key to a file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "secret-keys"

    def load(self, person: bytes) -> bytes:
        """The secret key of `person` (an id of 16 bytes).

        Raises KinringError: NOT_FOUND where this device never had it; LOCKED where the keyring that holds
        it can't be read, or has lost it; DAMAGED where the file is not what `save` wrote.
        """
        place, value = self._read(person)
        if place == "file":
            return _key(value)
        backend = _backend()
        if backend is None:
            raise _locked("the secret key lies in the system's keyring, and there is none here now")
        try:
            stored = backend.get_password(SERVICE, value)
        except Exception as error:  # noqa: BLE001 - each backend has its own; their text is not shown
            raise _locked(f"the system's keyring could not be read ({type(error).__name__})") from None
        if stored is None:
            raise _locked("the system's keyring no longer holds the secret key")
        return _key(stored)

    def save(self, person: bytes, key: bytes) -> str:
        """Keeps `key` for `person` and returns where: 'keyring' or 'file'. An earlier key is replaced last,
        so that a crash leaves one of the two.

        Raises KinringError: LOCKED where there is a keyring and it can't be written; DISK.
        """
        if len(key) != 32:
            raise ValueError("a secret key has 32 bytes")
        make_private_folder(self._folder)
        check_private_folder(self._folder)
        earlier = self._earlier_entry(person)
        backend = _backend()
        if backend is None:
            write_private(self._path(person), f"file {key.hex()}\n".encode())
            return "file"
        # A new entry each time: the earlier one stays whole until the file names this one.
        entry = f"{person.hex()}-{secrets.token_hex(8)}"
        try:
            backend.set_password(SERVICE, entry, key.hex())
            kept = backend.get_password(SERVICE, entry) or ""
        except Exception as error:  # noqa: BLE001
            raise _locked(f"the system's keyring could not be written ({type(error).__name__})") from None
        if not hmac.compare_digest(kept.encode(), key.hex().encode()):
            raise _locked("the system's keyring did not keep the secret key")
        write_private(self._path(person), f"keyring {entry}\n".encode())
        if earlier:
            _forget(backend, earlier)
        return "keyring"

    def _path(self, person: bytes) -> Path:
        if len(person) != 16:
            raise ValueError("a person id has 16 bytes")
        return self._folder / person.hex()

    def _read(self, person: bytes) -> tuple[str, str]:
        path = self._path(person)
        if os.path.lexists(self._folder):
            check_private_folder(self._folder)
        try:
            text = read_private(path, limit=_MAX_FILE).decode("ascii", "replace")
        except KinringError as error:
            if error.code is not ExitCode.NOT_FOUND:
                raise
            raise KinringError(
                "the secret key of this person is not on this device",
                "give the pepper it was made from, if there is one (--device-pepper-key or DEVICE_PEPPER_KEY); "
                "else add the device with an invitation from another one, or use the emergency kit",
                ExitCode.NOT_FOUND,
            ) from None
        place, _, value = text.removesuffix("\n").partition(" ")
        if place not in ("keyring", "file") or not value:
            raise _damaged()
        return place, value

    def _earlier_entry(self, person: bytes) -> str | None:
        if not os.path.lexists(self._path(person)):
            return None
        place, value = self._read(person)
        return value if place == "keyring" else None


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise _damaged() from None
    if len(text) != _KEY_HEX or len(key) != 32:
        raise _damaged()
    return key


def _backend() -> KeyringBackend | None:
    """The system's keyring, or None where a file is to be used."""
    wanted = os.environ.get("KINRING_KEYRING", "")
    if wanted == "file":
        return None
    if wanted not in ("", "os"):
        raise KinringError("KINRING_KEYRING is neither 'os' nor 'file'", "unset it", ExitCode.INVALID)
    import keyring  # here: it takes some 60 ms, and most commands never need it

    backend = keyring.get_keyring()
    # The package's own mark for "fit for use": under 1 are its backends that fail, that forget, and those
    # of others that keep secrets in plain files.
    if backend.priority >= 1:
        return backend
    if wanted == "os":
        raise _locked("KINRING_KEYRING is 'os', but this system has no keyring")
    return None


def _forget(backend: KeyringBackend, entry: str) -> None:
    try:
        backend.delete_password(SERVICE, entry)
    except Exception:  # noqa: BLE001 - the new key is safe already, and nothing names the old one any more
        return


def _locked(message: str) -> KinringError:
    return KinringError(
        message,
        "unlock the keyring and try again, or give the secret key of the emergency kit",
        ExitCode.LOCKED,
    )


def _damaged() -> KinringError:
    return KinringError(
        "the kept secret key is damaged", "give the secret key of the emergency kit", ExitCode.DAMAGED
    )
