"""Who answers a turn: a pure table from what is known about it to a plan. The first row that fits decides.

    the turn                        the expert                              plan
    ------------------------------  --------------------------------------  ------------------------------------------
    easy, owned by a live member    any                                     the member; if it is rejected, the expert
    hard or nobody's, but in the    any                                     the member that owns `retrieve`; if it is
    operator's documents                                                    rejected, the expert
    hard or nobody's                may be asked, answer expected soon      the expert, in place
    hard or nobody's                may be asked, answer takes a while      acknowledge, expert in the background
    hard or nobody's                elsewhere, and the prompt is private    the best member here, after saying so
    hard or nobody's                over budget, or down                    the best member here, after saying so
    hard or nobody's                none is set                             the best member here

    who answers                     and                                     shadow
    ------------------------------  --------------------------------------  ------------------------------------------
    the expert, or another member   the task's owner is on trial            that owner
    a live member                   sampled, and the expert may be asked    the expert

Rules:
1. A plan names a reason in our own words; it reaches the trace, the page and the ledger, and never holds the caller's.
2. Privacy is asked before anything that costs: what may not leave is planned as if there were no expert.
3. Shadowing never changes who answers, and goes nowhere where an answer might not come from.
4. A member that is on trial, off or sick owns nothing. The general member is always live: somebody has to talk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from voicebot.core.labels import Label

ExpertState = Literal["none", "ready", "down", "over budget"]
Kind = Literal["member", "expert", "errand"]
Stage = Literal["live", "shadow", "off"]
"""How far a member's rollout has come for one caller: it answers, is on trial beside whoever answers, or neither."""
EXPERT = "frontier"
"""The expert's name among the members."""
RETRIEVE = "retrieve"
"""The task of answering from the operator's documents."""


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What the table needs to know of a member. `general`: it takes what nobody owns."""

    name: str
    tasks: frozenset[str]
    general: bool = False
    healthy: bool = True
    stage: Stage = "live"

    @property
    def serves(self) -> bool:
        return self.healthy and (self.general or self.stage == "live")


@dataclass(frozen=True, slots=True)
class Limits:
    """Probabilities from which the expert is asked, and the wait from which the caller is told so."""

    hard_at: float = 0.5
    oos_at: float = 0.5
    acknowledge_ms: float = 700.0
    covered_at: float = 0.8
    """Share of a question's words in one passage from which the documents are asked before anybody else is."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One turn, as the router and the rest of the server see it.

    `task`: the router's; `hard` and `oos`: probabilities 0..1 that it is too much for a small model, and nobody's task;
    `label`: the strictest of the whole prompt; `expected_ms`: the expert's usual time to its first words; `remote`:
    whether words leave this machine to reach the expert; `covered`: how much of it (0..1) the operator's documents
    have; `sampled`: the expert shall get a copy of what a member answers, to compare them.
    """

    task: str
    hard: float
    oos: float
    label: Label
    expert: ExpertState
    expected_ms: float | None = None
    remote: bool = True
    covered: float = 0.0
    sampled: bool = False

    @property
    def forbidden(self) -> bool:
        """Privacy keeps this turn from the expert."""
        return self.remote and self.label is Label.LOCAL_ONLY


@dataclass(frozen=True, slots=True)
class Plan:
    """`members` are tried in order where one fails; `escalate`: an answer that is rejected goes to the expert instead.

    `notice`: words that say why nobody better is asked, "" for none; `shadow`: who gets a copy of the turn, unheard.
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


def decide(situation: Situation, members: Sequence[MemberFacts], limits: Limits) -> Plan:
    """The plan for a turn. Raises: ValueError, if there is no general member, which a fleet always has."""
    plan = _answer(situation, members, limits)
    return replace(plan, shadow=_shadow(situation, members, plan))


def _answer(situation: Situation, members: Sequence[MemberFacts], limits: Limits) -> Plan:
    """The first table."""
    here = _in_order(situation.task, members)
    why_hard = _why_hard(situation, limits, members)
    may_ask = situation.expert == "ready" and not situation.forbidden
    if not why_hard:
        return Plan("member", here, f"{situation.task}: {here[0]} owns it", escalate=may_ask)
    if situation.covered >= limits.covered_at and _owned(RETRIEVE, members):
        readers = _in_order(RETRIEVE, members)
        return Plan("member", readers, f"{why_hard}, but in the documents: {readers[0]}", escalate=may_ask)
    if may_ask:
        slow = situation.expected_ms is None or situation.expected_ms >= limits.acknowledge_ms
        how = "in the background" if slow else "in place, it is quick"
        return Plan("errand" if slow else "expert", here, f"{why_hard}: the expert, {how}")
    if situation.expert == "none":
        return Plan("member", here, f"{why_hard}: no expert is set, so {here[0]}")
    if situation.forbidden:
        return Plan("member", here, f"{why_hard}: private, so {here[0]}", notice=PRIVATE_NOTICE)
    notice = BUDGET_NOTICE if situation.expert == "over budget" else DOWN_NOTICE
    return Plan("member", here, f"{why_hard}: the expert is {situation.expert}, so {here[0]}", notice=notice)


def _shadow(situation: Situation, members: Sequence[MemberFacts], plan: Plan) -> str:
    """The second table; "" for nobody."""
    trial = _on_trial(situation.task, members)
    if trial:
        return trial
    return EXPERT if situation.sampled and plan.kind == "member" and plan.escalate else ""


def _why_hard(situation: Situation, limits: Limits, members: Sequence[MemberFacts]) -> str:
    """Why no member should answer it, "" if one should."""
    if situation.hard >= limits.hard_at:
        return f"hard ({situation.hard:.2f})"
    if situation.oos >= limits.oos_at:
        return f"nobody's task ({situation.oos:.2f})"
    if _owned(situation.task, members):
        return ""
    trial = _on_trial(situation.task, members)
    return f"{trial} is on trial for {situation.task}" if trial else f"no member owns {situation.task}"


def _owned(task: str, members: Sequence[MemberFacts]) -> bool:
    return any(task in member.tasks for member in members if member.serves)


def _on_trial(task: str, members: Sequence[MemberFacts]) -> str:
    trials = [one for one in members if one.stage == "shadow" and one.healthy and not one.general]
    return next((one.name for one in trials if task in one.tasks), "")


def _in_order(task: str, members: Sequence[MemberFacts]) -> tuple[str, ...]:
    """The live owners of the task, then the general member; a sick general one rather than nobody."""
    owners = [member.name for member in members if member.serves and task in member.tasks]
    general = [member for member in members if member.general]
    if not general:
        raise ValueError("a fleet needs a general member, which takes what nobody owns")
    rest = [member.name for member in general if member.healthy] or [general[0].name]
    return tuple(dict.fromkeys([*owners, *rest]))
