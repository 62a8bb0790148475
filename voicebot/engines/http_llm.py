"""What the drivers of language models behind HTTP share: the address, the key, one async client for each lane thread.

A blocking read cannot be interrupted from outside, but a task can be cancelled while no token arrives, and its
connection is closed: so each lane thread drives an event loop of its own. Nothing is retried here, no redirect is
followed, no proxy stands before this machine itself, and no SDK writes spans or logs of prompts: retrying is the
caller's policy, and words go to one host only.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import json
import logging
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Locality, TextDelta, ToolCall
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import ConfigError, EngineBadOutput, EngineError, EngineTimeout, EngineUnavailable

T = TypeVar("T")
POLL_S = 0.02
"""How often a waiting request looks at its cancellation token and its deadlines."""
NO_KEY = "none"
"""Sent to servers that want no key; the SDKs insist on one."""


class HttpOptions(DriverOptions):
    """Of every such driver."""

    model: str = Field(min_length=1)
    key_env: str = Field(pattern=r"^[A-Za-z_]\w*$")
    """The environment variable that holds the API key."""
    locality: Literal["", "remote"] = ""
    """"remote" guards a loopback address as if it were elsewhere: a tunnel or a proxy listens there. There is no
    "local": a host elsewhere cannot be declared to be here."""
    tls: bool | None = None
    """Whether to speak https; by default yes, but not to the loopback."""
    connect_s: float = Field(5.0, gt=0)
    first_token_s: float = Field(15.0, gt=0)
    total_s: float = Field(60.0, gt=0)
    max_concurrency: int = Field(8, ge=1, le=256)


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go. `destination` is host and port, as the record of what left names them."""

    host: str
    base_url: str
    destination: str
    locality: Locality

    @classmethod
    def of(cls, spec: EngineSpec, options: HttpOptions, usual_host: str = "") -> Address:
        """`usual_host`: for a URL without one. Raises: ConfigError."""
        target = spec.target or usual_host
        try:
            parts = urlsplit(f"//{target}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{spec.url}: {error}") from error
        if not host:
            raise ConfigError(f"{spec.url}: no host; write {spec.scheme}://host[:port]/v1?model=NAME")
        here = _is_loopback(host)
        tls = not here if options.tls is None else options.tls
        destination = f"{f'[{host}]' if ':' in host else host}:{port or (443 if tls else 80)}"
        locality: Locality = "local" if here and options.locality != "remote" else "remote"
        return cls(host, f"{'https' if tls else 'http'}://{target}", destination, locality)


class Reply(Protocol):
    """What a stream of an SDK's chunks adds up to."""

    begun: bool
    """Whether the model has begun to answer."""

    def take(self, chunk: Any) -> Iterator[TextDelta]:
        """Text comes at once; tool calls come in pieces and are kept for the end."""
        ...

    def finish(self) -> Iterator[ToolCall | LlmDone]:
        """Raises: EngineBadOutput for a broken tool call or a stream that was not ended properly."""
        ...


class HttpLlm:
    """A `remote.RemoteDriver`; a driver adds its SDK's client, its body, its reading of chunks and of errors."""

    SDK: ClassVar[str]
    """The package, which is also the name of the driver."""

    def __init__(self, spec: EngineSpec, options: HttpOptions, address: Address) -> None:
        self._spec = spec
        self._given = options
        self._address = address
        self.locality: Locality = address.locality
        self.destination = address.destination
        self.max_concurrency = options.max_concurrency
        self._key: str | None = None
        self._streams = _Streams(self._open_client, options.first_token_s, options.total_s)

    @property
    def name(self) -> str:
        return f"{self._spec.scheme} {self._given.model}"

    def load(self) -> None:
        """No request is made: it may cost money. Raises: EngineUnavailable without the SDK or a remote's key."""
        try:
            importlib.import_module(self.SDK)
        except ImportError as error:
            raise EngineUnavailable(
                f"{self._spec.scheme}:// needs the package {self.SDK} ({error}); install voicebot[{self.SDK}]"
            ) from error
        logging.getLogger(self.SDK).setLevel(logging.INFO)  # By the environment it would log bodies.
        self._key = os.environ.get(self._given.key_env) or None
        if self._key is None and self.locality == "remote":
            raise EngineUnavailable(f"{self._spec.url}: no API key; set the environment variable {self._given.key_env}")

    def close(self) -> None:
        """Idempotent. Thread: one that no request runs on; no request may be under way."""
        self._streams.close()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        """Cancellation: within `POLL_S`, also while nothing arrives; the connection is closed."""
        return self.send(self.body(request), cancel)

    def body(self, request: LlmRequest) -> bytes:
        """Raises: EngineBadOutput for a request that JSON cannot hold."""
        try:
            return json.dumps(self._fields(request), ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise EngineBadOutput(f"{self.name}: the request cannot be written: {type(error).__name__}") from None

    def send(self, body: bytes, cancel: Cancel) -> Iterator[LlmChunk]:
        """Stream the reply to a body, which goes out byte for byte. Cancellation: as `generate`."""
        reply = self._reply()
        try:
            for chunk in self._streams.stream(partial(self._post, body), cancel, lambda: reply.begun):
                yield from reply.take(chunk)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 - the SDK, its HTTP client and JSON have no common base class
            raise self._translate(error) from None  # What it says may repeat the prompt.
        if not cancel.is_set():
            yield from reply.finish()

    # ---- what a driver adds

    def _open_client(self) -> Any:
        """The SDK's asynchronous client, which must not retry."""
        raise NotImplementedError

    async def _post(self, body: bytes, client: Any) -> Any:
        """The SDK's own streaming request, of a body that is written already: what was permitted is what is sent."""
        raise NotImplementedError

    def _fields(self, request: LlmRequest) -> dict[str, Any]:
        raise NotImplementedError

    def _reply(self) -> Reply:
        raise NotImplementedError

    def _translate(self, error: Exception) -> EngineError:
        raise NotImplementedError

    @property
    def _http_options(self) -> dict[str, Any]:
        """For the SDK's HTTP client. Proxies of the environment are for the way to others."""
        return {"follow_redirects": False, "trust_env": self.locality == "remote"}


class _Streams:
    """A client and an event loop for each lane thread; connections are kept between requests."""

    def __init__(self, open_client: Callable[[], Any], first_s: float, total_s: float) -> None:
        self._open_client = open_client
        self._first_s, self._total_s = first_s, total_s
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._opened: list[tuple[asyncio.AbstractEventLoop, Any]] = []

    def stream(self, post: Callable[[Any], Awaitable[Any]], cancel: Cancel, begun: Callable[[], bool]) -> Iterator[Any]:
        """The reply's chunks. Ends early when cancelled. Raises: EngineTimeout.

        The loop resolves names on a thread; it has one for the length of the request only, so that none is left.
        """
        loop, client = self._own()
        resolver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm-dns")
        loop.set_default_executor(resolver)
        try:
            yield from self._stream(loop, post(client), cancel, begun)
        finally:
            resolver.shutdown(wait=False, cancel_futures=True)

    def _stream(
        self, loop: asyncio.AbstractEventLoop, response: Awaitable[Any], cancel: Cancel, begun: Callable[[], bool]
    ) -> Iterator[Any]:
        started = time.monotonic()
        all_by = started + self._total_s
        first_by = min(started + self._first_s, all_by)
        opened = loop.run_until_complete(_watch(response, cancel, first_by))
        if opened is None:
            return
        chunks: AsyncIterator[Any] = aiter(opened)
        try:
            while True:
                deadline = all_by if begun() else first_by
                chunk = loop.run_until_complete(_watch(_next_or_none(chunks), cancel, deadline))
                if chunk is None:
                    return
                yield chunk
        finally:
            loop.run_until_complete(opened.close())

    def _own(self) -> tuple[asyncio.AbstractEventLoop, Any]:
        """This thread's."""
        own: tuple[asyncio.AbstractEventLoop, Any] | None = getattr(self._thread, "own", None)
        if own is None:
            own = self._thread.own = (asyncio.new_event_loop(), self._open_client())
            with self._lock:
                self._opened.append(own)
        return own

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            opened, self._opened = self._opened, []
            self._thread = threading.local()
        for loop, client in opened:
            loop.run_until_complete(client.close())
            loop.close()


async def _next_or_none(chunks: AsyncIterator[Any]) -> Any | None:
    return await anext(chunks, None)


async def _watch(awaitable: Awaitable[T], cancel: Cancel, deadline: float) -> T | None:
    """The result, or None if cancelled. Raises: EngineTimeout past the deadline (monotonic seconds)."""
    task = asyncio.ensure_future(awaitable)
    try:
        while not task.done():
            if cancel.is_set():
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                raise EngineTimeout("no answer in time; raise first_token_s or total_s, or use a faster model")
            await asyncio.wait({task}, timeout=min(POLL_S, left))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


_CODE = re.compile(r"[\w.-]{1,60}")


def kind_of(error: Exception, code: object = None) -> str:
    """An error's class, HTTP status and code: what tells it apart without a word of anybody's."""
    status = getattr(error, "status_code", None)
    known = [f"HTTP {status}"] if status else []
    known += [code] if isinstance(code, str) and _CODE.fullmatch(code) else []
    known = known or ([type(error.__cause__).__name__] if error.__cause__ is not None else [])
    return f"{type(error).__name__} ({', '.join(known)})" if known else type(error).__name__


def clean(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", errors="replace").decode()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
