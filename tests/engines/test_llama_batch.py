"""The scheduler and its cache against a model in plain Python, whose replies show every token they were made from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.engines.fake_cache import END, FakeCache, logits_after
from voicebot.engines.base import LlmChunk, LlmDone, Sampling, Score, TextDelta
from voicebot.engines.llama_batch import WAITING_MAX, Limits, Scheduler, Underway
from voicebot.engines.llama_c import Row
from voicebot.engines.llama_pace import choose_threads, fewest_together
from voicebot.engines.llama_sampling import Sampler, logprobs
from voicebot.engines.llama_slots import Slots
from voicebot.engines.llama_tasks import CHUNKS_AHEAD, Generation, Scoring, Vocabulary
from voicebot.engines.tool_calls import ReplyParser
from voicebot.errors import EngineBadOutput, EngineError, EngineOverloaded

LETTERS = Vocabulary(lambda token: bytes([64 + token]), lambda token: token == END, lambda token: token == END)
SYSTEM = [1 + n * 7 % 31 for n in range(40)]
BESIDE, ALONE = 8, 24


@dataclass
class Bench:
    """A scheduler over a fake cache, and what tests ask of it."""

    cells: int = 400
    truncates: bool = True
    slots_count: int = 8
    replies: int = 4
    together: int = 1
    cache: FakeCache = field(init=False)
    slots: Slots = field(init=False)
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self.cache = FakeCache(self.cells, self.truncates)
        self.slots = Slots(self.cache, range(self.slots_count), self.cells, truncates=self.truncates)
        scratch = range(self.slots_count, self.slots_count + 3)
        self.scheduler = Scheduler(self.cache, self.slots, scratch, Limits(self.replies, ALONE, BESIDE, self.together))

    def ask(
        self, session: str, prompt: list[int], limit: int = 20, cancel: threading.Event | None = None
    ) -> Underway[LlmChunk]:
        sampler = Sampler(Sampling(), 0)
        task = Generation(
            session, prompt, limit, cancel or threading.Event(), LETTERS, sampler, ReplyParser(tools=False)
        )
        self.scheduler.submit(task)
        return Underway(self.scheduler, task)

    def weigh(self, session: str, prompt: list[int], choices: list[list[int]]) -> Underway[Score]:
        task = Scoring(session, prompt, choices, threading.Event())
        self.scheduler.submit(task)
        return Underway(self.scheduler, task)

    def evaluated(self) -> int:
        return sum(len(batch) for batch in self.cache.batches)


def reply_to(prompt: list[int], limit: int) -> list[int]:
    """What the model says to a prompt when it is alone with it."""
    said: list[int] = []
    while len(said) < limit:
        token = int(logits_after([*prompt, *said]).argmax())
        if token == END:
            break
        said.append(token)
    return said


def text_of(chunks: list[LlmChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def letters(tokens: list[int]) -> str:
    return "".join(chr(64 + token) for token in tokens)


@dataclass
class Caller:
    """One call of the canary: it asks, goes on with what was said, changes its mind and hangs up, as drawn."""

    name: str
    random: Random
    prompt: list[int]
    cancel: threading.Event = field(default_factory=threading.Event)
    reply: Underway[LlmChunk] | None = None
    limit: int = 0
    chunks: list[LlmChunk] = field(default_factory=list)
    finished: int = 0

    def act(self, bench: Bench) -> None:
        if self.reply is None:
            self.cancel, self.chunks, self.limit = threading.Event(), [], self.random.randint(1, 20)
            self.reply = bench.ask(self.name, self.prompt, self.limit, self.cancel)
        elif self.random.random() < 0.02:
            self.cancel.set()
            self.reply = None
            kept = self.random.randint(len(SYSTEM) // 2, len(self.prompt))
            self.prompt = [*self.prompt[:kept], *self.words()]
        else:
            self.fetch(bench)

    def fetch(self, bench: Bench) -> None:
        assert self.reply is not None
        while self.reply.ready and self.random.random() < 0.9:
            chunk = next(self.reply, None)
            if chunk is not None:
                self.chunks.append(chunk)
                continue
            expected = reply_to(self.prompt, self.limit)
            assert text_of(self.chunks) == letters(expected), "a token of another call, or one left out"
            assert isinstance(self.chunks[-1], LlmDone)
            self.finished += 1
            self.reply = None
            self.prompt = (
                [*self.prompt, *expected, *self.words()] if len(self.prompt) < 90 else [*SYSTEM, *self.words()]
            )
            return

    def words(self) -> list[int]:
        return [self.random.randint(1, 31) for _ in range(self.random.randint(1, 12))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("truncates", [True, False], ids=["transformer", "recurrent"])
def test_no_token_of_one_call_is_ever_in_another(truncates: bool, seed: int) -> None:
    """The canary: twelve callers at once, cancels at random, a cache far too small for all of them."""
    bench = Bench(cells=260, truncates=truncates, slots_count=7, replies=5)
    random = Random(seed)
    callers = [Caller(f"call {n}", random, [*SYSTEM[: random.choice((20, 40))], 1 + n]) for n in range(12)]
    for _ in range(700):
        random.choice(callers).act(bench)
        bench.scheduler.step()
        held = [bench.cache.tokens(slot.sequence) == slot.tokens for slot in bench.slots.held()]
        assert all(held), "what the slots believe is what the cache holds"
    assert sum(caller.finished for caller in callers) > 25
    for caller in callers:
        caller.cancel.set()
    while bench.scheduler.step():
        pass
    bench.slots.give_up_one()
    while bench.slots.give_up_one():
        pass
    assert bench.slots.free == bench.cells and not bench.cache.cells, "every cell comes back"


def test_a_call_that_goes_on_pays_for_its_new_tokens_only() -> None:
    bench = Bench()
    said = list(bench.ask("a", SYSTEM, 5))
    before = bench.evaluated()
    longer = [*SYSTEM, *reply_to(SYSTEM, 5), 3, 4]
    *_, done = list(bench.ask("a", longer, 5))
    assert isinstance(done, LlmDone)
    assert text_of(said) == letters(reply_to(SYSTEM, 5))
    assert done.cached_tokens == len(SYSTEM) + 4, "all but the last token said, which nobody evaluated"
    assert bench.evaluated() - before == len(longer) - done.cached_tokens + done.completion_tokens - 1


def test_a_draft_that_is_aborted_keeps_the_prefix_and_another_call_shares_it() -> None:
    bench = Bench()
    cancel = threading.Event()
    draft = bench.ask("a", [*SYSTEM, 5, 6], 20, cancel)
    next(draft)
    cancel.set()
    assert list(draft) == []
    *_, again = list(bench.ask("a", [*SYSTEM, 5, 7, 8], 3))
    *_, other = list(bench.ask("b", [*SYSTEM, 9], 3))
    assert isinstance(again, LlmDone) and again.cached_tokens == len(SYSTEM) + 1
    assert isinstance(other, LlmDone) and other.cached_tokens == len(SYSTEM)
    tails = sum(len(slot.tokens) - len(SYSTEM) for slot in bench.slots.held())
    assert len(bench.slots.held()) == 2
    assert len(bench.cache.cells) == len(SYSTEM) + tails, "the system prompt lies in the cache once"


def test_a_model_that_cannot_forget_a_part_goes_on_from_where_a_prompt_ended() -> None:
    bench = Bench(truncates=False)
    *_, first = list(bench.ask("a", SYSTEM, 4))
    *_, draft = list(bench.ask("a", [*SYSTEM, 5, 6], 4))
    *_, other = list(bench.ask("a", [*SYSTEM, 5, 7], 4))
    cached = [done.cached_tokens for done in (first, draft, other) if isinstance(done, LlmDone)]
    assert cached == [0, len(SYSTEM), len(SYSTEM)]


def test_callers_who_come_together_read_their_common_prompt_once() -> None:
    bench = Bench()
    replies = [bench.ask(f"call {n}", [*SYSTEM, 1 + n, 2], 4) for n in range(4)]
    for n, reply in enumerate(replies):
        assert text_of(list(reply)) == letters(reply_to([*SYSTEM, 1 + n, 2], 4))
    prompts = sum(row.position < len(SYSTEM) for batch in bench.cache.batches for row in batch)
    assert prompts == len(SYSTEM)


def test_a_long_prompt_is_read_in_pieces_beside_a_reply_which_gets_a_token_each_step() -> None:
    bench = Bench()
    talking = bench.ask("a", [7, 7], 20)
    next(talking)
    bench.cache.batches.clear()
    reading = bench.ask("b", SYSTEM, 1)
    for _ in range(3):
        bench.scheduler.step()
    mine = [[row for row in batch if row.position < 30 and row.sequence == 0] for batch in bench.cache.batches]
    assert [len(rows) for rows in mine] == [1, 1, 1]
    assert [len(batch) for batch in bench.cache.batches] == [1 + BESIDE] * 3
    assert text_of(list(reading)) == letters(reply_to(SYSTEM, 1))
    alone = Bench()
    next(alone.ask("b", SYSTEM, 1))
    assert [len(batch) for batch in alone.cache.batches] == [ALONE, len(SYSTEM) - ALONE]


def test_a_cancelled_request_is_gone_at_the_next_step_and_lets_the_waiting_one_in() -> None:
    bench = Bench(cells=80, replies=4)
    cancel = threading.Event()
    first = bench.ask("a", SYSTEM, 30, cancel)
    next(first)
    second = bench.ask("b", [*reversed(SYSTEM)], 30)
    bench.scheduler.step()
    assert {row.sequence for row in bench.cache.batches[-1]} == {0}, "there is no room for the second"
    cancel.set()
    bench.scheduler.step()
    assert [row.position for row in bench.cache.batches[-1]] == list(range(ALONE))
    assert text_of(list(second)) == letters(reply_to([*reversed(SYSTEM)], 30))


def test_the_call_that_was_silent_for_longest_gives_up_its_cells_and_is_read_anew() -> None:
    bench = Bench(cells=92)
    prompts = {name: [start, *SYSTEM[:30]] for name, start in (("a", 1), ("b", 2), ("c", 3))}
    for name in ("a", "b", "a", "c", "c"):
        list(bench.ask(name, prompts[name], 15))
    assert {slot.session for slot in bench.slots.held()} == {"a", "c"}
    *_, done = chunks = list(bench.ask("b", prompts["b"], 15))
    assert isinstance(done, LlmDone) and done.cached_tokens == 0
    assert text_of(chunks) == letters(reply_to(prompts["b"], 15))


def test_a_reader_who_does_not_fetch_rests_and_goes_on_later() -> None:
    bench = Bench()
    prompt = next([start] for start in range(1, 32) if len(reply_to([start], 30)) == 30)
    slow, fast = bench.ask("slow", prompt, 30), bench.ask("fast", [*prompt, 1, 2], 30)
    assert text_of(list(fast)) == letters(reply_to([*prompt, 1, 2], 30))
    while bench.scheduler.step():
        pass
    assert len(bench.cache.tokens(0)) == len(prompt) + CHUNKS_AHEAD - 1
    assert text_of(list(slow)) == letters(reply_to(prompt, 30))


def test_a_reply_that_nobody_holds_any_more_is_given_up() -> None:
    bench = Bench()
    reply = bench.ask("a", SYSTEM, 20)
    next(reply)
    del reply
    assert not bench.scheduler.step()
    assert not any(slot.busy for slot in bench.slots.held())


def test_answers_are_weighed_on_branches_beside_a_reply() -> None:
    bench = Bench()
    talking = bench.ask("a", [*SYSTEM, 9], 12)
    next(talking)
    choices = [[5], [5, 6, 7], [8, 9], [10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [11, 12]]
    scores = list(bench.weigh("b", SYSTEM, choices))
    for choice, score in zip(choices, scores, strict=True):
        expected = [logprobs(logits_after([*SYSTEM, *choice[:at]]), [token])[0] for at, token in enumerate(choice)]
        assert score.tokens == pytest.approx(expected)
    assert letters(reply_to([*SYSTEM, 9], 12))[1:] == text_of(list(talking))
    assert bench.cache.tokens(0)[: len(SYSTEM)] == SYSTEM
    assert not any(sequence >= bench.slots_count for cell in bench.cache.cells for sequence in cell.sequences)
    rows = [row for batch in bench.cache.batches for row in batch if row.sequence >= bench.slots_count]
    assert len(rows) == sum(len(choice) - 1 for choice in choices)


def test_what_can_never_fit_and_what_is_too_much_is_refused() -> None:
    bench = Bench(cells=100)
    with pytest.raises(EngineBadOutput, match="raise cells"):
        bench.ask("a", SYSTEM, 61)
    held = [bench.ask("a", [1], 1) for _ in range(WAITING_MAX)]
    with pytest.raises(EngineOverloaded, match="wait for room"):
        bench.ask("b", [1], 1)
    assert all(list(reply) for reply in held)


def test_after_a_failure_of_the_library_everything_under_way_has_failed_and_the_next_call_is_answered() -> None:
    bench = Bench()
    first, second = bench.ask("a", SYSTEM, 9), bench.ask("b", [*SYSTEM, 1], 9)
    next(first)
    bench.cache.fails = True
    with pytest.raises(EngineBadOutput, match="the fake fails"):
        list(first)
    bench.cache.fails = False
    with pytest.raises(EngineError):
        list(second)
    assert bench.slots.free == bench.cells
    assert text_of(list(bench.ask("a", SYSTEM, 9))) == letters(reply_to(SYSTEM, 9))


def test_cells_that_are_missing_after_all_are_taken_from_an_idle_call() -> None:
    bench = Bench()
    list(bench.ask("a", SYSTEM, 3))
    bench.cache.refuses = 1
    assert text_of(list(bench.ask("b", [3, 2, 1], 5))) == letters(reply_to([3, 2, 1], 5))
    assert {slot.session for slot in bench.slots.held()} == {"b"}
    bench.cache.refuses = 2
    with pytest.raises(EngineOverloaded, match="no cell left"):
        list(bench.ask("b", [3, 2, 1, 1], 5))


def test_few_replies_are_decoded_one_by_one_where_the_model_is_faster_so() -> None:
    bench = Bench(together=3)
    long = [start for start in range(1, 32) if len(reply_to([start], 9)) == 9]
    replies = [bench.ask(f"call {start}", [start], limit) for start, limit in zip(long, (9, 9, 5), strict=False)]
    texts = [text_of(list(reply)) for reply in replies]
    assert texts == [letters(reply_to([start], limit)) for start, limit in zip(long, (9, 9, 5), strict=False)]
    assert [len(batch) for batch in bench.cache.batches] == [3] * 5 + [1] * 8


@dataclass
class Slow:
    """A decoder whose batches take the given seconds by their size."""

    seconds: dict[int, float]
    now: float = 0.0
    threads: tuple[int, int] = (1, 1)
    """For one row and for several."""
    gain: dict[int, float] = field(default_factory=dict)
    """How much faster a second thread makes a batch of this size."""

    def decode(self, rows: Sequence[Row]) -> bool:
        threads = self.threads[len(rows) > 1]
        self.now += self.seconds[len(rows)] / (self.gain[len(rows)] if threads > 1 else 1)
        return True

    def use_threads(self, alone: int, together: int) -> None:
        self.threads = (alone, together)

    def clear(self) -> None:
        """There is no cache."""


@pytest.mark.parametrize(
    ("seconds", "most", "together"),
    [
        ({1: 22, 2: 44, 4: 54, 8: 96}, 8, 2),
        ({1: 31, 2: 121, 4: 173, 8: 176}, 8, 8),
        ({1: 31, 2: 121, 4: 173, 8: 176}, 4, 5),
        ({1: 31}, 1, 2),
    ],
)
def test_it_is_measured_from_how_many_rows_on_a_batch_pays(seconds: dict[int, float], most: int, together: int) -> None:
    slow = Slow(seconds)
    assert fewest_together(slow, most, lambda: slow.now) == together


@pytest.mark.parametrize(
    ("alone", "together", "threads"), [(1.3, 1.8, (2, 2)), (0.95, 0.95, (2, 2)), (0.5, 1.8, (1, 2)), (0.5, 0.5, (1, 1))]
)
def test_more_threads_are_used_unless_they_are_clearly_slower(
    alone: float, together: float, threads: tuple[int, int]
) -> None:
    slow = Slow({1: 22, 8: 96}, gain={1: alone, 8: together})
    choose_threads(slow, (1, 2), 8, lambda: slow.now, lambda: slow.now)
    assert slow.threads == threads


def test_a_decode_that_is_over_before_a_second_thread_is_awake_is_not_shared() -> None:
    slow = Slow({1: 0.0007, 8: 0.0041}, gain={1: 1.5, 8: 1.5})
    busy = lambda: 10 * slow.now  # noqa: E731 - others are loading
    choose_threads(slow, (1, 2), 8, busy, lambda: slow.now)
    assert slow.threads == (1, 2)
