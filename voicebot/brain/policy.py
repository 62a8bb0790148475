"""Who answers a turn: a pure table from what is known about it to a plan. The first row that fits decides.

    the turn                        the expert                              plan
    ------------------------------  --------------------------------------  ------------------------------------------
    easy, owned by a member         any                                     the member; if it is rejected, the expert
    hard or nobody's                may be asked, answer expected soon      the expert, in place
    hard or nobody's                may be asked, answer takes a while      acknowledge, expert in the background
    hard or nobody's                elsewhere, and the prompt is private    the best member here, after saying so
    hard or nobody's                over budget, or down                    the best member here, after saying so
    hard or nobody's                none is set                             the best member here

Rules:
1. A plan names a reason in our own words; it reaches the trace, the page and the ledger, and never holds the caller's.
2. Privacy is asked before anything that costs: what may not leave is planned as if there were no expert.
3. Shadowing never changes who answers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from voicebot.core.labels import Label

ExpertState = Literal["none", "ready", "down", "over budget"]
Kind = Literal["member", "expert", "errand"]


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What the table needs to know of a member. `general`: it takes what nobody owns."""

    name: str
    tasks: frozenset[str]
    general: bool = False
    healthy: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Probabilities from which the expert is asked, and the wait from which the caller is told so."""

    hard_at: float = 0.5
    oos_at: float = 0.5
    acknowledge_ms: float = 700.0


@dataclass(frozen=True, slots=True)
class Situation:
    """One turn, as the router and the rest of the server see it.

    `task`: the router's; `hard` and `oos`: probabilities 0..1 that it is too much for a small model, and nobody's task;
    `label`: the strictest of the whole prompt; `expected_ms`: the expert's usual time to its first words; `remote`:
    whether words leave this machine to reach the expert.
    """

    task: str
    hard: float
    oos: float
    label: Label
    expert: ExpertState
    expected_ms: float | None = None
    remote: bool = True

    @property
    def forbidden(self) -> bool:
        """Privacy keeps this turn from the expert."""
        return self.remote and self.label is Label.LOCAL_ONLY


@dataclass(frozen=True, slots=True)
class Plan:
    """`members` are tried in order; `escalate`: what follows when all of them are rejected.

    `notice`: words that say why nobody better is asked, "" for none.
    """

    kind: Kind
    members: tuple[str, ...]
    reason: str
    escalate: bool = False
    notice: str = ""
    shadow: str = ""


PRIVATE_NOTICE = "That stays between us, so I answer it myself."
DOWN_NOTICE = "I cannot reach anyone who knows more right now."
BUDGET_NOTICE = "I may not ask anyone else today."


def decide(situation: Situation, members: Sequence[MemberFacts], limits: Limits, shadow: str = "") -> Plan:
    """The plan for a turn. Raises: ValueError, if there is no general member, which a fleet always has."""
    here = _in_order(situation.task, members)
    why_hard = _why_hard(situation, limits, members)
    expert_allowed = situation.expert == "ready" and not situation.forbidden
    if not why_hard:
        return Plan("member", here, f"{situation.task}: {here[0]} owns it", escalate=expert_allowed, shadow=shadow)
    if expert_allowed:
        slow = situation.expected_ms is None or situation.expected_ms >= limits.acknowledge_ms
        how = "in the background" if slow else "in place, it is quick"
        return Plan("errand" if slow else "expert", here, f"{why_hard}: the expert, {how}", shadow=shadow)
    if situation.expert == "none":
        return Plan("member", here, f"{why_hard}: no expert is set, so {here[0]}", shadow=shadow)
    if situation.forbidden:
        return Plan("member", here, f"{why_hard}: private, so {here[0]}", notice=PRIVATE_NOTICE)
    notice = BUDGET_NOTICE if situation.expert == "over budget" else DOWN_NOTICE
    return Plan("member", here, f"{why_hard}: the expert is {situation.expert}, so {here[0]}", notice=notice)


def _why_hard(situation: Situation, limits: Limits, members: Sequence[MemberFacts]) -> str:
    """Why no member should answer it, "" if one should."""
    if situation.hard >= limits.hard_at:
        return f"hard ({situation.hard:.2f})"
    if situation.oos >= limits.oos_at:
        return f"nobody's task ({situation.oos:.2f})"
    owned: Collection[str] = {task for member in members if member.healthy for task in member.tasks}
    return "" if situation.task in owned else f"no member owns {situation.task}"


def _in_order(task: str, members: Sequence[MemberFacts]) -> tuple[str, ...]:
    """The healthy owners of the task, then the general ones; a sick general one rather than nobody."""
    owners = [member.name for member in members if member.healthy and task in member.tasks]
    general = [member for member in members if member.general]
    if not general:
        raise ValueError("a fleet needs a general member, which takes what nobody owns")
    rest = [member.name for member in general if member.healthy] or [general[0].name]
    return tuple(dict.fromkeys([*owners, *rest]))
