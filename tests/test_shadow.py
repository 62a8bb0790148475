"""Copies of turns in the real server: redacted, recorded and paid for apart, and off where they are not asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import chat_server
from tests.engines.chat_server import ChatServer
from tests.served import Caller, calling, ledger_of, loaded, served
from tests.test_fleet_served import brain
from voicebot.config import load_config
from voicebot.errors import ConfigError
from voicebot.frontier import outward
from voicebot.ledger.prices import Prices
from voicebot.ledger.reader import reading
from voicebot.service import VoiceServer

PHONE = "415 555 0100"
SAID = f"good morning, my number is {PHONE}"
ALL = "fleet.talker.tasks=['talk', 'tools', 'rewrite', 'extract', 'classify', 'retrieve', 'oos']"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.setattr("voicebot.pressure.LAG_S", 60.0)  # However busy the machine is, copies are not dropped here.
    with chat_server.running() as running:
        running.answer = "Hello to you."
        yield running


def settings(provider: ChatServer, *more: str) -> list[str]:
    """Everybody's turns are copied to the frontier, which no turn asks for itself."""
    priced = "ledger.prices={ expert = { input_usd = 10.0, output_usd = 20.0 } }"
    here = ["router.hard_at=1", "router.oos_at=1", "fleet.talker.general=true", ALL]
    return [f"frontier.url={provider.url('expert', locality='remote')}", priced, *here, "shadow.share=1", *more]


def copied(tmp_path: Path, overrides: list[str]) -> tuple[Caller, list[str]]:
    """A call of one turn, and what became of its copy."""
    outcomes: list[str] = []

    async def main() -> Caller:
        async with served(tmp_path, *overrides) as server:
            if (shadows := server._brain.shadows) is not None:
                shadows.count = outcomes.append
            async with calling(server) as caller:
                caller.type(SAID)
                await caller.until_told(1)
                assert outcomes == []
            if shadows is not None and shadows.share == 1:
                await caller.until(lambda: bool(outcomes))
        return caller

    return asyncio.run(main()), outcomes


@pytest.mark.realtime
def test_a_copy_leaves_redacted_is_on_record_and_paid_for_apart(tmp_path: Path, provider: ChatServer) -> None:
    caller, outcomes = copied(tmp_path, settings(provider))
    assert outcomes == ["compared"] and caller.told == ["Hello to you."]
    (body,) = provider.bodies
    assert PHONE not in body.decode() and "<PHONE_NUMBER_1>" in body.decode() and '"tools"' in body.decode()
    kept = ledger_of(tmp_path, caller.call_id)
    (left,) = kept["egress"]
    assert (left["purpose"], left["outcome"], left["label"]) == ("shadow", "sent", "redact")
    shadow = next(row for row in kept["attempts"] if row["purpose"] == "shadow")
    assert (shadow["agreement"], shadow["reason"], shadow["destination"]) == (1.0, "words", "remote")
    cost = (12 * 10 + 3 * 20) / 1e6
    assert shadow["cost_usd"] == pytest.approx(cost)
    shown = [turn["route"] for turn in caller.shown("turn") if turn["route"]][-1]
    assert shown["cost_usd"] == 0.0, "the turn itself cost nothing"
    with reading(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "journal", Prices()) as ledger:
        spent = [ledger.spent_usd(0, compared=one) for one in (None, True, False)]
    assert spent == [pytest.approx(cost), pytest.approx(cost), 0.0]


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("more", "became"),
    [
        (["shadow.usd_per_day=0"], ["dropped: expert"]),
        (["privacy.default=local_only"], []),
        (["shadow.share=0"], []),
        (["shadow.tasks=['extract']"], []),
    ],
)
def test_without_money_leave_or_share_no_copy_leaves(
    tmp_path: Path, provider: ChatServer, more: list[str], became: list[str]
) -> None:
    async def main() -> list[str]:
        outcomes: list[str] = []
        async with served(tmp_path, *settings(provider, *more)) as server:
            if server._brain.shadows is not None:
                server._brain.shadows.count = outcomes.append
            async with calling(server) as caller:
                caller.type(SAID)
                await caller.until_told(1)
            if became:
                await caller.until(lambda: bool(outcomes))
        return outcomes

    assert asyncio.run(main()) == became and provider.bodies == []


def test_copies_need_a_price_because_they_have_a_cap(tmp_path: Path, provider: ChatServer) -> None:
    async def main() -> str:
        url = provider.url("no-such-model", locality="remote")
        async with loaded(tmp_path, f"frontier.url={url}", "shadow.share=0.1") as server:
            return server.error

    assert "ledger.prices" in asyncio.run(main())


def test_the_operator_is_told_that_copies_leave(tmp_path: Path) -> None:
    far = "frontier.url=openai://api.example.com/v1?model=x"

    def told(*more: str) -> str:
        config = load_config(env={}, overrides=[far, "profile=embedded", f"trace.dir={tmp_path}", *more])
        return " ".join(VoiceServer(config).outward)

    assert "copies" not in told()
    assert "copies of answered turns of 10% of callers go there as well, for at most $2 a day more" in told(
        "shadow.share=0.1", "shadow.usd_per_day=2"
    )
    assert "and of two answers to judge them" in told("shadow.share=0.1", "shadow.judge=true")
    assert "copies" not in " ".join(outward(load_config(env={}, overrides=["shadow.share=1"]), None))


def stages(*overrides: str) -> dict[str, Any]:
    made = brain("engines.llm=scripted://", *overrides)
    return {fact.name: fact.stage for fact in made.fleet.facts(0.0, sampled=True)}


def test_a_member_on_trial_is_one_by_its_setting_and_the_general_one_never() -> None:
    small = ["fleet.talker.general=true", "fleet.small.tasks=['talk']"]
    assert stages(*small, "fleet.small.stage=shadow") == {"talker": "live", "small": "shadow"}
    made = brain("engines.llm=scripted://", *small, "fleet.small.stage=shadow")
    assert [fact.stage for fact in made.fleet.facts(0.0)] == ["live", "off"], "to callers who are not sampled it is off"
    assert stages(*small, "fleet.small.stage=off") == {"talker": "live", "small": "off"}
    with pytest.raises(ConfigError, match="is general, so it is live"):
        stages("fleet.talker.general=true", "fleet.talker.stage=shadow")
