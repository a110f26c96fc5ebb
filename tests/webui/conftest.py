"""A founded family, and a browser without scripts that knows both halves of a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from node.keyholder import Unlocked, unlock_with_key
from node.vault import Vaults
from tests.e2e.pages import PASSWORD, USERNAME, found_family, open_vaults
from webui import create_app
from webui.desk import Desk

PORT = 8080
ORIGIN = f"http://localhost:{PORT}"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Visitor:
    """What the page's own script sends."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self.token = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, data: dict[str, object] | None = None, **headers: str) -> TestResponse:
        return self._ask(
            "POST", path, data or {}, {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", **headers}
        )

    def _ask(
        self, method: str, path: str, data: dict[str, object] | None, headers: dict[str, str]
    ) -> TestResponse:
        if self.token:
            headers = {"X-Kinring-Token": self.token, **headers}
        response = self.client.open(path, method=method, data=data, headers=headers, base_url=ORIGIN)
        self.token = response.headers.get("X-Kinring-Token", self.token)
        return response

    def sign_in(self) -> None:
        assert self.post("/unlock", {"username": USERNAME, "password": PASSWORD}).status_code == 200


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Unlocked]:
    """A founded data folder and its founder's keys: one Argon2 for all tests."""
    folder = tmp_path_factory.mktemp("family")
    folder.chmod(0o700)
    return folder, found_family(folder)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KINRING_KEYRING", "file")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def folder(family: tuple[Path, Unlocked], tmp_path: Path) -> Path:
    """A copy of the family's folder for one test."""
    copy = tmp_path / "data"
    shutil.copytree(family[0], copy)
    copy.chmod(0o700)
    return copy


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(folder: Path, runtime: Path, clock: Clock) -> Iterator[Desk]:
    desk = Desk(folder, runtime, clock=clock)
    yield desk
    desk.close()


@pytest.fixture
def app(desk: Desk) -> Flask:
    return create_app(desk, port=PORT)


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    """Somebody without a session."""
    return Visitor(app)


@pytest.fixture
def anna(app: Flask, desk: Desk, family: tuple[Path, Unlocked]) -> Visitor:
    """Anna, signed in; without the price of Argon2."""
    visitor = Visitor(app)
    unlocked = unlock_with_key(desk.replica, family[1].person, family[1].unlock_key)
    cookie, visitor.token = desk.begin(unlocked)
    visitor.client.set_cookie(f"kinring-{PORT}", cookie, domain="localhost")
    return visitor


@pytest.fixture
def vaults(folder: Path, family: tuple[Path, Unlocked], desk: Desk) -> Iterator[Vaults]:
    """The same folder as another process sees it."""
    vaults = open_vaults(folder, family[1])
    yield vaults
    vaults._replica.close()


@pytest.fixture
def personal(vaults: Vaults) -> str:
    return next(view.vault_id for view in vaults.vaults() if view.title == "Personal")
