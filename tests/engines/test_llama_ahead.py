"""Reading ahead in the scheduler: what was read saves the draft, what was read in vain changes nothing."""

from __future__ import annotations

import threading
from random import Random

from tests.engines.test_llama_batch import BESIDE, SYSTEM, Bench, reply_to, text_of
from voicebot.engines.base import LlmDone

WORDS = [3, 9, 27, 17, 20, 29, 5, 15]
END_OF_TEMPLATE = [30, 31]


def letters(tokens: list[int]) -> str:
    return "".join(chr(64 + token) for token in tokens)


def prompt(words: list[int]) -> list[int]:
    """As a chat template writes it: something follows the caller's words."""
    return [*SYSTEM, *words, *END_OF_TEMPLATE]


def read(bench: Bench, words: list[int], session: str = "a") -> None:
    (done,) = bench.ask(session, prompt(words), limit=0)
    assert isinstance(done, LlmDone)
    assert (done.completion_tokens, done.finish_reason) == (0, "length")


def test_a_prompt_whose_beginning_was_read_costs_its_last_words_alone() -> None:
    bench = Bench()
    read(bench, WORDS[:5])
    read(bench, WORDS[:7])
    before = bench.evaluated()
    chunks = list(bench.ask("a", prompt(WORDS), limit=1))
    assert bench.evaluated() - before == len(WORDS) - 7 + len(END_OF_TEMPLATE)
    assert chunks[-1].cached_tokens == len(SYSTEM) + 7  # type: ignore[union-attr]


def test_a_guess_that_was_right_leaves_one_token_to_evaluate() -> None:
    bench = Bench()
    read(bench, WORDS)
    before = bench.evaluated()
    list(bench.ask("a", prompt(WORDS), limit=1))
    assert bench.evaluated() - before == 1


def test_what_the_cache_holds_is_not_read_again() -> None:
    bench = Bench()
    read(bench, WORDS)
    before = bench.evaluated()
    assert list(bench.ask("a", prompt(WORDS), limit=0)) == []
    assert bench.evaluated() == before


def test_whatever_was_read_in_vain_the_answer_is_the_same_and_each_call_has_its_own() -> None:
    for seed in range(40):
        random = Random(seed)
        bench = Bench()
        asked, reads = {}, []
        for session in "abc":
            for _ in range(random.randint(0, 3)):
                guess = WORDS[: random.randint(0, 6)] + [random.randint(1, 29) for _ in range(random.randint(0, 3))]
                reads.append(bench.ask(session, prompt(guess), limit=0, cancel=cancelled(random.random() < 0.3)))
                if random.random() < 0.7:
                    bench.scheduler.step()
            words = [random.randint(1, 29) for _ in range(random.randint(1, 8))]
            asked[session] = (words, bench.ask(session, prompt(words), limit=10))
        for session, (words, chunks) in asked.items():
            assert text_of(list(chunks)) == letters(reply_to(prompt(words), 10)), f"seed {seed}, call {session}"


def cancelled(yes: bool) -> threading.Event:
    event = threading.Event()
    if yes:
        event.set()
    return event


def test_it_waits_while_anybody_wants_an_answer_and_then_goes_on_in_small_pieces() -> None:
    bench = Bench()
    reply = bench.ask("a", [1, 2, 3], limit=4)
    ahead = bench.ask("b", prompt(WORDS), limit=0)
    text_of(list(reply))
    assert not any(row.sequence != 0 for batch in bench.cache.batches for row in batch)
    assert isinstance(list(ahead)[-1], LlmDone)
    read_ahead = [len(batch) for batch in bench.cache.batches if batch[0].sequence != 0]
    assert max(read_ahead) <= BESIDE
    assert sum(read_ahead) == len(prompt(WORDS))


def test_nobody_waits_for_what_is_only_read_ahead() -> None:
    bench = Bench()
    ahead = bench.ask("a", prompt(WORDS), limit=0)
    bench.scheduler.step()
    reply = bench.ask("b", prompt(WORDS[:3]), limit=1)
    assert text_of(list(reply)) == letters(reply_to(prompt(WORDS[:3]), 1))
    assert bench.evaluated() == len(prompt(WORDS[:3])), "it shares what had been read, and goes on"
    assert not ahead.ready


def test_a_call_that_asks_takes_the_place_of_its_own_reading_within_a_step() -> None:
    bench = Bench(replies=2)
    cancel = threading.Event()
    ahead = bench.ask("a", prompt(WORDS[:5]), limit=0, cancel=cancel)
    bench.scheduler.step()
    cancel.set()
    reply = bench.ask("a", prompt(WORDS), limit=1)
    bench.scheduler.step()
    assert {row.sequence for batch in bench.cache.batches for row in batch} == {0}, "the call's own slot goes on"
    assert bench.cache.batches[-1][0].position == BESIDE, "and keeps what was read of it"
    assert not list(ahead)
    assert text_of(list(reply)) == letters(reply_to(prompt(WORDS), 1))


def test_half_of_the_places_are_kept_free_of_it() -> None:
    bench = Bench(replies=4)
    reads = [bench.ask(session, prompt([token]), limit=0) for token, session in enumerate("abc", start=1)]
    assert [one.ready for one in reads] == [False, False, True]
    assert [len(list(one)) for one in reads] == [1, 1, 0], "what found no place ends without having read"


def test_the_output_layer_is_not_asked_for_what_is_only_read() -> None:
    bench = Bench()
    read(bench, WORDS)
    assert not any(row.wanted for batch in bench.cache.batches for row in batch)
