"""What a record may hold, ours and another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.announcement import MAX_ADDRESSES, Announcement, announcement, check, instance_of, is_near
from replication.errors import Malformed

INSTANCE = "abcdefghijklmnopqrstuvwxy2"
NAME = INSTANCE + "._kinring._tcp.local."


def test_ours_holds_nothing_of_this_machine():
    ours = announcement(
        INSTANCE, 4711, ["192.168.1.7", "fe80::1%eth0", "8.8.8.8", "127.0.0.1"], lambda n: b"r" * n
    )
    assert ours == Announcement(INSTANCE, "ojzhe4tsojzhe4ts.local.", 4711, ("192.168.1.7", "fe80::1"))
    assert ours.name == NAME


def test_a_fresh_host_label_each_time():
    bytes_ = iter([b"1" * 10, b"2" * 10])
    first, second = (announcement(INSTANCE, 1, ["10.0.0.1"], lambda n: next(bytes_)) for _ in range(2))
    assert first.host != second.host


@pytest.mark.parametrize(("instance", "port"), [("anna-s-laptop", 4711), (INSTANCE, 0), (INSTANCE, 65536)])
def test_ours_is_checked_too(instance, port):
    with pytest.raises(ValueError):
        announcement(instance, port, ["10.0.0.1"], bytes)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "._kinring._tcp.local.",
        "\x1b[31m" + NAME[5:],
        "<script>",
        NAME.upper(),
        "x" + NAME,
        NAME + "\n",
        "é" + NAME[1:],
    ],
)
def test_other_names_are_nobody_s(name):
    assert instance_of(name) is None
    with pytest.raises(Malformed, match="name"):
        check(name, 1, ["10.0.0.1"], b"")


@pytest.mark.parametrize(
    ("port", "addresses", "txt", "kind"),
    [
        (None, ["10.0.0.1"], b"", "port"),
        (0, ["10.0.0.1"], b"", "port"),
        (65536, ["10.0.0.1"], b"", "port"),
        (1, ["10.0.0.1"], b"\x05a=\x1b[m", "txt"),
        (1, [], b"", "addresses"),
        (
            1,
            ["8.8.8.8", "2001:db8::1", "224.0.0.251", "0.0.0.0", "127.0.0.1", "::1", "pi.local"],
            b"",
            "addresses",
        ),
        (1, ["fe80::1%eth0\n", "fe80::1%" + "x" * 16, "fd00::1%2", "::ffff:8.8.8.8"], b"", "addresses"),
    ],
)
def test_what_is_refused(port, addresses, txt, kind):
    with pytest.raises(Malformed) as refused:
        check(NAME, port, addresses, txt)
    assert refused.value.kind == kind


def test_what_is_taken():
    heard = check(NAME, 4711, ["8.8.8.8", "fe80::1%2", "10.0.0.1", "10.0.0.1"], b"\0")
    assert (heard.instance, heard.port, heard.addresses) == (INSTANCE, 4711, ("fe80::1%2", "10.0.0.1"))
    assert len(check(NAME, 1, [f"10.0.0.{i}" for i in range(200)], b"").addresses) == MAX_ADDRESSES


def test_loopback_only_where_loopback_is_listened_to():
    assert is_near("127.0.0.1", loopback=True)
    assert is_near("::1", loopback=True)
    assert not is_near("127.0.0.1")
    assert not is_near("::1")


@given(st.text(), st.one_of(st.none(), st.integers()), st.lists(st.text()), st.binary())
def test_garbage_is_refused_and_nothing_else(name, port, addresses, txt):
    for at in (name, NAME):
        try:
            check(at, port, addresses, txt)
        except Malformed as refused:
            assert str(refused) == refused.kind
