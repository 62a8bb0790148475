"""Numbers as people say them: words, digits and mixtures to exact values, and values back to words for a TTS.

Values are `Fraction`s, so that "a third" or "point one" loses nothing before it is spoken.
Homophones ("for", "to", "won", "ate") count as numbers only where nothing else in the phrase makes sense.
"""

from __future__ import annotations

import re
from fractions import Fraction

ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINALS = ("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
            "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
            "nineteenth")  # fmt: skip
_SMALL = {word: value for value, word in enumerate(ONES)} | {"oh": 0, "naught": 0, "nought": 0, "nil": 0, "fourty": 40}
_SMALL |= {word: value * 10 for value, word in enumerate(TENS) if word}
_HOMOPHONES = {"for": 4, "fore": 4, "to": 2, "too": 2, "won": 1, "ate": 8, "tree": 3, "sex": 6, "tin": 10, "fife": 5}
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
          "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100}  # fmt: skip
_AMOUNTS = {"couple": Fraction(2), "few": Fraction(3), "dozen": Fraction(12), "pair": Fraction(2)}
_DIGITS = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+")
_RATIO = re.compile(r"(\d+)/(\d+)")
MAX_WORDS = 40
"""Longest phrase looked at: longer ones are no number that anyone says."""


def number_words(text: str) -> list[str]:
    """Lower-case words of a spoken number: hyphens opened, commas, currency and percent signs taken off."""
    plain = text.lower().replace("-", " ").replace("$", " ").replace("½", " 1/2").replace("%", " percent")
    return [word.strip(",;!?") for word in plain.split() if word.strip(",;!?")]


def parse_number(text: str) -> Fraction | None:
    """The value of a whole phrase, or None if any of it is not a number: "two and a half", "-3.5", "a dozen"."""
    words = number_words(text)
    if not words or len(words) > MAX_WORDS:
        return None
    sign = -1 if words[0] in ("minus", "negative") else 1
    value = _unsigned(words[1:] if sign < 0 else words)
    if value is None:
        value = _unsigned([ONES[_HOMOPHONES[word]] if word in _HOMOPHONES else word for word in words])
    return None if value is None else sign * value


def _unsigned(words: list[str]) -> Fraction | None:
    if not words:
        return None
    if "point" in words or "dot" in words:
        return _decimal(words)
    if "and" in words and (tail := _fraction(words[_last(words, "and") + 1 :])) is not None:
        head = _whole(words[: _last(words, "and")])
        return None if head is None else head + tail
    if (part := _fraction(words)) is not None:
        return part
    if len(words) > 1 and _RATIO.fullmatch(words[-1]) and (head := _whole(words[:-1])) is not None:
        return head + (_fraction(words[-1:]) or 0)
    return _whole(words)


def _last(words: list[str], word: str) -> int:
    return len(words) - 1 - words[::-1].index(word)


def _decimal(words: list[str]) -> Fraction | None:
    """Digits said one by one after "point", or as one number ("three point fourteen")."""
    at = words.index("point" if "point" in words else "dot")
    head, tail = words[:at], words[at + 1 :]
    whole = _whole(head) if head else Fraction(0)
    digits = "".join(word if word.isdigit() else str(_SMALL.get(word, "x")) for word in tail)
    if len(tail) == 2 and tail[0] in TENS and _SMALL.get(tail[1], 99) < 10:
        digits = str(_SMALL[tail[0]] + _SMALL[tail[1]])
    if whole is None or not digits.isdigit():
        return None
    return whole + Fraction(int(digits), 10 ** len(digits))


def _fraction(words: list[str]) -> Fraction | None:
    """ "a half", "three quarters", "2/3", "half a", "one and" is not for here."""
    words = [word for word in words if word != "of"]
    if len(words) == 1 and (ratio := _RATIO.fullmatch(words[0])):
        return Fraction(int(ratio[1]), int(ratio[2])) if int(ratio[2]) else None
    if words and words[-1] in ("a", "an") and len(words) > 1:
        words = words[:-1]
    if not words:
        return None
    singular = words[-1].removesuffix("s") if words[-1] != "halves" else "half"
    if singular not in _PARTS or (singular == "second" and len(words) == 1):
        return None
    count = Fraction(1) if len(words) == 1 or words[:-1] in (["a"], ["an"]) else _whole(words[:-1])
    return None if count is None else count / _PARTS[singular]


def _whole(words: list[str]) -> Fraction | None:
    """Whole numbers (and written decimals): "two thousand and five", "nineteen ninety", "1,250", "3 million"."""
    if not all(words[at - 1] in (*SCALES, "hundred") for at, word in enumerate(words) if word == "and" and at):
        return None
    words = [word for index, word in enumerate(words) if word != "and" or index in (0, len(words) - 1)]
    if words and words[0] in ("a", "an"):
        words = ["one", *words[1:]] if len(words) == 1 or words[1] in (*SCALES, "hundred") else words[1:]
    if not words:
        return None
    total, group, last = Fraction(0), Fraction(0), -1
    for word in words:
        if word == "hundred":
            group = (group or Fraction(1)) * 100
        elif word in SCALES:
            total, group = total + (group or Fraction(1)) * SCALES[word], Fraction(0)
        elif word in _AMOUNTS:
            group = (group or Fraction(1)) * _AMOUNTS[word]
        else:
            value = _token(word)
            if value is None or (group and word[0].isdigit()):
                return None
            group = _joined(group, value, last)
        last = int(group)
    return total + group


def _joined(group: Fraction, value: Fraction, last: int) -> Fraction:
    """Add the next small number: "twenty five" is 25, "three fifty" is 350, "nineteen ninety" is 1990."""
    room = 100 if group % 100 == 0 else 10 if group % 10 == 0 and group % 100 >= 20 else 1
    if group == 0 or value < room:
        return group + value
    return group * (100 if value >= 10 else 10) + value


def _token(word: str) -> Fraction | None:
    if word in _SMALL:
        return Fraction(_SMALL[word])
    if _DIGITS.fullmatch(word):
        return Fraction(word.replace(",", ""))
    if word[-1:] == "k" and _DIGITS.fullmatch(word[:-1]):
        return Fraction(word[:-1].replace(",", "")) * 1000
    return None


def spoken(value: int | Fraction | float, places: int = 4) -> str:
    """Words for a TTS: 1250 -> "one thousand two hundred and fifty", 0.5 -> "zero point five", -3 -> "minus three".

    A value that needs more than `places` decimals is cut and rounded; see `is_rounded`.
    """
    exact = Fraction(value)
    if exact < 0:
        return f"minus {spoken(-exact, places)}"
    scaled = round(exact * 10**places)
    whole, rest = divmod(scaled, 10**places)
    if not rest:
        return _spoken_whole(whole)
    digits = str(rest).rjust(places, "0").rstrip("0")
    return f"{_spoken_whole(whole)} point {' '.join(ONES[int(digit)] for digit in digits)}"


def is_rounded(value: Fraction, places: int = 4) -> bool:
    """Whether `spoken` had to leave decimals out, so that the sentence can say "about"."""
    return bool((value * 10**places).denominator != 1)


def _spoken_whole(value: int) -> str:
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (f" {ONES[value % 10]}" if value % 10 else "")
    if value < 1000:
        rest = f" and {_spoken_whole(value % 100)}" if value % 100 else ""
        return f"{ONES[value // 100]} hundred{rest}"
    for name, scale in reversed(SCALES.items()):
        if value >= scale:
            head, rest_value = divmod(value, scale)
            joint = " and " if 0 < rest_value < 100 else " "
            return f"{_spoken_whole(head)} {name}" + (f"{joint}{_spoken_whole(rest_value)}" if rest_value else "")
    raise AssertionError(value)


def ordinal(value: int) -> str:
    """Words of a rank up to 99: 1 -> "first", 23 -> "twenty third"."""
    if value < 20:
        return ORDINALS[value]
    tens, ones = divmod(value, 10)
    if not ones:
        return TENS[tens].removesuffix("y") + "ieth"
    return f"{TENS[tens]} {ORDINALS[ones]}"
