"""On what each statement rests, and what each removal reaches: the family's statements, indexed.

All that is said here of a statement depends on its own past alone, so it is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from replication.removal import Removal, Said, Seniority
from replication.state import LAST, Level, Rank, State
from replication.statements import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    FOUND,
    GRANT,
    KEYHOLDER,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PROPOSE,
    PURGE,
    READER,
    READS,
    RECOVER,
    REMOVE,
    REVOKE,
    ROLE,
    SELF,
    SUITE,
    TAKE_IN,
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
    Cuts,
    Saw,
    Statement,
    read_cuts,
    read_named,
)

Subject = tuple[bytes, bytes]
"""(Vault, person): a right; (empty, person): a role."""
_ALWAYS_ADMINS: Final = (PERSON, PERMIT, TAKE_IN, PROPOSE, APPROVE, DISCOVERY)
_SAYS: Final = {PERSON: 1, ROLE: 2, REVOKE: 3, GRANT: 4}
"""Where a statement says which role or right."""
_ROLES: Final = {SELF: WRITER, RECOVER: ADMIN}
_TIERS: Final = {RECOVER: 0, APPROVE: 1, PAPER: 3}


@dataclass(frozen=True, slots=True)
class Part:
    """One device or person that a removal takes out."""

    what: int
    target: bytes
    cuts: Cuts
    removes: Callable[[bytes], bool]
    """Whether a keyholder's key is among those removed."""


class Grounds:
    """An index of the statements that had authority in their own past."""

    def __init__(
        self,
        statements: dict[bytes, Statement],
        rank_of: Callable[[bytes], Rank],
        saw: Saw,
        own_past: Callable[[bytes], State],
    ) -> None:
        self._statements = statements
        self._rank_of = rank_of
        self._saw = saw
        self._own_past = own_past
        self._admissions: dict[bytes, list[bytes]] = {}
        """Key of a keyholder, device or person to the statements that admitted it."""
        self._devices: dict[bytes, list[bytes]] = {}
        self._papers: dict[bytes, list[bytes]] = {}
        """Person to the statements that gave them a paper key."""
        self._permits: dict[bytes, list[bytes]] = {}
        self._recovery_keys: dict[bytes, list[bytes]] = {}
        self._levels: dict[Subject, list[bytes]] = {}
        self._kinds: dict[bytes, int] = {}
        """Vault to its kind."""
        self._moves: dict[bytes, int] = {}
        self._said: dict[bytes, Said] = {}
        self._seniority: dict[bytes, Seniority] = {}
        self._removals: list[bytes] = []

    def note(self, statement: Statement) -> bool:
        """Take one in. Whether it takes something away."""
        digest, body = statement.hash, statement.body
        kind = body[0]
        self._note_admission(statement)
        self._note_level(statement)
        if kind == PERMIT:
            self._permits.setdefault(body[1], []).append(digest)
        if kind in (FOUND, RECOVER):
            self._recovery_keys.setdefault(body[2] if kind == FOUND else body[10], []).append(digest)
        takes = kind in (REMOVE, APPROVE, RECOVER) or self.moves(digest) < 0
        if kind == PAPER:
            takes = bool(self._replaced(digest))
            self._papers.setdefault(body[1], []).append(digest)
        if takes:
            self._removals.append(digest)
        return takes

    def _note_admission(self, statement: Statement) -> None:
        digest, body = statement.hash, statement.body
        admits = {
            PERSON: (digest[:16],),
            SELF: (digest[:16], statement.author),
            DEVICE: body[1:2],
            KEYHOLDER: body[3:4],
            RECOVER: (digest[:16], *body[2:3], *body[7:8]),
        }
        for one in admits.get(body[0], ()):
            self._admissions.setdefault(one, []).append(digest)
        if body[0] in (DEVICE, RECOVER):
            self._devices.setdefault(body[1] if body[0] == DEVICE else body[2], []).append(digest)

    def _note_level(self, statement: Statement) -> None:
        digest, body = statement.hash, statement.body
        kind, subjects, moves = body[0], list[Subject](), 1
        if kind in (PERSON, SELF, RECOVER):
            subjects = [(b"", digest[:16])]
        elif kind == ROLE:
            subjects = [(b"", body[1])]
            moves = 1 if self._value(digest) > self._before(digest, subjects[0]) else -1
        elif kind == VAULT:
            self._kinds[digest[:16]] = body[1]
            subjects = [] if body[1] == DIRECTORY else [(digest[:16], p) for p in self._persons(digest)]
        elif kind == GRANT and self._kinds.get(body[1]) != DIRECTORY:
            changes = self._value(digest) != self._before(digest, (body[1], body[3]))
            subjects = [(body[1], body[3])] if changes else []
        elif kind == REVOKE:
            subjects, moves = [(body[1], body[2])], -1
        for subject in subjects:
            self._levels.setdefault(subject, []).append(digest)
            self._moves[digest] = moves

    def admitted(self, device: bytes) -> bool:
        """Whether any of the statements let a device in."""
        return device in self._devices

    def moves(self, digest: bytes) -> int:
        """Whether a statement raised (1) or lowered (-1) a role or a right, in its own past; 0: neither."""
        return self._moves.get(digest, 0)

    def _value(self, digest: bytes) -> int:
        """What a statement makes of a role or right: the larger the higher."""
        body = self._statements[digest].body
        if body[0] in (GRANT, REVOKE):
            return int(body[_SAYS[body[0]]])
        if body[0] == VAULT:
            return OWNS
        return READER - int(_ROLES[body[0]] if body[0] in _ROLES else body[_SAYS[body[0]]])

    def _heard(self, digest: bytes, some: Iterable[bytes]) -> list[bytes]:
        return [one for one in some if one != digest and self._saw(digest, one)]

    def _before(self, digest: bytes, subject: Subject) -> int:
        """The role or right in a statement's own past."""
        known = self._heard(digest, self._levels.get(subject, ()))
        removals = self._heard(digest, self._removals)
        if any(r != one and not self._saw(r, one) for r in removals for one in known):
            # Some of it may have been undone there.
            state, (vault, person) = self._own_past(digest), subject
            return state.vaults[vault].rights.get(person, 0) if vault else READER - state.people[person].role
        level = Level()
        for one in sorted(known, key=self._rank_of):
            if self._moves[one] > 0:
                level.raise_to(one, self._value(one), self._rank_of(one), self._saw)
            else:
                level.lower_to(one, self._value(one), self._saw)
        return level.value

    # Who said it, and by what right

    def _bound(self, key: bytes) -> list[tuple[bytes, bytes, bytes]]:
        """(admission, person, device) of a keyholder's key: a fork may have bound it twice."""
        found = []
        for one in self._admissions.get(key, ()):
            body = self._statements[one].body
            if body[0] == KEYHOLDER:
                found.append((one, body[1], body[2]))
            elif body[0] in (SELF, RECOVER):
                found.append((one, one[:16], body[2]))
        return found

    def _persons(self, digest: bytes, author: bytes = b"") -> set[bytes]:
        """Whose key signed a statement, as its own past has it. Empty: a paper key, or the founder's first words."""
        bound = self._bound(author or self._statements[digest].author)
        return {person for one, person, _ in bound if one != digest and self._saw(digest, one)}

    def _paper_person(self, digest: bytes) -> bytes:
        """Whose paper key signed a statement that no keyholder did."""
        body = self._statements[digest].body
        person = b""
        if body[0] in (KEYHOLDER, UNLOCK, PAPER):
            person = body[1]
        elif body[0] == DEVICE:
            person = body[5]
        elif body[0] == FORGET:
            person = self._statements[body[2]].body[1]
        elif body[0] == REMOVE:
            person = next(iter(self._owners(digest, body[2])), b"")
        return person if self._paper_roots(digest, person) else b""

    def _paper_roots(self, digest: bytes, person: bytes) -> list[bytes]:
        author = self._statements[digest].author
        heard = self._heard(digest, self._papers.get(person, ()))
        return [one for one in heard if self._statements[one].body[2] == author]

    def _replaced(self, digest: bytes) -> set[bytes]:
        """The paper keys that a new one takes the place of."""
        body = self._statements[digest].body
        earlier = self._heard(digest, self._papers.get(body[1], ()))
        return {self._statements[one].body[2] for one in earlier} - {body[2]}

    def _owners(self, digest: bytes, device: bytes) -> set[bytes]:
        return {self._owner(one) for one in self._heard(digest, self._devices.get(device, ()))}

    def _owner(self, admission: bytes) -> bytes:
        body = self._statements[admission].body
        return bytes(body[5]) if body[0] == DEVICE else admission[:16]

    def said(self, digest: bytes) -> Said:
        """Who made a statement, by what authority, and on what it rests."""
        found = self._said.get(digest)
        if found is None:
            found = self._said[digest] = self._read(self._statements[digest])
        return found

    def _read(self, statement: Statement) -> Said:
        digest, body = statement.hash, statement.body
        authors, needs = [statement.author], list[list[bytes]]()
        if body[0] == RECOVER:
            return Said(digest, (), (tuple(self._heard(digest, self._recovery_keys[statement.author])),))
        if body[0] == APPROVE:
            authors.append(self._statements[body[1]].author)
        paper = b"" if self._persons(digest) else self._paper_person(digest)
        if paper:
            needs.append(self._paper_roots(digest, paper))
        as_admin, vault, level = (False, b"", 0) if paper else self._authority(statement, self._persons(digest))
        for author in authors:
            persons = self._persons(digest, author)
            needs.append(self._heard(digest, self._admissions.get(author, ())))
            if as_admin and persons:
                needs.append([one for p in persons for one in self._latest(digest, (b"", p), READER - ADMIN)])
            if level:
                needs.append([one for p in persons for one in self._latest(digest, (vault, p), level)])
        if body[0] in (KEYHOLDER, SELF):
            needs.append(self._heard(digest, self._admissions.get(body[2], ())))
            more = self._admissions if body[0] == KEYHOLDER else self._permits
            needs.append(self._heard(digest, more.get(body[1] if body[0] == KEYHOLDER else body[2], ())))
        if body[0] in (APPROVE, FORGET):  # the proposal, and the wrap that is in the others' place
            needs.append([body[1] if body[0] == APPROVE else body[2]])
        return Said(digest, tuple(authors), tuple(tuple(one) for one in needs), as_admin, paper, vault, level)

    def _authority(self, statement: Statement, persons: set[bytes]) -> tuple[bool, bytes, int]:
        """(whether as an admin, vault and right in it) without which it could not have been said."""
        digest, body = statement.hash, statement.body
        kind = body[0]
        if kind in (EPOCH, GRANT, SUITE, REVOKE, PURGE):
            return self._authority_in_vault(statement, persons)
        if kind in (DEVICE, KEYHOLDER, ROLE):
            return body[5 if kind == DEVICE else 1] not in persons, b"", 0
        if kind == REMOVE:
            own = self._owners(digest, body[2]) if body[1] == A_DEVICE else {body[2]}
            return not own & persons, b"", 0
        return kind in _ALWAYS_ADMINS, b"", 0

    def _authority_in_vault(self, statement: Statement, persons: set[bytes]) -> tuple[bool, bytes, int]:
        digest, (kind, vault, *rest) = statement.hash, statement.body
        if self._kinds.get(vault) == DIRECTORY:
            return kind in (SUITE, PURGE), b"", 0
        if kind == REVOKE and rest[0] in persons:
            return False, b"", 0
        if kind == EPOCH:
            return False, vault, WRITES
        if kind == GRANT and not self.moves(digest):
            return False, vault, READS
        if self._owned(digest, vault, persons):
            return False, vault, OWNS
        # An admin: of any vault for a purge, of one without owner for the rest.
        return True, *((b"", 0) if kind == PURGE else (vault, WRITES))

    def _owned(self, digest: bytes, vault: bytes, persons: set[bytes]) -> bool:
        known = [self._heard(digest, self._levels.get((vault, person), ())) for person in persons]
        if not any(self._value(one) == OWNS for some in known for one in some):
            return False
        if all(self.moves(one) > 0 for some in known for one in some):
            return True
        state = self._own_past(digest)
        return any(state.right(vault, person) >= OWNS for person in persons)

    def _latest(self, digest: bytes, subject: Subject, value: int) -> list[bytes]:
        """What gave somebody a role or a right in a statement's own past, since it was last taken away."""
        known = self._heard(digest, self._levels.get(subject, ()))
        given = [one for one in known if self.moves(one) > 0 and self._value(one) >= value]
        taken = [one for one in known if self.moves(one) < 0 and self._value(one) < value]
        return [one for one in given if all(self._saw(one, low) for low in taken)] or given

    # What is taken away

    def removal(self, digest: bytes, within: Callable[[bytes], bool]) -> tuple[Removal, list[Part]]:
        """A removal among the statements for which `within`, and who it takes out."""
        statement = self._statements[digest]
        body, author = statement.body, statement.author
        if body[0] == PAPER:
            old, person = self._replaced(digest), body[1]
            return Removal(digest, False, lambda said: said.paper == person and said.authors[0] in old), []
        if body[0] in (ROLE, REVOKE):
            return self._lowering(statement, within), []
        parts = [Part(*one, self._removes(one[0], one[1], within)) for one in self._targets(statement)]
        people = {part.target for part in parts if part.what == A_PERSON}

        def reaches(said: Said) -> bool:
            if any(part.removes(key) for part in parts for key in said.authors):
                return True
            if body[0] == RECOVER and self._statements[said.hash].body[0] == RECOVER:
                return self._statements[said.hash].author == author  # its key is used up
            return said.paper in people

        leaves = body[0] == REMOVE and any(part.removes(author) for part in parts)
        return Removal(digest, leaves, reaches), parts

    def _targets(self, statement: Statement) -> list[tuple[int, bytes, Cuts]]:
        body = statement.body
        if body[0] == RECOVER:
            return read_named(body[1])
        if body[0] == APPROVE:
            _, _, what, target = self._statements[body[1]].body
            return [(what, target, read_cuts(body[2]))]
        return [(body[1], body[2], read_cuts(body[3]))]

    def _removes(self, what: int, target: bytes, within: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        gone = {target} if what == A_DEVICE else self._devices_of(target, within)
        known: dict[bytes, bool] = {}

        def removes(key: bytes) -> bool:
            if key not in known:
                # By every admission of the key: a fork could bind it to a second device, out of reach.
                bound = [found for found in self._bound(key) if within(found[0])]
                known[key] = any(person == target or device in gone for _, person, device in bound)
            return known[key]

        return removes

    def _devices_of(self, person: bytes, within: Callable[[bytes], bool]) -> set[bytes]:
        found = set()
        for device, admissions in self._devices.items():
            first = min((one for one in admissions if within(one)), key=self._rank_of, default=None)
            if first and self._owner(first) == person:
                found.add(device)
        return found

    def _lowering(self, statement: Statement, within: Callable[[bytes], bool]) -> Removal:
        """A role or right taken away reaches what its target stated by it, but for what they did once it was given
        back by somebody who had heard."""
        digest, body = statement.hash, statement.body
        subject = (b"", body[1]) if body[0] == ROLE else (body[1], body[2])
        vault, target = subject
        back = self.given_back(digest, within)

        def by_target(key: bytes) -> bool:
            return any(person == target for one, person, _ in self._bound(key) if within(one))

        def reaches(said: Said) -> bool:
            needed = said.as_admin if not vault else said.vault == vault and said.level > body[3]
            if not needed or not any(by_target(key) for key in said.authors):
                return False
            return not any(self._saw(said.hash, one) for one in back)

        return Removal(digest, by_target(statement.author), reaches)

    def given_back(self, digest: bytes, within: Callable[[bytes], bool]) -> frozenset[bytes]:
        """The grants or roles stated after a revocation that give back what it took."""
        body = self._statements[digest].body
        subject = (b"", body[1]) if body[0] == ROLE else (body[1], body[2])
        later = [one for one in self._levels[subject] if self.moves(one) > 0 and self._saw(one, digest)]
        return frozenset(one for one in later if within(one))

    def seniority(self, digest: bytes) -> Seniority:
        """By which a removal in a circle is chosen, from its own past. To be asked of the earlier ones first."""
        found = self._seniority.get(digest)
        if found is None:
            statement = self._statements[digest]
            tier = _TIERS.get(statement.body[0], 2)
            roots = [root for need in self.said(digest).needs[:1] for root in need]
            key_rank = min(map(self._rank_of, roots), default=LAST)
            rank = self._person_rank(digest) if tier >= 2 else (0, b"")
            found = self._seniority[digest] = (tier, rank, key_rank, digest)
        return found

    def _person_rank(self, digest: bytes) -> Rank:
        past = self._own_past(digest)
        person = past.person_of(self._statements[digest].author) or self.said(digest).paper
        return past.people[person].rank if person in past.people else LAST
