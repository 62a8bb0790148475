"""What a call shows of itself: publish commands become events of the data channel, and each turn's account is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from voicebot.brain.account import Account
from voicebot.core import events as ev
from voicebot.metrics import SessionMetrics
from voicebot.transports.base import Transport


class Publisher:
    """One call's. Thread: the loop."""

    def __init__(self, call_id: str, transport: Transport, account: Account, metrics: SessionMetrics) -> None:
        self._call_id = call_id
        self._transport = transport
        self._account = account
        self._metrics = metrics
        self.turns: dict[int, dict[str, Any]] = {}
        """Each turn's latest `turn` event, by number; what the API shows of a call."""

    def publish(self, command: ev.Command) -> None:
        """An event that is named by what follows "Publish"."""
        body = {"type": type(command).__name__.removeprefix("Publish").lower(), **asdict(command)}
        match command:
            case ev.PublishTranscript(turn, text, final=True) if text:
                self._account.committed(self._call_id, turn, text)
            case ev.PublishErrand():
                self._account.errand(self._call_id, command)
            case ev.PublishTurn():
                self._book(command, body)
        self._transport.send_event(body)

    def _book(self, turn: ev.PublishTurn, body: dict[str, Any]) -> None:
        """Keep the turn's account, and add to it what only the books know."""
        if turn.turn not in self.turns and turn.v2v_ms is not None:
            self._metrics.turn(self._transport.kind, turn.waterfall)
        if turn.ended:
            for name in ("prompt_tokens", "cached_tokens"):
                self._metrics.count(name, turn.route.get(name, 0), transport=self._transport.kind)
        self._account.spoken(self._call_id, turn)
        if body["route"]:
            body["route"] |= {"cost_usd": self._account.cost_usd(self._call_id, turn.turn)}
        self.turns[turn.turn] = {key: value for key, value in body.items() if key != "type"}

    def show_cost(self, number: int) -> None:
        """A turn has cost more since its account was shown."""
        turn = self.turns.get(number)
        if turn is not None and turn["route"]:
            turn["route"] |= {"cost_usd": self._account.cost_usd(self._call_id, number)}
            self._transport.send_event({"type": "turn", **turn})
