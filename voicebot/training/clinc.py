"""Human phrasings: CLINC150 utterances with the act, tool and arguments that answer them.

Source: CLINC150 (Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction",
EMNLP 2019), CC BY 3.0. The utterances of tool intents are annotated one by one in `annotations/*.jsonl`; those of the
other intents get a kind of talk from the table below, or an honest refusal: "that is more than I know".
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

TOOL_INTENTS = ("time", "timezone", "date", "timer", "alarm", "calculator", "measurement_conversion",
                "reminder_update", "change_volume", "repeat")  # fmt: skip
TALK = {
    "greeting": "greeting", "goodbye": "goodbye", "thank_you": "thanks", "tell_joke": "joke", "fun_fact": "fact",
    "who_made_you": "who_made_you", "who_do_you_work_for": "who_made_you", "where_are_you_from": "who_made_you",
    "do_you_have_pets": "pets", "what_are_your_hobbies": "hobbies", "what_is_your_name": "who_are_you",
    "are_you_a_bot": "are_you_a_bot", "how_old_are_you": "how_old_are_you", "what_can_i_ask_you": "abilities",
    "meaning_of_life": "meaning", "yes": "yes", "no": "no", "maybe": "maybe", "cancel": "cancel", "weather": "weather",
    "user_name": "user_name", "change_user_name": "user_named", "change_ai_name": "rename_bot",
}  # fmt: skip

DEV_SHARE = 0.08
"""Of training utterances: models are chosen by these, so that the validation part is looked at once."""
OUT_OF_SCOPE_COPIES = 12
"""The 100 training utterances that are out of every scope would drown among 14,000 others."""


@dataclass(frozen=True, slots=True)
class Said:
    """One human utterance: `act` is a tool's name, "ask" plus a tool in `detail`, or a kind of talk."""

    text: str
    intent: str
    act: str
    detail: str = ""
    arguments: tuple[tuple[str, str], ...] = ()


def is_dev(text: str) -> bool:
    """Whether a training utterance is one to choose models by, which they do not learn: decided by its own words."""
    return int.from_bytes(hashlib.sha256(b"dev " + text.encode()).digest()[:4], "big") / 2**32 < DEV_SHARE


def load_annotations(part: str) -> list[Said]:
    """The annotated utterances of tool intents; `part` is "train" or "val"."""
    lines = (resources.files("voicebot.training") / "annotations" / f"clinc150_{part}.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return [Said(row["text"], row["intent"], row["act"], row.get("detail", ""), tuple(row.get("arguments", {}).items()))
            for row in rows if "text" in row]  # fmt: skip


def load_talk(path: Path, part: str) -> list[Said]:
    """Utterances of the other intents and of none, from the data set's own JSON file."""
    rows = json.loads(path.read_text("utf-8"))
    said = []
    copies = OUT_OF_SCOPE_COPIES if part == "train" else 1
    for text, intent in rows[part] + rows[f"oos_{part}"] * copies:
        if intent in TOOL_INTENTS:
            continue
        if intent in TALK:
            said.append(Said(text, intent, TALK[intent]))
        else:
            said.append(Said(text, intent, "know_wh"))
    return said
