"""Speech by Piper voices (VITS in ONNX), each clause in pieces as its sound is made, all at one loudness.

Licence: piper-tts is GPL-3.0. It is an optional dependency, imported in `load()` and only where this engine is chosen.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, Locality, Pcm, WordsAt
from voicebot.engines.espeak import Told, pieces
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.piper_graph import Floats, PiperGraph
from voicebot.engines.trim import trim_leading_silence
from voicebot.errors import EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from piper import PiperVoice

LEVEL_DBFS = -20.0
"""Of speech, pauses left out: what eSpeak NG speaks at. Piper itself sets the peak of each clause to full scale, which
makes a short word twice as loud as a sentence, and needs the whole clause to be made before any of it can be heard."""
_SAMPLE = "The weather is fine today, and all of us are going to the harbour."
_PAUSE = 0.02
"""Of the loudest window: what is quieter is a pause."""


class PiperTts:
    """`piper:///path/voice.onnx`, or `piper://name` for a voice in the models directory; `.onnx.json` lies beside."""

    locality: Locality = "local"
    max_concurrency = 1
    sample_rate_hz = 22_050

    class Options(DriverOptions):
        speaker: int | None = Field(None, ge=0)
        length_scale: float | None = Field(None, gt=0)
        """Over 1 is slower; the voice's own without it."""
        volume: float = Field(1.0, gt=0, le=2)
        cuda: bool = False

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._voice: PiperVoice | None = None
        self._graph: PiperGraph | None = None
        self._gain = 1.0

    @property
    def name(self) -> str:
        return self._spec.short_name.removesuffix(".onnx")

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self.close()
        path = self._files()
        try:
            from piper import PiperVoice
            from piper.config import PiperConfig
        except ImportError as error:
            raise EngineUnavailable(f"piper:// needs the package piper-tts (extra 'piper'): {error}") from error
        try:
            config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_text(encoding="utf-8")))
            self._graph = PiperGraph(path, self._options.cuda)
            self._voice = PiperVoice(session=None, config=config)  # For phonemes and ids alone: it runs no network.
            self._calibrate()
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            self.close()
            raise EngineUnavailable(f"cannot load the Piper voice {path}: {error}. Pull the voice again") from error
        self.sample_rate_hz = config.sample_rate

    def close(self) -> None:
        self._voice = self._graph = None

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        """A chunk is a fifth of a second at first and then grows. Cancellation: between chunks."""
        return (part for part in self.synthesize_words(text, cancel) if not isinstance(part, WordsAt))

    def synthesize_words(self, text: str, cancel: Cancel) -> Iterator[Pcm | WordsAt]:
        """Piper tells how long each phoneme is, where its network is one that can be cut."""
        assert self._voice is not None, "load() comes before synthesize()"
        told, out = Told(), 0
        for pcm in trim_leading_silence(self._chunks(text, cancel, told), self.sample_rate_hz):
            words = told.take(text, told.samples - out - len(pcm))
            if words.starts:
                yield words
            out += len(pcm)
            yield pcm

    def _chunks(self, text: str, cancel: Cancel, told: Told) -> Iterator[Pcm]:
        assert self._graph is not None
        at = 0
        for piece in pieces(text):
            at = max(at, text.find(piece, at))  # Not found where C could not take a character: then about there.
            try:
                for words, inputs in self._sentences(piece):
                    if cancel.is_set():
                        return
                    frames, lengths = self._graph.frames(inputs)
                    told.add([(at + char, sample) for char, sample in self._starts(words, lengths)], 0)
                    for sound in self._graph.sound(frames, inputs, cancel):
                        pcm = np.clip(np.rint(sound * (self._gain * 32767)), -32768, 32767).astype(np.int16)
                        told.add([], len(pcm))
                        yield pcm
            except Exception as error:  # as in load()
                raise EngineBadOutput(f"{self.name} could not speak {piece[:40]!r}: {error}") from error
            at += len(piece)

    def _sentences(self, text: str) -> Iterator[tuple[list[tuple[int, int]], dict[str, Any]]]:
        """For each sentence where its words begin, (place in the text, number of the id), and the network's inputs."""
        assert self._voice is not None
        config, options = self._voice.config, self._options
        length_scale = options.length_scale if options.length_scale is not None else config.length_scale
        scales = np.array([config.noise_scale, length_scale, config.noise_w_scale], dtype=np.float32)
        speaker = options.speaker if options.speaker is not None else getattr(config, "default_speaker_id", 0)
        sentences = self._voice.phonemize(text)
        for phonemes in sentences:
            ids = np.array([self._voice.phonemes_to_ids(phonemes)], dtype=np.int64)
            one = {"input": ids, "input_lengths": np.array([ids.shape[1]], dtype=np.int64), "scales": scales}
            words = _words(text, phonemes, config.phoneme_id_map) if len(sentences) == 1 else []
            yield words, one | ({"sid": np.array([speaker], dtype=np.int64)} if config.num_speakers > 1 else {})

    def _starts(self, words: list[tuple[int, int]], lengths: Floats | None) -> list[tuple[int, int]]:
        """(place in the text, sample) of each word."""
        if lengths is None or not words:
            return []
        assert self._voice is not None
        before = np.concatenate(([0], np.cumsum(lengths))) * getattr(self._voice.config, "hop_length", 256)
        return [(char, int(before[number])) for char, number in words if number < len(before)]

    def _calibrate(self) -> None:
        """Speak once: to see that pieces are the whole, and how loud the voice is."""
        assert self._graph is not None
        _, inputs = next(self._sentences(_SAMPLE))
        self._graph.check(inputs)
        frames, _ = self._graph.frames(inputs)
        sound = np.concatenate(list(self._graph.sound(frames, inputs, threading.Event())))
        self._gain = self._options.volume * 10 ** (LEVEL_DBFS / 20) / _loudness(sound)

    def _files(self) -> Path:
        path = self._spec.find(".onnx")
        for needed in (path, Path(f"{path}.json")):
            if not needed.is_file():
                raise EngineUnavailable(f"{self._spec.url}: no file {needed}; pull the voice or fix the path")
        return path


def _loudness(sound: Floats) -> float:
    """RMS of what is no pause, 1.0 being full scale; 1.0 for silence."""
    windows = sound[: len(sound) // 512 * 512].reshape(-1, 512)
    power = np.mean(np.square(windows), axis=1) if len(windows) else np.zeros(1)
    spoken = power[power >= power.max() * _PAUSE**2]
    return math.sqrt(float(spoken.mean())) or 1.0


def _words(text: str, phonemes: list[str], ids: Mapping[str, Sequence[int]]) -> list[tuple[int, int]]:
    """(place in the text, number of the id) where words begin. Source: the layout of piper's `phonemes_to_ids`.

    Spoken words are what lies between spaces of the phonemes. Where they are not as many as the written ones ("in the"
    is said as one, "2026" as three) the written ones are spread over them evenly.
    """
    pad, number = len(ids.get("_", ())), len(ids.get("^", ())) + len(ids.get("_", ()))
    spoken = [number]
    for phoneme in phonemes:
        number += len(ids[phoneme]) + pad if phoneme in ids else 0
        if phoneme == " ":
            spoken.append(number)
    written = [match.start() for match in re.finditer(r"\S+", text)]
    begun: dict[int, int] = {}
    for n, char in enumerate(written):
        begun.setdefault(spoken[n * len(spoken) // len(written)], char)
    return [(char, first) for first, char in begun.items()]
