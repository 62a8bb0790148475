"""Which label each turn of a call has, and what a prompt made of such turns may do. Pure.

Rules:
1. A label belongs to the WORDS, not to a route: every message of a prompt carries one, whoever sends it later.
2. The strictest label in a prompt is the label of the whole prompt.
3. What a model said, having read a prompt, carries that prompt's label: an answer drawn from private words is private.
4. "Keep this private" holds for its own turn, for the turn before it (callers say it after the fact) and for all later
   ones until "you can share that again". That release is for what comes after it: words said in private stay private.
5. A message without a label stays on this machine (`Message.label` defaults to LOCAL_ONLY).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from voicebot.core.labels import Label, strictest
from voicebot.engines.base import Message

Request = Literal["", "hold", "release"]
"""What the caller asked for about privacy in a turn; "" for nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a turn's words call for. `reasons`: kinds of finding ("EMAIL_ADDRESS", "asked"), never the words."""

    label: Label
    reasons: tuple[str, ...] = ()
    request: Request = ""


LATER_TURNS = 2
"""Turns after which a turn's label stands."""


class CallPrivacy:
    """The labels of one call's turns."""

    def __init__(self, default: Label) -> None:
        """`default`: what the tenant's, number's or route's configuration says, the strictest of them."""
        self.default = default
        self.held = False
        """The caller asked that nothing leaves, and has not taken it back."""
        self._labels: dict[int, Label] = {}
        self._settled: set[int] = set()
        self._answers: dict[int, Label] = {}
        """Of the prompts that answers were drawn from, by the turn answered: rule 3."""

    def turn(self, turn: int, verdict: Verdict) -> Label:
        """Label a turn by its words. Asked again (a reopened turn has new words), it never becomes laxer."""
        if verdict.request == "hold":
            self.held = True
            self._hold_the_turn_before(turn)
        elif verdict.request == "release":
            self.held = False
        held = Label.LOCAL_ONLY if self.held else Label.OPEN
        self._labels[turn] = strictest([self.default, verdict.label, held, self._labels.get(turn, Label.OPEN)])
        return self._labels[turn]

    @property
    def strictest(self) -> Label:
        """Of the whole call so far."""
        return strictest([self.default, *self._labels.values(), *self._answers.values()])

    def label_of(self, turn: int) -> Label:
        """A turn's label; LOCAL_ONLY for one that was never labelled."""
        return self._labels.get(turn, Label.LOCAL_ONLY)

    def answered(self, turn: int, prompt: Label) -> None:
        """A turn is being answered from a prompt with this label."""
        self._answers[turn] = strictest([prompt, self._answers.get(turn, Label.OPEN)])

    def label_of_answer(self, turn: int) -> Label:
        """Of what the bot said and did in a turn."""
        return strictest([self.label_of(turn), self._answers.get(turn, Label.OPEN)])

    def settled(self, turn: int) -> bool:
        """Whether no later turn can make this one private any more: "keep that private" is said of the turn before, and
        the latest turn may yet go on."""
        return sum(known > turn for known in self._labels) >= LATER_TURNS

    def settle(self, over: bool = False) -> list[int]:
        """The labelled turns that have become settled since the last time; all of them when the call is `over`."""
        now = [turn for turn in self._labels if turn not in self._settled and (over or self.settled(turn))]
        self._settled.update(now)
        return now

    def labelled(self, turns: Collection[int]) -> bool:
        """Whether any of these turns has a label."""
        return any(turn in self._labels for turn in turns)

    def private(self, turns: Collection[int]) -> bool:
        """Whether the words of any of these turns, the caller's or the bot's, are; for turns that were never labelled,
        whether any of the call's are."""
        known = [self.label_of_answer(turn) for turn in turns if turn in self._labels]
        return strictest(known or [self.strictest]) is Label.LOCAL_ONLY

    def _hold_the_turn_before(self, turn: int) -> None:
        before = max((known for known in self._labels if known < turn), default=None)
        if before is not None:
            self._labels[before] = Label.LOCAL_ONLY


def asked_for(text: str) -> Verdict:
    """What the caller asked for in so many words, where nothing else is looked for because nothing can leave."""
    request = request_in(text)
    return Verdict(Label.LOCAL_ONLY, ("asked",), request) if request == "hold" else Verdict(Label.OPEN, (), request)


def prompt_label(messages: Iterable[Message]) -> Label:
    """Rule 2."""
    return strictest(message.label for message in messages)


def without_private(messages: Sequence[Message]) -> list[Message]:
    """The messages that may leave, redacted or not: what an escalation is written from after a private turn.

    A tool's result goes with the call that it answers and the other way round: half a pair is refused by every server.
    """
    private = [message for message in messages if message.label is Label.LOCAL_ONLY]
    gone = {call.call_id for message in private for call in message.tool_calls}
    gone |= {message.tool_call_id for message in private if message.tool_call_id}
    kept = [message for message in messages if message.label is not Label.LOCAL_ONLY]
    return [
        message
        for message in kept
        if message.tool_call_id not in gone and not any(call.call_id in gone for call in message.tool_calls)
    ]


def labelled(messages: Iterable[Message], label: Label) -> list[Message]:
    """The messages, each at least as strict as `label`."""
    return [replace(message, label=strictest([message.label, label])) for message in messages]


_ME = r"(?:please |just |can you |could you |i want you to |i need you to |i'd like you to |let's |lets )*"
_THIS = r"(?:this|that|it|these|those|what i(?:'m| am)? (?:just )?(?:say|said|saying|told you|tell you|about to say)|" \
        r"(?:this|that|the next|my last) (?:bit|part|one|question|conversation|call|chat|turn|thing))"  # fmt: skip
_SEND = r"(?:send|share|tell|pass|forward|upload|give|show|repeat|report|disclose|mention)"
_NEVER = r"(?:do not|don't|dont|do n't|never|you (?:must|should|can|may) not|you can't|you mustn't|you shouldn't)"
_OUT = (
    r"(?:anyone|anybody|any one|someone else|others|outside|out|the cloud|the internet|online|elsewhere|"
    r"another (?:model|company|service)|other (?:people|companies|models)|a server|any server|around|on|along)"
)

_HOLD = [
    rf"{_ME}keep {_THIS} (?:(?:strictly|completely|totally|just|all|kind of) )?"
    r"(?:private|secret|confidential|quiet|local|here|between us|between you and me|to yourself|off the record|"
    r"on this (?:machine|computer|device|server)|in (?:the|this) (?:building|house|room))",
    r"\b(?:is|are|stays?|be|was|goes|keep it|strictly) (?:(?:strictly|completely|just|all) )?"
    r"(?:off the record|between us|between you and me|confidential)\b",
    r"^(?:(?:okay|ok|so|well|now|um|uh|and|but|please|let's|lets|go|just|strictly|this is|that's|that was) )*"
    r"(?:off the record|between (?:us|you and me)|in confidence|privately|private mode)\b",
    rf"\b{_NEVER} (?:(?:ever|please|go|just) )*{_SEND} {_THIS}\b.{{0,20}}?\b{_OUT}\b",
    rf"\b{_NEVER} (?:(?:ever|please|go|just) )*(?:tell|show) (?:anyone|anybody|any one|others)\b",
    rf"\b{_NEVER} (?:(?:ever|please|go|just) )*(?:send|share|forward|upload|disclose|repeat) {_THIS}\b",
    rf"\b{_NEVER} let {_THIS} (?:leave|get out|out|go)\b",
    r"\b(?:go|switch to|turn on|enable|use|start) (?:private|privacy|confidential|incognito|local only) mode\b",
    r"\b(?:this|that|it|what i (?:say|said)) (?:must|should|may|can|cannot|can't|mustn't)(?: not)? (?:stay|leave|go|be)"
    r" (?:private|here|secret|confidential|this (?:machine|room|building|house|computer)|out|anywhere)\b",
    r"\b(?:this|that|it) (?:stays|remains) (?:private|here|secret|confidential)\b",
    r"\bstop (?:sending|sharing) (?:anything|this|that|it|my words|what i say)\b",
    r"\b(?:this|that) is (?:private|a secret|secret|confidential|personal and private)\b",
]
_RELEASE = [
    rf"\byou (?:can|may|could|are allowed to) (?:now )?(?:share|send|tell|use|pass) {_THIS} (?:again|now|on|with)\b",
    r"\byou (?:can|may) (?:now )?(?:share|send) (?:again|things again|anything again|what i say again)\b",
    r"\b(?:it's|its|it is|we're|we are|i'm|i am|okay|ok|back) "
    r"(?:okay |ok |fine |now |again )*(?:back )?on the record\b",
    r"^(?:(?:okay|ok|so|well|now|and|we're|back|you can|go) )*(?:on|onto) the record\b",
    r"\b(?:it's|its|it is|that's|that is) (?:okay|ok|fine|all right|alright) to (?:share|send)\b",
    r"\b(?:leave|turn off|switch off|end|exit|stop|disable) (?:the )?(?:private|privacy|confidential|incognito) mode\b",
    r"\b(?:this|that|it) (?:is|does) (?:not|n't|no longer) (?:need to be |have to be )?"
    r"(?:private|secret|confidential)(?: any ?more)?\b",
    r"\b(?:this|that|it) (?:isn't|doesn't) (?:need to be |have to be )?"
    r"(?:private|secret|confidential)(?: any ?more)?\b",
    r"\bno longer private\b",
]
_HOLDS = re.compile("|".join(f"(?:{pattern})" for pattern in _HOLD))
_RELEASES = re.compile("|".join(f"(?:{pattern})" for pattern in _RELEASE))


def request_in(text: str) -> Request:
    """Whether the caller's words ask for privacy or take it back. In doubt, and with both in one turn, "hold"."""
    words = " ".join(re.sub(r"[^\w' ]+", " ", text.lower().replace("’", "'")).split())
    if _HOLDS.search(words):
        released = _RELEASES.search(words)
        return "release" if released and not _HOLDS.search(_RELEASES.sub(" ", words)) else "hold"
    return "release" if _RELEASES.search(words) else ""
