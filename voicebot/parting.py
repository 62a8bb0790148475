"""How a call ends by the bot's wish: when the reply that says so has been heard, unless the caller goes on."""

from __future__ import annotations

from voicebot.transports.base import Transfers, Transport


class Parting:
    """One call's. Thread: the loop."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reason = self._target = ""

    @property
    def can_transfer(self) -> bool:
        return isinstance(self._transport, Transfers)

    def hang_up(self, reason: str) -> None:
        self._reason, self._target = reason, ""

    def transfer(self, target: str) -> None:
        """The far end takes the caller on to `target`."""
        self._reason, self._target = "transferred", target

    def put_off(self) -> None:
        """The caller goes on talking."""
        self._reason = self._target = ""

    def take(self) -> str:
        """The bot has been heard: why the call ends now, "" if it does not. The wire learns of a transfer."""
        reason, target = self._reason, self._target
        self.put_off()
        if target and isinstance(self._transport, Transfers):
            self._transport.transfer(target)
        return reason
