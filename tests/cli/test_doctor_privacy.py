"""What `voicebot doctor` says of words that may leave, before the server is started."""

from __future__ import annotations

import pytest

from voicebot.cli.doctor import Check, _privacy
from voicebot.config import load_config
from voicebot.profiles import resolve_profile

FAR = "frontier.url=openai://api.example.com/v1?model=x&key_env=SOME_KEY"


def check(*overrides: str) -> Check:
    config = load_config(env={}, overrides=["profile=embedded", *overrides])
    return _privacy(config, resolve_profile(config))


def test_it_says_that_nothing_leaves_or_where_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check() == Check("privacy", "ok", "no words leave this machine: no remote model is set")
    monkeypatch.setenv("SOME_KEY", "sesame")
    found = check(FAR, "privacy.default=local_only")
    assert found.status == "ok" and "api.example.com:443" in found.detail and "every turn is private" in found.detail
    assert "sesame" not in found.detail


def test_a_key_that_is_missing_is_found_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    found = check(FAR)
    assert found.status == "failed" and "SOME_KEY" in found.detail


def test_a_frontier_that_cannot_be_named_is_a_failed_check() -> None:
    found = check("frontier.url=openai://?model=x")
    assert found.status == "failed" and "no host" in found.detail
