"""A remote language model sends nothing without a permit, and `brain.egress` alone makes permits.

Rules:
1. `registry` wraps every remote driver in `RemoteLlm`, so no other part of the product ever holds one.
2. A permit is for the very bytes of one request body, and for one use.
3. `generate`, which local engines answer, is refused: whoever calls it has gone round the gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from voicebot.engines.base import Cancel, LlmChunk, LlmEngine, LlmRequest, Locality
from voicebot.errors import EgressDenied


class RemoteDriver(LlmEngine, Protocol):
    """What a driver must offer beside `LlmEngine`, so that it may be remote."""

    @property
    def destination(self) -> str:
        """Host and port that its requests go to, and no other: "api.example.com:443"."""
        ...

    def body(self, request: LlmRequest) -> bytes:
        """The request as it is sent. Pure: nothing leaves."""
        ...

    def send(self, body: bytes, cancel: Cancel) -> Iterator[LlmChunk]:
        """Stream the reply to a body. Raises: as `generate`."""
        ...


@dataclass(slots=True)
class Permit:
    """Leave for one request body, once."""

    body: bytes
    used: bool = False


class RemoteLlm:
    """A remote driver behind its lock; to the rest of the product an `LlmEngine` that is asked through the gate."""

    locality: Locality = "remote"

    def __init__(self, driver: RemoteDriver) -> None:
        self._driver = driver
        self.max_concurrency = driver.max_concurrency

    @property
    def name(self) -> str:
        return self._driver.name

    @property
    def destination(self) -> str:
        return self._driver.destination

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self._driver.load()

    def close(self) -> None:
        """Idempotent."""
        self._driver.close()

    def body(self, request: LlmRequest) -> bytes:
        """The request as it would be sent. Pure: nothing leaves."""
        return self._driver.body(request)

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        """Never. Raises: EgressDenied."""
        raise EgressDenied(f"{self.name} is remote and was asked directly; ask it through brain.egress", "permit")

    def send(self, permit: Permit, cancel: Cancel) -> Iterator[LlmChunk]:
        """Stream the reply to a permitted body. Raises: EgressDenied for a used permit; as the driver's `generate`."""
        if permit.used:
            raise EgressDenied(f"a permit for {self.name} was used twice", "permit")
        permit.used = True
        yield from self._driver.send(permit.body, cancel)
