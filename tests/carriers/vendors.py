"""Every vendor once: our wire, its carrier, and what of the protocol it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicebot.cli.carriers.base import Carrier
from voicebot.cli.carriers.events import ExotelCarrier, PlivoCarrier, TelnyxCarrier, TwilioCarrier
from voicebot.cli.carriers.exchange import AsteriskCarrier, AudioHookCarrier, AudioSocketCarrier
from voicebot.cli.carriers.streams import AudioForkCarrier, AudioStreamCarrier, JambonzCarrier, VonageCarrier
from voicebot.transports.telephony.asterisk import AsteriskWire
from voicebot.transports.telephony.audio_stream import AudioStreamWire
from voicebot.transports.telephony.audiohook import AudioHookWire
from voicebot.transports.telephony.audiosocket import AudioSocketWire
from voicebot.transports.telephony.exotel import ExotelWire
from voicebot.transports.telephony.jambonz import ForkWire
from voicebot.transports.telephony.plivo import PlivoWire
from voicebot.transports.telephony.telnyx import TelnyxWire
from voicebot.transports.telephony.twilio import TwilioWire
from voicebot.transports.telephony.vonage import VonageWire
from voicebot.transports.telephony.wire import Wire


@dataclass(frozen=True)
class Vendor:
    """`marks`: whether it tells what was played; `numbers`: whether its stream tells who calls."""

    name: str
    wire: Callable[[], Wire]
    carrier: Callable[..., Carrier]
    marks: bool = True
    numbers: bool = True
    parameters: bool = True
    stops: bool = True
    """Whether it says so when the caller has hung up, and does not only close the socket."""


def _plain_asterisk(rate_hz: int = 16_000, buffering_s: float = 0.0) -> AsteriskCarrier:
    return AsteriskCarrier(rate_hz, buffering_s, plain=True)


VENDORS = (
    Vendor("twilio", TwilioWire, TwilioCarrier),
    Vendor("telnyx", TelnyxWire, TelnyxCarrier),
    Vendor("plivo", PlivoWire, PlivoCarrier),
    Vendor("vonage", VonageWire, VonageCarrier, stops=False),
    Vendor("exotel", ExotelWire, ExotelCarrier),
    Vendor("jambonz", ForkWire, JambonzCarrier, stops=False),
    Vendor("audio_fork", lambda: ForkWire("audio_fork"), AudioForkCarrier, stops=False),
    Vendor("audio_stream", AudioStreamWire, AudioStreamCarrier, marks=False, stops=False),
    Vendor("audiohook", AudioHookWire, AudioHookCarrier, marks=False),
    Vendor("asterisk", AsteriskWire, AsteriskCarrier, numbers=False, stops=False),
    Vendor("asterisk plain", AsteriskWire, _plain_asterisk, numbers=False, parameters=False, stops=False),
    Vendor("audiosocket", AudioSocketWire, AudioSocketCarrier, marks=False, numbers=False, parameters=False),
)
