"""The measure of who keeps the floor, and that committed sounds are judged rightly on three wires."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.conftest import OWN_LM, read_speech
from voicebot.core.audio import dbfs
from voicebot.core.settings import TurnSettings
from voicebot.engines import registry
from voicebot.engines.base import SttEngine, Transcript
from voicebot.evals.overlap import WIRES, Sound, measure, takes_floor, through_opus
from voicebot.evals.speech import transcript_of


@pytest.fixture(scope="module")
def sphinx() -> SttEngine:
    engine = registry.create("stt", "pocketsphinx://?decoders=1&telephone=1")
    engine.load()
    return engine


@pytest.mark.skipif(not OWN_LM.is_file(), reason="models/speech/en-us.lm.bin has not been built")
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("name", "takes"),
    [("mm_hm", False), ("okay", False), ("cough", False), ("stop", True), ("wait", True), ("hello", True)],
)
def test_a_hum_or_cough_leaves_the_floor_to_the_bot_and_a_word_takes_it(
    sphinx: SttEngine, name: str, takes: bool, wire: str
) -> None:
    heard = transcript_of(sphinx, WIRES[wire](read_speech(f"{name}.wav")), narrowband=wire == "telephone")
    assert takes_floor(heard) is takes, heard


def test_the_rule_is_the_turn_machines() -> None:
    sure = TurnSettings().overlap_confidence
    assert takes_floor(Transcript("one more", sure))
    assert not takes_floor(Transcript("one more", sure - 0.01))
    assert not takes_floor(Transcript("Okay, right.", 1.0))
    assert not takes_floor(Transcript("", 1.0))


def test_opus_carries_speech_at_its_level_and_length() -> None:
    tone = (np.sin(2 * np.pi * 440 / 16_000 * np.arange(16_000)) * 8000).astype(np.int16)
    carried = through_opus(tone)
    assert len(carried) == pytest.approx(len(tone), abs=2 * 320)
    assert dbfs(carried) == pytest.approx(dbfs(tone), abs=1)


def test_what_was_judged_wrongly_is_counted_by_kind_and_wire_and_told() -> None:
    engine = registry.create("stt", "scripted://?text=hello&stream=true")
    engine.load()
    sounds = [Sound(kind, "slt", kind, np.zeros(1600, dtype=np.int16)) for kind in ("hum", "wanting")]
    report = measure(engine, iter(sounds))
    assert report["of"] == {"hum": 1, "wanting": 1}
    assert report["wrong"] == {"hum": dict.fromkeys(WIRES, 1), "wanting": dict.fromkeys(WIRES, 0)}
    assert report["heard_as"][0] == ["hum", "16k", "slt", "hum", "hello", 1.0]
