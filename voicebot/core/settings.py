"""What an operator may tune of a call's behaviour; part of every trace, so that a replay uses the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Times in milliseconds unless named otherwise."""

    speech_threshold: float = 0.5
    """P(speech) that opens a voiced stretch (Source: Silero's own default)."""
    silence_threshold: float = 0.35
    """P(speech) below which a voiced stretch ends (Source: Silero: threshold - 0.15)."""
    start_ms: int = 96
    """Voiced time that makes speech: three windows; also what pauses the bot."""
    lead_in_ms: int = 240
    """Context before the first voiced window that the recogniser gets."""
    soft_end_ms: int = 64
    """Silence after which a draft begins (Source: HF speech-to-speech; NUMBERS D2)."""
    drafts: bool = True
    """Whether answers are made while it is not known yet that the caller has finished."""
    min_wait_ms: int = 160
    """Silence that ends a turn when P(end) >= sure_end."""
    max_wait_ms: int = 1500
    """Silence that ends a turn when P(end) = 0, or when nothing is known."""
    sure_end: float = 0.97
    """P(end) from which on min_wait_ms is waited and no more (Source: ADR 65)."""
    interrupt_ms: int = 700
    """Voiced time over the bot that is an interruption whatever the words: longer than any backchannel."""
    overlap_confidence: float = 0.5
    """A transcript of speech over the bot that the recogniser is less sure of counts as noise."""
    reopen_ms: int = 1000
    """A reply heard for less than this is taken back when the caller goes on: the turn is reopened."""
    verdict_ms: int = 1500
    """After pausing, the time from the end of the caller's sound to resuming if no transcript comes."""
    unheard_ms: int = 1000
    """Voiced time without a single word recognised after which the caller is told so."""
    stt_timeout_ms: int = 8000
    reply_timeout_ms: int = 15000
    """From the commit, or from the last sound queued, to the next sound."""
    playout_slack_ms: int = 3000
    """How late PlayoutFinished may be before the reply counts as heard: liveness never depends on an echo."""
    media_gap_ms: int = 1000
    """No speech windows for this long while a turn is open counts as silence."""
    idle_ms: int = 0
    """Silence from both sides after which the call ends; 0: never."""
    call_limit_ms: int = 0
    """Longest call; 0: no limit."""
    history_turns: int = 12
    """Turns that a prompt contains at most, 1 or more; it loses the older half of them at once."""
    notice_limit: int = 16
    """Notices that may wait for a gap; the oldest is dropped (and published as an error) beyond."""
    errand_gap_ms: int = 200
    """Silence of both sides after which an expert's late answer is spoken."""
    errand_answer_ms: int = 4000
    """The same after the bot asked something: the caller gets time to answer first."""
    errand_stale_ms: int = 120_000
    """An expert's answer that found no gap for this long after its question is let go."""
    greeting: str = ""
    apology: str = "Sorry, something went wrong. Please say that again."
    no_answer: str = "Sorry, I have no answer to that."
    not_understood: str = "Sorry, I did not catch that."
