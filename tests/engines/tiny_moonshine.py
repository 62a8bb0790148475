"""A streaming Moonshine in the real file format that counts: it says "tick" once for each 200 ms of sound it heard.

Its words show exactly how much of an utterance reached the decoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
WIDTH = 4
TICK_FRAMES = 10
"""Of 20 ms: the encoder's frame."""
LOUD = 0.01
TOKENS = ("<unk>", "<s>", "</s>", "▁tick")
LOOKAHEAD_FRAMES = 16
Values = Sequence[tuple[str, int, Sequence[int | None]]]
_STATES: Values = (
    ("sample_buffer", FLOAT, [1, 79]),
    ("sample_len", INT, [1]),
    ("conv1_buffer", FLOAT, [1, WIDTH, 4]),
    ("conv2_buffer", FLOAT, [1, WIDTH, 4]),
    ("frame_count", INT, [1]),
)
_CACHE: Sequence[int | None] = [1, 1, 1, None, WIDTH]


def write(folder: Path) -> Path:
    """Fill `folder` with the seven files of a streaming model."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_frontend(folder / "frontend.ort")
    wide: Sequence[int | None] = [1, None, WIDTH]
    nodes = [helper.make_node("Identity", ["features"], ["encoded"])]
    _save(folder / "encoder.ort", nodes, [("features", FLOAT, wide)], [("encoded", FLOAT, wide)])
    nodes = [
        helper.make_node("Cast", ["pos_offset"], ["position"], to=FLOAT),
        helper.make_node("Mul", ["position", "zero"], ["nothing"]),
        helper.make_node("Add", ["encoded", "nothing"], ["memory"]),
    ]
    inputs = [("encoded", FLOAT, wide), ("pos_offset", INT, [1])]
    _save(folder / "adapter.ort", nodes, inputs, [("memory", FLOAT, wide)], zero=np.float32(0))
    nodes = [helper.make_node("Unsqueeze", ["memory", "front"], [name]) for name in ("k_cross", "v_cross")]
    outputs = [(name, FLOAT, _CACHE) for name in ("k_cross", "v_cross")]
    _save(folder / "cross_kv.ort", nodes, [("memory", FLOAT, wide)], outputs, front=np.array([0, 1]))
    _write_decoder(folder / "decoder_kv.ort")
    sizes = {"encoder_dim": WIDTH, "decoder_dim": WIDTH, "d_model_frontend": WIDTH, "c1": WIDTH, "c2": WIDTH}
    sizes |= {"depth": 1, "nheads": 1, "head_dim": WIDTH, "frame_len": 80, "max_seq_len": 448}
    sizes |= {"vocab_size": len(TOKENS), "bos_id": 1, "eos_id": 2, "total_lookahead": LOOKAHEAD_FRAMES}
    (folder / "streaming_config.json").write_text(json.dumps(sizes))
    encoded = [token.encode() for token in TOKENS]
    (folder / "tokenizer.bin").write_bytes(b"".join(bytes([len(token)]) + token for token in encoded))
    return folder


def _write_frontend(path: Path) -> None:
    """A frame's features are its mean magnitude."""
    nodes = [
        helper.make_node("Abs", ["audio_chunk"], ["magnitude"]),
        helper.make_node("Reshape", ["magnitude", "frames"], ["framed"]),
        helper.make_node("ReduceMean", ["framed"], ["mean"], axes=[2], keepdims=1),
        helper.make_node("Expand", ["mean", "wide"], ["features"]),
        *(helper.make_node("Identity", [name], [f"{name}_out"]) for name, _, _ in _STATES),
    ]
    outputs: Values = [("features", FLOAT, [1, None, WIDTH]), *((f"{n}_out", t, s) for n, t, s in _STATES)]
    constants: dict[str, object] = {"frames": np.array([1, -1, 320]), "wide": np.array([1, 1, WIDTH])}
    _save(path, nodes, [("audio_chunk", FLOAT, [1, None]), *_STATES], outputs, **constants)


def _write_decoder(path: Path) -> None:
    """Token p is "tick" while fewer than p * TICK_FRAMES loud frames are told, then the end."""
    nodes = [
        helper.make_node("Shape", ["token"], ["token_shape"]),
        helper.make_node("Gather", ["token_shape", "one"], ["count"]),
        helper.make_node("Shape", ["k_self"], ["cache_shape"]),
        helper.make_node("Gather", ["cache_shape", "tick"], ["held"]),
        helper.make_node("Add", ["held", "count"], ["stop"]),
        helper.make_node("Range", ["held", "stop", "one"], ["positions"]),
        helper.make_node("Greater", ["out_k_cross", "loud"], ["sounds"]),
        helper.make_node("Cast", ["sounds"], ["ones"], to=INT),
        helper.make_node("ReduceSum", ["ones"], ["heard"], keepdims=0),
        helper.make_node("Mul", ["positions", "per_tick"], ["told"]),
        helper.make_node("Less", ["told", "heard"], ["more"]),
        helper.make_node("Where", ["more", "tick", "end"], ["next"]),
        helper.make_node("Unsqueeze", ["next", "first"], ["row"]),
        helper.make_node("OneHot", ["row", "vocabulary", "off_on"], ["logits"], axis=-1),
        helper.make_node("Reshape", ["count", "flat"], ["counts"]),
        helper.make_node("Concat", ["lead", "counts", "width"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["new"]),
        helper.make_node("Concat", ["k_self", "new"], ["out_k_self"], axis=3),
        helper.make_node("Concat", ["v_self", "new"], ["out_v_self"], axis=3),
    ]
    caches: Values = [(name, FLOAT, _CACHE) for name in ("k_self", "v_self", "out_k_cross", "out_v_cross")]
    outputs: Values = [
        ("logits", FLOAT, [1, None, len(TOKENS)]),
        ("out_k_self", FLOAT, _CACHE),
        ("out_v_self", FLOAT, _CACHE),
    ]
    constants: dict[str, object] = {
        "one": np.int64(1), "end": np.int64(2), "tick": np.int64(3), "loud": np.float32(LOUD),
        "per_tick": np.int64(TICK_FRAMES * WIDTH), "vocabulary": np.int64(len(TOKENS)), "first": np.array([0]),
        "off_on": np.array([0, 1], dtype=np.float32), "flat": np.array([1]), "lead": np.array([1, 1, 1]),
        "width": np.array([WIDTH]),
    }  # fmt: skip
    _save(path, nodes, [("token", INT, [1, None]), *caches], outputs, **constants)


def _save(path: Path, nodes: list[onnx.NodeProto], inputs: Values, outputs: Values, **constants: object) -> None:
    """Write one graph in onnxruntime's own format, the only one that the library opens."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.add_session_config_entry("session.save_model_format", "ORT")
    settings.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
