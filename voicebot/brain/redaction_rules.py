"""Personal details that have a pattern when they are SPOKEN: our own finders, beside those of the recogniser library.

Each finder takes the tokens of one text and yields (kind, first token, stop token). They look for shape, not for truth:
a card number with a misheard digit fails its checksum and is still somebody's card number. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from voicebot.brain.redaction_spoken import DIGITS, FILLERS, NATO, TEENS, TENS, Run, Token

Found = tuple[str, int, int]
"""Kind, first token, stop token."""

LONG_NUMBER = 7
"""Digits that are a number of somebody's without a word about them; below it, prices, years and sums are too many."""
LONG_SPELLED = 5
"""Characters said one by one that are a name, a code or a number."""

_CODE_WORDS = frozenset(
    "pin pins passcode password code codes cvv cvc account routing member membership policy passport license licence "
    "zip zipcode postcode postal ssn social iban sort card confirmation reference serial tracking claim patient "
    "customer employee ending ends finishing digits id".split()
)
"""After one of these even a short run is somebody's. Only within `_CODE_REACH` words before it."""
_CODE_REACH = 6
_AMOUNT_AFTER = frozenset(
    "dollars dollar bucks cents euros euro pounds pound percent % miles mile minutes minute hours hour days day weeks "
    "years year months degrees people items grams ounces cups calories rubles yen pesos pm am p a k".split()
)
_AMOUNT_BEFORE = frozenset("$ € £ ¥ + * / = times plus divided by".split()) - {"by"}


def numbers(tokens: Sequence[Token], runs: Sequence[Run]) -> Iterator[Found]:
    """Phone, card, account and code numbers: long by themselves, short after a word that says what they are."""
    for run in runs:
        after = tokens[run.stop].word if run.stop < len(tokens) else ""
        before = tokens[run.first - 1].word if run.first else ""
        reach = [token.word for token in tokens[max(0, run.first - _CODE_REACH) : run.first]]
        amount = before in ("$", "€", "£") or (after in _AMOUNT_AFTER and run.digits < LONG_NUMBER)
        if amount or (run.scaled and run.in_a_row < 3):
            continue
        if run.letters == 0 and run.digits >= LONG_NUMBER:
            yield "NUMBER", run.first, run.stop
        elif run.in_a_row >= LONG_SPELLED and (run.letters or _said_singly(tokens, run)):
            yield ("NUMBER" if run.letters == 0 else "SPELLED" if run.digits == 0 else "CODE"), run.first, run.stop
        elif len(run.written) >= 3 and run.digits >= 2 and _CODE_WORDS & set(reach) and before not in _AMOUNT_BEFORE:
            yield "CODE", run.first, run.stop


def _said_singly(tokens: Sequence[Token], run: Run) -> bool:
    """Digit by digit, and not as one written number ("20000")."""
    return all(not token.word.isdigit() or len(token.word) == 1 for token in tokens[run.first : run.stop])


# ---- e-mail addresses and web names

_AT = frozenset(["at", "@", "add", "hat", "ad"])
_DOT = frozenset(["dot", "period", "point", ".", "dott", "dought", "dart", "that", "got", "dots"])
_TLD = frozenset(
    "com org net edu gov io co uk de me info ai app dev us ca fr au nz ie in tv biz calm come comm con kom cam "
    "commerce eu es it nl".split()
)
_SURE_TLD = frozenset("com org net edu gov io co uk info calm come comm con kom cam de".split())
_PROVIDERS = frozenset("gmail hotmail yahoo outlook icloud aol proton protonmail msn comcast gmx fastmail".split())
_PROVIDER_PAIRS = frozenset([("g", "mail"), ("gee", "mail"), ("hot", "mail"), ("out", "look"), ("i", "cloud"),
                             ("a", "o"), ("proton", "mail"), ("jee", "mail"), ("ya", "hoo"), ("fast", "mail")])  # fmt: skip  # noqa: E501
_JOINERS = frozenset("dot period point . underscore _ dash hyphen - plus + minus score".split())
_LEFT_STOP = frozenset(
    "is it it's its email e-mail mail address to my me send contact him her them the and or was for use from under as "
    "with yes yeah sure okay ok so that's thats uh um er reach write please on by of be , : ; ? ! you're i'm at in "
    "account called his their your our this that are invoice receipt confirmation copy no not just try name".split()
)
_LEFT_WORDS = 4
"""Most plain words taken as the local part, where no joiner or spelling says more."""
_DOMAIN_TOKENS = 24


def emails(tokens: Sequence[Token]) -> Iterator[Found]:
    """ "john dot smith at gmail dot com", spelled out, with a misheard "at", "dot" or "com", or with no dot at all."""
    words = [token.word for token in tokens]
    for at, word in enumerate(words):
        if word in _AT and 0 < at < len(words) - 1:
            stop = _domain_stop(words, at + 1, sure=word in ("at", "@"))
            first = _local_first(words, at)
            if stop and first < at:
                yield "EMAIL_ADDRESS", first, stop


def _domain_stop(words: list[str], start: int, *, sure: bool) -> int:
    """Where the domain that begins at `start` ends; 0 if there is none. "a t" and "at sign" are "at" too."""
    if words[start : start + 1] == ["sign"]:
        start += 1
    named = _provider_stop(words, start)
    stop = 0
    for at in range(start + 1, min(len(words) - 1, start + _DOMAIN_TOKENS)):
        if words[at] in _DOT and words[at + 1] in _TLD:
            if (words[at] in ("dot", ".", "period", "point") and sure) or words[at + 1] in _SURE_TLD:
                stop = at + 2
        elif words[at] in ("and", "is", "to", "my", "please", "?", "!"):
            break
    if stop and (named or _is_domain(words[start : stop - 2])):
        return _tail_stop(words, stop)
    if named:
        return _tail_stop(words, named + 1 if words[named : named + 1] and words[named] in _TLD else named)
    return 0


def _tail_stop(words: list[str], stop: int) -> int:
    """Past ".co dot uk"."""
    while stop + 1 < len(words) and words[stop] in ("dot", ".", "period", "point") and words[stop + 1] in _TLD:
        stop += 2
    return stop


def _provider_stop(words: list[str], start: int) -> int:
    if words[start : start + 1] and words[start] in _PROVIDERS:
        return start + 1
    if tuple(words[start : start + 2]) in _PROVIDER_PAIRS:
        return start + (3 if words[start + 1] == "o" else 2)
    return 0


def _is_domain(words: list[str]) -> bool:
    """One to three plain words, or more where they are spelled or joined."""
    plain = [word for word in words if word not in _JOINERS and not _is_spelled(word)]
    return bool(words) and len(plain) <= 3


def _is_spelled(word: str) -> bool:
    return (len(word) == 1 and word.isalnum()) or word.isdigit() or word in _NUMBER_WORDS or word in FILLERS


_NUMBER_WORDS = frozenset(DIGITS) | frozenset(TEENS) | frozenset(TENS) | frozenset(["double", "triple", "hundred"])


def _local_first(words: list[str], at: int) -> int:
    """Where the local part that ends before token `at` begins: joined or spelled tokens, and a few plain ones."""
    first, plain = at, 0
    if at >= 2 and words[at - 1] == "a" and words[at] == "t":
        first = at - 1
    while first > 0:
        word = words[first - 1]
        joined = first < at and words[first] in _JOINERS
        if word in _JOINERS or _is_spelled(word) or word in NATO:
            first -= 1
        elif (joined or plain < _LEFT_WORDS) and (word not in _LEFT_STOP or (joined and word.isalpha())):
            plain += not joined
            first -= 1
        else:
            break
    while first < at and (words[first] in FILLERS or words[first] in _JOINERS):
        first += 1
    return first


def internet(tokens: Sequence[Token], runs: Sequence[Run]) -> Iterator[Found]:
    """An IP address: four numbers with "dot" between them."""
    for at in range(len(runs) - 3):
        four = runs[at : at + 4]
        dotted = all(
            after.first == before.stop + 1 and tokens[before.stop].word in ("dot", "point", "period", ".")
            for before, after in pairwise(four)
        )
        if dotted and all(run.letters == 0 and run.digits <= 3 for run in four):
            yield "IP_ADDRESS", four[0].first, four[3].stop


# ---- dates of birth, addresses, names

_BIRTH = re.compile(r"\b(?:born|birth|birthday|birthdate|dob|d o b|birth date)\b")
_MONTHS = frozenset("january february march april may june july august september october november december "
                    "jan feb mar apr jun jul aug sept sep oct nov dec".split())  # fmt: skip
_RANKS = frozenset("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
                   "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth".split())  # fmt: skip  # noqa: E501
_DATE_GLUE = frozenset("the of and , / - . um uh hundred thousand in".split())
_TO_DATE = 7
"""Tokens between the word about a birth and its date, at most."""


def _is_date_word(word: str) -> bool:
    return word in _MONTHS or word in _RANKS or word in _NUMBER_WORDS or word.rstrip("stndrh").isdigit()


def births(tokens: Sequence[Token]) -> Iterator[Found]:
    """A date after "born on", "date of birth is", "my birthday is": a month and a day, or at least four digits."""
    words = [token.word for token in tokens]
    for at, word in enumerate(words):
        if not (_BIRTH.fullmatch(word) or words[at : at + 3] == ["d", "o", "b"]):
            continue
        begin = at + (3 if word == "d" else 1)
        first = next((i for i in range(begin, min(len(words), begin + _TO_DATE)) if _is_date_word(words[i])), None)
        if first is None:
            continue
        stop = first
        while stop < len(words) and (_is_date_word(words[stop]) or words[stop] in _DATE_GLUE):
            stop += 1
        while words[stop - 1] in _DATE_GLUE - {"hundred", "thousand"}:
            stop -= 1
        dated = words[first:stop]
        if len(dated) >= 2 or re.search(r"\d{4}", " ".join(dated)):
            yield "DATE_OF_BIRTH", first, stop


_STREETS = frozenset("street st avenue ave road rd lane ln drive boulevard blvd court terrace parkway highway crescent "
                     "close way place circle square alley".split())  # fmt: skip
_NOT_A_STREET = frozenset(
    "the a an of to on in for and is are near at from with my your this that what how minutes minute hours hour miles "
    "mile dollars percent days day people by if i can you it times plus minus restaurants restaurant or until before "
    "after pm am o'clock per than best closest way more less about".split()
)
_UNITS = frozenset("apartment apt unit suite flat number".split())


def addresses(tokens: Sequence[Token], runs: Sequence[Run]) -> Iterator[Found]:
    """A house number, one to four words and a kind of street, with the flat where one follows; PO boxes."""
    words = [token.word for token in tokens]
    for run in runs:
        if run.digits == 0 or run.digits > 6:
            continue
        for at in range(run.stop + 1, min(len(words), run.stop + 5)):
            if words[at] in _STREETS and not _NOT_A_STREET & set(words[run.stop : at]):
                yield "ADDRESS", run.first, _flat_stop(words, at + 1, runs)
                break
    for at in range(len(words) - 2):
        box = at + 2 if words[at : at + 2] == ["p", "o"] else at + 1 if words[at] == "po" else 0
        if box and words[box] == "box":
            number = next((run for run in runs if run.first in (box + 1, box + 2)), None)
            if number is not None:
                yield "ADDRESS", at, number.stop


def _flat_stop(words: list[str], stop: int, runs: Sequence[Run]) -> int:
    at = stop + (words[stop : stop + 1] == [","])
    if words[at : at + 1] and words[at] in _UNITS:
        at += 1 + (words[at + 1 : at + 2] == ["number"])
        return next((run.stop for run in runs if run.first == at), stop)
    return stop


_INTRODUCED = (["my", "name", "is"], ["my", "name's"], ["name", "is"], ["i", "am", "called"], ["i'm", "called"],
               ["my", "full", "name", "is"], ["last", "name", "is"], ["surname", "is"], ["first", "name", "is"])  # fmt: skip  # noqa: E501
_TITLES = frozenset("mr mrs ms miss mister missus doctor dr professor prof".split())
_NAME_STOP = frozenset(
    "and i i'm the a an is it my me what who how can could please to from for with at on in of or but so not you your "
    "that this his her their calling here speaking , . ; : ? ! said says there by".split()
)
_NAME_WORDS = 3


def people(tokens: Sequence[Token]) -> Iterator[Found]:
    """Names that are introduced as such. A name in the middle of a sentence has no pattern and is NOT found."""
    words = [token.word for token in tokens]
    for at in range(len(words)):
        for introduction in _INTRODUCED:
            if words[at : at + len(introduction)] == introduction:
                yield from _name_at(words, at + len(introduction))
        if words[at] in _TITLES:
            yield from _name_at(words, at + 1 + (words[at + 1 : at + 2] == ["."]))


def _name_at(words: list[str], first: int) -> Iterator[Found]:
    stop = first
    while stop < min(len(words), first + _NAME_WORDS) and words[stop] not in _NAME_STOP and words[stop][0].isalpha():
        stop += 1
    if stop > first:
        yield "PERSON", first, stop
