"""Makes what a recogniser writes of spoken utterances and of their beginnings, for training and measuring `text://`.

    python -m voicebot.training.heard --clinc train_val.json --part train --count 3000 --out heard.tsv

Each line, and a beginning of it, is spoken by flite (three voices in turn, every third line at a telephone's 8 kHz) and
recognised by `--engine`. A row: "1" for whole or "0" for a beginning, what was said, what was heard. Needs flite.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler, silence
from voicebot.engines import registry
from voicebot.engines.base import SttEngine
from voicebot.training.end_of_turn import clinc_lines, cut, generated_lines

VOICES = ("slt", "rms", "awb")
SILENCE_SAMPLES = 3200
"""Behind the speech: what an ear hears before it takes the caller to be silent, and more."""
LOUD = 300
TELEPHONE_HZ = 8000
TELEPHONE_EVERY = 3


def speak(text: str, voice: str) -> Pcm:
    """The words by flite, 16 kHz, silence at both ends cut away and 200 ms of it put behind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path)) as recording:
            pcm = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
            assert recording.getframerate() == SPEECH_RATE_HZ, f"the voice {voice} is not at 16 kHz"
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LOUD)
    return np.concatenate((pcm[loud[0] : loud[-1] + 1], silence(SILENCE_SAMPLES)))


def telephoned(pcm: Pcm) -> Pcm:
    """The sound without what a telephone leaves out, at 16 kHz again."""
    for source, target in ((SPEECH_RATE_HZ, TELEPHONE_HZ), (TELEPHONE_HZ, SPEECH_RATE_HZ)):
        converter = resampler(source, target)
        pcm = np.concatenate((converter.push(pcm), converter.flush()))
    return pcm


def rows(
    lines: Sequence[str], stt: SttEngine, seed: int, say: Callable[[str, str], Pcm] = speak
) -> Iterator[tuple[bool, str, str]]:
    """(whole, said, heard) of each line and of a beginning of it. `say`: (words, voice) -> speech.

    Raises: EngineError.
    """
    rng = Random(seed)
    for index, line in enumerate(lines):
        narrowband = index % TELEPHONE_EVERY == 0
        for said, whole in ((line, True), (cut(line, rng), False)):
            if not said:
                continue
            pcm = say(said, VOICES[index % len(VOICES)])
            heard = stt.transcribe(telephoned(pcm) if narrowband else pcm, threading.Event(), narrowband)
            yield whole, said, heard.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, required=True, help="CLINC150's train_val.json")
    parser.add_argument("--part", choices=("train", "val"), default="train")
    parser.add_argument("--count", type=int, default=3000, help="utterances; a third are of generated dialogues")
    parser.add_argument("--engine", default="pocketsphinx://")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rng = Random(options.seed)
    lines = rng.sample(clinc_lines(options.clinc, options.part), options.count * 2 // 3)
    lines += generated_lines(options.count - len(lines), options.seed, held_out=options.part == "val")
    rng.shuffle(lines)
    stt = registry.create("stt", options.engine)
    stt.load()
    with options.out.open("w", encoding="utf-8") as file:
        for whole, said, heard in rows(lines, stt, options.seed):
            file.write(f"{int(whole)}\t{said}\t{heard}\n")
    stt.close()
    sys.stderr.write(f"{options.out}: {len(lines)} utterances\n")


if __name__ == "__main__":
    main()
