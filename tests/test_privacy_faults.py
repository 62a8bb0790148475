"""Whatever goes wrong, no private word leaves: the real server against a stand-in provider, with a planted canary.

Each call first asks in the open, so that something does leave and goes wrong, and then in private, with the canary. It
may be in no request, no log line, no trace, no row and no metric, and no socket may lead anywhere but to the stand-in.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import chat_server
from tests.engines.chat_server import ChatServer
from tests.guard import Sockets, watched_sockets
from tests.served import Caller, calling, ledger_of, served
from voicebot.brain.policy import PRIVATE_NOTICE
from voicebot.engines import registry
from voicebot.engines.http_llm import HttpLlm
from voicebot.service import VoiceServer

pytestmark = pytest.mark.realtime

CANARY = "quuxheliotrope"
HARD = "write a python program that finds prime numbers"
SECRET = f"keep this private: {HARD} for {CANARY}"
PROVIDER_FAULTS = {"timeout": "stall", "5xx": "5xx", "reset": "reset", "empty answer": "empty", "retry": "429 once"}
REQUESTS = {"reset": (1, 2), "empty answer": (1,)}
"""How many a question may come to; two for the others. A reset that overtakes the first word is tried again."""


@pytest.fixture(scope="module")
def provider() -> Iterator[ChatServer]:
    with chat_server.running() as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def url(request: pytest.FixtureRequest, provider: ChatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stand-in as a provider elsewhere, asked through each remote driver."""
    monkeypatch.setenv(f"{request.param.upper()}_API_KEY", "sesame")
    monkeypatch.setattr("voicebot.pressure.LAG_S", 60.0)  # However busy the machine is, copies are not dropped here.
    provider.bodies.clear()
    provider.fault = ""
    return provider.url("expert", request.param, locality="remote", first_token_s=0.3)


def strict(url: str) -> list[str]:
    """Everything that may be kept is kept, nothing rests, and the expert is always asked in the background."""
    frontier = [f"frontier.url={url}", "frontier.failures=1000", "frontier.acknowledge_ms=0"]
    return [*frontier, "ledger.keep_texts=true", "privacy.default=open"]


async def ask_in_private(caller: Caller) -> None:
    caller.type(SECRET)
    await caller.until(lambda: any(told.startswith(PRIVATE_NOTICE) for told in caller.told))
    await caller.until(lambda: caller.state == "listening")


def leaks(tmp_path: Path, provider: ChatServer, sockets: Sockets, log: str, *texts: bytes) -> list[str]:
    """Where the canary is, and who was connected to that should not have been."""
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.suffix == ".jsonl" for file in files) and any(file.name == "ledger.db" for file in files)
    found = [str(file) for file in files if CANARY.encode() in file.read_bytes()]
    found += ["provider"] if any(CANARY.encode() in body for body in provider.bodies) else []
    found += ["log"] if CANARY in log else []
    found += ["metrics"] if any(CANARY.encode() in text for text in texts) else []
    found += [f"connected to {peer}" for peer in sockets.peers if peer != ("127.0.0.1", provider.port)]
    return found + [f"looked up {name}" for name in sockets.names if name != "127.0.0.1"]


def test_no_fault_of_the_provider_lets_a_private_word_out(
    tmp_path: Path, url: str, provider: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls: dict[str, str] = {}

    async def one(server: VoiceServer, fault: str) -> None:
        before = len(provider.bodies)
        provider.fault = PROVIDER_FAULTS.get(fault, "")
        async with calling(server) as caller:
            calls[fault] = caller.call_id
            caller.type(HARD)
            await caller.until_told(2)
            await ask_in_private(caller)
        sent = len(provider.bodies) - before
        assert sent in REQUESTS.get(fault, (2,)), f"{fault}: {sent} requests"

    async def cancelled(server: VoiceServer) -> None:
        provider.fault = "stall"
        async with calling(server) as caller:
            calls["cancel"] = caller.call_id
            caller.type(HARD)
            await caller.until(lambda: "pending" in caller.errands)
            caller.port.cancel_errand(caller.shown("errand")[0]["errand"])
            await ask_in_private(caller)

    async def main() -> bytes:
        async with served(tmp_path, *strict(url)) as server:
            for fault in PROVIDER_FAULTS:
                await one(server, fault)
            await cancelled(server)
            return server.metrics.render()

    with watched_sockets() as sockets:
        metrics = asyncio.run(main())
    assert leaks(tmp_path, provider, sockets, caplog.text, metrics) == []
    outcomes = {fault: [row["outcome"] for row in ledger_of(tmp_path, call)["egress"]] for fault, call in calls.items()}
    assert all(set(sent) == {"sent"} for sent in outcomes.values()), "the private turns were not even tried"
    assert len(outcomes["retry"]) == 2, "each try is on record"


LOCAL_FAULTS = {
    "out of memory": ["engines.llm=scripted://?fail=memory"],
    "low confidence": [
        "engines.llm=scripted://?reply=Perhaps+so.&logprob=-9",
        "fleet.talker.general=true",
        "fleet.talker.tasks=['talk', 'tools', 'rewrite', 'extract', 'classify', 'retrieve']",
        "fleet.talker.min_logprob=-1",
    ],
}


@pytest.mark.parametrize("fault", LOCAL_FAULTS)
def test_no_fault_of_the_local_model_sends_a_private_turn_to_the_expert(
    tmp_path: Path, url: str, provider: ChatServer, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> bytes:
        async with served(tmp_path, *strict(url), *LOCAL_FAULTS[fault]) as server:
            async with calling(server) as caller:
                caller.type("good morning" if fault == "low confidence" else HARD)
                await caller.until_told(2)
                assert "It is ten." in caller.told[1]
                caller.type(f"keep this private: good morning {CANARY}")
                await caller.until_told(3)
                await ask_in_private(caller)
            return server.metrics.render()

    with watched_sockets() as sockets:
        metrics = asyncio.run(main())
    assert len(provider.bodies) == 1
    assert leaks(tmp_path, provider, sockets, caplog.text, metrics) == []


COMPARED = ["shadow.share=1", "shadow.judge=true", "router.hard_at=1", "router.oos_at=1", "fleet.talker.general=true"]
COMPARED += ["fleet.talker.tasks=['talk', 'tools', 'rewrite', 'extract', 'classify', 'retrieve', 'oos']"]
COPY_FAULTS = {"": (2, 0), "timeout": (2, 1), "5xx": (2, 1), "reset": (1, 1), "empty answer": (2, 0), "retry": (3, 0)}
"""Fault -> requests that an open turn's copy and its judge come to (a reset: perhaps one more), and if it failed."""
TRIAL = ["fleet.small.stage=shadow", "fleet.small.engine=scripted://?reply=Quite+another."]
TRIAL += [COMPARED[-1].replace("talker", "small")]


async def compare_in_private(server: VoiceServer, outcomes: list[str], copies: int) -> str:
    """Turn 1 may leave; 2 is taken back by 3, before its copy is sent; 4 is private when it is said. The call's id."""
    outcomes.clear()
    async with calling(server) as caller:
        said = ["good morning", f"my word is {CANARY}", "keep that private", f"and {CANARY} again"]
        for told, text in enumerate(said, start=1):
            caller.type(text)
            await caller.until_told(told)
    await caller.until(lambda: len(outcomes) >= copies)
    return caller.call_id


@pytest.mark.parametrize("trial", [False, True], ids=["copied to the expert", "copied to a member on trial"])
def test_copies_and_judges_carry_no_private_word_whatever_goes_wrong(
    tmp_path: Path, url: str, provider: ChatServer, caplog: pytest.LogCaptureFixture, trial: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    priced = 'ledger.prices={"expert" = {input_usd = 1.0, output_usd = 1.0}}'
    calls: dict[str, str] = {}

    async def main() -> bytes:
        async with served(tmp_path, *strict(url), *COMPARED, priced, *(TRIAL if trial else [])) as server:
            assert server._brain.shadows is not None
            outcomes: list[str] = []
            server._brain.shadows.count = outcomes.append
            for fault in COPY_FAULTS:
                provider.fault = PROVIDER_FAULTS.get(fault, "")
                calls[fault] = await compare_in_private(server, outcomes, 4 if trial else 2)
            return server.metrics.render()

    with watched_sockets() as sockets:
        metrics = asyncio.run(main())
    assert leaks(tmp_path, provider, sockets, caplog.text, metrics) == []
    total = 0
    for fault, call in calls.items():
        rows = ledger_of(tmp_path, call)
        sent = [row["purpose"] for row in rows["egress"] if row["outcome"] == "sent"]
        denied = [row["purpose"] for row in rows["egress"] if row["outcome"] == "denied: label"]
        assert denied == (["judge"] * 3 if trial else ["shadow"]), "what became private was tried, and denied"
        assert set(sent) <= ({"judge"} if trial else {"shadow", "judge"}) and sent
        total += len(sent)
        if not trial:
            requests, failed = COPY_FAULTS[fault]
            outcomes = [row["outcome"] for row in rows["attempts"] if row["purpose"] == "shadow"]
            assert len(sent) in {requests, requests + (fault == "reset")}, f"{fault}: {len(sent)} requests"
            assert outcomes.count("failed") == failed + 1, f"{fault}: the denied one failed too"
    assert total == len(provider.bodies), "nothing left but what is on record"


class Crashing(Caller):
    """Its screen breaks, and says with which words, when it is shown the canary."""

    def send_event(self, event: dict[str, Any]) -> None:
        if event["type"] == "transcript" and CANARY in event["text"]:
            raise RuntimeError(f"cannot show {event['text']!r}")
        super().send_event(event)


def test_a_call_that_crashes_on_private_words_does_not_repeat_them(
    tmp_path: Path, url: str, provider: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> bytes:
        async with served(tmp_path, *strict(url)) as server:
            caller = Crashing()
            with server.calls.slot() as slot:
                record = await server.begin(slot, caller)
            await caller.until(lambda: bool(caller.shown("state")))
            caller.type(SECRET)
            await record.over.wait()
            assert CANARY not in str(record.account())
            return server.metrics.render()

    with watched_sockets() as sockets:
        metrics = asyncio.run(main())
    assert "internal error" in caplog.text and "RuntimeError at " in caplog.text
    assert leaks(tmp_path, provider, sockets, caplog.text, metrics) == []
    assert provider.bodies == []


def test_the_matrix_is_of_every_driver_that_can_be_remote() -> None:
    drivers = {scheme: where.partition(":") for (kind, scheme), where in registry.DRIVERS.items() if kind == "llm"}
    classes = {scheme: getattr(importlib.import_module(one[0]), one[2]) for scheme, one in drivers.items()}
    remote = {scheme for scheme, driver in classes.items() if getattr(driver, "locality", "") != "local"}
    assert remote == {"openai", "anthropic"}
    assert all(issubclass(classes[scheme], HttpLlm) for scheme in remote)
