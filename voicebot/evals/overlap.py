"""Who keeps the floor: short sounds spoken over the bot, by synthetic voices, on three wires.

    python -m voicebot.evals.overlap [--engine pocketsphinx://] [--json]

Hums ("mm-hm") and listener's words ("okay") must not stop the bot; short words that want something must. Counted by
the turn machine's rule on what the recogniser hears: at 16 kHz, through Opus, and over a telephone. Needs flite, and
espeak-ng for its two voices. Hums are given as phones, for a synthesiser spells out "mm".
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler, silence
from voicebot.core.settings import TurnSettings
from voicebot.core.text import is_backchannel
from voicebot.engines import registry
from voicebot.engines.base import SttEngine, Transcript
from voicebot.errors import ConfigError
from voicebot.evals.speech import Said, over_telephone, transcript_of
from voicebot.transports.opus import OpusDecoder, OpusEncoder

HUMS = {
    "m hh m": "m-h'm-", "ax m hh ax m": "Vmh'Vm", "m": "m:", "hh m": "hm:", "ax hh ax": "Vh'V",
    "ah n hh ah n": "Vnh'Vn",
}  # fmt: skip
"""In flite's phones, and in espeak's."""
LISTENING = ("okay", "yeah", "right", "oh", "i see", "ah")
WANTING = (
    "no", "stop", "wait", "what", "hello", "one more", "never mind", "hold on", "cancel", "why", "repeat that", "help",
    "ten minutes",
)  # fmt: skip
VOICES = (
    ("flite", "slt"),
    ("flite", "awb"),
    ("flite", "rms"),
    ("flite", "kal16"),
    ("espeak", "en-us"),
    ("espeak", "en-gb+f3"),
)
LEAD, TAIL = silence(240 * SPEECH_RATE_HZ // 1000), silence(100 * SPEECH_RATE_HZ // 1000)
"""What the endpointing leaves around speech."""
AUDIBLE = 100
LOUDEST = 23_000
OPUS_RATE_HZ, OPUS_FRAME, OPUS_BIT_RATE = 24_000, 480, 32_000


@dataclass(frozen=True, slots=True)
class Sound:
    """A short sound over the bot."""

    kind: str
    """hum, listening or wanting."""
    voice: str
    text: str
    pcm: Pcm


def through_opus(pcm: Pcm) -> Pcm:
    """What a browser's packets carry of it, int16[n] at 16 kHz."""
    encoder, decoder = OpusEncoder(OPUS_RATE_HZ, OPUS_BIT_RATE), OpusDecoder(SPEECH_RATE_HZ)
    wire = resampler(SPEECH_RATE_HZ, OPUS_RATE_HZ)
    sent = np.concatenate((wire.push(pcm), wire.flush()))
    frames = [sent[at : at + OPUS_FRAME] for at in range(0, len(sent) - OPUS_FRAME + 1, OPUS_FRAME)]
    return np.concatenate([decoder.decode(encoder.encode(frame)) for frame in frames])


WIRES: dict[str, Callable[[Pcm], Pcm]] = {
    "16k": lambda pcm: pcm,
    "opus": through_opus,
    "telephone": lambda pcm: over_telephone(Said("", pcm, SPEECH_RATE_HZ)),
}


def takes_floor(heard: Transcript) -> bool:
    """The turn machine's rule where the bot has asked nothing."""
    return not is_backchannel(heard.text) and heard.confidence >= TurnSettings().overlap_confidence


def corpus() -> Iterator[Sound]:
    """Every sound in every voice whose synthesiser is installed."""
    for program, voice in VOICES:
        if shutil.which(_command(program)):
            for phones in HUMS:
                yield Sound("hum", voice, phones, spoken(program, voice, phones, phones=True))
            for kind, texts in (("listening", LISTENING), ("wanting", WANTING)):
                yield from (Sound(kind, voice, text, spoken(program, voice, text)) for text in texts)


def spoken(program: str, voice: str, text: str, phones: bool = False) -> Pcm:
    """The sound alone, at an even level, between what the endpointing leaves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        if program == "flite":
            said = ["-p", f"pau {text} pau"] if phones else ["-t", text]
            subprocess.run(["flite", "-voice", voice, *said, "-o", str(path)], check=True, stderr=subprocess.DEVNULL)
        else:
            said = [f"[[{HUMS[text]}]]" if phones else text]
            subprocess.run([_command(program), "-v", voice, "-w", str(path), *said], check=True)
        with wave.open(str(path)) as recording:
            rate_hz = recording.getframerate()
            pcm = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
    converter = resampler(rate_hz, SPEECH_RATE_HZ)
    pcm = np.concatenate((converter.push(pcm), converter.flush()))
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
    pcm = pcm[loud[0] : loud[-1] + 1]
    even = (pcm * (LOUDEST / np.abs(pcm.astype(np.int32)).max())).astype(np.int16)
    return np.concatenate((LEAD, even, TAIL))


def measure(engine: SttEngine, sounds: Iterator[Sound]) -> dict[str, Any]:
    """How many of each kind were taken wrongly on each wire, and as what they were heard."""
    wrong: dict[str, dict[str, int]] = {}
    of: dict[str, int] = {}
    heard_as: list[list[Any]] = []
    for sound in sounds:
        of[sound.kind] = of.get(sound.kind, 0) + 1
        for wire, carried in WIRES.items():
            heard = transcript_of(engine, carried(sound.pcm), narrowband=wire == "telephone")
            counts = wrong.setdefault(sound.kind, dict.fromkeys(WIRES, 0))
            if takes_floor(heard) != (sound.kind == "wanting"):
                counts[wire] += 1
                heard_as.append([sound.kind, wire, sound.voice, sound.text, heard.text, round(heard.confidence, 2)])
    return {"of": of, "wrong": wrong, "heard_as": heard_as}


def _command(program: str) -> str:
    return "espeak-ng" if program == "espeak" else program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="pocketsphinx://", help="the recogniser's URL")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    if not shutil.which("flite"):
        raise ConfigError("flite is not installed; apt-get install flite espeak-ng")
    engine = registry.create("stt", options.engine)
    engine.load()
    report = measure(engine, corpus())
    engine.close()
    if options.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    for kind, counts in report["wrong"].items():
        verb = "did not stop the bot" if kind == "wanting" else "stopped the bot"
        sys.stdout.write(f"{kind}: {verb}, of {report['of'][kind]}: {counts}\n")
    for row in report["heard_as"]:
        sys.stdout.write(f"    {' '.join(map(str, row[:4]))!r} heard as {row[4]!r}, confidence {row[5]}\n")


if __name__ == "__main__":
    main()
