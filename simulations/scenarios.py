"""Stories with a name: each is told once, plainly, and ends with the same checkers as the storm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.item import Write
from replication.membership import READER, WRITER, WRITES
from simulations.household import Desk
from simulations.network import without_log
from simulations.oracle import demand
from simulations.storm import admit, founded
from simulations.world import Device, Snapshot, World


def _meet(world: World, a: Device, b: Device) -> None:
    """Two devices meet for as long as they have something to say to each other."""
    connection = world.connect(a, b)
    demand("alive", connection is not None, "a device is off")
    world.run_until_quiet(lambda: None)
    if connection is not None:
        connection.cut()


def _two_laptops(world: World) -> tuple[Device, Device]:
    """One person's two laptops, with one item in a vault that both hold."""
    first = founded(world, second_person=False)
    second = admit(world, first, first.desks[0], "second", None)
    demand("alive", second is not None, "no second laptop")
    assert second is not None
    world.create(first, first.desks[0], first.desks[0].writable()[0])
    _meet(world, first, second)
    return first, second


def _only(world: World) -> tuple[bytes, bytes]:
    """The vault and the record that the story is about."""
    vault = next(iter(world.records))
    return vault, world.records[vault][0]


def _says(desk: Desk, place: tuple[bytes, bytes], fields: dict[str, str]) -> None:
    item = desk.item(*place)
    for name, value in fields.items():
        demand("views", item.fields.get(name) == value, f"{name} is not what was written")


def through_the_blind_one(world: World) -> None:
    """Two laptops that are never on together; a device that can read nothing carries what they write."""
    first, second = _two_laptops(world)
    blind = admit(world, first, first.desks[0], "blind", None, blind=True)
    assert blind is not None
    place = _only(world)
    _meet(world, first, blind)
    world.shut(second, drawer=True)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel from the first"})
    _meet(world, first, blind)
    world.shut(first, drawer=True)
    second.drawer = False
    world.restart(second)
    _meet(world, blind, second)
    _says(second.desks[0], place, {"password": "kanarienvogel from the first"})
    world.change(second, second.desks[0], *place, {"notes": "kanarienvogel from the second"})
    _meet(world, second, blind)
    world.shut(second, drawer=True)
    first.drawer = False
    world.restart(first)
    _meet(world, blind, first)
    _says(first.desks[0], place, {"notes": "kanarienvogel from the second"})
    second.drawer = False
    world.calm()


def same_field_apart(world: World) -> None:
    """Both change one password, neither knowing of the other, one with a clock in 2099: both are kept and
    shown, and the next write settles it."""
    first, second = _two_laptops(world)
    place = _only(world)
    second.clock_offset = 73 * 365 * 86_400_000
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel one"})
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel two"})
    _meet(world, first, second)
    for device in (first, second):
        conflict = device.desks[0].item(*place).conflicts.get("password", [])
        shown = [candidate.value for candidate in conflict]
        demand(
            "views",
            shown == ["kanarienvogel two", "kanarienvogel one"],
            f"{device.name} hides one of two values",
        )
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel three"})
    _meet(world, first, second)
    demand("views", not second.desks[0].item(*place).conflicts, "a settled conflict is shown")
    world.calm()


def delete_against_edit(world: World) -> None:
    """One deletes what the other changes: it comes back, marked, with the change."""
    first, second = _two_laptops(world)
    place = _only(world)
    world.act(first, "delete", lambda: [first.desks[0].delete(*place)])
    demand("views", first.desks[0].item(*place).deleted, "a deleted item is not in the bin")
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel kept"})
    _meet(world, first, second)
    for device in (first, second):
        item = device.desks[0].item(*place)
        demand("views", item.revived and not item.deleted, f"a change is in the bin at {device.name}")
        _says(device.desks[0], place, {"password": "kanarienvogel kept"})
    world.calm()


def restored_backup(world: World) -> None:
    """A month-old backup is put back: nothing that was copied elsewhere is lost, and a new log begins."""
    first, second = _two_laptops(world)
    place = _only(world)
    backup = Snapshot(first, first.disk.content())
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel after the backup"})
    _meet(world, first, second)
    world.restore(backup, known=True)
    world.change(first, first.desks[0], *place, {"notes": "kanarienvogel after the restore"})
    _meet(world, first, second)
    said = {"password": "kanarienvogel after the backup", "notes": "kanarienvogel after the restore"}
    for device in (first, second):
        _says(device.desks[0], place, said)
    world.calm()


def cloned_store(world: World) -> None:
    """A machine is copied and nobody notices: both write the same log. Both branches count, both go on."""
    first, second = _two_laptops(world)
    place = _only(world)
    twin = world.clone(Snapshot(first, first.disk.content()), known=False)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel of the one"})
    world.change(twin, twin.desks[0], *place, {"notes": "kanarienvogel of the other"})
    world.change(twin, twin.desks[0], *place, {"label": "kanarienvogel"})
    # The one whose branch is shorter cannot tell at first whether the other is ahead or on another branch.
    _meet(world, first, twin)
    demand(
        "agree", first.node.frontier() == twin.node.frontier(), "the twins do not know each other's branch"
    )
    for device in (first, twin):
        world.change(device, device.desks[0], *place, {"website_url": f"kanarienvogel {device.name}"})
    world.calm()
    forked = first.node.store.row("SELECT count(*) FROM logs WHERE forked")[0]
    demand("forks", forked == 1, f"{forked} logs forked: the twins did not go on with logs of their own")
    said = {"password": "kanarienvogel of the one", "notes": "kanarienvogel of the other"}
    _says(second.desks[0], place, said)


def late_joiner(world: World) -> None:
    """A laptop that lay in a drawer, and one that joins after all the rest: both end with all there is."""
    first, second = _two_laptops(world)
    vault, record = _only(world)
    world.shut(second, drawer=True)
    for number in range(12):
        world.change(first, first.desks[0], vault, record, {"password": f"kanarienvogel {number}"})
        world.create(first, first.desks[0], vault)
    third = admit(world, first, first.desks[0], "third", WRITER)
    assert third is not None
    _meet(world, first, third)
    person = third.holders[0].person
    world.act(first, "share", lambda: [first.desks[0].give_right(vault, person, WRITES)])
    world.calm()
    for device in (second, third):
        _says(device.desks[0], (vault, record), {"password": "kanarienvogel 11"})


def reader_who_writes(world: World) -> None:
    """A child may read; its program writes all the same. Every copy keeps it, none lets it count."""
    first, second = _two_laptops(world)
    vault, record = _only(world)
    child = admit(world, first, first.desks[0], "child", READER)
    assert child is not None
    _meet(world, first, child)
    person = child.holders[0].person
    world.act(first, "share", lambda: [first.desks[0].give_right(vault, person, WRITES)])
    _meet(world, first, child)
    before = child.desks[0].item(vault, record).fields["password"]
    write = Write("password", "", "kanarienvogel of the child")
    world.act(child, "no right", lambda: [child.desks[0].write(vault, [(record, write)], hostile="right")])
    takes = child.desks[0].grab_right(vault)
    world.act(child, "takes", lambda: [child.desks[0].append_statement(takes)], powerless=True)
    _meet(world, child, second)
    world.calm()
    for device in (first, second, child):
        _says(device.desks[0], (vault, record), {"password": before})
        demand("authority", len(device.node.put_aside()) == 2, "what was put aside is not to be seen")


def two_forks(world: World) -> None:
    """Two copied machines, and each side is behind in the log that the other side forked. What either sends
    needs what the other may think it has: they must agree by themselves, with nobody else in sight."""
    first, second = _two_laptops(world)
    place = _only(world)
    world.change(second, second.desks[0], *place, {"notes": "kanarienvogel"})
    _meet(world, first, second)
    twins = [world.clone(Snapshot(device, device.disk.content()), known=False) for device in (first, second)]

    def opens_epoch(device: Device) -> None:
        world.act(device, "epoch", lambda: [device.desks[0].new_epoch(place[0])])
        world.change(device, device.desks[0], *place, {"password": world.text()})

    for device, other_twin in ((first, twins[1]), (second, twins[0])):
        opens_epoch(device)
        _meet(world, device, other_twin)
        opens_epoch(other_twin)
        opens_epoch(other_twin)
        _meet(world, device, other_twin)
    for twin in twins:
        world.shut(twin, drawer=True)

    def both() -> None:
        if not world.connections:
            world.connect(first, second)

    world.run_until_quiet(both)
    demand("agree", first.node.frontier() == second.node.frontier(), "two that met do not hold the same")
    world.calm()


def withheld_log(world: World) -> None:
    """A peer keeps one log back: what replaced a value comes before the value itself."""
    first, second = _two_laptops(world)
    third = admit(world, first, first.desks[0], "third", None)
    assert third is not None
    place = _only(world)
    _meet(world, first, second)
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel replaced"})
    withheld = second.page.store.row("SELECT log FROM own_logs")[0]
    _meet(world, second, first)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel that replaces"})
    connection = world.connect(first, third)
    assert connection is not None
    connection.tamper = without_log(withheld)
    world.run_for(10_000)
    connection.cut()
    _says(third.desks[0], place, {"password": "kanarienvogel that replaces"})
    _meet(world, second, third)
    demand("live", not third.desks[0].item(*place).conflicts, "a replaced value came back")
    world.calm()


SCENARIOS: Final[dict[str, Callable[[World], None]]] = {
    story.__name__.replace("_", "-"): story
    for story in (
        through_the_blind_one, same_field_apart, delete_against_edit, restored_backup, cloned_store,
        late_joiner, reader_who_writes, withheld_log, two_forks,
    )
}  # fmt: skip
