"""The embedded recogniser finds its shipped language model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.conftest import OWN_LM
from voicebot.engines import registry
from voicebot.engines.pocketsphinx import PocketSphinxStt


@pytest.mark.skipif(not OWN_LM.is_file(), reason="models/speech/en-us.lm.bin has not been built")
def test_the_shipped_language_model_is_used_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    monkeypatch.delenv("VOICEBOT_MODELS", raising=False)
    engine = registry.create("stt", "pocketsphinx://")
    assert isinstance(engine, PocketSphinxStt)
    assert engine._settings()["lm"] == str(OWN_LM)
