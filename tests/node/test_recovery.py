"""Coming back from paper: a person by their kit, a family by its code, out of any device's data folder."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.family import NewPerson
from node.identity import load_or_create
from node.keyholder import recovery_code, unlock
from node.opening import open_replica
from node.people import introduce, remove_device
from node.recovery import Place, recover_family, recover_me, take_copy, who_is_there
from node.secret_keys import SecretKeys
from node.sharing import share
from node.unlock import family_recovery_key, parse_recovery_code
from replication.membership import ADMIN, READS, WRITER
from tests.kin import sync
from tests.node.cli_home import PASSWORD, Home
from tests.node.house import House
from tests.node.laptops import Laptop, join

NEW = "orchard thimble walrus canyon"
NOW = 1_900_000_100_000


def place_in(folder: Path, source: Path) -> Place:
    """A new device's data folder, with what is in another's."""
    folder.mkdir(mode=0o700)
    theirs = open_replica(source)
    device = load_or_create(folder, secrets.token_bytes)
    return take_copy(theirs, source, open_replica(folder), device, SecretKeys(folder))


def me_again(place: Place, code: str, secret: bytes) -> Laptop:
    who = NewPerson("anna", NEW, "Anna")
    unlocked = recover_me(place, who, parse_recovery_code(code), secret, device_name="new one",
                          random_bytes=secrets.token_bytes, now=NOW)  # fmt: skip
    return Laptop(place.device, place.replica, unlocked)


def family_again(place: Place, code: str, *remove: bytes):
    admitted = recover_family(
        place, NewPerson("eve", NEW, "Eve"), parse_recovery_code(code), remove,
        device_name="new one", random_bytes=secrets.token_bytes, now=NOW,
    )  # fmt: skip
    return Laptop(place.device, place.replica, admitted.unlocked), admitted


@pytest.fixture
def codes(house_made_once) -> tuple[str, str]:
    """What stands on the founder's paper: her recovery code, and the family's."""
    return house_made_once[1].recovery_code, house_made_once[1].family_recovery_key


# A person


def test_the_kit_brings_a_person_back_who_reads_all_they_could(laptop: Laptop, house: House, tmp_path: Path, codes):
    item = laptop.vaults.create_item(laptop.vaults.vaults()[0].vault_id, {"label": "Bank", "password": "kept"})
    place = place_in(tmp_path / "new", house.folder)
    back = me_again(place, codes[0], SecretKeys(house.folder).load(house.anna))
    assert back.password(item) == "kept"
    assert back.vaults.names()[house.anna] == "Anna"
    assert back.vaults.names()[back.device.id[:16]] == "new one"
    assert place.replica.membership().reasons == {}
    back.vaults.update_item(item, {"password": "changed on the new one"})
    remove_device(back.replica, back.unlocked, back.vaults, laptop.device.id)
    sync(back.replica, laptop.replica)
    assert back.device.id in laptop.replica.state().devices
    assert laptop.device.id not in laptop.replica.state().devices, "the burnt one is out"
    again = unlock(place.replica, SecretKeys(tmp_path / "new"), username="anna", password=NEW)
    assert again.keyholder == back.unlocked.keyholder
    assert recovery_code(place.replica, again) == codes[0], "the same kit can be printed again"
    place_again = place_in(tmp_path / "third", tmp_path / "new")
    assert me_again(place_again, codes[0], SecretKeys(house.folder).load(house.anna)).password(item)


def test_a_kit_that_fits_nobody(house: House, tmp_path: Path, codes):
    place = place_in(tmp_path / "new", house.folder)
    secret = SecretKeys(house.folder).load(house.anna)
    before = place.replica.last_id()
    for code, key in ((codes[1], secret), (codes[0], bytes(32)), (codes[0], SecretKeys(house.folder).load(house.ben))):
        with pytest.raises(KinringError) as refused:
            me_again(place, code, key)
        assert refused.value.code is ExitCode.WRONG_PASSWORD
    assert place.replica.last_id() == before


def test_a_person_comes_back_out_of_a_blind_copy_without_its_device_key_only_if_they_are_an_admin(
    house: House, tmp_path: Path, house_made_once, codes
):
    bare = tmp_path / "bare"
    shutil.copytree(house.folder, bare)
    for file in ("device.key", "device.pem"):
        (bare / file).unlink()
    shutil.rmtree(bare / "secret-keys")
    place = place_in(tmp_path / "bens", bare)
    assert place.discovery_keys == []
    with pytest.raises(KinringError) as refused:
        me_again(place, house_made_once[2].recovery_code, SecretKeys(house.folder).load(house.ben))
    assert "device.key" in refused.value.hint
    anna = me_again(place_in(tmp_path / "annas", bare), codes[0], SecretKeys(house.folder).load(house.anna))
    assert len(anna.replica.state().discovery) == 1, "she makes a key by which they find one another"


def test_a_copy_that_was_tampered_with_is_refused(house: House, tmp_path: Path):
    theirs = open_replica(house.folder)
    theirs.store.run("UPDATE entries SET head = zeroblob(length(head)) WHERE id = 2")
    theirs.close()
    with pytest.raises(KinringError) as refused:
        place_in(tmp_path / "new", house.folder)
    assert refused.value.code is ExitCode.DAMAGED


def test_who_was_cut_off_before_the_end_hands_over_what_was_said(house: House, tmp_path: Path, codes):
    place = place_in(tmp_path / "new", house.folder)
    me_again(place, codes[0], SecretKeys(house.folder).load(house.anna))
    theirs = open_replica(house.folder)
    assert place.device.id not in theirs.state().devices
    with pytest.raises(KinringError) as refused:
        take_copy(theirs, house.folder, place.replica, place.device, place.secrets)
    assert "handed" in refused.value.hint
    assert place.device.id in theirs.state().devices


def test_who_belongs_to_a_family_already_does_not_come_back(house: House, tmp_path: Path):
    with pytest.raises(KinringError) as refused:
        take_copy(open_replica(house.folder), house.folder, house.open(), house.device(), SecretKeys(house.folder))
    assert refused.value.code is ExitCode.CONFLICT
    (tmp_path / "empty").mkdir(mode=0o700)
    open_replica(tmp_path / "empty").close()
    with pytest.raises(KinringError) as refused:
        place_in(tmp_path / "new", tmp_path / "empty")
    assert refused.value.code is ExitCode.NOT_FOUND


# The family


def test_the_family_s_code_makes_a_new_admin_and_takes_out_who_is_named(
    laptop: Laptop, house: House, tmp_path: Path, codes
):
    laptop.vaults.grant_missing()
    ben = Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))
    tablet = join(ben, tmp_path / "tablet")
    place = place_in(tmp_path / "new", house.folder)
    there = {one.person: one for one in who_is_there(place.replica)}
    assert (there[house.anna].role, there[house.ben].role) == (ADMIN, WRITER)
    assert there[house.ben].devices == [tablet.device.id]
    back, admitted = family_again(place, codes[1], house.anna)
    state = place.replica.state()
    assert place.replica.membership().reasons == {}
    assert (state.people[back.unlocked.person].role, house.anna in state.people) == (ADMIN, False)
    assert laptop.device.id not in state.devices
    assert len(back.vaults.vaults()) == 5, "vaults of her own"
    next_key = family_recovery_key(parse_recovery_code(admitted.family_recovery_key))
    assert bytes(next_key.verify_key) == state.recovery_key
    # The code opened no vault: names come when somebody who is left hands the directory's key on.
    assert back.vaults.names() == {back.unlocked.person: "eve"}
    sync(place.replica, tablet.replica)
    tablet.vaults.grant_missing()
    tablet.vaults.create_item(tablet.vaults.vaults()[0].vault_id, {"label": "a new key is made first"})
    tablet.vaults.set_names({tablet.device.id[:16]: "tablet"})
    sync(place.replica, tablet.replica)
    introduce(back.replica, back.unlocked, back.vaults, "new one")
    sync(place.replica, tablet.replica)
    assert {"eve", "new one", "tablet"} <= set(tablet.vaults.names().values())
    vault = tablet.vaults.vaults()[0].vault_id
    share(tablet.replica, tablet.unlocked, tablet.vaults, vault, back.unlocked.person, READS)
    sync(place.replica, tablet.replica)
    assert len(back.vaults.vaults()) == 6


def test_a_family_of_nobody_but_who_came_back(house: House, tmp_path: Path, codes):
    place = place_in(tmp_path / "new", house.folder)
    back, _ = family_again(place, codes[1], house.anna, house.ben)
    assert set(place.replica.state().people) == {back.unlocked.person}
    assert set(back.vaults.names().values()) == {"Eve", "new one"}
    item = back.vaults.create_item(back.vaults.vaults()[0].vault_id, {"label": "a new start", "password": "x"})
    assert back.password(item) == "x"


def test_the_family_s_code_is_used_up(house: House, tmp_path: Path, codes):
    first = place_in(tmp_path / "one", house.folder)
    _, admitted = family_again(first, codes[1], house.anna)
    second = place_in(tmp_path / "two", tmp_path / "one")
    for wrong in (codes[1], codes[0], admitted.recovery_code):
        with pytest.raises(KinringError) as refused:
            family_again(second, wrong)
        assert refused.value.code is ExitCode.WRONG_PASSWORD
    with pytest.raises(KinringError) as refused:
        family_again(second, admitted.family_recovery_key, house.anna)
    assert refused.value.code is ExitCode.NOT_FOUND, "she is out already"
    back, _ = family_again(second, admitted.family_recovery_key)
    assert len(second.replica.state().people) == 3
    assert second.replica.state().people[back.unlocked.person].role == ADMIN


# At the command line


@pytest.fixture
def new(tmp_path: Path) -> Home:
    (tmp_path / "new").mkdir(mode=0o700)
    return Home(tmp_path / "new", {"KINRING_MASTER_PASSWORD": NEW})


def write(path: Path, text: str) -> str:
    path.write_text(text + "\n")
    return str(path)


def test_coming_back_at_the_command_line(home: Home, new: Home, tmp_path: Path):
    account = home.save("--label", "Bank", "--password", "kept")
    kit = home.run("kit", "--json").json
    code, key = write(tmp_path / "code", kit["recovery_code"]), write(tmp_path / "key", kit["secret_key"])
    words = ["recover-me", "--from", str(home.data), "--master-username", "Anna", "--recovery-code-file", code]
    wrong = new.run(*words, "--secret-key-file", write(tmp_path / "wrong", "00" * 32), "--json").error
    assert wrong["code"] == 4
    back = new.run(*words, "--secret-key-file", key, "--device-name", "new one", "--json").json
    assert (back["user_id"], back["vaults"]) == (kit["user_id"], 5)
    shown = new.run("get-account", "--account-id", account, "--field", "password")
    assert shown.out == "kept\n"
    names = {one["name"] for one in home.run("status", "--json").json["devices"]}
    assert names == {"annas laptop", "new one"}, "it was handed back to the folder that it came from"
    assert new.run("kit", "--json").json["recovery_code"] == kit["recovery_code"]
    again = new.run(*words, "--secret-key-file", key, "--json").error
    assert again["code"] == 7
    secrets_ = [kit["recovery_code"], kit["secret_key"], NEW, PASSWORD]
    for file in new.data.rglob("*"):
        assert "secret-keys" in str(file) or not file.is_file() or not _holds(file, secrets_)


def _holds(file: Path, texts: list[str]) -> bool:
    return any(text.encode() in file.read_bytes() for text in texts)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["recover-me", "--from", "NOWHERE"], 5),
        (["recover-me", "--from", "OWN"], 2),
        (["recover-me", "--from", "HOME"], 3),
        (["recover-family", "--from", "HOME"], 3),
        (["recover-family", "--from", "HOME", "--recovery-code-file", "BAD"], 6),
    ],
)
def test_what_is_not_enough_to_come_back(home: Home, new: Home, tmp_path: Path, words, code):
    there = {"NOWHERE": str(tmp_path / "nowhere"), "OWN": str(new.data), "HOME": str(home.data)}
    there["BAD"] = write(tmp_path / "bad", "00000-00000-00000-00000-00000-00000-00001")
    new.data.mkdir(mode=0o700)
    spoken = [there.get(word, word) for word in words]
    assert new.run(*spoken, "--master-username", "anna", "--json").error["code"] == code
    assert new.run(*spoken, "--json").error["code"] == 2


def test_a_family_is_recovered_at_the_command_line(new: Home, tmp_path: Path):
    (tmp_path / "old").mkdir(mode=0o700)
    old = Home(tmp_path / "old")
    made = old.run("create-user", "--master-username", "anna", "--json", KINRING_MASTER_PASSWORD=PASSWORD).json
    device = old.run("status", "--json").json["devices"][0]["device_id"]
    code = write(tmp_path / "code", made["family_recovery_key"].lower())
    words = ["recover-family", "--from", str(old.data), "--master-username", "eve", "--recovery-code-file", code]
    assert new.run(*words, "--json").error["code"] == 2, "whom to take out?"
    assert new.run(*words, "--remove", "00000000", "--yes", "--json").error["code"] == 5
    assert new.run(*words, "--remove", made["user_id"][:8], "--json").error["code"] == 2, "sure?"
    back = new.run(*words, "--remove", made["user_id"][:8], "--yes", "--json")
    assert back.json["removed"] == [made["user_id"]]
    assert back.json["family_recovery_key"] != made["family_recovery_key"]
    assert "burn" in back.err
    assert new.run("get-user", "--json").json["role"] == "admin"
    assert len(new.run("get-vaults", "--json").json) == 5
    assert device not in [one["device_id"] for one in old.run("status", "--json").json["devices"]]
    third = tmp_path / "third"
    third.mkdir(mode=0o700)
    used = Home(third, {"KINRING_MASTER_PASSWORD": NEW}).run(*words, "--yes", "--json").error
    assert (used["code"], "newest" in used["error"]) == (4, True)
