"""The measure of word errors at two bandwidths."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicebot.core.audio import dbfs
from voicebot.engines import registry
from voicebot.evals.speech import Said, compare, over_telephone, read_folder, word_errors


@pytest.mark.parametrize(
    ("expected", "heard", "errors"),
    [("a b c", "a b c", 0), ("a b c", "", 3), ("", "a b", 2), ("a b c", "a x c d", 2), ("a b c", "b c", 1)],
)
def test_word_errors_are_words_put_in_left_out_or_changed(expected: str, heard: str, errors: int) -> None:
    assert word_errors(expected, heard) == errors


def test_a_telephone_carries_1_khz_and_not_6_khz() -> None:
    low, high = (np.sin(2 * np.pi * hz / 16_000 * np.arange(16_000)) * 8000 for hz in (1000, 6000))
    heard = [dbfs(over_telephone(Said("", tone.astype(np.int16), 16_000))) for tone in (low, high)]
    assert heard[0] == pytest.approx(-15.3, abs=1)
    assert heard[1] < -50


def test_narrow_recordings_are_measured_over_the_telephone_only_and_misses_are_told(tmp_path: Path) -> None:
    _write(tmp_path / "a.wav", 16_000)
    _write(tmp_path / "b.wav", 8_000)
    (tmp_path / "transcripts.tsv").write_text("file\twords\na.wav\thello there\nb.wav\tgoodbye\ncough.wav\t\n")
    wide, narrow = read_folder(tmp_path)
    engine = registry.create("stt", "scripted://?text=Hello+there.&stream=true")
    engine.load()
    assert compare(engine, [wide]) == {"words": 2, "wide": 0, "telephone": 0, "missed": []}
    assert compare(engine, [narrow]) == {"words": 1, "telephone": 2, "missed": [["goodbye", "hello there"]]}


def _write(path: Path, rate_hz: int) -> None:
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate_hz)
        recording.writeframes(np.zeros(rate_hz, dtype=np.int16).tobytes())
