"""End of turn by the sound: Smart Turn v3, an ONNX model that hears the last 8 s as Whisper's encoder would.

Source: github.com/pipecat-ai/smart-turn (BSD-2). Pulled by `voicebot models pull smart-turn-v3`. The features are those
of Whisper's own extractor: 80 mel bands, 25 ms windows every 10 ms, over 8 s that END with the speech (shorter speech
has silence in front), with the whole buffer brought to zero mean and unit variance first.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from voicebot.core.audio import FULL_SCALE, SPEECH_RATE_HZ, silence
from voicebot.engines.base import TURN_AUDIO_S, Locality, Pcm
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    import onnxruntime

Floats = npt.NDArray[np.float32]

SAMPLES = TURN_AUDIO_S * SPEECH_RATE_HZ
FFT_SAMPLES = 400
HOP_SAMPLES = 160
MELS = 80
FRAMES = SAMPLES // HOP_SAMPLES
MODEL_FILES = ("smart-turn-v3/smart-turn-v3.2-cpu.onnx", "smart-turn-v3/smart-turn-v3.1-cpu.onnx")
_LINEAR_HZ = 200 / 3
"""Width of a mel below 1 kHz. Source: Slaney's Auditory Toolbox, as in librosa."""
_LOG_STEP = np.log(6.4) / 27
_BREAK_HZ = 1000.0
_QUIETEST = 1e-10


def _mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz, logarithmic above."""
    above = mels - _BREAK_HZ / _LINEAR_HZ
    return np.where(above < 0, mels * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * above))


@cache
def _mel_filters() -> Floats:
    """Triangles of equal area, evenly spaced in mel from 0 to 8 kHz: float32[80, 201]."""
    top = _BREAK_HZ / _LINEAR_HZ + np.log(SPEECH_RATE_HZ / 2 / _BREAK_HZ) / _LOG_STEP
    edges = _mel_to_hz(np.linspace(0.0, top, MELS + 2))
    bins = np.linspace(0.0, SPEECH_RATE_HZ / 2, FFT_SAMPLES // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


def whisper_features(pcm: Pcm) -> Floats:
    """Log-mel features of the last 8 s: float32[80, 800], from int16[n], 16 kHz, any n."""
    last = pcm[-SAMPLES:]
    speech = np.zeros(SAMPLES, dtype=np.float32)
    speech[SAMPLES - len(last) :] = last / np.float32(FULL_SCALE)
    speech = (speech - speech.mean()) / np.sqrt(speech.var() + 1e-7)
    padded = np.pad(speech, FFT_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES][:FRAMES]
    window = np.hanning(FFT_SAMPLES + 1)[:-1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1))).astype(np.float32)
    mel = np.log10(np.maximum(power @ _mel_filters().T, _QUIETEST)).T
    levels: Floats = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return np.ascontiguousarray(levels)


class SmartTurn:
    """`smart://` for the pulled model, `smart:///path/model.onnx` for another of the same shape. Many languages.

    Telephone speech needs nothing special here: a call's speech is resampled to 16 kHz, with a filter, as it arrives.
    """

    locality: Locality = "local"
    max_concurrency = 1
    wants_audio = True

    class Options(DriverOptions):
        """None."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        path = self._model_path()
        if not path.is_file():
            raise EngineUnavailable(
                f"{self._spec.url}: no Smart Turn model at {path}; "
                "fix the path, or `voicebot models pull smart-turn-v3`"
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.end_probability(silence(SPEECH_RATE_HZ), "")
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            self.close()
            raise EngineUnavailable(f"{self._spec.url}: cannot use the Smart Turn model {path}: {error}") from error

    def close(self) -> None:
        self._session = None

    def end_probability(self, pcm: Pcm, _text: str) -> float:
        assert self._session is not None, "load() comes before end_probability()"
        (output,) = self._session.run(None, {"input_features": whisper_features(pcm)[None]})
        if output.size != 1 or not 0.0 <= output.item() <= 1.0:
            raise EngineBadOutput(f"{self._spec.url} answered {output!r}, not one probability; it is no Smart Turn v3")
        return float(output.item())

    def _model_path(self) -> Path:
        if self._spec.target:
            return self._spec.find()
        places = [self._spec.models_dir / family / file for family in ("smart", "turn") for file in MODEL_FILES]
        return next((place for place in places if place.is_file()), places[0])
