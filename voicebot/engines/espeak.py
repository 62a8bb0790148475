"""Speech by eSpeak NG through ctypes: small, instant, robotic; the voice that needs no download.

Licence: eSpeak NG is GPL-3.0. It is a separate library, loaded only where this engine is chosen.

The library keeps its state in C globals, so there is one of it per process: `_EspeakLibrary` initialises it once and
serialises every use with a lock; voice and rate are set again when another engine used it in between.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, Locality, Pcm, WordsAt
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.trim import trim_leading_silence
from voicebot.errors import ConfigError, EngineBadOutput, EngineUnavailable

# Source: speak_lib.h of eSpeak NG 1.52.
_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT_ON_ERROR = 0x8000
_BUFFER_MS = 60
_POSITION_CHARACTER = 1
_TEXT_IS_UTF8 = 1
_PAUSE_AT_END = 0x1000
_RATE, _PITCH, _RANGE = 1, 3, 4
_LIST_END, _WORD = 0, 1
EVENTS_LIMIT = 1_000
"""Events that are read of one callback; eSpeak ends the list long before."""


class _Event(ctypes.Structure):
    """espeak_EVENT. `text_position` counts characters from 1; `audio_position` is in ms."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

MAX_PIECE_CHARS = 200
"""Text is synthesised in pieces of at most this many characters, so that a long one starts at once and can stop."""
_PIECE = re.compile(rf"\S.{{0,{MAX_PIECE_CHARS - 1}}}(?=\s|$)|\S{{1,{MAX_PIECE_CHARS}}}", re.DOTALL)
_CLAUSE_END = re.compile(r"(?<=[.!?;:,])\s+")


class EspeakTts:
    """`espeak://en-us?rate=165`: the target is eSpeak's language, `voice` one of its variants (f3, m2, ...)."""

    locality: Locality = "local"
    max_concurrency = 1
    sample_rate_hz = 22_050

    class Options(DriverOptions):
        rate: int = Field(165, ge=80, le=450)
        """Words a minute."""
        pitch: int = Field(50, ge=0, le=99)
        range: int = Field(50, ge=0, le=99)
        """How far the pitch moves; 0 is monotone."""
        voice: str = Field("", pattern=r"^\w*$")

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        language = spec.target or "en-us"
        self._voice = f"{language}+{options.voice}" if options.voice else language
        self._library: _EspeakLibrary | None = None

    @property
    def name(self) -> str:
        return f"espeak {self._voice}"

    def load(self) -> None:
        """Raises: EngineUnavailable if the library is missing, ConfigError for a voice that it does not have."""
        library = _EspeakLibrary.shared()
        library.synthesize("ready", self._settings, threading.Event())
        self.sample_rate_hz = library.sample_rate_hz
        self._library = library

    def close(self) -> None:
        """The process keeps the one library: its globals do not survive being initialised twice."""
        self._library = None

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        """A chunk is a clause or `MAX_PIECE_CHARS` of it: a few ms of work each. Cancelled: ends inside a piece."""
        return (part for part in self.synthesize_words(text, cancel) if not isinstance(part, WordsAt))

    def synthesize_words(self, text: str, cancel: Cancel) -> Iterator[Pcm | WordsAt]:
        """eSpeak tells each word's place in the text and in the sound, to the millisecond."""
        assert self._library is not None, "load() comes before synthesize()"
        told = Told()
        out = 0
        for pcm in trim_leading_silence(self._pieces(self._library, text, cancel, told), self.sample_rate_hz):
            trimmed = told.samples - out - len(pcm)
            yield told.take(text, trimmed)
            out += len(pcm)
            yield pcm

    @property
    def _settings(self) -> tuple[str, int, int, int]:
        return self._voice, self._options.rate, self._options.pitch, self._options.range

    def _pieces(self, library: _EspeakLibrary, text: str, cancel: Cancel, told: Told) -> Iterator[Pcm]:
        cut, at = pieces(text), 0
        for index, piece in enumerate(cut):
            if cancel.is_set():
                return
            pcm, words = library.synthesize(piece, self._settings, cancel, pause=index + 1 < len(cut))
            at = max(at, text.find(piece, at))  # Not found where C could not take a character: then about there.
            if len(pcm) and not cancel.is_set():
                told.add([(at + char, ms * self.sample_rate_hz // 1000) for char, ms in words], len(pcm))
                yield pcm
            at += len(piece)


class Told:
    """The words that a voice has told of and nobody was told yet. `samples`: made so far, with their silence."""

    def __init__(self) -> None:
        self.samples = 0
        self._words: list[tuple[int, int]] = []

    def add(self, words: list[tuple[int, int]], samples: int) -> None:
        """(place in the text, sample of the piece), and how long the piece is."""
        self._words += [(char, self.samples + at) for char, at in words]
        self.samples += samples

    def take(self, text: str, trimmed: int) -> WordsAt:
        """By number of the word; of one that is told as several ("20" as "twenty"), the first."""
        starts: dict[int, int] = {}
        for char, at in self._words:
            starts.setdefault(text[:char].count(" "), max(0, at - trimmed))
        self._words.clear()
        return WordsAt(tuple(starts.items()))


def pieces(text: str) -> list[str]:
    """Cut text at clause ends, and where a clause is too long at its spaces.

    What C cannot take goes: NULs, which end a string there, and lone surrogates, which are not Unicode.
    """
    clean = text.replace("\0", " ").encode("utf-8", errors="replace").decode()
    clauses = _CLAUSE_END.split(clean.strip())
    cut = [match.group() for clause in clauses for match in _PIECE.finditer(clause)]
    return [piece for piece in cut if any(char.isalnum() for char in piece)]


class _EspeakLibrary:
    """The process's one eSpeak NG. Thread: any; a lock covers each synthesis."""

    _lock = threading.Lock()
    _instance: _EspeakLibrary | None = None

    @classmethod
    def shared(cls) -> _EspeakLibrary:
        """Raises: EngineUnavailable."""
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def __init__(self) -> None:
        try:
            import espeakng_loader

            library_path, data_path = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
            self._c: Any = ctypes.CDLL(library_path)
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineUnavailable(f"espeak:// needs the package espeakng-loader with its library: {error}") from error
        self.sample_rate_hz: int = self._c.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, _BUFFER_MS, data_path.encode(), _DONT_EXIT_ON_ERROR
        )
        if self.sample_rate_hz <= 0:
            raise EngineUnavailable(f"eSpeak NG could not read its voices in {data_path}; reinstall espeakng-loader")
        self._variants = Path(data_path) / "voices" / "!v"
        self._chunks: list[Pcm] = []
        self._words: list[tuple[int, int]] = []
        self._cancel: Cancel = threading.Event()
        self._callback = _CALLBACK(self._on_audio)  # kept: C holds only a pointer
        self._c.espeak_SetSynthCallback(self._callback)
        self._settings: tuple[str, int, int, int] | None = None

    def synthesize(
        self, text: str, settings: tuple[str, int, int, int], cancel: Cancel, *, pause: bool = False
    ) -> tuple[Pcm, list[tuple[int, int]]]:
        """Speak one piece: int16[n], with a clause's `pause` after it if more follows. Cancelled: what there is.

        Also its words: (index of the first character, when it is said in ms).

        Raises: ConfigError for an unknown voice, EngineBadOutput if eSpeak refuses the text.
        """
        encoded = text.encode()
        flags = _TEXT_IS_UTF8 | (_PAUSE_AT_END if pause else 0)
        with self._lock:
            self._apply(settings)
            self._chunks, self._words, self._cancel = [], [], cancel
            size = ctypes.c_size_t(len(encoded) + 1)
            status = self._c.espeak_Synth(encoded, size, 0, _POSITION_CHARACTER, 0, flags, None, None)
            chunks, self._chunks = self._chunks, []
            words, self._words = self._words, []
        if status != 0:
            raise EngineBadOutput(f"eSpeak NG failed with status {status} on {text[:40]!r}")
        return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int16), words

    def _apply(self, settings: tuple[str, int, int, int]) -> None:
        if settings == self._settings:
            return
        voice, rate, pitch, pitch_range = settings
        _, _, variant = voice.partition("+")  # eSpeak ignores an unknown one without a word
        known = not variant or (self._variants / variant).is_file()
        if not known or self._c.espeak_SetVoiceByName(voice.encode()) != 0:
            self._settings = None
            raise ConfigError(f"espeak://: eSpeak NG has no voice {voice!r}; try en-us, en-gb or en-us with voice=f3")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._c.espeak_SetParameter(parameter, value, 0)
        self._settings = settings

    def _on_audio(self, samples: Any, count: int, events: Any) -> int:
        """C calls this every `_BUFFER_MS` of audio, inside `espeak_Synth`. Returns 1 to stop, 0 to go on."""
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for number in range(EVENTS_LIMIT):
            if events[number].type == _LIST_END:
                break
            if events[number].type == _WORD:
                self._words.append((max(0, events[number].text_position - 1), events[number].audio_position))
        return int(self._cancel.is_set())
