"""Makes dialogues: exchanges drawn from patterns and human phrasings, with noise, histories and follow-ups.

The same seed gives the same dialogues. Held-out dialogues come only from held-out patterns (`grammar.is_held_out`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from voicebot.brain.tools import TOOLS
from voicebot.training import clinc, noise
from voicebot.training.chat import Turn
from voicebot.training.follow import follow_up
from voicebot.training.grammar import Piece, Section, expand, lines_of, pick, read_sections
from voicebot.training.history import spoken_result
from voicebot.training.slots import Slots

FILES = ("clock.txt", "timers.txt", "alarms.txt", "sums.txt", "sound.txt", "talk.txt", "beyond.txt")
ACT_WEIGHTS = {
    "get_time": 6,
    "get_date": 6,
    "set_timer": 9,
    "cancel_timer": 4,
    "check_timer": 5,
    "set_alarm": 8,
    "set_reminder": 13,
    "calculate": 11,
    "convert_units": 11,
    "set_volume": 6,
    "repeat_last": 3,
    "ask": 4,
    "talk": 15,
    "beyond": 8,
}
HUMAN_SHARE = 0.4
"""Of exchanges that are human phrasings, when there are any; of these, HUMAN_TOOL_SHARE ask for a tool."""
HUMAN_TOOL_SHARE = 0.48
FOLLOWED = 0.25
"""Of exchanges after which something may be said that needs them; see `follow.py`."""
MOST_FOLLOWED = 2
"""In a row, so that what is not said again stands within the exchanges that are kept."""
HUMAN_TALK_SHARE = 0.4
"""Of human phrasings without a tool: small talk; the rest is beyond the talker and refused."""
ASKS = {
    "set_timer": ("For how long?", "How long should the timer run?"),
    "set_alarm": ("For what time?", "What time should I set the alarm for?"),
    "set_reminder": ("What should I remind you about?", "What shall I remind you of?"),
    "calculate": ("What should I calculate?", "Sure. What is the sum?"),
    "get_time": ("For which place?",),
}
FOLLOW_UPS = {
    "set_timer": ("{duration}", "for {duration}", "make it {duration}", "{duration} please", "um {duration}"),
    "set_alarm": ("{when}", "for {when}", "at {when:clock}", "make it {when}", "{when} please"),
    "set_reminder": (
        "to {text}",
        "{text}",
        "to {text} {when:at}",
        "{text:thing}",
        "about {text:thing}",
        "{text} {when:at}",
        "that {text:that}",
        "{when:at} to {text}",
    ),
    "calculate": ("{expression}", "what is {expression}", "{expression} please", "it's {expression}"),
    "get_time": ("{place}", "in {place}", "for {place}"),
}


class Generator:
    """Draws dialogues. `said` are human phrasings to mix in (none for held-out sets); `clean` leaves noise out;
    `followed`: share of the calls that may be asked about again which are."""

    def __init__(
        self,
        rng: Random,
        said: list[clinc.Said] | None = None,
        held_out: bool = False,
        clean: bool = False,
        followed: float = FOLLOWED,
    ) -> None:
        self.rng = rng
        self.followed = followed
        self.clean = clean
        self.held_out = held_out
        sections = [section for name in FILES for section in read_sections(name)]
        sections = [section for section in sections if lines_of(section, held_out)]
        self.groups = {group: found for group in ACT_WEIGHTS if (found := _in_group(sections, group))}
        self.replies = {section.act: section.replies for section in sections if section.replies}
        self.said_tools = [item for item in said or [] if item.act in TOOLS or item.act == "ask"]
        others = [item for item in said or [] if item.act not in TOOLS and item.act != "ask"]
        self.said_beyond = [item for item in others if item.act == "know_wh"]
        self.said_talk = [item for item in others if item.act != "know_wh"]
        self.lexicon = sorted({word for item in said or [] for word in item.text.split() if _is_name_like(word)})

    def dialogues(self) -> Iterator[list[Turn]]:
        """Endless dialogues of one to six exchanges."""
        while True:
            yield self.dialogue()

    def dialogue(self) -> list[Turn]:
        length = self.rng.choices((1, 2, 3, 4, 6), (78, 12, 6, 3, 1))[0]
        turns: list[Turn] = []
        while len(turns) < length:
            turns += self.exchange(turns)
            for _ in range(MOST_FOLLOWED):
                if self.followed and self.rng.random() < self.followed and (more := self._follow(turns[-1])):
                    turns.append(more)
        return [self._interrupted(turn) if turn is not turns[-1] else turn for turn in turns]

    def _interrupted(self, turn: Turn) -> Turn:
        """Some replies in a history were cut off by the caller."""
        if self.rng.random() > 0.12 or turn.reply.endswith("?"):
            return turn
        words = turn.reply.split()
        cut = " ".join(words[: self.rng.randint(1, len(words))])
        return replace(turn, reply=cut + self.rng.choice(("", "", "...", " —")), learn=bool(turn.tool))

    def exchange(self, before: list[Turn]) -> list[Turn]:
        """One exchange, or two when something had to be asked back."""
        if self.said_beyond and self.rng.random() < HUMAN_SHARE:
            return self._from_human(before)
        group = self.rng.choices(list(self.groups), [ACT_WEIGHTS[group] for group in self.groups])[0]
        return self.pattern_exchange(group, before)

    def pattern_exchange(self, group: str, before: list[Turn]) -> list[Turn]:
        section, pattern = pick(self.groups[group], self.held_out, self.rng)
        slots = Slots(self.rng, self.rng.random() < 0.62, self.lexicon)
        pieces = expand(pattern, section.notes, slots)
        pieces = self._spoken_pieces(noise.open_and_close(pieces, pattern.startswith("!"), self.rng), slots.words)
        text = noise.joined(pieces)
        if section.act == "ask":
            return self._asked(section.notes[0], text, _arguments(pieces), slots)
        if section.act in TOOLS:
            return [self._call(section.act, text, _arguments(pieces) + tuple(section.constants.items()))]
        return [Turn(text, self._reply(section.act, before), talk=section.act)]

    def _spoken_pieces(self, pieces: list[Piece], words: bool) -> list[Piece]:
        if not self.clean and self.rng.random() < 0.6:
            pieces = noise.disturb(pieces, self.rng)
        return noise.typed(pieces, self.rng) if self.rng.random() < (0.15 if words else 0.55) else pieces

    def _call(self, tool: str, text: str, arguments: tuple[tuple[str, str], ...], last: str = "") -> Turn:
        order = list(TOOLS[tool].parameters["properties"])
        arguments = tuple(sorted(arguments, key=lambda item: order.index(item[0])))
        return Turn(text, spoken_result(tool, dict(arguments), self.rng, last), tool, arguments)

    def _asked(self, tool: str, text: str, known: tuple[tuple[str, str], ...], slots: Slots) -> list[Turn]:
        """The question back, and mostly the caller's answer to it."""
        first = Turn(text, _usual(ASKS[tool], self.rng))
        if self.rng.random() < 0.25:
            return [first]
        pieces = expand(self.rng.choice(FOLLOW_UPS[tool]), (), slots)
        pieces = self._spoken_pieces(pieces, slots.words)
        return [first, self._call(tool, noise.joined(pieces), _arguments(pieces) + known)]

    def _follow(self, before: Turn) -> Turn | None:
        found = follow_up(before, self.held_out, self.rng, self.lexicon)
        if found is None:
            return None
        pieces = self._spoken_pieces(found.pieces, not any(character.isdigit() for character in before.user))
        text = noise.joined(pieces)
        if found.act not in TOOLS:
            return Turn(text, _usual(found.replies, self.rng), talk=found.act, follows=True)
        arguments = found.kept | dict(_arguments(pieces))
        if found.unit:
            arguments["duration"] += f" {found.unit}"
        return replace(self._call(found.act, text, tuple(arguments.items()), before.reply), follows=True)

    def _reply(self, act: str, before: list[Turn]) -> str:
        replies = self.replies[act]
        if act in ("joke", "fact"):
            fresh = [reply for reply in replies if all(reply != turn.reply for turn in before)]
            return self.rng.choice(fresh or replies)
        return _usual(replies, self.rng)

    def _from_human(self, before: list[Turn]) -> list[Turn]:
        if self.said_tools and self.rng.random() < HUMAN_TOOL_SHARE:
            return self._human_tool(self.rng.choice(self.said_tools))
        talks = self.said_talk and self.rng.random() < HUMAN_TALK_SHARE
        item = self.rng.choice(self.said_talk if talks else self.said_beyond)
        text = self._restyled(item)
        return [Turn(text, self._reply(item.act, before), talk=item.act)]

    def _human_tool(self, item: clinc.Said) -> list[Turn]:
        """A human phrasing of a tool intent, often with other fillers in its slots."""
        slots = Slots(self.rng, self.rng.random() < 0.6, self.lexicon)
        pieces = _cut(item)
        if self.rng.random() < 0.6:
            pieces = _refilled(pieces, item, slots)
        constants = tuple(pair for pair in item.arguments if pair[0] not in {piece.slot for piece in pieces})
        pieces = self._spoken_pieces(pieces, slots.words)
        text = noise.joined(pieces)
        if item.act == "ask":
            return self._asked(item.detail, text, _arguments(pieces) + constants, slots)
        return [self._call(item.act, text, _arguments(pieces) + constants)]

    def _restyled(self, item: clinc.Said) -> str:
        """The few thousand utterances are met many times; what is beyond the talker stays so with a word changed."""
        pieces = [Piece(self._varied(item.text) if item.act == "know_wh" else item.text)]
        if self.rng.random() < 0.3:
            pieces = noise.open_and_close(pieces, False, self.rng)
        return noise.joined(self._spoken_pieces(pieces, words=self.rng.random() < 0.6))

    def _varied(self, text: str) -> str:
        """Sometimes a word less, or another one in place of a long one."""
        words = text.split()
        at = self.rng.randrange(len(words))
        kind = self.rng.random()
        if kind < 0.15 and len(words) > 4:
            del words[at]
        elif kind < 0.35 and _is_name_like(words[at]):
            words[at] = self.rng.choice(self.lexicon)
        return " ".join(words)


def _is_name_like(word: str) -> bool:
    """Long enough not to be one of the words that hold a sentence together, and nothing but letters."""
    return len(word) >= 4 and word.isalpha()


def _in_group(sections: list[Section], group: str) -> list[Section]:
    if group in ("talk", "beyond"):
        return [section for section in sections if section.file == f"{group}.txt"]
    return [section for section in sections if section.act == group]


def _usual(replies: list[str] | tuple[str, ...], rng: Random) -> str:
    """The first wording most of the time, so that what the model should say is never a coin toss."""
    return rng.choices(replies, [6.0, *([1.0] * (len(replies) - 1))])[0]


def _arguments(pieces: list[Piece]) -> tuple[tuple[str, str], ...]:
    return tuple((piece.slot, piece.text) for piece in pieces if piece.slot)


def _cut(item: clinc.Said) -> list[Piece]:
    """Cut a human utterance at its argument spans; constants like level=up stay outside."""
    found = []
    for slot, value in item.arguments:
        at = f" {item.text} ".find(f" {value} ")
        at = at if at >= 0 else item.text.find(value)
        if at >= 0 and not (item.act == "set_volume" and value in ("up", "down", "mute", "max")):
            found.append((at, slot, value))
    pieces, end = [], 0
    for at, slot, value in sorted(found):
        pieces += [Piece(item.text[end:at].strip()), Piece(value, slot)]
        end = at + len(value)
    return [piece for piece in [*pieces, Piece(item.text[end:].strip())] if piece.text]


def _refilled(pieces: list[Piece], item: clinc.Said, slots: Slots) -> list[Piece]:
    """Other fillers of the same form in the argument slots, so that one phrasing teaches many spans."""
    measure = dict(zip(("value", "from", "to"), slots.measure(), strict=True))
    if "value" not in {piece.slot for piece in pieces}:
        while measure["value"] in ("a", "an", "one", "1") or "half" in measure["value"]:
            measure = dict(zip(("value", "from", "to"), slots.measure(), strict=True))
    result, before = [], ""
    for piece in pieces:
        text = measure[piece.slot] if piece.slot in measure else _like(piece, before, item.act, slots)
        result.append(Piece(text, piece.slot))
        before = piece.text
    return result


def _like(piece: Piece, before: str, act: str, slots: Slots) -> str:
    """A filler of the same grammatical form as this one, or the old one where no other surely fits."""
    words = piece.text.split()
    if piece.slot in ("place", "name", "level"):
        return slots.fill(piece.slot)
    if piece.slot == "duration":
        adjective = not words[-1].endswith("s") and words[0] not in ("an", "a")
        return slots.duration_adjective() if adjective else slots.duration()
    if piece.slot == "expression":
        return slots.fill("expression:verb" if words[0] in ("add", "subtract", "multiply", "divide") else "expression")
    if piece.slot == "when" and act == "set_alarm":
        return slots.fill("when:many" if "and" in words else "when:clock")
    if piece.slot == "when":
        return slots.fill("when:at")
    if piece.slot == "text" and before.endswith(" to"):
        return slots.task()
    if piece.slot == "text" and before.endswith((" for", " about")):
        return slots.thing()
    if piece.slot == "day" and words[0] == "in":
        return f"in {slots.number(2, 400)} days"
    if piece.slot == "day" and words[-1] == "now":
        return f"{slots.number(2, 400)} days from now"
    return piece.text
