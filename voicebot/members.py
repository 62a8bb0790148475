"""Members of the fleet from their settings: the job, the prompt that is shipped for it, and those that are shipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from voicebot.brain.confidence import Threshold
from voicebot.brain.fleet import Member
from voicebot.brain.jobs import Classify, Extract, Job, Retrieve, Rewrite, Search
from voicebot.brain.policy import RETRIEVE
from voicebot.config import Config
from voicebot.config_brain import MemberConfig
from voicebot.engines.base import LlmEngine, Sampling
from voicebot.errors import ConfigError
from voicebot.lane import Lane

SMALL_TALKER_TASKS = ("talk", "tools")
"""What the shipped talker was trained to do."""
ANY_TASKS = ("talk", "tools", "extract", "classify")
"""What a general language model is trusted with where no member is set."""
PROMPTS = Path(__file__).resolve().parent / "brain" / "prompts"


def with_defaults(config: Config, shipped_talker: bool) -> Mapping[str, MemberConfig]:
    """The members that the settings name, else those that are shipped; and one that reads the documents, if any."""
    given, reply = dict(config.fleet), config.reply
    if not given:
        tasks = SMALL_TALKER_TASKS if shipped_talker else ANY_TASKS
        given["talker"] = MemberConfig(
            tasks=tasks, general=True, temperature=reply.temperature, max_tokens=reply.max_tokens
        )
        if not shipped_talker:
            given["rewrite"] = MemberConfig(job="rewrite", max_tokens=reply.max_tokens)
    if config.documents.dir is not None and not any(one.job == RETRIEVE for one in given.values()):
        if RETRIEVE in given:
            raise ConfigError('fleet.retrieve is another job; set job = "retrieve" in one member, or rename this one')
        given[RETRIEVE] = MemberConfig(job="retrieve")
    return given


def made(
    name: str, given: MemberConfig, lane: Lane[LlmEngine], shipped: bool, config: Config, search: Search | None
) -> Member:
    """One member. `shipped`: its model is the talker that came with the product, which reads no instructions.

    Raises: ConfigError.
    """
    job = _job(name, given, shipped, config, search)
    usual = config.reply.system_prompt
    if usual is None or given.job != "talk":
        usual = "" if shipped else shipped_prompt(given.job)
    return Member(
        name,
        frozenset(given.tasks or (() if given.job == "talk" else (given.job,))),
        lane,
        given.prompt or _prompt_in(given.prompt_file) or usual,
        Sampling(temperature=given.temperature, max_tokens=given.max_tokens),
        Threshold(_or_any(given.mean_logprob), _or_any(given.min_logprob)),
        given.tools,
        given.general,
        job,
        given.stage,
    )


def _job(name: str, given: MemberConfig, shipped: bool, config: Config, search: Search | None) -> Job | None:
    if shipped and given.job in ("extract", "classify", "rewrite"):
        raise ConfigError(
            f'fleet.{name} has job = "{given.job}", and the shipped talker reads no instructions; '
            f"set fleet.{name}.engine to a general model, e.g. one that `voicebot models pull` brings"
        )
    if given.general and given.job != "talk":
        raise ConfigError(f'fleet.{name} is general, so it talks; it cannot have job = "{given.job}"')
    if given.general and given.stage != "live":
        raise ConfigError(f'fleet.{name} is general, so it is live; it cannot have stage = "{given.stage}"')
    match given.job:
        case "extract":
            return Extract(given.fields, given.required)
        case "classify":
            return Classify(given.labels)
        case "rewrite":
            return Rewrite()
        case "retrieve":
            if search is None:
                raise ConfigError(f'fleet.{name} has job = "retrieve" and there is nothing to read; set documents.dir')
            return Retrieve(search, config.documents.least, config.documents.sure, extractive=shipped)
        case _:
            return None


def shipped_prompt(job: str) -> str:
    return (PROMPTS / f"{job}.txt").read_text(encoding="utf-8").strip()


def _prompt_in(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the prompt file {file}: {error}") from None


def _or_any(least: float | None) -> float:
    return -math.inf if least is None else least
