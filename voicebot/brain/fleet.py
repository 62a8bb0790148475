"""The fleet: which local model answers which tasks, with which prompt, tools and threshold; all from the settings.

A member is a NAME with one job; several may share one engine. Exactly one is general: it takes what nobody owns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from voicebot.brain.confidence import Threshold
from voicebot.brain.jobs import Job
from voicebot.brain.policy import MemberFacts, Stage
from voicebot.engines.base import LlmEngine, Message, Sampling
from voicebot.errors import ConfigError
from voicebot.lane import LaneLike

FAILURES_TO_SICKNESS = 3
"""Failed attempts in a row after which a member is passed over, until one succeeds or `HEAL_S` have passed."""
HEAL_S = 30.0


@dataclass(slots=True)
class Member:
    """One specialist. `tools`: those that it is offered, None for all; `prompt` "" for a model trained to its job.

    `job` None: it talks, word by word and with tools.
    """

    name: str
    tasks: frozenset[str]
    lane: LaneLike[LlmEngine]
    prompt: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    threshold: Threshold = field(default_factory=Threshold)
    tools: tuple[str, ...] | None = None
    general: bool = False
    job: Job | None = None
    stage: Stage = "live"
    """"shadow": on trial; it answers nobody and gets copies of its tasks' turns."""
    _failures: int = 0
    _failed_at: float = 0.0

    def worked(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        """`now`: monotonic seconds."""
        self._failures += 1
        self._failed_at = now

    def healthy(self, now: float) -> bool:
        return self._failures < FAILURES_TO_SICKNESS or now - self._failed_at >= HEAL_S

    def messages(self, talk: Iterable[Message]) -> list[Message]:
        """The talk with this member's own instructions before it."""
        own = [Message("system", self.prompt)] if self.prompt else []
        return [*own, *talk]


class Fleet:
    """The members by name. Raises: ConfigError, where there is not exactly one general member or a name comes twice."""

    def __init__(self, members: Iterable[Member]) -> None:
        listed = list(members)
        self._members = {member.name: member for member in listed}
        general = [member.name for member in listed if member.general]
        if len(self._members) != len(listed):
            raise ConfigError("two members of the fleet have the same name")
        if len(general) != 1:
            raise ConfigError(
                f"the fleet has {len(general)} general members ({', '.join(general) or 'none'}) and needs exactly one; "
                "set general = true in one [fleet.NAME]"
            )

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def facts(self, now: float, sampled: bool = False) -> list[MemberFacts]:
        """What the policy is told. `now`: monotonic seconds; `sampled`: members on trial get copies of this call."""
        return [MemberFacts(one.name, one.tasks, one.general, one.healthy(now), _stage(one, sampled)) for one in self]


def _stage(member: Member, sampled: bool) -> Stage:
    return "off" if member.stage == "shadow" and not sampled else member.stage
