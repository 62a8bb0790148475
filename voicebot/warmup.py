"""What is done before the doors open, so that no caller waits for it: a dummy turn through the loaded engines, for
their caches and page faults, and the sound of words that are spoken often.
"""

from __future__ import annotations

from voicebot.brain.fixed_words import FIXED_WORDS
from voicebot.brain.phrases import Phrases
from voicebot.core.audio import SPEECH_RATE_HZ, silence
from voicebot.core.settings import TurnSettings
from voicebot.engines.base import Cancel, LlmEngine, LlmRequest, Message, Sampling, SttEngine, TtsEngine
from voicebot.lane import Lane

SCRIPTED = "scripted"
"""Engines of this scheme have declared answers, and a dummy turn would use the first of each up."""


async def dummy_turn(stt: Lane[SttEngine], llm: Lane[LlmEngine], tts: Lane[TtsEngine]) -> None:
    """Recognise a second of silence, generate a few tokens, speak a word. Raises: EngineError."""
    lanes: list[Lane[SttEngine] | Lane[LlmEngine] | Lane[TtsEngine]] = [stt, llm, tts]
    real = [lane for lane in lanes if not lane.engine.name.startswith(SCRIPTED)]
    if stt in real:
        await stt.run(lambda cancel: stt.engine.transcribe(silence(SPEECH_RATE_HZ), cancel))
    if llm in real:
        await llm.run(lambda cancel: _generate(llm.engine, cancel))
    if tts in real:
        await tts.run(lambda cancel: sum(len(pcm) for pcm in tts.engine.synthesize("Hello.", cancel)))


OPENERS = ("Sure.", "Okay.", "All right.", "Yes.", "No.", "Of course.", "Done.")
"""First sentences that models like."""


async def make_phrases(phrases: Phrases, tts: Lane[TtsEngine], turn: TurnSettings) -> None:
    """Fill `phrases`: the operator's own words first. Raises: EngineError."""
    if not tts.engine.name.startswith(SCRIPTED):
        own = (turn.greeting, turn.apology, turn.no_answer, turn.not_understood)
        await phrases.warm(tts, (*own, *FIXED_WORDS, *OPENERS))


def _generate(engine: LlmEngine, cancel: Cancel) -> int:
    """How many chunks came."""
    request = LlmRequest([Message("user", "hello")], sampling=Sampling(max_tokens=8), session="warm-up")
    return sum(1 for _ in engine.generate(request, cancel))
