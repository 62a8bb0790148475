"""What a request costs: the operator's own prices first, then nothing for local models, then the public price lists.

The lists are those inside the package genai-prices; nothing is fetched. A model that no list knows has no cost: None,
which the bill names, and never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from voicebot.errors import ConfigError

MTOK = 1_000_000
TIERS_FROM = 100_000
"""Prompt tokens below which no provider's list has a second tier, so that one price per token holds.

Source: the lists of genai-prices 0.2.3, where the lowest tier begins at 128,000.
"""
PROVIDERS = {"openai": "openai", "anthropic": "anthropic"}
"""Scheme of an engine's URL -> provider, where the URL has no host."""
CHARS_PER_TOKEN = 4
"""For estimates. Source: the rule of thumb of the tokenizers' makers for English prose."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. `cached_usd` None: cached tokens cost as much as others."""

    input_usd: float
    output_usd: float
    cached_usd: float | None = None

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """In US dollars. `cached`: of the prompt's tokens, those read from the provider's cache."""
        cached = min(cached, prompt)
        cached_usd = self.input_usd if self.cached_usd is None else self.cached_usd
        return ((prompt - cached) * self.input_usd + cached * cached_usd + completion * self.output_usd) / MTOK


@dataclass(frozen=True, slots=True)
class Prices:
    """`overrides`: model -> price, stronger than any list. `local_usd_per_hour`: of a local model's computing time."""

    overrides: Mapping[str, Price] = field(default_factory=dict)
    local_usd_per_hour: float = 0.0

    def cost(
        self,
        model: str,
        engine: str,
        destination: Literal["local", "remote"],
        prompt: int | None,
        completion: int | None,
        cached: int | None = None,
        ms: float | None = None,
    ) -> float | None:
        """One request's cost in US dollars; None where it cannot be known."""
        if destination == "local" and model not in self.overrides:
            if not self.local_usd_per_hour:
                return 0.0
            return None if ms is None else ms / 3_600_000 * self.local_usd_per_hour
        price = self.price(model, engine)
        if price is None or prompt is None or completion is None:
            return None
        return price.cost(prompt, completion, cached or 0)

    def price(self, model: str, engine: str = "") -> Price | None:
        """A model's price: by the host of the engine's URL, by name alone where there is no URL."""
        return self.overrides.get(model) or _listed(model, *_provider(engine))

    def reference(self, model: str) -> Price:
        """The price to compare with. Raises: ConfigError, when it is not known."""
        price = self.price(model)
        if price is None:
            raise ConfigError(
                f"no price is known for the reference model {model!r}; name another, or set its price in ledger.prices"
            )
        return price

    def warm(self) -> None:
        """Read the lists now, a second of work, and not in the middle of a call."""
        _listed("", "openai", None)


def _provider(engine: str) -> tuple[str | None, str | None]:
    """Provider's id, or its address, as far as the engine's URL tells."""
    if not engine:
        return None, None
    parts = urlsplit(engine)
    if not parts.hostname or "." not in parts.hostname:
        return PROVIDERS.get(parts.scheme), None
    return None, f"https://{parts.netloc.rpartition('@')[2]}{parts.path}"


@lru_cache(1024)
def _listed(model: str, provider: str | None, address: str | None) -> Price | None:
    """The list's price for requests below the second tier."""
    from genai_prices import Usage, calc_price

    def usd(prompt: int, completion: int, cached: int) -> float:
        usage = Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached)
        if address is not None:
            return float(calc_price(usage, model, provider_api_url=address).total_price)
        return float(calc_price(usage, model, provider_id=provider).total_price)

    part, scale = TIERS_FROM // 10, MTOK / (TIERS_FROM // 10)
    try:
        price = Price(usd(part, 0, 0) * scale, usd(0, part, 0) * scale, usd(part, 0, part) * scale)
    except LookupError:
        return None
    return price if price.input_usd or price.output_usd else None


def estimated_tokens(chars: int) -> int:
    """Of a text of so many characters."""
    return math.ceil(chars / CHARS_PER_TOKEN)
