"""Speech by Piper voices (VITS in ONNX), each clause in pieces as its sound is made, all at one loudness.

Licence: piper-tts is GPL-3.0. It is an optional dependency, imported in `load()` and only where this engine is chosen.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, Locality, Pcm
from voicebot.engines.espeak import pieces
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
        assert self._voice is not None, "load() comes before synthesize()"
        return trim_leading_silence(self._chunks(text, cancel), self.sample_rate_hz)

    def _chunks(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        assert self._graph is not None
        for piece in pieces(text):
            try:
                for inputs in self._inputs(piece):
                    if cancel.is_set():
                        return
                    for sound in self._graph.speak(inputs, cancel):
                        yield np.clip(np.rint(sound * (self._gain * 32767)), -32768, 32767).astype(np.int16)
            except Exception as error:  # as in load()
                raise EngineBadOutput(f"{self.name} could not speak {piece[:40]!r}: {error}") from error

    def _inputs(self, text: str) -> Iterator[dict[str, Any]]:
        """The network's inputs for each sentence."""
        assert self._voice is not None
        config, options = self._voice.config, self._options
        length_scale = options.length_scale if options.length_scale is not None else config.length_scale
        scales = np.array([config.noise_scale, length_scale, config.noise_w_scale], dtype=np.float32)
        speaker = options.speaker if options.speaker is not None else getattr(config, "default_speaker_id", 0)
        for phonemes in self._voice.phonemize(text):
            ids = np.array([self._voice.phonemes_to_ids(phonemes)], dtype=np.int64)
            one = {"input": ids, "input_lengths": np.array([ids.shape[1]], dtype=np.int64), "scales": scales}
            yield one | ({"sid": np.array([speaker], dtype=np.int64)} if config.num_speakers > 1 else {})

    def _calibrate(self) -> None:
        """Speak once: to see that pieces are the whole, and how loud the voice is."""
        assert self._graph is not None
        inputs = next(self._inputs(_SAMPLE))
        self._graph.check(inputs)
        sound = np.concatenate(list(self._graph.speak(inputs, threading.Event())))
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
