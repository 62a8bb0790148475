"""Events and commands of calls whose client has a say in the turns: it may make them itself, add words and tool results
to the talk, ask for replies and stop them, and tell how much of one was heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class TurnsSet:
    """An event: how the client wants turns made from now on. Times in milliseconds, as in `core.settings`.

    `detect`: turns are found in the speech; else the client commits them. `answer`: a turn gets a reply unasked.
    `interrupt`: speech over the bot may take the floor; else it is heard when the bot has finished.
    """

    detect: bool = True
    answer: bool = True
    interrupt: bool = True
    speech_threshold: float = 0.5
    silence_threshold: float = 0.35
    lead_in_ms: int = 240
    min_wait_ms: int = 200
    max_wait_ms: int = 1200


@dataclass(frozen=True, slots=True)
class SpeechCommitted:
    """An event: the client says that [start_sample, stop_sample) is a turn."""

    start_sample: int
    stop_sample: int


@dataclass(frozen=True, slots=True)
class SpeechCleared:
    """An event: the client takes back the speech of the turn that is being heard."""


@dataclass(frozen=True, slots=True)
class WordsAdded:
    """An event: the client adds a message to the talk, without asking for a reply."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ReplyWanted:
    """An event: the client asks for a reply to the talk as it stands, or will when the turn in recognition is words."""


@dataclass(frozen=True, slots=True)
class ReplyCancelled:
    """An event: the client stops the live reply."""


@dataclass(frozen=True, slots=True)
class HeardCorrected:
    """An event: the client says how much of a reply, live or over, its caller has heard. A live one ends here."""

    reply: int
    heard_samples: int


@dataclass(frozen=True, slots=True)
class ToolHandedOver:
    """An event: the reply's model wants a tool that the client runs; the client gives the result when it has it."""

    reply: int
    call_id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """An event: the client's tool has run. `value`: its JSON result. It may be one of an earlier call of theirs."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WordsForgotten:
    """An event: the client takes one side's words in a turn, or a tool's run (`call_id`), out of the talk."""

    turn: int
    role: Literal["user", "assistant", "tool"]
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class PublishCalled:
    """A command: the client shall run this tool."""

    turn: int
    reply: int
    call_id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishAdded:
    """A command: what the client has added is in the talk as this turn."""

    turn: int
    role: Literal["user", "assistant", "tool"]
    text: str


@dataclass(frozen=True, slots=True)
class PublishHeard:
    """A command: what the talk holds of a reply after the client has corrected it."""

    reply: int
    text: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class PublishUnheard:
    """A command: the speech that the client committed could not be recognised. `reason`: for people."""

    turn: int
    reason: str


ClientEvent = (
    TurnsSet
    | SpeechCommitted
    | SpeechCleared
    | WordsAdded
    | ReplyWanted
    | ReplyCancelled
    | HeardCorrected
    | ToolHandedOver
    | ToolAnswered
    | WordsForgotten
)
ClientCommand = PublishCalled | PublishAdded | PublishHeard | PublishUnheard
