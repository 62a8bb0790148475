"""Voice activity by Silero VAD: the ONNX file inside the `silero-vad` wheel, run with onnxruntime.

The wheel's own Python wrapper needs torch, so only its model file is used and the package is never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from voicebot.core.audio import FULL_SCALE, SPEECH_RATE_HZ, WINDOW_SAMPLES
from voicebot.engines.base import Locality, Pcm, VadStream
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import EngineUnavailable

if TYPE_CHECKING:
    import onnxruntime

CONTEXT_SAMPLES = 64
"""Samples of the window before that the model sees in front of each window (Source: silero_vad/utils_vad.py)."""
STATE_SHAPE = (2, 1, 128)
SAMPLE_RATE = np.array(SPEECH_RATE_HZ, dtype=np.int64)
MODEL_FILE = "data/silero_vad.onnx"


class SileroVad:
    """One ONNX session shared by all calls; each call has its own `SileroStream`."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        """`silero://` for the wheel's model, `silero:///path/model.onnx` for another of the same shape."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        path = self._model_path()
        if not path.is_file():
            raise EngineUnavailable(f"{self._spec.url}: no VAD model at {path}; reinstall silero-vad or fix the path")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.open_stream().probability(np.zeros(WINDOW_SAMPLES, dtype=np.int16))
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            self.close()
            raise EngineUnavailable(f"{self._spec.url}: cannot load the VAD model {path}: {error}") from error

    def close(self) -> None:
        self._session = None

    def open_stream(self) -> SileroStream:
        assert self._session is not None, "load() comes before open_stream()"
        return SileroStream(self._session)

    def probabilities(self, streams: Sequence[VadStream], windows: Sequence[Pcm]) -> list[float]:
        if len(streams) == 1:
            return [streams[0].probability(windows[0])]
        assert self._session is not None, "load() comes before open_stream()"
        ours = [stream for stream in streams if isinstance(stream, SileroStream)]
        pushed = [stream.push(window) for stream, window in zip(ours, windows, strict=True)]
        given = {
            "input": np.concatenate(pushed),
            "state": np.concatenate([stream.state for stream in ours], axis=1),
            "sr": SAMPLE_RATE,
        }
        output, states = self._session.run(["output", "stateN"], given)
        for at, stream in enumerate(ours):
            stream.keep(states[:, at : at + 1])
        return [float(probability) for probability in output[:, 0]]

    def _model_path(self) -> Path:
        if self._spec.target:
            return self._spec.find()
        package = importlib.util.find_spec("silero_vad")
        if package is None or not package.submodule_search_locations:
            raise EngineUnavailable("silero:// needs the package silero-vad; install it")
        return Path(package.submodule_search_locations[0]) / MODEL_FILE


class SileroStream:
    """One call's recurrent state. Thread: the event loop.

    All arrays are allocated once and bound to the session. The state ping-pongs between two buffers through two
    bindings, so that a window alone costs no allocation and no copy but its own 512 samples.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = np.zeros((1, CONTEXT_SAMPLES + WINDOW_SAMPLES), dtype=np.float32)
        self._window = self._input[0, CONTEXT_SAMPLES:]
        self.state, self._next_state = (np.zeros(STATE_SHAPE, dtype=np.float32) for _ in range(2))
        """`state`: float32[2, 1, 128], of the model after the windows so far."""
        self._output = np.zeros((1, 1), dtype=np.float32)
        self._this, self._next = (
            self._bind(self.state, self._next_state),
            self._bind(self._next_state, self.state),
        )

    def probability(self, window: Pcm) -> float:
        self.push(window)
        self._session.run_with_iobinding(self._this)
        self._this, self._next = self._next, self._this
        self.state, self._next_state = self._next_state, self.state
        return float(self._output[0, 0])

    def push(self, window: Pcm) -> npt.NDArray[np.float32]:
        """What the model is given for the next window: float32[1, 576], valid until the one after it."""
        assert window.shape == (WINDOW_SAMPLES,), f"a VAD window is int16[{WINDOW_SAMPLES}], not {window.shape}"
        self._input[0, :CONTEXT_SAMPLES] = self._input[0, -CONTEXT_SAMPLES:]
        np.divide(window, np.float32(FULL_SCALE), out=self._window)
        return self._input

    def keep(self, state: npt.NDArray[np.float32]) -> None:
        """`state` after a window that was run with those of other streams."""
        self.state[:] = state

    def reset(self) -> None:
        self._input.fill(0.0)
        self.state.fill(0.0)

    def _bind(self, state: npt.NDArray[np.float32], next_state: npt.NDArray[np.float32]) -> onnxruntime.IOBinding:
        """Tie the stream's arrays to the model's inputs and outputs; the stream keeps the arrays alive."""
        binding = self._session.io_binding()
        for name, array in (("input", self._input), ("state", state), ("sr", SAMPLE_RATE)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in (("output", self._output), ("stateN", next_state)):
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return binding
