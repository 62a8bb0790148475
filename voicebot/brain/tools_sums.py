"""A calculator for spoken sums: "seven times eight", "twenty percent of ninety", "the square root of two", "3/4 * 18".

Exact fractions throughout; sizes are bounded, so that no spoken sum can occupy the machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, sqrt

from voicebot.brain.tools_numbers import parse_number

LARGEST = 10**15 - 1
"""Beyond this a result is refused: nobody follows longer numbers by ear."""
MAX_EXPONENT = 64
MAX_CHARACTERS = 200

_OPERATORS = (
    (r"(?:raised )?to the power(?: of)?|\^|\*\*", "^"),
    (r"multiplied (?:by|with)|times|multiply by|x|\*|×|by", "*"),
    (r"divided (?:by|buy|into)|over|/|÷", "/"),
    (r"plus|added to|\+", "+"),
    (r"minus|less|take away|subtract(?:ed by)?|-|−", "-"),
    (r"square root(?: of)?", "sqrt"),
    (r"cube root(?: of)?", "cbrt"),
    (r"twice|double", "2*"),
    (r"triple", "3*"),
    (r"squared", "^2"),
    (r"cubed", "^3"),
    (r"factorial|!", "!"),
    (r"percent|per cent|%", "%"),
    (r"of", "of"),
    (r"[(]", "("),
    (r"[)]", ")"),
)


def _bordered(pattern: str) -> str:
    """Words match only whole, signs anywhere."""
    words = "|".join(part for part in _alternatives(pattern) if part[0].isalpha() or part[0] == "(")
    signs = "|".join(part for part in _alternatives(pattern) if not (part[0].isalpha() or part[0] == "("))
    bordered = rf"(?<![a-z])(?:{words})(?![a-z])" if words else ""
    return "|".join(part for part in (bordered, signs) if part)


def _alternatives(pattern: str) -> list[str]:
    """Split at the bars outside brackets."""
    parts, depth = [""], 0
    for sign in pattern:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        parts = [*parts, ""] if sign == "|" and not depth else [*parts[:-1], parts[-1] + sign]
    return parts


_TOKEN = re.compile("|".join(f"(?P<o{index}>{_bordered(pattern)})" for index, (pattern, _) in enumerate(_OPERATORS)))
_FILLER = re.compile(
    r"^(?:(?:what(?:'s| is| does| do)|how much is|calculate|compute|the answer to|solve|please|equals?|is) )+"
    r"|(?:[ =?.!]|\b(?:equals?|equal|please|make|makes|is|what)\b)+$|\b(?:dollars?|euros?|pounds|bucks)\b|[$€£]"
)
_POWER = re.compile(r"\bto the (\S+?)(?:th|st|nd|rd)? power\b")
_ORDINAL_POWERS = {"second": "2", "third": "3", "fourth": "4", "fif": "5", "fifth": "5", "six": "6", "sixth": "6"}


class BadSum(Exception):
    """The phrase is no sum that this calculator knows, or its result is too large to say."""


def evaluate(phrase: str) -> Fraction:
    """The value of a spoken or written sum. Raises: BadSum."""
    if len(phrase) > MAX_CHARACTERS:
        raise BadSum("too long")
    text = _tidy(phrase)
    for pattern, work in _FORMS:
        if found := pattern.fullmatch(text):
            return _bounded(work(*found.groups()))
    return _bounded(_Parser(_tokens(text)).whole())


_LEAD = re.compile(r"^(?:(?:and|now|then|so|okay|what is|what's) )+")
_THAT = re.compile(r"\b(?:that|it|this|the (?:result|answer|total|last one))\b(?!')")
_ONWARDS = re.compile(
    r"(?:plus|minus|times|multiplied|divided|over|less|take away|to the power|squared|cubed)\b|[+*/×÷x^] *\S|- "
)
_JOINED = (
    (re.compile(r"add (?!.+(?: and | to | with |, ))(.+)"), "{0} plus {1}"),
    (re.compile(r"(?:subtract|deduct|take away|take) (?!.+ from )(.+)"), "{0} minus {1}"),
    (re.compile(r"multiply by (.+)"), "{0} times {1}"),
    (re.compile(r"divide by (.+)"), "{0} divided by {1}"),
)


def evaluate_after(phrase: str, before: Fraction) -> Fraction:
    """The same where a result was said just `before`: "times two", "half of that" and "add five" go on from it.

    Raises: BadSum.
    """
    text, last = _LEAD.sub("", " ".join(phrase.lower().split())), f"({before})"
    pointed = _THAT.sub(last, text)
    if pointed == last:
        raise BadSum(phrase)
    if pointed != text:
        return evaluate(pointed)
    for pattern, whole in _JOINED:
        if found := pattern.fullmatch(text):
            return evaluate(whole.format(last, found[1]))
    return evaluate(f"{last} {text}" if _ONWARDS.match(text) else phrase)


def _tidy(phrase: str) -> str:
    text = " ".join(phrase.lower().replace("’", "'").replace(" hundredths", "/100").split())
    text = _POWER.sub(lambda found: f"^ {_ORDINAL_POWERS.get(found[1], found[1])}", text)
    previous = ""
    while previous != text:
        previous, text = text, " ".join(_FILLER.sub(" ", text).split())
    return text


def _bounded(value: Fraction) -> Fraction:
    if abs(value) > LARGEST or value.denominator > 10**40:
        raise BadSum("too large")
    return value


def _numbers(text: str) -> list[Fraction]:
    """A spoken list: "3, 7, 9 and 24", "one hundred and five and three": the fewest parts that all are sums."""
    joints = [found.span() for found in re.finditer(r",? and |, ?| ", text)][:8]
    splits = sorted(range(1, 1 << len(joints)), key=lambda bits: bits.bit_count())
    for bits in splits:
        try:
            return [evaluate(part) for part in _parts(text, joints, bits)]
        except BadSum:
            continue
    raise BadSum(text)


def _parts(text: str, joints: list[tuple[int, int]], bits: int) -> list[str]:
    parts, end = [], 0
    for index, (start, stop) in enumerate(joints):
        if bits >> index & 1:
            parts.append(text[end:start])
            end = stop
    return [*parts, text[end:]]


def _total(text: str) -> Fraction:
    return sum(_numbers(text), Fraction(0))


def _product(text: str) -> Fraction:
    result = Fraction(1)
    for value in _numbers(text):
        result = _bounded(result * value)
    return result


def _difference(text: str) -> Fraction:
    first, second = [*_numbers(text), Fraction(0)][:2]
    return abs(first - second)


def _quotient(first: str, second: str) -> Fraction:
    divisor = evaluate(second)
    if divisor == 0:
        raise BadSum("division by zero")
    return evaluate(first) / divisor


_Form = tuple[re.Pattern[str], Callable[..., Fraction]]
_FORMS: tuple[_Form, ...] = (
    (re.compile(r"add (.+) (?:to|with) (.+)"), lambda a, b: evaluate(a) + evaluate(b)),
    (re.compile(r"add (?:up |together )?(.+?)(?: together| up)?"), _total),
    (re.compile(r"(?:the )?(?:sum|total) of (.+)"), _total),
    (re.compile(r"(?:the )?product of (.+)"), _product),
    (re.compile(r"multiply (.+) (?:by|with|times) (.+)"), lambda a, b: evaluate(a) * evaluate(b)),
    (re.compile(r"multiply (.+)"), _product),
    (re.compile(r"divide (.+) (?:by|buy) (.+)"), _quotient),
    (re.compile(r"divide (.+) (?:into|in) (.+)"), lambda a, b: _quotient(b, a)),
    (re.compile(r"(?:subtract|subract|substract|deduct|take away|take) (.+?) (?:away )?from (.+)"),
     lambda a, b: evaluate(b) - evaluate(a)),
    (re.compile(r"(?:the )?difference (?:between|of) (.+)"), _difference),
    (re.compile(r"(?:the )?quotient of (.+) and (.+)"), _quotient),
    (re.compile(r"(?:can )?(.+) (?:go|goes|fit|fits) into (.+)"), lambda a, b: _quotient(b, a)),
    (re.compile(r"(.+?) ?(?:percent|per cent|%) off (?:of )?(.+)"), lambda a, b: evaluate(b) * (1 - evaluate(a) / 100)),
    (re.compile(r"(?:an? )?(.+?) ?(?:percent|per cent|%) tip (?:on|for|of) (.+)"),
     lambda a, b: evaluate(a) / 100 * evaluate(b)),
    (re.compile(r"square (?!root)(.+)"), lambda a: _power(evaluate(a), Fraction(2))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: Fraction = Fraction(0)


def _tokens(text: str) -> list[_Token]:
    """Operators where they stand; what lies between them must be numbers."""
    tokens: list[_Token] = []
    end = 0
    for found in _TOKEN.finditer(text):
        tokens += _number_tokens(text[end : found.start()])
        tokens.append(_Token(_OPERATORS[int((found.lastgroup or "o0")[1:])][1]))
        end = found.end()
    return tokens + _number_tokens(text[end:])


def _number_tokens(text: str) -> list[_Token]:
    text = re.sub(r"^(?:the|a|an)(?= *$)|^the ", "", text.strip())
    if not text:
        return []
    if text in ("pi", "π"):
        return [_Token("number", Fraction("3.14159265358979"))]
    value = parse_number(text)
    if value is None:
        raise BadSum(text)
    return [_Token("number", value)]


class _Parser:
    """Recursive descent: sums of products of powers; "of" binds like times, "%" after a number divides by 100."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self.at < len(self.tokens):
            raise BadSum("leftover")
        return value

    def _kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else ""

    def _take(self, *kinds: str) -> str:
        kind = self._kind()
        if kind and kind in kinds:
            self.at += 1
            return kind
        return ""

    def _sum(self) -> Fraction:
        value = self._term()
        while sign := self._take("+", "-"):
            begin = self.at
            right = self._term()
            if self.at == begin + 2 and self.tokens[self.at - 1].kind == "%":
                right *= value  # "fifty plus ten percent" means a tenth more, not a tenth of one
            value = value + right if sign == "+" else value - right
        return value

    def _term(self) -> Fraction:
        value = self._factor()
        while sign := self._take("*", "/", "of"):
            right = self._factor()
            if sign == "/" and right == 0:
                raise BadSum("division by zero")
            value = _bounded(value / right if sign == "/" else value * right)
        return value

    def _factor(self) -> Fraction:
        if self._take("-"):
            return -self._factor()
        if prefix := self._take("2*", "3*"):
            return int(prefix[0]) * self._factor()
        if root := self._take("sqrt", "cbrt"):
            return _root(self._factor(), 2 if root == "sqrt" else 3)
        return self._postfix(self._primary())

    def _primary(self) -> Fraction:
        if self._take("("):
            value = self._sum()
            self._take(")")
            return value
        if self._kind() != "number":
            raise BadSum("a number is missing")
        self.at += 1
        return self.tokens[self.at - 1].value

    def _postfix(self, value: Fraction) -> Fraction:
        while sign := self._take("^2", "^3", "%", "!", "^"):
            if sign == "%":
                value /= 100
            elif sign == "!":
                value = _factorial(value)
            else:
                value = _power(value, self._factor() if sign == "^" else Fraction(int(sign[1])))
        return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent == Fraction(1, 2):
        return _root(base, 2)
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT or (base == 0 and exponent < 0):
        raise BadSum("power")
    if abs(base) > LARGEST:
        raise BadSum("too large")
    return _bounded(base ** int(exponent))


def _root(value: Fraction, degree: int) -> Fraction:
    if value < 0:
        raise BadSum("root of a negative number")
    if degree == 2:
        top, bottom = isqrt(value.numerator), isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Fraction(top, bottom)
        return Fraction(sqrt(value))
    rounded = Fraction(round(float(value) ** (1 / 3)))
    return rounded if rounded**3 == value else Fraction(float(value) ** (1 / 3))


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or not 0 <= value <= 17:
        raise BadSum("factorial")
    result = Fraction(1)
    for factor in range(2, int(value) + 1):
        result *= factor
    return result
