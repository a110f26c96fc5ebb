"""A vault for two: who reads it, who writes it, and what is left when the share is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.people import exposure, remove_device, say
from node.sharing import share, shares, unshare
from replication.membership import OWNS, READER, READS, ROLE, WRITES
from tests.kin import sync
from tests.node.house import House
from tests.node.laptops import Laptop, join

BEN = "lantern gravel oboe sixpence"


@pytest.fixture
def ben(laptop: Laptop, house: House) -> Laptop:
    laptop.vaults.grant_missing()
    return Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))


def give(giver: Laptop, vault: str, taker: Laptop, right: int) -> bool:
    return share(giver.replica, giver.unlocked, giver.vaults, vault, taker.unlocked.person, right)


def take(owner: Laptop, vault: str, from_whom: Laptop, right: int = 0):
    return unshare(owner.replica, owner.unlocked, owner.vaults, vault, from_whom.unlocked.person, right)


def titles(laptop: Laptop) -> list[str]:
    return [view.title for view in laptop.vaults.vaults()]


def test_who_is_given_a_vault_reads_all_that_it_ever_held(laptop: Laptop, ben: Laptop):
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "first"})
    laptop.vaults.update_item(item, {"password": "second"})
    assert "Household" not in titles(ben)
    assert give(laptop, vault, ben, READS)
    assert titles(ben).count("Household") == 1
    assert {version.value for version in ben.vaults.history(item, "password")} == {"second", "first"}
    with pytest.raises(KinringError) as refused:
        ben.vaults.update_item(item, {"password": "his"})
    assert refused.value.code is ExitCode.FORBIDDEN
    assert not give(laptop, vault, ben, READS), "nothing new, and no harm"
    assert give(laptop, vault, ben, WRITES)
    ben.vaults.update_item(item, {"password": "third"})
    assert laptop.password(item) == "third"
    me, him = laptop.unlocked.person, ben.unlocked.person
    assert shares(laptop.replica.state(), bytes.fromhex(vault)) == {me: OWNS, him: WRITES}


def test_a_share_goes_to_all_of_a_persons_devices_and_to_their_kit(laptop: Laptop, ben: Laptop, tmp_path: Path):
    tablet = join(ben, tmp_path / "tablet")
    vault = laptop.vaults.create_vault("Household")
    give(laptop, vault, ben, READS)
    sync(laptop.replica, tablet.replica)
    assert "Household" in titles(tablet)
    (epoch,) = laptop.replica.state().vaults[bytes.fromhex(vault)].epochs.values()
    assert laptop.replica.state().papers[ben.unlocked.person].sign_key in epoch.sealed


def test_a_share_that_is_taken_back_gives_the_vault_a_new_key(laptop: Laptop, ben: Laptop):
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "known to Ben"})
    give(laptop, vault, ben, WRITES)
    ben.vaults.update_item(item, {"username": "ben"})
    done = take(laptop, vault, ben)
    assert done.new_key
    assert done.counts_until > 0
    laptop.vaults.update_item(item, {"notes": "not for Ben"})
    assert laptop.vaults.item(item).fields["username"] == "ben", "what he wrote before counts"
    assert "Household" not in titles(ben)
    assert [(e.item_id, e.field) for e in exposure(laptop.replica, laptop.vaults)] == [(item, "password")]
    held = laptop.replica.state().vaults[bytes.fromhex(vault)]
    assert ben.unlocked.keyholder not in held.epochs[held.heads()[0]].sealed
    give(laptop, vault, ben, WRITES)
    assert ben.vaults.item(item).fields["notes"] == "not for Ben"
    ben.vaults.update_item(item, {"username": "ben again"})
    assert laptop.vaults.item(item).fields["username"] == "ben again"


def test_what_is_written_apart_after_it_was_taken_back_does_not_count(laptop: Laptop, ben: Laptop, tmp_path: Path):
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "ours"})
    give(laptop, vault, ben, WRITES)
    tablet = join(ben, tmp_path / "tablet")
    take(laptop, vault, ben, READS)
    tablet.vaults.update_item(item, {"password": "from the train"})
    sync(laptop.replica, tablet.replica)
    assert laptop.password(item) == tablet.password(item) == "ours"
    assert [why for _, why in laptop.replica.put_aside()] == ["beyond the cut of a removal"]
    with pytest.raises(KinringError):
        tablet.vaults.update_item(item, {"password": "once more"})


def test_who_may_share_and_take_back(laptop: Laptop, ben: Laptop):
    vault = laptop.vaults.create_vault("Household")
    give(laptop, vault, ben, WRITES)
    for attempt in (lambda: give(ben, vault, ben, OWNS), lambda: take(ben, vault, laptop)):
        with pytest.raises(KinringError) as refused:
            attempt()
        assert (refused.value.code, "owner" in refused.value.hint) == (ExitCode.FORBIDDEN, True)
    with pytest.raises(KinringError) as refused:
        give(laptop, vault, ben, READS)
    assert refused.value.code is ExitCode.CONFLICT
    assert "--right reads" in refused.value.hint
    give(laptop, vault, ben, OWNS)
    with pytest.raises(KinringError) as refused:
        take(ben, vault, laptop)
    assert refused.value.code is ExitCode.FORBIDDEN
    assert shares(laptop.replica.state(), bytes.fromhex(vault))[laptop.unlocked.person] == OWNS


def test_a_right_is_given_back_but_not_by_the_only_reader(laptop: Laptop, ben: Laptop):
    vault = laptop.vaults.create_vault("Household")
    with pytest.raises(KinringError) as refused:
        take(laptop, vault, laptop)
    assert "delete-vault" in refused.value.hint
    give(laptop, vault, ben, OWNS)
    assert not take(laptop, vault, laptop).new_key, "who has left makes no key"
    assert "Household" not in titles(laptop)
    ben.vaults.create_item(vault, {"label": "under a key of his own"})
    assert len(laptop.replica.state().vaults[bytes.fromhex(vault)].epochs) == 2


def test_a_vault_whose_key_must_change_first_is_shared_under_the_new_one(laptop: Laptop, ben: Laptop, tmp_path: Path):
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "old"})
    phone = join(laptop, tmp_path / "phone")
    remove_device(phone.replica, phone.unlocked, phone.vaults, phone.device.id)
    sync(phone.replica, laptop.replica)
    assert laptop.replica.state().writable_epoch(bytes.fromhex(vault)) is None
    give(laptop, vault, ben, READS)
    assert ben.password(item) == "old"
    assert laptop.replica.state().writable_epoch(bytes.fromhex(vault)) is not None


def test_a_reader_is_given_no_right_to_write(laptop: Laptop, ben: Laptop):
    vault = laptop.vaults.create_vault("Household")
    say(laptop.replica, laptop.unlocked, [[ROLE, ben.unlocked.person, READER, []]])
    with pytest.raises(KinringError) as refused:
        give(laptop, vault, ben, WRITES)
    assert "set-role" in refused.value.hint
    give(laptop, vault, ben, READS)
    assert "Household" in titles(ben)


# At the command line


@pytest.fixture
def two(home):
    """Anna's laptop, with Ben let in on it."""
    made = home.run("create-user", "--master-username", "Ben", KINRING_MASTER_PASSWORD=BEN)
    assert made.code == 0, made.err
    home.environment["KINRING_HANDLE"] = home.run(
        "unlock", "--master-username", "anna", KINRING_MASTER_PASSWORD="violin marmot teaspoon quarry"
    ).out.strip()
    as_ben(home, "unlock")  # now that he has the directory's key, his name is written
    return home


def as_ben(home, *words):
    return home.run(*words, "--master-username", "ben", "--master-password", BEN, "--json")


def test_a_vault_is_shared_and_unshared_at_the_command_line(two):
    vault = two.run("create-vault", "--title", "Household", "--json").json["vault_id"]
    account = two.run("create-account", "--vault-id", vault, "--label", "Bank", "--json").json["account_id"]
    given = two.run("share-vault", "--vault-id", vault, "--target-username", "ben", "--read-only", "--json").json
    assert (given["shared"], given["right"]) == (True, "reads")
    assert as_ben(two, "get-account", "--account-id", account).json["label"] == "Bank"
    assert as_ben(two, "update-account", "--account-id", account, "--label", "x").error["code"] == 8
    people = two.run("get-vault", "--vault-id", vault, "--json").json["people"]
    assert [(p["name"], p["right"]) for p in people] == [("Anna", "owns"), ("Ben", "reads")]
    start = given["user_id"][:8]
    assert two.run("share-vault", "--vault-id", vault, "--target-username", start).out == "Ben now writes it\n"
    assert as_ben(two, "update-account", "--account-id", account, "--label", "Ben's bank").code == 0
    taken = two.run("unshare-vault", "--vault-id", vault, "--target-username", "Ben", "--json").json
    assert (taken["unshared"], taken["right"], taken["new_key"]) == (True, "none", True)
    assert taken["counts_until"]
    assert as_ben(two, "get-account", "--account-id", account).error["code"] == 5
    assert two.run("get-account", "--account-id", account, "--json").json["label"] == "Ben's bank"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["share-vault", "--target-username", "nobody"], 5),
        (["share-vault", "--target-username", "anna"], 7),
        (["share-vault", "--target-username", "ben", "--right", "none"], 2),
        (["share-vault", "--target-username", "ben", "--right", "owns", "--read-only"], 2),
        (["unshare-vault", "--target-username", "ben"], 7),
        (["unshare-vault", "--target-username", "anna"], 8),
    ],
)
def test_shares_that_cannot_be(two, words, code):
    vault = two.vault()
    error = two.run(*words, "--vault-id", vault, "--json").error
    assert error["code"] == code
    assert error["hint"]
    assert two.run(words[0], "--vault-id", "00" * 16, *words[1:3], "--json").error["code"] in (5, 8)
