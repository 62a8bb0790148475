"""The call's ear: one task per turn that recognises while the caller speaks and answers drafts.

With a streaming recogniser the speech is fed as it comes, so a draft costs only the last words; a draft that is
aborted costs a second pass from the turn's start, faster than real time. A stream that can begin its last words
early is told of the first hush or silent window, which come before the draft. Without a stream, a draft is one
transcription.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from voicebot.core.audio import EMPTY, PIECE_SAMPLES, SPEECH_RATE_HZ, WINDOW_SAMPLES, Hush, Pcm, SpeechRing
from voicebot.core.events import DraftFailed, DraftTranscribed, EndScored, Event, PartialTranscribed
from voicebot.engines.base import TURN_AUDIO_S, Cancel, SttEngine, Transcript, TurnEngine
from voicebot.engines.utterance import Utterance
from voicebot.errors import EngineError
from voicebot.lane import LaneLike

log = logging.getLogger(__name__)
Report = Callable[[Event], None]
TAIL_SAMPLES = WINDOW_SAMPLES - PIECE_SAMPLES
"""How much of what is not voiced is heard all the same: the last consonant may be too faint to be."""
SCORE_TIMEOUT_S = 0.2
"""A transcript waits no longer for the word of an end-of-turn model: by then the rule would often have committed."""


class EndScorer:
    """One call's questions to the end-of-turn model. Whatever goes wrong with it, the turn goes on by the rule."""

    def __init__(self, lane: LaneLike[TurnEngine], ring: SpeechRing, count: Callable[[str], None]) -> None:
        """`count` is told "end_unscored" for each question that got no answer."""
        self._lane = lane
        self._ring = ring
        self._count = count

    async def score(self, start_sample: int, text: str) -> float | None:
        """P(the caller has finished) for the turn that began at `start_sample`; None without an answer in time."""
        engine, pcm = self._lane.engine, EMPTY
        if engine.wants_audio:
            stop = self._ring.stop_sample
            pcm = self._ring.read(max(start_sample, stop - TURN_AUDIO_S * SPEECH_RATE_HZ), stop)
        try:
            async with asyncio.timeout(SCORE_TIMEOUT_S):
                return await self._lane.run(lambda _cancel: engine.end_probability(pcm, text))
        except (EngineError, TimeoutError) as error:
            log.warning("end of turn by the rule: %s", str(error) or f"no answer in {SCORE_TIMEOUT_S} s")
            self._count("end_unscored")
            return None


class Hearing:
    """One turn's recognition; `run` is its task, the rest is called on the loop."""

    def __init__(
        self,
        stt: LaneLike[SttEngine],
        ring: SpeechRing,
        report: Report,
        turn: int,
        start_sample: int,
        narrowband: bool = False,
        ending: EndScorer | None = None,
    ) -> None:
        self._stt = stt
        self._ring = ring
        self._report = report
        self._turn = turn
        self._start = start_sample
        self._looked = start_sample
        """How much of the ring had come when the task was last woken for it."""
        self._silent_from: int | None = None
        self._hush: Hush | None = None
        """Of a stream that would know."""
        self._narrowband = narrowband
        self._ending = ending
        self._draft: tuple[int, int, int] | None = None
        self._again = False
        self._wake = asyncio.Event()

    def more(self, silent_from: int | None) -> None:
        """The ring has grown; what is in it from `silent_from` on may be the silence that ends the turn.

        None: nobody is to guess at that. The task looks at whole windows, and where there is nothing more to hear.
        """
        self._silent_from = silent_from
        come, hushed = self._ring.stop_sample, self._hushed()
        if come // WINDOW_SAMPLES > self._looked // WINDOW_SAMPLES or (hushed and silent_from is not None):
            self._looked = come
            self._wake.set()

    def _hushed(self) -> bool:
        """Whether a hush has begun with what has come."""
        hush = self._hush
        if hush is None:
            return False
        lasted, come = hush.lasts, self._ring.stop_sample
        pcm = self._ring.read(hush.stop_sample, come)
        if len(pcm) < come - hush.stop_sample:  # The ring does not hold all of it any more.
            hush = self._hush = Hush(come - len(pcm))
        hush.push(pcm[: len(pcm) // PIECE_SAMPLES * PIECE_SAMPLES])
        return hush.lasts and not lasted

    def _silence(self, stop: int) -> int:
        """In how many of the last samples before `stop` there is nothing to hear."""
        if self._silent_from is None:
            return 0
        silent_from = self._silent_from + TAIL_SAMPLES
        if self._hush is not None and self._hush.lasts:
            silent_from = min(silent_from, self._hush.since_sample)
        return max(0, stop - max(self._start, silent_from))

    def draft(self, draft: int, start_sample: int, stop_sample: int) -> None:
        """Answer with DraftTranscribed (or DraftFailed) for [start_sample, stop_sample)."""
        self._draft = (draft, start_sample, stop_sample)
        self._wake.set()

    def abort(self, draft: int) -> None:
        """The caller goes on: the answer is not wanted, and a used-up stream is followed by the next."""
        if self._draft is not None and self._draft[0] == draft:
            self._draft = None
        self._again = True
        self._wake.set()

    async def run(self) -> None:
        """Listen until cancelled. A recogniser that fails is asked anew at the next draft."""
        while True:
            try:
                stream = await self._open()
                if stream is None:
                    await self._answer_whole()
                else:
                    await self._follow(stream)
            except EngineError as error:
                await self._fail(error)

    async def _open(self) -> Utterance | None:
        """A stream, or None. Cancellation: one that was opened all the same is given back."""
        opened: list[Utterance] = []

        def open_stream(cancel: Cancel) -> Utterance | None:
            stream = self._stt.engine.open_stream(self._narrowband)
            if stream is None:
                return None
            utterance = Utterance(stream)
            opened.append(utterance)  # Before the look at `cancel`: one side or the other gives it back.
            if cancel.is_set():
                utterance.abandon()
            return utterance

        try:
            return await self._stt.run(open_stream)
        except asyncio.CancelledError:
            self._stt.soon(partial(_abandon, opened))
            raise

    async def _sleep(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    async def _fail(self, error: EngineError) -> None:
        """Tell the draft that is asked for, or the next one."""
        while self._draft is None:
            await self._sleep()
        draft, self._draft = self._draft[0], None
        self._report(DraftFailed(draft, str(error)))

    async def _answer_whole(self) -> None:
        """No stream: wait for a draft and transcribe it in one piece."""
        while self._draft is None:
            await self._sleep()
        draft, start, stop = self._draft
        pcm = self._ring.read(start, stop)
        transcript = await self._stt.run(lambda cancel: self._stt.engine.transcribe(pcm, cancel, self._narrowband))
        await self._finish(draft, transcript)

    async def _follow(self, stream: Utterance) -> None:
        """Feed what comes until a draft asks for the end; the stream is then used up, and needed anew on an abort."""
        self._hush = Hush(self._start) if stream.may_end_early else None
        try:
            draft = await self._feed_until_draft(stream)
            self._hush, self._again = None, False
            await self._finish(draft, await self._stt.run(lambda _cancel: stream.finish()))
            while not self._again:
                await self._sleep()
        finally:
            self._stt.soon(lambda _cancel: stream.abandon())

    async def _feed_until_draft(self, stream: Utterance) -> int:
        """The draft whose speech has all been fed."""
        fed, shown = self._start, ""
        while True:
            wanted = self._draft
            stop = self._ring.stop_sample if wanted is None else wanted[2]
            if fed < stop:
                silent = self._silence(stop)
                text = await self._stt.run(partial(_feed, stream, self._ring.read(fed, stop), silent))
                fed = stop
                if text != shown and self._draft is None:
                    shown = text
                    self._report(PartialTranscribed(self._turn, text))
            elif wanted is not None:
                return wanted[0]
            else:
                await self._sleep()

    async def _finish(self, draft: int, transcript: Transcript) -> None:
        """Report the score before the words: with both, the machine may commit at once or wait as long as it should."""
        score = None
        if self._ending is not None and transcript.text and self._asked(draft):
            score = await self._ending.score(self._start, transcript.text)
        if self._asked(draft):
            self._draft = None
            if score is not None:
                self._report(EndScored(draft, round(score, 3)))
            self._report(DraftTranscribed(draft, transcript.text, round(transcript.confidence, 3)))

    def _asked(self, draft: int) -> bool:
        return self._draft is not None and self._draft[0] == draft


def _abandon(streams: list[Utterance], _cancel: Cancel) -> None:
    for stream in streams:
        stream.abandon()


def _feed(stream: Utterance, pcm: Pcm, silent_samples: int, _cancel: Cancel) -> str:
    return stream.feed(pcm, silent_samples)
