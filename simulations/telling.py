"""What most stories begin with."""

from __future__ import annotations

from replication.membership import ADMIN, WRITES
from simulations.household import Desk
from simulations.oracle import demand
from simulations.storm import admit, founded
from simulations.world import Device, World


def meet(world: World, a: Device, b: Device) -> None:
    """Two devices meet for as long as they have something to say to each other."""
    connection = world.connect(a, b)
    demand("alive", connection is not None, "a device is off")
    world.run_until_quiet(lambda: None)
    if connection is not None:
        connection.cut()


def two_laptops(world: World) -> tuple[Device, Device]:
    """One person's two laptops, with one item in a vault that both hold."""
    first = founded(world, second_person=False)
    second = admit(world, first, first.desks[0], "second", None)
    demand("alive", second is not None, "no second laptop")
    assert second is not None
    world.create(first, first.desks[0], first.desks[0].writable()[0])
    meet(world, first, second)
    return first, second


def only(world: World) -> tuple[bytes, bytes]:
    """The vault and the record that the story is about."""
    vault = next(iter(world.records))
    return vault, world.records[vault][0]


def says(desk: Desk, place: tuple[bytes, bytes], fields: dict[str, str]) -> None:
    item = desk.item(*place)
    for name, value in fields.items():
        demand("views", item.fields.get(name) == value, f"{name} is not what was written")


def three_admins(world: World) -> tuple[Device, Device, Device]:
    """The founder, and two whom they admitted one after the other, all of whom write one vault."""
    first = founded(world, second_person=False)
    world.create(first, first.desks[0], first.desks[0].writable()[0])
    juniors = []
    for name in ("ben", "cleo"):
        device = admit(world, first, first.desks[0], name, ADMIN)
        assert device is not None
        person = device.holders[0].person
        world.act(first, "share", lambda p=person: [first.desks[0].give_right(only(world)[0], p, WRITES)])  # type: ignore[misc]
        juniors.append(device)
    for device in juniors:
        meet(world, first, device)
    return first, juniors[0], juniors[1]
