"""The specialists' jobs on virtual time: what a model is asked, what counts as an answer, and what the caller hears."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from tests.brain.test_reply import QUICK
from tests.sim.engines import SimEngine
from tests.sim.lane import VirtualLane
from tests.virtual_time import run
from voicebot.brain.jobs import NOT_FOUND, Classify, Extract, Job, Order, Product, Retrieve, Rewrite
from voicebot.brain.passages import Hit, PassageIndex, split
from voicebot.brain.reply import Attempt
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Message, Sampling, Score, TextDelta
from voicebot.errors import EngineBadOutput


class Answering(SimEngine):
    """Writes `text`; keeps what it was asked."""

    def __init__(self, text: str = "", logprob: float = -0.1) -> None:
        super().__init__("answering", Random(0))
        self.text, self.logprob = text, logprob
        self.requests: list[LlmRequest] = []

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        self.requests.append(request)
        yield TextDelta(self.text)
        yield LlmDone("stop", prompt_tokens=9, mean_logprob=self.logprob, min_logprob=self.logprob)


class Weighing(Answering):
    """Can score: each choice by what `likely` says."""

    def __init__(self, **likely: float) -> None:
        super().__init__()
        self.likely = likely

    def score(self, request: LlmRequest, choices: Sequence[str], _cancel: Cancel) -> Iterator[Score]:
        self.requests.append(request)
        for choice in choices:
            yield Score((self.likely[choice],) * 2)


def product(job: Job, engine: Answering, *talk: str) -> tuple[Product, Attempt]:
    """`talk`: caller and bot by turns, the caller's words last."""
    attempt = Attempt(engine.name)
    roles = ("user", "assistant")
    messages = [Message(roles[(len(talk) - 1 - at) % 2], text) for at, text in enumerate(talk)]  # type: ignore[arg-type]

    async def main() -> Product:
        lane: VirtualLane[Any] = VirtualLane(engine, QUICK, Random(1))
        lane.start()
        try:
            return await job.work(Order(lane, "Do it.", Sampling(), messages, "call/one", attempt))
        finally:
            await lane.aclose()

    return run(main()), attempt


BOOKING = Extract({"name": "who books", "day": "for when", "phone_number": "how to reach them"}, ("name", "day"))


def test_details_become_fields_by_a_schema_and_are_read_back_with_what_is_missing() -> None:
    engine = Answering(json.dumps({"name": "Anna  Smith", "day": None, "phone_number": "five five five"}))
    made, attempt = product(BOOKING, engine, "this is anna smith, five five five")
    assert made.value == {"name": "Anna Smith", "phone_number": "five five five"}
    assert made.speech == "I have name Anna Smith, phone number five five five. I still need the day."
    (request,) = engine.requests
    assert request.schema is not None and list(request.schema["properties"]) == ["name", "day", "phone_number"]
    assert "- day: for when" in request.messages[0].text
    assert attempt.done is not None and attempt.done.prompt_tokens == 9 and attempt.prompt_chars > 0


@pytest.mark.parametrize("text", ["Sure! Here it is.", "[1, 2]", '{"name": "An'])
def test_details_that_are_no_json_object_are_no_answer(text: str) -> None:
    with pytest.raises(EngineBadOutput):
        product(BOOKING, Answering(text), "hello")


def test_no_details_at_all_are_said_so() -> None:
    made, _ = product(Extract({"name": "who"}), Answering('{"name": null}'), "hello")
    assert made.speech == "I did not catch any details."


LABELS = Classify({"billing": "I put you in the queue for bills.", "lost_card": ""})


def test_a_label_is_weighed_and_not_written_and_its_own_sentence_is_spoken() -> None:
    engine = Weighing(billing=-0.2, lost_card=-3.0)
    made, attempt = product(LABELS, engine, "my bill is wrong")
    assert made.speech == "I put you in the queue for bills."
    assert made.value == {"label": "billing", "probability": pytest.approx(0.943, abs=1e-3)}
    assert made.min_logprob == pytest.approx(math.log(0.943), abs=1e-2)
    assert "billing, lost_card" in engine.requests[0].messages[0].text
    assert attempt.ttft_ms > 0


def test_an_engine_that_cannot_weigh_chooses_by_a_schema() -> None:
    engine = Answering('{"label": "lost_card"}', logprob=-0.3)
    made, _ = product(LABELS, engine, "i lost my card")
    assert (made.speech, made.min_logprob) == ("I take that as lost card.", -0.3)
    assert engine.requests[0].schema is not None
    with pytest.raises(EngineBadOutput, match="choose one of 2 labels"):
        product(LABELS, Answering('{"label": "weather"}'), "i lost my card")


def test_a_rewrite_sees_what_was_said_before_and_is_spoken_as_it_is() -> None:
    engine = Answering("See you at nine.")
    made, _ = product(Rewrite(), engine, "say it", "We will convene at nine.", "make that friendlier")
    assert made == Product(None, "See you at nine.", -0.1, -0.1)
    assert [one.text for one in engine.requests[0].messages] == [
        "Do it.", "say it", "We will convene at nine.", "make that friendlier",
    ]  # fmt: skip
    with pytest.raises(EngineBadOutput):
        product(Rewrite(), Answering(" "), "make that friendlier")


INDEX = PassageIndex(
    split("hours.md", "# Hours\n\nThe kitchen opens at seven. It closes at ten in the evening.\n\n## Sundays\n\n"
          "On Sundays the kitchen opens at nine.")
    + split("pets.md", "Dogs are welcome for a fee.")
)  # fmt: skip


async def search(question: str, limit: int) -> list[Hit]:
    return INDEX.search(question, limit)


READ, EXTRACT = Retrieve(search), Retrieve(search, extractive=True)


def test_an_answer_is_made_from_the_passages_that_cover_the_question() -> None:
    engine = Answering("At seven.")
    made, _ = product(READ, engine, "when does the kitchen open")
    assert made.speech == "At seven." and made.value is not None
    assert made.value["found"] is True and made.value["source"] == "hours.md"
    system = engine.requests[0].messages[0].text
    assert "Hours\nThe kitchen opens at seven." in system and "Dogs" not in system


@pytest.mark.parametrize(("question", "text"), [("who won the world cup", "Brazil."), ("dogs", "NOT THERE")])
def test_what_is_not_in_the_documents_is_said_and_may_escalate(question: str, text: str) -> None:
    made, _ = product(READ, Answering(text), question)
    assert (made.value, made.speech, made.rejected) == ({"found": False}, NOT_FOUND, "not in the documents")


@pytest.mark.parametrize(("meaning", "read", "spoken"), [(0.4, False, False), (0.6, True, False), (0.8, True, True)])
def test_what_is_found_by_meaning_alone_is_spoken_unread_only_when_that_is_sure(
    meaning: float, read: bool, spoken: bool
) -> None:
    async def found(question: str, limit: int) -> list[Hit]:
        return [Hit(INDEX.passages[0], 1.0, 0.0, {}, meaning, (0.9, 0.1))]

    for job, there in ((Retrieve(found), read), (Retrieve(found, extractive=True), spoken)):
        made, _ = product(job, Answering("Found."), "quit the agreement")
        assert made.value is not None and made.value["found"] is there
        assert (made.speech != NOT_FOUND) is there


def test_without_a_model_that_reads_the_passages_own_sentence_is_spoken() -> None:
    engine = Answering()
    made, _ = product(EXTRACT, engine, "when does the kitchen close")
    assert made.speech == "It closes at ten in the evening." and not engine.requests
    assert product(EXTRACT, engine, "who won the world cup")[0].rejected


def test_a_short_question_is_understood_with_the_one_before_it() -> None:
    made, _ = product(EXTRACT, Answering(), "when does the kitchen open", "At seven.", "and on a sunday")
    assert made.speech.startswith("On Sundays the kitchen opens at nine.")
