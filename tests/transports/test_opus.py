"""Opus by libopus: on recorded speech, so that what is said of losses is said of voices."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from voicebot.cli.wav import read_speech
from voicebot.core.audio import Pcm, dbfs, resampler, silence
from voicebot.errors import ProtocolError
from voicebot.transports import opus
from voicebot.transports.opus import CLOCK_HZ, OpusDecoder, OpusEncoder, packet_samples, says_silence
from voicebot.transports.webrtc_media import BIT_RATE, FRAME_SAMPLES, RATE_HZ

FRAME = CLOCK_HZ // 50


@pytest.fixture(scope="module")
def packets(speech: Path) -> list[bytes]:
    """A second and a half of speech, encoded as the bot's voice is."""
    return encoded(spoken(speech))


def spoken(speech: Path) -> Pcm:
    convert = resampler(16_000, RATE_HZ)
    return convert.push(read_speech(speech / "what_time_is_it.wav").pcm)


def encoded(pcm: Pcm, loss_percent: int = 10) -> list[bytes]:
    encoder = OpusEncoder(RATE_HZ, BIT_RATE)
    encoder.expect_loss(loss_percent)
    return [encoder.encode(pcm[at : at + FRAME_SAMPLES]) for at in range(0, len(pcm) - FRAME_SAMPLES, FRAME_SAMPLES)]


def decoded(packets: list[bytes], rate_hz: int = 16_000) -> Pcm:
    decoder = OpusDecoder(rate_hz)
    return np.concatenate([decoder.decode(packet) for packet in packets])


def far_from(wanted: Pcm, got: Pcm) -> float:
    """Energy of the difference to that of the wanted, in dB."""
    return dbfs(np.clip(got.astype(np.int32) - wanted, -32768, 32767).astype(np.int16)) - dbfs(wanted)


def test_speech_is_sent_in_mono_near_the_bit_rate_and_comes_back_at_16_khz(speech: Path, packets: list[bytes]) -> None:
    assert all(packet[0] & 4 == 0 for packet in packets), "the stereo bit of RFC 6716 section 3.1"
    assert sum(map(len, packets)) * 8 / (len(packets) * 0.02) == pytest.approx(BIT_RATE, rel=0.25)
    heard = decoded(packets)
    assert len(heard) == 320 * len(packets)
    assert dbfs(heard) == pytest.approx(dbfs(spoken(speech)), abs=1.5)


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_the_length_of_a_packet_is_told_without_decoding_it(milliseconds: int) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, RATE_HZ * milliseconds // 1000).astype(np.int16)
    packet = OpusEncoder(RATE_HZ, BIT_RATE).encode(noise)
    assert packet_samples(packet) == CLOCK_HZ * milliseconds // 1000
    assert len(OpusDecoder(16_000).decode(packet)) == 16 * milliseconds


def test_every_first_byte_is_read_as_libopus_reads_it() -> None:
    for packet in (bytes((first, second, 0, 0)) for first in range(256) for second in (0, 1, 6, 48, 63)):
        told = opus.library().opus_packet_get_nb_samples(packet, ctypes.c_int32(4), ctypes.c_int32(CLOCK_HZ))
        assert packet_samples(packet) == max(0, told)
    assert packet_samples(b"") == 0


def test_a_lost_packet_is_rebuilt_from_the_copy_in_the_next_better_than_guessed_and_a_guess_beats_silence(
    packets: list[bytes],
) -> None:
    whole = decoded(packets)
    loud = [n for n in range(4, len(packets) - 1) if dbfs(whole[n * 320 : (n + 1) * 320]) > -20]
    recovered, guessed = [], []
    for n in loud:
        one, two = OpusDecoder(16_000), OpusDecoder(16_000)
        for packet in packets[:n]:
            one.decode(packet)
            two.decode(packet)
        wanted = whole[n * 320 : (n + 1) * 320]
        recovered.append(far_from(wanted, one.recover(packets[n + 1], FRAME)))
        guessed.append(far_from(wanted, two.conceal(FRAME)))
    assert len(loud) > 20
    assert np.mean(recovered) < np.mean(guessed) - 3
    assert np.mean(guessed) < 0, "silence is 0 dB from what was said"


def test_where_no_loss_is_expected_all_bits_go_into_the_words(speech: Path, packets: list[bytes]) -> None:
    clean = encoded(spoken(speech), loss_percent=0)
    one, two = OpusDecoder(16_000), OpusDecoder(16_000)
    for packet in clean[:30]:
        one.decode(packet)
        two.decode(packet)
    assert np.array_equal(one.recover(clean[31], FRAME), two.conceal(FRAME)), "there is no copy in it"
    assert sum(map(len, clean)) > 0.95 * sum(map(len, packets))


def test_a_guess_fades_to_silence_within_a_tenth_of_a_second_so_that_loss_is_not_taken_for_a_voice(
    packets: list[bytes],
) -> None:
    whole = decoded(packets)
    loud = max(range(len(packets)), key=lambda n: dbfs(whole[n * 320 : (n + 1) * 320]))
    decoder = OpusDecoder(16_000)
    for packet in packets[: loud + 1]:
        decoder.decode(packet)
    made_up = decoder.conceal(50 * FRAME)
    assert len(made_up) == 16_000
    assert dbfs(made_up[:320]) > -20
    assert dbfs(made_up[1600:]) < -55


def test_a_damaged_packet_is_the_peers_fault_and_the_next_ones_are_heard(packets: list[bytes]) -> None:
    decoder = OpusDecoder(16_000)
    with pytest.raises(ProtocolError, match="an Opus packet of 2 bytes cannot be decoded: corrupted stream"):
        decoder.decode(b"\x7f\xff")
    assert dbfs(np.concatenate([decoder.decode(packet) for packet in packets])) > -30


def test_the_packet_of_a_sender_that_falls_silent_is_told_from_one_of_silence() -> None:
    assert says_silence(b"\x48")
    assert not says_silence(OpusEncoder(RATE_HZ, BIT_RATE).encode(silence(FRAME_SAMPLES)))


def test_the_library_tells_its_version_for_the_doctor() -> None:
    assert opus.version().startswith("libopus 1.")
