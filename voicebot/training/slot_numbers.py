"""Numbers, sums and measures as callers put them into a question."""

from __future__ import annotations

from random import Random

from voicebot.brain.tools_numbers import spoken
from voicebot.training import vocabulary as v


class NumberSlots:
    """`words` chooses spoken form ("seven times eight") or written form ("7 * 8")."""

    def __init__(self, rng: Random, words: bool) -> None:
        self.rng = rng
        self.words = words

    def number(self, low: int, high: int) -> str:
        return self.show(self.rng.randint(low, high))

    def show(self, value: int) -> str:
        return spoken(value) if self.words else str(value)

    def _operand(self) -> str:
        kind = self.rng.random()
        if kind < 0.65:
            return self.number(1, 99)
        if kind < 0.82:
            return self.number(100, 999)
        if kind < 0.9:
            return self.number(1000, 99999)
        whole, part = self.rng.randint(0, 99), self.rng.randint(1, 9)
        return f"{spoken(whole)} point {spoken(part)}" if self.words else f"{whole}.{part}"

    def _operator(self) -> str:
        if self.words:
            return self.rng.choice(
                (" plus ", " minus ", " times ", " divided by ", " multiplied by ", " over ", " plus ")
            )
        signs = (
            " + ",
            "+",
            " - ",
            "-",
            " x ",
            "*",
            " * ",
            "x",
            "/",
            " / ",
            " plus ",
            " minus ",
            " times ",
            " divided by ",
        )
        return self.rng.choice(signs)

    def expression(self) -> str:
        a, b, kind = self._operand(), self._operand(), self.rng.random()
        if kind < 0.52:
            return f"{a}{self._operator()}{b}"
        if kind < 0.6:
            return f"{a}{self._operator()}{b}{self._operator()}{self._operand()}"
        percent = self.rng.choice((" percent", "%")) if not self.words else " percent"
        choices = (
            f"{self.number(1, 99)}{percent} of {b}",
            f"{self.number(1, 99)}{percent} of {b}",
            f"{self.number(1, 90)}{percent} off {b}",
            f"the square root of {a}",
            f"square root of {a}",
            f"{self.number(2, 40)} squared",
            f"{self.number(2, 12)} cubed",
            f"{self.number(2, 12)} to the power of {self.number(2, 6)}",
            f"half of {a}",
            f"a {self.rng.choice(('third', 'quarter', 'fifth', 'tenth'))} of {a}",
            f"{self.rng.choice(('three quarters', 'two thirds', 'one half', 'one third'))} of {a}",
            f"the sum of {a} and {b}",
            f"the product of {a} and {b}",
            f"the difference between {a} and {b}",
            f"twice {a}",
            f"double {a}",
            f"a {self.number(5, 25)}{percent} tip on {b}{self.rng.choice((' dollars', ''))}",
        )
        return self.rng.choice(choices)

    def verb_expression(self) -> str:
        a, b = self._operand(), self._operand()
        forms = (
            f"add {a} and {b}",
            f"add {a} to {b}",
            f"add up {a} and {b}",
            f"multiply {a} by {b}",
            f"multiply {a} and {b}",
            f"divide {a} by {b}",
            f"subtract {a} from {b}",
            f"take {a} away from {b}",
            f"double {a}",
            f"square {self.number(2, 40)}",
            f"add {a} {b} and {self._operand()}",
        )
        return self.rng.choice(forms)

    def level(self) -> str:
        number = self.rng.choice((self.rng.randint(1, 10), self.rng.randint(1, 10), self.rng.randint(0, 20) * 5))
        text = self.show(number)
        if number > 10 and self.rng.random() < 0.6:
            text += " percent" if self.words or self.rng.random() < 0.4 else "%"
        return self.rng.choice((text, text, text, text, "half"))

    def measure(self) -> tuple[str, str, str]:
        """Value, unit and target unit of one dimension; spelled as people say them."""
        kinds = self.rng.choice(v.UNIT_FAMILIES)
        source, target = self.rng.sample(kinds, 2)
        kind = self.rng.random()
        if kind < 0.18:
            one = "an" if source[0][0] in "aeio" or source[0].startswith("hour") else "a"
            return self.rng.choice((one, one, "one" if self.words else "1")), source[0], target[1]
        if kind < 0.26 and not source[1].startswith("degree") and self.words:
            return self.rng.choice(("half a", "a half", "a quarter of a")), source[0], target[1]
        value = self.show(2 + self.rng.randint(0, 20)) if kind < 0.6 else self._operand()
        if kind > 0.92:
            value = self.show(self.rng.randint(1, 20)) + (" and a half" if self.words else ".5")
        return value, self.rng.choice(source[1:]), self.rng.choice(target[1:])
