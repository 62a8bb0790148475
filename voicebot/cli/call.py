"""`voicebot call`: speak WAVs as one caller, one turn each, and report what was heard, answered and how fast.

`v2v_ms` is acoustic: from when the packet with the last speech sample of the WAV is sent to when the first audible
sample (-50 dB over 10 ms) of the answer reaches the caller's ear; see the two callers for what that includes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from voicebot.cli.caller import Caller, CallFailed, dial, fetch_call
from voicebot.cli.wav import Speech
from voicebot.core.audio import EMPTY, Pcm


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One WAV spoken and answered. `waterfall`: the server's own account, as in docs/events.md."""

    heard: str
    reply: str
    v2v_ms: float
    waterfall: dict[str, Any]


@dataclass(slots=True)
class CallReport:
    turns: list[TurnReport] = field(default_factory=list)
    transport: str = ""
    trace: str = ""
    """Where the server keeps the call's trace."""
    pcm: Pcm = field(default_factory=lambda: EMPTY)
    """Everything that was heard, int16[n]."""
    rate_hz: int = 0

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"turns": [asdict(turn) for turn in self.turns], "transport": self.transport, "trace": self.trace}


async def converse(url: str, speeches: Sequence[Speech], timeout_s: float) -> CallReport:
    """Hold one call. Raises: ConfigError, CallFailed."""
    report = CallReport()
    async with dial(url) as caller:
        report.transport, report.rate_hz = caller.transport, caller.heard.rate_hz
        await caller.wait_greeting(timeout_s)
        known = {turn["turn"] for turn in (await _call(url, caller))["turns"]}
        for speech in speeches:
            v2v_ms = await _speak(caller, speech, timeout_s)
            call = await _call(url, caller)
            report.turns.append(_report(call, known, v2v_ms))
            report.trace = str(call.get("trace") or "")
            known = {turn["turn"] for turn in call["turns"]}
        report.pcm = caller.heard.pcm()
    return report


async def _speak(caller: Caller, speech: Speech, timeout_s: float) -> float:
    said = await caller.say(speech.pcm, speech.speech_stop_sample)
    try:
        answered_s = await caller.wait_reply(said.stop_s, timeout_s)
    except CallFailed as error:
        raise CallFailed(f"{speech.name}: {error}") from None
    return round((answered_s - said.stop_s) * 1000, 1)


async def _call(url: str, caller: Caller) -> dict[str, Any]:
    call = await fetch_call(url, caller.call_id)
    if not isinstance(call.get("turns"), list):
        raise CallFailed(f"the server's account of call {caller.call_id} has no turns: {str(call)[:200]}")
    return call


def _report(call: dict[str, Any], known: set[int], v2v_ms: float) -> TurnReport:
    """A WAV with a long pause may have become several turns: their words are joined, the last one's figures kept."""
    turns = [turn for turn in call["turns"] if turn["turn"] not in known] or call["turns"][-1:]
    if not turns:
        raise CallFailed("an answer was heard, but the server has no turn for it")
    return TurnReport(
        heard=" ".join(turn["heard"] for turn in turns if turn["heard"]),
        reply=" ".join(turn["reply"] for turn in turns if turn["reply"]),
        v2v_ms=v2v_ms,
        waterfall=turns[-1].get("waterfall") or {},
    )


def show(report: CallReport, console: Console) -> None:
    """For people: one row a turn, and the trace to replay."""
    table = Table("heard", "reply", "voice to voice", "waterfall", title=f"over {report.transport}")
    for turn in report.turns:
        table.add_row(turn.heard, turn.reply, f"{turn.v2v_ms:.0f} ms", _stages(turn.waterfall))
    console.print(table)
    if report.trace:
        console.print(f"trace: {report.trace}", soft_wrap=True)


def _stages(waterfall: dict[str, Any]) -> str:
    stages = waterfall.get("stages") or []
    return ", ".join(f"{stage['name']} {stage['start_ms']:.0f}-{stage['stop_ms']:.0f}" for stage in stages)
