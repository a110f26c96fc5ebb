"""The secret key in the system's keyring, or in a file where there is none; never silently anew."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.null import Keyring as ForgetfulKeyring
from keyring.errors import PasswordDeleteError

from node.errors import ExitCode, KinringError
from node.secret_keys import SecretKeys

PERSON, OTHER = b"P" * 16, b"Q" * 16
KEY, NEW = b"\x01" * 32, b"\x02" * 32


class DesktopKeyring(KeyringBackend):
    """A keyring as a desktop has one: entries in a file of its own, and it can be locked."""

    priority = 5

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.locked = False
        self.keeps = True

    def entries(self) -> dict[str, str]:
        if self.locked:
            raise OSError("org.freedesktop.Secret.Error.IsLocked: " + KEY.hex())
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        entries = self.entries()
        if self.keeps:
            self.path.write_text(json.dumps(entries | {f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        entries = self.entries()
        if entries.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError
        self.path.write_text(json.dumps(entries))


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv("KINRING_KEYRING", raising=False)
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


@pytest.fixture
def desktop(tmp_path) -> DesktopKeyring:
    backend = DesktopKeyring(tmp_path / "desktop.json")
    keyring.set_keyring(backend)
    return backend


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data"


def everything_in(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def refusal(action, code: ExitCode) -> None:
    with pytest.raises(KinringError) as caught:
        action()
    assert caught.value.code is code
    assert KEY.hex() not in caught.value.message + caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize("backend", [NoKeyring(), ForgetfulKeyring()], ids=["none", "null"])
def test_without_a_keyring_it_is_a_file_that_nobody_else_may_read(folder, backend):
    keyring.set_keyring(backend)
    assert SecretKeys(folder).save(PERSON, KEY) == "file"
    assert SecretKeys(folder).load(PERSON) == KEY
    path = folder / "secret-keys" / PERSON.hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_with_a_keyring_nothing_of_it_is_on_our_disk(folder, desktop):
    assert SecretKeys(folder).save(PERSON, KEY) == "keyring"
    assert SecretKeys(folder).load(PERSON) == KEY
    assert KEY.hex() not in everything_in(folder)
    assert KEY.hex() in desktop.path.read_text()


def test_a_locked_keyring_is_an_error_and_changes_nothing(folder, desktop):
    keys = SecretKeys(folder)
    keys.save(PERSON, KEY)
    before = everything_in(folder)
    desktop.locked = True
    refusal(lambda: keys.load(PERSON), ExitCode.LOCKED)
    refusal(lambda: keys.save(PERSON, NEW), ExitCode.LOCKED)
    desktop.locked = False
    assert everything_in(folder) == before
    assert keys.load(PERSON) == KEY


def test_a_keyring_that_is_gone_or_empty_is_no_reason_to_start_anew(folder, desktop):
    keys = SecretKeys(folder)
    keys.save(PERSON, KEY)
    keyring.set_keyring(NoKeyring())
    refusal(lambda: keys.load(PERSON), ExitCode.LOCKED)
    keyring.set_keyring(desktop)
    desktop.path.unlink()
    refusal(lambda: keys.load(PERSON), ExitCode.LOCKED)


def test_a_keyring_that_does_not_keep_is_noticed_at_once(folder, desktop):
    desktop.keeps = False
    refusal(lambda: SecretKeys(folder).save(PERSON, KEY), ExitCode.LOCKED)
    refusal(lambda: SecretKeys(folder).load(PERSON), ExitCode.NOT_FOUND)


def test_a_person_who_was_never_here_is_told_apart(folder, desktop):
    SecretKeys(folder).save(PERSON, KEY)
    refusal(lambda: SecretKeys(folder).load(OTHER), ExitCode.NOT_FOUND)


def test_a_new_key_replaces_the_old_entry(folder, desktop):
    keys = SecretKeys(folder)
    keys.save(PERSON, KEY)
    keys.save(OTHER, KEY)
    keys.save(PERSON, NEW)
    assert (keys.load(PERSON), keys.load(OTHER)) == (NEW, KEY)
    assert len(desktop.entries()) == 2


def test_a_data_folder_that_is_moved_keeps_its_key(folder, desktop, tmp_path):
    SecretKeys(folder).save(PERSON, KEY)
    folder.rename(tmp_path / "moved")
    assert SecretKeys(tmp_path / "moved").load(PERSON) == KEY


def test_the_person_may_insist(folder, desktop, monkeypatch):
    keys = SecretKeys(folder)
    monkeypatch.setenv("KINRING_KEYRING", "file")
    assert keys.save(PERSON, KEY) == "file"
    assert desktop.entries() == {}
    monkeypatch.setenv("KINRING_KEYRING", "os")
    assert keys.load(PERSON) == KEY
    assert keys.save(PERSON, KEY) == "keyring"
    assert KEY.hex() not in everything_in(folder)
    monkeypatch.setenv("KINRING_KEYRING", "file")
    refusal(lambda: keys.load(PERSON), ExitCode.LOCKED)
    monkeypatch.setenv("KINRING_KEYRING", "os")
    keyring.set_keyring(NoKeyring())
    refusal(lambda: keys.save(OTHER, KEY), ExitCode.LOCKED)
    monkeypatch.setenv("KINRING_KEYRING", "somewhere")
    refusal(lambda: keys.save(OTHER, KEY), ExitCode.INVALID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file",
        "file \n",
        "file 00\n",
        f"file {'0' * 63}x\n",
        f"file {'00 ' * 32}\n",
        "keyring\n",
        "other x\n",
        "\xff",
    ],
)
def test_a_damaged_file_is_an_error(folder, text):
    SecretKeys(folder).save(PERSON, KEY)
    (folder / "secret-keys" / PERSON.hex()).write_text(text, "latin-1")
    refusal(lambda: SecretKeys(folder).load(PERSON), ExitCode.DAMAGED)


def test_links_and_open_modes_are_refused(folder, tmp_path):
    SecretKeys(folder).save(PERSON, KEY)
    path = folder / "secret-keys" / PERSON.hex()
    os.chmod(path, 0o644)
    refusal(lambda: SecretKeys(folder).load(PERSON), ExitCode.DAMAGED)
    os.chmod(path, 0o600)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refusal(lambda: SecretKeys(folder).load(PERSON), ExitCode.DAMAGED)
    os.chmod(folder / "secret-keys", 0o740)
    refusal(lambda: SecretKeys(folder).load(OTHER), ExitCode.DAMAGED)
