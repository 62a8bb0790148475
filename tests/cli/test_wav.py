from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicebot.cli.wav import read_speech, speech_stop, write_wav
from voicebot.core.audio import Pcm
from voicebot.errors import ConfigError


def tone(seconds: float, rate_hz: int, amplitude: float = 8000) -> Pcm:
    return (amplitude * np.sin(2 * np.pi * 400 * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def a_wav(path: Path, pcm: Pcm, rate_hz: int = 16000, channels: int = 1, bytes_each: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bytes_each)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
    return path


def test_a_wav_at_16_khz_is_read_sample_for_sample(tmp_path: Path) -> None:
    pcm = tone(0.5, 16000)
    speech = read_speech(a_wav(tmp_path / "a.wav", pcm))
    assert speech.name == "a.wav"
    assert np.array_equal(speech.pcm, pcm)


def test_a_wav_at_8_khz_becomes_16_khz_of_the_same_length_and_level(tmp_path: Path) -> None:
    speech = read_speech(a_wav(tmp_path / "a.wav", tone(0.5, 8000), rate_hz=8000))
    assert len(speech.pcm) == 8000
    assert np.max(np.abs(speech.pcm[100:])) == pytest.approx(8000, rel=0.02)


@pytest.mark.parametrize(
    ("rate_hz", "channels", "bytes_each", "said"),
    [
        (44100, 1, 2, "mono, 16 bit, 44100 Hz"),
        (16000, 2, 2, "stereo, 16 bit, 16000 Hz"),
        (16000, 1, 1, "mono, 8 bit, 16000 Hz"),
        (48000, 6, 2, "6 channels, 16 bit, 48000 Hz"),
    ],
)
def test_a_wav_of_another_shape_is_refused_with_its_shape_and_the_command_that_converts_it(
    tmp_path: Path, rate_hz: int, channels: int, bytes_each: int, said: str
) -> None:
    path = a_wav(tmp_path / "a.wav", tone(0.6, 16000), rate_hz, channels, bytes_each)
    with pytest.raises(ConfigError) as refused:
        read_speech(path)
    assert said in str(refused.value)
    assert f"sox {path} -r 16000 -c 1 -b 16 out.wav" in str(refused.value)
    assert f"ffmpeg -i {path} -ar 16000 -ac 1 out.wav" in str(refused.value)


def test_a_wav_without_samples_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        read_speech(a_wav(tmp_path / "a.wav", tone(0, 16000)))


def test_a_silent_wav_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is silent"):
        read_speech(a_wav(tmp_path / "a.wav", np.full(16000, 3, np.int16)))


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3\x04 an mp3 by its name only", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_a_file_that_is_no_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is not a WAV of plain PCM \(\w.*\); convert it"):
        read_speech(path)


def test_a_missing_wav_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read .*none.wav: No such file"):
        read_speech(tmp_path / "none.wav")
    with pytest.raises(ConfigError, match="cannot read"):
        read_speech(tmp_path)


def test_a_wav_cut_off_in_the_middle_of_its_samples_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = a_wav(tmp_path / "a.wav", tone(0.5, 16000))
    path.write_bytes(path.read_bytes()[:-4001])
    assert len(read_speech(path).pcm) == (16000 - 4001) // 2


def test_a_wav_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="301 s long; the limit is 300 s"):
        read_speech(a_wav(tmp_path / "a.wav", np.ones(301 * 8000, np.int16), rate_hz=8000))


def test_speech_ends_with_its_last_frame_within_40_db_of_the_peak() -> None:
    parts = [tone(0.3, 16000), tone(0.2, 16000, 8000 / 50), tone(0.5, 16000, 8000 / 400)]
    assert speech_stop(np.concatenate(parts)) == round(0.5 * 16000)


def test_a_hum_under_the_floor_is_no_speech_in_a_quiet_wav() -> None:
    assert speech_stop(np.concatenate((tone(0.1, 16000, 200), tone(0.4, 16000, 40)))) == 1600
    assert speech_stop(tone(1, 16000, 20)) == 0
    assert speech_stop(tone(0, 16000)) == 0


def test_a_last_frame_that_is_shorter_counts_to_its_end() -> None:
    assert speech_stop(tone(0.1234, 16000)) == round(0.1234 * 16000)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    pcm = tone(0.2, 16000)
    write_wav(tmp_path / "out.wav", pcm, 16000)
    assert np.array_equal(read_speech(tmp_path / "out.wav").pcm, pcm)
    with pytest.raises(ConfigError, match="cannot write"):
        write_wav(tmp_path / "no" / "out.wav", pcm, 16000)


def test_every_committed_test_sentence_is_readable_and_listed(speech: Path) -> None:
    listed = [line.split("\t")[0] for line in (speech / "transcripts.tsv").read_text().splitlines()[1:]]
    assert sorted(listed) == sorted(path.name for path in speech.glob("*.wav"))
    for name in listed:
        said = read_speech(speech / name)
        assert 0.05 * 16000 <= len(said.pcm) - said.speech_stop_sample <= 0.3 * 16000, name
