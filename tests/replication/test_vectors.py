"""The vectors leave nothing out: each kind of refusal that a page names, each message, entry and statement."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from replication.entry import OPS, STATEMENTS, from_wire
from replication.errors import RemoteProtocolError
from replication.log import Row
from replication.membership import KNOWN
from replication.messages import read_message
from replication.replica import Replica
from replication.session import SyncSession
from tests.kin import new_replica

ROOT = Path(__file__).parents[2]
VECTORS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "tests/vectors").glob("*.json")}
HISTORY = VECTORS["history"]

PAGES = {
    "encoding": [*VECTORS["encoding"]["invalid"]],
    "entry": [*VECTORS["entry"]["invalid"], *HISTORY["invalid"]],
    "frontier": [*VECTORS["frontier"]["invalid"], *HISTORY["conversations"]],
    "sync": [*VECTORS["sync"]["invalid"], *HISTORY["conversations"]],
}
"""Page of the spec to where its invalid vectors are."""


def kinds_of(page: str) -> set[str]:
    """The words in the first column of the table of refusals."""
    text = (ROOT / "docs/spec" / f"{page}.md").read_text("utf-8").split("## What must be refused", 1)[1]
    cells = re.findall(r"^\| ([^|]*) \|", text.split("\n## ", 1)[0], flags=re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)}


def whole() -> Replica:
    """A copy that holds the whole history."""
    replica = new_replica("whole", bytes.fromhex(HISTORY["family"]))
    assert replica.ingest([bytes.fromhex(entry["wire"]) for entry in HISTORY["entries"]]).refused is None
    return replica


@pytest.mark.parametrize("page", PAGES)
def test_every_refusal_that_a_page_names_has_a_vector(page: str):
    assert kinds_of(page)
    assert kinds_of(page) - {vector["kind"] for vector in PAGES[page]} == set()


def test_every_statement_has_a_vector_in_which_it_is_in_force():
    said = {s["number"] for entry in HISTORY["entries"] for s in entry["statements"] if not s["reason"]}
    assert KNOWN - said == set()


def test_every_kind_of_entry_has_a_vector():
    found = {from_wire(bytes.fromhex(vector["wire"])).kind for vector in VECTORS["entry"]["valid"]}
    assert found == {OPS, STATEMENTS}


def test_every_message_has_a_vector():
    page = (ROOT / "docs/spec/sync.md").read_text("utf-8")
    numbers = {int(number) for number in re.findall(r"^\| ([0-9]+) \|", page, flags=re.MULTILINE)}
    assert numbers
    seen = [bytes.fromhex(vector["hex"]) for vector in VECTORS["sync"]["valid"]]
    for data in seen:
        read_message(data)
    assert {data[1] for data in seen} == numbers  # each list begins with its number


def test_the_history_leaves_what_it_says():
    replica = whole()
    assert replica.frontier() == [Row(bytes.fromhex(log), seq, bytes.fromhex(h)) for log, seq, h in HISTORY["frontier"]]
    table = [[None if part is None else part.hex() for part in row] for row in replica.table()]
    assert table == HISTORY["table"]
    assert sorted([digest.hex(), why] for digest, why in replica.put_aside()) == HISTORY["aside"]
    for number, entry in enumerate(HISTORY["entries"], 1):
        assert replica.info(number).hash.hex() == entry["hash"]
        if entry["statements"]:
            assert [name.hex() for name in replica.statements_of(number)] == [s["hash"] for s in entry["statements"]]
    reasons = replica.membership().reasons
    for said in (s for entry in HISTORY["entries"] for s in entry["statements"]):
        assert reasons.get(bytes.fromhex(said["hash"]), "") == said["reason"]


@pytest.mark.parametrize("vector", HISTORY["invalid"], ids=lambda v: v["name"])
def test_an_entry_that_does_not_follow_is_refused_with_its_kind(vector: dict[str, str]):
    replica = whole()
    before = replica.last_id()
    refused = replica.ingest([bytes.fromhex(vector["wire"])]).refused
    assert refused is not None
    assert refused.kind == vector["kind"]
    assert replica.last_id() == before


@pytest.mark.parametrize("vector", HISTORY["conversations"], ids=lambda v: v["name"])
def test_a_conversation_ends_where_a_peer_breaks_the_rules(vector: dict[str, Any]):
    session = SyncSession(whole(), 0)
    kinds = []
    for step in vector["steps"]:
        try:
            if isinstance(step, int):
                session.handle_timeout(step)
            else:
                session.receive_message(bytes.fromhex(step), 0)
            kinds.append("")
        except RemoteProtocolError as error:
            kinds.append(error.kind)
    assert kinds[-1] == vector["kind"]
