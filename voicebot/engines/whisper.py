"""Speech recognition by Whisper through faster-whisper (CTranslate2).

Whisper pads every utterance to a window and pays for the whole of it, so it sees a short one first and the full 30 s
only when the result looks poor (Source: DESIGN section 3: 44 ms against 299 ms for the base shape). It invents words
for noise, so a result that its own figures call doubtful counts as nothing heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.core.audio import FULL_SCALE, SPEECH_RATE_HZ
from voicebot.engines.base import Cancel, Locality, Pcm, SttStream, Transcript, Word
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import ConfigError, EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

FULL_WINDOW_S = 30
MARGIN_S = 1
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")


class WhisperStt:
    """`whisper://base.en?device=cpu&compute_type=int8`, or the path of a model converted to CTranslate2."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        device: str = Field("auto", pattern="^(auto|cpu|cuda)$")
        compute_type: str = "default"
        """A CTranslate2 type; "default" is int8 on a CPU and float16 on a GPU."""
        threads: int = Field(0, ge=0)
        """0: CTranslate2's own choice."""
        language: str = Field("en", pattern=r"^(auto|[a-z]{2,3})$")
        beam: int = Field(1, ge=1, le=10)
        """1 is greedy."""
        words: bool = False
        """Word times, which cost an alignment pass."""
        window_s: int = Field(10, ge=1, le=FULL_WINDOW_S)
        """The shortest window that is tried first."""
        no_speech: float = Field(0.6, ge=0, le=1)
        """P(no speech) above which nothing was heard."""
        logprob: float = Field(-1.0, le=0)
        """Mean log-probability of the tokens below which a result is poor."""
        compression_ratio: float = Field(2.4, gt=1)
        """Above it the text repeats itself: a loop, not speech."""
        download: bool = False
        """Whether a model that is not here may be fetched."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._language = None if options.language == "auto" else options.language
        self._model: WhisperModel | None = None
        if spec.target.endswith(".en"):
            self._require_english()

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        """Raises: EngineUnavailable, ConfigError for a language that the model does not know."""
        self.close()
        try:
            from faster_whisper import WhisperModel
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError as error:
            raise EngineUnavailable(f"whisper:// needs the package faster-whisper: {error}") from error
        tqdm.monitor_interval = 0  # its progress bar is never shown, but would leave a thread behind
        source = self._source()
        try:
            self._model = WhisperModel(
                source,
                device=self._options.device,
                compute_type=self._compute_type(),
                cpu_threads=self._options.threads,
                local_files_only=not self._options.download,
            )
        except Exception as error:  # CTranslate2, tokenizers and the hub have no common base class
            raise EngineUnavailable(
                f"cannot load the Whisper model {source}: {error}. Give a model's folder, pull the model, or allow "
                "fetching it with download=true"
            ) from error
        if not self._model.model.is_multilingual:
            self._require_english()
        self._segments(self._model, np.zeros(SPEECH_RATE_HZ, dtype=np.int16), self._options.window_s, None)

    def close(self) -> None:
        self._model = None

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        """Cancellation: between Whisper's windows."""
        assert self._model is not None, "load() comes before transcribe()"
        needed_s = math.ceil(len(pcm) / SPEECH_RATE_HZ) + MARGIN_S
        window_s = min(FULL_WINDOW_S, max(self._options.window_s, needed_s))
        segments = self._segments(self._model, pcm, window_s, cancel)
        if window_s < FULL_WINDOW_S and any(map(self._is_poor, segments)) and not cancel.is_set():
            segments = self._segments(self._model, pcm, FULL_WINDOW_S, cancel)
        return Transcript("") if cancel.is_set() else self._transcript(segments)

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        """Whisper hears whole utterances only."""
        return None

    def _segments(self, model: WhisperModel, pcm: Pcm, window_s: int, cancel: Cancel | None) -> list[Segment]:
        """Raises: EngineBadOutput."""
        try:
            stream, _ = model.transcribe(
                pcm.astype(np.float32) / np.float32(FULL_SCALE),
                language=self._language,
                beam_size=self._options.beam,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
                word_timestamps=self._options.words,
                vad_filter=False,
                chunk_length=window_s,
                no_speech_threshold=None,  # judged here, where the result can be seen whole
                log_prob_threshold=None,
                compression_ratio_threshold=None,
            )
            segments = []
            for segment in stream:
                segments.append(segment)
                if cancel is not None and cancel.is_set():
                    break
        except (RuntimeError, ValueError) as error:
            raise EngineBadOutput(
                f"{self.name} failed on {len(pcm) / SPEECH_RATE_HZ:.1f} s of audio: {error}"
            ) from error
        return segments

    def _is_poor(self, segment: Segment) -> bool:
        repeats = bool(segment.compression_ratio > self._options.compression_ratio)
        return repeats or bool(segment.avg_logprob < self._options.logprob)

    def _is_invented(self, segment: Segment) -> bool:
        return bool(segment.no_speech_prob > self._options.no_speech) or self._is_poor(segment)

    def _transcript(self, segments: Sequence[Segment]) -> Transcript:
        """The segments that stand; confidence is the mean token probability."""
        heard = [segment for segment in segments if segment.text.strip() and not self._is_invented(segment)]
        if not heard:
            return Transcript("", 0.0)
        mean_logprob = sum(segment.avg_logprob for segment in heard) / len(heard)
        words = tuple(_word(word) for segment in heard for word in segment.words or ())
        text = " ".join(segment.text.strip() for segment in heard)
        return Transcript(text, min(1.0, math.exp(mean_logprob)), words)

    def _source(self) -> str:
        """A model's folder, or the name of one that the hub's cache holds. Raises: EngineUnavailable."""
        path = self._spec.find()
        if not path.is_dir():
            if path.is_absolute() or path.is_file():
                raise EngineUnavailable(f"{self._spec.url}: {path} is not the folder of a Whisper model; fix the path")
            return self._spec.target
        missing = [name for name in MODEL_FILES if not (path / name).is_file()]
        if missing:
            raise EngineUnavailable(f"{path} lacks {', '.join(missing)}: not a whole CTranslate2 model; pull it again")
        return str(path)

    def _compute_type(self) -> str:
        if self._options.compute_type != "default":
            return self._options.compute_type
        import ctranslate2

        on_gpu = self._options.device == "cuda" or (
            self._options.device == "auto" and ctranslate2.get_cuda_device_count() > 0
        )
        return "float16" if on_gpu else "int8"

    def _require_english(self) -> None:
        if self._options.language not in ("en", "auto"):
            raise ConfigError(
                f"{self._spec.url}: {Path(self._spec.target).name} hears English only, not language="
                f"{self._options.language}; use a model without .en"
            )


def _word(word: Any) -> Word:
    return Word(word.word.strip(), round(word.start * 1000), round(word.end * 1000))
