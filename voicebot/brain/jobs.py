"""The jobs of specialists that do more than talk: extract, classify, rewrite, retrieve.

    talk of the call -> messages of one job -> the member's engine, once -> Product: a value, and words for the caller

What each says:
    extract    reads back what it noted, and names what is still missing; the fields are on record as a tool's arguments
    classify   the label's sentence from the settings; the label and its probability are on record
    rewrite    the rewritten text
    retrieve   the answer from the passages, or that it is not in the documents
A product is made in whole before a word of it is spoken, so a threshold judges all of it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from voicebot.brain.passages import Hit, best_sentences
from voicebot.brain.reply import Attempt
from voicebot.engines.base import LlmDone, LlmEngine, LlmRequest, Message, Sampling, Score, ScoringLlm, TextDelta
from voicebot.errors import EngineBadOutput
from voicebot.lane import LaneLike

TALK_LINES = 6
"""Earlier messages that a job is shown: enough for "make that shorter", and a short prompt."""
NOT_THERE = "NOT THERE"
NOT_FOUND = "I could not find that in my documents."
PASSAGES = 3
CANDIDATES = 10
"""Hits that are looked at: what is nearest by words or meaning need not be enough."""
Search = Callable[[str, int], Awaitable[Sequence[Hit]]]
"""The best passages for a question."""


@dataclass(frozen=True, slots=True)
class Product:
    """What a job came to. `value`: JSON for the record, None for nothing to record; `rejected`: why it is no good."""

    value: dict[str, Any] | None
    speech: str
    mean_logprob: float = math.nan
    min_logprob: float = math.nan
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """One job to do. `talk`: the talk so far, the caller's words last; `session`: the call, for the KV cache."""

    lane: LaneLike[LlmEngine]
    prompt: str
    sampling: Sampling
    talk: Sequence[Message]
    session: str
    attempt: Attempt

    @property
    def text(self) -> str:
        return self.talk[-1].text

    def messages(self, more: str = "") -> list[Message]:
        """The job's instructions, and the end of the talk: what was said, without tools."""
        label = self.talk[-1].label
        said = [one for one in self.talk if one.role in ("user", "assistant") and one.text][-TALK_LINES:]
        return [Message("system", f"{self.prompt}{more}", label=label), *said]


class Job(Protocol):
    """How one kind of specialist works."""

    async def work(self, order: Order) -> Product:
        """Raises: EngineError; EngineBadOutput for an answer that does not parse."""
        ...


async def written(
    order: Order, messages: list[Message], schema: Mapping[str, Any] | None = None
) -> tuple[str, LlmDone]:
    """One generation in whole, on the order's account. Raises: EngineError."""
    engine, attempt = order.lane.engine, order.attempt
    request = LlmRequest(messages, sampling=order.sampling, session=order.session, schema=schema)
    loop, pieces, done = asyncio.get_running_loop(), list[str](), LlmDone("stop")
    began = loop.time()
    attempt.prompt_chars += sum(len(one.text) for one in messages)
    try:
        async for chunk in order.lane.stream(lambda cancel: engine.generate(request, cancel)):
            if isinstance(chunk, TextDelta):
                if math.isnan(attempt.ttft_ms):
                    attempt.ttft_ms = (loop.time() - began) * 1000
                attempt.completion_chars += len(chunk.text)
                pieces.append(chunk.text)
            elif isinstance(chunk, LlmDone):
                attempt.done = done = chunk
    finally:
        attempt.ms += (loop.time() - began) * 1000
    return "".join(pieces).strip(), done


@dataclass(frozen=True, slots=True)
class Rewrite:
    async def work(self, order: Order) -> Product:
        text, done = await written(order, order.messages())
        if not text:
            raise EngineBadOutput(f"{order.lane.engine.name} rewrote it to nothing")
        return Product(None, text, done.mean_logprob, done.min_logprob)


@dataclass(frozen=True, slots=True)
class Extract:
    """`fields`: name -> what it is, for the model; `required`: those that are asked for again when missing."""

    fields: Mapping[str, str]
    required: Sequence[str] = ()

    @property
    def schema(self) -> dict[str, Any]:
        properties = {
            name: {"anyOf": [{"type": "string"}, {"type": "null"}], "description": text}
            for name, text in self.fields.items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(self.fields),
            "additionalProperties": False,
        }

    async def work(self, order: Order) -> Product:
        listed = "\n".join(f"- {name}: {text}" for name, text in self.fields.items())
        text, done = await written(order, order.messages(f"\nThe details:\n{listed}"), self.schema)
        found = self._read(text, order.lane.engine.name)
        return Product(found, self._speech(found), done.mean_logprob, done.min_logprob)

    def _read(self, text: str, engine: str) -> dict[str, str]:
        """The fields that were said. Raises: EngineBadOutput."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise EngineBadOutput(f"{engine} was asked for JSON and wrote something else: {error}") from None
        if not isinstance(value, dict):
            raise EngineBadOutput(f"{engine} was asked for a JSON object and wrote a {type(value).__name__}")
        said = {name: value.get(name) for name in self.fields}
        return {name: " ".join(str(one).split()) for name, one in said.items() if one not in (None, "", "null")}

    def _speech(self, found: Mapping[str, str]) -> str:
        missing = [name.replace("_", " ") for name in self.required if name not in found]
        noted = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in found.items())
        said = [f"I have {noted}."] if noted else []
        if missing:
            said.append(f"I still need the {' and the '.join(missing)}.")
        return " ".join(said) or "I did not catch any details."


@dataclass(frozen=True, slots=True)
class Classify:
    """`labels`: label -> the sentence that is spoken for it, "" for the usual one. Scored, never written freely."""

    labels: Mapping[str, str]

    async def work(self, order: Order) -> Product:
        names = list(self.labels)
        messages = order.messages(" " + ", ".join(names) + ".")
        engine = order.lane.engine
        if isinstance(engine, ScoringLlm):
            scores = await self._scored(order, engine, messages, names)
        else:
            return await self._chosen(order, messages, names)
        chances = softmax([score.mean for score in scores])
        best = max(range(len(names)), key=lambda at: chances[at])
        return self._product(names[best], math.log(max(chances[best], 1e-12)), chances[best])

    async def _scored(self, order: Order, engine: ScoringLlm, messages: list[Message], names: list[str]) -> list[Score]:
        """One batched prefill: the labels' own likelihoods as the answer."""
        request = LlmRequest(messages, session=order.session)
        loop = asyncio.get_running_loop()
        began = loop.time()
        order.attempt.prompt_chars += sum(len(one.text) for one in messages)
        try:
            scores = [one async for one in order.lane.stream(lambda cancel: engine.score(request, names, cancel))]
        finally:
            order.attempt.ms += (loop.time() - began) * 1000
        if len(scores) != len(names):
            raise EngineBadOutput(f"{engine.name} weighed {len(scores)} of {len(names)} labels")
        order.attempt.ttft_ms = order.attempt.ms
        return scores

    async def _chosen(self, order: Order, messages: list[Message], names: list[str]) -> Product:
        """An engine that cannot score is held to the labels by a schema."""
        schema = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": names}},
            "required": ["label"],
            "additionalProperties": False,
        }
        text, done = await written(order, messages, schema)
        try:
            label = json.loads(text)["label"]
        except (json.JSONDecodeError, KeyError, TypeError):
            label = ""
        if label not in self.labels:
            raise EngineBadOutput(f"{order.lane.engine.name} was to choose one of {len(names)} labels and did not")
        return self._product(label, done.mean_logprob, math.nan)

    def _product(self, label: str, logprob: float, chance: float) -> Product:
        value = {"label": label} | ({} if math.isnan(chance) else {"probability": round(chance, 3)})
        speech = self.labels[label] or f"I take that as {label.replace('_', ' ')}."
        return Product(value, speech, logprob, logprob)


def softmax(values: Sequence[float]) -> list[float]:
    highest = max(values)
    powers = [math.exp(value - highest) for value in values]
    return [power / sum(powers) for power in powers]


@dataclass(frozen=True, slots=True)
class Retrieve:
    """`least`: share of a question that a passage must answer; less is not there. `sure`: the same where it was found
    by its meaning and is spoken without being read.

    `extractive`: speak the passage's own sentences; for engines whose model reads no instructions.
    """

    search: Search
    least: float = 0.5
    sure: float = 0.8
    extractive: bool = False

    async def work(self, order: Order) -> Product:
        hits = await self._found(order)
        if not hits:
            return Product({"found": False}, NOT_FOUND, rejected="not in the documents")
        value = {"found": True, "source": hits[0].passage.source, "coverage": round(hits[0].found, 2)}
        if self.extractive:
            return Product(value, best_sentences(hits[0]))
        passages = "\n\n".join(f"{hit.passage.title}\n{hit.passage.text}".strip() for hit in hits)
        text, done = await written(order, order.messages(f"\n\nPassages:\n\n{passages}"))
        if not text or text.upper().startswith(NOT_THERE):
            return Product({"found": False}, NOT_FOUND, done.mean_logprob, done.min_logprob, "not in the documents")
        return Product(value, text, done.mean_logprob, done.min_logprob)

    async def _found(self, order: Order) -> list[Hit]:
        """The passages that cover the question, by itself or, for "and on Sundays?", with the one before it."""
        before = [one.text for one in order.talk[:-1] if one.role == "user" and one.text][-1:]
        for question in (order.text, " ".join([*before, order.text])):
            if hits := [hit for hit in await self.search(question, CANDIDATES) if self._enough(hit)]:
                return hits[:PASSAGES]
        return []

    def _enough(self, hit: Hit) -> bool:
        return hit.coverage >= self.least or hit.meaning >= (self.sure if self.extractive else self.least)
