"""Stories of who may do what, and of what is destroyed: told once, plainly, and checked as the storm is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.item import Write
from replication.alarms import SHOWS_LESS
from replication.membership import A_DEVICE, A_PERSON, ADMIN, OWNS, PURGE, READS, WRITER, WRITES
from replication.purge import WAITING_MS
from replication.replica import EntryInfo
from simulations.household import Desk, Holder, Identity, comes_back, recover
from simulations.network import strips, swaps_values
from simulations.oracle import demand
from simulations.quarrels import fresh_laptop
from simulations.store import CountedReplica
from simulations.storm import admit, founded
from simulations.telling import meet, only, says, three_admins, two_laptops
from simulations.world import Device, Snapshot, World, unheard


def _person(device: Device) -> bytes:
    return device.holders[0].person


def _desk(device: Device) -> Desk:
    return device.desks[0]


def _do(world: World, device: Device, kind: str, said: Callable[[Desk], EntryInfo | None], *, powerless: bool = False
        ) -> None:  # fmt: skip
    world.act(device, kind, lambda: [said(_desk(device))], powerless=powerless)


def _tells(device: Device, other: Device) -> None:
    """All that a device has reaches another though one of them is told nothing any more: through a blind peer."""
    entries = device.node.store.rows("SELECT id FROM entries ORDER BY id")
    demand("alive", other.node.ingest([device.node.wire(entry) for (entry,) in entries]).refused is None, "refused")


def duelling_admins(world: World) -> None:
    """Ben and Cleo remove each other, and lower each other, apart: Ben was here before, and Ben stays."""
    first, ben, cleo = three_admins(world)
    _do(world, cleo, "role", lambda desk: desk.set_role(_person(ben), WRITER), powerless=True)
    _do(world, cleo, "propose", lambda desk: desk.propose(A_PERSON, _person(ben)))
    _do(world, ben, "remove", lambda desk: desk.remove(A_PERSON, _person(cleo)))
    _do(world, cleo, "remove", lambda desk: desk.remove(A_DEVICE, ben.identity.id), powerless=True)
    meet(world, first, cleo)
    meet(world, first, ben)
    state = first.node.state()
    demand("authority", _person(ben) in state.people and _person(cleo) not in state.people, "the junior stayed")
    world.calm()


def two_admins_against_one(world: World) -> None:
    """Ben and Cleo together take a fourth admin out, who takes Cleo out apart: the two count more than rank."""
    first, ben, cleo = three_admins(world)
    dora = admit(world, ben, _desk(ben), "dora", ADMIN)
    assert dora is not None
    for device in (first, cleo, dora):
        meet(world, ben, device)
    _do(world, cleo, "propose", lambda desk: desk.propose(A_PERSON, _person(ben)))
    meet(world, cleo, dora)
    proposal = next(iter(dora.node.state().proposals))
    _do(world, cleo, "approve", lambda desk: desk.approve(proposal), powerless=True)
    _do(world, dora, "approve", lambda desk: desk.approve(proposal))
    _do(world, ben, "remove", lambda desk: desk.remove(A_PERSON, _person(dora)))
    _tells(ben, first)
    _tells(dora, first)
    demand("authority", _person(ben) not in first.node.state().people, "one senior won against two admins")
    world.calm()


def concurrent_removals(world: World) -> None:
    """The founder removes Cleo's laptop, Ben removes Cleo, and Cleo a child, all apart: both stand, hers does not."""
    first, ben, cleo = three_admins(world)
    child = admit(world, first, _desk(first), "child", WRITER)
    assert child is not None
    for device in (ben, cleo, child):
        meet(world, first, device)
    place = only(world)
    world.change(cleo, _desk(cleo), *place, {"password": "kanarienvogel that ben has seen"})
    meet(world, cleo, ben)
    _do(world, first, "remove", lambda desk: desk.remove(A_DEVICE, cleo.identity.id))
    _do(world, ben, "remove", lambda desk: desk.remove(A_PERSON, _person(cleo)))
    _do(world, cleo, "remove", lambda desk: desk.remove(A_PERSON, _person(child)))
    _tells(cleo, child)
    meet(world, ben, first)
    _tells(child, first)
    demand("authority", _person(child) in first.node.state().people, "a removed one removed somebody")
    shown = _desk(first).item(*place).fields["password"]
    demand("authority", not shown.endswith("ben has seen"), "one removal cut nothing")
    world.calm()


def back_dated(world: World) -> None:
    """Cleo was removed. From a copy of before that she admits, gives, removes and writes: nobody is impressed."""
    first, ben, cleo = three_admins(world)
    place, old = only(world), Snapshot(cleo, cleo.disk.content())
    child = admit(world, first, _desk(first), "child", WRITER)
    assert child is not None
    _do(world, first, "remove", lambda desk: desk.remove(A_PERSON, _person(cleo)))
    laptop, friend = Identity.make(world.randbytes), Holder.make(world.randbytes)

    def says_so(replica: CountedReplica) -> list[EntryInfo]:
        desk = Desk(replica, cleo.holders[0], world.randbytes, lambda: 0, world.oracle.note)
        made = [desk.admit(laptop, friend, world.discovery, ADMIN)]
        return [*made, desk.write(place[0], [(place[1], Write("password", "", "kanarienvogel of the past"))])]

    world.backdated(old, first, says_so)
    meet(world, first, ben)
    demand("authority", friend.id not in ben.node.state().keyholders, "who was let in by the past is here")
    demand("live", "past" not in _desk(ben).item(*place).fields["password"], "a write of the past counts")
    world.calm()


def replayed_admissions(world: World) -> None:
    """All that was ever said of a removed laptop is told again, to who has heard and to who comes new."""
    first, second = two_laptops(world)
    admission = [first.node.wire(entry) for (entry,) in first.node.store.rows("SELECT id FROM entries ORDER BY id")]
    _do(world, first, "remove", lambda desk: desk.remove(A_DEVICE, second.identity.id))
    result = first.node.ingest(admission)
    demand("authority", result.duplicate == len(admission), "an admission counted twice")
    again = _desk(first).admit_again(second.identity, world.discovery)
    world.act(first, "again", lambda: [_desk(first).append_statement(again)], powerless=True)
    demand("authority", second.identity.id not in first.node.state().devices, "a removed laptop is back")
    world.calm()


def removed_and_blind(world: World) -> None:
    """A removed laptop and a blind peer that was told nothing hand each other everything: it reads nothing new, and
    what it writes counts nowhere."""
    first, second = two_laptops(world)
    blind = admit(world, first, _desk(first), "blind", None, blind=True)
    assert blind is not None
    meet(world, first, blind)
    place = only(world)
    _do(world, first, "remove", lambda desk: desk.remove(A_DEVICE, second.identity.id))
    world.change(first, _desk(first), *place, {"password": "kanarienvogel after the removal"})
    world.change(second, _desk(second), *place, {"password": "kanarienvogel of the removed"})
    meet(world, blind, second)
    meet(world, blind, first)
    _tells(first, second)
    says(_desk(first), place, {"password": "kanarienvogel after the removal"})
    world.calm()


def revoked_apart(world: World) -> None:
    """The founder leaves Ben reading, while Cleo, an owner, makes him an owner apart: he reads. Given back by who has
    heard, what he writes then counts again."""
    first, ben, cleo = three_admins(world)
    vault, record = place = only(world)
    _do(world, first, "share", lambda desk: desk.give_right(vault, _person(cleo), OWNS))
    meet(world, first, cleo)
    world.change(ben, _desk(ben), *place, {"notes": "kanarienvogel unseen"})
    _do(world, first, "revoke", lambda desk: desk.revoke(vault, _person(ben), READS))
    _do(world, cleo, "share", lambda desk: desk.give_right(vault, _person(ben), OWNS))
    meet(world, first, cleo)
    meet(world, first, ben)
    demand("authority", first.node.state().right(vault, _person(ben)) == READS, "a grant apart undid a revocation")
    demand("live", "notes" not in _desk(first).item(*place).fields, "a revocation cut nothing")
    _do(world, cleo, "hand on", lambda desk: desk.grant_missing())
    _do(world, first, "share", lambda desk: desk.give_right(vault, _person(ben), WRITES))
    meet(world, first, ben)
    world.change(ben, _desk(ben), vault, record, {"label": "kanarienvogel given back"})
    world.calm()
    says(_desk(cleo), place, {"label": "kanarienvogel given back"})


def handed_on_after(world: World) -> None:
    """A reader hands a key on as of before a revocation: the right stays as the owner left it."""
    first, ben, cleo = three_admins(world)
    vault, _ = only(world)
    _do(world, first, "epoch", lambda desk: desk.new_epoch(vault))
    meet(world, first, cleo)
    tablet = admit(world, ben, _desk(ben), "tablet", None)
    assert tablet is not None
    meet(world, ben, cleo)
    _do(world, first, "revoke", lambda desk: desk.revoke(vault, _person(ben), READS))
    _do(world, cleo, "hand on", lambda desk: desk.grant_missing())
    meet(world, first, cleo)
    demand("authority", first.node.state().right(vault, _person(ben)) == READS, "a key handed on gave a right")
    world.calm()


def recovery_against_admins(world: World) -> None:
    """Ben and Cleo have gone bad, and together they remove whoever they like; the family's sheet of paper takes both
    out, whatever they say apart from it."""
    first, ben, cleo = three_admins(world)
    child = admit(world, first, _desk(first), "child", WRITER)
    assert child is not None
    meet(world, first, ben)
    meet(world, first, child)
    _do(world, ben, "propose", lambda desk: desk.propose(A_PERSON, _person(child)))
    meet(world, ben, cleo)
    laptop, holder = fresh_laptop(world, first, "sheet")
    gone = [_person(ben), _person(cleo)]
    made: list[EntryInfo] = []

    def by_sheet() -> list[EntryInfo]:
        made.append(recover(laptop.page, world.safe, laptop.identity, holder, gone, world.randbytes, 0))
        return made

    world.act(laptop, "recover", by_sheet)
    laptop.admission = made[0].hash
    proposal = next(iter(cleo.node.state().proposals))
    _do(world, cleo, "approve", lambda desk: desk.approve(proposal))
    meet(world, first, cleo)
    meet(world, first, laptop)
    people = first.node.state().people
    demand("authority", not people.keys() & set(gone), "who was taken out by the recovery key is here")
    demand("authority", _person(child) in people, "what they said apart from the recovery stands")
    demand("authority", people[holder.person].role == ADMIN, "the recovery brought no admin")
    world.calm()


def used_up_sheet(world: World) -> None:
    """A recovery sheet that was used is good for nothing."""
    first, _, _ = three_admins(world)
    used = first.node.state().recovery_key
    for name in ("sheet", "finder"):
        laptop, holder = fresh_laptop(world, first, name)
        made: list[EntryInfo] = []

        def by_sheet(laptop: Device = laptop, holder: Holder = holder, made: list[EntryInfo] = made) -> list[EntryInfo]:
            made.append(recover(laptop.page, world.safe, laptop.identity, holder, [], world.randbytes, 0, used))
            return made

        world.act(laptop, "recover", by_sheet, powerless=name == "finder")
        laptop.admission = made[0].hash
        if name == "sheet":
            meet(world, first, laptop)
    world.calm()


def promoted_late(world: World) -> None:
    """A child who was here before Ben is made an admin after him: Ben is their senior."""
    first = founded(world, second_person=False)
    world.create(first, _desk(first), _desk(first).writable()[0])
    child, ben = (admit(world, first, _desk(first), name, role) for name, role in (("child", WRITER), ("ben", ADMIN)))
    assert child is not None
    assert ben is not None
    _do(world, first, "role", lambda desk: desk.set_role(_person(child), ADMIN))
    for device in (child, ben):
        meet(world, first, device)
    _do(world, child, "remove", lambda desk: desk.remove(A_PERSON, _person(ben)), powerless=True)
    _do(world, ben, "role", lambda desk: desk.set_role(_person(child), WRITER))
    world.calm()


def right_that_was_undone(world: World) -> None:
    """Cleo lets a child write, unseen, and is removed apart: what the child wrote by that does not count."""
    first, ben, cleo = three_admins(world)
    vault, _ = place = only(world)
    child = admit(world, first, _desk(first), "child", WRITER)
    assert child is not None
    _do(world, first, "share", lambda desk: desk.give_right(vault, _person(cleo), OWNS))
    _do(world, first, "share", lambda desk: desk.give_right(vault, _person(child), READS))
    for device in (cleo, child):
        meet(world, first, device)
    _do(world, cleo, "share", lambda desk: desk.give_right(vault, _person(child), WRITES))
    meet(world, cleo, child)
    world.change(child, _desk(child), *place, {"notes": "kanarienvogel by a right that was undone"})
    _do(world, first, "remove", lambda desk: desk.remove(A_PERSON, _person(cleo)))
    meet(world, first, child)
    meet(world, first, ben)
    for device in (first, ben):
        demand("live", "notes" not in _desk(device).item(*place).fields, "a right that was undone was enough")
    world.calm()


def return_by_paper(world: World) -> None:
    """The founder comes back by their kit on another laptop, reads everything, and prints a new kit. A thief uses the
    old one as of before."""
    first, _, cleo = three_admins(world)
    place = only(world)
    for device in (first, cleo):
        _do(world, device, "hand on", lambda desk: desk.grant_missing())
        meet(world, first, cleo)
    old = Snapshot(first, first.disk.content())
    kit = world.safe.kits[first.node.state().papers[_person(first)].sign_key]
    laptop, holder = fresh_laptop(world, first, "back")
    made: list[EntryInfo] = []

    def returns() -> list[EntryInfo]:
        made.extend(comes_back(laptop.page, kit, laptop.identity, holder, world.discovery, 0))
        return made

    world.act(laptop, "by paper", returns)
    laptop.admission = made[0].hash
    says(_desk(laptop), place, {"label": _desk(first).item(*place).fields["label"]})
    world.act(laptop, "paper", lambda: [_desk(laptop).new_paper(world.safe)])
    meet(world, laptop, cleo)
    thief, theirs = Identity.make(world.randbytes), Holder.make(world.randbytes)
    world.backdated(old, cleo, lambda replica: comes_back(replica, kit, thief, theirs, world.discovery, 0))
    state = cleo.node.state()
    demand("authority", theirs.id not in state.keyholders, "a kit that was replaced lets somebody in")
    demand("authority", holder.id in state.keyholders, "who came back by the kit is out")
    world.calm()


def _written_over(world: World, device: Device) -> tuple[tuple[bytes, bytes], bytes]:
    """A password that was replaced: (place, the older one's dot)."""
    place = only(world)
    world.change(device, _desk(device), *place, {"password": "kanarienvogel older"})
    older = next(op.dot for op in _desk(device).lookup(*place) if op.name == "password")
    world.change(device, _desk(device), *place, {"password": "kanarienvogel newer"})
    return place, older


def _has(device: Device, dot: bytes) -> bool:
    op = device.node.op_of(dot)
    return bool(device.node.store.row("SELECT 1 FROM ops WHERE id = ? AND length(sealed) > 0", (op,)))


def _months(world: World, *devices: Device, signing: bool = True) -> None:
    """All say what they hold, meet, and look twice what is due, a month apart."""
    for device in devices if signing else ():
        world.sign(device)
    for device in devices[1:] * 2:
        meet(world, devices[0], device)
    for _ in range(2):
        for device in devices:
            world.housekeep(device)
            device.clock_offset += WAITING_MS + 1


def purge_undone(world: World) -> None:
    """Cleo destroys a history, and is removed within the month by who had not heard: it stays."""
    first, ben, cleo = three_admins(world)
    place, older = _written_over(world, first)
    meet(world, first, cleo)
    meet(world, first, ben)
    _do(world, cleo, "purge", lambda desk: desk.purge(*place))
    meet(world, cleo, ben)
    for device in (first, cleo, ben):
        world.sign(device)
    meet(world, cleo, ben)
    world.housekeep(ben)
    _do(world, first, "remove", lambda desk: desk.remove(A_PERSON, _person(cleo)))
    _months(world, first, ben)
    demand("kept", _has(first, older) and _has(ben, older), "a purge that was undone destroyed something")
    world.calm()


def purge_waits(world: World) -> None:
    """A history is destroyed while a laptop lies in a drawer that shows the older password: nothing goes until it has
    said that it has the newer one."""
    first, second = two_laptops(world)
    third = admit(world, first, _desk(first), "third", None)
    assert third is not None
    place, older = _written_over(world, first)
    meet(world, first, second)
    _do(world, first, "purge", lambda desk: desk.purge(*place))
    _months(world, first, second)
    demand("kept", _has(first, older) and _has(second, older), "it did not wait for the laptop in the drawer")
    meet(world, first, third)
    _months(world, first, second, third)
    demand("kept", not _has(first, older) and not _has(third, older), "what everybody had purged is here")
    says(_desk(third), place, {"password": "kanarienvogel newer"})
    world.calm()


def purge_is_not_hasty(world: World) -> None:
    """All have heard of a purge; a day later everything is still here, for whoever wants to undo it."""
    first, second = two_laptops(world)
    place, older = _written_over(world, first)
    _do(world, first, "purge", lambda desk: desk.purge(*place))
    for _ in range(2):
        meet(world, first, second)
        for device in (first, second):
            world.sign(device)
    for _ in range(2):
        for device in (first, second):
            world.housekeep(device)
            device.clock_offset += 24 * 3_600_000
    demand("kept", _has(first, older), "a purge did not wait its month")
    world.calm()


def purge_of_what_shows(world: World) -> None:
    """An owner purges what everybody shows, by a floor that did not replace it: it stays."""
    first, second = two_laptops(world)
    place, older = _written_over(world, first)
    newer = next(op.dot for op in _desk(first).lookup(*place) if op.name == "password")
    label = next(op.dot for op in _desk(first).lookup(*place) if op.name != "password")
    for floor in ([newer], [label], [older]):
        _do(world, first, "purges live", lambda desk, f=floor: desk.say([[PURGE, place[0], [[newer, f]]]]))  # type: ignore[misc]
    meet(world, first, second)
    _months(world, first, second)
    says(_desk(second), place, {"password": "kanarienvogel newer"})
    demand("kept", _has(first, newer) and _has(second, newer), "what everybody shows was destroyed")
    world.calm()


def purged_and_cut(world: World) -> None:
    """Ben wrote over a password unseen, Cleo purged the older one by his; then Ben is cut off: what he wrote stands,
    for what it replaced is gone."""
    first, ben, cleo = three_admins(world)
    place = only(world)
    world.change(first, _desk(first), *place, {"password": "kanarienvogel older"})
    for device in (ben, cleo):
        meet(world, first, device)
    world.change(ben, _desk(ben), *place, {"password": "kanarienvogel of ben"})
    meet(world, ben, cleo)
    _do(world, cleo, "purge", lambda desk: desk.purge(*place))
    _do(world, first, "remove", lambda desk: desk.remove(A_PERSON, _person(ben)))
    meet(world, first, cleo)
    says(_desk(first), place, {"password": "kanarienvogel of ben"})
    world.calm()


def base_taken_away(world: World) -> None:
    """A record's first values are destroyed where they were written over, by a copy without them."""
    first, second = two_laptops(world)
    place, _ = _written_over(world, first)
    before = _desk(first).item(*place)
    world.act(first, "thin", lambda: _desk(first).thin(*place))
    meet(world, first, second)
    _months(world, first, second)
    for device in (first, second):
        item = _desk(device).item(*place)
        demand("views", (item.fields, item.tags) == (before.fields, before.tags), "a copy says something else")
    world.calm()


def another_copy(world: World) -> None:
    """A member seals another value as a copy: while the first ciphertext is here, that is what reads."""
    first, ben, _ = three_admins(world)
    place, _ = _written_over(world, first)
    meet(world, first, ben)
    shown = next(op.dot for op in _desk(ben).lookup(*place) if op.name == "password")
    lie = [(place[1], Write("password", "", "kanarienvogel of a liar"))]
    _do(world, ben, "copies", lambda desk: desk.write(place[0], lie, copies=[shown]))
    _do(world, ben, "seal again", lambda desk: desk.seal_again(*place))
    meet(world, first, ben)
    for device in (first, ben):
        says(_desk(device), place, {"password": "kanarienvogel newer"})
        demand("live", not _desk(device).item(*place).conflicts, "a copy is a write")
    world.calm()


def values_kept_back(world: World) -> None:
    """A peer hands on entries without their values: they are fetched from another."""
    first, second = two_laptops(world)
    third = admit(world, first, _desk(first), "third", None)
    assert third is not None
    place, _ = _written_over(world, first)
    connection = world.connect(first, third)
    assert connection is not None
    connection.tamper = strips(world.random)
    world.run_for(10_000)
    connection.cut()
    meet(world, first, second)
    meet(world, second, third)
    says(_desk(third), place, {"password": "kanarienvogel newer"})
    world.calm()


def another_value(world: World) -> None:
    """A peer answers with another value than it was asked for: nobody takes it."""
    first, second = two_laptops(world)
    place, _ = _written_over(world, first)
    connection = world.connect(first, second)
    assert connection is not None
    connection.tamper = swaps_values(world.random)
    world.run_for(10_000)
    connection.cut()
    meet(world, first, second)
    says(_desk(second), place, {"password": "kanarienvogel newer"})
    world.calm()


def claims_to_know_less(world: World) -> None:
    """A laptop's next entry says that its author has heard of nothing yet: nobody can un-hear a removal."""
    first, second = two_laptops(world)
    world.change(second, _desk(second), *only(world), {"notes": "kanarienvogel"})
    meet(world, first, second)
    made = unheard(world, second, _desk(second))
    assert made is not None
    world.oracle.forbidden.add(made[0])
    demand("authority", first.node.ingest([made[1]]).refused is not None, "an author may forget what they knew")
    world.calm()


def rollback_reported(world: World) -> None:
    """A laptop says what it holds, and shows less the next time: who had heard it says so."""
    first, second = two_laptops(world)
    place, old = only(world), Snapshot(second, second.disk.content())
    world.change(second, _desk(second), *place, {"notes": "kanarienvogel lost and found"})
    world.sign(second)
    meet(world, first, second)
    demand("honest", not first.node.alarms(), "an honest laptop is reported")
    world.restore(old, known=False)
    meet(world, first, second)
    alarms = [(alarm.kind, alarm.subject) for alarm in first.node.alarms()]
    demand("honest", alarms == [(SHOWS_LESS, second.identity.id)], "nobody says that a laptop was put back")
    says(_desk(second), place, {"notes": "kanarienvogel lost and found"})
    world.calm()


def update_midway(world: World) -> None:
    """One laptop has a newer program: the other keeps what it does not understand, hands it on, and after the update
    shows it without fetching anything."""
    first, second = two_laptops(world)
    place = only(world)
    world.update(second)
    write = (place[1], Write("password", "", "kanarienvogel in the next version"))
    _do(world, second, "newer", lambda desk: desk.write(place[0], [write], newer=True))
    _do(world, second, "newer kind", lambda desk: desk.say_newer([200, b"new"]), powerless=True)
    world.change(second, _desk(second), *place, {"notes": "kanarienvogel after it"})
    meet(world, first, second)
    third = admit(world, first, _desk(first), "third", None)
    assert third is not None
    meet(world, first, third)
    world.shut(second, drawer=True)
    for device in (first, third):
        reasons = sorted(reason for _, reason in device.node.put_aside())
        demand("kept", reasons == ["unknown version"] * 2, "what is not understood yet was not kept")
        says(_desk(device), place, {"notes": "kanarienvogel after it"})
        world.update(device)
        says(_desk(device), place, {"password": "kanarienvogel in the next version"})
    world.calm()


STORIES: Final[tuple[Callable[[World], None], ...]] = (
    duelling_admins, two_admins_against_one, concurrent_removals, back_dated, replayed_admissions, removed_and_blind,
    revoked_apart, handed_on_after, recovery_against_admins, used_up_sheet, promoted_late,
    right_that_was_undone, return_by_paper, purge_undone, purge_waits,
    purge_is_not_hasty, purge_of_what_shows, purged_and_cut, base_taken_away, another_copy, values_kept_back,
    another_value, claims_to_know_less, rollback_reported, update_midway,
)  # fmt: skip
