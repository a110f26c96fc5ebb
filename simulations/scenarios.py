"""Stories with a name: each is told once, plainly, and ends with the same checkers as the storm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.item import Write
from replication.membership import A_DEVICE, A_PERSON, ADMIN, READER, UNLOCK, WRITER, WRITES
from simulations.network import forges_frontiers, without_log
from simulations.oracle import demand
from simulations.stories import STORIES
from simulations.storm import admit
from simulations.telling import meet, only, says, three_admins, two_laptops
from simulations.world import Device, Snapshot, World


def through_the_blind_one(world: World) -> None:
    """Two laptops that are never on together; a device that can read nothing carries what they write."""
    first, second = two_laptops(world)
    blind = admit(world, first, first.desks[0], "blind", None, blind=True)
    assert blind is not None
    place = only(world)
    meet(world, first, blind)
    world.shut(second, drawer=True)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel from the first"})
    meet(world, first, blind)
    world.shut(first, drawer=True)
    second.drawer = False
    world.restart(second)
    meet(world, blind, second)
    says(second.desks[0], place, {"password": "kanarienvogel from the first"})
    world.change(second, second.desks[0], *place, {"notes": "kanarienvogel from the second"})
    meet(world, second, blind)
    world.shut(second, drawer=True)
    first.drawer = False
    world.restart(first)
    meet(world, blind, first)
    says(first.desks[0], place, {"notes": "kanarienvogel from the second"})
    second.drawer = False
    world.calm()


def same_field_apart(world: World) -> None:
    """Both change one password, neither knowing of the other, one with a clock in 2099: both are kept and
    shown, and the next write settles it."""
    first, second = two_laptops(world)
    place = only(world)
    second.clock_offset = 73 * 365 * 86_400_000
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel one"})
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel two"})
    meet(world, first, second)
    for device in (first, second):
        conflict = device.desks[0].item(*place).conflicts.get("password", [])
        shown = [candidate.value for candidate in conflict]
        demand(
            "views",
            shown == ["kanarienvogel two", "kanarienvogel one"],
            f"{device.name} hides one of two values",
        )
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel three"})
    meet(world, first, second)
    demand("views", not second.desks[0].item(*place).conflicts, "a settled conflict is shown")
    world.calm()


def delete_against_edit(world: World) -> None:
    """One deletes what the other changes: it comes back, marked, with the change."""
    first, second = two_laptops(world)
    place = only(world)
    world.act(first, "delete", lambda: [first.desks[0].delete(*place)])
    demand("views", first.desks[0].item(*place).deleted, "a deleted item is not in the bin")
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel kept"})
    meet(world, first, second)
    for device in (first, second):
        item = device.desks[0].item(*place)
        demand("views", item.revived and not item.deleted, f"a change is in the bin at {device.name}")
        says(device.desks[0], place, {"password": "kanarienvogel kept"})
    world.calm()


def restored_backup(world: World) -> None:
    """A month-old backup is put back: nothing that was copied elsewhere is lost, and a new log begins."""
    first, second = two_laptops(world)
    place = only(world)
    backup = Snapshot(first, first.disk.content())
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel after the backup"})
    meet(world, first, second)
    world.restore(backup, known=True)
    world.change(first, first.desks[0], *place, {"notes": "kanarienvogel after the restore"})
    meet(world, first, second)
    said = {"password": "kanarienvogel after the backup", "notes": "kanarienvogel after the restore"}
    for device in (first, second):
        says(device.desks[0], place, said)
    world.calm()


def cloned_store(world: World) -> None:
    """A machine is copied and nobody notices: both write the same log. Both branches count, both go on."""
    first, second = two_laptops(world)
    place = only(world)
    twin = world.clone(Snapshot(first, first.disk.content()), known=False)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel of the one"})
    world.change(twin, twin.desks[0], *place, {"notes": "kanarienvogel of the other"})
    world.change(twin, twin.desks[0], *place, {"label": "kanarienvogel"})
    # The one whose branch is shorter cannot tell at first whether the other is ahead or on another branch.
    meet(world, first, twin)
    demand(
        "agree", first.node.frontier() == twin.node.frontier(), "the twins do not know each other's branch"
    )
    for device in (first, twin):
        world.change(device, device.desks[0], *place, {"website_url": f"kanarienvogel {device.name}"})
    world.calm()
    forked = first.node.store.row("SELECT count(*) FROM logs WHERE forked")[0]
    demand("forks", forked == 1, f"{forked} logs forked: the twins did not go on with logs of their own")
    said = {"password": "kanarienvogel of the one", "notes": "kanarienvogel of the other"}
    says(second.desks[0], place, said)


def late_joiner(world: World) -> None:
    """A laptop that lay in a drawer, and one that joins after all the rest: both end with all there is."""
    first, second = two_laptops(world)
    vault, record = only(world)
    world.shut(second, drawer=True)
    for number in range(12):
        world.change(first, first.desks[0], vault, record, {"password": f"kanarienvogel {number}"})
        world.create(first, first.desks[0], vault)
    third = admit(world, first, first.desks[0], "third", WRITER)
    assert third is not None
    meet(world, first, third)
    person = third.holders[0].person
    world.act(first, "share", lambda: [first.desks[0].give_right(vault, person, WRITES)])
    world.calm()
    for device in (second, third):
        says(device.desks[0], (vault, record), {"password": "kanarienvogel 11"})


def reader_who_writes(world: World) -> None:
    """A child may read; its program writes all the same. Every copy keeps it, none lets it count."""
    first, second = two_laptops(world)
    vault, record = only(world)
    child = admit(world, first, first.desks[0], "child", READER)
    assert child is not None
    meet(world, first, child)
    person = child.holders[0].person
    world.act(first, "share", lambda: [first.desks[0].give_right(vault, person, WRITES)])
    meet(world, first, child)
    before = child.desks[0].item(vault, record).fields["password"]
    write = Write("password", "", "kanarienvogel of the child")
    world.act(child, "no right", lambda: [child.desks[0].write(vault, [(record, write)], hostile="right")])
    takes = child.desks[0].grab_right(vault)
    world.act(child, "takes", lambda: [child.desks[0].append_statement(takes)], powerless=True)
    meet(world, child, second)
    world.calm()
    for device in (first, second, child):
        says(device.desks[0], (vault, record), {"password": before})
        demand("authority", len(device.node.put_aside()) == 2, "what was put aside is not to be seen")


def two_forks(world: World) -> None:
    """Two copied machines, and each side is behind in the log that the other side forked. What either sends
    needs what the other may think it has: they must agree by themselves, with nobody else in sight."""
    first, second = two_laptops(world)
    place = only(world)
    world.change(second, second.desks[0], *place, {"notes": "kanarienvogel"})
    meet(world, first, second)
    twins = [world.clone(Snapshot(device, device.disk.content()), known=False) for device in (first, second)]

    def opens_epoch(device: Device) -> None:
        world.act(device, "epoch", lambda: [device.desks[0].new_epoch(place[0])])
        world.change(device, device.desks[0], *place, {"password": world.text()})

    for device, other_twin in ((first, twins[1]), (second, twins[0])):
        opens_epoch(device)
        meet(world, device, other_twin)
        opens_epoch(other_twin)
        opens_epoch(other_twin)
        meet(world, device, other_twin)
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
    first, second = two_laptops(world)
    third = admit(world, first, first.desks[0], "third", None)
    assert third is not None
    place = only(world)
    meet(world, first, second)
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel replaced"})
    withheld = second.page.store.row("SELECT log FROM own_logs")[0]
    meet(world, second, first)
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel that replaces"})
    connection = world.connect(first, third)
    assert connection is not None
    connection.tamper = without_log(withheld)
    world.run_for(10_000)
    connection.cut()
    says(third.desks[0], place, {"password": "kanarienvogel that replaces"})
    meet(world, second, third)
    demand("live", not third.desks[0].item(*place).conflicts, "a replaced value came back")
    world.calm()


def stolen_laptop(world: World) -> None:
    """A laptop is stolen while both write offline. What its owner's other device had seen counts, what the thief
    writes does not, not through a blind peer either, and the owner's last evening on it can be taken in."""
    first, second = two_laptops(world)
    blind = admit(world, first, first.desks[0], "blind", None, blind=True)
    third = admit(world, first, first.desks[0], "third", ADMIN)
    assert blind is not None
    assert third is not None
    vault, record = place = only(world)
    person = third.holders[0].person
    world.act(first, "share", lambda: [first.desks[0].give_right(vault, person, WRITES)])
    for device in (second, blind, third):
        meet(world, first, device)
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel seen"})
    meet(world, second, first)
    world.change(second, second.desks[0], *place, {"notes": "kanarienvogel of the last evening"})
    evening = max(second.disk.hashes(), key=lambda digest: len(world.oracle.written[digest].seen))
    old = set(first.desks[0].keys()[vault])
    world.act(first, "remove", lambda: [first.desks[0].remove(A_DEVICE, second.identity.id)])
    demand("secret", first.desks[0].state().writable_epoch(vault) not in old, "no new key after a removal")
    world.change(second, second.desks[0], *place, {"password": "kanarienvogel of the thief"})
    tablet = admit(world, second, second.desks[0], "tablet", None)
    assert tablet is not None
    meet(world, second, tablet)
    if tablet.desks[0].writable():
        world.create(tablet, tablet.desks[0], vault)
    meet(world, second, blind)
    meet(world, tablet, blind)
    meet(world, blind, first)
    demand("authority", world.connect(first, second) is None, "a removed device is let in")
    says(first.desks[0], place, {"password": "kanarienvogel seen"})
    demand("authority", "notes" not in first.desks[0].item(*place).fields, "a write beyond the cut counts")
    log = world.oracle.written[evening].log
    world.act(first, "take in", lambda: [first.desks[0].take_in(log, evening)])
    says(first.desks[0], place, {"notes": "kanarienvogel of the last evening"})
    again = first.desks[0].admit_again(second.identity, world.discovery)
    world.act(first, "again", lambda: [first.desks[0].append_statement(again)], powerless=True)
    exposed = min(old)
    write = Write("password", "", "kanarienvogel under the old key")
    world.act(first, "stale", lambda: [first.desks[0].write(vault, [(record, write)], hostile="stale", stale=exposed)])
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel new"})
    world.calm()
    says(third.desks[0], place, {"password": "kanarienvogel new", "notes": "kanarienvogel of the last evening"})


def two_admins_fall_out(world: World) -> None:
    """Ben removes Cleo, and the founder Ben, none having heard of the other: Cleo stays, with what she wrote, and Ben's
    attempt at his senior is nothing."""
    first, ben, cleo = three_admins(world)
    place = only(world)
    person = {device: device.holders[0].person for device in (first, ben, cleo)}
    world.change(cleo, cleo.desks[0], *place, {"notes": "kanarienvogel of cleo"})
    world.act(ben, "remove", lambda: [ben.desks[0].remove(A_PERSON, person[first])], powerless=True)
    world.act(cleo, "remove", lambda: [cleo.desks[0].remove(A_PERSON, person[ben])], powerless=True)
    world.act(ben, "remove", lambda: [ben.desks[0].remove(A_PERSON, person[cleo])])
    world.change(ben, ben.desks[0], *place, {"password": "kanarienvogel of ben"})
    world.act(first, "remove", lambda: [first.desks[0].remove(A_PERSON, person[ben])])
    blind = admit(world, first, first.desks[0], "blind", None, blind=True)
    assert blind is not None
    meet(world, ben, blind)
    meet(world, blind, first)
    demand("authority", person[cleo] in first.node.state().people, "the junior's removal won")
    world.calm()
    says(first.desks[0], place, {"notes": "kanarienvogel of cleo"})


def keys_changed_apart(world: World) -> None:
    """Two who each open a new key apart; whoever writes next joins them, and all read all."""
    first, ben, cleo = three_admins(world)
    place = only(world)
    for device in (first, ben):
        world.act(device, "epoch", lambda d=device: [d.desks[0].new_epoch(place[0])])  # type: ignore[misc]
        world.change(device, device.desks[0], *place, {"password": f"kanarienvogel of {device.name}"})
    meet(world, first, ben)
    demand("secret", first.desks[0].state().writable_epoch(place[0]) is None, "two keys are in force")
    world.change(first, first.desks[0], *place, {"password": "kanarienvogel of both"})
    meet(world, first, cleo)
    world.calm()
    for device in (ben, cleo):
        says(device.desks[0], place, {"password": "kanarienvogel of both"})
        demand("secret", device.desks[0].state().writable_epoch(place[0]) is not None, "the keys are not joined")


def cut_before_its_head(world: World) -> None:
    """The removal arrives before what its author had seen of the removed one: that counts once it comes, and what the
    removed one wrote later and another built on does not bring back what it had replaced."""
    first, ben, cleo = three_admins(world)
    place = only(world)
    world.change(ben, ben.desks[0], *place, {"password": "kanarienvogel one"})
    world.change(ben, ben.desks[0], *place, {"notes": "kanarienvogel two"})
    meet(world, ben, first)
    world.change(ben, ben.desks[0], *place, {"password": "kanarienvogel unseen"})
    meet(world, ben, cleo)
    world.change(cleo, cleo.desks[0], *place, {"password": "kanarienvogel of cleo"})
    fresh = admit(world, first, first.desks[0], "fresh", None)
    assert fresh is not None
    person = ben.holders[0].person
    world.act(first, "remove", lambda: [first.desks[0].remove(A_PERSON, person)])
    withheld = ben.page.store.row("SELECT log FROM own_logs")[0]
    connection = world.connect(first, fresh)
    assert connection is not None
    connection.tamper = without_log(withheld)
    world.run_for(10_000)
    connection.cut()
    demand("live", not fresh.desks[0].item(*place).fields.get("notes"), "what was withheld is here")
    meet(world, first, fresh)
    says(fresh.desks[0], place, {"notes": "kanarienvogel two", "password": "kanarienvogel one"})
    meet(world, first, cleo)
    says(first.desks[0], place, {"notes": "kanarienvogel two", "password": "kanarienvogel of cleo"})
    demand("live", not first.desks[0].item(*place).conflicts, "what a cut write had replaced came back")
    world.calm()


def forged_frontier(world: World) -> None:
    """Someone in the middle makes a device's signed frontier newer than it is: nobody keeps that."""
    first, second = two_laptops(world)
    meet(world, first, second)
    world.sign(second)
    connection = world.connect(second, first)
    assert connection is not None
    connection.tamper = forges_frontiers(world.random)
    world.run_for(10_000)
    connection.cut()
    world.calm()


def passwords_changed_apart(world: World) -> None:
    """One changes their password on two laptops apart: every copy has both in one order, whichever came first."""
    first, second = two_laptops(world)
    meet(world, first, second)
    for device in (first, second):
        desk = device.desks[0]
        for _ in range(2):
            unlock = [UNLOCK, desk.holder.person, world.randbytes(64), b""]
            world.act(device, "password", lambda d=desk, said=unlock: [d.say([said])])  # type: ignore[misc]
    meet(world, first, second)
    demand("agree", first.node.state() == second.node.state(), "membership differs by what came first")
    world.calm()


def values_moved(world: World) -> None:
    """A member seals a value for one record and puts it at another, or names a key that it is not under: nobody shows
    either, and what was replaced stays in the history."""
    first, second = two_laptops(world)
    vault, record = only(world)
    other = world.create(first, first.desks[0], vault)[0]
    meet(world, first, second)
    for lie, name in (("place", "password"), ("commitment", "notes")):
        write = Write(name, "", "kanarienvogel moved")
        world.act(second, lie, lambda w=write, lie=lie: [  # type: ignore[misc]
            second.desks[0].write(vault, [(record, w)], hostile=lie, elsewhere=other)])  # fmt: skip
    world.calm()


SCENARIOS: Final[dict[str, Callable[[World], None]]] = {
    story.__name__.replace("_", "-"): story
    for story in (
        through_the_blind_one, same_field_apart, delete_against_edit, restored_backup, cloned_store,
        late_joiner, reader_who_writes, withheld_log, two_forks, stolen_laptop, two_admins_fall_out,
        keys_changed_apart, cut_before_its_head, forged_frontier, passwords_changed_apart,
        values_moved, *STORIES,
    )
}  # fmt: skip
