"""The way out of a server, put together from its settings: the expert behind its gate, the detector of what is
personal, the label that a call begins with, and what the operator is told of it all.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from voicebot.brain.breaker import Breaker, BreakerSettings
from voicebot.brain.budget import DAY_S, Budget, Caps
from voicebot.brain.detector import Detector
from voicebot.brain.egress import Egress, EgressRecord
from voicebot.brain.expert import PROMPT, Expert
from voicebot.brain.privacy import Verdict, asked_for
from voicebot.brain.redaction import Redactor
from voicebot.config import Config
from voicebot.config_brain import PrivacyConfig
from voicebot.core.labels import Label, label_named, strictest
from voicebot.engines.base import LlmEngine
from voicebot.engines.registry import create
from voicebot.engines.remote import RemoteLlm
from voicebot.lane import Lane
from voicebot.ledger.prices import Price


@dataclass(slots=True)
class Frontier:
    """Life: constructed (raises ConfigError), `load`ed, `open`ed once the ledger is there, `aclose`d."""

    config: Config
    models_dir: Path
    lane: Lane[LlmEngine] | None = field(init=False)
    """The expert's own, so that it never waits behind the talker."""
    detector: Detector | None = None
    """None: nothing can leave, so nothing is looked for but a request for privacy."""

    def __post_init__(self) -> None:
        url = self.config.frontier.url
        self.lane = Lane(create("llm", url, self.models_dir)) if url else None

    @property
    def remote(self) -> RemoteLlm | None:
        """The expert, where words leave this machine to reach it."""
        return self.lane.engine if self.lane is not None and isinstance(self.lane.engine, RemoteLlm) else None

    async def load(self) -> None:
        """Raises: EngineError, for an expert that cannot be set up; whether it can be reached is seen when asked."""
        if self.lane is not None:
            await self.lane.load()
        if self.remote is not None or self.config.privacy.allow:
            self.detector = await asyncio.to_thread(Detector)

    def open(
        self, record: Callable[[EgressRecord], bool], price: Price | None, spent_today_usd: float
    ) -> Expert | None:
        """The expert, None where none is set. `record` keeps what left. Raises: ConfigError, for a cap on money
        without a price."""
        given = self.config.frontier
        return self._gated(
            record, price, Caps(_or_all(given.usd_per_call), _or_all(given.usd_per_day)), spent_today_usd
        )

    def open_shadow(
        self, record: Callable[[EgressRecord], bool], price: Price | None, spent_today_usd: float
    ) -> Expert | None:
        """The same for copies: a gate with money, a breaker and estimates of its own, so that live turns never pay for
        them. None where nothing is copied. Raises: ConfigError, as `open`."""
        given = self.config.shadow
        return self._gated(record, price, Caps(per_day_usd=given.usd_per_day), spent_today_usd) if given.share else None

    def _gated(
        self, record: Callable[[EgressRecord], bool], price: Price | None, caps: Caps, spent_today_usd: float
    ) -> Expert | None:
        given = self.config.frontier
        if self.lane is None:
            return None
        gate = Egress(
            self.lane,
            record,
            self._redactor,
            breaker=Breaker(BreakerSettings(given.failures, given.rest_s)),
            budget=Budget(caps, time.time(), spent_today_usd),
            cost=price.cost if price is not None else None,
        )
        return Expert(
            self.lane.engine.name,
            gate,
            gate.state,
            gate.end_call,
            gate.remote,
            given.timeout_s,
            given.max_tokens,
            PROMPT if given.prompt is None else given.prompt,
        )

    def _redactor(self) -> Redactor:
        """Raises: LookupError, while the detector is down; the gate denies then."""
        if self.detector is None or self.detector.finder is None:
            raise LookupError("the detector was not loaded")
        return Redactor(self.detector.finder)

    def label_of(self, text: str) -> Verdict:
        """What a turn's words call for."""
        return asked_for(text) if self.detector is None else self.detector.label_of(text)

    def clean(self, text: str) -> bool:
        """Whether there are no personal details in what a remote tool would be given."""
        return self.detector is not None and self.detector.label_of(text).label is Label.OPEN

    def told(self) -> list[str]:
        """Whether words may leave this machine, where to and under which labels; for the operator."""
        return outward(self.config, self.remote, self.detector.problem if self.detector else "")

    async def aclose(self) -> None:
        """Idempotent."""
        if self.lane is not None:
            await self.lane.aclose()


def outward(config: Config, remote: RemoteLlm | None, problem: str = "") -> list[str]:
    """Sentences on what may leave. `problem`: why the detector is down, "" while it works."""
    allow = config.privacy.allow
    tools = [f"tools may send words to {', '.join(allow)}, as privacy.allow says"] if allow else []
    if remote is None:
        return tools or ["no words leave this machine: no remote model is set"]
    told = [f"words may leave this machine to {remote.destination} ({remote.name}), when a turn is too hard for it"]
    told += [_label_told(config.privacy), _caps_told(config), *_shadow_told(config), *tools]
    return told + ([f"the privacy detector {problem}; every turn stays on this machine"] if problem else [])


def _label_told(privacy: PrivacyConfig) -> str:
    how = {
        "open": "they leave as they are, but for turns with personal details, which are taken out",
        "redact": "personal details are taken out first",
        "local_only": "none do: every turn is private",
    }[privacy.default]
    others = {**privacy.transports, **privacy.numbers}
    stricter = sorted(name for name, label in others.items() if label_named(label) > label_named(privacy.default))
    more = f"; stricter for {', '.join(stricter)}" if stricter else ""
    return f"privacy.default is {privacy.default}: {how}{more}"


def _caps_told(config: Config) -> str:
    caps = {"call": config.frontier.usd_per_call, "day": config.frontier.usd_per_day}
    set_caps = [f"${usd:g} a {what}" for what, usd in caps.items() if usd is not None]
    return f"at most {' and '.join(set_caps)} is spent" if set_caps else "what may be spent is not limited"


def _shadow_told(config: Config) -> list[str]:
    given = config.shadow
    if not given.share:
        return []
    what = "copies of answered turns, and of two answers to judge them," if given.judge else "copies of answered turns"
    return [f"{what} of {given.share:.0%} of callers go there as well, for at most ${given.usd_per_day:g} a day more"]


def call_label(privacy: PrivacyConfig, transport: str, numbers: Collection[str] = ()) -> Label:
    """The label that a call's turns begin with: the strictest of those that the settings give for it.

    `numbers`: those that call and are called, in any usual spelling.
    """
    plain = [_plain(number) for number in numbers if number]
    named = [privacy.default, privacy.transports.get(transport, "open")]
    named += [label for pattern, label in privacy.numbers.items() if any(_fits(pattern, one) for one in plain)]
    return strictest(map(label_named, named))


def _fits(pattern: str, number: str) -> bool:
    head, star, _ = pattern.partition("*")
    return number.startswith(_plain(head)) if star else number == _plain(head)


def _plain(number: str) -> str:
    """ "+1 (555) 01-00" as "+15550100"; "00" before a country code is "+"."""
    return re.sub(r"^00", "+", re.sub(r"[\s().-]", "", number))


def midnight(now: float) -> float:
    """When the day of `now` began, UTC; both in Unix seconds."""
    return now // DAY_S * DAY_S


def _or_all(cap: float | None) -> float:
    return math.inf if cap is None else cap
