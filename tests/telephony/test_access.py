from __future__ import annotations

import base64
import uuid

import pytest

from voicebot.config_telephony import TelephonyConfig
from voicebot.errors import ConfigError
from voicebot.telephony.access import Access, Refused

SECRET = {"TELEPHONY_SECRET": "a secret of thirty-two characters"}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_works_wherever_the_secret_is_the_same_and_nowhere_else(clock: Clock) -> None:
    token = Access(TelephonyConfig(), SECRET, clock).mint("twilio", "CA1")
    elsewhere = Access(TelephonyConfig(), SECRET, clock)
    grant = elsewhere.redeem("twilio", token)
    assert elsewhere.fits("twilio", grant, "CA1")
    assert not elsewhere.fits("twilio", grant, "CA2")
    for env in ({}, {"TELEPHONY_SECRET": "another secret altogether"}):
        with pytest.raises(Refused, match="not one of ours"):
            Access(TelephonyConfig(), env, clock).redeem("twilio", token)


def test_a_token_expires_when_its_time_is_over(clock: Clock) -> None:
    access = Access(TelephonyConfig(token_s=60), SECRET, clock)
    in_time, late = access.mint("twilio"), access.mint("twilio")
    clock.now += 60
    access.redeem("twilio", in_time)
    clock.now += 2
    with pytest.raises(Refused, match="expired 2 s ago"):
        access.redeem("twilio", late)


def test_a_token_that_any_bit_was_changed_of_is_not_ours(clock: Clock) -> None:
    access = Access(TelephonyConfig(), SECRET, clock)
    raw = base64.urlsafe_b64decode(access.mint("twilio"))
    for at in range(len(raw)):
        changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        with pytest.raises(Refused):
            access.redeem("twilio", base64.urlsafe_b64encode(changed).decode())


def test_used_tokens_are_forgotten_once_they_have_expired(clock: Clock) -> None:
    access = Access(TelephonyConfig(token_s=60), SECRET, clock)
    for _ in range(1000):
        access.redeem("twilio", access.mint("twilio"))
        clock.now += 1
    assert len(access._used) <= 256


def test_a_uuid_lets_one_call_in_and_only_in_its_time(clock: Clock) -> None:
    access = Access(TelephonyConfig(token_s=60), SECRET, clock)
    once, late = access.mint_uuid(), access.mint_uuid()
    assert access.redeem_uuid(once)
    assert not access.redeem_uuid(once)
    assert not access.redeem_uuid(uuid.uuid4())
    clock.now += 61
    assert not access.redeem_uuid(late)


def test_a_secret_that_can_be_guessed_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="TELEPHONY_SECRET has 6 characters"):
        Access(TelephonyConfig(), {"TELEPHONY_SECRET": "secret"})
