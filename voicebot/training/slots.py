"""What people put into the open places of a pattern: numbers, durations, clock times, names, reminder texts.

Rules of this file:
1. Every slot that is a tool's argument is a span that the parsers in `voicebot/brain/` understand (a test holds this).
2. `words` chooses spoken form ("ten minutes") or written form ("10 minutes"); one utterance keeps one form.
3. Open vocabularies (names, topics, reminder objects) are salted with invented words, so that a small model
   learns to copy a span instead of knowing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from voicebot.training import vocabulary as v
from voicebot.training.slot_times import TimeSlots


class Slots(TimeSlots):
    """Draws slot fillers from one seeded generator. Slots are named `{slot}` or `{slot:variant}` in patterns."""

    def __init__(self, rng: Random, words: bool, lexicon: Sequence[str] = ()) -> None:
        """`lexicon`: words from anywhere that may turn up as names, so that every word is learned as one to copy."""
        super().__init__(rng, words)
        self._lexicon = lexicon
        self._makers: dict[str, Callable[[], str]] = {
            "duration": self.duration,
            "duration:adj": self.duration_adjective,
            "name": self.timer_name,
            "place": self.place,
            "day": self.day,
            "when": self.when,
            "when:clock": self.clock_first,
            "when:at": self.when_with_preposition,
            "when:many": self.several_times,
            "text": self.task,
            "text:that": self.clause,
            "text:thing": self.thing,
            "expression": self.expression,
            "expression:verb": self.verb_expression,
            "level": self.level,
            "_topic": self.topic,
            "_number": lambda: self.number(2, 90),
            "_year": lambda: self.number(1950, 2030),
            "_food": lambda: self.rng.choice(v.FOODS),
            "_task": self.task,
            "_clause": self.clause,
            "_place": self.place,
            "_word": self.rare_word,
            "_thing": lambda: self.rng.choice(v.OBJECTS),
            "_person": self.person,
            "_fullname": lambda: f"{self.person()} {self.surname()}",
            "_title": self.title,
        }

    def fill(self, slot: str) -> str:
        """One filler, lower case. Raises: KeyError for a slot that no pattern may use."""
        if slot in v.LISTS:
            return self.rng.choice(v.LISTS[slot])
        return self._makers[slot]()

    def invented(self) -> str:
        """A word nobody said in this place before: any word of the lexicon, or two or three random syllables."""
        if self._lexicon and self.rng.random() < 0.5:
            return self.rng.choice(self._lexicon)
        parts = [self.rng.choice(v.ONSETS) + self.rng.choice(v.RIMES) for _ in range(self.rng.choice((1, 2, 2, 2, 3)))]
        return "".join(parts)

    def rare_word(self) -> str:
        return self.invented() if self.rng.random() < 0.5 else self.rng.choice(v.RARE_WORDS)

    def person(self) -> str:
        return self.invented() if self.rng.random() < 0.2 else self.rng.choice(v.PEOPLE)

    def surname(self) -> str:
        return self.invented() if self.rng.random() < 0.6 else self.rng.choice(v.SURNAMES)

    def title(self) -> str:
        return " ".join(self.rng.choice(v.TITLE_WORDS) for _ in range(self.rng.randint(1, 3)))

    def timer_name(self) -> str:
        kind = self.rng.random()
        if kind < 0.5:
            return self.rng.choice(v.TIMER_NAMES)
        if kind < 0.7:
            return self.invented()
        if kind < 0.85:
            return f"{self.rng.choice(v.ADJECTIVES)} {self.rng.choice(v.FOODS)}"
        return self.rng.choice(v.OBJECTS)

    def place(self) -> str:
        if self.rng.random() < 0.85:
            return self.rng.choice(v.PLACES)
        first = self.invented()
        return f"{first} {self.rng.choice(v.PLACE_TAILS)}" if self.rng.random() < 0.5 else first

    def _object(self) -> str:
        noun = self.invented() if self.rng.random() < 0.2 else self.rng.choice(v.OBJECTS + v.FOODS)
        adjective = f"{self.rng.choice(v.ADJECTIVES)} " if self.rng.random() < 0.25 else ""
        return f"{self.rng.choice(('the', 'my', 'a', 'some', 'the', 'my', 'our'))} {adjective}{noun}"

    def task(self) -> str:
        """A bare verb phrase: "call mom", "take the blue bike to the shop"."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.rng.choice(v.TASKS)
        if kind < 0.55:
            return f"{self.rng.choice(v.PERSON_VERBS)} {self._somebody()}{self._tail()}"
        if kind < 0.9:
            return f"{self.rng.choice(v.OBJECT_VERBS)} {self._object()}{self._tail()}"
        return (
            f"{self.rng.choice(v.OBJECT_VERBS)} {self._object()} and {self.rng.choice(v.OBJECT_VERBS)} {self._object()}"
        )

    def _somebody(self) -> str:
        return self.rng.choice((self.rng.choice(v.RELATIONS), self.person()))

    def _tail(self) -> str:
        if self.rng.random() < 0.7:
            return ""
        about = self.rng.choice(("about", "for", "with", "from"))
        return f" {about} {self.rng.choice((self._object(), self._somebody()))}"

    def thing(self) -> str:
        kind = self.rng.random()
        if kind < 0.5:
            return f"{self.rng.choice(('the', 'my', 'my', 'a'))} {self.rng.choice(v.EVENTS)}"
        if kind < 0.7:
            return f"{self._somebody()}'s {self.rng.choice(v.EVENTS)}"
        return self._object()

    def clause(self) -> str:
        kind = self.rng.random()
        if kind < 0.4:
            return f"i have a {self.rng.choice(v.EVENTS)}"
        if kind < 0.7:
            return f"{self._object()} is {self.rng.choice(v.STATES)}"
        return f"{self._somebody()} {self.rng.choice(v.DOINGS)}"

    def topic(self) -> str:
        kind = self.rng.random()
        if kind < 0.45:
            return self.rng.choice(v.TOPICS)
        if kind < 0.6:
            return self.invented()
        if kind < 0.8:
            return f"{self.rng.choice(v.ADJECTIVES)} {self.rng.choice(v.TOPICS + v.OBJECTS)}"
        return f"{self.rng.choice(v.TOPICS)} {self.rng.choice(v.TOPIC_TAILS)}"
