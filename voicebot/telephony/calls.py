"""One telephone call on an accepted socket, from its slot to the vendor's own way of ending it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from voicebot.calls import Unavailable
from voicebot.errors import ProtocolError
from voicebot.service import VoiceServer
from voicebot.telephony.access import Access, Grant
from voicebot.telephony.rest import OVER, send
from voicebot.telephony.vendor import Vendor
from voicebot.transports.base import PhoneLine
from voicebot.transports.telephony.rest import RestRequest
from voicebot.transports.telephony.socket import POLICY_VIOLATION, SocketTransport
from voicebot.transports.telephony.socket_like import Socket
from voicebot.transports.telephony.wire import Started, Wire

log = logging.getLogger(__name__)
NAME = re.compile(r"[!-~]{1,256}", re.ASCII)
"""What goes into URLs and logs as the vendor's name of a call."""
TARGET = re.compile(r"\+?[0-9]{2,20}|sips?:[A-Za-z0-9._+@:-]{1,200}", re.ASCII)
DIGITS = re.compile(r"[0-9*#A-D]{1,32}", re.ASCII)
TRY_AGAIN_LATER = 1013
"""Source: IANA's registry of WebSocket close codes."""
DocumentUrl = Callable[[str], str]
"""Where a vendor that must ask learns whom to dial, by target."""


async def carry(
    server: VoiceServer, access: Access, vendor: Vendor, socket: Socket, wire: Wire, grant: Grant, url: DocumentUrl
) -> None:
    """Take the call and return when it is over. It is ended with a close code and words where it cannot be taken."""
    try:
        with server.calls.slot() as slot:
            transport = SocketTransport(socket, wire)
            started = await _opened(transport, lambda call: access.fits(vendor.name, grant, call))
            if started is None:
                return
            line = _line(vendor, transport, started, url)
            record = await server.begin(slot, transport, started.call_sid, (started.caller, started.called), line)
    except Unavailable as error:
        await socket.close(TRY_AGAIN_LATER, str(error))
        return
    await record.over.wait()
    if transport.ended_by_us:
        await _ask(lambda: vendor.hang_up(started), f"ending {vendor.name} call {started.call_sid}", OVER)


async def _opened(transport: SocketTransport, fits: Callable[[str], bool]) -> Started | None:
    """The start message; None when there is none or its call may not come in, and then the socket is closed."""
    try:
        started = await transport.open()
        if started is not None and not NAME.fullmatch(started.call_sid):
            raise ProtocolError("the call's name is not 1 to 256 printable characters")
        if started is not None and not fits(started.call_sid):
            raise ProtocolError("the token in the URL is for another call", POLICY_VIOLATION)
    except ProtocolError as error:
        transport.refuse(str(error), error.close_code)
        started = None
    if started is None:
        await transport.shut()
    return started


def _line(vendor: Vendor, transport: SocketTransport, started: Started, url: DocumentUrl) -> PhoneLine:
    """What tools may ask of the call: in the stream where the vendor has it there, else over HTTP."""

    call = f"{vendor.name} call {started.call_sid}"

    async def transfer(target: str) -> bool:
        if not TARGET.fullmatch(target):
            log.warning("transferring %s: the target is neither a number nor a SIP address", call)
            return False
        asked = lambda: vendor.transfer(started, target, url(target))  # noqa: E731 - it is asked only where it must be
        return transport.transfer(target) or await _ask(asked, f"transferring {call}")

    async def send_digits(digits: str) -> bool:
        if not DIGITS.fullmatch(digits):
            log.warning("playing DTMF into %s: only 1 to 32 of 0-9 * # A-D can be played", call)
            return False
        asked = lambda: vendor.send_digits(started, digits)  # noqa: E731 - as above
        return transport.send_digits(digits) or await _ask(asked, f"playing DTMF into {call}")

    transfers = transport.transfers or vendor.transfer(started, "", "") is not None
    presses = transport.sends_digits or vendor.send_digits(started, "") is not None
    return PhoneLine(
        started.caller,
        started.called,
        started.parameters,
        send_digits if presses else None,
        transfer if transfers else None,
    )


async def _ask(ask: Callable[[], RestRequest | None], what: str, over: frozenset[int] = frozenset()) -> bool:
    """False also where the vendor has no such thing, or its secret is not set."""
    request = ask()
    return request is not None and await send(request, what, over)
