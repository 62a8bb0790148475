"""Speech recognition by PocketSphinx with the English model of its wheel: the recogniser that needs no download.

It decodes while the caller speaks; at the end of speech only a last pass over the word lattice is left. A decoder
serves one utterance at a time, so a small pool of them is shared by all calls. Telephone speech has a pool of its
own, whose acoustic model is made from the wideband one when it is loaded; see `sphinx_narrow.py`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, Locality, Pcm, Transcript, Word
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.sphinx_c import Decoder, Segment, package_dir
from voicebot.engines.sphinx_narrow import NarrowModel
from voicebot.errors import EngineOverloaded, EngineUnavailable

_PACKAGE = Path(__file__).resolve().parents[1]
OWN_LM = Path("speech") / "en-us.lm.bin"
"""General English mixed with what callers say here; made by `voicebot/training/speech_lm.py`."""
HUMS = """
mhm(2) M HH M
mhm(3) M M HH M
mhm(4) HH M HH M
mhm(5) AH N HH AH N
mhm(6) EH M HH EH M
mm(2) M M
mm(3) AH M M
uh(2) EH
uh-huh(2) AH N HH AH N
"""
"""How listeners hum; the wheel's dictionary has "mhm" as "um hum" only."""
FRAME_MS = 10
FEED_SAMPLES = 8_000
"""`transcribe` looks at its cancellation token every half second of audio, about 0.1 s of work."""


def shipped(file: Path) -> Path | None:
    """A model file that came with the product: in the package, else beside it in the repository."""
    places = (root / "models" / file for root in (_PACKAGE, _PACKAGE.parent))
    return next((place for place in places if place.is_file()), None)


class PocketSphinxStt:
    """`pocketsphinx://`, or `pocketsphinx://DIR` for another acoustic model of the Sphinx kind."""

    locality: Locality = "local"

    class Options(DriverOptions):
        """The pruning (maxhmmpf, maxwpf) and fwdflat=false cut the work after the last sample from 103 to 18 ms.

        Word errors went from 15 to 17 of 92 (synthetic speech) and from 38 to 31 of 85 (human speech).
        """

        decoders: int = Field(2, ge=1, le=32)
        """Utterances recognised at once; each takes 75 MB."""
        telephone: int = Field(2, ge=0, le=32)
        """The same of telephone speech; 0: it is heard with the wideband model, and badly."""
        lm: str = ""
        """N-gram language model (ARPA or Sphinx binary). Without it: the shipped one, else the wheel's general
        English."""
        dictionary: str = ""
        lw: float = Field(6.5, gt=0)
        bestpathlw: float = Field(9.5, gt=0)
        wip: float = Field(0.65, gt=0)
        maxhmmpf: int = Field(3000, ge=100)
        maxwpf: int = Field(5, ge=1)
        fwdflat: bool = False
        """A second pass over the utterance when speech has ended, in which the caller waits."""
        cmninit: str = Field("55,8,0", pattern=r"^-?[\d.]+(,-?[\d.]+)*$")
        """Cepstral means before anything was heard."""
        min_confidence: float = Field(0.0, ge=0, le=1)
        """A result whose mean word posterior is lower counts as nothing heard."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self.max_concurrency = options.decoders
        self._wide = self._narrow = _Pool()

    @property
    def name(self) -> str:
        return self._spec.short_name if self._spec.target else "pocketsphinx en-us"

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self.close()
        settings, cmn = self._settings(), self._options.cmninit
        with tempfile.TemporaryDirectory(prefix="voicebot-sphinx-") as temporary:  # read as a decoder is made
            folder = Path(temporary)
            if not self._options.dictionary:
                settings["dict"] = str(_with_hums(Path(settings["dict"]), folder))
            self._wide = self._narrow = _Pool(settings, self._options.decoders, cmn)
            if self._options.telephone and (model := NarrowModel(Path(settings["hmm"]))).needed:
                self._narrow = _Pool({**settings, **model.write(folder)}, self._options.telephone, model.cmn(cmn))

    def close(self) -> None:
        """Frees the idle decoders; one that is in use is freed when its stream gives it back."""
        self._wide.close()
        self._narrow.close()

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        """Raises: EngineOverloaded if streams hold every decoder."""
        stream = self.open_stream(narrowband)
        if stream is None:
            option = "telephone" if narrowband and self._options.telephone else "decoders"
            raise EngineOverloaded(
                f"{self._spec.url}: all {getattr(self._options, option)} decoders are busy; raise {option}="
            )
        try:
            for start in range(0, len(pcm), FEED_SAMPLES):
                if cancel.is_set():
                    return Transcript("")
                stream.feed(pcm[start : start + FEED_SAMPLES])
            return stream.finish()
        finally:
            stream.abandon()

    def open_stream(self, narrowband: bool = False) -> PocketSphinxStream | None:
        """None when no decoder is free."""
        pool = self._narrow if narrowband else self._wide
        decoder = pool.take()
        return None if decoder is None else PocketSphinxStream(pool, decoder, self._options.min_confidence)

    def _settings(self) -> dict[str, str]:
        model = package_dir() / "model" / "en-us"
        options = self._options
        own = shipped(OWN_LM)
        files = {
            "hmm": self._spec.find() if self._spec.target else model / "en-us",
            "lm": Path(options.lm) if options.lm else own or model / "en-us.lm.bin",
            "dict": Path(options.dictionary) if options.dictionary else model / "cmudict-en-us.dict",
        }
        for setting, path in files.items():
            if not path.exists():
                raise EngineUnavailable(f"{self._spec.url}: no {setting} at {path}; fix the path or reinstall")
        tuned = ("lw", "bestpathlw", "wip", "maxhmmpf", "maxwpf")
        return {
            **{setting: str(path) for setting, path in files.items()},
            **{setting: str(getattr(options, setting)) for setting in tuned},
            "fwdflat": "yes" if options.fwdflat else "no",
            "cmn": "live",
        }


def _with_hums(dictionary: Path, folder: Path) -> Path:
    """A copy in `folder` that has HUMS too."""
    copy = folder / dictionary.name
    copy.write_bytes(dictionary.read_bytes().rstrip() + HUMS.encode())
    return copy


class _Pool:
    """Decoders of one acoustic model, and the cepstral means that their utterances have taught. Thread: any."""

    def __init__(self, settings: Mapping[str, str] | None = None, size: int = 0, cmn: str = "") -> None:
        """Without decoders where no model is loaded. Raises: EngineUnavailable."""
        self._cmn = cmn
        self._lock = threading.Lock()
        self._open = True
        self._free = [Decoder(settings or {}) for _ in range(size)]
        for decoder in self._free:
            decoder.start(cmn)
            decoder.feed(np.zeros(FEED_SAMPLES, dtype=np.int16))
            decoder.end()

    def take(self) -> Decoder | None:
        """A decoder with an utterance begun; None when none is free."""
        with self._lock:
            if not self._free:
                return None
            decoder = self._free.pop()
        decoder.start(self._cmn)
        return decoder

    def give_back(self, decoder: Decoder, cmn: str | None) -> None:
        """`cmn`: the means that its utterance taught, if it held speech."""
        with self._lock:
            if cmn is not None:
                self._cmn = cmn
            if self._open:
                self._free.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            decoders, self._free, self._open = self._free, [], False
        for decoder in decoders:
            decoder.close()


class PocketSphinxStream:
    """One utterance in one decoder of the pool. Thread: the engine's lane."""

    def __init__(self, pool: _Pool, decoder: Decoder, min_confidence: float) -> None:
        self._pool = pool
        self._decoder: Decoder | None = decoder
        self._min_confidence = min_confidence

    def feed(self, pcm: Pcm) -> str:
        assert self._decoder is not None, "the stream is used up"
        self._decoder.feed(np.ascontiguousarray(pcm))
        return self._decoder.hypothesis()

    def finish(self) -> Transcript:
        assert self._decoder is not None, "the stream is used up"
        transcript = Transcript("")
        try:
            self._decoder.end()
            transcript = self._transcript(self._decoder.segments())
        finally:
            self._release(self._decoder.cmn() if transcript.text else None)
        return transcript

    def abandon(self) -> None:
        if self._decoder is not None:
            try:
                self._decoder.end()
            finally:
                self._release(None)

    def _release(self, cmn: str | None) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._pool.give_back(decoder, cmn)

    def _transcript(self, segments: Iterator[Segment]) -> Transcript:
        """Words without fillers and pronunciation marks, as "[NOISE]", "<sil>" and "the(2)" are."""
        spoken = [segment for segment in segments if segment.word[0] not in "<[+"]
        if not spoken:
            return Transcript("")
        confidence = fmean(segment.posterior for segment in spoken)
        if confidence < self._min_confidence:
            return Transcript("", confidence)
        words = tuple(
            Word(segment.word.partition("(")[0], segment.start_frame * FRAME_MS, segment.stop_frame * FRAME_MS)
            for segment in spoken
        )
        return Transcript(" ".join(word.text for word in words), confidence, words)
