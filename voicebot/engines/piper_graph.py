"""A Piper voice's network, cut where frames become samples, so that its first sound need not wait for its last.

VITS has two parts: one that turns a clause's phonemes into frames of 256 samples (attention over the clause: it must
see all of it) and a HiFi-GAN decoder that turns frames into sound, which is three quarters of the work and looks only
a few frames around. Cut there, the decoder runs on a few frames at a time with `MARGIN` more on either side; what is
then thrown away makes the pieces equal, sample for sample, to the whole.

The cut needs the package onnx (in the extra `piper`); without it, or for a graph of another build, the voice is used
whole. Source of the idea: the reach of HiFi-GAN's convolutions; 13 frames with Piper's largest kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voicebot.engines.base import Cancel

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
MARGIN = 16
"""Frames. Measured on a medium voice: 10 leave a difference of 4e-6 of full scale, 13 none."""
FIRST_FRAMES = 16
"""0.19 s of sound, which is longer than the next piece takes on a machine that speaks three times as fast as we do."""
GROWTH = 1.5
MOST_FRAMES = 160
SAME = 1e-3
"""Of full scale: pieces that differ by more from the whole mean a decoder that looks further than `MARGIN`."""


class PiperGraph:
    """Phoneme ids to sound. Thread: the lane that loaded it."""

    def __init__(self, path: Path, use_cuda: bool) -> None:
        """Raises: whatever onnxruntime raises for a file that it cannot load."""
        self._path = path
        self._options = _session_options()
        self._providers = ["CUDAExecutionProvider" if use_cuda else "CPUExecutionProvider"]
        self._decoder: onnxruntime.InferenceSession | None = None
        if (parts := _cut(path)) is not None:
            self._encoder, self._decoder = self._open(parts[0]), self._open(parts[1])
        else:
            self._encoder = self._open(str(path))

    @property
    def in_pieces(self) -> bool:
        """Whether sound comes before a clause is done."""
        return self._decoder is not None

    def check(self, inputs: dict[str, Any]) -> None:
        """Speak `inputs` both ways, and stay whole if that makes a difference."""
        if self._decoder is None:
            return
        frames, _ = self.frames(inputs)
        if frames.ndim == 3 and self._same(frames, inputs):
            return
        log.warning("%s cannot be spoken in pieces: its decoder looks further than %d frames", self._path.name, MARGIN)
        self._decoder, self._encoder = None, self._open(str(self._path))

    def _same(self, frames: Floats, inputs: dict[str, Any]) -> bool:
        whole, pieces = self._decode(frames, inputs), np.concatenate(list(self._pieces(frames, inputs)))
        return len(whole) == len(pieces) and float(np.abs(whole - pieces).max()) <= SAME

    def frames(self, inputs: dict[str, Any]) -> tuple[Floats, Floats | None]:
        """What `sound` is made from, and how many frames each id lasts if the voice tells.

        `inputs`: the voice's own ("input", "input_lengths", "scales", "sid").
        """
        first, *lengths = self._encoder.run(None, self._for(self._encoder, inputs))
        return first, np.asarray(lengths[0]).ravel() if lengths and self._decoder is not None else None

    def sound(self, frames: Floats, inputs: dict[str, Any], cancel: Cancel) -> Iterator[Floats]:
        """float32[n] pieces in -1..1."""
        if self._decoder is None:
            yield np.asarray(frames, dtype=np.float32).ravel()
            return
        for piece in self._pieces(frames, inputs):
            if cancel.is_set():
                return
            yield piece

    def _pieces(self, frames: Floats, inputs: dict[str, Any]) -> Iterator[Floats]:
        count, start, size = frames.shape[2], 0, float(FIRST_FRAMES)
        while start < count:
            stop = min(count, start + round(size))
            if count - stop < FIRST_FRAMES // 2:
                stop = count
            before, after = min(start, MARGIN), min(count - stop, MARGIN)
            sound = self._decode(frames[:, :, start - before : stop + after], inputs)
            samples = len(sound) // (before + stop - start + after)
            yield sound[before * samples : len(sound) - after * samples]
            start, size = stop, min(MOST_FRAMES, size * GROWTH)

    def _decode(self, frames: Floats, inputs: dict[str, Any]) -> Floats:
        assert self._decoder is not None
        wanted = {self._decoder.get_inputs()[0].name: frames, **inputs}
        return np.asarray(self._decoder.run(None, self._for(self._decoder, wanted))[0], dtype=np.float32).ravel()

    def _for(self, session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> dict[str, Any]:
        return {one.name: inputs[one.name] for one in session.get_inputs() if one.name in inputs}

    def _open(self, model: bytes | str) -> onnxruntime.InferenceSession:
        import onnxruntime

        return onnxruntime.InferenceSession(model, self._options, providers=self._providers)


def _session_options() -> onnxruntime.SessionOptions:
    """Threads that sleep between runs: spinning ones take the cores from the language model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _cut(path: Path) -> tuple[bytes, bytes] | None:
    """The encoder's and the decoder's model; None where there is no package onnx, or no decoder as we know it."""
    try:
        import onnx
    except ImportError:
        log.info("without the package onnx Piper speaks whole clauses; install voicebot[piper]")
        return None
    model = onnx.load(str(path))
    border = _border(model.graph)
    if border is None:
        log.info("%s has no HiFi-GAN decoder that is known here; it speaks whole clauses", path.name)
        return None
    frames = onnx.helper.make_tensor_value_info(border, onnx.TensorProto.FLOAT, None)
    given = list(model.graph.input)
    return _part(model, given, [frames, *_lengths(model.graph)]), _part(
        model, [frames, *given], [model.graph.output[0]]
    )


def _lengths(graph: Any) -> list[Any]:
    """The output, unnamed in the voice, that tells how many frames each id lasts: what the only `Ceil` makes."""
    from onnx import TensorProto, helper

    made = [name for node in graph.node if node.op_type == "Ceil" for name in node.output]
    return [helper.make_tensor_value_info(made[0], TensorProto.FLOAT, None)] if len(made) == 1 else []


def _part(model: Any, inputs: list[Any], outputs: list[Any]) -> bytes:
    """The model that makes `outputs` from `inputs`; those that it does not need are left out.

    onnx's own extractor was rejected: it overlooks what the branches of an `If` take from around it.
    """
    from onnx import helper

    nodes = model.graph.node
    made_by = {name: number for number, node in enumerate(nodes) for name in node.output}
    given, wanted, kept = {one.name for one in inputs}, [one.name for one in outputs], set[int]()
    while wanted:
        name = wanted.pop()
        if name not in given and (number := made_by.get(name)) is not None and number not in kept:
            kept.add(number)
            wanted += _reads(nodes[number])
    read = {name for number in kept for name in _reads(nodes[number])}
    weights = [one for one in model.graph.initializer if one.name in read]
    inputs = [one for one in inputs if one.name in read and one.name not in {weight.name for weight in weights}]
    graph = helper.make_graph([nodes[number] for number in sorted(kept)], "part", inputs, outputs, weights)
    versions = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
    part: bytes = helper.make_model(graph, functions=model.functions, **versions).SerializeToString()
    return part


def _reads(node: Any) -> list[str]:
    """What a node takes, its branches included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [name for inner in graph.node for name in _reads(inner)]
    return names


def _border(graph: Any) -> str | None:
    """The frames that the decoder starts from: what goes into the convolution before its first upsampling."""
    made_by = {output: node for node in graph.node for output in node.output}
    node = next((one for one in graph.node if one.op_type == "ConvTranspose"), None)
    if node is None:
        return None
    while (node := made_by.get(node.input[0])) is not None:
        if node.op_type == "Conv":
            return str(node.input[0]) if node.input[0] in made_by else None
    return None
