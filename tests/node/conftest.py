"""A founded family for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.cli_home import PASSWORD, Home
from tests.node.house import house, house_made_once, vaults
from tests.node.laptops import laptop

__all__ = ["house", "house_made_once", "laptop", "vaults"]


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Anna's device as `create-user` leaves it. Never changed: tests take a copy."""
    home = Home(tmp_path_factory.mktemp("anna"))
    made = home.run(
        "create-user", "--master-username", "anna", "--name", "Anna", "--device-name", "annas laptop",
        KINRING_MASTER_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert made.code == 0, made.err
    return home


@pytest.fixture
def locked(founded: Home, tmp_path: Path) -> Home:
    """A copy of Anna's device; nobody is signed in."""
    return founded.copy(tmp_path / "home")


@pytest.fixture
def home(locked: Home) -> Home:
    """A copy of Anna's device, with her signed in."""
    return locked.unlock()
