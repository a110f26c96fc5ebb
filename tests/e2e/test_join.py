"""A device joins by the command line, as a person does it: invitation, six digits, master password."""

from __future__ import annotations

import pytest

from node.errors import ExitCode
from tests.e2e.conftest import Template
from tests.e2e.family import NAME, Device, Home, runs, same, until

CANARY = "canary-of-the-library"


def test_a_second_device_of_the_same_person_reads_everything(home: Home, laptop: Device):
    item = laptop.save(label="Library", username="anna", password=CANARY, notes="shelf 3")
    new = home.device("desktop", laptop.person)
    laptop.up()
    new.up()
    inviting, text = laptop.invite()
    joining = new.join("-", "--device-name", "Anna's desktop")
    joining.type(text)
    inviting.type(joining.hears("digits"))
    joined, invited = joining.end(), inviting.end()
    assert (joined.code, invited.code) == (0, 0), joined.err + invited.err
    assert invited.json == {
        "admitted": True, "blind": False, "device_id": new.id.hex(), "name": "Anna's desktop"
    }  # fmt: skip
    assert joined.json["joined"]
    assert joined.json["username"] == NAME
    assert joined.json["entries"] == laptop.replica.last_id()
    assert new.open().item(item).fields["password"] == CANARY
    assert {"Anna", "Anna's laptop", "Anna's desktop"} <= set(laptop.open().names().values())
    until(lambda: "Anna's desktop" in new.open().names().values(), "its own name did not come")
    shown = new.run("get-account", "--account-id", item, KINRING_HANDLE=new.handle())
    assert shown.code == 0
    again = new.join(text).end()
    assert (again.code, again.error["error"]) == (
        ExitCode.CONFLICT, "this device belongs to a family already"
    )  # fmt: skip


def test_a_blind_device_holds_the_same_ciphertext_and_no_key(home: Home, laptop: Device):
    laptop.save(label=CANARY, password=CANARY, notes=CANARY)
    pi = home.device("pi")
    laptop.up()
    pi.up()
    inviting, text = laptop.invite()
    joining = pi.join(text, "--blind", "--device-name", "Pi", KINRING_MASTER_PASSWORD="")
    inviting.told("a blind peer, which will read nothing")
    inviting.type(joining.hears("digits"))
    assert joining.end().json["blind"] is True
    assert inviting.end().json["blind"] is True
    until(lambda: same(laptop, pi), "the copies differ")
    assert pi.replica.table()
    state = pi.replica.state()
    epochs = [epoch for vault in state.vaults.values() for epoch in vault.epochs.values()]
    assert epochs
    assert not any(pi.id in epoch.sealed for epoch in epochs)
    assert not any(holder.device == pi.id for holder in state.keyholders.values())
    assert not pi.replica.store.local("sign-in")
    assert not (pi.folder / "secret-keys").exists()


def test_a_second_invitation_is_for_another_device_and_the_first_is_worth_nothing_any_more(
    home: Home, laptop: Device
):
    pi, stranger = home.device("pi"), home.device("stranger")
    for device in (laptop, pi, stranger):
        device.up()
    inviting, text = laptop.invite()
    joining = pi.join(text, "--blind")
    inviting.type(joining.hears("digits"))
    assert (joining.end().code, inviting.end().code) == (0, 0)
    late = stranger.join(text).end()
    assert late.code == ExitCode.PAIRING
    assert "invitation" in late.error["hint"]
    assert stranger.replica.last_id() == 0
    assert stranger.replica.family is None


@pytest.mark.parametrize("typed", ["000000", ""])
def test_wrong_digits_or_none_admit_nobody_and_both_are_told(home: Home, laptop: Device, typed: str):
    new, third = home.device("new"), home.device("third")
    for device in (laptop, new, third):
        device.up()
    before = laptop.replica.frontier()
    inviting, text = laptop.invite()
    joining = new.join(text)
    digits = joining.hears("digits")
    if typed == digits:  # one in a million
        typed = "000001"
    inviting.type(typed)
    invited, joined = inviting.end(), joining.end()
    word = "the digits were wrong" if typed else "the other side said no"
    assert (invited.code, joined.code) == (ExitCode.PAIRING, ExitCode.PAIRING)
    assert word in joined.error["error"]
    assert word in invited.error["error"] or not typed
    assert laptop.replica.frontier() == before
    assert new.replica.family is None
    assert not new.replica.store.local("bootstrap")
    assert third.join(text).end().code == ExitCode.PAIRING  # the photographed code is dead
    assert laptop.replica.frontier() == before


def test_a_wrong_master_password_on_the_new_device_admits_nothing(home: Home, laptop: Device):
    new = home.device("new")
    laptop.up()
    new.up()
    before = laptop.replica.frontier()
    inviting, text = laptop.invite()
    joining = new.join(text, KINRING_MASTER_PASSWORD="not-the-password-at-all")
    inviting.type(joining.hears("digits"))
    assert joining.end().code == ExitCode.WRONG_PASSWORD
    invited = inviting.end()
    assert invited.code == ExitCode.PAIRING
    assert "gave up" in invited.error["error"]
    assert laptop.replica.frontier() == before
    assert new.replica.family is None
    assert not (new.folder / "secret-keys").exists()


def test_what_is_no_invitation_is_said_to_be_none(home: Home, laptop: Device):
    new = home.device("new")
    laptop.up()
    new.up()
    assert new.join("KINRING:nonsense").end().code == ExitCode.PAIRING
    assert new.join("my cat walked over this").end().code == ExitCode.PAIRING
    inviting, text = laptop.invite()
    spot = len(text) // 2
    typo = text[:spot] + ("7" if text[spot] != "7" else "8") + text[spot + 1 :]
    told = new.join(typo).end()
    assert told.code == ExitCode.PAIRING
    assert "a letter is wrong" in told.error["hint"]
    joining = new.join(text.lower().replace("kinring:1", "KINRING:1"))  # as a person types it
    inviting.type(joining.hears("digits"))
    assert joining.end().code == inviting.end().code == 0


def test_who_belongs_to_no_family_cannot_invite(home: Home):
    alone = home.device("alone")
    alone.up()
    assert alone.run("invite").code != 0
    with pytest.raises(Exception, match="belongs to no family yet"):
        alone.ask("invite")


def test_an_invitation_taken_back_is_dead(home: Home, laptop: Device):
    new = home.device("new")
    laptop.up()
    new.up()
    inviting, text = laptop.invite()
    inviting.process.terminate()
    inviting.end()
    assert new.join(text).end().code == ExitCode.PAIRING
    assert new.replica.family is None


@pytest.mark.needs("netns")
def test_both_commands_start_a_node_of_their_own_where_none_runs(
    home: Home, founded: Template, network: list[str]
):
    """The node of `invite` listens everywhere: hence a network of its own."""
    laptop = founded.device(home, "laptop")
    new = home.device("new", founded.person)
    laptop.inside = new.inside = network
    item = laptop.save(label="Library", password=CANARY)
    inviting, text = laptop.invite()
    joining = new.join(text, "--device-name", "Attic")
    inviting.type(joining.hears("digits"))
    joined, invited = joining.end(), inviting.end()
    assert (joined.code, invited.code) == (0, 0), joined.err + invited.err
    assert new.open().item(item).fields["password"] == CANARY
    assert not runs(laptop)
    assert not runs(new)
