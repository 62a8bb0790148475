"""Sentence embeddings, for a router that is trained on them and for the documents: any sentence-transformers model
exported to ONNX.

A folder holds `model.onnx` and `tokenizer.json`, as `voicebot models pull all-MiniLM-L6-v2` leaves them. The vectors of
the words are averaged and brought to length 1. Much slower than the router's own encoder: it takes milliseconds for
each turn, of the event loop for a router, of a lane for the documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voicebot.engines.base import Locality
from voicebot.errors import EngineUnavailable

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

Floats = npt.NDArray[np.float32]
MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
PULLED = "router"
"""The kind of these models in the manifest."""
MAX_TOKENS = 128
"""Longer texts are cut there."""
BATCH = 32


class Sentences:
    """A loaded model. One thread: turns are short, and the other cores have calls to serve."""

    def __init__(self, folder: Path) -> None:
        """Raises: EngineUnavailable."""
        self.name = folder.name
        for file in (MODEL, TOKENIZER):
            if not (folder / file).is_file():
                raise EngineUnavailable(
                    f"no {file} in {folder}; name a folder with {MODEL} and {TOKENIZER}, or pull one: "
                    "voicebot models pull all-MiniLM-L6-v2"
                )
        try:
            self._tokenizer = _tokenizer(folder / TOKENIZER)
            self._session = _session(folder / MODEL)
            self._inputs = {one.name for one in self._session.get_inputs()}
            self.size = int(self.encode("hello").shape[0])
        except Exception as error:  # onnxruntime's and tokenizers' errors share no base class but Exception
            raise EngineUnavailable(f"{folder} holds no sentence model that can be used: {error}") from error

    def encode(self, text: str) -> Floats:
        """float32[size] of length 1."""
        vector: Floats = self._together([text])[0]
        return vector

    def encode_all(self, texts: Sequence[str]) -> Floats:
        """float32[len(texts), size]; texts of like length together, so that little is padding."""
        found = np.zeros((len(texts), self.size), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            found[part] = self._together([texts[at] for at in part])
        return found

    def _together(self, texts: list[str]) -> Floats:
        tokens = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in tokens], np.int64)
        there = np.array([one.attention_mask for one in tokens], np.int64)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": there, "token_type_ids": np.zeros_like(ids)}
        words = self._session.run(None, {name: value for name, value in given.items() if name in self._inputs})[0]
        total = (words * there[:, :, None]).sum(1)
        return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9), np.float32)


class SentenceEngine:
    """A sentence model on a lane. `load` raises EngineUnavailable."""

    locality: Locality = "local"
    max_concurrency = 1

    def __init__(self, name: str, models_dir: Path) -> None:
        """As `open_sentences`."""
        self.name = f"sentences {Path(name).name}"
        self.folder = folder_of(name, models_dir)
        self._model: Sentences | None = None

    def load(self) -> None:
        self._model = Sentences(self.folder)

    def close(self) -> None:
        self._model = None

    @property
    def model(self) -> Sentences:
        """Once it is loaded."""
        assert self._model is not None, "the lane loads the engine before it gives it work"
        return self._model

    def digest(self) -> str:
        """Of the model's files: vectors of another model are no use to this one."""
        found = hashlib.sha256()
        for file in (MODEL, TOKENIZER):
            with (self.folder / file).open("rb") as opened:
                found.update(hashlib.file_digest(opened, "sha256").digest())
        return found.hexdigest()


def open_sentences(name: str, models_dir: Path) -> Sentences:
    """`name`: a folder, or the name of a pulled model. Raises: EngineUnavailable."""
    return Sentences(folder_of(name, models_dir))


def folder_of(name: str, models_dir: Path) -> Path:
    pulled = models_dir / PULLED / name
    return pulled if pulled.is_dir() else Path(name)


def pulled_sentences(models_dir: Path) -> list[str]:
    """Names of those that were pulled."""
    return sorted(file.parent.name for file in (models_dir / PULLED).glob(f"*/{MODEL}"))


def _tokenizer(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def _session(file: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
