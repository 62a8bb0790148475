"""A Piper voice of the true structure and small layers: spoken in pieces it is the same voice, sooner."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.engines.conftest import ALREADY, NEVER
from voicebot.bench.shapes_piper import PiperShape, write_piper
from voicebot.core.audio import dbfs
from voicebot.engines import registry
from voicebot.engines.base import Cancel, TimesWords, WordsAt
from voicebot.engines.piper import LEVEL_DBFS
from voicebot.engines.piper_graph import FIRST_FRAMES, PiperGraph

SMALL = PiperShape(width=16, filter_width=16, layers=1, flows=1, flow_layers=1, predictor_layers=1, decoder_width=16)
FRAME = 256
"""Samples."""


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_piper(SMALL, tmp_path_factory.mktemp("voice") / "small.onnx")


def said(ids: int, speaker: int | None = None) -> dict[str, Any]:
    """The network's inputs for `ids` phonemes, three frames each."""
    numbers = np.random.default_rng(ids).integers(1, 50, (1, ids), dtype=np.int64)
    scales = np.array([0.667, 1.0, 0.8], dtype=np.float32)
    inputs = {"input": numbers, "input_lengths": np.array([ids], dtype=np.int64), "scales": scales}
    return inputs if speaker is None else inputs | {"sid": np.array([speaker], dtype=np.int64)}


def whole(path: Path, inputs: dict[str, Any]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0]).ravel()


def speak(graph: PiperGraph, inputs: dict[str, Any], cancel: Cancel = NEVER) -> list[np.ndarray]:
    return list(graph.sound(graph.frames(inputs)[0], inputs, cancel))


@pytest.mark.parametrize("ids", [1, 3, 6, 11, 40, 300])
def test_pieces_put_together_are_the_whole_to_the_last_bit_that_can_be_heard(voice: Path, ids: int) -> None:
    graph = PiperGraph(voice, use_cuda=False)
    assert graph.in_pieces
    together = np.concatenate(speak(graph, said(ids)))
    assert len(together) == 3 * ids * FRAME
    assert np.abs(together - whole(voice, said(ids))).max() < 1e-5


def test_the_first_piece_is_short_and_none_is_too_long_to_be_cancelled_in(voice: Path) -> None:
    graph = PiperGraph(voice, use_cuda=False)
    lengths = [len(piece) // FRAME for piece in speak(graph, said(400))]
    assert lengths[0] == FIRST_FRAMES
    assert sum(lengths) == 1200 and max(lengths) <= 180
    assert all(later <= 1.6 * sooner for sooner, later in pairwise(lengths[:-1]))
    assert speak(graph, said(400), ALREADY) == []


def test_a_voice_of_many_speakers_keeps_them_apart_in_pieces(voice: Path, tmp_path: Path) -> None:
    model = onnx.load(str(voice))
    (first,) = (
        node for node in model.graph.node if node.op_type == "Conv" and len(node.output) and _starts(node, model)
    )
    table = np.random.default_rng(1).normal(0, 1, (2, SMALL.decoder_width, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "speakers"))
    model.graph.input.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    after = list(model.graph.node).index(first) + 1
    plain, first.output[0] = first.output[0], "unconditioned"
    model.graph.node.insert(after, helper.make_node("Gather", ["speakers", "sid"], ["speaker"], axis=0))
    model.graph.node.insert(after + 1, helper.make_node("Add", ["unconditioned", "speaker"], [plain]))
    onnx.save(model, str(tmp_path / "two.onnx"))
    graph = PiperGraph(tmp_path / "two.onnx", use_cuda=False)
    assert graph.in_pieces
    heard = [np.concatenate(speak(graph, said(60, speaker), NEVER)) for speaker in (0, 1)]
    assert np.abs(heard[0] - heard[1]).max() > 0.01
    for speaker in (0, 1):
        assert np.abs(heard[speaker] - whole(tmp_path / "two.onnx", said(60, speaker))).max() < 1e-5


def _starts(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """Whether a convolution is the decoder's first: the one that makes as many channels as the decoder has."""
    sizes = {one.name: one.dims for one in model.graph.initializer}
    return list(sizes[node.input[1]]) == [SMALL.decoder_width, SMALL.width, 7]


def test_a_network_with_branches_that_take_from_around_them_is_cut_all_the_same(voice: Path, tmp_path: Path) -> None:
    """As PyTorch exports a squeeze of unknown shape; the scale that only the branch reads must come along."""
    model = onnx.load(str(voice))
    taken = next(node for node in model.graph.node if "scales" in node.input)
    taken.input[list(taken.input).index("scales")] = "chosen"
    same = helper.make_node("Identity", ["doubled"], ["inside"])
    branch = helper.make_graph([same], "branch", [], [helper.make_tensor_value_info("inside", TensorProto.FLOAT, [3])])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(0, helper.make_node("Add", ["scales", "scales"], ["doubled"]))
    choice = helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(1, choice)
    onnx.save(model, str(tmp_path / "branch.onnx"))
    graph = PiperGraph(tmp_path / "branch.onnx", use_cuda=False)
    assert graph.in_pieces
    heard = np.concatenate(speak(graph, said(60), NEVER))
    assert np.abs(heard - whole(tmp_path / "branch.onnx", said(60))).max() < 1e-5


def test_a_decoder_that_looks_too_far_is_found_out_and_used_whole(tmp_path: Path) -> None:
    far = PiperShape(**{**_fields(SMALL), "resblocks": ((3, (1, 2)), (5, (2, 6)), (7, (3, 60)))})
    path = write_piper(far, tmp_path / "far.onnx")
    graph = PiperGraph(path, use_cuda=False)
    assert graph.in_pieces
    graph.check(said(60))
    assert not graph.in_pieces
    (sound,) = speak(graph, said(60))
    assert np.abs(sound - whole(path, said(60))).max() < 1e-5


def _fields(shape: PiperShape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in shape.__dataclass_fields__}


def test_without_the_package_onnx_it_speaks_whole_clauses(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    graph = PiperGraph(voice, use_cuda=False)
    assert not graph.in_pieces
    (sound,) = speak(graph, said(40))
    assert np.array_equal(sound, whole(voice, said(40)))


def test_short_and_long_clauses_are_equally_loud_and_as_loud_as_the_other_voices(voice: Path) -> None:
    engine = registry.create("tts", f"piper://{voice}")
    engine.load()
    levels = [
        dbfs(np.concatenate(list(engine.synthesize(text, NEVER))))
        for text in ("Yes.", "It is ten past four.", "The train to Berlin leaves from platform nine at noon")
    ]
    assert levels == pytest.approx([LEVEL_DBFS] * 3, abs=2.0)
    engine.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two three", [0, 1, 2]),
        ("One two. Three, four five six seven eight.", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("It is in the year.", [0, 2, 3, 4]),
        ("2026", [0]),
        ("Yes.", [0]),
    ],
)
def test_a_voice_that_knows_its_phonemes_lengths_tells_when_it_says_which_word(
    voice: Path, tmp_path: Path, text: str, words: list[int]
) -> None:
    model = onnx.load(str(voice))
    for name, value in (("zero", 0.0), ("three", 2.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["ids", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "three"], ["width"]),
            helper.make_node("Ceil", ["width"], ["lengths"]),
        ]
    )
    onnx.save(model, str(tmp_path / "told.onnx"))
    (tmp_path / "told.onnx.json").write_text(Path(f"{voice}.json").read_text())
    engine = registry.create("tts", f"piper://{tmp_path / 'told.onnx'}")
    engine.load()
    assert isinstance(engine, TimesWords)
    parts = list(engine.synthesize_words(text, NEVER))
    starts = [start for part in parts if isinstance(part, WordsAt) for start in part.starts]
    length = sum(len(part) for part in parts if not isinstance(part, WordsAt))
    assert [number for number, _ in starts] == words
    times = [at for _, at in starts]
    assert times == sorted(set(times)) and 0 <= times[0] < 10 * FRAME and times[-1] < length
    assert all((at - times[0]) % (3 * FRAME) == 0 for at in times), "each phoneme lasts three frames"
    engine.close()
