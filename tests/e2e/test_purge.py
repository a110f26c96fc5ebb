"""What was destroyed goes from a real node's store when it is due, and not before."""

from __future__ import annotations

from replication.purge import WAITING_MS, drop_purged
from tests.e2e.conftest import Template
from tests.e2e.family import Device, Home, now_ms, until


def sealed(device: Device) -> int:
    found: int = device.replica.store.one("SELECT count(*) FROM ops WHERE length(sealed) > 0")[0]
    return found


def test_a_node_destroys_what_is_due_when_it_starts(founded: Template, home: Home):
    laptop = founded.device(home, "laptop")
    item = laptop.save(label="Bank", password="s3cret")
    laptop.change(item, password="n3w")
    before = sealed(laptop)
    laptop.open().erase(item)
    sign = laptop.identity.sign
    laptop.replica.sign_frontier(laptop.id, lambda message: sign.sign(message).signature, now_ms())
    assert drop_purged(laptop.replica, now_ms() - WAITING_MS) == 0, "from now on it waits"
    assert sealed(laptop) == before + 1, "nothing is gone yet; it stands in the bin"
    laptop.up()
    until(lambda: sealed(laptop) == before - 1, "the node kept what was to be destroyed")
    assert laptop.down() == 0
