"""llama.cpp itself under many calls at once: its own cache and sequences, tiny models whose replies are noise."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest

from tests.engines.conftest import NEVER, CancelAfter, Garage
from tests.engines.tiny_mamba import write_mamba
from voicebot.engines import registry
from voicebot.engines.base import LlmDone, LlmRequest, Message, Sampling, ScoringLlm, TextDelta
from voicebot.engines.llamacpp import LlamaLlm
from voicebot.lane import Lane

SYSTEM = Message("system", "You answer the telephone of a garden centre, in one short sentence.")
TOKENS = 24
LETTERS = {"type": "string", "pattern": "^[a-z ]{90,99}$"}
CALLS, TURNS, WORDS = 6, 4, ("roses", "a spade", "opening hours", "earth", "tulips", "a tree")


def request(call: int, turn: int, tokens: int = TOKENS) -> LlmRequest:
    """The same for the same call and turn. The reply is plain letters, longer than `tokens`."""
    history = [Message("user", f"call {call} asks for {WORDS[(call + n) % len(WORDS)]}") for n in range(turn + 1)]
    return LlmRequest([SYSTEM, *history], (), Sampling(max_tokens=tokens), session=f"call {call}", schema=LETTERS)


def said(chunks: list[object]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("mamba") / "mamba.gguf")


class Talker:
    """A caller who asks, at times hangs up in the middle, and notes how sure the model was of what it said."""

    def __init__(self, lane: Lane[LlamaLlm], call: int) -> None:
        self.lane, self.call, self.random = lane, call, Random(call)
        self.heard: list[tuple[LlmRequest, str, LlmDone]] = []

    async def talk(self) -> None:
        for turn in range(TURNS):
            asked = request(self.call, turn)
            while not await self.ask(asked, self.random.randint(1, 6) if self.random.random() < 0.4 else 10_000):
                pass

    async def ask(self, asked: LlmRequest, stop_after: int) -> bool:
        """Whether the reply was heard to its end."""
        chunks: list[object] = []
        async with aclosing(self.lane.stream(lambda cancel: self.lane.engine.generate(asked, cancel))) as reply:
            async for chunk in reply:
                chunks.append(chunk)
                if len(chunks) == stop_after:
                    return False
        done = chunks[-1]
        assert isinstance(done, LlmDone)
        self.heard.append((asked, said(chunks), done))
        return True


def test_a_prompt_is_read_as_far_as_its_last_words_may_go_on(garage: Garage) -> None:
    llm = garage.loaded("llm", "llama://tiny.gguf?threads=1")

    def ask(text: str, tokens: int) -> LlmDone:
        asked = LlmRequest([SYSTEM, Message("user", text)], (), Sampling(max_tokens=tokens), session="a")
        done = list(llm.generate(asked, NEVER))[-1]
        assert isinstance(done, LlmDone)
        return done

    read = [ask(text, 0).prompt_tokens for text in ("", "opening", "opening hours")]
    assert read == sorted(set(read)), "with more words it is longer"
    answered = ask("opening hours of the shop", 1)
    assert answered.cached_tokens == read[-1], "and none of it was for nothing"
    assert answered.prompt_tokens > read[-1]


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_what_many_calls_at_once_are_told_is_what_each_would_be_told_alone(
    kind: str, models: Path, mamba: Path
) -> None:
    """Log-probabilities are compared, which any foreign token in a sequence would change, and ties would not."""
    path = models / "tiny.gguf" if kind == "transformer" else mamba
    # Cells for about three of six calls: the others are given up and read anew.
    crowd = registry.create("llm", f"llama://{path}?ctx=700&threads=1&calls=4&sequences=5&cells=1200&chunk=16")
    assert isinstance(crowd, LlamaLlm)

    async def body() -> list[tuple[LlmRequest, str, LlmDone]]:
        lane = Lane(crowd)
        await lane.load()
        try:
            callers = [Talker(lane, call) for call in range(CALLS)]
            await asyncio.gather(*(caller.talk() for caller in callers))
        finally:
            await lane.aclose()
        return [heard for caller in callers for heard in caller.heard]

    heard = asyncio.run(asyncio.wait_for(body(), 60))
    assert len(heard) == CALLS * TURNS
    alone = registry.create("llm", f"llama://{path}?ctx=700&threads=1&calls=1&sequences=1")
    assert isinstance(alone, LlamaLlm)
    alone.load()
    for asked, text, done in heard:
        (score,) = alone.score(asked, [text], NEVER)
        assert len(score.tokens) == done.completion_tokens == TOKENS
        assert (score.mean, min(score.tokens)) == pytest.approx((done.mean_logprob, done.min_logprob), abs=0.1)
    alone.close()


def test_a_recurrent_model_answers_rightly_after_a_draft_was_aborted_and_its_prompt_changed(mamba: Path) -> None:
    def reply(engine: object, asked: LlmRequest) -> tuple[str, LlmDone]:
        assert isinstance(engine, LlamaLlm)
        chunks = list(engine.generate(asked, NEVER))
        assert isinstance(chunks[-1], LlmDone)
        return said(list(chunks)), chunks[-1]

    fresh = registry.create("llm", f"llama://{mamba}?ctx=700&threads=1&sequences=1&calls=1")
    kept = registry.create("llm", f"llama://{mamba}?ctx=700&threads=1")
    fresh.load()
    kept.load()
    first, second = request(0, 0), request(0, 1)
    assert reply(kept, first)[0] == reply(fresh, first)[0]
    list(kept.generate(request(1, 1), CancelAfter(3)))
    text, done = reply(kept, first)
    assert (text, done.cached_tokens) == (reply(fresh, first)[0], 0), "the whole prompt but its last token is not kept"
    assert reply(kept, second)[0] == reply(fresh, second)[0]
    longer = LlmRequest([*first.messages, Message("assistant", "yes"), Message("user", "when")], session="call 0")
    assert isinstance(kept, ScoringLlm) and isinstance(fresh, ScoringLlm)
    weighed = [[score.total for score in engine.score(longer, ["nine", "ten"], NEVER)] for engine in (kept, fresh)]
    assert weighed[0] == pytest.approx(weighed[1], abs=0.03)
    kept.close()
    fresh.close()


def test_answers_are_weighed_the_same_beside_replies_as_alone(garage: Garage) -> None:
    engine = garage.loaded("llm", "llama://tiny.gguf?ctx=700&threads=1&calls=4&chunk=16")
    assert isinstance(engine, LlamaLlm)
    choices = [f"{word} please" for word in WORDS] + ["no", "x"]
    alone = [score.tokens for score in engine.score(request(0, 1), choices, NEVER)]
    replies = [engine.generate(request(call, 2, tokens=60), NEVER) for call in (1, 2)]
    for reply in replies:
        next(reply)
    beside = [score.tokens for score in engine.score(request(0, 1), choices, NEVER)]
    for left, right in zip(alone, beside, strict=True):
        assert left == pytest.approx(right, abs=0.03), "but for the rounding of half precision"
    assert len(alone) == len(choices)
    for reply, call in zip(replies, (1, 2), strict=True):
        assert isinstance(list(reply)[-1], LlmDone), call
