"""The scheduler: one thread decodes all calls, a step at a time.

A step is one llama_decode: the next token of every reply under way, and a piece of the oldest prompt that is still
being read, so small that the replies do not stall. (Few replies are decoded one by one where that is faster.) Rules:

1. Prompts are read in the order in which they came; a request waits until the cache has room for its prompt and its
   longest reply, so that no reply runs out of room in its middle.
2. A request whose prompt begins like one that is being read at this moment waits for it, and shares its cells.
3. A cancelled request is gone at the next step. What it read stays in the cache, until room is needed.
4. A reader who does not fetch lets its own reply rest, nobody else's.
5. What is only read ahead waits until nothing else wants a step, and half of the places are free of it. There is
   nothing to do for a prompt that the cache holds.
6. When llama.cpp fails, what the cache holds is unknown: every request under way fails, and the cache is emptied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, cast

import numpy as np

from voicebot.engines.llama_c import Logits, Row
from voicebot.engines.llama_slots import Memory, Slots, common_prefix
from voicebot.engines.llama_tasks import Generation, Scoring, Task
from voicebot.errors import EngineBadOutput, EngineError, EngineOverloaded

T_co = TypeVar("T_co", covariant=True)
WAITING_MAX = 64
"""Requests that may wait for room; one more is refused."""
NO_LOGITS: Logits = np.empty(0, dtype=np.float32)
WORTH_WAITING = 16
"""Tokens of a prompt that must be saved for a request to wait until another has read them."""


class Decoder(Memory, Protocol):
    """What is needed of `llama_c.Context`."""

    def decode(self, rows: Sequence[Row]) -> bool: ...

    def logits(self, row: int) -> Logits: ...

    def clear(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """`replies`: requests worked on at once. `alone`, `beside`: prompt tokens in a step, without and with replies."""

    replies: int
    alone: int
    beside: int
    together: int = 1
    """Fewer replies than this are decoded one by one: this model is faster so."""


@dataclass(slots=True)
class _Share:
    """A task's part in a step. `branches`: for each sequence that is a branch for this step only, its rows' count."""

    task: Task
    rows: list[Row]
    branches: dict[int, int] = field(default_factory=dict)


class Scheduler:
    """All requests of a model. Thread: the model's owner."""

    def __init__(self, decoder: Decoder, slots: Slots, scratch: Sequence[int], limits: Limits) -> None:
        """`scratch`: sequences beside those of `slots`, for answers that are weighed."""
        self._decoder = decoder
        self._slots = slots
        self._scratch = scratch
        self._limits = limits
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []

    def submit(self, task: Task) -> None:
        """Raises: EngineOverloaded; EngineBadOutput for a request that could never fit."""
        size = len(task.prompt) + task.more
        if size > self._slots.cells:
            raise EngineBadOutput(f"{size} tokens do not fit the {self._slots.cells} cells of the cache; raise cells")
        if task.ahead and (self._ahead_enough() or self._slots.longest(task.prompt) == len(task.prompt) - 1):
            task.end()
            return
        if len(self._waiting) >= WAITING_MAX:
            raise EngineOverloaded(f"{WAITING_MAX} requests wait for room in the cache; raise cells")
        self._waiting.append(task)

    def _ahead_enough(self) -> bool:
        """Rule 5."""
        return 2 * sum(one.ahead for one in (*self._running, *self._waiting)) >= self._limits.replies

    def step(self) -> bool:
        """Work once for every request that can go on. False: there was nothing to do."""
        self._drop_gone()
        self._admit()
        shares = self._plan()
        if not shares:
            return False
        try:
            for group in self._groups(shares):
                self._evaluate(group)
        except EngineError as error:
            self._fail_all(error)
            return True
        self._release_ended()
        return True

    def close(self) -> None:
        """Every request ends without its end."""
        for task in (*self._running, *self._waiting):
            task.end()
        self._running.clear()
        self._waiting.clear()

    def _drop_gone(self) -> None:
        for task in (*self._running, *self._waiting):
            if task.gone:
                task.end()
        self._release_ended()
        if any(task.ended for task in self._waiting):
            self._waiting = deque(task for task in self._waiting if not task.ended)

    def _release_ended(self) -> None:
        for task in [task for task in self._running if task.ended]:
            self._running.remove(task)
            if task.slot is not None:
                self._slots.release(task.slot)

    def _admit(self) -> None:
        for task in list(self._waiting):
            if len(self._running) >= self._limits.replies:
                return
            if self._is_being_read(task.prompt):
                continue
            task.slot = self._slots.acquire(task.session, task.prompt, task.more)
            if task.slot is None:
                return
            task.cached = len(task.slot.tokens)
            self._waiting.remove(task)
            self._running.append(task)

    def _is_being_read(self, prompt: list[int]) -> bool:
        """Whether a running request will soon have read much more of this prompt than the cache holds now."""
        if not self._slots.truncates:
            return False
        reading = [task.prompt for task in self._running if task.prompt_left and not task.ahead]
        soon = max((common_prefix(other, prompt, len(prompt) - 1) for other in reading), default=0)
        return soon >= WORTH_WAITING and soon >= self._slots.longest(prompt) + WORTH_WAITING

    def _plan(self) -> list[_Share]:
        able = [task for task in self._running if not task.rests]
        active = [task for task in able if not task.ahead] or able
        shares = [_next_token(task) for task in active if isinstance(task, Generation) and not task.prompt_left]
        room = self._limits.beside if shares or any(task.ahead for task in active) else self._limits.alone
        scratch = list(self._scratch)
        first = True
        for task in active:
            if task.prompt_left and room > 0:
                share = _piece_of_prompt(task, room)
            elif isinstance(task, Scoring) and not task.prompt_left:
                share = _branches(task, scratch, room, at_least=1 if first else 0)
            else:
                continue
            if share.rows:
                shares.append(share)
                room -= len(share.rows)
                first = False
        return shares

    def _groups(self, shares: list[_Share]) -> list[list[_Share]]:
        """What is decoded at once."""
        reading = any(share.branches or share.task.prompt_left for share in shares)
        return [shares] if reading or len(shares) >= self._limits.together else [[share] for share in shares]

    def _evaluate(self, shares: Sequence[_Share]) -> None:
        """Raises: EngineError."""
        for share in shares:
            for sequence in share.branches:
                self._branch(share.task, sequence)
        while not self._decoder.decode([row for share in shares for row in share.rows]):
            if not self._slots.give_up_one():
                raise EngineOverloaded("the cache has no cell left although room was kept; lower calls or raise cells")
        start = 0
        for share in shares:
            try:
                self._take(share, start)
            except EngineError as error:
                share.task.end(error)
            start += len(share.rows)

    def _take(self, share: _Share, start: int) -> None:
        """Give a task its logits. Raises: EngineError, which is that task's alone."""
        task = share.task
        for sequence in share.branches:
            self._decoder.remove(sequence, 0)
        if share.branches:
            _weigh(cast(Scoring, task), share, [self._decoder.logits(start + at) for at in range(len(share.rows))])
            return
        assert task.slot is not None, "a task that has rows has a slot"
        was_reading = task.prompt_left > 0
        self._slots.extend(task.slot, [row.token for row in share.rows])
        if task.prompt_left > 0:
            return
        logits = NO_LOGITS if task.ahead else self._decoder.logits(start + len(share.rows) - 1)
        if was_reading:
            if not self._slots.truncates:
                self._slots.checkpoint(task.slot)
            task.prompt_read(logits)
        else:
            cast(Generation, task).draw(logits)

    def _branch(self, task: Task, sequence: int) -> None:
        assert task.slot is not None, "the prompt has been read"
        length = len(task.slot.tokens) if self._slots.truncates else -1
        self._decoder.copy(task.slot.sequence, sequence, length)

    def _fail_all(self, error: EngineError) -> None:
        for task in self._running:
            task.end(error)
        self._running.clear()
        self._decoder.clear()
        self._slots.forget_all()


def _next_token(task: Generation) -> _Share:
    assert task.slot is not None
    return _Share(task, [Row(task.next_token, len(task.slot.tokens), task.slot.sequence, True)])


def _piece_of_prompt(task: Task, room: int) -> _Share:
    assert task.slot is not None
    start = len(task.slot.tokens)
    piece = task.prompt[start : start + room]
    last = -1 if task.ahead else len(task.prompt) - 1
    sequence = task.slot.sequence
    return _Share(task, [Row(token, at, sequence, at == last) for at, token in enumerate(piece, start)])


def _branches(task: Scoring, scratch: list[int], room: int, at_least: int) -> _Share:
    """Takes what it uses out of `scratch`."""
    share = _Share(task, [])
    for tokens in task.branches(len(scratch), room, at_least):
        sequence = scratch.pop()
        share.branches[sequence] = len(tokens)
        share.rows += [Row(token, at, sequence, True) for at, token in enumerate(tokens, len(task.prompt))]
    return share


def _weigh(task: Scoring, share: _Share, logits: Sequence[Logits]) -> None:
    start, branches = 0, []
    for count in share.branches.values():
        branches.append(logits[start : start + count])
        start += count
    task.weighed(branches)


class Underway(Generic[T_co]):
    """The chunks of one task. Iterating works for all tasks; `ready` says what is there without working."""

    def __init__(self, scheduler: Scheduler, task: Task) -> None:
        self._scheduler = scheduler
        self._task = task

    @property
    def ready(self) -> bool:
        """Whether the next chunk, the end or an error is there."""
        return bool(self._task.chunks) or self._task.ended or self._task.gone

    def __iter__(self) -> Underway[T_co]:
        return self

    def __next__(self) -> T_co:
        """Raises: EngineError."""
        task = self._task
        while not task.gone:
            if task.chunks:
                return cast(T_co, task.chunks.popleft())
            if task.ended:
                error, task.error = task.error, None
                if error is not None:
                    raise error
                break
            if not self._scheduler.step() and not self.ready:
                raise EngineOverloaded("replies that nobody fetches hold the whole cache; fetch or cancel them")
        raise StopIteration

    def __del__(self) -> None:
        """Nobody can fetch the rest: it is not made."""
        self._task.abandoned = True
