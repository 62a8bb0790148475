"""Copies of answered turns for another model, unheard, to learn whether it would have answered the same.

    a turn is answered --> the call keeps a copy until the turn's label stands
    --> Shadows.offer --> a queue of at most WAITING --> one at a time, when nobody waits --> lane of the member | gate
    --> agreement with the answer that was heard, in the books; perhaps a judge

Rules:
1. A copy changes nothing that a caller hears and costs live turns nothing: it has its own money and breaker.
2. Nothing is copied that could still become private (ADR 32): the labels that count are those of when it is sent, and
   the gate asks for them again.
3. Tools are shown to the other model and never run; only what it says or asks for first is compared.
4. Copies die first: under pressure those that wait are dropped and the one under way is given up, counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from voicebot.brain.account import EXPERT, Account, Notebook, Outcome, Purpose, Tried
from voicebot.brain.expert import Expert
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.jobs import Order
from voicebot.brain.privacy import prompt_label, without_private
from voicebot.brain.reply import Attempt
from voicebot.brain.spans import as_said
from voicebot.brain.tools_runs import wish_of
from voicebot.core.labels import Label, strictest
from voicebot.core.text import normalize
from voicebot.engines.base import LlmChunk, LlmDone, LlmRequest, Message, Sampling, TextDelta, ToolCall
from voicebot.errors import EgressDenied, EngineError

log = logging.getLogger(__name__)
WAITING = 16
"""Copies that wait; one more is dropped."""
LONGEST_S = 30.0
"""How long one may take, its judge included."""
LOOK_S = 0.1
"""How often it is asked whether nobody waits."""
ALIKE = 0.5
"""Share of words in common from which two answers in words need no judge and count as agreeing."""
SAME_TOOL, OTHER_TOOL, WORDS = "same tool", "other tool", "words"
"""What a shadow's agreement was measured by; the reason of its attempt."""
VERDICTS = ("first", "second", "same")
JUDGE = (
    "Two assistants have answered the same caller. Which answer is better: right, complete and short enough to be "
    "heard? Write one word: first, second, or same where both will do."
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A turn that was answered. `by`: who is asked now, None for the expert; `talk`: the prompt, as labelled now.

    `label`: of the answer that was heard.
    """

    call: str
    turn: int
    by: Member | None
    talk: Sequence[Message]
    label: Label
    answer: Attempt


@dataclass(slots=True)
class _Kept:
    """A turn of a call. `talk`: its prompt with the labels of when it is asked for; None for a turn taken back."""

    shadow: str
    talk: Callable[[], list[Message] | None]
    answer: Attempt | None = None


class CallCopies:
    """Those of one call that may still become private."""

    def __init__(self, shadows: Shadows | None, fleet: Fleet, call: str, caller: str) -> None:
        """`caller`: who calls, as far as that is known; always the same ones are sampled."""
        self._shadows = shadows
        self._fleet = fleet
        self._call = call
        self.sampled = shadows is not None and shadows.samples(caller or call)
        self._kept: dict[int, _Kept] = {}

    def wanted(self, task: str) -> bool:
        """Whether turns of this task are copied here."""
        return self.sampled and self._shadows is not None and self._shadows.wants(task)

    def plan(self, turn: int, shadow: str, talk: Callable[[], list[Message] | None]) -> None:
        """`shadow`: who shall get a copy, "" for nobody; a turn that is planned again has one plan."""
        self._kept.pop(turn, None)
        if shadow and self._shadows is not None:
            self._kept[turn] = _Kept(shadow, talk)

    def answered(self, turn: int, by: str, answer: Attempt) -> None:
        """What was answered, and by whom; nobody is compared with themselves."""
        if (kept := self._kept.get(turn)) is not None:
            kept.answer = answer if by != kept.shadow else None

    def settled(self, turn: int, label: Label) -> None:
        """A turn can no longer become private. `label`: of its answer."""
        kept = self._kept.pop(turn, None)
        if kept is None or kept.answer is None or self._shadows is None or (talk := kept.talk()) is None:
            return
        by = None if kept.shadow == EXPERT else self._fleet[kept.shadow]
        self._shadows.offer(Copy(self._call, turn, by, talk, label, kept.answer))


@dataclass(slots=True)
class Shadows:
    """One per server. Thread: the loop. `share`: of callers, 0..1; `tasks`: empty for all; `judge`: ask who is better.

    `expert`: behind a gate of its own; None where there is none;
    `busy`: whether live turns wait for an engine; `count`: told what became of each copy.
    """

    share: float
    tasks: Collection[str] = ()
    judge: bool = False
    account: Account = field(default_factory=Notebook)
    expert: Expert | None = None
    busy: Callable[[], bool] = lambda: False
    count: Callable[[str], None] = lambda _outcome: None
    _waiting: deque[Copy] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _pressed: bool = False
    _scope: asyncio.Timeout | None = None
    """Of the copy under way."""

    def samples(self, caller: str) -> bool:
        """Whether this caller's turns are copied: the same answer each time, with any number of processes."""
        digest = hashlib.blake2b(f"shadow {caller}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64

    def wants(self, task: str) -> bool:
        return not self.tasks or task in self.tasks

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop it: there is no waiting here."""
        if self._pressed or len(self._waiting) >= WAITING:
            self.count("dropped: pressed" if self._pressed else "dropped: full")
            return
        self._waiting.append(copy)
        self._news.set()

    def press(self, pressed: bool) -> None:
        """The server has computing to spare, or none."""
        self._pressed = pressed
        if not pressed:
            return
        while self._waiting:
            self._waiting.popleft()
            self.count("dropped: pressed")
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """One copy after the other. Cancellation: what waits is dropped."""
        while True:
            await self._news.wait()
            while self._waiting and self.busy():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)  # An engine's queue has no event.
            if not self._waiting:
                self._news.clear()
                continue
            copy = self._waiting.popleft()
            try:
                async with asyncio.timeout(LONGEST_S) as self._scope:
                    self.count(await self._compare(copy))
            except TimeoutError:
                self.count("given up")
            except Exception as error:  # noqa: BLE001 - a fault of ours, or of a driver, ends this copy and no other
                log.error("a copy could not be compared: %s", type(error).__name__)
                self.count("failed")
            finally:
                self._scope = None

    # ---- one copy

    async def _compare(self, copy: Copy) -> str:
        """What became of it, in a word or two."""
        try:
            if copy.by is not None:
                made = await self._booked(copy, copy.by.name, "shadow", self._ask_member(copy, copy.by))
            elif (expert := self._ready(copy)) is None:
                return "dropped: expert"
            else:
                made = await self._booked(copy, EXPERT, "shadow", self._ask_expert(copy, expert))
            agreement, measure = compared(copy, made)
            if self.judge and measure == WORDS and agreement < ALIKE and (judge := self._ready(copy)) is not None:
                await self._booked(copy, EXPERT, "judge", self._ask_judge(copy, made, judge))
        except EgressDenied as denied:
            return f"denied: {denied.reason}"
        except EngineError:
            return "failed"
        finally:
            if self.expert is not None:
                self.expert.end_call(copy.call)
        return "compared"

    def _ready(self, copy: Copy) -> Expert | None:
        """The expert, where it may be asked: a gate that is shut would put a refusal on record for every copy."""
        return self.expert if self.expert is not None and self.expert.state(copy.call) == "ready" else None

    async def _booked(self, copy: Copy, member: str, purpose: Purpose, work: AsyncIterator[LlmChunk]) -> Attempt:
        """The attempt that `work` streams, on record whatever becomes of it."""
        loop = asyncio.get_running_loop()
        made, began = Attempt(""), loop.time()
        outcome: Outcome = "cancelled"
        reason, agreement = "", math.nan
        try:
            async for chunk in work:
                _gather(made, chunk, (loop.time() - began) * 1000)
            outcome = "ok"
            agreement, reason = compared(copy, made) if purpose == "shadow" else (_verdict(copy, made), "verdict")
        except (EgressDenied, EngineError) as error:
            outcome, reason = "failed", type(error).__name__
            raise
        finally:
            made.ms = (loop.time() - began) * 1000
            remote = member == EXPERT and self.expert is not None and self.expert.remote
            tried = Tried(
                copy.call, copy.turn, member, made, self._label(copy), outcome, reason, purpose, remote, agreement
            )
            self.account.tried(tried)
        return made

    def _label(self, copy: Copy) -> Label:
        """Of what the other model was asked with."""
        expert = self.expert if copy.by is None else None
        return prompt_label(copy.talk if expert is None else _outgoing(copy, expert))

    async def _ask_member(self, copy: Copy, member: Member) -> AsyncIterator[LlmChunk]:
        engine, session = member.lane.engine, f"shadow/{member.name}"
        if member.job is not None:
            attempt = Attempt(engine.name)
            order = Order(member.lane, member.prompt, member.sampling, copy.talk, session, attempt)
            made = await member.job.work(order)
            yield TextDelta(made.speech)
            if attempt.done is not None:
                yield attempt.done
            return
        request = LlmRequest(member.messages(copy.talk), copy.answer.tools, member.sampling, session)
        async for chunk in member.lane.stream(lambda cancel: engine.generate(request, cancel)):
            yield chunk

    def _ask_expert(self, copy: Copy, expert: Expert) -> AsyncIterator[LlmChunk]:
        talk = _outgoing(copy, expert)
        request = replace(expert.request(talk, talk[-1].text, copy.call), tools=copy.answer.tools)
        return expert.ask(request, call=copy.call, turn=copy.turn, purpose="shadow")

    def _ask_judge(self, copy: Copy, made: Attempt, expert: Expert) -> AsyncIterator[LlmChunk]:
        """Which of the two answers is better. Each answer is as private as the prompt that it was drawn from."""
        pair = (copy.answer.text, made.text) if _heard_first(copy) else (made.text, copy.answer.text)
        asked = f"Caller: {copy.talk[-1].text}\n\nFirst answer: {pair[0]}\n\nSecond answer: {pair[1]}"
        label = strictest([copy.label, self._label(copy)])
        messages = [Message("system", JUDGE, label=label), Message("user", asked, label=label)]
        request = LlmRequest(messages, sampling=Sampling(max_tokens=expert.max_tokens), session=copy.call)
        return expert.ask(request, call=copy.call, turn=copy.turn, purpose="judge")


def _outgoing(copy: Copy, expert: Expert) -> Sequence[Message]:
    """The caller's words and, for an expert elsewhere, what was not private before them."""
    return [*without_private(copy.talk[:-1]), copy.talk[-1]] if expert.remote else copy.talk


def _gather(made: Attempt, chunk: LlmChunk, ms: float) -> None:
    if math.isnan(made.ttft_ms) and not isinstance(chunk, LlmDone):
        made.ttft_ms = ms
    match chunk:
        case TextDelta(text):
            made.text += text
            made.completion_chars += len(text)
        case ToolCall():
            made.calls.append(chunk)
        case LlmDone():
            made.done = chunk


def compared(copy: Copy, made: Attempt) -> tuple[float, str]:
    """Agreement, 0..1, and what it was measured by: the first tool with its arguments where either asked for one, else
    the words."""
    heard, other = copy.answer.calls[:1], made.calls[:1]
    if not heard and not other:
        return words_in_common(copy.answer.text, made.text), WORDS
    turns = [one.text for one in copy.talk if one.role == "user"]
    wishes = [[wish_of(as_said(call, turns)) for call in calls] for calls in (heard, other)]
    same = wishes[0] == wishes[1]
    return float(same), SAME_TOOL if same else OTHER_TOOL


def words_in_common(one: str, other: str) -> float:
    """F1 of two texts' words, 0..1; 1 for two that are empty. Source: Rajpurkar et al. 2016 (SQuAD)."""
    counts = [Counter(normalize(text).split()) for text in (one, other)]
    if not all(counts):
        return float(counts[0] == counts[1])
    return 2 * (counts[0] & counts[1]).total() / (counts[0].total() + counts[1].total())


def _heard_first(copy: Copy) -> bool:
    """Models prefer a place: every second turn the other answer comes first."""
    return copy.turn % 2 == 0


def _verdict(copy: Copy, made: Attempt) -> float:
    """1 if the judge holds the shadow's answer to be as good or better, 0 if not; NaN where it did not say."""
    said = [word for word in normalize(made.text).split() if word in VERDICTS]
    if not said:
        return math.nan
    heard = "first" if _heard_first(copy) else "second"
    return float(said[0] != heard)
