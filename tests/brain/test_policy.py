"""The policy table: who answers which turn, and in whose words that is explained."""

from __future__ import annotations

import itertools
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


def plan(situation: Situation, members: tuple[MemberFacts, ...] = FLEET) -> Plan:
    return decide(situation, members, Limits())


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


def test_a_member_on_trial_shadows_whoever_answers_its_task() -> None:
    trial = (TALKER, replace(REWRITE, stage="shadow"))
    got = plan(replace(EASY, task="rewrite"), trial)
    assert (got.kind, got.shadow) == ("errand", "rewrite")
    assert got.reason == "rewrite is on trial for rewrite: the expert, in the background"
    alone = plan(replace(EASY, task="rewrite", expert="none"), trial)
    assert (alone.members, alone.shadow) == (("talker",), "rewrite")
    assert plan(EASY, trial).shadow == "", "it is no shadow of other tasks"


def test_a_member_that_is_off_owns_nothing_and_shadows_nothing() -> None:
    off = plan(replace(EASY, task="rewrite"), (TALKER, replace(REWRITE, stage="off")))
    assert (off.kind, off.shadow) == ("errand", "") and off.reason.startswith("no member owns rewrite")


def test_the_general_member_is_live_whatever_its_stage() -> None:
    assert plan(EASY, (replace(TALKER, stage="off"),)).members == ("talker",)


@pytest.mark.parametrize("situation", [EASY, HARD, replace(EASY, task="rewrite"), replace(HARD, covered=1.0)])
def test_a_shadow_never_changes_who_answers(situation: Situation) -> None:
    assert replace(plan(replace(situation, sampled=True)), shadow="") == plan(situation)


def test_the_expert_gets_a_copy_only_where_it_might_have_answered() -> None:
    sampled = replace(EASY, sampled=True)
    assert plan(sampled).shadow == "frontier"
    assert plan(replace(sampled, label=Label.LOCAL_ONLY)).shadow == "", "a private turn is copied to nobody"
    assert plan(replace(sampled, expert="over budget")).shadow == ""
    assert plan(replace(HARD, sampled=True)).shadow == "", "it answers itself"


READER = MemberFacts("reader", frozenset({"retrieve"}))


def test_what_the_documents_have_is_looked_up_there_before_the_expert_is_asked() -> None:
    covered = replace(HARD, covered=0.8)
    got = plan(covered, (TALKER, READER))
    assert (got.kind, got.members, got.escalate) == ("member", ("reader", "talker"), True)
    assert got.reason == "hard (0.90), but in the documents: reader"
    assert plan(replace(covered, covered=0.79), (TALKER, READER)).kind == "errand"
    assert plan(covered, (TALKER, replace(READER, healthy=False))).kind == "errand"
    assert plan(covered).kind == "errand", "nobody reads them"
    assert plan(replace(EASY, covered=1.0), (TALKER, READER)).members == ("talker",), "an easy turn has its owner"


def test_every_combination_gets_a_plan_that_somebody_here_can_carry_out() -> None:
    labels, experts = list(Label), ["none", "ready", "down", "over budget"]
    for label, expert, hard, covered, stage, remote in itertools.product(
        labels, experts, (0.1, 0.9), (0.0, 1.0), ("live", "shadow", "off"), (True, False)
    ):
        situation = Situation("rewrite", hard, 0.0, label, expert, 2000, remote, covered)  # type: ignore[arg-type]
        got = plan(situation, (TALKER, replace(REWRITE, stage=stage), READER))  # type: ignore[arg-type]
        assert got.members[-1] == "talker" and got.reason
        outward = got.kind != "member" or got.escalate or got.shadow == "frontier"
        assert not (outward and remote and label is Label.LOCAL_ONLY), "a private turn has no way out"
        assert not (outward and expert != "ready")
        assert got.notice == "" or got.kind == "member"
