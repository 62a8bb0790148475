"""The policy table: who answers which turn, and in whose words that is explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicebot.brain.policy import (
    BUDGET_NOTICE,
    DOWN_NOTICE,
    PRIVATE_NOTICE,
    Limits,
    MemberFacts,
    Plan,
    Situation,
    decide,
)
from voicebot.core.labels import Label

TALKER = MemberFacts("talker", frozenset({"talk", "tools"}), general=True)
REWRITE = MemberFacts("rewrite", frozenset({"rewrite"}))
FLEET = (TALKER, REWRITE)
EASY = Situation("tools", hard=0.1, oos=0.1, label=Label.OPEN, expert="ready", expected_ms=2000)
HARD = replace(EASY, task="talk", hard=0.9)


def plan(situation: Situation, members: tuple[MemberFacts, ...] = FLEET, shadow: str = "") -> Plan:
    return decide(situation, members, Limits(), shadow)


def test_an_easy_turn_belongs_to_the_member_that_owns_its_task() -> None:
    assert plan(EASY) == Plan("member", ("talker",), "tools: talker owns it", escalate=True)
    assert plan(replace(EASY, task="rewrite")).members == ("rewrite", "talker")


@pytest.mark.parametrize("expert", ["none", "down", "over budget"])
def test_a_rejected_answer_goes_to_the_expert_only_if_it_can_be_asked(expert: str) -> None:
    assert plan(replace(EASY, expert=expert)).escalate is False  # type: ignore[arg-type]


def test_a_private_turn_never_escalates() -> None:
    assert plan(replace(EASY, label=Label.LOCAL_ONLY)).escalate is False
    hard = plan(replace(HARD, label=Label.LOCAL_ONLY))
    assert (hard.kind, hard.members, hard.notice) == ("member", ("talker",), PRIVATE_NOTICE)


def test_a_redacted_turn_may_escalate() -> None:
    assert plan(replace(HARD, label=Label.REDACT)).kind == "errand"


@pytest.mark.parametrize(("expected_ms", "kind"), [(None, "errand"), (700, "errand"), (699, "expert")])
def test_a_hard_turn_is_acknowledged_only_if_the_answer_takes_a_while(expected_ms: float | None, kind: str) -> None:
    assert plan(replace(HARD, expected_ms=expected_ms)).kind == kind


@pytest.mark.parametrize(("hard", "oos", "why"), [(0.5, 0.0, "hard (0.50)"), (0.4, 0.5, "nobody's task (0.50)")])
def test_the_reason_names_what_made_it_hard(hard: float, oos: float, why: str) -> None:
    assert plan(replace(HARD, hard=hard, oos=oos)).reason == f"{why}: the expert, in the background"


def test_a_task_that_no_member_owns_is_the_experts() -> None:
    assert plan(replace(EASY, task="extract")).reason == "no member owns extract: the expert, in the background"


def test_a_sick_member_is_passed_over() -> None:
    sick = (TALKER, replace(REWRITE, healthy=False))
    assert plan(replace(EASY, task="rewrite"), sick).kind == "errand"
    assert plan(replace(EASY, task="rewrite", expert="none"), sick).members == ("talker",)


def test_a_sick_general_member_is_better_than_nobody() -> None:
    assert plan(replace(EASY, expert="none"), (replace(TALKER, healthy=False),)).members == ("talker",)


@pytest.mark.parametrize(("expert", "notice"), [("none", ""), ("down", DOWN_NOTICE), ("over budget", BUDGET_NOTICE)])
def test_without_the_expert_the_caller_is_told_why_and_gets_the_best_local_answer(expert: str, notice: str) -> None:
    got = plan(replace(HARD, expert=expert))  # type: ignore[arg-type]
    assert (got.kind, got.members, got.notice) == ("member", ("talker",), notice)


def test_a_fleet_without_a_general_member_is_refused() -> None:
    with pytest.raises(ValueError, match="general member"):
        plan(EASY, (REWRITE,))


def test_a_shadow_never_changes_who_answers() -> None:
    for situation in (EASY, HARD):
        assert replace(plan(situation, shadow="frontier"), shadow="") == plan(situation)
