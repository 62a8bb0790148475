"""Speech recognition by Moonshine's streaming models through moonshine-voice.

The encoder works while the caller speaks, so at the end of speech only the last frames and one decoding pass are left.

Rules of this library, as measured on version 0.1.5 (docs/adr/0012):
1. Its own VAD is switched off: an utterance comes here already cut, and would be cut again.
2. The last 16 frames of an utterance (its lookahead), and what does not fill a block, are never heard. So silence is
   put behind the speech until all of it has been decoded.
3. One transcriber holds the encoder state of one utterance. A second stream on it would encode both from their starts
   at each turn, so at most `streams` are open at once, and other calls are recognised whole.
4. It cannot be interrupted, and it estimates no confidence.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.core.audio import FULL_SCALE, SPEECH_RATE_HZ
from voicebot.engines.base import Cancel, Locality, Pcm, SttStream, Transcript
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from moonshine_voice.transcriber import Stream, Transcriber

MODEL_FILES = ("encoder.ort", "adapter.ort", "cross_kv.ort", "decoder_kv.ort", "streaming_config.json", "tokenizer.bin")
FRONTENDS = (("frontend.ort",), ("frontend.model.ort", "frontend.weights.ort"))
"""The frontend is one file, or from 2026-08 on two."""
FRAME_SAMPLES = 320
"""20 ms: one frame of the encoder."""
BLOCK_SAMPLES = 2560
"""The smallest length that is whole VAD hops (512) and whole chunks (1280)."""
SIZES = ("tiny", "small", "medium")
REST = 3
"""Partial words are decoded anew after this many times as much speech as came while they were decoded last, at the
soonest: a machine that is too slow for them has three quarters of its time for final ones."""
FORCE_UPDATE = 1
"""Source: MOONSHINE_FLAG_FORCE_UPDATE in moonshine-c-api.h."""


class MoonshineStt:
    """`moonshine://small-streaming-en`, or the folder of a streaming model."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        partial_ms: int = Field(300, ge=40)
        """New speech before the words so far are decoded anew; each time costs one pass of the decoder."""
        streams: int = Field(1, ge=1, le=32)
        """Utterances recognised while they are spoken; see rule 3."""
        keyterms: str = ""
        """Names and jargon to expect, separated by commas."""
        download: bool = False
        """Whether a model that is not here may be fetched from Moonshine's own server."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._model: Transcriber | None = None
        self.error: type[Exception] = EngineUnavailable
        """The library's own exception, known after `load`."""
        self._padding = 0
        self._open: set[MoonshineStream] = set()

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self.close()
        try:
            from moonshine_voice import ModelArch, MoonshineError
            from moonshine_voice.transcriber import Transcriber
        except (ImportError, OSError) as error:
            raise EngineUnavailable(f"moonshine:// needs moonshine-voice (extra 'moonshine'): {error}") from error
        self.error = MoonshineError
        folder = self._folder()
        self._padding = _lookahead_samples(folder / "streaming_config.json")
        settings = {"vad_threshold": "0", "return_audio_data": "false"}
        if self._options.keyterms:
            settings["keyterms"] = self._options.keyterms
        try:
            # The streaming sizes differ in their files only, so any of them may be named here.
            self._model = Transcriber(folder, ModelArch.SMALL_STREAMING, options=settings)
            self._whole(self._model, np.zeros(SPEECH_RATE_HZ, dtype=np.int16))
        except (MoonshineError, EngineBadOutput) as error:
            self.close()
            raise EngineUnavailable(
                f"cannot load the Moonshine model {folder}: {error}; the library's log above says more. Pull it again"
            ) from error

    def close(self) -> None:
        for stream in list(self._open):
            stream.abandon()
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        """Cancellation: before and after the pass, whose result is then dropped."""
        assert self._model is not None, "load() comes before transcribe()"
        text = "" if cancel.is_set() else self._whole(self._model, pcm)
        return Transcript("" if cancel.is_set() else text)

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        """None when `streams` are open."""
        assert self._model is not None, "load() comes before open_stream()"
        if len(self._open) >= self._options.streams:
            return None
        try:
            handle = self._model.create_stream(update_interval=math.inf)  # `feed` says when
            handle.start()
        except self.error as error:
            raise EngineBadOutput(f"{self.name} cannot open a stream: {error}") from error
        stream = MoonshineStream(self, handle, self._options.partial_ms * SPEECH_RATE_HZ // 1000)
        self._open.add(stream)
        return stream

    def padding(self, samples: int) -> Pcm:
        """The silence behind `samples` of speech with which the model hears all of them: int16[n]."""
        whole = -(-(samples + self._padding) // BLOCK_SAMPLES) * BLOCK_SAMPLES
        return np.zeros(whole - samples, dtype=np.int16)

    def forget(self, stream: MoonshineStream) -> None:
        """A stream is used up; another may be opened."""
        self._open.discard(stream)

    def failed(self, error: Exception, samples: int) -> EngineBadOutput:
        """The library's exception as ours."""
        return EngineBadOutput(f"{self.name} failed on {samples / SPEECH_RATE_HZ:.1f} s of audio: {error}")

    def _whole(self, model: Transcriber, pcm: Pcm) -> str:
        """Raises: EngineBadOutput."""
        padded = np.concatenate([pcm, self.padding(len(pcm))])
        try:
            return _text(model.transcribe_without_streaming(_floats(padded), SPEECH_RATE_HZ))
        except self.error as error:
            raise self.failed(error, len(pcm)) from error

    def _folder(self) -> Path:
        """The model's folder: where the URL says, else in the library's own cache. Raises: EngineUnavailable."""
        path = self._spec.find()
        if not path.is_dir() and (listed := _listed_model(self._spec.target)):
            from moonshine_voice.download import download_model_from_info
            from moonshine_voice.download_file import get_cache_dir

            path = get_cache_dir() / listed["download_url"].removeprefix("https://")
            if not path.is_dir() and self._options.download:
                try:
                    path = Path(download_model_from_info(listed)[0])
                except Exception as error:  # requests, file locks and checksums have no common base class
                    raise EngineUnavailable(f"{self._spec.url} could not be fetched: {error}") from error
        if not path.is_dir():
            raise EngineUnavailable(
                f"{self._spec.url}: no Moonshine model at {path}. Give a streaming model's folder, allow fetching it "
                "with ?download=true, or run `voicebot models pull moonshine-small-streaming`"
            )
        missing = [name for name in MODEL_FILES if not (path / name).is_file()]
        if not any(all((path / name).is_file() for name in names) for names in FRONTENDS):
            missing.append(FRONTENDS[0][0])
        if missing:
            raise EngineUnavailable(f"{path} lacks {', '.join(missing)}: not a whole streaming model; pull it again")
        return path


class MoonshineStream:
    """One utterance, encoded while it is spoken. Thread: the engine's lane."""

    def __init__(self, engine: MoonshineStt, handle: Stream, partial_samples: int) -> None:
        self._engine = engine
        self._handle: Stream | None = handle
        self._partial_samples = partial_samples
        self._heard = 0
        self._decoded = 0
        self._rest = 0
        self._text = ""

    def feed(self, pcm: Pcm) -> str:
        """Raises: EngineBadOutput."""
        self._add(pcm)
        if 0 < self._decoded == self._heard:
            self._rest = REST * len(pcm)
        self._heard += len(pcm)
        if self._heard - self._decoded >= max(self._partial_samples, self._rest):
            self._decode()
        return self._text

    def finish(self) -> Transcript:
        """Raises: EngineBadOutput; the stream is used up then too."""
        try:
            if self._heard:
                self._add(self._engine.padding(self._heard))
                self._decode()
        finally:
            self.abandon()
        return Transcript(self._text)

    def abandon(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
            self._engine.forget(self)

    def _add(self, pcm: Pcm) -> None:
        assert self._handle is not None, "the stream is used up"
        try:
            self._handle.add_audio(_floats(pcm), SPEECH_RATE_HZ)
        except self._engine.error as error:
            raise self._engine.failed(error, self._heard) from error

    def _decode(self) -> None:
        assert self._handle is not None, "the stream is used up"
        try:
            self._text = _text(self._handle.update_transcription(FORCE_UPDATE))
        except self._engine.error as error:
            raise self._engine.failed(error, self._heard) from error
        self._decoded = self._heard


def _floats(pcm: Pcm) -> list[float]:
    """-1..1, as the list that the library copies from."""
    floats: list[float] = (pcm.astype(np.float32) / np.float32(FULL_SCALE)).tolist()
    return floats


def _text(transcript: Any) -> str:
    return " ".join(line.text.strip() for line in transcript.lines if line.text.strip())


def _lookahead_samples(config: Path) -> int:
    """How much sound behind a frame the encoder waits for. Raises: EngineUnavailable."""
    try:
        return int(json.loads(config.read_text(encoding="utf-8"))["total_lookahead"]) * FRAME_SAMPLES
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise EngineUnavailable(f"{config} does not say total_lookahead: {error!r}; pull the model again") from error


def _listed_model(name: str) -> dict[str, Any] | None:
    """What the library's catalogue knows of "small-streaming-en"; None for any other name."""
    from moonshine_voice import ModelArch
    from moonshine_voice.download import find_model_info

    size, _, language = name.partition("-streaming-")
    if size not in SIZES or not language:
        return None
    try:
        found: dict[str, Any] = find_model_info(language, ModelArch[f"{size}_streaming".upper()])
    except ValueError:
        return None
    return found
