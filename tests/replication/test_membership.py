"""Who may do what: each rule by itself, and the same family for every order of arrival."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.encoding import decode, encode
from replication.membership import (
    ADMIN,
    BLIND,
    DIRECTORY,
    EPOCH,
    FOUND,
    GRANT,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PRIVATE,
    READER,
    READS,
    SELF,
    SHARED,
    SUITE,
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
    Membership,
    Statement,
    Vault,
    device_proof,
    family_id,
    keyholder_proof,
    self_admission,
)
from tests.kin import BOX, Author, Statements, add_keyholder, admit_device

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "membership.json").read_text())
ANNA, BEN, CLEO = Author("anna"), Author("ben"), Author("cleo")
LAPTOP, PHONE, PI = Author("annas laptop"), Author("bens phone"), Author("pi")
FOUNDING: list[Any] = [FOUND, ANNA.box_key, Author("recovery").id, b"_" * 32]
FAMILY = family_id(ANNA.id, *FOUNDING[1:])


def name_of(it: Statements, author: Author, *bodies: list[Any], log: str = "") -> bytes:
    return it.make(author, *bodies, log=log)[-1].hash


class Home(Statements):
    """Anna founded the family on her laptop, with the directory and a vault of hers."""

    def __init__(self) -> None:
        super().__init__(FAMILY)
        admission = [PERSON, ADMIN, ANNA.id[:16]]
        self.anna = name_of(self, ANNA, FOUNDING, admission)[:16]
        bodies = [
            FOUNDING,
            admission,
            admit_device(FAMILY, LAPTOP, self.anna),
            add_keyholder(FAMILY, self.anna, LAPTOP, ANNA),
        ]
        assert self.add(ANNA, *bodies) == [""] * 4
        self.directory, _ = self.new_vault(ANNA, DIRECTORY)
        self.vault, self.epoch = self.new_vault(ANNA, SHARED)

    def new_vault(self, author: Author, kind: int, log: str = "") -> tuple[bytes, bytes]:
        made = [VAULT, kind, bytes([len(self.batches)]) * 16]
        vault = name_of(self, author, made, log=log)[:16]
        boxes = [[key, BOX] for key in sorted(self.readers(vault, author))]
        bodies = [made, [SUITE, vault, 1, [1, 2], 1], [EPOCH, vault, [], b"C" * 32, boxes, []]]
        names = [statement.hash for statement in self.make(author, *bodies, log=log)]
        assert self.add(author, *bodies, log=log) == [""] * 3
        return vault, names[2]

    def readers(self, vault: bytes, author: Author) -> set[bytes]:
        state = self.membership.state()
        if vault in state.vaults:
            return state.recipients(vault)
        return set(state.keyholders_of(state.person_of(author.id) or b""))

    def admit(self, holder: Author, device: Author, role: int) -> bytes:
        admission = [PERSON, role, holder.id[:16]]
        person = name_of(self, ANNA, admission)[:16]
        bodies = [
            admission,
            admit_device(FAMILY, device, person),
            add_keyholder(FAMILY, person, device, holder),
        ]
        assert self.add(ANNA, *bodies) == [""] * 3
        return person

    def grant(self, person: bytes, right: int, *holders: Author) -> list[Any]:
        return [
            GRANT,
            self.vault,
            self.epoch,
            person,
            right,
            [[k, BOX] for k in sorted(h.id for h in holders)],
        ]

    def next_epoch(self, *, leave_out: bytes = b"", extra: bytes = b"") -> list[Any]:
        state = self.membership.state()
        readers = (state.recipients(self.vault) - {leave_out}) | ({extra} if extra else set())
        boxes = [[key, BOX] for key in sorted(readers)]
        return [EPOCH, self.vault, [self.epoch], b"D" * 32, boxes, [[self.epoch, BOX]]]


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture
def ben(home: Home) -> bytes:
    return home.admit(BEN, PHONE, WRITER)


# Founding


def test_a_family_is_founded_once_by_the_first_statement_of_the_founders_log(home: Home):
    assert home.add(ANNA, FOUNDING, log="again") == ["founds only at the start"]
    # Nor with the founder's key in a log of its own: it would make whoever has it a second founder.
    assert home.add(ANNA, FOUNDING, frontier=(), log="third") == ["another log"]
    state = home.membership.state()
    assert state.founder == ANNA.id
    assert len(state.people) == 1


def test_a_stranger_cannot_found_the_family_with_another_key():
    strangers = Statements(FAMILY)
    assert strangers.add(BEN, FOUNDING) == ["another family"]
    assert strangers.membership.state().founder == b""


def test_the_founder_admits_themselves_once():
    it = Statements(FAMILY)
    twice = [FOUNDING, [PERSON, ADMIN, ANNA.id[:16]], [PERSON, ADMIN, b"q" * 16]]
    assert it.add(ANNA, *twice) == ["", "", "founder admitted already"]


def test_a_stolen_founders_key_founds_nothing_more(home: Home):
    """As if nothing but the founding had been heard of, in a log of its own: the founder's rank is not to be had."""
    start = (home.batches[0][0].hash,)
    for body in ([PERSON, ADMIN, b"t" * 16], [PERSON, ADMIN, ANNA.id[:16]], admit_device(FAMILY, PHONE, home.anna)):
        assert home.add(ANNA, body, frontier=start, log=f"thief {len(home.batches)}") == ["author is no keyholder"]
    fork = Statements(FAMILY)
    assert fork.add(ANNA, FOUNDING, [PERSON, ADMIN, b"t" * 16]) == ["", "not the founder"]


def test_a_second_directory_is_none(home: Home, ben: bytes):
    assert home.add(ANNA, [VAULT, DIRECTORY, b"2" * 16]) == ["kind"]
    assert home.add(BEN, [VAULT, DIRECTORY, b"2" * 16], frontier=(home.batches[0][1].hash,)) == [
        "author is no keyholder"
    ]
    assert home.membership.state().directory == home.directory


def test_only_the_founder_makes_the_directory():
    it = Statements(FAMILY)
    admission, mate = [PERSON, ADMIN, ANNA.id[:16]], [PERSON, ADMIN, BEN.id[:16]]
    anna = name_of(it, ANNA, FOUNDING, admission)[:16]
    it.add(
        ANNA,
        FOUNDING,
        admission,
        admit_device(FAMILY, LAPTOP, anna),
        add_keyholder(FAMILY, anna, LAPTOP, ANNA),
    )
    ben = name_of(it, ANNA, mate)[:16]
    phone = admit_device(FAMILY, PHONE, ben)
    assert it.add(ANNA, mate, phone, add_keyholder(FAMILY, ben, PHONE, BEN)) == [""] * 3
    assert it.add(BEN, [VAULT, DIRECTORY, b"v" * 16]) == ["the founder makes the directory"]


# People, devices, keyholders


def test_who_is_no_admin_admits_nobody(home: Home, ben: bytes):
    assert home.add(BEN, [PERSON, WRITER, b"x" * 16]) == ["not an admin"]
    assert home.add(BEN, admit_device(FAMILY, PI, b"", role=BLIND)) == ["not an admin"]
    assert home.add(BEN, admit_device(FAMILY, PI, home.anna)) == ["not an admin"]
    assert home.add(BEN, [PERMIT, PHONE.id]) == ["not an admin"]


def test_a_member_admits_a_device_of_their_own(home: Home, ben: bytes):
    assert home.add(BEN, admit_device(FAMILY, PI, ben)) == [""]
    assert home.membership.state().devices[PI.id].owner == ben


def test_a_stranger_has_no_say(home: Home):
    assert home.add(CLEO, [PERSON, ADMIN, b"x" * 16]) == ["author is no keyholder"]
    assert home.add(CLEO, [VAULT, SHARED, b"x" * 16]) == ["author is no keyholder"]


def test_nobody_is_admitted_with_an_unknown_role(home: Home):
    assert home.add(ANNA, [PERSON, 3, b"x" * 16]) == ["unknown role"]
    wrong = admit_device(FAMILY, PI, home.anna)
    wrong[4] = 2
    assert home.add(ANNA, wrong) == ["unknown role"]


def test_a_device_proves_its_key(home: Home):
    assert home.add(ANNA, admit_device(FAMILY, PI, home.anna, signer=PHONE)) == ["no proof of the key"]
    assert home.add(ANNA, admit_device(b"F" * 32, PI, home.anna)) == ["no proof of the key"]
    assert PI.id not in home.membership.state().devices


def test_a_device_has_an_owner_unless_it_is_blind(home: Home):
    owned_pi = admit_device(FAMILY, PI, b"", role=BLIND)
    owned_pi[5] = home.anna
    assert home.add(ANNA, owned_pi) == ["a blind peer has no owner"]
    assert home.add(ANNA, admit_device(FAMILY, PI, b"")) == ["a blind peer has no owner"]
    assert home.add(ANNA, admit_device(FAMILY, PI, b"?" * 16)) == ["unknown owner"]
    assert home.add(ANNA, admit_device(FAMILY, PI, b"", role=BLIND)) == [""]
    assert home.add(ANNA, admit_device(FAMILY, PI, b"", role=BLIND)) == ["admitted already"]


def test_a_blind_peer_gets_no_keyholder(home: Home):
    home.add(ANNA, admit_device(FAMILY, PI, b"", role=BLIND))
    assert home.add(ANNA, add_keyholder(FAMILY, home.anna, PI, CLEO)) == ["no device that may read"]


def test_an_admin_adds_no_keyholder_to_another_person(home: Home, ben: bytes):
    """Else Anna would be given the keys of Ben's private vault."""
    assert home.add(ANNA, add_keyholder(FAMILY, ben, LAPTOP, CLEO)) == ["only the person adds their keyholders"]
    assert home.add(BEN, add_keyholder(FAMILY, home.anna, PHONE, CLEO)) == ["only the person adds their keyholders"]
    assert home.add(BEN, add_keyholder(FAMILY, ben, PHONE, CLEO)) == [""]


def test_a_person_without_keyholder_gets_none_later_from_the_admin(home: Home):
    admission = [PERSON, WRITER, b"x" * 16]
    person = name_of(home, ANNA, admission)[:16]
    assert home.add(ANNA, admission) == [""]
    assert home.add(ANNA, add_keyholder(FAMILY, person, LAPTOP, CLEO)) == ["only the person adds their keyholders"]


def test_an_admission_on_two_branches_of_the_admins_log_brings_one_keyholder(home: Home):
    admission, frontier = [PERSON, WRITER, BEN.id[:16]], home.membership.heads()
    person = name_of(home, ANNA, admission)[:16]
    shown, kept_back = (
        home.make(ANNA, admission, add_keyholder(FAMILY, person, LAPTOP, holder), frontier=frontier)
        for holder in (BEN, CLEO)
    )
    assert shown[0].hash == kept_back[0].hash
    for branch in (shown, kept_back):
        home.membership.add(branch)
    assert home.membership.state().keyholders_of(person) == [BEN.id]
    assert home.membership.reasons[kept_back[1].hash] == "only the person adds their keyholders"


def test_a_new_person_gets_one_keyholder_with_the_admission(home: Home):
    admission = [PERSON, WRITER, BEN.id[:16]]
    person = name_of(home, ANNA, admission)[:16]
    two = [add_keyholder(FAMILY, person, LAPTOP, holder) for holder in (BEN, CLEO)]
    assert home.add(ANNA, admission, *two) == ["", "", "only the person adds their keyholders"]


def test_a_keyholder_proves_its_key_and_is_added_once(home: Home):
    forged = add_keyholder(FAMILY, home.anna, LAPTOP, CLEO)
    forged[5] = add_keyholder(FAMILY, home.anna, LAPTOP, BEN)[5]
    assert home.add(ANNA, forged) == ["no proof of the key"]
    assert home.add(ANNA, add_keyholder(FAMILY, home.anna, LAPTOP, ANNA)) == ["added already"]
    assert home.add(ANNA, add_keyholder(FAMILY, b"?" * 16, LAPTOP, CLEO)) == ["unknown person"]
    assert home.add(ANNA, add_keyholder(FAMILY, home.anna, PI, CLEO)) == ["no device that may read"]


# Letting oneself in


def admit_self(holder: Author, device: Author = LAPTOP, signer: Author | None = None) -> list[Any]:
    signature = (signer or device).sign(self_admission(FAMILY, holder.id, holder.box_key))
    return [SELF, b"s" * 16, device.id, holder.box_key, signature]


def test_a_newcomer_admits_themselves_by_the_permit(home: Home):
    assert home.add(ANNA, [PERMIT, LAPTOP.id]) == [""]
    assert home.add(BEN, admit_self(BEN)) == [""]
    state = home.membership.state()
    assert state.people[state.person_of(BEN.id) or b""].role == WRITER
    assert home.add(BEN, admit_self(BEN), log="again") == ["admitted already"]


def test_nobody_admits_themselves_without_a_permit(home: Home):
    assert home.add(BEN, admit_self(BEN)) == ["not permitted"]
    assert home.add(ANNA, [PERMIT, PHONE.id]) == ["unknown device"]


def test_nobody_admits_themselves_in_a_family_of_two_devices(home: Home, ben: bytes):
    home.add(ANNA, [PERMIT, LAPTOP.id])
    assert home.add(CLEO, admit_self(CLEO)) == ["not a one-device family"]


def test_the_device_signs_for_the_newcomer(home: Home):
    home.add(ANNA, [PERMIT, LAPTOP.id])
    assert home.add(BEN, admit_self(BEN, signer=BEN)) == ["not signed by the device"]
    assert home.add(BEN, admit_self(CLEO), log="another") == ["not signed by the device"]


def test_letting_oneself_in_is_the_first_of_a_log(home: Home):
    home.add(ANNA, [PERMIT, LAPTOP.id])
    assert home.add(BEN, [PERMIT, LAPTOP.id], admit_self(BEN)) == [
        "author is no keyholder",
        "only as the first of a log",
    ]


# Vaults, epochs, grants, suites


def test_a_reader_makes_no_vault_and_no_epoch(home: Home):
    reader = home.admit(BEN, PHONE, READER)
    assert home.add(BEN, [VAULT, SHARED, b"x" * 16]) == ["readers make no vaults"]
    assert home.add(ANNA, home.grant(reader, OWNS, BEN)) == [""]
    assert home.membership.state().right(home.vault, reader) == READS
    assert home.add(BEN, home.next_epoch()) == ["no right to write"]


def test_an_epoch_goes_to_exactly_the_readers(home: Home, ben: bytes):
    home.add(ANNA, home.grant(ben, WRITES, BEN))
    assert home.add(ANNA, home.next_epoch(leave_out=BEN.id)) == ["recipients are not the readers"]
    assert home.add(ANNA, home.next_epoch(extra=CLEO.id)) == ["recipients are not the readers"]
    assert home.add(BEN, home.next_epoch()) == [""]
    assert home.membership.state().vaults[home.vault].newest_epoch() != home.epoch


def test_an_epoch_names_those_before_it(home: Home):
    first = home.next_epoch()
    first[2] = []
    assert home.add(ANNA, first) == ["names no epoch before"]
    first[2] = [b"?" * 32]
    assert home.add(ANNA, first) == ["unknown epoch"]
    unknown = home.next_epoch()
    unknown[5] = [[b"?" * 32, BOX]]
    assert home.add(ANNA, unknown) == ["unknown epoch"]
    first[2] = [home.epoch, home.epoch]
    assert home.add(ANNA, first) == ["shape"]


def test_who_does_not_own_a_vault_gives_nobody_a_right(home: Home, ben: bytes):
    cleo = home.admit(CLEO, PI, WRITER)
    assert home.add(BEN, home.grant(ben, OWNS, BEN)) == ["not the owner"]
    home.add(ANNA, home.grant(ben, WRITES, BEN))
    assert home.add(BEN, home.grant(cleo, READS, CLEO)) == ["not the owner"]
    assert home.add(BEN, home.grant(home.anna, READS, ANNA)) == ["not the owner"]
    home.add(ANNA, home.grant(ben, OWNS, BEN))
    assert home.add(BEN, home.grant(cleo, READS, CLEO)) == [""]


def test_a_reader_hands_the_key_on_and_changes_nothing(home: Home, ben: bytes):
    cleo = home.admit(CLEO, PI, WRITER)
    home.add(ANNA, home.grant(ben, READS, BEN), home.grant(cleo, READS))
    assert home.add(BEN, home.grant(cleo, READS, CLEO)) == [""]
    assert home.membership.state().vaults[home.vault].epochs[home.epoch].sealed[CLEO.id] == BOX


def test_a_key_handed_on_replaces_none(home: Home, ben: bytes):
    other = b"another key".ljust(80, b".")
    home.add(ANNA, home.grant(ben, READS, BEN))
    assert home.add(ANNA, [GRANT, home.vault, home.epoch, ben, READS, [[BEN.id, other]]]) == [""]
    assert home.membership.state().vaults[home.vault].epochs[home.epoch].sealed[BEN.id] == BOX


def test_a_reader_who_hands_on_garbage_locks_nobody_out(home: Home, ben: bytes):
    """Who has more to do with a key than who gave it before gives it again: first the person themselves."""
    garbage, own = b"garbage".ljust(80, b"."), b"from herself".ljust(80, b".")
    tablet = Author("annas tablet")
    home.add(ANNA, admit_device(FAMILY, tablet, home.anna))
    home.add(ANNA, add_keyholder(FAMILY, home.anna, tablet, CLEO))
    directory = home.membership.state().directory
    epoch = home.membership.state().vaults[directory].newest_epoch() or b""
    assert home.add(BEN, [GRANT, directory, epoch, home.anna, WRITES, [[CLEO.id, garbage]]]) == [""]
    assert home.add(ANNA, [GRANT, directory, epoch, home.anna, WRITES, [[CLEO.id, own]]]) == [""]
    assert home.add(BEN, [GRANT, directory, epoch, home.anna, WRITES, [[CLEO.id, garbage]]]) == [""]
    assert home.membership.state().vaults[directory].epochs[epoch].sealed[CLEO.id] == own


def test_a_key_goes_to_that_persons_keys_alone(home: Home, ben: bytes):
    assert home.add(ANNA, home.grant(ben, READS, CLEO)) == ["not that person's keys"]
    assert home.add(ANNA, home.grant(b"?" * 16, READS)) == ["unknown person or right"]
    assert home.add(ANNA, home.grant(ben, 4, BEN)) == ["unknown person or right"]
    assert home.add(ANNA, home.grant(ben, 0, BEN)) == ["unknown person or right"]
    elsewhere = [GRANT, home.vault, b"?" * 32, ben, READS, []]
    assert home.add(ANNA, elsewhere) == ["unknown vault or epoch"]


def test_the_directory_gives_one_right(home: Home, ben: bytes):
    epoch = home.membership.state().vaults[home.directory].newest_epoch()
    assert home.add(ANNA, [GRANT, home.directory, epoch, ben, OWNS, []]) == ["not the owner"]
    assert home.add(ANNA, [GRANT, home.directory, epoch, ben, READS, []]) == ["not the owner"]
    assert home.add(BEN, [GRANT, home.directory, epoch, ben, WRITES, [[BEN.id, BOX]]]) == [""]


def test_a_suite_never_goes_down(home: Home, ben: bytes):
    assert home.add(ANNA, [SUITE, home.vault, 2, [2], 2]) == [""]
    assert home.add(ANNA, [SUITE, home.vault, 1, [1], 1]) == ["suite version does not go up"]
    assert home.add(ANNA, [SUITE, home.vault, 2, [1], 1]) == ["suite version does not go up"]
    assert home.add(ANNA, [SUITE, home.vault, 3, [3], 3]) == ["unknown suite"]
    assert home.add(ANNA, [SUITE, home.vault, 3, [1], 2]) == ["unknown suite"]
    assert home.add(BEN, [SUITE, home.vault, 3, [1], 1]) == ["not the owner"]
    assert home.add(BEN, [SUITE, home.directory, 3, [1], 1]) == ["not the owner"]
    assert home.membership.state().vaults[home.vault].suite == 2


def test_unlock_wraps_and_paper_keys_are_a_persons_own(home: Home, ben: bytes):
    wrap, paper = [UNLOCK, ben, b"w" * 64, b""], [PAPER, ben, b"k" * 32, b"b" * 32, b"c" * 48]
    assert home.add(ANNA, wrap) == ["another person's"]
    assert home.add(ANNA, paper) == ["another person's"]
    assert home.add(BEN, [PAPER, ben, ANNA.id, b"b" * 32, b"c" * 48]) == ["key in use"]
    assert home.add(BEN, wrap, paper) == ["", ""]


def test_what_has_no_effect_says_so_and_keeps_what_follows_in_place(home: Home, ben: bytes):
    before = encode_state(home.membership)
    home.add(BEN, [PERSON, ADMIN, b"x" * 16])
    assert encode_state(home.membership) == before
    assert home.batches[-1][0].hash in home.membership
    assert home.add(BEN, [VAULT, PRIVATE, b"y" * 16]) == [""]


# Vectors


def test_the_vectors_formulas_hold():
    keys = {name: bytes.fromhex(text) for name, text in VECTORS["keys"].items()}
    family = family_id(keys["keyholder"], keys["keyholder_box"], keys["recovery"], keys["nonce"])
    assert family.hex() == VECTORS["family"]
    device = (keys["device"], keys["device_box"], keys["leaf"])
    holder = (keys["keyholder"], keys["keyholder_box"])
    assert {name: bytes.fromhex(text) for name, text in VECTORS["proofs"].items()} == {
        "device": device_proof(family, *device, keys["person"]),
        "keyholder": keyholder_proof(family, keys["person"], keys["device"], *holder),
        "self admission": self_admission(family, *holder),
    }
    made = Statements(family).make(ANNA, *map(decode, map(bytes.fromhex, VECTORS["founding"]["statements"])))
    assert [s.body[0] for s in made] == [FOUND, PERSON]
    it = Statements(family)
    assert it.add(ANNA, *(s.body for s in made)) == ["", ""]


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["name"])
def test_a_powerless_vector_says_why(vector):
    it = Statements(bytes.fromhex(VECTORS["family"]))
    founding = [decode(bytes.fromhex(text)) for text in VECTORS["founding"]["statements"]]
    body = decode(bytes.fromhex(vector["body"]))
    assert it.add(ANNA, *founding, body) == ["", "", vector["reason"]]


# Odd statements


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(0, 13)
    | st.binary(max_size=40)
    | st.sampled_from([ANNA.id, LAPTOP.id, b"p" * 16, b"s" * 64, b"e" * 32])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


BODIES = st.builds(lambda kind, rest: [kind, *rest], st.integers(-1, 14), st.lists(ODD, max_size=8))


@given(st.lists(BODIES, max_size=8))
@settings(max_examples=300)
def test_no_statement_makes_the_membership_raise(bodies):
    home = Home()
    before = encode_state(home.membership)
    for author in (ANNA, CLEO):
        for body in bodies:
            home.add(author, body)
        home.membership.state()
    if all(body[0] not in (PERSON, PERMIT, VAULT, UNLOCK, PAPER) for body in bodies):
        assert encode_state(home.membership) == before


MUTATED = st.tuples(st.integers(0, 30), st.integers(0, 7), ODD)


@given(st.lists(MUTATED, min_size=1, max_size=6))
@settings(max_examples=200)
def test_a_valid_statement_with_one_part_replaced_never_raises(mutations):
    home = Home()
    ben = home.admit(BEN, PHONE, WRITER)
    good = [body for batch in home.batches for body in (s.body for s in batch)]
    good += [home.grant(ben, READS, BEN), home.next_epoch(), admit_self(CLEO)]
    for which, part, value in mutations:
        body = list(good[which % len(good)])
        body[part % len(body)] = value
        if type(body[0]) is int:
            home.add(ANNA, body)
            home.add(BEN, body)
    home.membership.state()


# Order of arrival


def epochs_of(vault: Vault) -> list[Any]:
    return sorted([name, e.commitment, sorted(map(list, e.sealed.items()))] for name, e in vault.epochs.items())


def encode_state(membership: Membership) -> bytes:
    state = membership.state()
    value = [
        state.founder,
        state.directory,
        sorted([k, p.role, p.admitted_by] for k, p in state.people.items()),
        sorted([k, d.role, d.owner, d.box_key] for k, d in state.devices.items()),
        sorted([k, h.person, h.device] for k, h in state.keyholders.items()),
        sorted(state.permits),
        sorted([k, p.sign_key] for k, p in state.papers.items()),
        [
            [key, v.kind, sorted(map(list, v.rights.items())), v.suite_version, v.suite, epochs_of(v)]
            for key, v in sorted(state.vaults.items())
        ],
        sorted([k, [[w.hash, w.wrap] for w in wraps]] for k, wraps in state.unlocks.items()),
    ]
    return encode(value)


def busy_family(draw) -> list[list[Statement]]:
    """Anna and Ben act apart and together: each batch is made after some of what the other did."""
    home = Home()
    ben = home.admit(BEN, PHONE, ADMIN)
    home.add(ANNA, home.grant(ben, OWNS, BEN))
    known = {ANNA: home.membership.heads(), BEN: home.membership.heads()}
    for number in range(draw(st.integers(2, 7))):
        author = draw(st.sampled_from([ANNA, BEN]))
        person = ben if author is BEN else home.anna
        deed = draw(st.integers(0, 6))
        body: list[Any] = [
            [PERSON, draw(st.sampled_from([ADMIN, WRITER, READER])), bytes([number]) * 16],
            [VAULT, SHARED, bytes([number]) * 16],
            home.grant(ben, draw(st.sampled_from([READS, WRITES, OWNS])), BEN),
            home.next_epoch(),
            [SUITE, home.vault, draw(st.integers(2, 4)), [2], 2],
            [UNLOCK, person, bytes([number]) * 40, b""],
            [PAPER, person, bytes([number + 1]) * 32, b"b" * 32, b"c" * 48],
        ][deed]
        if draw(st.booleans()):
            known[author] = home.membership.heads()
        home.add(author, body, frontier=known[author])
        known[author] = tuple(sorted({*known[author], home.batches[-1][-1].hash}))
    return home.batches


@given(st.data())
@settings(max_examples=150)
def test_every_order_of_arrival_that_respects_the_past_gives_the_same_family(data):
    batches = busy_family(data.draw)
    reference, other = Membership(FAMILY), Membership(FAMILY)
    for batch in batches:
        reference.add(batch)
    waiting = list(batches)
    while waiting:
        ready = [batch for batch in waiting if all(head in other for head in batch[0].frontier)]
        batch = data.draw(st.sampled_from(ready))
        waiting.remove(batch)
        other.add(batch)
    assert other.reasons == reference.reasons
    assert other.heads() == reference.heads()
    assert encode_state(other) == encode_state(reference)
    again = Membership(FAMILY)
    for batch in batches:
        again.add(batch, reference.reasons)
    assert encode_state(again) == encode_state(reference)


def test_a_fork_cannot_give_one_statement_two_pasts(home: Home):
    """Both sides of the fork hold the same statement, after another one each."""
    after = home.membership.heads()
    vault = [VAULT, SHARED, b"x" * 16]
    name = name_of(home, ANNA, vault)[:16]
    one = home.make(ANNA, vault, [SUITE, name, 1, [1], 1], frontier=after)
    two = home.make(ANNA, [PERSON, WRITER, b"y" * 16], [SUITE, name, 1, [1], 1], frontier=after)
    assert one[1].hash != two[1].hash
    orders = []
    for order in ((one, two), (two, one)):
        membership = Membership(FAMILY)
        for batch in (*home.batches, *order):
            membership.add(batch)
        orders.append((encode_state(membership), membership.reasons))
    assert orders[0] == orders[1]


def test_a_frontier_never_forgets(home: Home, ben: bytes):
    membership = home.membership
    early = home.batches[0][-1].hash
    assert membership.includes(membership.heads(), (early,))
    assert not membership.includes((early,), membership.heads())
    with pytest.raises(KeyError):
        membership.mask((b"?" * 32,))
