"""Word errors of a speech recogniser at full bandwidth and over the telephone, on the same recordings.

    python -m voicebot.evals.speech [--engine pocketsphinx://] [--folder DIR]... [--voices awb,rms,kal16] [--json]

A folder holds WAVs, int16 mono at 16 or 8 kHz, and `transcripts.tsv` (file, words); 8 kHz ones are heard over the
telephone only. Over the telephone means: our own resampler and G.711 mu-law, and the recogniser told so. With flite
installed the words of the first folder are also spoken by its other voices.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, mulaw_decode, mulaw_encode, resampler, silence
from voicebot.core.text import normalize
from voicebot.engines import registry
from voicebot.engines.base import SttEngine, Transcript

PHONE_RATE_HZ = 8_000
CHUNK_SAMPLES = 1_600
EDGE = silence(CHUNK_SAMPLES)
"""Quiet at both ends of what is spoken here, as the committed recordings have."""
NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance."""

    words: str
    pcm: Pcm
    rate_hz: int


def over_telephone(said: Said) -> Pcm:
    """What a telephone call makes of it, int16[n] at 16 kHz."""
    line = resampler(said.rate_hz, PHONE_RATE_HZ).push(said.pcm)
    return resampler(PHONE_RATE_HZ, SPEECH_RATE_HZ).push(mulaw_decode(mulaw_encode(line)))


def word_errors(expected: str, heard: str) -> int:
    """The edit distance in words."""
    row = list(range(len(heard.split()) + 1))
    for deleted, word in enumerate(expected.split(), 1):
        previous, row[0] = row[:], deleted
        for index, other in enumerate(heard.split(), 1):
            row[index] = min(previous[index] + 1, row[index - 1] + 1, previous[index - 1] + (word != other))
    return row[-1]


def transcript_of(engine: SttEngine, pcm: Pcm, narrowband: bool) -> Transcript:
    """What it hears, streamed where the engine can."""
    stream = engine.open_stream(narrowband)
    if stream is None:
        return engine.transcribe(pcm, NEVER, narrowband)
    for start in range(0, len(pcm), CHUNK_SAMPLES):
        stream.feed(np.ascontiguousarray(pcm[start : start + CHUNK_SAMPLES]))
    return stream.finish()


def recognised(engine: SttEngine, pcm: Pcm, narrowband: bool) -> str:
    """Its words in lower case, without punctuation."""
    return normalize(transcript_of(engine, pcm, narrowband).text)


def read_folder(folder: Path) -> list[Said]:
    """Every recording of the table that has words."""
    with (folder / "transcripts.tsv").open(encoding="utf-8") as table:
        rows = [(row[0], row[1]) for row in csv.reader(table, delimiter="\t") if len(row) > 1]
    return [_read(folder / file, words) for file, words in rows[1:] if words]


def spoken_by(voice: str, lines: Iterable[str]) -> list[Said]:
    """The lines in one of flite's voices."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        spoken = []
        for line in lines:
            subprocess.run(["flite", "-voice", voice, "-t", line, "-o", str(path)], check=True)
            said = _read(path, line)
            spoken.append(Said(line, np.concatenate((EDGE, said.pcm, EDGE)), said.rate_hz))
        return spoken


def compare(engine: SttEngine, utterances: Sequence[Said]) -> dict[str, Any]:
    """Words, and how many of them were wrong on each path; what was heard wrongly over the telephone."""
    report: dict[str, Any] = {"words": sum(len(said.words.split()) for said in utterances)}
    if all(said.rate_hz == SPEECH_RATE_HZ for said in utterances):
        report["wide"] = sum(word_errors(said.words, recognised(engine, said.pcm, False)) for said in utterances)
    heard = [(said.words, recognised(engine, over_telephone(said), True)) for said in utterances]
    report["telephone"] = sum(word_errors(*pair) for pair in heard)
    report["missed"] = [list(pair) for pair in heard if pair[0] != pair[1]]
    return report


def _read(path: Path, words: str) -> Said:
    with wave.open(str(path)) as recording:
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
        return Said(words, pcm, recording.getframerate())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="pocketsphinx://", help="the recogniser's URL")
    parser.add_argument("--folder", type=Path, action="append", help="recordings; tests/speech by default")
    parser.add_argument("--voices", default="awb,rms,kal16", help="flite's voices that speak the first folder's words")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    folders: list[Path] = options.folder or [Path("tests/speech")]
    sets = {folder.name: read_folder(folder) for folder in folders}
    if shutil.which("flite"):
        lines = list(dict.fromkeys(said.words for said in sets[folders[0].name]))
        sets |= {f"flite {voice}": spoken_by(voice, lines) for voice in options.voices.split(",") if voice}
    engine = registry.create("stt", options.engine)
    engine.load()
    report = {name: compare(engine, utterances) for name, utterances in sets.items()}
    engine.close()
    if options.json:
        sys.stdout.write(json.dumps({"engine": options.engine, "sets": report}, indent=2) + "\n")
        return
    for name, found in report.items():
        wide = f"{found['wide']} at 16 kHz, " if "wide" in found else ""
        sys.stdout.write(f"{name}: of {found['words']} words wrong: {wide}{found['telephone']} over the telephone\n")
        for expected, heard in found["missed"]:
            sys.stdout.write(f"    {expected!r} heard as {heard!r}\n")


if __name__ == "__main__":
    main()
