"""Spoken words to the written form that recognisers of patterns know: "four one five" -> "415", "j at x dot com" ->
"j@x.com". Pure; every character of the written form remembers which part of the spoken text it came from.

Rules: a run is written together ("double oh seven" -> "007"); fillers inside a run are skipped; words that only sound
like a digit ("for", "to", "ate") are one between two digits; "hundred" and "thousand" make zeros in a run that is
otherwise spelled ("one eight hundred five five five ..."), and end it where it is an amount.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

DIGITS = {"zero": "0", "oh": "0", "o": "0", "nought": "0", "naught": "0", "nil": "0", "one": "1", "two": "2",
          "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "niner": "9",
          "fife": "5"}  # fmt: skip
SOUNDS_LIKE = {"for": "4", "fore": "4", "to": "2", "too": "2", "won": "1", "ate": "8", "tree": "3", "sex": "6",
               "sics": "6", "know": "0", "owe": "0", "free": "3", "tu": "2", "wan": "1", "nein": "9", "fine": "5",
               "sicks": "6", "ait": "8", "hate": "8", "line": "9", "mine": "9", "fi": "5", "sven": "7",
               "heaven": "7", "tow": "2", "forth": "4", "wun": "1", "door": "4"}  # fmt: skip
TEENS = {"ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
         "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19"}  # fmt: skip
TENS = {"twenty": "2", "thirty": "3", "forty": "4", "fourty": "4", "fifty": "5", "sixty": "6", "seventy": "7",
        "eighty": "8", "ninety": "9"}  # fmt: skip
ZEROS = {"hundred": "00", "thousand": "000"}
REPEATS = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
FILLERS = frozenset("um uh er erm ah hmm like dash hyphen minus space then".split())
"""Said inside a run and no part of it."""
NATO = dict(zip(("alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november "
                 "oscar papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu").split(),
                "aabcdefghijjklmnopqrstuvwwxyz", strict=True))  # fmt: skip
TOKEN = re.compile(r"\d+(?:st|nd|rd|th)\b|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_")
DIGIT_PAUSE = frozenset("-–().,/ ")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number or a sign of the text, in lower case, and where it stands."""

    word: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What a few tokens are in writing. `spelled`: how many characters of it were said one by one."""

    written: str
    first: int
    stop: int
    """Tokens [first, stop)."""
    spelled: int = 0
    zeros: bool = False
    """It is a "hundred" or "thousand"."""


@dataclass(frozen=True, slots=True)
class Run:
    """Digits and letters said one after the other, as one string."""

    written: str
    first: int
    stop: int
    in_a_row: int
    """The most single characters in a row."""
    scaled: bool
    """A "hundred" or "thousand" is in it."""

    @property
    def digits(self) -> int:
        return sum(character.isdigit() for character in self.written)

    @property
    def letters(self) -> int:
        return len(self.written) - self.digits


def tokens_of(text: str) -> list[Token]:
    return [Token(match.group().lower().replace("’", "'"), *match.span()) for match in TOKEN.finditer(text)]


def runs(tokens: Sequence[Token]) -> list[Run]:
    """Every run of digits and letters, longest first at each place, none overlapping."""
    found, at = [], 0
    while at < len(tokens):
        pieces = _pieces_from(tokens, at)
        if pieces:
            found.append(_joined(pieces))
            at = pieces[-1].stop
        else:
            at += 1
    return found


def _joined(pieces: list[Piece]) -> Run:
    row = best = 0
    for piece in pieces:
        row = row + piece.spelled if piece.spelled else 0
        best = max(best, row)
    scaled = any(piece.zeros for piece in pieces)
    return Run("".join(piece.written for piece in pieces), pieces[0].first, pieces[-1].stop, best, scaled)


def _pieces_from(tokens: Sequence[Token], start: int) -> list[Piece]:
    """The pieces of the run that begins at `start`. A filler or a look-alike at its end is not part of it."""
    pieces: list[Piece] = []
    at = start
    while at < len(tokens):
        piece = _piece(tokens, at, inside=bool(pieces))
        if piece is not None:
            pieces.append(piece)
            at = piece.stop
        elif pieces and _is_pause(tokens, at):
            at += 1
        else:
            break
    while pieces and (tokens[pieces[-1].first].word in ("a", "i") or pieces[0].zeros):
        pieces.pop()
    while pieces and tokens[pieces[0].first].word in ("a", "i") and len(pieces) > 1 and not _letter_next(pieces[1]):
        pieces.pop(0)
    return pieces if len(pieces) > 1 or (pieces and pieces[0].written[0].isdigit()) else []


def _letter_next(piece: Piece) -> bool:
    return piece.written.isalpha()


def _is_pause(tokens: Sequence[Token], at: int) -> bool:
    """A filler or a sign inside a run: what follows must go on with it. A comma or full stop only between digits."""
    word = tokens[at].word
    if word not in FILLERS and word not in DIGIT_PAUSE:
        return False
    following = next((i for i in range(at, len(tokens)) if not _skips(tokens[i].word)), None)
    return following is not None and following - at <= 3 and _piece(tokens, following, inside=True) is not None


def _skips(word: str) -> bool:
    return word in FILLERS or word in DIGIT_PAUSE


def _piece(tokens: Sequence[Token], at: int, *, inside: bool) -> Piece | None:
    word = tokens[at].word
    following = tokens[at + 1].word if at + 1 < len(tokens) else ""
    if word in REPEATS and (single := _single(following)):
        return Piece(single * REPEATS[word], at, at + 2, REPEATS[word])
    if word in DIGITS:
        return Piece(DIGITS[word], at, at + 1, 1)
    if word in TEENS:
        return Piece(TEENS[word], at, at + 1)
    if word in TENS:
        ones = DIGITS.get(following, "")
        return Piece(TENS[word] + ones, at, at + 2) if ones not in ("", "0") else Piece(TENS[word] + "0", at, at + 1)
    if word.isascii() and word.isdigit():
        return Piece(word, at, at + 1, len(word))
    if inside and word in ZEROS:
        return Piece(ZEROS[word], at, at + 1, zeros=True)
    if inside and word in SOUNDS_LIKE and _digit_like(following):
        return Piece(SOUNDS_LIKE[word], at, at + 1, 1)
    return _letter(tokens, at)


def _single(word: str) -> str:
    """The one character that a word stands for after "double"."""
    return DIGITS.get(word) or NATO.get(word) or (word if len(word) == 1 and word.isalnum() and word.isascii() else "")


def _digit_like(word: str) -> bool:
    return word in DIGITS or word in TEENS or word in TENS or word in REPEATS or word.isdigit()


def _letter(tokens: Sequence[Token], at: int) -> Piece | None:
    """ "b", "bravo", "b as in boy", "b for boy"."""
    word = tokens[at].word
    letter = word if len(word) == 1 and word.isascii() and word.isalpha() else NATO.get(word, "")
    if not letter:
        return None
    following = [token.word for token in tokens[at + 1 : at + 4]]
    if letter == "x" and following[:1] == ["ray"]:
        return Piece(letter, at, at + 2, 1)
    if following[:2] in (["as", "in"], ["like", "in"]) and len(following) == 3:
        return Piece(letter, at, at + 4, 1)
    if following[:1] == ["for"] and len(following) > 1 and following[1][0] == letter and len(following[1]) > 2:
        return Piece(letter, at, at + 3, 1)
    return Piece(letter, at, at + 1, 1)


@dataclass(frozen=True, slots=True)
class Written:
    """A text in writing. Character i stands for the spoken characters [starts[i], stops[i])."""

    text: str
    starts: tuple[int, ...]
    stops: tuple[int, ...]

    def source(self, start: int, stop: int) -> tuple[int, int]:
        """The spoken span of a written one, which is not empty."""
        return self.starts[start], self.stops[stop - 1]


def written(text: str, replaced: Sequence[tuple[int, int, str]]) -> Written:
    """`text` with spans [start, stop) in their written form; `replaced` is in order and does not overlap."""
    parts, starts, stops, at = [], list[int](), list[int](), 0
    for start, stop, form in replaced:
        starts += range(at, start)
        stops += range(at + 1, start + 1)
        starts += [start] * len(form)
        stops += [stop] * len(form)
        parts += [text[at:start], form]
        at = stop
    starts += range(at, len(text))
    stops += range(at + 1, len(text) + 1)
    return Written("".join([*parts, text[at:]]), tuple(starts), tuple(stops))
