"""Text on its way to and from speech: clauses for the synthesiser, words that mean nothing, turns that are not over."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BACKCHANNELS = _words(
    """mm mhm mm-hm mm-hmm mmhmm mm hm hmm hm uh-huh uh huh huh ah aha oh ok okay yeah yep yup yes right sure
    i see got it good great nice cool really wow all right alright"""
)
"""Words with which a listener says "go on". Source: the short feedback forms of the Switchboard dialogue acts."""

_NEVER_LAST = _words(
    """a an the my your his her our their this these some any every to of for from with at by into about
    and or but because so if than as is are am was were be can could will would should shall do does did i we they
    um uh er erm hmm like which who whose where when while set remind convert calculate times plus minus
    divided multiplied"""
)
"""Words after which an English utterance has hardly ever ended."""
_WEAK_LAST = _words("what how its one two then also just very really between please on in")

_ASKING = _words("what who where which how when why whom whose")
_SUBJECTS = _words("i you it that this he she we they")
_ANSWERING = _words("yes no yeah yep nope sure well")
_STRANDED = _words("for from about with at like do did does am are is was were can could will would should")
"""After a question's subject they end it: "where are you from", "what can you do", "who is it for"."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n+")
_WORD = re.compile(r"\S+(?=\s)")
_CLAUSE_END = re.compile(r"[,;:—–][\"'”’)\]]*(?=\s)")
_SURE_END = re.compile(r"[^\W\d_][,;]\Z")
"""Behind a letter these end a clause whatever comes next; a full stop may not ("voicebot.io"), nor "?" ("?!")."""
_AFTER_MARK = "\"'”’)]"
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|vs|etc|e\.g|i\.e|[a-z])|^\s*\d+)\.$", re.IGNORECASE)
"""A full stop that ends no sentence; the last kind numbers a list's item."""
_PLAIN_QUOTES = str.maketrans("‘’“”", "''\"\"")
_PHRASE_STARTS = _words(
    """and but because so if when while which who where since until unless although though whereas
    with without during after before"""
)
"""Words before which a speaker may take a breath without a comma."""
FIRST_CLAUSE_WORDS = 2
FIRST_PHRASE_WORDS = (3, 6)
"""A first clause without punctuation is cut before one of those words if it then has so many words, and REST_WORDS or
more are known to follow in one piece. Source: intonation phrases of read English are five or six words long."""
REST_WORDS = 3
LATER_CLAUSE_WORDS = 6
LONGEST_CLAUSE_CHARS = 240


def normalize(text: str) -> str:
    """Lower-case words only: two transcripts with equal results are the same turn."""
    return " ".join(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower()))


def is_backchannel(text: str) -> bool:
    """Nothing, or nothing but listener's noises: it does not take the floor."""
    return all(word in BACKCHANNELS for word in normalize(text).split())


def completeness(text: str) -> float:
    """P(the caller has finished), by a rule of the last words: 0.1 after "set a timer for", 0.92 for a plain ending."""
    words = normalize(text).split()
    if not words:
        return 0.5
    last = words[-1]
    if last in _NEVER_LAST:
        return 0.92 if _is_stranded(words) else 0.1
    if last in _WEAK_LAST and len(words) > 1:
        return 0.72
    return 0.92


def _is_stranded(words: list[str]) -> bool:
    """Whether the last word, which needs another elsewhere, ends a question or a short answer ("yes i do")."""
    return (len(words) > 2 and words[-2] in _SUBJECTS and words[-1] in _STRANDED and words[0] in _ASKING) or (
        len(words) == 3 and words[1] in _SUBJECTS and words[0] in _ANSWERING
    )


def speakable(text: str) -> str:
    """Text without what a voice cannot say: markdown, links, code marks, emoji; white space folded."""
    text = text.translate(_PLAIN_QUOTES)
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"https?://\S+", " ", text)
    text = re.sub(r"^\s*(?:[-*•]|#{1,6}|>)\s+", "", text, flags=re.MULTILINE)
    text = re.sub(r"[*`~]+|\b_+|_+\b", "", text)
    text = re.sub(r"[_#|<>]+", " ", text)
    text = re.sub(r"[^\w\s.,;:!?'\"()$€£%&+=/@°…—–-]", " ", text)
    return " ".join(text.split())


class ClauseSplitter:
    """Cuts a stream of text into clauses: the first as short as makes sense, so that its sound is early."""

    def __init__(self) -> None:
        self._pending = ""
        self._first = True
        self._early = False
        """The first clause was cut before it was seen what follows its mark."""

    def push(self, delta: str) -> list[str]:
        """The clauses that this piece of text completes; each speakable and non-empty."""
        if self._early and delta:
            delta, self._early = delta.lstrip(_AFTER_MARK), False
        self._pending += delta
        clauses = []
        while (cut := self._cut()) is not None:
            piece, self._pending = self._pending[:cut], self._pending[cut:]
            if clause := speakable(piece):
                clauses.append(clause)
                self._early = self._first and not self._pending and _SURE_END.search(piece) is not None
                self._first = False
        return clauses

    def flush(self) -> list[str]:
        """What is left, at the end of the text."""
        clause, self._pending = speakable(self._pending), ""
        return [clause] if clause else []

    def _cut(self) -> int | None:
        """Where the pending text's first clause ends, if it is there."""
        text = self._pending
        if self._first and _SURE_END.search(text):
            text += " "  # The next token would only say so.
        ends = [match.end() for match in _SENTENCE_END.finditer(text) if _ends_here(text, match)]
        words_needed = FIRST_CLAUSE_WORDS if self._first else LATER_CLAUSE_WORDS
        commas = [
            match.end() for match in _CLAUSE_END.finditer(text) if len(text[: match.end()].split()) >= words_needed
        ]
        breath = _breath(text, min(ends + commas, default=len(text))) if self._first else None
        if ends or commas or breath:
            return min([*ends, *commas, *([breath] if breath else [])])
        if len(text) > LONGEST_CLAUSE_CHARS:
            space = text.rfind(" ", 0, LONGEST_CLAUSE_CHARS)
            return space if space > 0 else LONGEST_CLAUSE_CHARS
        return None


def _breath(text: str, stop: int) -> int | None:
    """Where a first clause may be cut without punctuation, if enough follows it before `stop`."""
    words = [match for match in _WORD.finditer(text) if match.end() <= stop]
    fewest, most = FIRST_PHRASE_WORDS
    for count in range(fewest, min(most, len(words) - REST_WORDS) + 1):
        if words[count].group().lower() in _PHRASE_STARTS:
            return words[count].start()
    return None


def _ends_here(text: str, match: re.Match[str]) -> bool:
    return "\n" in match.group() or not _ABBREVIATION.search(text[: match.start() + 1])


_STOPS = frozenset(
    """stop wait|hold on|quiet|be quiet|silence|enough|that's enough|never mind|nevermind|cancel|cancel that|no|shut up|
    hush|pause|stop|stop it|stop talking|please stop|wait|wait a second|no no|forget it""".replace("\n", "").split("|")
)


def is_stop(text: str) -> bool:
    """A bare demand to be silent or to forget it: never the second half of the turn before."""
    return normalize(text) in {normalize(stop) for stop in _STOPS}
