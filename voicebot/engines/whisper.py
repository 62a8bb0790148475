"""Speech recognition by Whisper through faster-whisper (CTranslate2).

faster-whisper's own `transcribe` pads every utterance to 30 s whatever it is told, and the caller waits for all of it.
So its parts are used instead: features, encoder, decoder, in a window as long as the utterance needs; see
`whisper_window.py` for the rules. Whisper invents words for noise, so a result that its own figures call doubtful
counts as nothing heard.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.core.audio import FULL_SCALE, SPEECH_RATE_HZ
from voicebot.engines.base import Cancel, Locality, Pcm, SttStream, Transcript, Word
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.whisper_stream import Partial, WhisperStream
from voicebot.engines.whisper_window import (
    FRAMES_PER_S,
    FULL_WINDOW_S,
    PADDING_SAMPLES,
    Features,
    Guards,
    Hypothesis,
    fill_window,
    most_tokens,
    window_s,
)
from voicebot.errors import ConfigError, EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
WORKERS, CAPTION_WORKERS = 2, 1
"""They share the weights, and each has its own threads."""
_VECTORS = ("CT2_FORCE_CPU_ISA", "AVX512")
_WIDE = frozenset({"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw", "avx512_vnni"})
"""What CTranslate2 needs for 512-bit vectors, and the mark of processors that do not slow down for them."""
NOTHING = Hypothesis("", 0.0, 1.0)
OPENING, CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
"""Punctuation that belongs to the word after it, and to the one before. Source: faster-whisper's defaults."""


class WhisperStt:
    """`whisper://base.en?device=cpu&compute_type=int8`, or the path of a model converted to CTranslate2."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        device: str = Field("auto", pattern="^(auto|cpu|cuda)$")
        compute_type: str = "default"
        """A CTranslate2 type; "default" is int8 on a CPU and float16 on a GPU."""
        threads: int = Field(0, ge=0)
        """Of a CPU, for each of two workers; 0: half of its cores (ADR 22)."""
        language: str = Field("en", pattern=r"^(auto|[a-z]{2,3})$")
        beam: int = Field(1, ge=1, le=10)
        """1 is greedy."""
        words: bool = False
        """Word times, which cost an alignment pass."""
        window_s: int = Field(10, ge=1, le=FULL_WINDOW_S)
        """The shortest window that is tried first; under 10 s only for models fine-tuned for it."""
        partial_ms: int = Field(300, ge=0)
        """New speech after which the words so far are shown again; 0: never, as with language=auto."""
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
        self._guards = Guards(options.no_speech, options.logprob, options.compression_ratio)
        self._model: WhisperModel | None = None
        self._tokenizers: dict[str, Tokenizer] = {}
        self._suppressed: Sequence[int] = ()
        self._passes: list[_Pass] = []
        """Under way on their own: at most one a worker."""
        if spec.target.endswith(".en"):
            self._require_english()

    @property
    def name(self) -> str:
        return self._spec.short_name

    # ---- life

    def load(self) -> None:
        """Raises: EngineUnavailable, ConfigError for a language that the model does not know."""
        self.close()
        if has_wide_vectors():
            os.environ.setdefault(*_VECTORS)  # Read once, when the first model is loaded.
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.transcribe import get_suppressed_tokens
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
                cpu_threads=self._options.threads or default_threads(os.cpu_count() or 1),
                num_workers=WORKERS if self._options.partial_ms else 1,
                local_files_only=not self._options.download,
            )
        except Exception as error:  # CTranslate2, tokenizers and the hub have no common base class
            raise EngineUnavailable(
                f"cannot load the Whisper model {source}: {error}. Give a model's folder, pull the model, or allow "
                "fetching it with download=true"
            ) from error
        self._require_language(self._model)
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]) or ())
        self._decode(np.zeros(SPEECH_RATE_HZ, dtype=np.int16), self._options.window_s, lambda: False)

    def close(self) -> None:
        self._model, self._passes = None, []
        self._tokenizers.clear()

    # ---- whole utterances

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        """Cancellation: between windows, and between a window's encoding and decoding."""
        size = FULL_WINDOW_S * SPEECH_RATE_HZ
        windows = [pcm[start : start + size] for start in range(0, len(pcm), size)]
        heard = [self._hear(window, cancel.is_set) for window in windows if not cancel.is_set()]
        return Transcript("") if cancel.is_set() else self.transcript(*heard)

    def _hear(self, pcm: Pcm, cancelled: Callable[[], bool]) -> Hypothesis:
        """At most FULL_WINDOW_S of speech: in its own window first, in the full one if that was poor."""
        seconds = window_s(len(pcm), self._options.window_s)
        heard = self._decode(pcm, seconds, cancelled)
        if seconds < FULL_WINDOW_S and self._guards.wants_full_window(heard) and not cancelled():
            heard = self._decode(pcm, FULL_WINDOW_S, cancelled)
        return heard

    def _decode(self, pcm: Pcm, seconds: int, cancelled: Callable[[], bool]) -> Hypothesis:
        """Raises: EngineBadOutput."""
        assert self._model is not None, "load() comes before transcribe()"
        try:
            encoded = self._model.encode(self._features(self._model, pcm, seconds))
            if cancelled():
                return NOTHING
            tokenizer = self._tokenizer(self._spoken_language(self._model, encoded))
            (result,) = self._generate(self._model, encoded, tokenizer, len(pcm))
            words = self._words(self._model, tokenizer, encoded, result, len(pcm)) if self._options.words else ()
        except (RuntimeError, ValueError) as error:
            raise self.failed(error, len(pcm)) from error
        return hypothesis(tokenizer, result, len(pcm), words)

    def transcript(self, *windows: Hypothesis) -> Transcript:
        """The windows that stand; confidence is the mean token probability."""
        heard = [window for window in windows if window.text and not self._guards.is_invented(window)]
        if not heard:
            return Transcript("", 0.0)
        mean_logprob = sum(window.mean_logprob for window in heard) / len(heard)
        words = tuple(
            Word(word.text, word.start_ms + at * FULL_WINDOW_S * 1000, word.stop_ms + at * FULL_WINDOW_S * 1000)
            for at, window in enumerate(windows)
            if window in heard
            for word in window.words
        )
        return Transcript(" ".join(window.text for window in heard), min(1.0, math.exp(mean_logprob)), words)

    # ---- captions

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        """None where there are no captions: then utterances are given whole."""
        if not self._options.partial_ms or self._language is None:
            return None
        return WhisperStream(self, self._options.partial_ms * SPEECH_RATE_HZ // 1000)

    def begin(self, pcm: Pcm, last: bool = False) -> Partial | None:
        """A pass over the utterance so far on a worker of CTranslate2 that is free; captions leave one to final words.

        None where there is none, and for a last pass where words are to have times. Raises: EngineBadOutput.
        """
        assert self._model is not None and self._language is not None, "a stream is open"
        self._passes = [begun for begun in self._passes if not begun.done()]
        if len(self._passes) >= (WORKERS if last else CAPTION_WORKERS) or (last and self._options.words):
            return None
        features = self._features(self._model, pcm, window_s(len(pcm), self._options.window_s))
        tokenizer = self._tokenizer(self._language)
        try:
            (result,) = self._generate(self._model, _stored(features), tokenizer, len(pcm), asynchronous=True)
        except (RuntimeError, ValueError) as error:
            raise self.failed(error, len(pcm)) from error
        self._passes.append(_Pass(self, result, tokenizer, len(pcm)))
        return self._passes[-1]

    def settle(self, heard: Hypothesis, pcm: Pcm) -> Transcript:
        """Raises: EngineBadOutput."""
        if window_s(len(pcm), self._options.window_s) < FULL_WINDOW_S and self._guards.wants_full_window(heard):
            heard = self._decode(pcm, FULL_WINDOW_S, lambda: False)
        return self.transcript(heard)

    def believed(self, heard: Hypothesis) -> bool:
        return not (self._guards.is_invented(heard) or self._guards.wants_full_window(heard))

    def failed(self, error: Exception, samples: int) -> EngineBadOutput:
        return EngineBadOutput(f"{self.name} failed on {samples / SPEECH_RATE_HZ:.1f} s of audio: {error}")

    # ---- the library

    def _features(self, model: WhisperModel, pcm: Pcm, seconds: int) -> Features:
        speech = pcm.astype(np.float32) / np.float32(FULL_SCALE)
        return fill_window(model.feature_extractor(speech, padding=PADDING_SAMPLES), seconds)

    def _generate(
        self, model: WhisperModel, features: Any, tokenizer: Tokenizer, samples: int, *, asynchronous: bool = False
    ) -> Any:
        """Decode log-mel features, or what the encoder made of them: CTranslate2's results, a list of one."""
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        return model.model.generate(
            features,
            [prompt],
            asynchronous=asynchronous,
            beam_size=self._options.beam,
            max_length=2 * most_tokens(samples),  # CTranslate2 keeps half of it for a prompt
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )

    def _words(
        self, model: WhisperModel, tokenizer: Tokenizer, encoded: Any, result: Any, samples: int
    ) -> tuple[Word, ...]:
        """Where each word lies, by the decoder's attention; punctuation goes with its word."""
        from faster_whisper.transcribe import merge_punctuations

        tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        frames = samples * FRAMES_PER_S // SPEECH_RATE_HZ
        (alignment,) = model.find_alignment(tokenizer, [tokens], encoded, frames)
        merge_punctuations(alignment, OPENING, CLOSING)
        return tuple(_word(word) for word in alignment if word["word"].strip())

    def _tokenizer(self, language: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        assert self._model is not None, "it is the model's"
        if language not in self._tokenizers:
            multilingual = self._model.model.is_multilingual
            self._tokenizers[language] = Tokenizer(self._model.hf_tokenizer, multilingual, "transcribe", language)
        return self._tokenizers[language]

    def _spoken_language(self, model: WhisperModel, encoded: Any) -> str:
        if self._language is not None:
            return self._language
        likeliest, _probability = model.model.detect_language(encoded)[0][0]
        return str(likeliest[2:-2])  # "<|de|>"

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

    def _require_language(self, model: WhisperModel) -> None:
        if not model.model.is_multilingual:
            self._require_english()
        elif self._language is not None and self._language not in model.supported_languages:
            raise ConfigError(
                f"{self._spec.url}: {Path(self._spec.target).name} does not know language={self._language}; use a code "
                "of two letters such as en or de, or auto"
            )

    def _require_english(self) -> None:
        if self._options.language not in ("en", "auto"):
            raise ConfigError(
                f"{self._spec.url}: {Path(self._spec.target).name} hears English only, not language="
                f"{self._options.language}; use a model without .en"
            )
        self._language = "en"


def has_wide_vectors(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether CTranslate2 may use 512-bit vectors: a pass takes 8 % less, and by itself it never does (ADR 22)."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # No Linux: it works with narrower ones.
        return False
    return any(line.startswith("flags") and set(line.split()) >= _WIDE for line in lines)


def default_threads(cores: int) -> int:
    """Of a worker: half of the cores; the rest is for captions and a language model that reads ahead meanwhile."""
    return max(1, cores // 2)


class _Pass:
    """A decoding that CTranslate2 does on its own."""

    def __init__(self, driver: WhisperStt, result: Any, tokenizer: Tokenizer, samples: int) -> None:
        self._driver = driver
        self._result = result
        self._tokenizer = tokenizer
        self._samples = samples

    def done(self) -> bool:
        return bool(self._result.done())

    def result(self) -> Hypothesis:
        """Raises: EngineBadOutput."""
        try:
            return hypothesis(self._tokenizer, self._result.result(), self._samples)
        except (RuntimeError, ValueError) as error:
            raise self._driver.failed(error, self._samples) from error


def hypothesis(tokenizer: Tokenizer, result: Any, samples: int, words: tuple[Word, ...] = ()) -> Hypothesis:
    """CTranslate2's result in our words. Its score is the mean over the tokens, without the end that it counts in."""
    tokens = result.sequences_ids[0]
    mean_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
    cut_off = len(tokens) >= most_tokens(samples)
    return Hypothesis(tokenizer.decode(tokens).strip(), mean_logprob, result.no_speech_prob, cut_off, words)


def _stored(features: Features) -> Any:
    import ctranslate2

    return ctranslate2.StorageView.from_array(features[None])


def _word(word: dict[str, Any]) -> Word:
    start_ms = round(word["start"] * 1000)
    return Word(word["word"].strip(), start_ms, max(start_ms + 1, round(word["end"] * 1000)))
