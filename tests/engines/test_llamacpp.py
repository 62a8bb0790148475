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
from voicebot.engines.base import BatchedEngine, LlmDone, LlmRequest, Message, Sampling, ScoringLlm, TextDelta
from voicebot.engines.llamacpp import LlamaLlm
from voicebot.lane import Lane

SYSTEM = Message("system", "You answer the telephone of a garden centre, in one short sentence.")
CALLS, TURNS, WORDS = 6, 4, ("roses", "a spade", "opening hours", "earth", "tulips", "a tree")


def request(call: int, turn: int, tokens: int = 24) -> LlmRequest:
    """The same for the same call and turn."""
    history = [Message("user", f"call {call} asks for {WORDS[(call + n) % len(WORDS)]}") for n in range(turn + 1)]
    return LlmRequest([SYSTEM, *history], sampling=Sampling(max_tokens=tokens), session=f"call {call}")


def said(chunks: list[object]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("mamba") / "mamba.gguf")


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_many_calls_at_once_get_the_replies_that_each_would_get_alone(kind: str, models: Path, mamba: Path) -> None:
    path = models / "tiny.gguf" if kind == "transformer" else mamba
    alone = registry.create("llm", f"llama://{path}?ctx=700&threads=1&calls=1&sequences=1")
    alone.load()
    expected = {
        (call, turn): said(list(alone.generate(request(call, turn), NEVER)))
        for call in range(CALLS)
        for turn in range(TURNS)
    }
    alone.close()
    # Cells for about three of six calls: the others are given up and read anew.
    crowd = registry.create("llm", f"llama://{path}?ctx=700&threads=1&calls=4&sequences=5&cells=1200&chunk=16")
    assert isinstance(crowd, BatchedEngine)

    async def caller(lane: Lane[LlamaLlm], call: int, random: Random) -> int:
        finished = 0
        for turn in range(TURNS):
            while True:
                stop_after = random.randint(1, 6) if random.random() < 0.4 else 10_000
                chunks: list[object] = []
                asked = request(call, turn)
                async with aclosing(
                    lane.stream(lambda cancel, asked=asked: lane.engine.generate(asked, cancel))
                ) as reply:
                    async for chunk in reply:
                        chunks.append(chunk)
                        if len(chunks) == stop_after:
                            break
                if isinstance(chunks[-1], LlmDone):
                    break
            assert said(chunks) == expected[call, turn], "a token of another call, or one left out"
            finished += 1
        return finished

    async def body() -> None:
        lane: Lane[LlamaLlm] = Lane(crowd)  # type: ignore[arg-type]
        await lane.load()
        try:
            finished = await asyncio.gather(*(caller(lane, call, Random(call)) for call in range(CALLS)))
            assert finished == [TURNS] * CALLS
        finally:
            await lane.aclose()

    asyncio.run(asyncio.wait_for(body(), 60))


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
