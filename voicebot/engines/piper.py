"""Speech by Piper voices (VITS in ONNX).

Licence: piper-tts is GPL-3.0. It is an optional dependency, imported in `load()` and only where this engine is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, Locality, Pcm
from voicebot.engines.espeak import pieces
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.trim import trim_leading_silence
from voicebot.errors import EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from piper import PiperVoice, SynthesisConfig


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
        self._config: SynthesisConfig | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name.removesuffix(".onnx")

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self.close()
        path = self._files()
        try:
            from piper import PiperVoice, SynthesisConfig
        except ImportError as error:
            raise EngineUnavailable(f"piper:// needs the package piper-tts (extra 'piper'): {error}") from error
        try:
            voice = PiperVoice.load(path, use_cuda=self._options.cuda)
            self._config = SynthesisConfig(
                speaker_id=self._options.speaker, length_scale=self._options.length_scale, volume=self._options.volume
            )
            next(iter(voice.synthesize("ready", self._config)), None)
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise EngineUnavailable(f"cannot load the Piper voice {path}: {error}. Pull the voice again") from error
        self._voice = voice
        self.sample_rate_hz = voice.config.sample_rate

    def close(self) -> None:
        self._voice = None

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        """A chunk is a clause. Cancellation: between chunks."""
        assert self._voice is not None, "load() comes before synthesize()"
        return trim_leading_silence(self._chunks(self._voice, text, cancel), self.sample_rate_hz)

    def _chunks(self, voice: PiperVoice, text: str, cancel: Cancel) -> Iterator[Pcm]:
        for piece in pieces(text):
            if cancel.is_set():
                return
            try:
                chunks = [chunk.audio_int16_array for chunk in voice.synthesize(piece, self._config)]
            except Exception as error:  # as in load()
                raise EngineBadOutput(f"{self.name} could not speak {piece[:40]!r}: {error}") from error
            if cancel.is_set():
                return
            yield from (np.asarray(chunk, dtype=np.int16) for chunk in chunks)

    def _files(self) -> Path:
        path = self._spec.find(".onnx")
        for needed in (path, Path(f"{path}.json")):
            if not needed.is_file():
                raise EngineUnavailable(f"{self._spec.url}: no file {needed}; pull the voice or fix the path")
        return path
