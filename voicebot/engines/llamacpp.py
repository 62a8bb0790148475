"""Language models in GGUF files, run by llama.cpp: one thread decodes the replies of all calls.

The driver writes prompts by the model's chat template and puts requests to the scheduler (`llama_batch`), which decodes
them together and keeps each call's prompt in the key-value cache (`llama_slots`): a call that goes on, or a draft that
is asked again, costs its new tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from voicebot.engines.base import Cancel, LlmChunk, LlmRequest, Locality, Message, Sampling, Score
from voicebot.engines.llama_batch import Limits, Scheduler, Underway
from voicebot.engines.llama_c import Context, ContextOptions, Model, Row
from voicebot.engines.llama_copying import COPIED, COPIED_KEY, Copying, Pieces, examples_of
from voicebot.engines.llama_grammar import Grammar
from voicebot.engines.llama_pace import choose_threads, fewest_together
from voicebot.engines.llama_sampling import Sampler
from voicebot.engines.llama_slots import Slots
from voicebot.engines.llama_tasks import Generation, Scoring, Task, Vocabulary
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.tool_calls import THINK_OPEN, ReplyParser
from voicebot.errors import EngineBadOutput, EngineUnavailable

TEMPLATE_KEY = "tokenizer.chat_template"
MORE_WORDS = "\ue000"
"""Stands for words that are still to come: a character of nobody's (private use), so that a template leaves it be."""
BRANCHES = 8
"""Sequences kept for answers that are weighed: so many at once."""


class LlamaLlm:
    """`llama:///abs/path.gguf?ctx=4096`, or a path relative to the working or the models directory."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        ctx: int = Field(4096, ge=64)
        """Tokens of prompt and reply together, for one request."""
        cells: int = Field(0, ge=0)
        """Tokens that the cache holds of all calls together; 0: twice `ctx`."""
        calls: int = Field(8, ge=1, le=64)
        """Requests that are decoded together."""
        sequences: int = Field(24, ge=1, le=200)
        """Prompts kept in the cache, of requests under way and of idle calls."""
        threads: int = Field(0, ge=0)
        """0: half of the cores, and all where nobody else wants them and they are faster, which is measured."""
        batch: int = Field(128, ge=1, le=2048)
        """Prompt tokens evaluated in one step; a cancel waits so long at most."""
        chunk: int = Field(32, ge=1)
        """The same while replies are under way, which wait so long for their next token."""
        gpu_layers: int = Field(0, ge=-1)
        """-1: all."""
        seed: int = Field(0, ge=0)
        """For sampling at a temperature over 0 when the request names none."""
        enable_thinking: bool = False
        """Handed to the chat template (Qwen3): thinking aloud delays the first word."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self.batch_size = options.calls
        self._loaded: _Loaded | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name

    @property
    def caches_prompts(self) -> bool:
        """A model that cannot forget the end of what it has read could not go on from there with other words."""
        return self._loaded is not None and self._loaded.slots.truncates

    def load(self) -> None:
        """Raises: EngineUnavailable for a missing or broken file, or one without a chat template."""
        self.close()
        path = self._spec.find(".gguf")
        if not path.is_file():
            raise EngineUnavailable(f"{self._spec.url}: no GGUF file at {path}; pull the model or fix the path")
        model = Model(path, self._options.gpu_layers)
        try:
            self._loaded = _prepare(model, path, self._options)
            for _ in self.generate(LlmRequest([Message("user", "hello")], sampling=Sampling(max_tokens=1)), _Never()):
                pass  # the first reply of all reserves buffers
            self._loaded.forget()
        except BaseException:
            self.close()
            model.close()
            raise

    def close(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()

    def step(self) -> bool:
        return self._need().scheduler.step()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Underway[LlmChunk]:
        """Thread: the owner's."""
        loaded = self._need()
        prompt, thinking = self._tokenize(loaded, request)
        grammar = Grammar(loaded.model.vocab, request.schema) if request.schema is not None else None
        free = grammar is None
        task = Generation(
            request.session,
            prompt,
            min(loaded.longest - len(prompt), request.sampling.max_tokens),
            cancel,
            loaded.vocabulary,
            Sampler(request.sampling, self._options.seed, grammar or loaded.copying(request)),
            ReplyParser(tools=bool(request.tools) and free, stop=request.sampling.stop, thinking=thinking and free),
        )
        return _submit(loaded, task)

    def score(self, request: LlmRequest, choices: Sequence[str], cancel: Cancel) -> Underway[Score]:
        """Thread: the owner's."""
        loaded = self._need()
        prompt, _ = self._tokenize(loaded, request)
        answers = [loaded.model.tokenize(text, add_bos=False, special=False) for text in choices]
        for tokens, text in zip(answers, choices, strict=True):
            if not tokens:
                raise EngineBadOutput(f"{text!r} has no tokens, so {self.name} cannot score it; leave it out")
            if len(tokens) > self._options.batch or len(prompt) + len(tokens) > loaded.longest:
                raise EngineBadOutput(f"{text[:40]!r} has {len(tokens)} tokens, too many for {self.name}; shorten it")
        return _submit(loaded, Scoring(request.session, prompt, answers, cancel))

    def _need(self) -> _Loaded:
        assert self._loaded is not None, "load() comes before generate()"
        return self._loaded

    def _tokenize(self, loaded: _Loaded, request: LlmRequest) -> tuple[list[int], bool]:
        """The prompt's tokens, and whether the template has opened a think span at its end.

        Of a prompt that is only read, as far as one is the same whose last words go on.
        """
        import jinja2

        messages = [_template_message(message) for message in request.messages]
        if not request.sampling.max_tokens:
            messages[-1]["content"] += MORE_WORDS
        try:
            text: str = loaded.template(
                messages=messages,
                tools=list(request.tools) or None,
                enable_thinking=self._options.enable_thinking,
            ).prompt
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise EngineBadOutput(f"the chat template of {self.name} rejects this prompt: {error}") from error
        if not request.sampling.max_tokens:
            text = text.rpartition(MORE_WORDS)[0] or text
        add_bos = not (loaded.bos and text.startswith(loaded.bos))
        tokens = loaded.model.tokenize(text, add_bos=add_bos, special=True)
        if len(tokens) >= loaded.longest:
            raise EngineBadOutput(
                f"the prompt of {len(tokens)} tokens does not fit {self.name} with ctx={loaded.longest}; "
                "shorten the history or raise ctx"
            )
        return tokens, text.rstrip().endswith(THINK_OPEN)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model that is ready. `longest`: tokens of one request at most. `pieces`: of a model that copies."""

    model: Model
    context: Context
    slots: Slots
    scheduler: Scheduler
    vocabulary: Vocabulary
    template: Callable[..., Any]
    bos: str
    longest: int
    pieces: Pieces | None

    def copying(self, request: LlmRequest) -> Copying | None:
        """What holds arguments to the caller's words, where the model was trained to copy them."""
        if self.pieces is None:
            return None
        turns = [message.text for message in request.messages if message.role == "user"]
        return Copying(self.pieces, turns, examples_of(request.tools))

    def forget(self) -> None:
        self.context.clear()
        self.slots.forget_all()

    def close(self) -> None:
        """The context goes before its model."""
        self.scheduler.close()
        self.context.close()
        self.model.close()


class _Never:
    def is_set(self) -> bool:
        return False


def _prepare(model: Model, path: Path, options: LlamaLlm.Options) -> _Loaded:
    """Raises: EngineUnavailable."""
    template = model.meta(TEMPLATE_KEY)
    if not template:
        raise EngineUnavailable(
            f"{path} has no chat template ({TEMPLATE_KEY}), so it is not a chat model; use an instruct model, or "
            "write the template into the file with gguf_new_metadata.py --chat-template"
        )
    bos, eos = model.special_text("bos"), model.special_text("eos")
    render = _compile(template, bos, eos, path)
    rows = max(options.batch, options.chunk) + options.calls
    sequences = max(options.sequences, options.calls)
    context = Context(
        model, ContextOptions(options.cells or 2 * options.ctx, sequences + BRANCHES, rows, options.threads)
    )
    slots = Slots(context, range(sequences), context.cells, truncates=_truncates(context))
    if not options.threads:
        choose_threads(context, sorted({context.threads, context.cores}), options.calls)
    limits = Limits(options.calls, options.batch, options.chunk, fewest_together(context, options.calls))
    scheduler = Scheduler(context, slots, range(sequences, sequences + BRANCHES), limits)
    vocabulary = Vocabulary(model.piece, model.is_end, model.is_control)
    copies = model.meta(COPIED_KEY) == COPIED
    pieces = Pieces([vocabulary.text_of(token) for token in range(model.vocabulary)]) if copies else None
    return _Loaded(model, context, slots, scheduler, vocabulary, render, bos, min(options.ctx, context.cells), pieces)


def _compile(template: str, bos: str, eos: str, path: Path) -> Callable[..., Any]:
    """Raises: EngineUnavailable for a template that is not valid."""
    import jinja2
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    try:
        return Jinja2ChatFormatter(template, eos, bos)
    except jinja2.TemplateError as error:
        raise EngineUnavailable(f"the chat template of {path} is not valid Jinja: {error}") from error


def _truncates(context: Context) -> bool:
    """Tried, not looked up: whether a sequence can forget its last token. Recurrent layers keep a running state."""
    context.decode([Row(0, 0, 0, False), Row(0, 1, 0, True)])
    able = context.remove(0, 1)
    context.clear()
    return able


def _submit(loaded: _Loaded, task: Task) -> Underway[Any]:
    try:
        loaded.scheduler.submit(task)
    except BaseException:
        task.close()
        raise
    return Underway(loaded.scheduler, task)


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
