"""Founding a family, coming in, signing in: one transaction each, nothing secret in what replicates."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.family import DEFAULT_VAULTS, NewPerson, admit_person_here, found
from node.identity import load_or_create
from node.keyholder import recovery_code, sign_ins, unlock, unlock_with_key
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.unlock import WrongPassword, family_recovery_key, paper_keys, parse_recovery_code
from node.vault import Vaults
from replication.membership import ADMIN, WRITER
from tests.kin import Author, admit_device, state
from tests.node.house import PASSWORD, House


def test_the_founder_is_an_admin_with_a_directory_and_five_vaults(house: House):
    family = house.open().state()
    assert family.people[house.anna].role == ADMIN
    assert len(family.devices) == 1
    owned = [vault for vault, held in family.vaults.items() if house.anna in held.rights]
    assert len(owned) == len(DEFAULT_VAULTS)
    assert family.directory not in owned
    assert house.open().put_aside() == []


def test_founding_is_one_entry_of_statements_and_each_has_effect(house: House):
    replica = house.open()
    assert replica.membership().reasons == {}
    assert replica.store.row("SELECT count(*) FROM entries WHERE vault IS NULL") == (2,)


def test_the_password_opens_the_vaults_and_another_does_not(house: House):
    replica, keys = house.open(), SecretKeys(house.folder)
    me = unlock(replica, keys, username="ANNA ", password=PASSWORD)
    assert (me.person, me.unlock_key) == (house.anna, house.anna_key)
    for username, password in (("anna", PASSWORD + " "), ("anna", PASSWORD + " two"), ("nobody", PASSWORD)):
        with pytest.raises(WrongPassword):
            unlock(replica, keys, username=username, password=password)


def test_a_copy_of_the_store_without_the_secret_key_opens_for_nobody(house: House):
    replica = house.open()
    for file in (house.folder / "secret-keys").iterdir():
        file.unlink()
    with pytest.raises(KinringError) as told:
        unlock(replica, SecretKeys(house.folder), username="anna", password=PASSWORD)
    assert told.value.hint


def test_a_handles_unlock_key_opens_its_persons_keyholder_alone(house: House):
    replica = house.open()
    assert unlock_with_key(replica, house.ben, house.ben_key).person == house.ben
    for person, key in ((house.anna, house.ben_key), (house.anna, bytes(32)), (b"?" * 16, house.anna_key)):
        with pytest.raises(KinringError) as told:
            unlock_with_key(replica, person, key)
        assert told.value.code is ExitCode.LOCKED


def test_the_recovery_code_can_be_had_again_and_makes_the_paper_keys(house: House, house_made_once):
    replica = house.open()
    code = recovery_code(replica, house.sign_in(replica))
    assert code == house_made_once[1].recovery_code
    paper = paper_keys(parse_recovery_code(code), SecretKeys(house.folder).load(house.anna))
    held = replica.state().papers[house.anna]
    assert (bytes(paper.sign.verify_key), bytes(paper.box.public_key)) == (held.sign_key, held.box_key)
    for vault in replica.state().vaults.values():
        if house.anna in vault.rights:
            assert all(held.sign_key in epoch.sealed for epoch in vault.epochs.values())


def test_the_family_recovery_key_is_on_paper_alone(house: House, house_made_once):
    text = house_made_once[1].family_recovery_key
    code = parse_recovery_code(text)
    key = family_recovery_key(code)
    assert bytes(key.verify_key) == house.open().state().recovery_key
    assert house_made_once[2].family_recovery_key == ""
    for file in house.folder.rglob("*"):
        if file.is_file():
            assert not [secret for secret in (code, bytes(key), text.encode()) if secret in file.read_bytes()]


def test_a_newcomer_comes_in_by_the_permit_as_a_plain_member(house: House):
    replica = house.open()
    assert replica.state().people[house.ben].role == WRITER
    assert sorted(name for name, _, _ in sign_ins(replica)) == ["Ben", "anna"]
    ben = house.vaults(replica, house.ben)
    assert [view.title for view in ben.vaults()] == [title for title, _ in DEFAULT_VAULTS]
    state_ = replica.state()
    assert {v.suite for v in state_.vaults.values() if house.ben in v.rights} == {2}
    assert {v.suite for v in state_.vaults.values() if house.anna in v.rights} == {1}


def newcomer(house: House, name: str = "cleo") -> None:
    admit_person_here(
        house.open(),
        house.device(),
        SecretKeys(house.folder),
        NewPerson(name, PASSWORD),
        random_bytes=secrets.token_bytes,
        now=5,
    )


def test_a_taken_user_name_is_refused_before_anything_is_written(house: House):
    before = house.open().last_id()
    with pytest.raises(KinringError) as told:
        newcomer(house, " Anna")
    assert told.value.code is ExitCode.CONFLICT
    assert house.open().last_id() == before


def test_a_family_of_two_devices_lets_nobody_in_here(house: House):
    replica = house.open()
    anna = house.sign_in(replica)
    phone = Author("phone")
    author = Author("anna")
    author.id, author.key = anna.keyholder, anna.signing_key
    assert state(replica, author, admit_device(replica.family or b"", phone, house.anna)) == ""
    with pytest.raises(KinringError) as told:
        newcomer(house)
    assert told.value.code is ExitCode.FORBIDDEN


@pytest.mark.parametrize("name", ["", "   ", "x" * 257, "a\nb", "\x00"])
def test_a_user_name_has_a_form(house: House, name):
    with pytest.raises(KinringError) as told:
        newcomer(house, name)
    assert told.value.code is ExitCode.INVALID


def test_what_replicates_holds_no_secret_and_no_name(house: House):
    replica = house.open()
    vaults = house.vaults(replica)
    vaults.create_item(vaults.vaults()[0].vault_id, {"label": "Canarybank", "password": "canary-password"})
    me = house.sign_in(replica)
    secret = [
        me.unlock_key,
        bytes(me.signing_key),
        bytes(me.box),
        SecretKeys(house.folder).load(house.anna),
        b"Canarybank",
        b"canary-password",
        b"Annas laptop",
        b"anna",
        b"Personal",
        PASSWORD.encode(),
    ]
    replica.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
    names = [value for value in secret if value == b"anna"]
    for wire in (replica.wire(entry) for (entry,) in replica.store.rows("SELECT id FROM entries")):
        assert not [value for value in secret if value in wire]
    stored = (house.folder / "kinring.db").read_bytes()
    assert [
        value for value in secret if value in stored
    ] == names  # who signs in here stands in the local table


def test_a_pepper_given_by_hand_takes_the_place_of_the_secret_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KINRING_KEYRING", "file")
    folder, pepper = tmp_path / "data", "a pepper of more than thirty-two characters"
    folder.mkdir(mode=0o700)
    replica, keys = open_replica(folder), SecretKeys(folder)
    device = load_or_create(folder, secrets.token_bytes)
    made = found(
        replica,
        device,
        keys,
        NewPerson("anna", PASSWORD, pepper=pepper),
        device_name="x",
        random_bytes=secrets.token_bytes,
        now=5,
    )
    assert "pepper" not in repr(made) + repr(NewPerson("anna", PASSWORD, pepper=pepper))
    assert not list(folder.glob("secret-keys/*"))
    assert (
        unlock(replica, keys, username="anna", password=PASSWORD, pepper=pepper).person
        == made.unlocked.person
    )
    with pytest.raises(WrongPassword):
        unlock(replica, keys, username="anna", password=PASSWORD, pepper=pepper + "!")
    with pytest.raises(KinringError):
        found(
            replica,
            device,
            keys,
            NewPerson("anna", PASSWORD, pepper=pepper),
            device_name="x",
            random_bytes=secrets.token_bytes,
            now=5,
        )


def test_a_founding_cut_short_leaves_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KINRING_KEYRING", "file")
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    device, keys, replica = (
        load_or_create(folder, secrets.token_bytes),
        SecretKeys(folder),
        open_replica(folder),
    )

    def fail(self: Vaults, names: dict[bytes, str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Vaults, "set_names", fail)
        with pytest.raises(KeyboardInterrupt):
            found(
                replica,
                device,
                keys,
                NewPerson("anna", PASSWORD),
                device_name="x",
                random_bytes=secrets.token_bytes,
                now=5,
            )
    assert replica.family is None
    assert sign_ins(replica) == []
    replica.close()
    assert open_replica(folder).last_id() == 0


def test_nothing_secret_shows_in_a_repr(house: House, house_made_once):
    me = house.sign_in(house.open())
    shown = (
        repr(me)
        + repr(house_made_once[1])
        + repr(NewPerson("anna", PASSWORD))
        + repr(replace(me, username="x"))
    )
    assert PASSWORD not in shown
    assert repr(house.anna_key)[2:-1] not in shown
    assert repr(me) == "<secret>"
