"""Two hundred labelled lines for ten tasks, made here, as a user's own data would be."""

from __future__ import annotations

import json
from pathlib import Path

from voicebot.training.router import Example

PHRASES = {
    "opening_hours": ("when do you open", "are you open on sunday", "what time do you close", "your opening hours"),
    "refund": ("i want my money back", "how do i get a refund", "please refund my order", "can i return these shoes"),
    "delivery": ("where is my parcel", "has my package shipped", "when will it be delivered", "track my delivery"),
    "booking": ("book a table for two", "reserve a room tonight", "i need a reservation", "make a booking for friday"),
    "cancel": ("cancel my booking", "i cannot come tomorrow", "call off the appointment", "drop my reservation"),
    "price": ("how much is it", "what does a haircut cost", "tell me your prices", "is there a cheaper one"),
    "agent": ("let me talk to a person", "get me a human", "transfer me to an agent", "i want the manager"),
    "invoice": ("send me the bill", "i need my invoice", "my invoice is wrong", "a copy of the receipt"),
    "directions": ("how do i find you", "what is your address", "where are you located", "which bus goes to you"),
    "thanks": ("thank you very much", "thanks a lot", "great thanks", "that is kind of you"),
}
OPENINGS = ("", "um ", "hello ", "please ", "okay so ")


def lines() -> list[Example]:
    return [
        Example(opening + phrase, task, hard=task == "invoice")
        for task, phrases in PHRASES.items()
        for phrase in phrases
        for opening in OPENINGS
    ]


def write(file: Path, examples: list[Example]) -> Path:
    file.write_text(
        "".join(json.dumps({"text": one.text, "task": one.task, "hard": one.hard}) + "\n" for one in examples), "utf-8"
    )
    return file
