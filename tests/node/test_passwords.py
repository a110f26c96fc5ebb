"""A master password is changed: here, elsewhere, apart; and the old wrap is in no file any more."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.folders import runtime_folder
from node.handles import create
from node.keyholder import keep_keyholder, recovery_code, unlock, unlock_with_key
from node.passwords import change_password, forget_old_wraps
from node.secret_keys import SecretKeys
from node.unlock import WrongPassword
from replication.encoding import decode
from replication.purge import drop_purged
from tests.kin import sync
from tests.node.cli_home import PASSWORD as HOME_PASSWORD
from tests.node.cli_home import Home
from tests.node.house import PASSWORD, House
from tests.node.laptops import Laptop, join

NEW, NEWER = "orchard thimble walrus canyon", "pelican drizzle anvil teapot"
NOW = 1_900_000_200_000


@pytest.fixture
def keys(house: House) -> SecretKeys:
    return SecretKeys(house.folder)


def change(laptop: Laptop, keys: SecretKeys, old: str, new: str) -> Laptop:
    secret = keys.load(laptop.unlocked.person)
    done = change_password(laptop.replica, laptop.unlocked, old, new, secret, secrets.token_bytes)
    return Laptop(laptop.device, laptop.replica, done.unlocked)


def opens(laptop: Laptop, keys: SecretKeys, password: str) -> bool:
    try:
        return unlock(laptop.replica, keys, username="anna", password=password).keyholder == laptop.unlocked.keyholder
    except WrongPassword:
        return False


def tablet_of(laptop: Laptop, folder: Path) -> Laptop:
    """A further device of Anna's, on which she signs in with her password."""
    made = join(laptop, folder)
    me = made.unlocked
    private = bytes(me.signing_key) + bytes(me.box)
    keep_keyholder(made.replica, "anna", me.person, me.keyholder, me.unlock_key, private, secrets.token_bytes)
    return made


def _signature(laptop: Laptop, message: bytes) -> bytes:
    return laptop.device.sign.sign(message).signature


def hear(*laptops: Laptop) -> None:
    """All get what the others have, and say that they have it."""
    for _ in range(2):
        for one in laptops:
            one.replica.sign_frontier(one.device.id, partial(_signature, one), NOW)
            for other in laptops:
                if other is not one:
                    sync(one.replica, other.replica)


def test_on_the_only_device_the_old_password_ends_at_once(laptop: Laptop, keys: SecretKeys):
    code = recovery_code(laptop.replica, laptop.unlocked)
    changed = change(laptop, keys, PASSWORD, NEW)
    assert (opens(changed, keys, NEW), opens(changed, keys, PASSWORD)) == (True, False)
    assert recovery_code(laptop.replica, changed.unlocked) == code
    with pytest.raises(KinringError):
        unlock_with_key(laptop.replica, laptop.unlocked.person, laptop.unlocked.unlock_key)
    again = change(changed, keys, NEW, NEWER)
    assert [opens(again, keys, one) for one in (PASSWORD, NEW, NEWER)] == [False, False, True]
    assert recovery_code(laptop.replica, again.unlocked) == code
    assert laptop.replica.membership().reasons == {}
    account = again.vaults.create_item(again.vaults.vaults()[0].vault_id, {"label": "Bank", "password": "x"})
    assert again.password(account) == "x"


def test_the_present_password_is_needed_and_another_one_in_its_place(laptop: Laptop, keys: SecretKeys):
    with pytest.raises(WrongPassword):
        change(laptop, keys, NEW, NEWER)
    with pytest.raises(KinringError) as refused:
        change(laptop, keys, PASSWORD, PASSWORD)
    assert refused.value.code is ExitCode.INVALID
    assert opens(laptop, keys, PASSWORD)


def test_another_device_takes_the_new_password_and_until_it_has_heard_the_old_one(
    laptop: Laptop, keys: SecretKeys, tmp_path: Path
):
    tablet = tablet_of(laptop, tmp_path / "tablet")
    secret = keys.load(laptop.unlocked.person)
    done = change_password(laptop.replica, laptop.unlocked, PASSWORD, NEW, secret, secrets.token_bytes)
    assert done.waiting == [tablet.device.id]
    assert opens(laptop, keys, PASSWORD), "the tablet has not heard, so nothing is forgotten"
    assert forget_old_wraps(laptop.replica, done.unlocked) == 0
    hear(laptop, tablet)
    assert opens(tablet, keys, PASSWORD)
    assert opens(tablet, keys, NEW)
    assert forget_old_wraps(laptop.replica, done.unlocked) == 1
    assert forget_old_wraps(laptop.replica, done.unlocked) == 0
    hear(laptop, tablet)
    for one in (laptop, tablet):
        assert (opens(one, keys, NEW), opens(one, keys, PASSWORD)) == (True, False)
        (record,) = (v for v in one.replica.store.local("sign-in").values() if decode(v)[0] == "anna")
        assert len(decode(record)[3]) == 1, "wrapped under the present key alone"


def test_a_device_that_was_not_unlocked_through_several_changes_still_opens(
    laptop: Laptop, keys: SecretKeys, tmp_path: Path
):
    tablet = tablet_of(laptop, tmp_path / "tablet")
    before, now = PASSWORD, laptop
    for number in range(6):
        new = f"{NEW} {number}"
        now = change(now, keys, before, new)
        hear(laptop, tablet)
        assert forget_old_wraps(laptop.replica, now.unlocked) == 1
        hear(laptop, tablet)
        drop_purged(laptop.replica, NOW)
        drop_purged(tablet.replica, NOW)
        before = new
    assert [opens(tablet, keys, one) for one in (PASSWORD, f"{NEW} 4", before)] == [False, False, True]


def test_passwords_changed_apart_lock_nobody_out(laptop: Laptop, keys: SecretKeys, tmp_path: Path):
    tablet = tablet_of(laptop, tmp_path / "tablet")
    here, there = change(laptop, keys, PASSWORD, NEW), change(tablet, keys, PASSWORD, NEWER)
    hear(laptop, tablet)
    for one in (here, there):
        forget_old_wraps(one.replica, one.unlocked)
    hear(laptop, tablet)
    for one in (laptop, tablet):
        assert [opens(one, keys, word) for word in (NEW, NEWER, PASSWORD)] == [True, True, False]
    for one in (laptop, tablet):
        assert len(one.replica.state().forgotten) == 1
    assert recovery_code(laptop.replica, here.unlocked) == recovery_code(tablet.replica, there.unlocked)


def test_of_passwords_changed_apart_both_end_by_a_change_where_both_were_used(
    laptop: Laptop, keys: SecretKeys, tmp_path: Path
):
    tablet, phone = tablet_of(laptop, tmp_path / "tablet"), tablet_of(laptop, tmp_path / "phone")
    hear(laptop, tablet, phone)
    here, _ = change(laptop, keys, PASSWORD, NEW), change(tablet, keys, PASSWORD, NEWER)
    hear(laptop, tablet, phone)
    assert opens(laptop, keys, NEWER)
    last = change(here, keys, NEW, NEW + NEWER)
    hear(laptop, tablet, phone)
    assert forget_old_wraps(laptop.replica, last.unlocked) == 3
    hear(laptop, tablet, phone)
    for one in (laptop, tablet, phone):
        assert [opens(one, keys, word) for word in (PASSWORD, NEW, NEWER, NEW + NEWER)] == [False, False, False, True]


def in_files(folder: Path, what: bytes) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file() and what in file.read_bytes()]


def forgotten_everywhere(laptop: Laptop, keys: SecretKeys) -> tuple[bytes, bytes, Laptop]:
    """The old wrap and the old local one, after the change, the forgetting and the dropping."""
    me = laptop.unlocked.person
    wrap = laptop.replica.state().unlocks[me][0].wrap
    local = decode(laptop.replica.store.local("sign-in")[b"anna"])[3][0]
    assert wrap
    changed = change(laptop, keys, PASSWORD, NEW)
    hear(laptop)
    assert drop_purged(laptop.replica, NOW) == 1
    return wrap, local, changed


def test_a17_the_old_wrap_is_in_no_file_after_the_password_was_changed(
    laptop: Laptop, house: House, keys: SecretKeys, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime = runtime_folder(house.folder)
    me = laptop.unlocked
    create(runtime, person=me.person, keyholder=me.keyholder, unlock_key=me.unlock_key, now=1.0)
    wrap = laptop.replica.state().unlocks[me.person][0].wrap
    assert wrap
    assert in_files(house.folder, wrap), "it is there before"
    wrap, local, changed = forgotten_everywhere(laptop, keys)
    for what in (wrap, wrap[-48:], local, local[-48:], me.unlock_key, changed.unlocked.unlock_key):
        assert in_files(house.folder, what) + in_files(runtime, what) + in_files(tmp_path, what) == []
    assert opens(changed, keys, NEW)


def test_a18_an_old_wrap_put_back_into_the_store_does_not_open(laptop: Laptop, house: House, keys: SecretKeys):
    store = laptop.replica.store
    me = laptop.unlocked.person
    entry = laptop.replica.entry_of(laptop.replica.state().unlocks[me][0].hash)
    body = store.one("SELECT body FROM entries WHERE id = ?", (entry,))[0]
    record = store.local("sign-in")[b"anna"]
    _, _, changed = forgotten_everywhere(laptop, keys)
    store.run("UPDATE entries SET body = ? WHERE id = ?", (body, entry))
    store.set_local("sign-in", b"anna", record)
    laptop.replica.close()
    again = Laptop(laptop.device, house.open(), changed.unlocked)
    assert again.replica.state().unlocks[me][0].wrap, "it is back, and it is what was signed"
    assert not opens(again, keys, PASSWORD)
    assert opens(again, keys, NEW)


# At the command line


def test_a_password_is_changed_at_the_command_line(home: Home, tmp_path: Path):
    account = home.save("--label", "Bank", "--password", "kept")
    files = {name: tmp_path / name for name in ("old", "new")}
    files["old"].write_text(HOME_PASSWORD + "\n")
    files["new"].write_text(NEW + "\n")
    words = ["change-user-password", "--password-file", str(files["old"]), "--json"]
    assert home.run(*words).error["code"] == 3
    twice = home.run(*words, "--new-password", NEW, "--confirm-new-password", NEWER).error
    assert twice["code"] == 6
    assert home.run(*words, "--new-password", "short").error["code"] == 6
    assert home.run(*words, "--new-password", NEW, "--new-password-file", str(files["new"])).error["code"] == 2
    assert home.run(*words, "--new-password", HOME_PASSWORD).error["code"] == 6
    told = home.run(*words, "--new-password-file", str(files["new"]))
    assert told.json == {"changed_password": True, "waits_for": []}
    assert home.run("get-vaults", "--json").error["code"] == 3, "the handle has ended"
    home.environment.pop("KINRING_HANDLE")
    assert home.run("get-vaults", "--json", KINRING_MASTER_PASSWORD=HOME_PASSWORD).error["code"] == 4
    shown = home.run("get-account", "--account-id", account, "--json", KINRING_MASTER_PASSWORD=NEW).json
    assert shown["password"] == "kept"
    handle = home.run("unlock", KINRING_MASTER_PASSWORD=NEW).out.strip()
    assert home.run("get-account", "--account-id", account, KINRING_HANDLE=handle).code == 0
    again = ["--master-password", NEW, "--new-password", NEWER, "--confirm-new-password", NEWER]
    assert home.run("change-user-password", *again, "--json").json["changed_password"]
