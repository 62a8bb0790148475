"""Tiny models with random weights, in the real file formats: the drivers' own loading code runs on them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import ctranslate2
import gguf
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from voicebot.engines.sentences import MODEL, TOKENIZER

CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
Array = NDArray[np.float32]


def write_gguf(path: Path, *, chat_template: str | None = CHAT_TEMPLATE, width: int = 32, context: int = 1024) -> Path:
    """A two-layer Llama over bytes. Its replies are noise, but the same noise each time."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary = byte_tokens(writer)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, shape in _llama_shapes(vocabulary, width).items():
        writer.add_tensor(name, weights(shape, name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def byte_tokens(writer: gguf.GGUFWriter) -> int:
    """A tokenizer of one token a byte, and three special ones; returns how many there are."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*_BYTES, *special]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(_BYTES) + [gguf.TokenType.CONTROL] * len(special))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(len(_BYTES))
    writer.add_eos_token_id(len(_BYTES) + 2)
    writer.add_add_bos_token(False)
    return len(tokens)


def _llama_shapes(vocabulary: int, width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, width), "output_norm.weight": (width,)}
    for layer in range(2):
        block = {f"attn_{part}.weight": (width, width) for part in ("q", "k", "v", "output")}
        block |= {"ffn_gate.weight": (2 * width, width), "ffn_up.weight": (2 * width, width)}
        block |= {"ffn_down.weight": (width, 2 * width), "attn_norm.weight": (width,), "ffn_norm.weight": (width,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def weights(shape: tuple[int, ...], seed: str, scale: float = 0.2) -> Array:
    if len(shape) == 1:
        return np.ones(shape, dtype=np.float32)
    return np.random.default_rng(list(seed.encode())).normal(0, scale, shape).astype(np.float32)


def write_whisper(folder: Path, *, width: int = 32) -> Path:
    """An English-only Whisper of one layer each side, in CTranslate2's format, with a byte tokenizer."""
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>"]
    special += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    tokens = [*_BYTES, *special, *stamps]
    spec = ctranslate2.specs.WhisperSpec(1, 2, 1, 2)
    _fill_side(spec.encoder, width, 1500)
    _fill_side(spec.decoder, width, 448)
    for conv, channels in ((spec.encoder.conv1, 80), (spec.encoder.conv2, width)):
        conv.weight, conv.bias = weights((width, channels, 3), "conv"), np.zeros(width, dtype=np.float32)
    spec.decoder.embeddings.weight = weights((len(tokens), width), "tokens")
    spec.decoder.embeddings.weight[-len(stamps) :] = 0  # As a trained one, it says no times when it is not asked to.
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.alignment_heads, spec.config.lang_ids = [(0, 0)], [tokens.index("<|en|>")]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    _write_tokenizer(folder / "tokenizer.json", [*special, *stamps])
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80}))
    return folder


def _fill_side(side: object, width: int, positions: int) -> None:
    side.position_encodings.encodings = weights((positions, width), "positions")  # type: ignore[attr-defined]
    _fill_norm(side.layer_norm, width)  # type: ignore[attr-defined]
    for layer in side.layer:  # type: ignore[attr-defined]
        _fill_attention(layer.self_attention, width, [3 * width, width])
        if hasattr(layer, "attention"):
            _fill_attention(layer.attention, width, [width, 2 * width, width])
        _fill_norm(layer.ffn.layer_norm, width)
        _fill_linear(layer.ffn.linear_0, (2 * width, width))
        _fill_linear(layer.ffn.linear_1, (width, 2 * width))


def _fill_attention(attention: object, width: int, outputs: list[int]) -> None:
    _fill_norm(attention.layer_norm, width)  # type: ignore[attr-defined]
    for linear, rows in zip(attention.linear, outputs, strict=True):  # type: ignore[attr-defined]
        _fill_linear(linear, (rows, width))


def _fill_linear(linear: object, shape: tuple[int, int]) -> None:
    linear.weight = weights(shape, "linear")  # type: ignore[attr-defined]
    linear.bias = np.zeros(shape[0], dtype=np.float32)  # type: ignore[attr-defined]


def _fill_norm(norm: object, width: int) -> None:
    norm.gamma = np.ones(width, dtype=np.float32)  # type: ignore[attr-defined]
    norm.beta = np.zeros(width, dtype=np.float32)  # type: ignore[attr-defined]


def _write_tokenizer(path: Path, special: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(_BYTES)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))


def write_piper(path: Path, *, sample_rate_hz: int = 16_000) -> Path:
    """A voice that hums: each phoneme id becomes 512 samples of a tone, after 200 ms of silence."""
    tone = (0.3 * np.sin(np.arange(512) * 2 * np.pi * 200 / sample_rate_hz)).astype(np.float32).reshape(1, 512)
    lead = np.zeros((1, sample_rate_hz // 5), dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("Unsqueeze", ["ones", "last"], ["column"]),
        helper.make_node("Mul", ["column", "tone"], ["tones"]),
        helper.make_node("Reshape", ["tones", "flat"], ["speech"]),
        helper.make_node("Concat", ["lead", "speech"], ["row"], axis=1),
        helper.make_node("ReduceSum", ["scales"], ["scale"], keepdims=0),
        helper.make_node("Cast", ["input_lengths"], ["lengths"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["lengths"], ["length"], keepdims=0),
        helper.make_node("Add", ["scale", "length"], ["used"]),
        helper.make_node("Mul", ["used", "zero"], ["nothing"]),
        helper.make_node("Add", ["row", "nothing"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "last"], ["output"]),
    ]
    constants = {"zero": 0.0, "one": 1.0, "tone": tone, "lead": lead}
    initial = [onnx.numpy_helper.from_array(np.asarray(v, dtype=np.float32), name) for name, v in constants.items()]
    initial.append(onnx.numpy_helper.from_array(np.array([-1], dtype=np.int64), "last"))
    initial.append(onnx.numpy_helper.from_array(np.array([1, -1], dtype=np.int64), "flat"))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "voice", inputs, outputs, initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    Path(f"{path}.json").write_text(json.dumps(_piper_config(sample_rate_hz)))
    return path


def _piper_config(sample_rate_hz: int) -> dict[str, object]:
    symbols = "_^$ abcdefghijklmnopqrstuvwxyzæðŋɐɑɔəɚɛɜɡɪɹʃʊʌʒˈˌːθɾ.,!?"
    return {
        "audio": {"sample_rate": sample_rate_hz},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "num_symbols": len(symbols),
        "num_speakers": 1,
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": {symbol: [index] for index, symbol in enumerate(symbols)},
    }


def write_sentences(folder: Path, words: Collection[str], size: int, like: Mapping[str, str] | None = None) -> Path:
    """A sentence model that knows `words`: each is a fixed random vector, an unknown one is none. `like`: word -> the
    one that means the same. It takes no token types, as some exports do."""
    folder.mkdir(parents=True)
    like = like or {}
    listed = ["[PAD]", "[UNK]", *sorted({*words, *like})]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(listed)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER))
    table = np.random.default_rng(3).normal(size=(len(listed), size)).astype(np.float32)
    table[:2] = 0
    for word, other in like.items():
        table[listed.index(word)] = table[listed.index(other)]
    shape = ["batch", "words"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, size])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / MODEL))
    return folder
