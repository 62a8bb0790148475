"""The few functions of libpocketsphinx that decoding needs, called through ctypes.

Why not the wheel's own Python binding: it keeps the GIL while it decodes, so a thread that recognises speech stopped
every other for 62 ms at the median and 229 ms at worst; through ctypes, which releases it, for 0.6 and 33 ms, as an
idle process does (measured side by side on two busy cores, 200 ms of audio a call).
The library is the wheel's extension module, which exports the whole C API (Source: pocketsphinx.h, version 5).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.engines.base import Pcm
from voicebot.errors import EngineBadOutput, EngineUnavailable

_POINTER, _INT, _STRING = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_FRAMES = ctypes.POINTER(_INT)
_ERROR_CALLBACK = ctypes.CFUNCTYPE(None, _POINTER, _INT, _STRING)
_ERROR_LEVEL = 3

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ps_config_init": (_POINTER, [_POINTER]),
    "ps_config_set_str": (_POINTER, [_POINTER, _STRING, _STRING]),
    "ps_config_free": (_INT, [_POINTER]),
    "ps_init": (_POINTER, [_POINTER]),
    "ps_free": (_INT, [_POINTER]),
    "ps_start_utt": (_INT, [_POINTER]),
    "ps_process_raw": (_INT, [_POINTER, _POINTER, ctypes.c_size_t, _INT, _INT]),
    "ps_end_utt": (_INT, [_POINTER]),
    "ps_get_hyp": (_STRING, [_POINTER, _POINTER]),
    "ps_get_cmn": (_STRING, [_POINTER, _INT]),
    "ps_set_cmn": (_INT, [_POINTER, _STRING]),
    "ps_get_logmath": (_POINTER, [_POINTER]),
    "logmath_exp": (ctypes.c_double, [_POINTER, _INT]),
    "ps_seg_iter": (_POINTER, [_POINTER]),
    "ps_seg_next": (_POINTER, [_POINTER]),
    "ps_seg_word": (_STRING, [_POINTER]),
    "ps_seg_frames": (None, [_POINTER, _FRAMES, _FRAMES]),
    "ps_seg_prob": (_INT, [_POINTER, _FRAMES, _FRAMES, _FRAMES]),
    "err_set_loglevel": (_INT, [_INT]),
    "err_set_callback": (None, [_ERROR_CALLBACK, _POINTER]),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A word or filler of the best hypothesis; frames are 10 ms, `stop_frame` is past its last."""

    word: str
    start_frame: int
    stop_frame: int
    posterior: float
    """0..1 over the lattice."""


def package_dir() -> Path:
    """Where the pocketsphinx wheel is installed, found without importing it. Raises: EngineUnavailable."""
    package = importlib.util.find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        raise EngineUnavailable("pocketsphinx:// needs the package pocketsphinx; install it")
    return Path(package.submodule_search_locations[0])


class Library:
    """The loaded C library; its last error lines are kept, because its return codes say little.

    One for the life of the process (`library()`): C keeps a pointer to the error callback.
    """

    def __init__(self) -> None:
        """Raises: EngineUnavailable."""
        found = sorted(package_dir().glob("_pocketsphinx*.so")) + sorted(package_dir().glob("_pocketsphinx*.pyd"))
        if not found:
            raise EngineUnavailable(f"no PocketSphinx library in {package_dir()}; reinstall pocketsphinx")
        try:
            self.c: Any = ctypes.CDLL(str(found[0]))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(self.c, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise EngineUnavailable(f"{found[0]} does not offer PocketSphinx 5's C interface: {error}") from error
        self._errors: deque[str] = deque(maxlen=3)
        self._on_error = _ERROR_CALLBACK(lambda _, level, text: self._errors.append(text.decode(errors="replace")))
        self.c.err_set_loglevel(_ERROR_LEVEL)
        self.c.err_set_callback(self._on_error, None)

    def last_error(self) -> str:
        return " ".join(line.strip() for line in self._errors)


@functools.cache
def library() -> Library:
    """Raises: EngineUnavailable."""
    return Library()


class Decoder:
    """One recogniser: one utterance at a time. Thread: any, one at a time; the GIL is free while it works."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Raises: EngineUnavailable."""
        self._c = library().c
        config = self._c.ps_config_init(None)
        try:
            for name, value in {"loglevel": "ERROR", **settings}.items():
                if not self._c.ps_config_set_str(config, name.encode(), value.encode()):
                    raise EngineUnavailable(f"PocketSphinx does not know the setting {name}={value}")
            self._decoder = self._c.ps_init(config)
        finally:
            self._c.ps_config_free(config)
        if not self._decoder:
            raise EngineUnavailable(f"PocketSphinx cannot load {dict(settings)}: {library().last_error()}")

    def close(self) -> None:
        """Idempotent."""
        decoder, self._decoder = self._decoder, None
        if decoder:
            self._c.ps_free(decoder)

    def start(self, cmn: str) -> None:
        """Begin an utterance with these cepstral means."""
        self._c.ps_set_cmn(self._decoder, cmn.encode())
        self._check(self._c.ps_start_utt(self._decoder), "begin an utterance")

    def feed(self, pcm: Pcm) -> None:
        """Decode int16[n], 16 kHz."""
        status = self._c.ps_process_raw(self._decoder, pcm.ctypes.data, len(pcm), 0, 0)
        self._check(status, f"decode {len(pcm)} samples")

    def end(self) -> None:
        self._check(self._c.ps_end_utt(self._decoder), "end an utterance")

    def hypothesis(self) -> str:
        """The best words so far, without fillers; "" for none."""
        text = self._c.ps_get_hyp(self._decoder, None)
        return text.decode(errors="replace") if text else ""

    def cmn(self) -> str:
        """The cepstral means, with those of the utterance that just ended taken in."""
        means: bytes = self._c.ps_get_cmn(self._decoder, 0)
        return means.decode()

    def segments(self) -> Iterator[Segment]:
        """The parts of the best hypothesis after `end`; fillers included."""
        logmath = self._c.ps_get_logmath(self._decoder)
        start, stop, score = _INT(), _INT(), _INT()
        segment = self._c.ps_seg_iter(self._decoder)
        while segment:
            word = self._c.ps_seg_word(segment).decode(errors="replace")
            self._c.ps_seg_frames(segment, start, stop)
            posterior = self._c.logmath_exp(logmath, self._c.ps_seg_prob(segment, score, score, score))
            yield Segment(word, start.value, stop.value + 1, min(1.0, posterior))
            segment = self._c.ps_seg_next(segment)

    @staticmethod
    def _check(status: int, doing: str) -> None:
        if status < 0:
            raise EngineBadOutput(f"PocketSphinx could not {doing} (status {status})")
