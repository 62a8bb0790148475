"""Puts the brain of a server together from its settings: the fleet, the router, the expert, the books.

Constructing is cheap and raises ConfigError; loading happens on the lanes and in threads, before the first call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from voicebot.books import Books, prices_of
from voicebot.brain.account import EXPERT, Account, Notebook
from voicebot.brain.answer import BrainDeps, Router, uncovered
from voicebot.brain.egress import EgressRecord
from voicebot.brain.expert import Expert
from voicebot.brain.fleet import Fleet
from voicebot.brain.policy import Limits
from voicebot.brain.router import load_router
from voicebot.brain.shadow import Shadows
from voicebot.config import Config, ledger_places
from voicebot.core.labels import label_named
from voicebot.documents import Documents, documents_of
from voicebot.engines.base import LlmEngine
from voicebot.engines.registry import create
from voicebot.engines.sentences import open_sentences
from voicebot.errors import ConfigError
from voicebot.frontier import Frontier, midnight
from voicebot.lane import Lane
from voicebot.ledger.prices import Price
from voicebot.ledger.reader import reading
from voicebot.ledger.rows import EgressRow
from voicebot.ledger.writer import LedgerWriter, open_ledger
from voicebot.members import made, with_defaults
from voicebot.profiles import Resolved, shipped_model

log = logging.getLogger(__name__)
ROUTER = Path("router")


@dataclass(slots=True)
class Brainwork:
    """The parts of a server's brain. Life: constructed, `load`ed, `deps` handed to calls, `aclose`d after the last."""

    config: Config
    resolved: Resolved
    main: Lane[LlmEngine]
    lanes: dict[str, Lane[LlmEngine]] = field(default_factory=dict)
    """Of members with an engine of their own, by URL."""
    fleet: Fleet = field(init=False)
    documents: Documents | None = field(init=False)
    writer: LedgerWriter | None = None
    router: Router | None = None
    frontier: Frontier = field(init=False)
    expert: Expert | None = None
    account: Account = field(default_factory=Notebook)
    shadows: Shadows | None = field(init=False)
    _opening: asyncio.Future[tuple[Price | None, float, float]] | None = None
    """The thread that opens the books: it cannot be cancelled, so `aclose` waits for it."""

    def __post_init__(self) -> None:
        self.documents = documents_of(self.config, self.resolved.models_dir)
        given = self.config.shadow
        self.shadows = Shadows(given.share, given.tasks, given.judge, busy=self._waited_for) if given.share else None
        self.fleet = self._fleet_of(self.config, self.lanes)
        self.frontier = Frontier(self.config, self.resolved.models_dir)

    def _fleet_of(self, config: Config, lanes: dict[str, Lane[LlmEngine]]) -> Fleet:
        """`lanes`: those that there are, by URL; what is missing is added, unloaded. Raises: ConfigError."""
        given = with_defaults(config, self.resolved.shipped_talker)
        search = self.documents.search if self.documents is not None else None
        members = []
        for name, one in given.items():
            lane = self._lane(one.engine, lanes)
            shipped = self.resolved.shipped_talker and lane is self.main
            members.append(made(name, one, lane, shipped, config, search))
        return Fleet(members)

    def _lane(self, url: str | None, lanes: dict[str, Lane[LlmEngine]]) -> Lane[LlmEngine]:
        if url is None or url == self.resolved.engines.llm:
            return self.main
        if url not in lanes:
            lanes[url] = Lane(here(create("llm", url, self.resolved.models_dir)))
        return lanes[url]

    async def swap(self, config: Config) -> list[Lane[LlmEngine]]:
        """Take the fleet of other settings, loaded; returns the lanes that it does not use, and calls may still.

        Raises: ConfigError, EngineError; everything is as it was then.
        """
        config = self.config.model_copy(update={"fleet": config.fleet})
        lanes = dict(self.lanes)
        fleet = self._fleet_of(config, lanes)
        new = [lane for url, lane in lanes.items() if url not in self.lanes]
        try:
            for lane in new:
                await lane.load()
        except BaseException:
            for lane in new:
                await lane.aclose()
            raise
        used = [member.lane for member in fleet]
        left = {url: lane for url, lane in lanes.items() if lane not in used}
        self.config, self.fleet = config, fleet
        self.lanes = {url: lane for url, lane in lanes.items() if url not in left}
        if isinstance(self.account, Books):
            self.account.engines = self._engines()
        return list(left.values())

    # ---- life

    async def load(self) -> None:
        """Load what the brain needs beside the main engines. Raises: ConfigError, EngineError."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes.values():
                group.create_task(lane.load())
            self._opening = asyncio.get_running_loop().run_in_executor(None, self._open_books)
            group.create_task(_done(self._opening))
            group.create_task(self.frontier.load())
            group.create_task(asyncio.to_thread(self._load_router))
            if self.documents is not None:
                group.create_task(self.documents.load())
        price, spent_usd, compared_usd = self._opening.result()
        self.expert = self.frontier.open(self._record, price, spent_usd)
        if self.shadows is not None:
            self.shadows.account = self.account
            self.shadows.expert = self.frontier.open_shadow(self._record, price, compared_usd)

    def _waited_for(self) -> bool:
        """Whether a turn waits for a language model."""
        lanes = [self.main, *self.lanes.values(), *([self.frontier.lane] if self.frontier.lane else [])]
        return any(lane.waiting for lane in lanes)

    def _record(self, record: EgressRecord) -> bool:
        """Keep on record what leaves; False if that failed."""
        assert self.writer is not None
        return self.writer.write(EgressRow(**asdict(record) | {"label": str(record.label)}))

    def _load_router(self) -> None:
        if url := self.config.router.url:
            sentences = partial(open_sentences, models_dir=self.resolved.models_dir)
            self.router = load_router(url, shipped_model(ROUTER), sentences)

    def _open_books(self) -> tuple[Price | None, float, float]:
        """Returns the expert's price and what has been spent today, on turns and on copies of them, US dollars."""
        ledger = self.config.ledger
        prices = prices_of(ledger)
        url, journal = ledger_places(self.config)
        self.writer = open_ledger(url, journal, prices, keep_texts=ledger.keep_texts)
        if self.config.frontier.url:
            prices.warm()
        engines = self._engines()
        self.account = Books(self.writer, prices, engines)
        if not self.config.frontier.url:
            return None, 0.0, 0.0
        engine, model = engines[EXPERT]
        with reading(url, journal) as books:
            today = midnight(time.time())
            spent_usd, compared_usd = (books.spent_usd(today, compared=one) for one in (False, True))
            return prices.price(model, engine), spent_usd, compared_usd

    def _engines(self) -> Mapping[str, tuple[str, str]]:
        """Member -> (engine URL without secrets, model), as price lists know them."""
        given = {member.name: self.config.fleet.get(member.name) for member in self.fleet}
        urls = {name: (one.engine if one else None) or self.resolved.engines.llm or "" for name, one in given.items()}
        urls[EXPERT] = self.config.frontier.url
        return {name: (without_secrets(url), model_of(url)) for name, url in urls.items()}

    def deps(self) -> BrainDeps:
        """What the server's calls share."""
        config = self.config
        limits = Limits(
            config.router.hard_at, config.router.oos_at, config.frontier.acknowledge_ms, config.documents.sure
        )
        return BrainDeps(
            self.fleet,
            self.account,
            self.frontier.label_of,
            self.router,
            self.expert,
            limits,
            label_named(config.privacy.default),
            self.shadows,
            self.documents.covers if self.documents is not None else uncovered,
        )

    async def aclose(self) -> None:
        """After the calls have ended. Idempotent."""
        for lane in self.lanes.values():
            await lane.aclose()
        await self.frontier.aclose()
        if self.documents is not None:
            await self.documents.aclose()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self.writer is not None:
            await asyncio.to_thread(self.writer.close)


async def _done(work: asyncio.Future[Any]) -> None:
    """Cancellation: the work goes on."""
    await asyncio.shield(work)


def here(engine: LlmEngine) -> LlmEngine:
    """The engine. Raises: ConfigError for one elsewhere: private turns need somebody on this machine to answer."""
    if engine.locality == "remote":
        raise ConfigError(
            f"{engine.name} is not on this machine, and everyone of the fleet hears private turns; set it as "
            "frontier.url, or reach it on the loopback address (a server or a tunnel of your own)"
        )
    return engine


def without_secrets(url: str) -> str:
    """An engine's URL without user, password and options."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def model_of(url: str) -> str:
    """The model's name in an engine's URL: its option `model`, else the file's or the path's last part."""
    parts = urlsplit(url)
    named = [value for key, _, value in (pair.partition("=") for pair in parts.query.split("&")) if key == "model"]
    return named[0] if named else parts.path.rpartition("/")[2] or parts.netloc
