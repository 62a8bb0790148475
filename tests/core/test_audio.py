"""PCM: mu-law against the tables of G.711, resampling, levels, and the speech ring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.audio import (
    EMPTY,
    SPEECH_RATE_HZ,
    Hush,
    Pcm,
    SpeechRing,
    dbfs,
    mulaw_decode,
    mulaw_encode,
    resampler,
    silence,
)

# ITU-T G.711 table 2a: the decoder output at the end of each of the 8 segments, 14 bit.
SEGMENT_ENDS = {0x80: 8031, 0x8F: 4191, 0x9F: 2079, 0xAF: 1023, 0xBF: 495, 0xCF: 231, 0xDF: 99, 0xEF: 33, 0xFE: 2}
# The same table: the decision values at which the next segment begins, 14 bit.
DECISIONS = (31, 95, 223, 479, 991, 2015, 4063)


def tone(hz: float, rate_hz: int, seconds: float = 0.5, level: float = 10_000) -> Pcm:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def pcm(*values: int) -> Pcm:
    return np.array(values, dtype=np.int16)


@pytest.mark.parametrize(("code", "value"), SEGMENT_ENDS.items())
def test_mulaw_decodes_as_the_table_of_g711_says(code: int, value: int) -> None:
    assert mulaw_decode(bytes([code, code & 0x7F])).tolist() == [value * 4, -value * 4]


@pytest.mark.parametrize(("segment", "decision"), enumerate(DECISIONS))
def test_mulaw_changes_segment_at_the_decision_values_of_g711(segment: int, decision: int) -> None:
    below, at = mulaw_encode(pcm(decision * 4 - 1, decision * 4))
    assert ((~below >> 4) & 7, (~at >> 4) & 7) == (segment, segment + 1)


def test_mulaw_of_silence_and_of_the_loudest_samples() -> None:
    assert mulaw_encode(pcm(0, 32767, -32768)) == b"\xff\x80\x00"
    assert mulaw_encode(EMPTY) == b"" and len(mulaw_decode(b"")) == 0


def test_mulaw_encoding_what_was_decoded_changes_nothing() -> None:
    codes = bytes(range(256))
    once = mulaw_decode(codes)
    assert mulaw_decode(mulaw_encode(once)).tolist() == once.tolist()
    # 0x7F is minus zero, which 16 bit samples do not have.
    assert mulaw_encode(once) == codes.replace(b"\x7f", b"\xff")


def test_mulaw_errs_by_at_most_half_a_step() -> None:
    linear = np.arange(-32635, 32636, dtype=np.int16)
    error = np.abs(mulaw_decode(mulaw_encode(linear)).astype(int) - linear)
    assert np.all(error <= np.maximum(4, np.abs(linear.astype(int)) / 16 + 4))


def test_levels_are_relative_to_full_scale() -> None:
    assert dbfs(EMPTY) == dbfs(silence(160)) == -120.0
    assert dbfs(np.full(160, -32768, dtype=np.int16)) == 0.0
    assert dbfs(tone(1000, 16_000, level=32767)) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize(
    ("in_hz", "out_hz"), [(8000, 16_000), (16_000, 8000), (48_000, 16_000), (16_000, 48_000), (16_000, 16_000)]
)
def test_whole_number_ratios_give_exactly_their_count_of_samples(in_hz: int, out_hz: int) -> None:
    converter = resampler(in_hz, out_hz)
    assert [len(converter.push(tone(440, in_hz, 0.02))) for _ in range(5)] == [out_hz // 50] * 5
    assert len(converter.push(EMPTY)) == len(converter.flush()) == 0


@pytest.mark.parametrize(("in_hz", "out_hz"), [(22_050, 16_000), (24_000, 16_000), (44_100, 48_000)])
def test_other_ratios_keep_the_length_of_the_sound(in_hz: int, out_hz: int) -> None:
    converter = resampler(in_hz, out_hz)
    for _ in range(2):
        parts = [converter.push(tone(440, in_hz, 0.1)) for _ in range(5)] + [converter.push(EMPTY), converter.flush()]
        assert sum(map(len, parts)) == pytest.approx(out_hz / 2, abs=2)


@pytest.mark.parametrize(("in_hz", "out_hz"), [(8000, 16_000), (16_000, 8000), (48_000, 16_000), (22_050, 16_000)])
@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_speech_keeps_its_level(in_hz: int, out_hz: int, hz: int) -> None:
    converter = resampler(in_hz, out_hz)
    out = np.concatenate((converter.push(tone(hz, in_hz)), converter.flush()))
    middle = out[len(out) // 4 : -len(out) // 4]
    assert dbfs(middle) == pytest.approx(dbfs(tone(hz, in_hz)), abs=0.5)


def test_what_the_lower_rate_cannot_hold_is_filtered_out() -> None:
    out = resampler(48_000, 16_000).push(tone(11_000, 48_000))
    assert dbfs(out[200:]) < dbfs(tone(11_000, 48_000)) - 40


def test_loud_sound_is_clipped_and_does_not_wrap() -> None:
    square = np.repeat(pcm(32767, -32768), 40)
    out = resampler(8000, 16_000).push(np.tile(square, 4)).astype(int)
    assert out.max() == 32767 and out.min() == -32768
    assert np.abs(np.diff(out)).max() < 65_000


@given(st.lists(st.integers(1, 700), max_size=12), st.sampled_from([(8000, 16_000), (48_000, 16_000), (16_000, 8000)]))
def test_a_stream_in_pieces_is_the_stream_in_one(sizes: list[int], rates: tuple[int, int]) -> None:
    sound = np.random.default_rng(1).integers(-20_000, 20_000, sum(sizes)).astype(np.int16)
    whole = resampler(*rates).push(sound)
    converter = resampler(*rates)
    pieces = [converter.push(piece) for piece in np.split(sound, np.cumsum(sizes)[:-1])] if sizes else [EMPTY]
    joined: npt.NDArray[np.int16] = np.concatenate(pieces)
    assert len(joined) == len(whole)
    assert not len(whole) or np.abs(joined.astype(int) - whole).max() <= 1


def test_a_flushed_converter_starts_afresh() -> None:
    converter = resampler(48_000, 16_000)
    first = converter.push(tone(440, 48_000, 0.0201))
    converter.flush()
    assert converter.push(tone(440, 48_000, 0.0201)).tolist() == first.tolist()


def test_the_ring_gives_back_what_it_still_holds() -> None:
    ring = SpeechRing(seconds=10 / 16_000)
    ring.push(np.arange(6, dtype=np.int16))
    assert ring.read(2, 5).tolist() == [2, 3, 4]
    ring.push(np.arange(6, 14, dtype=np.int16))
    assert ring.stop_sample == 14
    assert ring.read(0, 99).tolist() == list(range(4, 14))
    assert ring.read(8, 12).tolist() == [8, 9, 10, 11]
    for start, stop in ((0, 4), (14, 20), (9, 9), (9, 3)):
        assert len(ring.read(start, stop)) == 0


@given(st.lists(st.integers(0, 25), max_size=12), st.integers(0, 150), st.integers(0, 150))
def test_the_ring_is_the_tail_of_what_was_pushed(sizes: list[int], start: int, stop: int) -> None:
    ring = SpeechRing(seconds=10 / 16_000)
    total = sum(sizes)
    for piece in np.split(np.arange(total, dtype=np.int16), np.cumsum(sizes)[:-1]) if sizes else []:
        ring.push(piece)
    assert ring.read(start, stop).tolist() == list(range(max(start, total - 10, 0), min(stop, total)))


def test_what_is_read_does_not_change_with_the_ring() -> None:
    ring = SpeechRing(seconds=4 / 16_000)
    ring.push(pcm(1, 2, 3, 4))
    kept = ring.read(0, 4)
    ring.push(pcm(5, 6, 7, 8))
    assert kept.tolist() == [1, 2, 3, 4]


def test_a_ring_that_was_let_go_holds_nothing() -> None:
    ring = SpeechRing(seconds=4 / 16_000)
    ring.push(pcm(1, 2, 3, 4))
    ring.let_go()
    assert len(ring.read(0, 4)) == 0


def noise(dbfs_: float, ms: int) -> Pcm:
    """White noise, the same every time."""
    rms = 32768 * 10 ** (dbfs_ / 20)
    drawn = np.random.default_rng(ms).normal(size=ms * SPEECH_RATE_HZ // 1000) * rms
    return np.clip(np.rint(drawn), -32768, 32767).astype(np.int16)


def hushed_ms(*sounds: Pcm, piece_ms: int = 10) -> float | None:
    """How long the hush is in which the sounds end; None where they end in none."""
    hush, step = Hush(1000), piece_ms * 16
    whole = np.concatenate(sounds)
    for start in range(0, len(whole), step):
        hush.push(whole[start : start + step])
    assert hush.stop_sample == 1000 + len(whole)
    return (hush.stop_sample - hush.since_sample) / 16 if hush.lasts else None


@pytest.mark.parametrize("piece_ms", [10, 20, 300])
@pytest.mark.parametrize(("line_dbfs", "hush_dbfs"), [(-120, -120), (-120, -62), (-55, -55), (-50, -50)])
def test_a_hush_begins_where_the_sound_sinks_into_the_noise_of_the_line(
    line_dbfs: float, hush_dbfs: float, piece_ms: int
) -> None:
    line, voice = noise(line_dbfs, 300), tone(200, SPEECH_RATE_HZ, 0.3)
    assert hushed_ms(line, voice, noise(hush_dbfs, 60), piece_ms=piece_ms) == 60
    assert hushed_ms(line, voice, noise(hush_dbfs, 60), voice, piece_ms=piece_ms) is None


@pytest.mark.parametrize(("line_dbfs", "sound_dbfs"), [(-120, -50), (-60, -45), (-30, -30)])
def test_a_faint_sound_is_no_hush_and_neither_is_a_noise_as_loud_as_it(line_dbfs: float, sound_dbfs: float) -> None:
    line, voice = noise(line_dbfs, 300), tone(200, SPEECH_RATE_HZ, 0.3)
    assert hushed_ms(line, voice, noise(sound_dbfs, 60)) is None


def test_before_anything_has_been_loud_there_is_no_hush() -> None:
    assert hushed_ms(noise(-50, 300)) is None
    hush = Hush(7)
    hush.push(EMPTY)
    assert (hush.stop_sample, hush.lasts) == (7, False)
