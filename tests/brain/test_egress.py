"""The gate: what is checked, in which order, what is on record, and that a refusal never lets a byte through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from tests.brain.test_reply import QUICK
from tests.sim.lane import VirtualLane
from tests.virtual_time import run
from voicebot.brain.breaker import Breaker, BreakerSettings
from voicebot.brain.budget import Budget, Caps
from voicebot.brain.egress import Egress, EgressRecord
from voicebot.brain.redaction import Finder, Redactor
from voicebot.core.labels import Label
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Message, TextDelta
from voicebot.engines.remote import RemoteLlm
from voicebot.errors import (
    ConfigError,
    EgressDenied,
    EngineBadOutput,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    VoicebotError,
)
from voicebot.ledger.prices import Price

PHONE = "four one five five five five one two one two"
CANARY = "quuxheliotrope"
PRICE = Price(1_000_000.0, 1_000_000.0)
"""A dollar a token, so that money is easily counted."""


class FakeDriver:
    """A remote driver whose wire is a list."""

    locality = "remote"
    max_concurrency = 1
    name = "fake far"
    destination = "far.example.com:443"

    def __init__(self, *outcomes: str | EngineError) -> None:
        """What comes of each request, in order: words, or an error; the last is repeated."""
        self.outcomes = [*outcomes] or ["Of many causes."]
        self.sent: list[bytes] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def body(self, request: LlmRequest) -> bytes:
        return json.dumps([message.text for message in request.messages]).encode()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        raise AssertionError("asked directly")

    def send(self, body: bytes, cancel: Cancel) -> Iterator[LlmChunk]:
        outcome = self.outcomes[min(len(self.sent), len(self.outcomes) - 1)]
        self.sent.append(body)
        if isinstance(outcome, EngineError):
            raise outcome
        yield from (TextDelta(outcome[at : at + 5]) for at in range(0, len(outcome), 5))
        yield LlmDone("stop", prompt_tokens=3, completion_tokens=2)


class Gate:
    """An egress before a fake, on virtual time."""

    def __init__(self, driver: FakeDriver, keeps: Callable[[], bool] = lambda: True, finds: bool = True,
                 **options: Any) -> None:  # fmt: skip
        self.driver, self.keeps = driver, keeps
        self.records: list[EgressRecord] = []
        self.states: list[str] = []
        """At the end of each talk."""
        self.lane: VirtualLane[Any] = VirtualLane(RemoteLlm(driver), QUICK, Random(1))  # type: ignore[arg-type]
        self.finds = finds
        self.egress = Egress(self.lane, self._record, self._redactor, rng=Random(2), wall=lambda: 1000.0, **options)

    def _record(self, record: EgressRecord) -> bool:
        self.records.append(record)
        return self.keeps()

    def _redactor(self) -> Redactor:
        if not self.finds:
            raise LookupError(f"no detector for {CANARY}")
        return Redactor(Finder(lambda _text: []))

    def ask(self, *messages: Message, purpose: str = "live") -> str:
        """The words of the answer."""
        (came,) = self.ask_all(messages, purpose=purpose)
        if isinstance(came, Exception):
            raise came
        return came

    def ask_all(self, *prompts: tuple[Message, ...], purpose: str = "live") -> list[str | Exception]:
        """What came of each prompt: the words of its answer, or why there are none."""

        async def one(prompt: tuple[Message, ...]) -> str | Exception:
            chunks = self.egress(LlmRequest(prompt), call="c1", turn=2, purpose=purpose)
            try:
                return "".join([chunk.text async for chunk in chunks if isinstance(chunk, TextDelta)])
            except VoicebotError as error:
                return error

        async def work() -> list[str | Exception]:
            self.lane.start()
            try:
                return [await one(prompt) for prompt in prompts]
            finally:
                self.states.append(self.egress.state("c1"))
                await self.lane.aclose()

        return run(work())

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]


def user(text: str, label: Label = Label.OPEN) -> Message:
    return Message("user", text, label=label)


@pytest.mark.parametrize("purpose", ["live", "draft", "retry", "shadow", "judge", "eval"])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_one_private_message_keeps_the_whole_prompt_here_for_whatever_purpose(purpose: str, unlabelled: bool) -> None:
    gate = Gate(FakeDriver())
    private = Message("tool", CANARY) if unlabelled else user(CANARY, Label.LOCAL_ONLY)
    with pytest.raises(EgressDenied) as denied:
        gate.ask(user("hello"), private, purpose=purpose)
    assert gate.driver.sent == []
    (record,) = gate.records
    assert (record.outcome, record.bytes, record.sha256, record.purpose) == ("denied: label", 0, "", purpose)
    assert CANARY not in f"{denied.value} {record}"


def test_what_leaves_is_on_record_first_with_the_hash_of_its_very_bytes() -> None:
    gate = Gate(FakeDriver())
    order: list[str] = []
    gate.keeps = lambda: not order.append(f"kept, {len(gate.driver.sent)} sent")
    assert gate.ask(user("why")) == "Of many causes."
    assert order == ["kept, 0 sent"]
    (record,), (body,) = gate.records, gate.driver.sent
    assert (record.sha256, record.bytes) == (hashlib.sha256(body).hexdigest(), len(body))
    assert (record.destination, record.label, record.call, record.turn) == (
        "far.example.com:443", Label.OPEN, "c1", 2,
    )  # fmt: skip


def broken() -> bool:
    raise OSError("disk full")


@pytest.mark.parametrize("keeps", [lambda: False, broken])
def test_what_cannot_be_put_on_record_is_not_sent_and_costs_nothing(keeps: Callable[[], bool]) -> None:
    budget = Budget(Caps(per_day_usd=1e9), 1000.0)
    gate = Gate(FakeDriver(), keeps, budget=budget, cost=PRICE.cost)
    with pytest.raises(EgressDenied) as denied:
        gate.ask(user("why"))
    assert (denied.value.reason, gate.driver.sent, budget.today(1000.0)) == ("record", [], 0.0)


def test_details_are_taken_out_and_put_back_though_the_answer_comes_in_pieces() -> None:
    gate = Gate(FakeDriver("Call <NUMBER_1>, or <NUMBER_1"))
    assert gate.ask(user(f"may i call {PHONE}", Label.REDACT)) == f"Call {PHONE}, or <NUMBER_1"
    assert PHONE not in gate.driver.sent[0].decode() and "<NUMBER_1>" in gate.driver.sent[0].decode()


def test_without_a_redactor_a_prompt_with_details_stays_and_one_without_a_label_for_it_goes() -> None:
    gate = Gate(FakeDriver(), finds=False)
    denied, said = gate.ask_all((user(f"may i call {PHONE}", Label.REDACT),), (user("why"),))
    assert isinstance(denied, EgressDenied) and denied.reason == "redaction"
    assert CANARY not in str(denied) and said == "Of many causes."
    assert gate.outcomes == ["denied: redaction", "sent"]


def test_a_host_that_is_not_allowed_is_denied() -> None:
    gate = Gate(FakeDriver(), allow=["near.example.com"])
    with pytest.raises(EgressDenied) as denied:
        gate.ask(user("why"))
    assert (denied.value.reason, gate.outcomes, gate.driver.sent) == ("destination", ["denied: destination"], [])
    for allowed in ("far.example.com", "FAR.example.com:443"):
        assert Gate(FakeDriver(), allow=[allowed]).ask(user("why")) == "Of many causes."


def test_each_try_passes_the_checks_again_and_has_its_own_record_and_money() -> None:
    budget = Budget(Caps(per_day_usd=1e9), 1000.0)
    gate = Gate(FakeDriver(EngineTimeout("slow"), "Yes."), budget=budget, cost=PRICE.cost)
    assert gate.ask(user("why")) == "Yes."
    assert gate.outcomes == ["sent", "sent"]
    assert budget.today(1000.0) == pytest.approx(5.0 + len(gate.driver.sent[0]) // 3), "a request in vain may be billed"


def test_only_what_may_pass_is_tried_again_and_nothing_twice_once_words_have_come() -> None:
    for error, tries in [
        (EngineBadOutput("no"), 1),
        (EngineUnavailable("no"), 1),
        (EngineUnavailable("no", retryable=True), 2),
    ]:
        gate = Gate(FakeDriver(error))
        with pytest.raises(EngineError):
            gate.ask(user("why"))
        assert len(gate.driver.sent) == tries


def test_a_cap_that_the_request_could_pass_denies_it() -> None:
    gate = Gate(FakeDriver(), budget=Budget(Caps(per_call_usd=100.0), 1000.0), cost=PRICE.cost)
    with pytest.raises(EgressDenied) as denied:
        gate.ask(user("why"))
    assert (denied.value.reason, gate.outcomes, gate.driver.sent) == ("budget", ["denied: budget"], [])
    usual = Gate(FakeDriver(), budget=Budget(Caps(per_call_usd=100.0), 1000.0), cost=PRICE.cost)
    assert isinstance(usual.ask_all((user(CANARY, Label.LOCAL_ONLY),))[0], EgressDenied)
    assert usual.states == ["over budget"], "what a request usually costs is more than the cap"
    with pytest.raises(ConfigError, match=r"ledger\.prices"):
        Gate(FakeDriver(), budget=Budget(Caps(per_day_usd=1.0)))


def test_one_that_keeps_failing_is_left_alone_and_a_denial_is_no_failure() -> None:
    gate = Gate(FakeDriver(EngineBadOutput("no")), breaker=Breaker(BreakerSettings(failures=2, rest_s=30.0)))
    why = (user("why"),)
    came = gate.ask_all((user(CANARY, Label.LOCAL_ONLY),), why, why, why)
    assert [type(one) for one in came] == [EgressDenied, EngineBadOutput, EngineBadOutput, EngineUnavailable]
    assert gate.outcomes == ["denied: label", "sent", "sent", "denied: breaker"]
    assert gate.states == ["down"]


def test_a_remote_model_that_is_not_locked_has_no_gate() -> None:
    lane: VirtualLane[Any] = VirtualLane(FakeDriver(), QUICK, Random(1))  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="not locked"):
        Egress(lane, lambda _record: True, lambda: Redactor(Finder(lambda _text: [])))
