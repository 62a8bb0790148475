"""False cut-offs against waiting, on recordings: the real ear (voice activity, recogniser, end-of-turn model) and the
real turn machine, on the sample clock and as fast as the engines allow.

Each recording is heard whole, which says how long a finished caller waits, and with a pause put into its quietest inner
moment, which says whether a caller who only thinks is cut off. The same is done at several settings of
`turn.max_wait_ms`, and with a fixed silence as most servers have it. A transcript takes no time here: what a draft
costs is a matter of `bench latency`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from voicebot.bench.spread import Spread, spread
from voicebot.core import events as ev
from voicebot.core.audio import SPEECH_RATE_HZ, WINDOW_SAMPLES, Pcm, dbfs, silence
from voicebot.core.settings import TurnSettings
from voicebot.core.turn import TurnMachine
from voicebot.engines.base import TURN_AUDIO_S, SttEngine, TurnEngine, VadEngine

PAUSES_MS = (300, 500, 800)
MAX_WAITS_MS = (300, 500, 800, 1200, 1800)
FIXED_MS = (200, 300, 500, 700, 1000)
LEAD_S, TAIL_S = 0.3, 2.5
"""Silence before and after each recording; the tail is longer than the longest wait."""
FRAME = SPEECH_RATE_HZ // 100
INNER = (0.2, 0.85)
"""The part of a recording in which a pause is put."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`pcm`: int16[n], 16 kHz; speech is in [start, stop)."""

    name: str
    pcm: Pcm
    start_sample: int
    stop_sample: int


@dataclass(frozen=True, slots=True)
class Point:
    """One setting. `cut_off`: pause in ms -> share of recordings that were cut off in it."""

    name: str
    wait_ms: Spread
    cut_off: dict[str, float]
    unheard: int
    """Whole recordings that were never taken for a turn."""


@dataclass(frozen=True, slots=True)
class TurnsResult:
    recordings: int
    points: list[Point]

    def document(self) -> dict[str, Any]:
        return asdict(self)


class NeverCancelled:
    """A token for work that is always waited for."""

    def is_set(self) -> bool:
        return False


class Ear:
    """The engines, with what they said of each stretch of sound: the same stretch is recognised once."""

    def __init__(self, vad: VadEngine, stt: SttEngine, turn: TurnEngine | None) -> None:
        self._vad = vad
        self._stt = stt
        self._turn = turn
        self._known: dict[bytes, tuple[str, float, float | None]] = {}

    def probabilities(self, pcm: Pcm) -> list[float]:
        stream = self._vad.open_stream()
        windows = range(0, len(pcm) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
        return [round(stream.probability(pcm[at : at + WINDOW_SAMPLES]), 3) for at in windows]

    def hear(self, pcm: Pcm, heard_to: Pcm) -> tuple[str, float, float | None]:
        """Words, confidence, P(end). `heard_to`: the turn up to now, pause included."""
        key = pcm.tobytes()
        if key not in self._known:
            said = self._stt.transcribe(pcm, NeverCancelled())
            end = None
            if self._turn is not None and said.text:
                sound = heard_to[-TURN_AUDIO_S * SPEECH_RATE_HZ :] if self._turn.wants_audio else silence(0)
                end = round(self._turn.end_probability(sound, said.text), 3)
            self._known[key] = (said.text, round(said.confidence, 3), end)
        return self._known[key]


def commits(ear: Ear, pcm: Pcm, probabilities: Sequence[float], settings: TurnSettings) -> Iterator[int]:
    """The samples at which turns are committed while this is heard."""
    machine = TurnMachine(settings)
    machine.step(ev.CallStarted(SPEECH_RATE_HZ), 0.0)
    for number, probability in enumerate(probabilities):
        at = (number + 1) * WINDOW_SAMPLES
        todo = machine.step(ev.WindowHeard(at, probability), at / SPEECH_RATE_HZ)
        end = at + WINDOW_SAMPLES
        while todo or ((due := machine.due_sample) is not None and due < end):
            if not todo:
                assert due is not None
                at = due
                todo = machine.step(ev.SilenceLasted(at), at / SPEECH_RATE_HZ)
                continue
            command = todo.pop(0)
            if isinstance(command, ev.BeginDraft):
                words = ear.hear(pcm[command.start_sample : command.stop_sample], pcm[command.start_sample : at])
                todo += _told(machine, command.draft, *words, at / SPEECH_RATE_HZ)
            elif isinstance(command, ev.CommitReply):
                yield at
                machine.step(ev.ReplyFailed(command.reply, "tts", "nothing is said here"), at / SPEECH_RATE_HZ)


def _told(
    machine: TurnMachine, draft: int, text: str, confidence: float, end: float | None, now: float
) -> list[ev.Command]:
    scored = machine.step(ev.EndScored(draft, end), now) if end is not None else []
    return [*scored, *machine.step(ev.DraftTranscribed(draft, text, confidence), now)]


def with_pause(recorded: Recorded, pause_ms: int) -> tuple[Pcm, int]:
    """The recording with a pause in its quietest inner moment, and the sample at which the pause begins."""
    length = recorded.stop_sample - recorded.start_sample
    first, last = (recorded.start_sample + int(length * share) for share in INNER)
    spans = range(first, max(first + 1, last - 4 * FRAME), FRAME)
    quietest = min(spans, key=lambda at: dbfs(recorded.pcm[at : at + 4 * FRAME])) + 2 * FRAME
    gap = silence(pause_ms * SPEECH_RATE_HZ // 1000)
    return np.concatenate((recorded.pcm[:quietest], gap, recorded.pcm[quietest:])), quietest


def measure_turns(
    ear: Ear, recordings: Sequence[Recorded], settings: TurnSettings, report: Callable[[str], None]
) -> TurnsResult:
    """Every recording at every setting."""
    lead, tail = (silence(int(seconds * SPEECH_RATE_HZ)) for seconds in (LEAD_S, TAIL_S))
    takes: list[tuple[int, int, Pcm, list[float]]] = []
    for recorded in recordings:
        for pause_ms in (0, *PAUSES_MS):
            pcm, _ = with_pause(recorded, pause_ms) if pause_ms else (recorded.pcm, 0)
            pcm = np.concatenate((lead, pcm, tail))
            stop = len(lead) + recorded.stop_sample + pause_ms * SPEECH_RATE_HZ // 1000
            takes.append((pause_ms, stop, pcm, ear.probabilities(pcm)))
    points = []
    for name, tried in _settings(settings).items():
        points.append(_point(ear, takes, name, tried))
        report(f"{name}: {points[-1].wait_ms.p50:.0f} ms, cut off {points[-1].cut_off}")
    return TurnsResult(len(recordings), points)


def _settings(settings: TurnSettings) -> Mapping[str, TurnSettings]:
    by_words = {
        f"words, at most {most} ms": replace(settings, min_wait_ms=min(settings.min_wait_ms, most), max_wait_ms=most)
        for most in MAX_WAITS_MS
    }
    fixed = {f"fixed {ms} ms": replace(settings, min_wait_ms=ms, max_wait_ms=ms) for ms in FIXED_MS}
    return by_words | fixed


def _point(ear: Ear, takes: Sequence[tuple[int, int, Pcm, list[float]]], name: str, settings: TurnSettings) -> Point:
    waits: list[float] = []
    unheard = 0
    cut: dict[int, list[bool]] = {pause: [] for pause in PAUSES_MS}
    for pause_ms, stop, pcm, probabilities in takes:
        committed = list(commits(ear, pcm, probabilities, settings))
        if pause_ms:
            cut[pause_ms].append(any(at < stop for at in committed))
        elif committed and committed[-1] >= stop:
            waits.append((committed[-1] - stop) * 1000 / SPEECH_RATE_HZ)
        else:
            unheard += 1
    shares = {str(pause): round(sum(found) / max(1, len(found)), 3) for pause, found in cut.items()}
    return Point(name, spread(waits), shares, unheard)
