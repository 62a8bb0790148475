from __future__ import annotations

import re
import uuid

import pytest

from tests.cli.test_main import voicebot
from voicebot.config_telephony import TelephonyConfig
from voicebot.telephony.access import Access

SECRET = "a secret of thirty-two characters"


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setenv("TELEPHONY_SECRET", SECRET)
    return Access(TelephonyConfig(), {"TELEPHONY_SECRET": SECRET})


def test_a_media_url_is_one_that_a_server_with_the_same_secret_takes(access: Access) -> None:
    result = voicebot("token", "asterisk", "--set", "telephony.public_url=https://bot.example.com")
    found = re.fullmatch(r"wss://bot\.example\.com/telephony/asterisk/(\S{48})\n", result.stdout)
    assert found is not None, result.stderr
    access.redeem("asterisk", found[1])


def test_an_audiosocket_call_gets_a_uuid(access: Access) -> None:
    assert access.redeem_uuid(uuid.UUID(voicebot("token", "audiosocket").stdout.strip()))


def test_a_password_is_the_vendors_own(access: Access) -> None:
    given = voicebot("token", "exotel", "--password").stdout.strip()
    assert given == access.password("exotel") != access.password("asterisk")


@pytest.mark.parametrize(
    ("arguments", "words"), [(["pigeon"], "there are twilio"), (["asterisk"], "set TELEPHONY_SECRET")]
)
def test_what_cannot_be_given_is_said(arguments: list[str], words: str) -> None:
    result = voicebot("token", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
