"""Finds a member's threshold: its answers to an eval set, right or wrong, against how sure its model was of its words.

    example -> the member's own prompt, tools and job -> answer + log-probabilities -> right?
    -> the lowest threshold from which the target share of accepted answers is right

An answer that does not parse is never accepted, so it counts for no threshold; it is counted apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voicebot.brain.confidence import Calibration, auroc, calibrate
from voicebot.brain.fleet import Member
from voicebot.brain.jobs import Classify, Extract, Order
from voicebot.brain.reply import Attempt
from voicebot.brain.tools_runs import wish_of
from voicebot.core.text import normalize
from voicebot.engines.base import LlmDone, LlmRequest, Message, TextDelta, ToolCall
from voicebot.errors import ConfigError, EngineBadOutput
from voicebot.evals.router import wilson

LEAST_EXAMPLES = 30
"""Fewer prove nothing: of 30 right answers, 95 % are right with a lower bound of 88 %."""
POINTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of accepted answers that the report shows the risk of."""


@dataclass(frozen=True, slots=True)
class Example:
    """`expected`: see docs/fleet.md; `context`: what caller and bot said before, by turns."""

    text: str
    expected: Any
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member made of an example: words, a tool call, fields, a label; None for "it is not there"."""

    value: Any
    mean_logprob: float
    min_logprob: float


@dataclass(frozen=True, slots=True)
class Report:
    """`measure`: which log-probability tells right from wrong better; `chosen` is on that one."""

    member: str
    n: int
    broken: int
    right: int
    right_95: list[float]
    measure: str
    auroc: dict[str, float]
    chosen: Calibration
    accepted: int
    accepted_right_95: list[float]
    target: float
    curve: list[dict[str, float]]

    @property
    def reached(self) -> bool:
        return self.chosen.right_when_accepted >= self.target

    @property
    def threshold(self) -> float:
        """Rounded down, so that the answer that it was read from still passes."""
        return math.floor(self.chosen.min_logprob * 1000) / 1000

    def toml(self) -> str:
        return f"[fleet.{self.member}]\n{self.measure} = {self.threshold}\n"

    def document(self) -> dict[str, Any]:
        chosen = {key: value for key, value in asdict(self.chosen).items() if key != "min_logprob"}
        rest = {key: value for key, value in asdict(self).items() if key != "chosen"}
        return rest | chosen | {"threshold": self.threshold, "reached": self.reached}


def read_examples(file: Path) -> list[Example]:
    """Raises: ConfigError, with the line at fault."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the eval set {file}: {error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append(Example(row["text"], row["expected"], tuple(row.get("context", ()))))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{file}:{number}: not {{"text": ..., "expected": ...}}: {error!r}') from None
    if len(found) < LEAST_EXAMPLES:
        raise ConfigError(f"{file} has {len(found)} examples; {LEAST_EXAMPLES} at least, and some hundred are better")
    return found


async def answer_of(member: Member, example: Example, tools: Sequence[dict[str, Any]]) -> Answer:
    """As in a call: the member's prompt, tools and job. Raises: EngineError, as EngineBadOutput what does not parse."""
    roles = ("assistant", "user")
    said = [*example.context, example.text]
    talk = [Message(roles[(at - len(said)) % 2], text) for at, text in enumerate(said)]  # type: ignore[arg-type]
    engine = member.lane.engine
    if member.job is not None:
        order = Order(member.lane, member.prompt, member.sampling, talk, "eval", Attempt(engine.name))
        made = await member.job.work(order)
        value: Any = None if made.rejected else made.speech
        if made.value is not None and isinstance(member.job, Extract | Classify):
            value = made.value["label"] if isinstance(member.job, Classify) else made.value
        return Answer(value, made.mean_logprob, made.min_logprob)
    request = LlmRequest(member.messages(talk), tools, member.sampling, "eval")
    words, call, done = list[str](), None, LlmDone("stop")
    async for chunk in member.lane.stream(lambda cancel: engine.generate(request, cancel)):
        if isinstance(chunk, TextDelta):
            words.append(chunk.text)
        elif isinstance(chunk, ToolCall):
            call = call or chunk
        else:
            done = chunk
    return Answer(call or "".join(words).strip(), done.mean_logprob, done.min_logprob)


def is_right(answer: Any, expected: Any) -> bool:
    """Whether an answer is what was expected: a tool call, fields, words that must be there, or nothing."""
    if expected is None or answer is None:
        return expected is None and answer is None
    if isinstance(expected, dict) and "tool" in expected:
        wanted = ToolCall("", expected["tool"], expected.get("arguments", {}))
        return isinstance(answer, ToolCall) and wish_of(answer) == wish_of(wanted)
    if isinstance(expected, dict):
        return isinstance(answer, dict) and _fields(answer) == _fields(expected)
    said = f" {normalize(str(answer))} " if not isinstance(answer, ToolCall) else ""
    wanted_words = expected if isinstance(expected, list) else [expected]
    return all(f" {normalize(str(words))} " in said for words in wanted_words)


def _fields(value: dict[str, Any]) -> dict[str, str]:
    return {key: normalize(str(text)) for key, text in value.items() if text not in (None, "")}


async def report(
    member: str, ask: Callable[[Example], Awaitable[Answer]], examples: Iterable[Example], target: float
) -> Report:
    """Raises: ConfigError, where the engine gives no log-probabilities or no answer parses; EngineError."""
    answers, rights, broken = list[Answer](), list[bool](), 0
    for example in examples:
        try:
            answer = await ask(example)
        except EngineBadOutput:
            broken += 1
            continue
        answers.append(answer)
        rights.append(is_right(answer.value, example.expected))
    known = [at for at, answer in enumerate(answers) if not math.isnan(answer.min_logprob)]
    if not known:
        raise ConfigError(
            f"{member} gave no log-probabilities, so there is nothing to calibrate; with openai:// set logprobs=true, "
            "and a member that only reads passages out needs no threshold"
        )
    right = [rights[at] for at in known]
    scores = {
        "mean_logprob": [answers[at].mean_logprob for at in known],
        "min_logprob": [answers[at].min_logprob for at in known],
    }
    told = {measure: auroc(values, right) for measure, values in scores.items()}
    measure = max(scores, key=lambda name: (-math.inf if math.isnan(told[name]) else told[name], name))
    chosen = calibrate(scores[measure], right, target)
    accepted = [ok for score, ok in zip(scores[measure], right, strict=True) if score >= chosen.min_logprob]
    return Report(
        member, len(answers) + broken, broken, sum(rights), wilson(sum(rights), len(answers) + broken), measure,
        {name: round(value, 4) for name, value in told.items()}, chosen, len(accepted),
        wilson(sum(accepted), len(accepted)), target, _curve(scores[measure], right),
    )  # fmt: skip


def _curve(scores: Sequence[float], right: Sequence[bool]) -> list[dict[str, float]]:
    """What share of the surest answers is wrong, at each of POINTS."""
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    counts = [max(1, round(point * len(order))) for point in POINTS]
    return [
        {"coverage": point, "risk": round(1 - sum(right[at] for at in order[:count]) / count, 4)}
        for point, count in zip(POINTS, counts, strict=True)
    ]
