"""A reply held to a JSON schema: llama.cpp's grammar, made by llama-cpp-python's own converter.

Raw ctypes, because the library's own wrapper serves its high-level generation only. A grammar that has read a token
which it does not allow would end the process: `accept` is for tokens that `allows` or `restrict` let through.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.engines.llama_c import Logits
from voicebot.errors import EngineBadOutput

ROOT = b"root"


class Grammar:
    """The grammar's state within one reply. Thread: the model's owner. `close` it, or C memory is lost."""

    def __init__(self, vocab: Any, schema: Mapping[str, Any]) -> None:
        """`vocab`: llama.cpp's pointer. Raises: EngineBadOutput for a schema that has no grammar."""
        import llama_cpp

        self._cpp = llama_cpp
        self._sampler = llama_cpp.llama_sampler_init_grammar(vocab, _grammar_text(schema).encode(), ROOT)
        if not self._sampler:
            raise EngineBadOutput(f"llama.cpp does not take the grammar of this JSON schema: {_shown(schema)}")

    def allows(self, token: int) -> bool:
        """Cheap: one token is tried, not the vocabulary."""
        return bool(np.isfinite(self._apply(np.array([token]), np.zeros(1, dtype=np.float32)))[0])

    def restrict(self, logits: Logits) -> Logits:
        """A copy with -inf for every token that the grammar does not allow. Milliseconds for a large vocabulary."""
        return self._apply(np.arange(len(logits)), logits)

    def accept(self, token: int) -> None:
        """The reply goes on with `token`."""
        self._cpp.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Idempotent."""
        sampler, self._sampler = self._sampler, None
        if sampler:
            self._cpp.llama_sampler_free(sampler)

    def _apply(self, tokens: npt.NDArray[np.int64], logits: Logits) -> Logits:
        cpp = self._cpp
        rows = np.zeros(len(tokens), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        rows["id"], rows["logit"] = tokens, logits
        array = cpp.llama_token_data_array(
            data=rows.ctypes.data_as(cpp.llama_token_data_p), size=len(rows), selected=-1, sorted=False
        )
        cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        kept: Logits = rows["logit"].copy()
        return kept


def _grammar_text(schema: Mapping[str, Any]) -> str:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        text: str = json_schema_to_gbnf(json.dumps(schema))
    except Exception as error:  # the converter raises whatever its assertions and look-ups raise
        said = f"{type(error).__name__}: {error}"
        raise EngineBadOutput(f"no grammar can be made of this JSON schema ({said}): {_shown(schema)}") from error
    return text


def _shown(schema: Mapping[str, Any]) -> str:
    return repr(dict(schema))[:200]
