"""What is asked of the model at once by several calls: replies to write and answers to weigh.

A task knows its prompt, what to do with logits and which rows it wants next. It touches neither the library nor the
cache: `llama_batch.Scheduler` evaluates its rows and hands it the logits.
"""

from __future__ import annotations

import codecs
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voicebot.engines.base import Cancel, LlmChunk, LlmDone, Score
from voicebot.engines.llama_c import Logits
from voicebot.engines.llama_sampling import Sampler, logprobs
from voicebot.engines.llama_slots import Slot
from voicebot.engines.tool_calls import PYTHON_TAG, ReplyParser
from voicebot.errors import EngineError

CHUNKS_AHEAD = 8
"""A task whose reader has not fetched so many chunks rests until it does."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a reply needs to know of the model's tokens."""

    piece: Callable[[int], bytes]
    is_end: Callable[[int], bool]
    is_control: Callable[[int], bool]

    def text_of(self, token: int) -> bytes:
        """Control tokens are not text, but for the tag that begins a Llama 3 tool call."""
        piece = self.piece(token)
        return piece if not self.is_control(token) or piece == PYTHON_TAG.encode() else b""


class Task(ABC):
    """One request from its submission to its end. Thread: the model's owner."""

    def __init__(self, session: str, prompt: list[int], more: int, cancel: Cancel) -> None:
        """`more`: tokens that it may add to its prompt."""
        self.session = session
        self.prompt = prompt
        self.more = more
        self.cancel = cancel
        self.slot: Slot | None = None
        self.ahead = False
        """Nobody waits for it: its prompt is only read."""
        self.cached = 0
        """Tokens of the prompt that the cache held."""
        self.chunks: deque[object] = deque()
        """What has been made and not fetched: `CHUNKS_AHEAD` and what one step adds, at most."""
        self.error: EngineError | None = None
        self.ended = False
        self.abandoned = False
        """Nobody holds its iterator any more."""

    @property
    def prompt_left(self) -> int:
        """Tokens of the prompt that are still to be evaluated."""
        return max(0, len(self.prompt) - len(self.slot.tokens)) if self.slot is not None else len(self.prompt)

    @property
    def gone(self) -> bool:
        return self.abandoned or self.cancel.is_set()

    @property
    def rests(self) -> bool:
        return len(self.chunks) >= CHUNKS_AHEAD

    def end(self, error: EngineError | None = None) -> None:
        """Nothing follows. Idempotent: the first end counts."""
        if not self.ended:
            self.ended, self.error = True, error
            self.close()

    @abstractmethod
    def prompt_read(self, logits: Logits) -> None:
        """The whole prompt is evaluated; no logits, where it was only read. Raises: EngineError."""

    @abstractmethod
    def close(self) -> None:
        """Free what the task holds in C."""


class Generation(Task):
    """A reply that is written."""

    def __init__(
        self,
        session: str,
        prompt: list[int],
        limit: int,
        cancel: Cancel,
        vocabulary: Vocabulary,
        sampler: Sampler,
        parser: ReplyParser,
    ) -> None:
        """`limit`: tokens of the reply at most; 0 for a prompt that is only read."""
        super().__init__(session, prompt, limit, cancel)
        self.ahead = not limit
        self._limit = limit
        self._vocabulary = vocabulary
        self._sampler = sampler
        self._parser = parser
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.next_token = -1
        """The token that was drawn last and is to be evaluated next, once the prompt has been read."""

    def prompt_read(self, logits: Logits) -> None:
        if self.ahead:
            self._finish("length")
        else:
            self.draw(logits)

    def draw(self, logits: Logits) -> None:
        """Take the next token. Raises: EngineBadOutput for a tool call that does not parse."""
        token = self._sampler.draw(logits)
        if self._vocabulary.is_end(token):
            self._finish("stop")
            return
        self.next_token = token
        self._say(self._characters.decode(self._vocabulary.text_of(token)))
        if self._parser.stopped:
            self._finish("stop")
        elif len(self._sampler.logprobs) >= self._limit:
            self._finish("length")

    def close(self) -> None:
        self._sampler.close()

    def _say(self, text: str) -> None:
        if text:
            self.chunks.extend(self._parser.feed(text))

    def _finish(self, reason: str) -> None:
        """A character split over tokens comes whole; what is left of one that was cut short is marked."""
        self._say(self._characters.decode(b"", final=True))
        self.chunks.extend(self._parser.finish())
        self.chunks.append(self._done(reason))
        self.end()

    def _done(self, reason: str) -> LlmChunk:
        said = self._sampler.logprobs or [math.nan]
        return LlmDone(
            "tool_calls" if self._parser.calls else "stop" if reason == "stop" else "length",
            len(self.prompt),
            self.cached,
            len(self._sampler.logprobs),
            sum(said) / len(said),
            min(said),
        )


class Scoring(Task):
    """Answers that are weighed, a few at a time, each on a branch of the prompt."""

    def __init__(self, session: str, prompt: list[int], choices: Sequence[list[int]], cancel: Cancel) -> None:
        """Each choice has at least one token."""
        super().__init__(session, prompt, sum(len(tokens) - 1 for tokens in choices), cancel)
        self._choices = choices
        self._first: list[float] = []
        self._next = 0

    def prompt_read(self, logits: Logits) -> None:
        """It gives the first token of every choice, and so the whole of those that have one."""
        self._first = logprobs(logits, [tokens[0] for tokens in self._choices])
        self._skip_single()

    def branches(self, count: int, rows: int, at_least: int) -> list[list[int]]:
        """The tokens to evaluate on each of at most `count` branches: `rows` in all, but `at_least` so many."""
        wanted: list[list[int]] = []
        for tokens in self._choices[self._next : self._next + count]:
            if len(wanted) >= at_least and sum(map(len, wanted)) + len(tokens) - 1 > rows:
                break
            wanted.append(tokens[:-1])
        return wanted

    def weighed(self, logits: Sequence[Sequence[Logits]]) -> None:
        """Logits of every token of the branches that were evaluated, in the order of `branches`."""
        for branch in logits:
            tokens = self._choices[self._next]
            rest = [logprobs(row, [token])[0] for row, token in zip(branch, tokens[1:], strict=True)]
            self._score((self._first[self._next], *rest))
        self._skip_single()

    def close(self) -> None:
        """It holds nothing in C."""

    def _skip_single(self) -> None:
        while self._next < len(self._choices) and len(self._choices[self._next]) == 1:
            self._score((self._first[self._next],))
        if self._next == len(self._choices):
            self.end()

    def _score(self, tokens: tuple[float, ...]) -> None:
        self.chunks.append(Score(tokens))
        self._next += 1
