"""A Piper voice of the real shape: VITS as ONNX, with the layer sizes of a "medium" voice.

The text encoder, the flow and the HiFi-GAN decoder have every layer of the original. Simplified are: attention without
its relative positions; a phoneme id lasts a fixed number of frames, about natural English pace, while the duration
predictor's convolutions are run and weighted with zero; no noise is drawn.
Source: the hyper-parameters of Piper's training (piper_train, quality "medium").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SYMBOLS = "_^$ abcdefghijklmnopqrstuvwxyzæðŋɐɑɔəɚɛɜɡɪɹʃʊʌʒˈˌːθɾ.,!?"
FRAMES_PER_ID = 3
"""Of 256 samples at 22 050 Hz: 35 ms; Piper puts a pad id behind each phoneme."""


@dataclass(frozen=True, slots=True)
class PiperShape:
    symbols: int = 256
    width: int = 192
    filter_width: int = 768
    layers: int = 6
    heads: int = 2
    flows: int = 4
    flow_layers: int = 4
    predictor_layers: int = 15
    """Depthwise-separable convolutions: 3 before its flows and 3 in each of 4."""
    decoder_width: int = 256
    upsample: tuple[tuple[int, int], ...] = ((8, 16), (8, 16), (4, 8))
    """(rate, kernel) of each stage."""
    resblocks: tuple[tuple[int, tuple[int, int]], ...] = ((3, (1, 2)), (5, (2, 6)), (7, (3, 12)))
    """(kernel, dilations) of each residual block of a stage."""
    sample_rate_hz: int = 22_050


PIPER_MEDIUM = PiperShape()


def write_piper(shape: PiperShape, path: Path) -> Path:
    """Write the voice and the `.json` beside it. Raises: ImportError without the package onnx; OSError."""
    import onnx

    net = _Net()
    frames = _stretch(net, _encode(net, shape), shape)
    onnx.save(net.model(_decode(net, _flow(net, frames, shape), shape)), str(path))
    config = {
        "audio": {"sample_rate": shape.sample_rate_hz, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "num_symbols": shape.symbols,
        "num_speakers": 1,
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": {symbol: [index] for index, symbol in enumerate(SYMBOLS)},
    }
    Path(f"{path}.json").write_text(json.dumps(config, ensure_ascii=False))
    return path


class _Net:
    """An ONNX graph that is built a node at a time; values are named by numbers."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._random = np.random.default_rng(0)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def halves(self, x: str) -> tuple[str, str]:
        """The first and the second half of the channels."""
        from onnx import helper

        left, right = f"{x}_left", f"{x}_right"
        self._nodes.append(helper.make_node("Split", [x], [left, right], axis=1))
        return left, right

    def constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, *dims: int, fan_in: int) -> str:
        """Random, of a size that keeps a signal's."""
        return self.constant(self._random.standard_normal(dims, dtype=np.float32) / np.float32(np.sqrt(fan_in)))

    def convolve(self, x: str, out: int, inside: int, kernel: int = 1, dilation: int = 1, groups: int = 1) -> str:
        weight = self.weights(out, inside // groups, kernel, fan_in=inside // groups * kernel)
        bias = self.constant(np.zeros(out, dtype=np.float32))
        reach = dilation * (kernel - 1) // 2
        return self.op(
            "Conv", x, weight, bias, pads=[reach, reach], dilations=[dilation], kernel_shape=[kernel], group=groups
        )

    def model(self, samples: str) -> Any:
        from onnx import TensorProto, helper

        inputs = [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ]
        self._nodes.append(helper.make_node("Identity", [samples], ["output"]))
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
        graph = helper.make_graph(self._nodes, "voice", inputs, outputs, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _norm(net: _Net, x: str, width: int) -> str:
    """Layer norm over the channels of [1, channels, time]."""
    ones, zeros = net.constant(np.ones(width, dtype=np.float32)), net.constant(np.zeros(width, dtype=np.float32))
    turned = net.op("Transpose", x, perm=[0, 2, 1])
    return net.op("Transpose", net.op("LayerNormalization", turned, ones, zeros, axis=-1), perm=[0, 2, 1])


def _encode(net: _Net, shape: PiperShape) -> str:
    """Phoneme ids to the prior's mean: [1, width, ids]."""
    width = shape.width
    embedded = net.op("Gather", net.weights(shape.symbols, width, fan_in=1), "input", axis=0)
    x = net.op("Transpose", embedded, perm=[0, 2, 1])
    for _ in range(shape.layers):
        x = _norm(net, net.op("Add", x, _attention(net, x, shape)), width)
        inner = net.op("Relu", net.convolve(x, shape.filter_width, width, 3))
        x = _norm(net, net.op("Add", x, net.convolve(inner, width, shape.filter_width, 3)), width)
    mean, _ = net.halves(net.convolve(x, 2 * width, width))
    predicted = x
    for layer in range(shape.predictor_layers):
        spread = net.op("Relu", net.convolve(predicted, width, width, 3, dilation=3 ** (layer % 3), groups=width))
        predicted = net.op("Add", predicted, _norm(net, net.convolve(spread, width, width), width))
    unused = net.op("Mul", predicted, net.constant(np.float32(0)))
    scale = net.op("ReduceSum", "scales", keepdims=0)
    length = net.op("ReduceSum", net.op("Cast", "input_lengths", to=1), keepdims=0)
    nothing = net.op("Mul", net.op("Add", scale, length), net.constant(np.float32(0)))
    return net.op("Add", net.op("Add", mean, unused), nothing)


def _attention(net: _Net, x: str, shape: PiperShape) -> str:
    head = shape.width // shape.heads
    split = net.constant(np.array([1, shape.heads, head, -1]))
    query, key, value = (net.op("Reshape", net.convolve(x, shape.width, shape.width), split) for _ in range(3))
    scores = net.op("MatMul", net.op("Transpose", query, perm=[0, 1, 3, 2]), key)
    scaled = net.op("Mul", scores, net.constant(np.float32(head**-0.5)))
    mixed = net.op("MatMul", value, net.op("Transpose", net.op("Softmax", scaled, axis=-1), perm=[0, 1, 3, 2]))
    return net.convolve(
        net.op("Reshape", mixed, net.constant(np.array([1, shape.width, -1]))), shape.width, shape.width
    )


def _stretch(net: _Net, x: str, shape: PiperShape) -> str:
    """Each id's values, `FRAMES_PER_ID` times: [1, width, frames]."""
    wide = net.op("Unsqueeze", x, net.constant(np.array([3])))
    many = net.op("Expand", wide, net.constant(np.array([1, 1, 1, FRAMES_PER_ID])))
    return net.op("Reshape", many, net.constant(np.array([1, shape.width, -1])))


def _flow(net: _Net, x: str, shape: PiperShape) -> str:
    """Residual coupling layers, each with a WaveNet of `flow_layers` gated convolutions of kernel 5."""
    width = shape.width
    for _ in range(shape.flows):
        kept, changed = net.halves(x)
        h = net.convolve(kept, width, width // 2)
        for _ in range(shape.flow_layers):
            left, right = net.halves(net.convolve(h, 2 * width, width, 5))
            gated = net.op("Mul", net.op("Tanh", left), net.op("Sigmoid", right))
            residual, _skip = net.halves(net.convolve(gated, 2 * width, width))
            h = net.op("Add", h, residual)
        x = net.op("Concat", net.op("Sub", changed, net.convolve(h, width // 2, width)), kept, axis=1)
    return x


def _decode(net: _Net, x: str, shape: PiperShape) -> str:
    """HiFi-GAN: [1, width, frames] to samples [1, 1, n] in -1..1."""
    width = shape.decoder_width
    x = net.convolve(x, width, shape.width, 7)
    for rate, kernel in shape.upsample:
        x = net.op("LeakyRelu", x, alpha=0.1)
        weight = net.weights(width, width // 2, kernel, fan_in=width * kernel // rate)
        cut = (kernel - rate) // 2
        x = net.op("ConvTranspose", x, weight, strides=[rate], pads=[cut, cut], kernel_shape=[kernel])
        width //= 2
        branches = []
        for size, dilations in shape.resblocks:
            branch = x
            for dilation in dilations:
                inner = net.convolve(net.op("LeakyRelu", branch, alpha=0.1), width, width, size, dilation)
                branch = net.op("Add", branch, inner)
            branches.append(branch)
        total = net.op("Add", net.op("Add", branches[0], branches[1]), branches[2])
        x = net.op("Mul", total, net.constant(np.float32(1 / 3)))
    return net.op("Tanh", net.convolve(net.op("LeakyRelu", x, alpha=0.01), 1, width, 7))
