"""What losing packets costs in words: recorded speech through Opus with loss to the recogniser that comes with us."""

from __future__ import annotations

import csv
import threading
from pathlib import Path
from random import Random

import numpy as np

from voicebot.cli.wav import read_speech
from voicebot.core.audio import Pcm, resampler, silence
from voicebot.core.text import normalize
from voicebot.engines.registry import create
from voicebot.transports.opus import CLOCK_HZ, OpusDecoder, OpusEncoder
from voicebot.transports.packet_buffer import Lost, PacketBuffer
from voicebot.transports.webrtc_media import BIT_RATE, FRAME_SAMPLES, RATE_HZ

LANGUAGE_MODEL = Path(__file__).resolve().parents[2] / "models" / "speech" / "en-us.lm.bin"
LOSS_PERCENT = 15
FRAME = CLOCK_HZ // 50


def heard(pcm: Pcm, seed: int, make_up: bool) -> Pcm:
    """What arrives of int16[n] at 16 kHz; what does not is made up or silent."""
    random, encoder, decoder, buffer = Random(seed), OpusEncoder(RATE_HZ, BIT_RATE), OpusDecoder(16_000), PacketBuffer()
    encoder.expect_loss(LOSS_PERCENT)
    wide = resampler(16_000, RATE_HZ).push(pcm)
    out = []
    for n in range(len(wide) // FRAME_SAMPLES):
        packet = encoder.encode(wide[n * FRAME_SAMPLES : (n + 1) * FRAME_SAMPLES])
        if n and random.random() * 100 < LOSS_PERCENT:
            continue
        steps = buffer.push(n, n * FRAME, packet, n * 0.02)
        steps += buffer.due(n * 0.02 + 1) if buffer.deadline is not None else []
        for step in steps:
            if not isinstance(step, Lost):
                out.append(decoder.decode(step.payload))
            elif not make_up or step.following is None:
                out.append(silence(step.samples // 3))
            else:
                before = [decoder.conceal(step.samples - FRAME)] if step.samples > FRAME else []
                out += [*before, decoder.recover(step.following, FRAME)]
    return np.concatenate(out)


def wrong(said: str, got: str) -> int:
    """Words to change, add or take away."""
    words, row = normalize(got).split(), list(range(len(normalize(got).split()) + 1))
    for n, one in enumerate(normalize(said).split(), 1):
        last, row[0] = row[0], n
        for m, other in enumerate(words, 1):
            last, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, last + (one != other))
    return row[-1]


def test_copies_and_guesses_save_most_of_the_words_that_silence_would_cost(speech: Path) -> None:
    engine = create("stt", f"pocketsphinx://?lm={LANGUAGE_MODEL}", Path())
    engine.load()
    with (speech / "transcripts.tsv").open() as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["words"]][:10]
    errors = {True: 0, False: 0}
    for seed, row in enumerate(rows):
        pcm = read_speech(speech / row["file"]).pcm
        for make_up in errors:
            text = engine.transcribe(heard(pcm, seed, make_up), threading.Event()).text
            errors[make_up] += wrong(row["words"], text)
    engine.close()
    assert errors[True] * 2 <= errors[False], errors
