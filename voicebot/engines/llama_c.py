"""llama.cpp's C interface, as far as the scheduler needs it: a model, its vocabulary, and a context of many sequences.

All of it belongs to one thread. Positions and sequence ids are ints, logits float32[vocabulary].
"""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.errors import EngineBadOutput, EngineUnavailable

Logits = npt.NDArray[np.float32]
MAX_PIECE_BYTES = 256
NO_ROOM = 1
"""What llama_decode returns when no cells are free for a batch; nothing has changed then. Source: llama.h."""
_FLASH_ATTENTION_AUTO = -1
_WAIT_POLICY, _SPINS = "OMP_WAIT_POLICY", ("GOMP_SPINCOUNT", "1000")
"""How often OpenMP's threads look for each other before they sleep: some 20 us. If they slept at once, two would say
fewer tokens than one, for they wait for each other some 500 times in a token; if they never slept, they would take the
cores from everything else (ADR 69)."""
_RUNNABLE = Path("/proc/loadavg")
"""Its fourth field begins with how many threads of the machine want a core at this moment. Source: proc(5)."""
LOOKS, LOOKS_APART_S = 4, 0.0001
_GGML_ERROR, _GGML_CONTINUE = 4, 5
"""Source: enum ggml_log_level in ggml.h."""


@dataclass(frozen=True, slots=True)
class Row:
    """One token of a batch. `wanted`: its logits are to be kept."""

    token: int
    position: int
    sequence: int
    wanted: bool


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """`cells`: tokens that all sequences hold together. `batch`: rows of one decode at most."""

    cells: int
    sequences: int
    batch: int
    threads: int = 0
    """0: half of the cores, and more while nobody else wants them; see `Context.use_threads`."""


class Model:
    """The weights and the vocabulary of a GGUF file."""

    def __init__(self, path: Path, gpu_layers: int) -> None:
        """Raises: EngineUnavailable, with llama.cpp's own last words."""
        self._cpp = _library()
        _log.lines.clear()
        params = self._cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 0x7FFFFFFF
        self.pointer: Any = self._cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.pointer:
            said = "; ".join(_log.lines) or "no reason given"
            raise EngineUnavailable(f"llama.cpp cannot load {path}: {said}. Pull the model again or use another")
        self.vocab = self._cpp.llama_model_get_vocab(self.pointer)
        self.vocabulary = int(self._cpp.llama_vocab_n_tokens(self.vocab))
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        """Idempotent. The contexts of the model are closed before."""
        pointer, self.pointer = self.pointer, None
        if pointer:
            self._cpp.llama_model_free(pointer)

    def meta(self, key: str) -> str:
        """A value of the file's metadata as text, "" where there is none."""
        size = self._cpp.llama_model_meta_val_str(self.pointer, key.encode(), ctypes.create_string_buffer(1), 1)
        if size <= 0:
            return ""
        buffer = ctypes.create_string_buffer(size + 1)
        self._cpp.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", errors="replace")

    def special_text(self, name: str) -> str:
        """The text of the token "bos" or "eos", "" where the model has none."""
        token = getattr(self._cpp, f"llama_vocab_{name}")(self.vocab)
        text: bytes = self._cpp.llama_vocab_get_text(self.vocab, token) if token >= 0 else b""
        return text.decode("utf-8", errors="replace")

    def tokenize(self, text: str, *, add_bos: bool, special: bool) -> list[int]:
        """`special`: control tokens written in the text are taken for such. Raises: EngineBadOutput."""
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 2  # no token is shorter than a byte; a beginning and an end may be added
        buffer = (ctypes.c_int32 * room)()
        count = self._cpp.llama_tokenize(self.vocab, raw, len(raw), buffer, room, add_bos, special)
        if count < 0:
            raise EngineBadOutput(f"llama.cpp could not tokenize {len(raw)} bytes into {room} tokens")
        return list(buffer[:count])

    def is_end(self, token: int) -> bool:
        return bool(self._cpp.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        return bool(self._cpp.llama_vocab_is_control(self.vocab, token))

    def piece(self, token: int) -> bytes:
        """The token's bytes, those of a control token included."""
        if token not in self._pieces:
            buffer = ctypes.create_string_buffer(MAX_PIECE_BYTES)
            size = self._cpp.llama_token_to_piece(self.vocab, token, buffer, MAX_PIECE_BYTES, 0, True)
            self._pieces[token] = buffer.raw[: max(0, size)]
        return self._pieces[token]


class Context:
    """The key-value cache and the computation: one pool of cells that all sequences share.

    Unified, so that copying a prefix to another sequence costs nothing and rows of any sequences go in one batch.
    """

    def __init__(self, model: Model, options: ContextOptions) -> None:
        """Raises: EngineUnavailable."""
        self._cpp = _library()
        self._vocabulary = model.vocabulary
        self.cores = os.cpu_count() or 1
        self.threads = options.threads or max(1, self.cores // 2)
        self._most = (self.threads, self.threads)
        params = self._cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = options.cells, options.sequences
        params.n_batch = params.n_ubatch = options.batch
        params.n_threads = params.n_threads_batch = self.threads
        params.kv_unified = True
        params.flash_attn_type = _FLASH_ATTENTION_AUTO
        self._pointer: Any = self._cpp.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            said = "; ".join(_log.lines) or "no reason given"
            raise EngineUnavailable(f"llama.cpp cannot make a context of {options.cells} cells: {said}; lower cells")
        self._others = _Others()
        self._memory = self._cpp.llama_get_memory(self._pointer)
        self.cells = int(self._cpp.llama_n_ctx(self._pointer))
        self._rows = _Rows(self._cpp, options.batch)

    def close(self) -> None:
        """Idempotent."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            self._cpp.llama_free(pointer)
            self._others.close()

    def use_threads(self, alone: int, together: int) -> None:
        """How many threads decode one row, and how many several, at most: no more than find a core that nobody else
        wants as a decode begins, but never fewer than `threads`."""
        self._most = (alone, together)

    def decode(self, rows: Sequence[Row]) -> bool:
        """Evaluate at most `batch` rows. False: no cells are free for them, and nothing has changed.

        Raises: EngineBadOutput; what the sequences hold is then unknown.
        """
        free = max(self.threads, self.cores - self._others.count())
        self._cpp.llama_set_n_threads(self._pointer, *(min(most, free) for most in self._most))
        code = self._cpp.llama_decode(self._pointer, self._rows.fill(rows))
        if code not in (0, NO_ROOM):
            raise EngineBadOutput(f"llama.cpp could not evaluate {len(rows)} tokens (llama_decode returned {code})")
        return bool(code == 0)

    def logits(self, row: int) -> Logits:
        """Of a row of the last batch that was wanted. Valid until the next decode."""
        return np.ctypeslib.as_array(self._cpp.llama_get_logits_ith(self._pointer, row), (self._vocabulary,))

    def remove(self, sequence: int, start: int) -> bool:
        """Forget a sequence from position `start` on. False: this model cannot forget a part."""
        return bool(self._cpp.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def copy(self, source: int, target: int, stop: int) -> None:
        """Let an empty sequence share the first `stop` positions of another; -1: all, for models that keep a state."""
        self._cpp.llama_memory_seq_cp(self._memory, source, target, 0 if stop >= 0 else -1, stop)

    def clear(self) -> None:
        """Forget everything."""
        self._cpp.llama_memory_clear(self._memory, True)


class _Others:
    """Threads of anybody that want a core, but for the one that asks. Where the system does not say, there are none."""

    def __init__(self) -> None:
        self._file = os.open(_RUNNABLE, os.O_RDONLY) if _RUNNABLE.exists() else None

    def count(self) -> int:
        """The fewest of a few looks: whoever has just been told of a token is done with it in no time."""
        fewest = self._look()
        for _ in range(LOOKS - 1):
            if not fewest:
                break
            time.sleep(LOOKS_APART_S)
            fewest = min(fewest, self._look())
        return fewest

    def _look(self) -> int:
        if self._file is None:
            return 0
        return int(os.pread(self._file, 64, 0).split()[3].partition(b"/")[0]) - 1

    def close(self) -> None:
        """Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class _Rows:
    """A llama_batch over arrays of our own, filled by the column."""

    def __init__(self, cpp: Any, size: int) -> None:
        self._tokens, self._positions, self._sequences = (np.zeros(size, dtype=np.int32) for _ in range(3))
        self._ones, self._wanted = np.ones(size, dtype=np.int32), np.zeros(size, dtype=np.int8)
        int32 = ctypes.POINTER(ctypes.c_int32)
        base, width = self._sequences.ctypes.data, self._sequences.itemsize
        self._pointers = (int32 * size)(*(ctypes.cast(base + index * width, int32) for index in range(size)))
        self._batch = cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(int32),
            embd=None,
            pos=self._positions.ctypes.data_as(int32),
            n_seq_id=self._ones.ctypes.data_as(int32),
            seq_id=self._pointers,
            logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, rows: Sequence[Row]) -> Any:
        count = len(rows)
        self._tokens[:count] = [row.token for row in rows]
        self._positions[:count] = [row.position for row in rows]
        self._sequences[:count] = [row.sequence for row in rows]
        self._wanted[:count] = [row.wanted for row in rows]
        self._batch.n_tokens = count
        return self._batch


class _ErrorLog:
    """llama.cpp's log: silent, but its last error lines are kept for our own messages."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=4)
        self._level = 0

    def write(self, level: int, text: bytes, _: Any) -> None:
        self._level = self._level if level == _GGML_CONTINUE else level
        if self._level == _GGML_ERROR and (line := text.decode(errors="replace").strip()):
            self.lines.append(line)


_log = _ErrorLog()


def _library() -> Any:
    """Raises: EngineUnavailable where it is not installed."""
    if _WAIT_POLICY not in os.environ:
        os.environ.setdefault(*_SPINS)  # Read once, when the library is loaded.
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(f"llama:// needs the package llama-cpp-python: {error}") from error
    _capture_log(llama_cpp)
    return llama_cpp


@functools.cache
def _capture_log(cpp: Any) -> Any:
    """Route llama.cpp's log to `_log`. The cache keeps the callback alive: C holds only a pointer to it."""
    callback = cpp.llama_log_callback(_log.write)
    cpp.llama_log_set(callback, None)
    cpp.llama_backend_init()
    return callback
