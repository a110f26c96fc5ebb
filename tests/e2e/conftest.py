"""One family for all tests, founded and paired once; each test works on copies of its folders."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.family import Device, Home, Person, at_home, forget_addresses, found_family, pair, same, until


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """Short: the path of a socket ends at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path, run_folder: Path) -> Iterator[Home]:
    with at_home(tmp_path, run_folder) as made:
        yield made


@dataclass
class Template:
    folder: Path
    person: Person

    def device(self, home: Home, name: str) -> Device:
        return home.device(name, None if name == "pi" else self.person, like=self.folder / name)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A family of one laptop."""
    folder = tmp_path_factory.mktemp("founded")
    with tempfile.TemporaryDirectory(prefix="kr-") as run, at_home(folder, Path(run)) as made:
        person = found_family(made.device("laptop"))
    return Template(folder, person)


@pytest.fixture(scope="session")
def paired(tmp_path_factory: pytest.TempPathFactory, founded: Template) -> Template:
    """The same family with a second laptop and a blind peer."""
    folder = tmp_path_factory.mktemp("paired")
    with tempfile.TemporaryDirectory(prefix="kr-") as run, at_home(folder, Path(run)) as made:
        laptop = founded.device(made, "laptop")
        desktop, pi = made.device("desktop"), made.device("pi")
        for device in (laptop, desktop, pi):
            device.up()
        pair(laptop, desktop, "Anna's desktop")
        pair(laptop, pi, "Pi", blind=True)
        until(lambda: same(laptop, desktop, pi), "the desktop did not hear of the Pi")
        for device in (laptop, desktop, pi):
            device.down()
            forget_addresses(device)
    return Template(folder, founded.person)


@pytest.fixture
def laptop(home: Home, founded: Template) -> Device:
    """Anna's only device so far."""
    return founded.device(home, "laptop")


@pytest.fixture
def trio_of(home: Home, paired: Template) -> tuple[Device, Device, Device]:
    """Laptop, desktop and the blind Pi. Nothing runs, and nobody knows where the others are."""
    return paired.device(home, "laptop"), paired.device(home, "desktop"), paired.device(home, "pi")


@pytest.fixture
def network() -> Iterator[list[str]]:
    """A network namespace that has loopback alone; how to run a command in it."""
    script = "ip link set lo up && echo up && exec sleep 600"
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"up\n"
    yield ["nsenter", "--target", str(holder.pid), "--net"]
    holder.kill()
    holder.wait()
    holder.stdout.close()
