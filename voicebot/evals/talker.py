"""Measures a talker on held-out phrasings, human ones and small talk: `python -m voicebot.evals.talker --model X.gguf`.

What is measured, greedy and with the chat template inside the GGUF:
1. `generated`: dialogues from patterns that no training dialogue shares; right tool and right arguments.
2. `clinc_tools` (shipped annotations of CLINC150 validation utterances): the same on human phrasings. Arguments are
   right when the tool makes the same of them as of the annotated ones ("1 cup" is "a cup").
3. `replies` (needs --clinc): the other validation utterances; scored by the rubric in `models/talker/README.md`.
4. `generated_follow_ups`: dialogues that end with what needs the turn before it, in held-out words.

`--part dev` takes for 2 and 3 the training utterances that are kept for choosing between models (`clinc.is_dev`).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from voicebot.brain.confidence import auroc, calibrate
from voicebot.brain.spans import as_said
from voicebot.brain.tools import TOOLS, Scheduled, openai_schema, run_tool
from voicebot.engines.base import LlmChunk, LlmDone, LlmRequest, Message, Sampling, TextDelta, ToolCall
from voicebot.engines.registry import create
from voicebot.errors import EngineBadOutput
from voicebot.training import clinc
from voicebot.training.chat import Turn
from voicebot.training.generate import ASKS, FILES, Generator
from voicebot.training.grammar import read_sections

NOW = datetime(2026, 3, 4, 15, 20, tzinfo=UTC)
REFUSAL = re.compile(
    r"^(I cannot help with|Sorry, I know too little about|I do not know|Sorry, .+ (is|are) more than I|"
    r"That is beyond|"
    r"I wish I knew, but|I cannot (do|see|look)|Sorry, I have no|That is something I cannot|Sorry, that is more|"
    r"I have no fact|I would rather|My name stays)"
)
TOPIC = re.compile(
    r"(?:help with|little about|enough about|fact about|Sorry,) (.+?)(?:, sorry|, though| (?:is|are) more|[.,]|$)"
)
FAMILIES = (
    {"greeting", "how_are_you", "user_fine"},
    {"who_are_you", "are_you_a_bot"},
    {"no", "cancel"},
    {"fact", "fact_topic"},
    {"hobbies", "feelings"},
    {"user_named", "user_name"},
)
MAX_WORDS = 32
MAX_TOKENS = 80
WANTED_RIGHT = 0.98
"""Share of right answers that the confidence threshold is chosen for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote: one tool call, or words. `broken` says why it is neither."""

    text: str
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    broken: str = ""
    mean_logprob: float = math.nan
    min_logprob: float = math.nan


class FixedContext:
    """A `ToolContext` that stands still, so that two sets of arguments can be compared by what a tool makes of them."""

    def now(self) -> datetime:
        return NOW

    def last_reply(self) -> str:
        return "That is twelve."

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        return "1"

    def scheduled(self) -> list[Scheduled]:
        return []

    def unschedule(self, item_id: str) -> bool:
        return False

    def set_volume(self, percent: int) -> None: ...

    def volume(self) -> int:
        return 50


class Model:
    """A GGUF in the driver that serves calls, asked as a reply asks it."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.engine = create("llm", f"llama://{path.resolve()}?ctx=1024&threads={threads}")
        self.engine.load()

    def answer(self, messages: list[Message]) -> Answer:
        request = LlmRequest(messages, openai_schema(TOOLS.values()), Sampling(max_tokens=MAX_TOKENS))
        chunks: list[LlmChunk] = []
        try:
            chunks.extend(self.engine.generate(request, Event()))
        except EngineBadOutput as error:
            return Answer(str(error), broken="bad tool call")
        return answer_of(chunks, [message.text for message in messages if message.role == "user"])


def answer_of(chunks: list[LlmChunk], turns: list[str]) -> Answer:
    """What came of a reply to the caller's `turns`."""
    done = chunks[-1]
    assert isinstance(done, LlmDone), chunks
    text = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
    calls = [as_said(chunk, turns) for chunk in chunks if isinstance(chunk, ToolCall)]
    blank = Answer("", mean_logprob=done.mean_logprob, min_logprob=done.min_logprob)
    if done.finish_reason == "length" or len(calls) > 1 or (calls and text):
        why = "did not end" if done.finish_reason == "length" else "several answers"
        return replace(blank, text=f"{text}{calls}", broken=why)
    if calls:
        call = calls[0]
        return replace(blank, text=f"{call.name} {call.arguments}", tool=call.name, arguments=call.arguments)
    return replace(blank, text=text, broken="" if text else "empty")


def messages_of(turns: list[Turn]) -> list[Message]:
    """The prompt that ends with the last turn's question."""
    messages: list[Message] = []
    for turn in turns:
        messages.append(Message("user", turn.user))
        if turn is turns[-1]:
            break
        if turn.tool:
            call = ToolCall("1", turn.tool, dict(turn.arguments))
            messages += [Message("assistant", tool_calls=(call,)), Message("tool", "{}", tool_call_id="1")]
        messages.append(Message("assistant", turn.reply))
    return messages


def meaning(tool: str, arguments: dict[str, Any]) -> str:
    """What a tool makes of its arguments; the plain words where it makes nothing of them."""
    result = run_tool(FixedContext(), tool, arguments)
    if result.failed:
        return json.dumps({key: _plain(str(value)) for key, value in sorted(arguments.items())})
    meant = {key: value for key, value in result.value.items() if key != "place"}
    meant |= {"replaces": "last"} if arguments.get("replaces") else {}
    if tool == "set_reminder":
        meant |= {"text": _plain(str(arguments["text"]))} | ({} if arguments.get("when") else {"due": ""})
    return json.dumps(meant)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split()).removeprefix("to ").removeprefix("the ")


def same_call(answer: Answer, tool: str, arguments: dict[str, Any]) -> bool:
    return answer.tool == tool and meaning(tool, answer.arguments) == meaning(tool, arguments)


def asks_for(answer: Answer, tool: str) -> bool:
    return not answer.tool and any(answer.text.startswith(question) for question in ASKS[tool])


@dataclass(slots=True)
class Score:
    """Right out of n, by kind, with the failures kept for reading."""

    right: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    truths: list[bool] = field(default_factory=list)

    def add(self, kind: str, ok: bool, said: str, wanted: str, answer: Answer) -> None:
        self.total[kind] += 1
        self.right[kind] += ok
        self.answers.append(answer)
        self.truths.append(ok)
        if not ok:
            self.failures.append({"kind": kind, "said": said, "wanted": wanted, "got": answer.text})

    def figures(self, examples: int) -> dict[str, Any]:
        n, right = sum(self.total.values()), sum(self.right.values())
        by_kind = {kind: f"{self.right[kind]}/{count}" for kind, count in sorted(self.total.items())}
        share = round(right / n, 4) if n else math.nan
        return {"n": n, "right": right, "share": share, "by_kind": by_kind, "failures": self.failures[:examples]}


def generated(model: Model, count: int, seed: int, clean: bool) -> tuple[Score, Score]:
    """Held-out dialogues: scores of tool calls and of questions back."""
    generator = Generator(Random(seed), held_out=True, clean=clean, followed=0)
    tools, replies = Score(), Score()
    while sum(tools.total.values()) < count:
        turns = generator.dialogue()
        last = turns[-1]
        answer = model.answer(messages_of(turns))
        if last.tool:
            wanted = dict(last.arguments)
            tools.add(last.tool, same_call(answer, last.tool, wanted), last.user, f"{last.tool} {wanted}", answer)
        else:
            act = act_of(last.reply)
            replies.add(act, fault(answer, act, last.user) == "", last.user, last.reply, answer)
    return tools, replies


def followed(model: Model, count: int, seed: int) -> Score:
    """Held-out dialogues that end with what is said about the answer before: "and in celsius?", "no, fifteen"."""
    generator = Generator(Random(seed), held_out=True, followed=0.8)
    score = Score()
    while sum(score.total.values()) < count:
        turns = generator.dialogue()
        last, before = turns[-1], turns[-2] if len(turns) > 1 else None
        if before is not None and last.follows:
            wanted = dict(last.arguments)
            answer = model.answer(messages_of(turns))
            said = f"{before.user} / {last.user}"
            score.add(last.tool, same_call(answer, last.tool, wanted), said, f"{last.tool} {wanted}", answer)
    return score


def _of_part(items: list[clinc.Said], part: str) -> list[clinc.Said]:
    return [item for item in items if part == "val" or clinc.is_dev(item.text)]


def clinc_tools(model: Model, part: str) -> Score:
    score = Score()
    for item in _of_part(clinc.load_annotations("val" if part == "val" else "train"), part):
        if item.act not in TOOLS and item.act != "ask":
            continue
        answer = model.answer([Message("user", item.text)])
        ok = asks_for(answer, item.detail) if item.act == "ask" else same_call(answer, item.act, dict(item.arguments))
        wanted = f"ask {item.detail}" if item.act == "ask" else f"{item.act} {dict(item.arguments)}"
        score.add(item.intent, ok, item.text, wanted, answer)
    return score


def _stock() -> dict[str, str]:
    """Reply -> its act, for replies without an open place."""
    stock: dict[str, str] = {}
    for name in FILES:
        for section in read_sections(name):
            stock |= {reply: section.act for reply in section.replies if "{" not in reply}
    return stock


STOCK = _stock()


def act_of(reply: str) -> str:
    """Which kind of talk a reply belongs to."""
    if reply in STOCK:
        return STOCK[reply]
    if REFUSAL.match(reply):
        return "know"
    return next((f"ask {tool}" for tool, questions in ASKS.items() if reply in questions), "unknown")


REFUSING = {"know", "know_wh", "act", "weather", "fact_topic", "rename_bot"}


def fault(answer: Answer, act: str, said: str) -> str:
    """Why a reply is not acceptable, "" if it is: the rubric of the model card."""
    if answer.tool:
        return "tool call"
    if answer.broken or len(answer.text.split()) > MAX_WORDS or not answer.text.endswith((".", "!", "?")):
        return answer.broken or "broken"
    got = act_of(answer.text)
    if act in REFUSING:
        if got not in REFUSING:
            return f"answered as {got}"
        return "" if _topic_fits(answer.text, said) else "wrong topic"
    return "" if got == act or any({got, act} <= family for family in FAMILIES) else f"answered as {got}"


def _topic_fits(reply: str, said: str) -> bool:
    """A topic that is named must come from the caller's words."""
    if reply in STOCK or not (found := TOPIC.search(reply)):
        return True
    stems = {word[:4] for word in _plain(said).split()}
    return any(word[:4] in stems for word in _plain(found[1]).split())


def clinc_replies(model: Model, path: Path, limit: int, seed: int, part: str) -> tuple[Score, Counter[str]]:
    """The other utterances of a part, and what was wrong how often."""
    items = _of_part(clinc.load_talk(path, "val" if part == "val" else "train"), part)
    chosen = list({item.text: item for item in items if item.intent == "oos"}.values())
    rest = [item for item in items if item.intent != "oos"]
    chosen += Random(seed).sample(rest, min(limit, len(rest)))
    score, faults = Score(), Counter[str]()
    for item in chosen:
        answer = model.answer([Message("user", item.text)])
        problem = fault(answer, item.act, item.text)
        if problem:
            faults[problem.split(" as ")[0]] += 1
        kind = "oos" if item.intent == "oos" else "refuse" if item.act in REFUSING else "talk"
        score.add(kind, not problem, item.text, f"{item.act} ({problem})", answer)
    return score, faults


def confidence(scores: Sequence[Score]) -> dict[str, Any]:
    """How well log-probabilities tell right answers from wrong ones: AUROC of an answer's mean and least, and what a
    threshold on the least would do that was chosen on the even answers, measured on the odd ones."""
    pairs = [pair for score in scores for pair in zip(score.answers, score.truths, strict=True)]
    scored = [(one.mean_logprob, one.min_logprob, ok) for one, ok in pairs]
    scored = [item for item in scored if not math.isnan(item[0])]
    truths = [ok for _, _, ok in scored]
    chosen = calibrate([least for _, least, _ in scored[::2]], truths[::2], WANTED_RIGHT)
    kept = [ok for _, least, ok in scored[1::2] if least >= chosen.min_logprob]
    return {
        "n": len(scored),
        "right": sum(truths),
        "auroc_of_mean": round(auroc([mean for mean, _, _ in scored], truths), 4),
        "auroc_of_least": round(auroc([least for _, least, _ in scored], truths), 4),
        "threshold": {
            "min_logprob": round(chosen.min_logprob, 4),
            "accepted": round(len(kept) / max(1, len(scored[1::2])), 4),
            "right_when_accepted": round(sum(kept) / max(1, len(kept)), 4),
            "right_of_all": round(sum(truths[1::2]) / max(1, len(truths[1::2])), 4),
        },
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    model = Model(options.model, options.threads)
    tools, replies = generated(model, options.generated, options.seed, clean=False)
    clean_tools, _ = generated(model, options.generated // 2, options.seed + 1, clean=True)
    again = followed(model, options.generated // 3, options.seed + 2)
    human = clinc_tools(model, options.part)
    report: dict[str, Any] = {
        "model": options.model.name,
        "bytes": options.model.stat().st_size,
        "generated": tools.figures(options.examples),
        "generated_without_noise": clean_tools.figures(options.examples),
        "generated_follow_ups": again.figures(options.examples),
        "generated_questions_back": replies.figures(options.examples),
        "clinc_tools": human.figures(options.examples),
    }
    scores = [tools, replies, clean_tools, again]
    report["confidence"] = confidence(scores)
    if options.clinc:
        score, faults = clinc_replies(model, options.clinc, options.replies, options.seed, options.part)
        n = sum(score.total.values())
        report["clinc_replies"] = score.figures(options.examples) | {"faults": dict(faults)}
        report["false_tool_calls"] = {"n": n, "calls": faults["tool call"], "share": round(faults["tool call"] / n, 4)}
        report["confidence_clinc"] = confidence([human, score])
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clinc", type=Path, help="CLINC150 train_val.json, for the replies")
    parser.add_argument("--part", choices=("val", "dev"), default="val", help="of CLINC150; dev: to choose by")
    parser.add_argument("--generated", type=int, default=600, help="held-out tool calls to measure")
    parser.add_argument("--replies", type=int, default=700, help="utterances of other intents to measure")
    parser.add_argument("--examples", type=int, default=12, help="failures to print per part")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    report = measure(options)
    if options.json:
        sys.stdout.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        return
    for part, figures in report.items():
        shown = (
            {key: value for key, value in figures.items() if key != "failures"}
            if isinstance(figures, dict)
            else figures
        )
        sys.stdout.write(f"{part}: {shown}\n")


if __name__ == "__main__":
    main()
