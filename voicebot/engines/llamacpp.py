"""Language models in GGUF files, run by llama.cpp through llama-cpp-python.

One thread owns the model. The KV cache keeps the last prompt and reply: the next prompt is evaluated only from where
it differs, so a call that goes on, or a draft that is asked again, costs its new tokens alone.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Locality, Message, Sampling, Score
from voicebot.engines.llama_copying import COPIED, COPIED_KEY, Copying, Pieces, examples_of
from voicebot.engines.llama_grammar import Grammar, Logits
from voicebot.engines.llama_sampling import Sampler, logprob
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.tool_calls import PYTHON_TAG, THINK_OPEN, ReplyParser
from voicebot.errors import EngineBadOutput, EngineUnavailable

if TYPE_CHECKING:
    from llama_cpp import Llama

TEMPLATE_KEY = "tokenizer.chat_template"
MAX_PIECE_BYTES = 256
_GGML_ERROR, _GGML_CONTINUE = 4, 5
"""Source: enum ggml_log_level in ggml.h."""


class LlamaLlm:
    """`llama:///abs/path.gguf?ctx=4096`, or a path relative to the working or the models directory."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        ctx: int = Field(4096, ge=64)
        """Tokens of prompt and reply together."""
        threads: int = Field(0, ge=0)
        """0: half of the cores, llama.cpp's own choice."""
        batch: int = Field(512, ge=1)
        gpu_layers: int = Field(0, ge=-1)
        """-1: all."""
        seed: int = Field(0, ge=0)
        """For sampling at a temperature over 0 when the request names none."""
        enable_thinking: bool = False
        """Handed to the chat template (Qwen3): thinking aloud delays the first word."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._llama: Llama | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        """Raises: EngineUnavailable for a missing or broken file, or one without a chat template."""
        self.close()
        path = self._spec.find(".gguf")
        if not path.is_file():
            raise EngineUnavailable(f"{self._spec.url}: no GGUF file at {path}; pull the model or fix the path")
        self._llama = _open(path, self._options)
        try:
            self._prepare(self._llama, path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        llama, self._llama = self._llama, None
        if llama is not None:
            llama.close()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        """Thread: the owner's, one reply at a time."""
        llama = self._llama
        assert llama is not None, "load() comes before generate()"
        prompt, thinking = self._tokenize(llama, request)
        cached = self._keep_prefix(llama, prompt)
        if not self._prefill(llama, prompt[cached:], cancel):
            return
        grammar = Grammar(self._vocab, request.schema) if request.schema is not None else None
        sampler = Sampler(request.sampling, self._options.seed, grammar or self._copying(request))
        reply = _Reply(self, llama, sampler, min(llama.n_ctx() - len(prompt), request.sampling.max_tokens))
        tools = bool(request.tools) and grammar is None
        parser = ReplyParser(tools=tools, stop=request.sampling.stop, thinking=thinking and grammar is None)
        try:
            for text in reply.pieces(cancel):
                yield from parser.feed(text)
                if parser.stopped:
                    reply.finish_reason = "stop"
                    break
        finally:
            sampler.close()
        if cancel.is_set():
            return
        yield from parser.finish()
        yield reply.done(len(prompt), cached, called_tools=parser.calls > 0)

    def score(self, request: LlmRequest, choices: Sequence[str], cancel: Cancel) -> Iterator[Score]:
        """Thread: the owner's."""
        llama = self._llama
        assert llama is not None, "load() comes before score()"
        prompt, _ = self._tokenize(llama, request)
        answers = [llama.tokenize(text.encode(), add_bos=False, special=False) for text in choices]
        for tokens, text in zip(answers, choices, strict=True):
            if not tokens:
                raise EngineBadOutput(f"{text!r} has no tokens, so {self.name} cannot score it; leave it out")
        for tokens in answers:
            logprobs = []
            for index, token in enumerate(tokens):
                context = [*prompt, *tokens[:index]]
                if not self._prefill(llama, context[self._keep_prefix(llama, context) :], cancel):
                    return
                logprobs.append(logprob(_logits(llama), token))
            yield Score(tuple(logprobs))

    def _copying(self, request: LlmRequest) -> Copying | None:
        """What holds arguments to the caller's words, where the model was trained to copy them."""
        if self._pieces is None:
            return None
        turns = [message.text for message in request.messages if message.role == "user"]
        return Copying(self._pieces, turns, examples_of(request.tools))

    def _prepare(self, llama: Llama, path: Path) -> None:
        """Build the chat template and do one dummy reply."""
        import llama_cpp
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        template = llama.metadata.get(TEMPLATE_KEY)
        if not template:
            raise EngineUnavailable(
                f"{path} has no chat template ({TEMPLATE_KEY}), so it is not a chat model; use an instruct model, or "
                "write the template into the file with gguf_new_metadata.py --chat-template"
            )
        self._vocab = llama._model.vocab
        self._cpp = llama_cpp
        self._bos = self._token_text(llama, llama.token_bos())
        copies = llama.metadata.get(COPIED_KEY) == COPIED
        self._pieces = Pieces([self.piece(token) for token in range(llama.n_vocab())]) if copies else None
        self._format = Jinja2ChatFormatter(template, self._token_text(llama, llama.token_eos()), self._bos)
        dummy = LlmRequest([Message("user", "hello")], sampling=Sampling(max_tokens=1))
        for token in self._tokenize(llama, dummy)[0][:1]:
            llama.eval([token])
        llama.reset()  # type: ignore[no-untyped-call]

    def _token_text(self, llama: Llama, token: int) -> str:
        return llama._model.token_get_text(token) if token >= 0 else ""

    def _tokenize(self, llama: Llama, request: LlmRequest) -> tuple[list[int], bool]:
        """The prompt's tokens, and whether the template has opened a think span at its end."""
        import jinja2

        try:
            text = self._format(
                messages=[_template_message(message) for message in request.messages],  # type: ignore[misc]
                tools=list(request.tools) or None,  # type: ignore[arg-type]
                enable_thinking=self._options.enable_thinking,
            ).prompt
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise EngineBadOutput(f"the chat template of {self.name} rejects this prompt: {error}") from error
        add_bos = not (self._bos and text.startswith(self._bos))
        tokens = llama.tokenize(text.encode("utf-8", errors="replace"), add_bos=add_bos, special=True)
        if len(tokens) >= llama.n_ctx():
            raise EngineBadOutput(
                f"the prompt of {len(tokens)} tokens does not fit {self.name} with ctx={llama.n_ctx()}; "
                "shorten the history or raise ctx"
            )
        return tokens, text.rstrip().endswith(THINK_OPEN)

    def _keep_prefix(self, llama: Llama, prompt: Sequence[int]) -> int:
        """Drop what the cache holds past the common prefix; returns how many prompt tokens stay.

        At least one token is evaluated anew, because its logits start the reply.
        """
        held = llama._input_ids[: min(llama.n_tokens, len(prompt) - 1)]
        differs = np.flatnonzero(held != np.asarray(prompt[: len(held)], dtype=held.dtype))
        keep = int(differs[0]) if len(differs) else len(held)
        if keep and keep < llama.n_tokens and not llama._ctx.kv_cache_seq_rm(-1, keep, -1):
            keep = 0  # a recurrent model cannot forget only a part
        if keep == 0:
            llama.reset()  # type: ignore[no-untyped-call]
        llama.n_tokens = keep
        return keep

    def _prefill(self, llama: Llama, tokens: Sequence[int], cancel: Cancel) -> bool:
        """Evaluate the rest of the prompt, a batch at a time; False if cancelled before its end."""
        for start in range(0, len(tokens), self._options.batch):
            if cancel.is_set():
                return False
            self.evaluate(llama, tokens[start : start + self._options.batch])
        return not cancel.is_set()

    def evaluate(self, llama: Llama, tokens: Sequence[int]) -> None:
        """Raises: EngineBadOutput. The cache is dropped then, so that the next prompt starts clean."""
        try:
            llama.eval(tokens)
        except RuntimeError as error:
            llama.reset()  # type: ignore[no-untyped-call]
            raise EngineBadOutput(f"llama.cpp could not evaluate {len(tokens)} tokens: {error}") from error

    def is_end(self, token: int) -> bool:
        return bool(self._cpp.llama_vocab_is_eog(self._vocab, token))

    def piece(self, token: int) -> bytes:
        """The token's bytes. Control tokens are not text, but for the tag that begins a Llama 3 tool call."""
        buffer = ctypes.create_string_buffer(MAX_PIECE_BYTES)
        size = self._cpp.llama_token_to_piece(self._vocab, token, buffer, MAX_PIECE_BYTES, 0, True)
        text = buffer.raw[: max(0, size)]
        control = self._cpp.llama_vocab_is_control(self._vocab, token)
        return text if not control or text == PYTHON_TAG.encode() else b""


class _Reply:
    """The tokens of one reply, drawn and counted."""

    def __init__(self, engine: LlamaLlm, llama: Llama, sampler: Sampler, limit: int) -> None:
        """`limit`: tokens at most."""
        self._engine = engine
        self._llama = llama
        self._sampler = sampler
        self._limit = limit
        self.finish_reason = "length"

    def pieces(self, cancel: Cancel) -> Iterator[str]:
        """Text as tokens complete it: a character split over tokens comes whole. Ends early when cancelled."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for count in range(self._limit):
            token = self._draw()
            if self._engine.is_end(token):
                self.finish_reason = "stop"
                break
            if text := decoder.decode(self._engine.piece(token)):
                yield text
            if cancel.is_set():
                return
            if count + 1 < self._limit:
                self._engine.evaluate(self._llama, [token])
        if text := decoder.decode(b"", final=True):
            yield text

    def done(self, prompt_tokens: int, cached_tokens: int, *, called_tools: bool) -> LlmDone:
        logprobs = self._sampler.logprobs or [math.nan]
        return LlmDone(
            "tool_calls" if called_tools else "stop" if self.finish_reason == "stop" else "length",
            prompt_tokens,
            cached_tokens,
            len(self._sampler.logprobs),
            sum(logprobs) / len(logprobs),
            min(logprobs),
        )

    def _draw(self) -> int:
        return self._sampler.draw(_logits(self._llama))


def _logits(llama: Llama) -> Logits:
    """Of the last token evaluated: float32[vocabulary]."""
    context: Any = llama._ctx
    return np.ctypeslib.as_array(context.get_logits(), (llama.n_vocab(),))


def _template_message(message: Message) -> dict[str, Any]:
    """A message as Hugging Face chat templates expect it: tool arguments are objects, not JSON text."""
    fields: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        fields["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    return fields


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


@functools.cache
def _capture_log() -> Any:
    """Route llama.cpp's log to `_log`. The cache keeps the callback alive: C holds only a pointer to it."""
    import llama_cpp

    callback = llama_cpp.llama_log_callback(_log.write)
    llama_cpp.llama_log_set(callback, None)
    return callback


def _open(path: Path, options: LlamaLlm.Options) -> Llama:
    """Raises: EngineUnavailable, with llama.cpp's own last words."""
    import jinja2

    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(f"llama:// needs the package llama-cpp-python: {error}") from error
    _capture_log()
    _log.lines.clear()
    try:
        return llama_cpp.Llama(
            str(path),
            n_ctx=options.ctx,
            n_batch=options.batch,
            n_threads=options.threads or None,
            n_threads_batch=options.threads or None,
            n_gpu_layers=options.gpu_layers,
            verbose=False,
        )
    except jinja2.TemplateError as error:  # llama-cpp-python compiles the template as it loads
        raise EngineUnavailable(f"the chat template of {path} is not valid Jinja: {error}") from error
    except (ValueError, RuntimeError, AssertionError, OSError) as error:
        said = "; ".join(_log.lines) or str(error)
        raise EngineUnavailable(f"llama.cpp cannot load {path}: {said}. Pull the model again or use another") from error
