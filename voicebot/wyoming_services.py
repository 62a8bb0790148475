"""What one Wyoming client gets: our recogniser, our voice and our brain as the services asr, tts and handle.

Speech is recognised while it comes where the engine can, text is spoken clause by clause while it comes, and an answer
is told in pieces. One connection may use all three, one request at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Eventable
from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStopped

from voicebot.brain.agenda import Agenda
from voicebot.brain.composition import Writer, end_talk
from voicebot.brain.privacy import CallPrivacy
from voicebot.calls import new_call_id
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler
from voicebot.core.composed import Piece, WroteAll, WroteText
from voicebot.core.events import PublishTurn
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.text import ClauseSplitter, speakable
from voicebot.core.wishes import Wishes
from voicebot.engines.utterance import Utterance
from voicebot.errors import ProtocolError
from voicebot.session import CallDeps

SPEECH_LIMIT_S = 120
TEXT_LIMIT = 20_000
TALKS_KEPT = 200
"""Conversations that are remembered; the one that was silent longest is forgotten beyond."""
LINES_KEPT = 24
KIND = "wyoming"
Send = Callable[[Eventable], Awaitable[None]]


@dataclass(slots=True)
class Listening:
    """asr: audio-start, audio-chunk..., audio-stop -> transcript."""

    deps: CallDeps
    send: Send
    _pcm: list[Pcm] = field(default_factory=list)
    _stream: Utterance | None = None
    _to_speech: Any = None
    _samples: int = 0

    async def start(self, start: AudioStart) -> None:
        """Speech begins. Raises: ProtocolError, EngineError."""
        await self.drop()
        if start.width != 2 or not 1 <= start.channels <= 2 or not 8_000 <= start.rate <= 96_000:
            given = f"{start.width} bytes, {start.channels} channels, {start.rate} Hz"
            raise ProtocolError(f"audio of {given}; 16 bit, mono or stereo, 8 to 96 kHz is understood")
        self._to_speech = resampler(start.rate, SPEECH_RATE_HZ)
        stt = self.deps.stt
        stream = await stt.run(lambda _cancel: stt.engine.open_stream(False))
        self._stream = None if stream is None else Utterance(stream)

    async def hear(self, chunk: AudioChunk) -> None:
        """More of it. Raises: ProtocolError, EngineError."""
        if self._to_speech is None:
            raise ProtocolError("audio-chunk before audio-start")
        if chunk.width != 2 or len(chunk.audio) % (2 * chunk.channels):
            raise ProtocolError(f"an audio-chunk of {len(chunk.audio)} bytes is cut within a sample")
        frames = np.frombuffer(chunk.audio, dtype="<i2").reshape(-1, chunk.channels)
        pcm = self._to_speech.push(frames.mean(axis=1).astype(np.int16))
        self._samples += len(pcm)
        if self._samples > SPEECH_LIMIT_S * SPEECH_RATE_HZ:
            raise ProtocolError(f"more than {SPEECH_LIMIT_S} s of speech; end it with audio-stop")
        stream = self._stream
        if stream is None:
            self._pcm.append(pcm)
        elif len(pcm):
            await self.deps.stt.run(lambda _cancel: stream.feed(pcm))

    async def stop(self) -> None:
        """Speech has ended: tell its words. Raises: EngineError."""
        stt, stream = self.deps.stt, self._stream
        if stream is not None:
            transcript = await stt.run(lambda _cancel: stream.finish())
        elif self._samples:
            pcm = np.concatenate(self._pcm)
            transcript = await stt.run(lambda cancel: stt.engine.transcribe(pcm, cancel))
        else:
            transcript = None
        await self.drop()
        text = transcript.text if transcript else ""
        await self.send(TranscriptStart())
        if text:
            await self.send(TranscriptChunk(text))
        await self.send(TranscriptStop())
        await self.send(Transcript(text))

    async def drop(self) -> None:
        """Forget what was heard. Idempotent."""
        stream, self._stream = self._stream, None
        self._pcm, self._samples, self._to_speech = [], 0, None
        if stream is not None:
            await self.deps.stt.run(lambda _cancel: stream.abandon())


@dataclass(slots=True)
class Speaking:
    """tts: text, whole or in pieces -> audio-start, audio-chunk..., audio-stop."""

    deps: CallDeps
    send: Send
    _splitter: ClauseSplitter | None = None
    _chars: int = 0
    _sounding: bool = False

    async def whole(self, request: Synthesize) -> None:
        """A text that is there. Within a streamed one it is that text again, for older servers: ignored."""
        if self._splitter is not None:
            return
        await self.start()
        await self._say(request.text)
        await self._end()

    async def start(self) -> None:
        """Text comes in pieces from now on."""
        self._splitter, self._chars, self._sounding = ClauseSplitter(), 0, False

    async def more(self, chunk: SynthesizeChunk) -> None:
        """Speak what is a clause now. Raises: ProtocolError, EngineError."""
        if self._splitter is None:
            raise ProtocolError("synthesize-chunk before synthesize-start")
        await self._say(chunk.text)

    async def stop(self) -> None:
        """There is no more text. Raises: ProtocolError, EngineError."""
        if self._splitter is None:
            raise ProtocolError("synthesize-stop before synthesize-start")
        await self._end()
        await self.send(SynthesizeStopped())

    async def _say(self, text: str) -> None:
        assert self._splitter is not None
        self._chars += len(text)
        if self._chars > TEXT_LIMIT:
            self._splitter = None
            raise ProtocolError(f"more than {TEXT_LIMIT} characters to speak")
        for clause in self._splitter.push(speakable(text)):
            await self._voice(clause)

    async def _end(self) -> None:
        assert self._splitter is not None
        for clause in self._splitter.flush():
            await self._voice(clause)
        self._splitter = None
        if not self._sounding:
            await self.send(self._audio_start())
        await self.send(AudioStop())

    async def _voice(self, clause: str) -> None:
        tts = self.deps.tts
        rate = tts.engine.sample_rate_hz
        async for pcm in tts.stream(lambda cancel: tts.engine.synthesize(clause, cancel)):
            if not self._sounding:
                self._sounding = True
                await self.send(self._audio_start())
            await self.send(AudioChunk(rate, 2, 1, pcm.astype("<i2").tobytes()))

    def _audio_start(self) -> AudioStart:
        return AudioStart(self.deps.tts.engine.sample_rate_hz, 2, 1)


@dataclass(slots=True)
class Talk:
    """One conversation. `lock`: its questions are answered one after the other."""

    call: str
    privacy: CallPrivacy
    lines: list[Line] = field(default_factory=list)
    turns: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Talks:
    """The conversations of all clients, by the id that Home Assistant gives them."""

    deps: CallDeps
    label: Label | None
    """What their turns begin with; None for the server's default."""
    _talks: OrderedDict[str, Talk] = field(default_factory=OrderedDict)

    def find(self, name: str) -> Talk:
        """The talk of this id, a new one for "" and for an unknown one."""
        talk = self._talks.pop(name, None) if name else None
        if talk is None:
            brain = self.deps.brain
            privacy = CallPrivacy(brain.default_label if self.label is None else self.label)
            talk = Talk(f"{KIND}-{new_call_id()}", privacy)
            brain.account.call_began(talk.call, KIND, "")
        self._talks[name or talk.call] = talk
        while len(self._talks) > TALKS_KEPT:
            self._end(self._talks.popitem(last=False)[1])
        return talk

    def close(self) -> None:
        """The service ends. Idempotent."""
        while self._talks:
            self._end(self._talks.popitem()[1])

    def _end(self, talk: Talk) -> None:
        end_talk(talk.call, self.deps.brain, talk.privacy, "forgotten")


@dataclass(slots=True)
class Handling:
    """handle: a transcript -> what the brain answers, in pieces and whole."""

    deps: CallDeps
    talks: Talks
    send: Send

    async def answer(self, asked: Transcript) -> None:
        """One question. Raises: ProtocolError."""
        if len(asked.text) > TEXT_LIMIT:
            raise ProtocolError(f"a question of {len(asked.text)} characters; the limit is {TEXT_LIMIT}")
        name = str((asked.context or {}).get("conversation_id") or "")
        talk = self.talks.find(name)
        context = {**(asked.context or {}), "conversation_id": name or talk.call}
        async with talk.lock:
            await self._answer(talk, asked.text, context)

    async def _answer(self, talk: Talk, text: str, context: dict[str, Any]) -> None:
        deps, account = self.deps, self.deps.brain.account
        talk.turns += 1
        turn, said = talk.turns, list[str]()
        talk.privacy.turn(turn, deps.brain.label_of(text))
        account.committed(talk.call, turn, text)
        lines = [*talk.lines, Line("user", text, turn=turn)]
        end: list[WroteAll] = []

        async def emit(piece: Piece) -> None:
            if isinstance(piece, WroteText):
                if not said:
                    await self.send(HandledStart(context=context))
                said.append(piece.text)
                await self.send(HandledChunk(piece.text))
            elif isinstance(piece, WroteAll):
                end.append(piece)

        last = next((line.text for line in reversed(talk.lines) if line.role == "assistant"), "")
        agenda = Agenda(notify=lambda _text: None, last_words=lambda: last, call_id=talk.call)
        try:
            async with asyncio.TaskGroup() as group:
                writer = Writer(talk.call, deps.brain, talk.privacy, deps.tools, agenda,
                                lambda work, name: group.create_task(work, name=f"{talk.call} {name}"))  # fmt: skip
                await writer.write(turn, lines, Wishes(looks_only=True), emit)
        finally:
            agenda.close()
            answer = "".join(said).strip()
            account.spoken(talk.call, PublishTurn(turn, text, answer, "", None, {}, ended=True))
        if answer:
            talk.lines = [*lines, Line("assistant", answer, turn=turn)][-LINES_KEPT:]
            await self.send(HandledStop())
            await self.send(Handled(answer, context))
        else:
            await self.send(NotHandled(deps.turn.no_answer, context))
