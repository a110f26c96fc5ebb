"""What the page shows of a family's odd days: values that are missing, alarms, what waits, what needs an update."""

from __future__ import annotations

import re

from nacl.signing import SigningKey

from node.cli import status
from node.housekeeping import COPY_DIFFERS
from replication import alarms as kinds
from replication.membership import DEVICE
from replication.replica import Draft, Replica
from tests.e2e.pages import CANARY, apart, lose
from webui import alarms, health

AT = 1_900_000_000_000


def lose_newest(replica: Replica) -> None:
    """The value written last, kept back by whoever handed it on."""
    lose(replica, [replica.store.one("SELECT max(id) FROM ops")[0]])


def text(answer) -> str:
    """As a person reads it."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def test_a_field_that_is_not_here_yet_is_named_wherever_it_would_be(anna, vaults, personal):
    item = vaults.create_item(personal, {"label": "Bank", "username": "anna"})
    vaults.update_item(item, {"username": "ben"})
    lose_newest(vaults._replica)
    page = text(anna.get(f"/items/{item}"))
    assert "Not all of it is here yet. Asked of every device: User name ." in page
    assert "User name a newer one is not here yet anna" in page
    assert "not all here yet" in text(anna.get("/"))
    history = anna.get(f"/items/{item}/history?field=username")
    assert "User name now not here yet: asked of every device" in text(history)
    assert "1 in Personal" in text(anna.get("/health"))


def test_an_item_whose_first_values_are_not_here_says_so(anna, vaults, personal):
    item = vaults.create_item(personal, {"label": "Bank", "username": "anna"})
    lose_newest(vaults._replica)
    assert "What it was made with not here yet: asked of every device" in text(anna.get(f"/items/{item}"))
    history = anna.get(f"/items/{item}/history")
    assert "What it was made with" in history.text
    assert "field=base" not in history.text, "no field that could be asked for"


def test_what_is_left_of_an_emptied_item_leads_to_the_rest(anna, vaults, personal, family):
    item = vaults.create_item(personal, {"label": "Bank", "username": "anna", "password": CANARY})
    with apart(vaults, family[1]) as elsewhere:
        elsewhere.update_item(item, {"password": CANARY + "2"})
        vaults.erase(item)
    assert "a part came back" in text(anna.get("/"))
    page = text(anna.get(f"/items/{item}"))
    assert "What is left of an item that was emptied, changed apart: its other fields are in the history" in page
    assert "came back, so that nothing is lost" not in page
    assert "User name anna" in text(anna.get(f"/items/{item}/history"))
    anna.post(f"/items/{item}/restore")
    assert vaults.item(item).fields["username"] == "anna"
    assert "What is left" not in text(anna.get(f"/items/{item}"))


def test_an_alarm_says_what_to_do_and_is_ticked_off(anna, vaults, desk, personal):
    replica = desk.replica
    device, holder = next(iter(replica.state().devices)), next(iter(replica.state().keyholders))
    replica.raise_alarm(kinds.TWO_PLACES, device, "00" * 16, b"1", AT)
    replica.raise_alarm(COPY_DIFFERS, holder, f"a copy that it made in vault {personal} is not ...", b"2", AT + 1)
    replica.raise_alarm(kinds.FLOOD, b"", "4096", b"3", AT + 2)
    page = text(anna.get("/devices"))
    assert "Anna’s laptop is in two places Its key writes in two places at once" in page
    assert "Anna at Anna’s laptop sealed something else than was written" in page
    assert "in Personal" in page
    assert "Somebody outside the family writes more than people do" in page
    assert page.count("What to do:") == 3
    assert "3 to look at" in text(anna.get("/"))
    of = {"kind": kinds.TWO_PLACES, "subject": device.hex()}
    assert anna.post("/devices/dismiss", of).location == "/devices?said=dismissed"
    assert [alarm.kind for alarm in replica.alarms()] == [kinds.FLOOD, COPY_DIFFERS]
    for wrong in (of, {**of, "subject": "zz"}, {}):
        assert anna.post("/devices/dismiss", wrong).status_code == 404
    assert "2 to look at" in text(anna.get("/"))


def test_every_kind_of_alarm_has_words():
    raised = {value for name, value in vars(kinds).items() if name.isupper() and type(value) is str and name[0] != "_"}
    assert set(alarms.TOLD) == raised | {COPY_DIFFERS}


def test_what_a_newer_program_wrote_asks_for_an_update(anna, desk):
    assert health.NOT_UNDERSTOOD == status.NOT_UNDERSTOOD
    assert "Update Kinring" not in anna.get("/health").text
    key = SigningKey.generate()
    unknown = Draft(statements=([DEVICE + 200, b"something new"],))
    desk.replica.append(bytes(key.verify_key), lambda m: key.sign(m).signature, lambda _: unknown, AT)
    page = text(anna.get("/health"))
    assert "Update Kinring 1 thing from a newer version is put aside here, not understood" in page
    assert "every entry here has effect" in page, "nothing was put aside for what its author may not"
