"""Makes tidy patterns sound like callers and recognisers: openings, fillers, restarts, lost and wrong words, casing.

Noise keeps every argument a verbatim span: it works on pieces, and arguments are read off afterwards.
"""

from __future__ import annotations

import re
from random import Random

from voicebot.training.grammar import Piece

IMPERATIVE_OPENINGS = ("can you", "could you", "would you", "will you", "please", "can you please", "could you please",
                       "would you please", "i want you to", "i need you to", "i'd like you to", "i would like you to",
                       "go ahead and", "hey can you", "hey", "okay", "now", "just", "let's", "you need to", "kindly",
                       "i'd like to", "i want to", "i need to", "would you mind to", "ok", "so", "help me",
                       "hey voicebot", "voicebot", "computer", "hi can you", "would it be possible to")  # fmt: skip
OPENINGS = ("hey", "okay", "so", "um", "hi", "well", "please", "excuse me", "uh", "and", "okay so", "hey voicebot",
            "voicebot", "computer", "hello", "alright", "now", "yes", "right", "hmm")  # fmt: skip
CLOSINGS = (
    "please",
    "please",
    "thanks",
    "for me",
    "for me please",
    "now",
    "thank you",
    "if you can",
    "okay",
    "right now",
)
FILLERS = ("um", "uh", "er", "like", "you know", "well", "hmm", "ah")
CONFUSIONS = {
    "for": ("four", "fore", "of", "from"),
    "to": ("two", "too", "the"),
    "two": ("to", "too"),
    "a": ("the", "uh", "an"),
    "the": ("a", "that", "da"),
    "set": ("said", "sit", "sat", "get"),
    "timer": ("time her", "timers", "time or"),
    "timers": ("timer",),
    "alarm": ("a alarm", "alarms", "arm"),
    "what": ("but", "what's", "watt"),
    "is": ("as", "it's", ""),
    "what's": ("what is", "whats", "was"),
    "i'm": ("i am", "im"),
    "it's": ("its", "it is"),
    "time": ("times", "tie"),
    "remind": ("reminds", "remand", "mind"),
    "me": ("my", ""),
    "volume": ("volumes", "fall you"),
    "in": ("and", "an", "on"),
    "and": ("an", "in"),
    "you": ("ya", "u", "your"),
    "how": ("ow", "now"),
    "many": ("any",),
    "are": ("our", "or", "is"),
    "don't": ("do not", "dont"),
    "can": ("could", "cant"),
    "on": ("in", "own"),
    "of": ("off", "have"),
    "i'd": ("i would", "id"),
    "that": ("the", "at"),
    "turn": ("tern", "turned"),
    "wake": ("make", "way"),
    "up": ("", "a"),
    "day": ("days", "they"),
    "date": ("day", "dates"),
    "it": ("", "at"),
    "tell": ("till", "dell"),
    "my": ("by", "the"),
    "at": ("that", "add"),
    "please": ("pleased", ""),
    "right": ("write",),
    "be": ("bee",),
    "there": ("their",),
    "whats": ("what's",),
}
SLOT_CONFUSIONS = {"four": ("for",), "two": ("to", "too"), "one": ("won",), "eight": ("ate",)}
_PROPER = {"place", "_place", "_person", "_fullname", "_title"}
_DAYS = re.compile(r"\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b")


def open_and_close(pieces: list[Piece], imperative: bool, rng: Random) -> list[Piece]:
    """Put a polite opening before and a closing after some utterances."""
    result = list(pieces)
    if rng.random() < (0.42 if imperative else 0.12):
        result.insert(0, Piece(rng.choice(IMPERATIVE_OPENINGS if imperative else OPENINGS)))
        if rng.random() < 0.1:
            result.insert(0, Piece(rng.choice(OPENINGS)))
    if rng.random() < (0.14 if imperative else 0.06):
        result.append(Piece(rng.choice(CLOSINGS)))
    return result


def disturb(pieces: list[Piece], rng: Random) -> list[Piece]:
    """A recogniser's and a hesitant caller's errors, mostly outside the arguments."""
    result = [piece if piece.slot else Piece(_disturbed_words(piece.text, rng)) for piece in pieces]
    result = [Piece(_homophones(piece.text, rng), piece.slot) if piece.slot else piece for piece in result]
    if rng.random() < 0.10:
        result.insert(rng.randrange(len(result) + 1), Piece(rng.choice(FILLERS)))
    if rng.random() < 0.05 and not result[0].slot:
        result.insert(0, Piece(result[0].text.split()[0] if result[0].text else ""))
    if rng.random() < 0.06:
        result = _lose_edge(result, rng)
    return [piece for piece in result if piece.text] or pieces


def _lose_edge(pieces: list[Piece], rng: Random) -> list[Piece]:
    """Drop the first or the last plain word, as a clipped recording does, if enough words remain."""
    edge = 0 if rng.random() < 0.9 else -1
    words = pieces[edge].text.split()
    if pieces[edge].slot or len(words) < 3:
        return pieces
    kept = words[1:] if edge == 0 else words[:-1]
    return [Piece(" ".join(kept)) if piece is pieces[edge] else piece for piece in pieces]


def _disturbed_words(text: str, rng: Random) -> str:
    words = []
    for word in text.split():
        if word in CONFUSIONS and rng.random() < 0.035:
            word = rng.choice(CONFUSIONS[word])
        elif rng.random() < 0.006:
            continue
        words.append(word)
    return " ".join(" ".join(words).split())


def _homophones(text: str, rng: Random) -> str:
    return " ".join(
        rng.choice(SLOT_CONFUSIONS[word]) if word in SLOT_CONFUSIONS and rng.random() < 0.02 else word
        for word in text.split()
    )


def typed(pieces: list[Piece], rng: Random) -> list[Piece]:
    """Casing and punctuation as a keyboard or a punctuating recogniser gives them."""
    result = [Piece(_proper(piece), piece.slot) for piece in pieces]
    first = result[0]
    result[0] = Piece(first.text[:1].upper() + first.text[1:], first.slot)
    words = " ".join(piece.text for piece in pieces).split()
    asks = words[0] in (
        "what",
        "what's",
        "how",
        "is",
        "are",
        "do",
        "does",
        "can",
        "could",
        "who",
        "when",
        "where",
        "which",
    )
    if rng.random() < 0.9:
        result.append(Piece("?" if asks else rng.choice((".", ".", ".", "!"))))
    return result


def _proper(piece: Piece) -> str:
    text = re.sub(r"\bi('m|'d|'ll|'ve)?\b", lambda found: "I" + (found[1] or ""), piece.text)
    text = _DAYS.sub(lambda found: found[1].capitalize(), text)
    return text.title().replace("'S", "'s") if piece.slot in _PROPER else text


def joined(pieces: list[Piece]) -> str:
    """The utterance; punctuation sticks to the word before it, a possessive too."""
    text = " ".join(piece.text for piece in pieces)
    return re.sub(r" (?=[?.!,])| (?='s\b)", "", text)
