"""What one replica worked out, the next need not work out again: remembered by everything that decides it.

Many copies of one family verify, read and add up the same entries. Here each pure step is done once for each input:
a signature by key, message and signature; a decoding by its bytes; a value by its keys, place and ciphertext; a
chained entry by what is chained to what; a state by its statements in the order in which they came, so that a fault
that lets the order decide is found as before. Nothing is remembered from one run to the next, and no refusal is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from nacl.signing import VerifyKey

from node.sealing import Opener, Place, Value, VaultKeys
from replication import entry, log, replica, statements
from replication.entry import Entry, Wire
from replication.membership import Membership, State
from simulations import household
from simulations.household import replaced


def _verify_key() -> type[VerifyKey]:
    good: set[tuple[bytes, bytes, bytes | None]] = set()

    class Remembering(VerifyKey):
        def verify(self, smessage: bytes, signature: bytes | None = None, encoder: Any = None) -> bytes:
            name = (bytes(self), bytes(smessage), signature)
            if name not in good:
                super().verify(smessage, signature)
                good.add(name)
            return smessage

    return Remembering


def _by_bytes(real: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    done: dict[bytes, Any] = {}

    def once(data: bytes) -> Any:
        if data not in done:
            done[data] = real(data)
        return done[data]

    return once


def _chain(real: Callable[..., Entry]) -> Callable[..., Entry]:
    # By the very wire: it is kept, so its id is no other's.
    done: dict[tuple[Any, ...], tuple[Wire, Entry]] = {}

    def once(self: Wire, *place: Any) -> Entry:
        name = (id(self), *place)
        if name not in done:
            done[name] = (self, real(self, *place))
        return done[name][1]

    return once


def _state(real: Callable[[Membership, int], State]) -> Callable[[Membership, int], State]:
    done: dict[tuple[bytes, ...], State] = {}

    def once(self: Membership, mask: int) -> State:
        mask &= self._effective
        if mask not in self._states:
            came = (self.family, *(name for name in self._order if self._bit[name] & mask))
            if came not in done:
                done[came] = real(self, mask)
            self._states[mask] = done[came]
        return self._states[mask]

    return once


def _opener(real: type[Opener]) -> Callable[[VaultKeys, Place, bytes, bytes], Opener]:
    made: dict[tuple[Any, ...], Opener] = {}

    class Remembering(real):  # type: ignore[valid-type,misc]
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._done: dict[tuple[int, bytes, bytes], Value] = {}

        def open(self, index: int, op_target: bytes, sealed: bytes) -> Value:
            name = (index, op_target, sealed)
            if name not in self._done:
                self._done[name] = super().open(index, op_target, sealed)
            return self._done[name]

    def once(keys: VaultKeys, place: Place, salt: bytes, commitment: bytes) -> Opener:
        name = (keys.vault_key, keys.target_key, place, salt, commitment)
        if name not in made:
            made[name] = Remembering(keys, place, salt, commitment)
        return made[name]

    return once


def _alone(real: Callable[..., None], state: Callable[[Membership, int], State]) -> Callable[..., None]:
    """Who holds a statement in another form than the others adds up for itself."""

    def replace_body(self: Membership, other: Any) -> None:
        vars(self)["_state"] = partial(state, self)
        real(self, other)

    return replace_body


@contextmanager
def remembering() -> Iterator[None]:
    """For one run."""
    with ExitStack() as stack:
        key = _verify_key()
        for module in (entry, log, statements):
            stack.enter_context(replaced(module, "VerifyKey", key))
        stack.enter_context(replaced(household, "Opener", _opener(vars(household)["Opener"])))
        for name in ("from_wire", "_stored", "signed_from_wire"):
            stack.enter_context(replaced(replica, name, _by_bytes(vars(replica)[name])))
        stack.enter_context(replaced(Wire, "chain", _chain(vars(Wire)["chain"])))
        state = vars(Membership)["_state"]
        stack.enter_context(replaced(Membership, "replace_body", _alone(vars(Membership)["replace_body"], state)))
        stack.enter_context(replaced(Membership, "_state", _state(state)))
        yield
