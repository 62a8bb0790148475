"""A seeded caller: talks, pauses, interrupts, hums along, coughs, types, presses keys, is silent, and leaves."""

from __future__ import annotations

import asyncio
from random import Random

import numpy as np

from tests.sim.engines import NOISE, WORDS, CallerWords
from tests.sim.wire import SimWire
from voicebot.core.audio import silence
from voicebot.session import Session

TICK_S = 0.02
LAST_WORDS = ("please", "today", "for", "and", "the", "tomorrow")


class Caller:
    """`live` is the caller's whole call; cancelling it is losing interest at any moment."""

    def __init__(self, rng: Random, words: CallerWords, wire: SimWire, session: Session) -> None:
        self._rng = rng
        self._words = words
        self._wire = wire
        self._session = session
        self.patient = rng.random() < 0.3
        """Waits until all is quiet before leaving."""

    async def live(self) -> None:
        for _ in range(self._rng.randint(1, 7)):
            await self._act()
        if self.patient:
            await self._until("listening", 120.0)

    async def _act(self) -> None:
        acts = (self._ask, self._ask_and_interrupt, self._ask_and_hum, self._type, self._press, self._wait, self._noise)
        await self._rng.choices(acts, (40, 22, 18, 6, 4, 6, 4))[0]()

    async def _ask(self) -> None:
        await self._say(self._rng.randint(1, 8))
        await self._until("listening", self._rng.choice((0.5, 12.0, 12.0)), after=self._rng.uniform(0.3, 2.0))

    async def _ask_and_interrupt(self) -> None:
        """Early, late, or while the bot still thinks."""
        await self._say(self._rng.randint(1, 5))
        await self._until(self._rng.choice(("speaking", "speaking", "thinking")), 8.0)
        await asyncio.sleep(self._rng.choice((0.0, self._rng.uniform(0.0, 1.2), self._rng.uniform(1.0, 5.0))))
        if self._rng.random() < 0.3:
            await self._utter(["stop"])
        else:
            await self._say(self._rng.randint(1, 6))
        await self._until("listening", 10.0, after=0.5)

    async def _ask_and_hum(self) -> None:
        await self._say(self._rng.randint(1, 4))
        await self._until("speaking", 8.0)
        for _ in range(self._rng.randint(1, 3)):
            await asyncio.sleep(self._rng.uniform(0.0, 2.0))
            if self._rng.random() < 0.5:
                await self._utter([self._rng.choice(("okay", "mm-hm", "right"))])
            else:
                await self._noise()
        await self._until("listening", 10.0)

    async def _type(self) -> None:
        await self._sleep_sometimes()
        self._session.push_text(self._rng.choice(("what is next", "  ", " ".join(self._rng.choices(WORDS, k=5)))))
        await self._until("listening", 10.0, after=self._rng.uniform(0.0, 1.0))

    async def _press(self) -> None:
        for _ in range(self._rng.randint(1, 5)):
            self._session.push_digit(self._rng.choice("0123456789*#"))
            await asyncio.sleep(self._rng.uniform(0.05, 1.8))

    async def _wait(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.5, 6.0))

    async def _noise(self) -> None:
        self._wire.say(np.full(16 * self._rng.randint(60, 900), NOISE, dtype=np.int16))
        await self._said()

    async def _say(self, words: int) -> None:
        said = self._rng.choices(WORDS, k=words)
        if self._rng.random() < 0.4:
            said.append(self._rng.choice(LAST_WORDS))
        await self._utter(said)

    async def _utter(self, words: list[str]) -> None:
        for word in words:
            self._wire.say(self._words.say(word, self._rng.randint(180, 420)))
            if self._rng.random() < 0.25:
                self._wire.say(silence(16 * self._rng.choice((60, 120, 250, 500, 900))))
        await self._said()

    async def _said(self) -> None:
        while self._wire.to_say:
            await asyncio.sleep(TICK_S)

    async def _sleep_sometimes(self) -> None:
        if self._rng.random() < 0.5:
            await asyncio.sleep(self._rng.uniform(0.0, 1.0))

    async def _until(self, state: str, limit_s: float, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        for _ in range(int(limit_s / TICK_S)):
            if self._wire.state == state:
                return
            await asyncio.sleep(TICK_S)
