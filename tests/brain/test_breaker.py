"""The circuit breaker and the money caps, on a hand-written clock."""

from __future__ import annotations

from voicebot.brain.breaker import Breaker, BreakerSettings
from voicebot.brain.budget import DAY_S, Budget, Caps, Hold


def broken() -> Breaker:
    breaker = Breaker(BreakerSettings(failures=2, rest_s=30))
    for _ in range(2):
        assert breaker.begin(0)
        breaker.failed(0)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(BreakerSettings(failures=2))
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(0)
    assert breaker.state(0) == "closed"
    breaker.failed(1)
    assert (breaker.state(30.9), breaker.begin(30.9), breaker.state(31)) == ("open", False, "half open")


def test_half_open_lets_one_attempt_through_which_decides() -> None:
    breaker = broken()
    assert breaker.begin(30) and not breaker.begin(30)
    breaker.failed(30)
    assert breaker.state(59) == "open"
    assert breaker.begin(60)
    breaker.succeeded()
    assert breaker.state(60) == "closed"


def test_an_abandoned_trial_lets_the_next_one_through() -> None:
    breaker = broken()
    assert breaker.begin(30)
    breaker.abandoned()
    assert breaker.begin(30)


def test_money_is_held_before_and_settled_after_so_that_two_attempts_do_not_spend_the_same() -> None:
    budget = Budget(Caps(per_call_usd=1.0, per_day_usd=1.5))
    hold = budget.reserve("a", 0.6, 0)
    assert isinstance(hold, Hold)
    assert budget.reserve("a", 0.6, 0) == "$0.6000 more would pass the call's cap of $1.00"
    assert budget.reserve("b", 1.0, 0) == "$1.0000 more would pass the day's cap of $1.50"
    budget.settle(hold, 0.1)
    budget.settle(hold, 0.0)
    assert (round(budget.of_call("a"), 9), round(budget.today(0), 9)) == (0.1, 0.1)
    assert isinstance(budget.reserve("a", 0.6, 0), Hold)


def test_a_day_ends_at_midnight_utc_and_a_late_settlement_does_not_reach_into_the_next() -> None:
    budget = Budget(Caps(per_day_usd=1.0), now=0.0, spent_today_usd=0.9)
    assert isinstance(budget.reserve("a", 0.2, DAY_S - 1), str)
    hold = budget.reserve("a", 0.1, DAY_S - 1)
    assert isinstance(hold, Hold)
    assert budget.today(DAY_S) == 0.0
    budget.settle(hold, 0.5)
    assert budget.today(DAY_S) == 0.0 and budget.of_call("a") == 0.5
    budget.end_call("a")
    assert budget.of_call("a") == 0.0
