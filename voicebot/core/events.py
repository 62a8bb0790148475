"""The vocabulary of a call: events are past-tense facts, commands are imperatives.

Rules:
1. Every field is JSON-able and carries its unit in its name. Sample numbers ending in `_sample` count the caller's
   speech at 16 kHz since the call began; `_samples` of playout are at the transport's playout rate.
2. Ids (`turn`, `draft`, `reply`) are counters of the machine. An event with an id that is no longer live is stale and
   changes nothing.
3. Audio never travels in events: they name ranges of the call's speech ring or amounts of a reply's playout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from voicebot.core.client_events import ClientCommand, ClientEvent
from voicebot.core.client_events import HeardCorrected as HeardCorrected
from voicebot.core.client_events import PublishAdded as PublishAdded
from voicebot.core.client_events import PublishCalled as PublishCalled
from voicebot.core.client_events import PublishHeard as PublishHeard
from voicebot.core.client_events import PublishUnheard as PublishUnheard
from voicebot.core.client_events import ReplyCancelled as ReplyCancelled
from voicebot.core.client_events import ReplyWanted as ReplyWanted
from voicebot.core.client_events import SpeechCleared as SpeechCleared
from voicebot.core.client_events import SpeechCommitted as SpeechCommitted
from voicebot.core.client_events import ToolAnswered as ToolAnswered
from voicebot.core.client_events import ToolHandedOver as ToolHandedOver
from voicebot.core.client_events import TurnsSet as TurnsSet
from voicebot.core.client_events import WordsAdded as WordsAdded
from voicebot.core.client_events import WordsForgotten as WordsForgotten
from voicebot.core.errand_events import BeginErrand as BeginErrand
from voicebot.core.errand_events import DeliverErrand as DeliverErrand
from voicebot.core.errand_events import DropErrand as DropErrand
from voicebot.core.errand_events import ErrandCommand, ErrandEvent
from voicebot.core.errand_events import ErrandReady as ErrandReady
from voicebot.core.errand_events import ErrandRefused as ErrandRefused
from voicebot.core.errand_events import ErrandWanted as ErrandWanted
from voicebot.core.errand_events import PublishErrand as PublishErrand
from voicebot.core.playout_events import AudioQueued as AudioQueued
from voicebot.core.playout_events import PlayoutFinished as PlayoutFinished
from voicebot.core.playout_events import PlayoutHeard as PlayoutHeard
from voicebot.core.playout_events import PlayoutStarted as PlayoutStarted
from voicebot.core.tool_events import NoticeWithdrawn as NoticeWithdrawn
from voicebot.core.tool_events import PublishTool as PublishTool
from voicebot.core.tool_events import ToolBegan as ToolBegan
from voicebot.core.tool_events import ToolFinished as ToolFinished

Stage = Literal["stt", "llm", "tts"]
State = Literal["listening", "hearing", "thinking", "speaking", "paused", "ended"]


# ---- events: what happened -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The media path is open. `playout_rate_hz`: the rate of all playout sample counts of this call."""

    playout_rate_hz: int


@dataclass(frozen=True, slots=True)
class WindowHeard:
    """One VAD window of 512 samples has arrived, the last of them `stop_sample` - 1."""

    stop_sample: int
    speech_probability: float
    heard_samples: int = 0
    """Of the reply in playout, how much the caller has heard by now."""


@dataclass(frozen=True, slots=True)
class SilenceLasted:
    """The caller's speech has come up to `stop_sample`, or nearly; no window ends there. `due_sample` is reached."""

    stop_sample: int


@dataclass(frozen=True, slots=True)
class PartialTranscribed:
    """A guess at an utterance that is still being spoken."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class DraftTranscribed:
    """The draft's speech is text now; "" if there were no words in it. `confidence`: 0..1."""

    draft: int
    text: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class DraftFailed:
    draft: int
    reason: str


@dataclass(frozen=True, slots=True)
class EndScored:
    """An end-of-turn model's P(the caller has finished), 0..1, for the draft's speech."""

    draft: int
    probability: float


@dataclass(frozen=True, slots=True)
class DraftsAllowed:
    """Whether there is computing to spare for drafts, from now on."""

    allowed: bool


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """A model has been chosen for the reply. `model`: its name for people; `route`: why it, for people and records."""

    reply: int
    model: str
    route: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClauseWritten:
    """The next clause of a reply is text, ready to be spoken. `clause` counts from 0."""

    reply: int
    clause: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyCompleted:
    """Every clause of the reply has been written and its sound queued."""

    reply: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    reply: int
    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class NoticeDue:
    """Something is to be said unasked (a timer is up): it waits for the next natural gap."""

    text: str


@dataclass(frozen=True, slots=True)
class TextTyped:
    """The caller typed a whole turn."""

    text: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A DTMF key: 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The machine's `deadline` is at or before `now`."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The wire is gone, or the server ends the call."""

    reason: str


Event = (
    CallStarted
    | WindowHeard
    | SilenceLasted
    | PartialTranscribed
    | DraftTranscribed
    | DraftFailed
    | EndScored
    | DraftsAllowed
    | ReplyBegan
    | ClauseWritten
    | AudioQueued
    | ToolBegan
    | ToolFinished
    | ReplyCompleted
    | ReplyFailed
    | PlayoutStarted
    | PlayoutHeard
    | PlayoutFinished
    | NoticeDue
    | NoticeWithdrawn
    | ErrandEvent
    | TextTyped
    | DigitPressed
    | ClientEvent
    | DeadlinePassed
    | CallEnded
)


# ---- commands: what the shell shall do -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BeginListening:
    """The caller speaks: recognise from `start_sample` on as the speech arrives, and report partial transcripts."""

    turn: int
    start_sample: int


@dataclass(frozen=True, slots=True)
class StopListening:
    """The turn is over or was nothing: no more partial transcripts of it."""

    turn: int


@dataclass(frozen=True, slots=True)
class BeginDraft:
    """Transcribe [start_sample, stop_sample) and answer with DraftTranscribed or DraftFailed."""

    draft: int
    turn: int
    start_sample: int
    stop_sample: int


@dataclass(frozen=True, slots=True)
class AbortDraft:
    """The draft's transcript is not wanted, asked for or given: the caller goes on, or it was no turn."""

    draft: int
    turn: int


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """The next words will probably begin with `text`: let the model that would answer read the prompt so far.

    `turn`: whose words they are; with no words also the turn that has just been answered.
    No answer is wanted, and nothing is decided, kept or spent. The latest replaces any that is under way.
    """

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class BeginReply:
    """Answer `text` (the caller's turn), keep the sound held, and do nothing that has side effects yet."""

    reply: int
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class CommitReply:
    """The turn stands: tools may act and the clauses after the first may be synthesised."""

    reply: int


@dataclass(frozen=True, slots=True)
class DropReply:
    """The reply is over, done or not: stop making it, forget its sound. Exactly once for every reply begun."""

    reply: int


@dataclass(frozen=True, slots=True)
class Speak:
    """Say this text as a reply of its own; no model is asked."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class StartPlayout:
    """Play the reply's queue, now and as it grows."""

    reply: int


@dataclass(frozen=True, slots=True)
class PausePlayout:
    """Fall silent within this loop tick, and remember where."""

    reply: int


@dataclass(frozen=True, slots=True)
class ResumePlayout:
    """Go on at the first sample that the caller has not heard."""

    reply: int


@dataclass(frozen=True, slots=True)
class ClearPlayout:
    """Fall silent within this loop tick, for good: nothing of this reply is sent any more."""

    reply: int


@dataclass(frozen=True, slots=True)
class PublishState:
    state: State


@dataclass(frozen=True, slots=True)
class PublishTranscript:
    turn: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class PublishReply:
    """`text`: the clauses known so far; `heard`: the part of it that the caller has heard."""

    turn: int
    reply: int
    text: str
    heard: str
    final: bool
    interrupted: bool


@dataclass(frozen=True, slots=True)
class PublishTurn:
    """A turn's account: sent when its first sound goes out, and again when it has ended."""

    turn: int
    heard: str
    reply: str
    model: str
    v2v_ms: float | None
    waterfall: dict[str, Any]
    interrupted: bool = False
    ended: bool = False
    route: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishError:
    """In words for the caller; the reason for the operator is in the event that caused it."""

    message: str


@dataclass(frozen=True, slots=True)
class EndCall:
    reason: str


Command = (
    BeginListening
    | StopListening
    | BeginDraft
    | AbortDraft
    | ReadAhead
    | BeginReply
    | CommitReply
    | DropReply
    | Speak
    | ErrandCommand
    | StartPlayout
    | PausePlayout
    | ResumePlayout
    | ClearPlayout
    | PublishState
    | PublishTranscript
    | PublishReply
    | PublishTurn
    | PublishTool
    | ClientCommand
    | PublishError
    | EndCall
)
