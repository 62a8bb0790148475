"""The fleet in the real server: what the settings make of it, and who answers what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tiny import write_sentences
from tests.served import Caller, calling, ledger_of, served
from voicebot.assemble import Brainwork
from voicebot.config import load_config
from voicebot.engines.registry import create
from voicebot.errors import ConfigError, EngineError, VoicebotError
from voicebot.lane import Lane
from voicebot.members import shipped_prompt
from voicebot.profiles import resolve_profile

LLM = "engines.llm=scripted://?reply=Hello+to+you."


def brain(*overrides: str) -> Brainwork:
    config = load_config(env={}, overrides=overrides)
    resolved = resolve_profile(config)
    assert resolved.engines.llm is not None
    return Brainwork(config, resolved, Lane(create("llm", resolved.engines.llm, resolved.models_dir)))


def tasks(made: Brainwork) -> dict[str, set[str]]:
    return {member.name: set(member.tasks) for member in made.fleet}


def test_a_general_model_talks_and_rewrites_and_reads_documents_where_there_are_some(tmp_path: Path) -> None:
    made = brain(LLM)
    assert tasks(made) == {"talker": {"talk", "tools", "extract", "classify"}, "rewrite": {"rewrite"}}
    assert made.fleet["rewrite"].prompt == shipped_prompt("rewrite") and made.fleet["rewrite"].lane is made.main
    assert tasks(brain(LLM, f"documents.dir={tmp_path}"))["retrieve"] == {"retrieve"}


def test_the_shipped_talker_keeps_to_what_it_was_trained_for_and_reads_out_of_documents(tmp_path: Path) -> None:
    made = brain("profile=embedded", f"documents.dir={tmp_path}")
    assert tasks(made) == {"talker": {"talk", "tools"}, "retrieve": {"retrieve"}}
    assert made.fleet["retrieve"].job.extractive is True  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "job", ['job="extract", fields={name="who"}', 'job="classify", labels={a="", b=""}', 'job="rewrite"']
)
def test_jobs_that_need_a_general_model_say_so(job: str) -> None:
    with pytest.raises(
        ConfigError, match=r"fleet\.one has job = .*shipped talker reads no instructions; set fleet\.one\.engine"
    ):
        brain("profile=embedded", "fleet.talker.general=true", *members(one=job))


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ('job="extract"', "needs fields"),
        ('job="classify", labels={a=""}', "needs two labels"),
        ('job="retrieve"', "there is nothing to read; set documents.dir"),
        ('job="rewrite", general=true', "is general, so it talks"),
        ('job="extract", fields={a="x"}, required=["b"]', "required names b"),
    ],
)
def test_a_member_that_cannot_work_is_refused_with_the_reason(member: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        brain(LLM, "fleet.talker.general=true", *members(one=member))


def members(**given: str) -> list[str]:
    """fleet.NAME.KEY=VALUE of inline tables."""
    found = []
    for name, text in given.items():
        for key, value in re.findall(r'(\w+)=(\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\w+)', text):
            found.append(f"fleet.{name}.{key}={value}")
    return found


# ---- calls


def talk(tmp_path: Path, body: Callable[[Caller], Any], *overrides: str) -> Caller:
    async def main() -> Caller:
        async with served(tmp_path, *overrides) as server, calling(server) as caller:
            await body(caller)
        return caller

    return asyncio.run(main())


def said(*texts: str) -> Callable[[Caller], Any]:
    async def body(caller: Caller) -> None:
        for count, text in enumerate(texts, start=1):
            caller.type(text)
            await caller.until_told(count)

    return body


@pytest.mark.realtime
def test_documents_are_answered_from_by_whoever_reads_them_even_where_the_router_knows_no_task_of_theirs(
    tmp_path: Path,
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "hours.md").write_text("# Hours\n\nThe kitchen opens at seven. It closes at ten in the evening.\n")
    llm = "engines.llm=scripted://?reply=At+ten."
    caller = talk(
        tmp_path, said("when does the hotel kitchen close"), llm, f"documents.dir={docs}", "documents.sure=0.6"
    )
    assert caller.told == ["At ten."]
    (shown,) = [event for event in caller.shown("tool") if event["name"] == "retrieve"]
    assert shown["arguments"]["source"] == "hours.md"
    (turn,) = ledger_of(tmp_path, caller.call_id)["turns"]
    assert turn["answered_by"] == "retrieve"


@pytest.mark.realtime
def test_a_sentence_model_finds_what_was_asked_in_other_words_and_still_says_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path / "home"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rules.md").write_text("You may terminate the contract within four weeks.\n")
    words = {"terminate", "contract", "within", "four", "weeks", "the", "what", "is", "how"}
    like = {"quit": "terminate", "agreement": "contract", "inside": "within"}
    model = write_sentences(tmp_path / "tiny", words, 64, like)

    async def main() -> list[str]:
        given = (f"documents.dir={tmp_path / 'docs'}", f"documents.embed={model}")
        reader = ("fleet.talker.general=true", "fleet.talker.tasks=['talk']", "fleet.reader.job=retrieve")
        llm = ("fleet.reader.engine=scripted://?reply=Four+weeks.", "engines.llm=scripted://?reply=Who+knows.")
        async with served(tmp_path, *given, *reader, *llm) as server, calling(server) as caller:
            documents = server._brain.documents
            assert documents is not None
            await caller.until(lambda: documents.index.meanings is not None)
            await said("how do i quit the agreement", "how do i repair a violin")(caller)
            return caller.told

    assert asyncio.run(main()) == ["Four weeks.", "Who knows."]


FLEET = ["fleet.talker.general=true", 'fleet.talker.tasks=["talk", "tools"]', 'fleet.rewrite.job="rewrite"']
ASKS = "make this sentence shorter"


def rewriter(reply: str) -> str:
    return f"fleet.rewrite.engine=scripted://?reply={reply}"


@pytest.mark.realtime
def test_a_members_model_is_swapped_under_a_running_server_and_calls_that_are_on_keep_theirs(tmp_path: Path) -> None:
    async def main() -> list[list[str]]:
        async with served(tmp_path, *FLEET, rewriter("Old.")) as server:
            old = server.fleet["rewrite"].lane
            async with calling(server) as before:
                await said(ASKS)(before)
                await server.reload(load_config(env={}, overrides=[*FLEET, rewriter("New.")]))
                async with calling(server) as after:
                    await said(ASKS)(after)
                before.type(ASKS)
                await before.until_told(2)
                assert not old._closed  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                while not old._closed:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.01)
            return [before.told, after.told]

    assert asyncio.run(main()) == [["Old.", "Old."], ["New."]]


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ([*FLEET, "fleet.rewrite.engine=llama:///no/such.gguf"], EngineError),
        ([*FLEET, "fleet.second.general=true"], ConfigError),
        ([*FLEET, 'fleet.rewrite.tools=["fly"]'], ConfigError),
    ],
)
def test_a_fleet_that_does_not_work_changes_nothing(
    tmp_path: Path, settings: list[str], error: type[VoicebotError]
) -> None:
    async def main() -> None:
        async with served(tmp_path, *FLEET, rewriter("Old.")) as server:
            with pytest.raises(error):
                await server.reload(load_config(env={}, overrides=settings))
            async with calling(server) as caller:
                await said(ASKS)(caller)
            assert caller.told == ["Old."]

    asyncio.run(main())
