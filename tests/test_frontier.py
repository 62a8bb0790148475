"""The whole way out: the real server, and a stand-in for a provider that is treated as if it were elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.engines import chat_server
from tests.engines.chat_server import ChatServer
from tests.served import Caller, calling, ledger_of, loaded, served
from voicebot.brain.fixed_words import acknowledgement
from voicebot.brain.policy import BUDGET_NOTICE, DOWN_NOTICE, PRIVATE_NOTICE
from voicebot.config import load_config
from voicebot.config_brain import PrivacyConfig
from voicebot.core.labels import Label
from voicebot.errors import ConfigError
from voicebot.frontier import Frontier, call_label, outward
from voicebot.service import VoiceServer

HARD = "write a python program that sends a text message to four one five five five five two six seven one"
PLAIN = "write a python program that finds prime numbers"
PHONE = "four one five five five five two six seven one"
Talk = Callable[[Caller], Awaitable[None]]


@pytest.fixture(scope="module")
def provider() -> Iterator[ChatServer]:
    with chat_server.running() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, provider: ChatServer) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sesame")
    provider.requests.clear()
    provider.bodies.clear()
    provider.answer, provider.delay_s = "It is ten.", 0.0


def settings(provider: ChatServer, model: str = "expert", scheme: str = "openai") -> list[str]:
    url = provider.url(model, scheme, locality="remote")
    return [f"frontier.url={url}", f"ledger.prices={{ {model} = {{ input_usd = 10.0, output_usd = 20.0 }} }}"]


def converse(tmp_path: Path, talk: Talk, *overrides: str, numbers: tuple[str, ...] = ()) -> Caller:
    """One call of a server of its own; both are over."""

    async def main() -> Caller:
        async with served(tmp_path, *overrides) as server, calling(server, *numbers) as caller:
            await talk(caller)
        return caller

    return asyncio.run(main())


@pytest.mark.realtime
@pytest.mark.parametrize("scheme", ["openai", "anthropic"])
def test_a_hard_turn_is_acknowledged_answered_late_redacted_recorded_and_priced(
    tmp_path: Path, provider: ChatServer, scheme: str
) -> None:
    provider.answer, provider.delay_s = "Use a service, then text <PHONE_NUMBER_1>.", 1.5

    async def talk(caller: Caller) -> None:
        caller.type(HARD)
        await caller.until_told(1)
        assert caller.told == [acknowledgement(HARD)]
        await caller.until_told(2)

    caller = converse(tmp_path, talk, *settings(provider, scheme=scheme))
    assert caller.told[1] == f"Use a service, then text {PHONE}."
    assert caller.errands == ["pending", "ready", "speaking", "delivered"]
    (body,) = provider.bodies
    assert PHONE not in body.decode() and "<PHONE_NUMBER_1>" in body.decode()
    shown = [turn["route"] for turn in caller.shown("turn") if turn["route"]][-1]
    assert shown["label"] == "redact" and shown["cost_usd"] == pytest.approx((12 * 10 + 3 * 20) / 1e6)
    kept = ledger_of(tmp_path, caller.call_id)
    (left,) = kept["egress"]
    assert (left["destination"], left["outcome"]) == (f"127.0.0.1:{provider.port}", "sent")
    assert (left["sha256"], left["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body))
    assert [escalation["outcome"] for escalation in kept["escalations"]] == ["spoken"]


@pytest.mark.realtime
@pytest.mark.parametrize(
    "overrides",
    [(), ("privacy.default=local_only",), ("privacy.transports={loopback = 'local_only'}",),
     ("privacy.numbers={'+1555*' = 'local_only'}",)],
)  # fmt: skip
def test_a_private_hard_turn_is_answered_here_and_nothing_leaves(
    tmp_path: Path, provider: ChatServer, overrides: tuple[str, ...]
) -> None:
    asked = PLAIN if overrides else f"keep this private: {PLAIN}"

    async def talk(caller: Caller) -> None:
        caller.type(asked)
        await caller.until_told(1)

    caller = converse(tmp_path, talk, *settings(provider), *overrides, numbers=("+1 (555) 0100",))
    assert caller.told == [f"{PRIVATE_NOTICE} Hello to you."]
    assert provider.bodies == []
    assert ledger_of(tmp_path, caller.call_id)["egress"] == []
    assert ledger_of(tmp_path, caller.call_id)["label"] == "local_only"


@pytest.mark.realtime
def test_what_was_said_in_private_does_not_leave_with_a_later_question(tmp_path: Path, provider: ChatServer) -> None:
    async def talk(caller: Caller) -> None:
        caller.type("keep this private, the dog is called heliotrope")
        await caller.until_told(1)
        caller.type("you can share that again")  # Answered here, from words that include the private ones.
        await caller.until_told(2)
        caller.type(PLAIN)
        await caller.until_told(4)

    caller = converse(tmp_path, talk, *settings(provider))
    assert caller.told[3].endswith("It is ten.")
    (request,) = provider.requests
    assert request["messages"][-1]["content"] == PLAIN
    said = [message["content"] for message in request["messages"][1:-1]]
    assert said == ["you can share that again"]


@pytest.mark.realtime
def test_over_budget_or_down_the_caller_hears_so_and_gets_the_local_answer(
    tmp_path: Path, provider: ChatServer
) -> None:
    async def once(caller: Caller) -> None:
        caller.type(PLAIN)
        await caller.until_told(1)

    async def until_it_rests(caller: Caller) -> None:
        caller.type(PLAIN)
        await caller.until_told(2)
        caller.type("write a python program that sorts a list")
        await caller.until_told(3)

    caller = converse(tmp_path, once, *settings(provider), "frontier.usd_per_day=0.000001")
    assert caller.told == [f"{BUDGET_NOTICE} Hello to you."]
    assert provider.bodies == []
    caller = converse(tmp_path, until_it_rests, *settings(provider, "status-500"), "frontier.failures=1")
    assert caller.told[0] == acknowledgement(PLAIN)
    assert caller.told[1].endswith(f"{DOWN_NOTICE} Hello to you.")
    assert caller.told[2] == f"{DOWN_NOTICE} Hello to you.", "while it rests it is not asked, and nothing is promised"
    assert len(provider.bodies) == 1


def test_a_cap_on_what_has_no_price_stops_the_start(tmp_path: Path, provider: ChatServer) -> None:
    async def main() -> str:
        url = provider.url("no-such-model", locality="remote")
        async with loaded(tmp_path, f"frontier.url={url}", "frontier.usd_per_day=1") as server:
            return server.error

    assert "ledger.prices" in asyncio.run(main())


@pytest.mark.parametrize("settings", [["engines.llm={}"], ["fleet.big.general=true", "fleet.big.engine={}"]])
def test_a_model_elsewhere_cannot_be_of_the_fleet(tmp_path: Path, provider: ChatServer, settings: list[str]) -> None:
    overrides = [setting.format(provider.url("expert", locality="remote")) for setting in settings]
    with pytest.raises(ConfigError, match="set it as frontier.url"):
        VoiceServer(load_config(env={}, overrides=[*overrides, f"trace.dir={tmp_path}"]))


def test_the_strictest_label_that_fits_a_call_holds() -> None:
    privacy = PrivacyConfig(
        default="open",
        transports={"twilio": "redact"},
        numbers={"+1 555-0100": "local_only", "+44*": "redact", "+4420*": "local_only"},
    )
    cases = {
        ("webrtc", ()): Label.OPEN,
        ("twilio", ()): Label.REDACT,
        ("webrtc", ("+15550100",)): Label.LOCAL_ONLY,
        ("webrtc", ("0015550100",)): Label.LOCAL_ONLY,
        ("webrtc", ("+15550101", "")): Label.OPEN,
        ("webrtc", ("+15550101", "+44 (161) 1")): Label.REDACT,
        ("webrtc", ("+44 20 7946 0000",)): Label.LOCAL_ONLY,
    }
    assert {case: call_label(privacy, *case) for case in cases} == cases


def test_the_operator_is_told_whether_words_may_leave_and_where_to(tmp_path: Path, provider: ChatServer) -> None:
    def told(*overrides: str) -> str:
        config = load_config(env={}, overrides=[*overrides, "profile=embedded", f"trace.dir={tmp_path}"])
        return " ".join(VoiceServer(config).outward)

    assert told() == "no words leave this machine: no remote model is set"
    assert told(f"frontier.url={provider.url('expert')}") == told(), "a model on the loopback is here"
    far = told("frontier.url=openai://api.example.com/v1?model=x", "privacy.numbers={'+1555' = 'local_only'}",
               "frontier.usd_per_call=0.5")  # fmt: skip
    for words in ("api.example.com:443 (openai x)", "taken out first", "stricter for +1555", "$0.5 a call"):
        assert words in far


def test_hosts_that_tools_may_use_are_told_and_bring_the_detector() -> None:
    config = load_config(env={}, overrides=['privacy.allow=["tools.example"]'])
    assert outward(config, None) == ["tools may send words to tools.example, as privacy.allow says"]
    frontier = Frontier(config, Path("models"))
    assert not frontier.clean("two pizzas"), "before the detector is there nothing is clean"
    asyncio.run(frontier.load())
    assert frontier.clean("two pizzas") and not frontier.clean("write to jane at example dot com")
