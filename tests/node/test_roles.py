"""Roles, and two admins together: who may take out whom, and what a reader wrote before."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.people import approve_removal, proposals, propose_removal, remove_person, set_role
from node.sharing import share
from replication.membership import A_DEVICE, A_PERSON, ADMIN, READER, WRITER, WRITES
from tests.kin import sync
from tests.node.house import House
from tests.node.laptops import Laptop, join
from tests.node.test_sharing import BEN, as_ben, two

__all__ = ["two"]


@pytest.fixture
def ben(laptop: Laptop, house: House) -> Laptop:
    """Ben, signed in on Anna's laptop."""
    laptop.vaults.grant_missing()
    return Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))


def refusal(act) -> KinringError:
    with pytest.raises(KinringError) as refused:
        act()
    assert refused.value.hint
    return refused.value


def test_a_person_is_made_an_admin_and_a_writer_again(laptop: Laptop, ben: Laptop, house: House):
    assert refusal(lambda: set_role(ben.replica, ben.unlocked, house.ben, ADMIN)).code is ExitCode.FORBIDDEN
    set_role(laptop.replica, laptop.unlocked, house.ben, ADMIN)
    assert laptop.replica.state().people[house.ben].role == ADMIN
    assert refusal(lambda: set_role(laptop.replica, laptop.unlocked, house.ben, ADMIN)).code is ExitCode.CONFLICT
    refused = refusal(lambda: set_role(ben.replica, ben.unlocked, house.anna, READER))
    assert (refused.code, "propose-removal" in refused.hint) == (ExitCode.FORBIDDEN, True)
    set_role(laptop.replica, laptop.unlocked, house.ben, WRITER)
    assert laptop.replica.state().people[house.ben].role == WRITER
    refused = refusal(lambda: set_role(laptop.replica, laptop.unlocked, house.anna, WRITER))
    assert "set-role" in refused.hint
    assert refusal(lambda: set_role(laptop.replica, laptop.unlocked, b"?" * 16, ADMIN)).code is ExitCode.NOT_FOUND


def test_what_a_new_reader_writes_apart_does_not_count(laptop: Laptop, ben: Laptop, house: House, tmp_path: Path):
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "ours"})
    share(laptop.replica, laptop.unlocked, laptop.vaults, vault, house.ben, WRITES)
    ben.vaults.update_item(item, {"username": "ben"})
    tablet = join(ben, tmp_path / "tablet")
    assert set_role(laptop.replica, laptop.unlocked, house.ben, READER) > 0
    tablet.vaults.update_item(item, {"password": "from the train"})
    sync(laptop.replica, tablet.replica)
    for one in (laptop, tablet):
        assert (one.password(item), one.vaults.item(item).fields["username"]) == ("ours", "ben")
    assert refusal(lambda: tablet.vaults.update_item(item, {"password": "again"})).code is ExitCode.FORBIDDEN
    set_role(laptop.replica, laptop.unlocked, house.ben, WRITER)
    sync(laptop.replica, tablet.replica)
    tablet.vaults.update_item(item, {"password": "allowed again"})
    sync(laptop.replica, tablet.replica)
    assert laptop.password(item) == "allowed again"


def carol(laptop: Laptop, tmp_path: Path) -> Laptop:
    """A third person, let in by Anna on a device of her own; not an admin yet."""
    import secrets

    from nacl.public import PrivateKey
    from nacl.signing import SigningKey

    from node.identity import load_or_create
    from node.keyholder import Unlocked
    from replication.membership import DEVICE, FULL, KEYHOLDER, PERSON, device_proof, keyholder_proof
    from replication.replica import Draft, Position

    (tmp_path / "carol").mkdir(mode=0o700)
    device = load_or_create(tmp_path / "carol", secrets.token_bytes)
    key, box = SigningKey.generate(), PrivateKey.generate()
    keyholder, person = bytes(key.verify_key), b""
    family = laptop.replica.family or b""

    def make(position: Position) -> Draft:
        nonlocal person
        admission = [PERSON, WRITER, keyholder[:16]]
        person = position.statement_hash([], admission)[:16]
        box_key = bytes(device.box.public_key)
        proof = device.sign.sign(device_proof(family, device.id, box_key, device.leaf, person)).signature
        owned = keyholder_proof(family, person, device.id, keyholder, bytes(box.public_key))
        return Draft(statements=(
            admission,
            [DEVICE, device.id, box_key, device.leaf, FULL, person, b"x" * 48, proof],
            [KEYHOLDER, person, device.id, keyholder, bytes(box.public_key), key.sign(owned).signature],
        ))  # fmt: skip

    laptop.replica.append(laptop.unlocked.keyholder, laptop.unlocked.sign, make, 1_900_000_000_000)
    laptop.vaults.grant_missing()
    return Laptop(device, laptop.replica, Unlocked("carol", person, keyholder, b"", key, box))


def test_two_admins_together_remove_their_senior(laptop: Laptop, ben: Laptop, house: House, tmp_path: Path):
    third = carol(laptop, tmp_path)
    vault = laptop.vaults.create_vault("Household")
    item = laptop.vaults.create_item(vault, {"label": "Bank", "password": "ours"})
    for person in (house.ben, third.unlocked.person):
        set_role(laptop.replica, laptop.unlocked, person, ADMIN)
        share(laptop.replica, laptop.unlocked, laptop.vaults, vault, person, WRITES)
    tablet = join(ben, tmp_path / "tablet")
    alone = refusal(lambda: remove_person(ben.replica, ben.unlocked, ben.vaults, house.anna))
    assert (alone.code, "propose-removal" in alone.hint) == (ExitCode.FORBIDDEN, True)
    proposal = propose_removal(ben.replica, ben.unlocked, A_PERSON, house.anna)
    assert house.anna in laptop.replica.state().people, "a proposal alone changes nothing"
    assert [one.person for one in proposals(ben.replica).values()] == [house.ben]
    own = refusal(lambda: approve_removal(ben.replica, ben.unlocked, ben.vaults, proposal))
    assert (own.code, "another admin" in own.hint) == (ExitCode.FORBIDDEN, True)
    assert refusal(lambda: approve_removal(laptop.replica, laptop.unlocked, laptop.vaults, proposal)).code is (
        ExitCode.FORBIDDEN
    )
    done = approve_removal(third.replica, third.unlocked, third.vaults, proposal)
    assert done.new_keys >= 2, "the directory and the household have new keys"
    assert house.anna not in third.replica.state().people
    assert proposals(third.replica) == {}
    third.vaults.update_item(item, {"password": "without Anna"})
    sync(third.replica, tablet.replica)
    assert tablet.password(item) == "without Anna"


def test_a_proposal_names_somebody_else_who_is_there(laptop: Laptop, ben: Laptop, house: House):
    none = refusal(lambda: propose_removal(laptop.replica, laptop.unlocked, A_DEVICE, b"?" * 32))
    assert none.code is ExitCode.NOT_FOUND
    for what, target in ((A_PERSON, house.anna), (A_DEVICE, laptop.device.id)):
        refused = refusal(lambda w=what, t=target: propose_removal(laptop.replica, laptop.unlocked, w, t))
        assert refused.code is ExitCode.FORBIDDEN
    assert refusal(lambda: propose_removal(ben.replica, ben.unlocked, A_PERSON, house.anna)).code is ExitCode.FORBIDDEN
    gone = refusal(lambda: approve_removal(laptop.replica, laptop.unlocked, laptop.vaults, b"?" * 32))
    assert gone.code is ExitCode.NOT_FOUND


# At the command line


def test_roles_at_the_command_line(two):
    people = {p["name"]: p["user_id"] for p in two.run("status", "--json").json["people"]}
    words = ["set-role", "--user-id", people["Ben"][:8], "--role"]
    asked = two.run(*words, "admin", "--json").error
    assert (asked["code"], "--yes" in asked["error"]) == (2, True)
    assert two.run(*words, "admin", "--yes", "--json").json["role"] == "admin"
    refused = as_ben(two, "set-role", "--user-id", people["Anna"], "--role", "reader").error
    assert (refused["code"], "propose-removal" in refused["hint"]) == (8, True)
    told = two.run("set-role", "--user-id", "ben", "--role", "reader", "--json").json
    assert (told["updated"], told["role"], bool(told["counts_until"])) == (True, "reader", True)
    assert two.run(*words, "reader", "--json").error["code"] == 7
    assert two.run("set-role", "--user-id", "nobody", "--role", "reader", "--json").error["code"] == 5
    assert as_ben(two, "get-user").json["role"] == "reader"


def test_a_removal_is_proposed_and_approved_at_the_command_line(two):
    people = {p["name"]: p["user_id"] for p in two.run("status", "--json").json["people"]}
    two.run("set-role", "--user-id", "ben", "--role", "admin", "--yes")
    for words in ([], ["--user-id", people["Anna"], "--device-id", people["Anna"]]):
        assert two.run("propose-removal", *words, "--json").error["code"] == 2
    assert as_ben(two, "proposals").json == []
    made = as_ben(two, "propose-removal", "--user-id", people["Anna"][:8]).json["proposal_id"]
    (listed,) = two.run("proposals", "--json").json
    assert (listed["proposal_id"], listed["name"], listed["proposed_by"]) == (made, "Anna", "Ben")
    assert "Anna" in two.run("proposals").out
    mine = as_ben(two, "approve-removal", "--proposal-id", made[:8], "--yes").error
    assert (mine["code"], mine["error"]) == (8, "that may not be done: two admins are two people")
    about_me = two.run("approve-removal", "--proposal-id", made[:8], "--yes", "--json").error
    assert (about_me["code"], about_me["error"]) == (8, "that may not be done: not oneself")
    assert two.run("approve-removal", "--proposal-id", made[:8], "--json").error["code"] == 2
    assert two.run("approve-removal", "--proposal-id", "00000000", "--yes", "--json").error["code"] == 5
    assert BEN not in str(listed)
