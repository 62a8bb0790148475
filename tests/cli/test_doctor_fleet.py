"""What `voicebot doctor` says of the fleet, its tools and its documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.cli.doctor import Check, _fleet
from voicebot.config import load_config
from voicebot.profiles import resolve_profile

LLM = "engines.llm=scripted://"


def fleet(*overrides: str) -> Check:
    config = load_config(env={}, overrides=overrides)
    return _fleet(config, resolve_profile(config))


def test_members_tools_and_documents_are_told(tmp_path: Path) -> None:
    (tmp_path / "hours.md").write_text("The kitchen opens at seven.\n")
    check = fleet(
        LLM, f"documents.dir={tmp_path}", 'tools.builtin=["get_time"]', 'tools.mcp={shop = {url = "http://x/"}}'
    )
    assert check.status == "ok"
    assert check.detail == (
        "talker (classify, extract, talk, tools); rewrite (rewrite); retrieve (retrieve); 1 tools; MCP server shop; "
        "1 passages of 1 documents, found by words"
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["profile=embedded", "fleet.talker.general=true", 'fleet.one.job="rewrite"'], "reads no instructions"),
        ([LLM, 'tools.files=["/no/such.py"]'], "there is no file /no/such.py"),
        ([LLM, "documents.dir=/no/such"], "there is no folder /no/such"),
        ([LLM, "fleet.talker.general=true", 'fleet.talker.tools=["fly"]'], "there is no tool fly"),
    ],
)
def test_what_would_stop_the_server_is_found(overrides: list[str], said: str) -> None:
    check = fleet(*overrides)
    assert check.status == "failed" and said in check.detail and check.advice


def test_a_document_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4")
    check = fleet(LLM, f"documents.dir={tmp_path}")
    assert (check.status, check.advice) == ("warning", "cannot be read: broken.pdf")
