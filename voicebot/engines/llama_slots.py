"""Who holds which part of the key-value cache: sequences, the prefixes that they share, and what is given up first.

A slot is one sequence of llama.cpp and the tokens that it holds. A new prompt takes the slot whose tokens agree with it
the longest: the call's own slot is cut back to where they differ; another's is left alone and its prefix shared, which
in a unified cache costs no cell. Slots that nobody works on are kept, and given up least recently used first.

Cells are counted here as llama.cpp counts them: a cell lives as long as one sequence holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

SHARED_MIN = 8
"""A prefix shorter than this is not worth sharing."""


class Memory(Protocol):
    """The operations on sequences of `llama_c.Context`."""

    def remove(self, sequence: int, start: int) -> bool: ...

    def copy(self, source: int, target: int, stop: int) -> None: ...


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence. `reserved`: cells that its request may still take."""

    sequence: int
    session: str = ""
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    """Numbers of the cells that hold `tokens`; slots that share a prefix have the same."""
    reserved: int = 0
    busy: bool = False
    used: int = 0
    """When it was last worked for, in releases."""


class Slots:
    """All sequences of a context and its cells."""

    def __init__(self, memory: Memory, sequences: Sequence[int], cells: int, *, truncates: bool) -> None:
        """`truncates`: a sequence can forget its tail. One that keeps a running state (recurrent layers) cannot."""
        self._memory = memory
        self._slots = [Slot(sequence) for sequence in sequences]
        self._cells = cells
        self._holders = [0] * cells
        self._free = list(range(cells))
        self._releases = 0
        self.truncates = truncates

    @property
    def free(self) -> int:
        """Cells that nobody holds and nobody has been promised."""
        return len(self._free) - sum(slot.reserved for slot in self._slots)

    @property
    def cells(self) -> int:
        return self._cells

    def held(self) -> list[Slot]:
        """Slots that hold tokens, for inspection."""
        return [slot for slot in self._slots if slot.tokens]

    def acquire(self, session: str, prompt: list[int], more: int) -> Slot | None:
        """A slot that holds as long a prefix of `prompt` as there is, but not all of it; None while there is no room.

        `more`: cells that the request needs beyond its prompt.
        """
        donor, shared = self._donor(session, prompt)
        cuts = donor is not None and self._may_cut(donor, session, shared)
        slot = donor if cuts else self._spare(keep=donor) or self._if_idle(donor)
        if slot is None:
            return None
        if slot is not donor:
            self.drop(slot)
        elif not self._cut(slot, shared):
            shared = 0
        if not self._make_room(len(prompt) - shared + more, keep=(slot, donor)):
            slot = self._if_idle(donor)  # The only room left is the donor's own: go on in it.
            if slot is None or not self._cut(slot, shared) or not self._make_room(len(prompt) - shared + more, (slot,)):
                return None
        if slot is not donor:
            self._share(donor, slot, shared)
        slot.session, slot.busy = session, True
        slot.reserved = len(prompt) - len(slot.tokens) + more
        return slot

    def longest(self, prompt: list[int]) -> int:
        """How many of the prompt's tokens a slot would start with."""
        return max(self._usable(slot, prompt) for slot in self._slots)

    def extend(self, slot: Slot, tokens: Sequence[int]) -> None:
        """`tokens` were evaluated on the slot's sequence."""
        slot.tokens += tokens
        for _ in tokens:
            cell = self._free.pop()
            self._holders[cell] = 1
            slot.cells.append(cell)
        slot.reserved -= len(tokens)
        assert slot.reserved >= 0, "a request takes no more cells than it was promised"

    def release(self, slot: Slot) -> None:
        """Nobody works for the slot any more; what it holds is kept for the call's next prompt."""
        self._releases += 1
        slot.busy, slot.reserved, slot.used = False, 0, self._releases

    def checkpoint(self, slot: Slot) -> None:
        """Keep what the slot holds now in a slot of its own, if one is spare: for models that cannot cut back."""
        spare = self._spare(keep=slot)
        if spare is not None:
            self.drop(spare)
            self._share(slot, spare, len(slot.tokens))
            spare.session = slot.session
            self.release(spare)

    def drop(self, slot: Slot) -> None:
        """Forget all that the slot holds."""
        if slot.tokens:
            self._memory.remove(slot.sequence, 0)
        self._let_go(slot, 0)

    def forget_all(self) -> None:
        """The context was cleared."""
        for slot in self._slots:
            self._let_go(slot, 0)
            slot.busy, slot.reserved = False, 0

    def give_up_one(self) -> bool:
        """Drop the slot that has been idle for longest. False: none is idle."""
        idle = self._idle(())
        if idle:
            self.drop(idle[0])
        return bool(idle)

    def _donor(self, session: str, prompt: list[int]) -> tuple[Slot | None, int]:
        """The slot with the longest usable prefix, the call's own first among equals, and the length of that prefix."""
        best: tuple[int, bool, int] = (0, False, 0)
        donor = None
        for slot in self._slots:
            shared = self._usable(slot, prompt)
            rank = (shared, not slot.busy and slot.session == session, slot.used)
            if shared and rank > best:
                donor, best = slot, rank
        if donor is not None and (best[1] or best[0] >= SHARED_MIN):
            return donor, best[0]
        return None, 0

    def _usable(self, slot: Slot, prompt: list[int]) -> int:
        """At least one token of the prompt is evaluated anew, because its logits start the reply."""
        shared = common_prefix(slot.tokens, prompt, len(prompt) - 1)
        return shared if self.truncates or shared == len(slot.tokens) else 0

    def _may_cut(self, donor: Slot, session: str, shared: int) -> bool:
        """A call's slot is used again unless another prompt of that call would lose most of what it holds."""
        own = not donor.busy and donor.session == session
        return own and self.truncates and 2 * shared >= len(donor.tokens)

    def _if_idle(self, slot: Slot | None) -> Slot | None:
        return slot if slot is not None and not slot.busy else None

    def _spare(self, keep: Slot | None) -> Slot | None:
        """An empty slot, else the one idle for longest."""
        for slot in self._slots:
            if not slot.busy and not slot.tokens:
                return slot
        idle = self._idle((keep,))
        return idle[0] if idle else None

    def _idle(self, keep: Sequence[Slot | None]) -> list[Slot]:
        """Slots that could be given up, the least recently used first."""
        idle = [slot for slot in self._slots if not slot.busy and slot.tokens and slot not in keep]
        return sorted(idle, key=lambda slot: slot.used)

    def _make_room(self, cells: int, keep: Sequence[Slot | None]) -> bool:
        """Give up idle slots until `cells` are free."""
        for slot in self._idle(keep):
            if self.free >= cells:
                return True
            self.drop(slot)
        return self.free >= cells

    def _cut(self, slot: Slot, length: int) -> bool:
        """Keep the first `length` tokens; none, and False, where the model turns out to be unable to."""
        if length < len(slot.tokens) and not self._memory.remove(slot.sequence, length):
            self.drop(slot)
            return False
        self._let_go(slot, length)
        return True

    def _share(self, donor: Slot | None, slot: Slot, length: int) -> None:
        if donor is None or not length:
            return
        self._memory.copy(donor.sequence, slot.sequence, length if self.truncates else -1)
        slot.tokens, slot.cells = donor.tokens[:length], donor.cells[:length]
        for cell in slot.cells:
            self._holders[cell] += 1

    def _let_go(self, slot: Slot, length: int) -> None:
        for cell in slot.cells[length:]:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                self._free.append(cell)
        del slot.tokens[length:], slot.cells[length:]


def common_prefix(left: list[int], right: list[int], limit: int) -> int:
    """How many tokens at the beginning are the same, `limit` at most: a search by halves over comparisons in C."""
    same, size = 0, max(0, min(len(left), len(right), limit))
    if left[:size] == right[:size]:
        return size
    while size - same > 1:
        middle = (same + size) // 2
        if left[same:middle] == right[same:middle]:
            same = middle
        else:
            size = middle
    return same
