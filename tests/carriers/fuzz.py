"""Mutated messages into every wire: nothing but ProtocolError comes out, nothing grows, nothing takes long.

    python -m tests.carriers.fuzz [--messages 1000000] [--seed 1] [VENDOR ...]

The seeds are the documented messages, as the vendors' carriers write them and as `EXTRA` has them. A run is repeatable:
the same seed makes the same messages.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from tests.carriers.vendors import VENDORS, Vendor
from voicebot.cli.carriers.base import Carrier
from voicebot.errors import ProtocolError
from voicebot.transports.telephony import audiosocket
from voicebot.transports.telephony.wire import Message, Wire

FRESH = 300
"""Messages after which the wire is a new one: long enough to meet what a state does to the next message."""
CONTAINER_LIMIT = 256
"""Most entries of anything that a wire keeps."""
GROWTH_LIMIT = 64 * 2**20
"""Bytes by which the process may grow."""

EXTRA: dict[str, Sequence[dict[str, Any] | str | bytes]] = {
    "twilio": [{"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "0:1"}}],
    "telnyx": [
        {"event": "mark", "stream_id": "s", "mark": {"name": "0:1"}},
        {"event": "error", "payload": {"code": 100002, "title": "unknown_error", "detail": "x"}},
    ],
    "plivo": [
        {"event": "playedStream", "streamId": "s", "name": "0:1"},
        {"event": "clearedAudio", "streamId": "s"},
    ],
    "vonage": [
        {"event": "websocket:notify", "payload": {"mark": "0:1"}},
        {"event": "websocket:cleared"},
        {"event": "websocket:dtmf", "digit": "5", "duration": 260},
    ],
    "exotel": [{"event": "mark", "stream_sid": "s", "mark": {"name": "0:1"}}],
    "jambonz": [
        {"type": "mark", "data": {"name": "0:1", "event": "playout"}},
        {"type": "mark", "data": {"name": "0:1", "event": "cleared"}},
    ],
    "audio_fork": [{"type": "mark", "data": {"name": "0:1", "event": "playout"}}],
    "audiohook": [
        {"version": "2", "id": "s", "type": kind, "seq": 9, "serverseq": 1, "position": "PT1.2S", "parameters": body}
        for kind, body in (
            ("ping", {"rtt": "PT0.02S"}),
            ("paused", {}),
            ("resumed", {"start": "PT1S", "discarded": "PT0.5S"}),
            ("discarded", {"start": "PT1S", "discarded": "PT0.5S"}),
            ("update", {"language": "en-US"}),
            ("error", {"code": 429, "message": "too many", "retryAfter": "PT2S"}),
            ("playback_started", {}),
            ("playback_completed", {}),
        )
    ],
    "asterisk": [
        {"event": "MEDIA_MARK_PROCESSED", "correlation_id": "0:1"},
        {"event": "QUEUE_DRAINED"},
        {"event": "MEDIA_XOFF"},
        {"event": "STATUS", "queue_length": 3, "xon_level": 800, "xoff_level": 900, "queue_full": False},
    ],
    "asterisk plain": [
        "MEDIA_MARK_PROCESSED correlation_id:0:1",
        "QUEUE_DRAINED",
        "STATUS queue_length:3 xon_level:800 xoff_level:900 queue_full:false bulk_media:true media_paused:false",
    ],
    "audiosocket": [audiosocket.frame(audiosocket.ERROR, b"\x01"), audiosocket.frame(0x12, bytes(640))],
}
NASTY: Sequence[Any] = (
    None, True, -1, 0, 2**64, 10**400, 1e308, "", "x", "9" * 400, "%%%", "AAA", "äöü", "\ud800", "a" * 3000, [], {},
    [[]], {"a": {}}, [1, 2, 3], "PT1S", "PT99999999999S", "0:1", "MEDIA_START", "PCMU", 8000, "16000", "inbound",
)  # fmt: skip


@dataclass
class Report:
    """Of one vendor's run."""

    vendor: str
    messages: int = 0
    understood: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class Mutator:
    """One seed's stream of messages for one carrier's call. `opening`: how that begins."""

    def __init__(self, vendor: Vendor, seed: int, carrier: Carrier | None = None) -> None:
        self._random = Random(f"{vendor.name} {seed}")
        carrier = carrier or vendor.carrier()
        self.opening = carrier.opening()
        frame = np.full(carrier.rate_hz // 50, 1000, np.int16)
        keys = [carrier.digit("5")] if carrier.presses else []
        self._seeds = [*self.opening, carrier.media(frame), *keys, *carrier.stop(), *_extra(vendor, self.opening)]

    def next(self) -> Message:
        seed = self._random.choice(self._seeds)
        if self._random.random() < 0.05:
            return seed
        if isinstance(seed, bytes):
            return self._bytes(seed)
        structured = seed.startswith("{") and self._random.random() < 0.6
        text = self._structure(seed) if structured else self._text(seed)
        return text if self._random.random() < 0.97 else text.encode(errors="replace")

    def _structure(self, text: str) -> str:
        """The JSON with a value, a key or a whole part changed."""
        message = json.loads(text)
        within, path = message, 0
        while path < 4:
            key = self._random.choice(list(within)) if within else None
            if key is None:
                break
            if isinstance(within[key], dict) and within[key] and self._random.random() < 0.7:
                within, path = within[key], path + 1
                continue
            act = self._random.random()
            if act < 0.2:
                del within[key]
            elif act < 0.3:
                within[str(self._random.choice(NASTY))[:40]] = within.pop(key)
            else:
                within[key] = self._random.choice(NASTY)
            break
        return json.dumps(message)

    def _text(self, text: str) -> str:
        """The text with a part cut, doubled, or overwritten."""
        at, until = sorted(self._random.randrange(len(text) + 1) for _ in range(2))
        act = self._random.random()
        if act < 0.4:
            until = min(until, at + 8)
            junk = "".join(chr(self._random.randrange(0x20, 0x250)) for _ in range(self._random.randrange(4)))
            return text[:at] + junk + text[until:]
        if act < 0.6:
            return text[:at]
        if act < 0.7:
            return text[:until] + text[at:]
        if act < 0.702:
            return "[" * 30_000 if act < 0.701 else text * 400
        return text[:at] + text[until:]

    def _bytes(self, data: bytes) -> bytes:
        act = self._random.random()
        if act < 0.3:
            return self._random.randbytes(self._random.randrange(0, 64))
        if act < 0.302:
            return self._random.randbytes(self._random.randrange(60_000, 70_000))
        changed = bytearray(data)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(changed) + 1)
            if act < 0.6 and at < len(changed):
                changed[at] = self._random.randrange(256)
            elif act < 0.8:
                del changed[at : at + self._random.randrange(1, 9)]
            else:
                changed[at:at] = self._random.randbytes(self._random.randrange(1, 5))
        return bytes(changed)


def fuzz(vendor: Vendor, messages: int, seed: int = 1, progress: Callable[[int], None] = lambda _n: None) -> Report:
    """Feed so many to the vendor's wire; what must not happen is in the report's `faults`, at most ten of them."""
    report = Report(vendor.name)
    mutator = Mutator(vendor, seed)
    wire = vendor.wire()
    for number in range(messages):
        if number % FRESH == 0:
            wire = _opened(vendor, mutator.opening)
            progress(number)
        message = mutator.next()
        began = time.thread_time()
        try:
            wire.parse(message)
            report.understood += 1
        except ProtocolError:
            report.refused += 1
        except Exception as error:  # noqa: BLE001 - it is what we are looking for
            report.faults.append(f"{type(error).__name__}: {error} for {message[:200]!r}")
        report.messages += 1
        report.slowest_s = max(report.slowest_s, time.thread_time() - began)
        if number % 10 == 0:
            _speak(wire, number)
        if number % FRESH == FRESH - 1 and (large := _large(wire)):
            report.faults.append(f"it keeps {large}")
        if len(report.faults) >= 10:
            break
    return report


def _extra(vendor: Vendor, opening: Sequence[Message]) -> list[Message]:
    """`EXTRA` in the session that was opened."""
    session = {"id": json.loads(opening[0])["id"]} if vendor.name == "audiohook" else {}
    return [json.dumps(one | session) if isinstance(one, dict) else one for one in EXTRA.get(vendor.name, ())]


def _opened(vendor: Vendor, opening: Sequence[Message]) -> Wire:
    wire = vendor.wire()
    for message in opening:
        wire.parse(message)
    wire.answers()
    return wire


def _speak(wire: Wire, number: int) -> None:
    """Our side goes on meanwhile."""
    wire.answers()
    for messages in (wire.begin(), wire.end(f"0:{number}"), wire.clear(), wire.pause(), wire.resume()):
        assert len(messages) <= 4
    wire.media(np.zeros(round(wire.packet_s * wire.playout_rate_hz), np.int16))


def _large(wire: Wire) -> str:
    sized = {name: len(value) for name, value in vars(wire).items() if hasattr(value, "__len__")}
    return ", ".join(f"{size} of {name}" for name, size in sized.items() if size > CONTAINER_LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vendors", nargs="*", help="all without any")
    parser.add_argument("--messages", type=int, default=1_000_000, help="for each vendor")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = False
    for vendor in VENDORS:
        if given.vendors and vendor.name not in given.vendors:
            continue
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        began = time.perf_counter()
        report = fuzz(vendor, given.messages, given.seed)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        if grown > GROWTH_LIMIT:
            report.faults.append(f"the process grew by {grown / 2**20:.0f} MiB")
        sys.stdout.write(
            f"{report.vendor:15} {report.messages:>8} messages, {report.understood} understood, "
            f"{report.refused} refused, slowest {report.slowest_s * 1000:.1f} ms, grown by {grown / 2**20:.1f} MiB, "
            f"{time.perf_counter() - began:.0f} s: {'ok' if not report.faults else 'FAULTS'}\n"
        )
        sys.stdout.writelines(f"    {fault}\n" for fault in report.faults)
        sys.stdout.flush()
        failed |= bool(report.faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
