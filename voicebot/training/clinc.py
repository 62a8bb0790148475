"""Human phrasings: CLINC150 utterances with the act, tool and arguments that answer them.

Source: CLINC150 (Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction",
EMNLP 2019), CC BY 3.0. The utterances of tool intents are annotated one by one in `annotations/*.jsonl`; those of the
other intents get a kind of talk, or an honest refusal that names the topic, from the table below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random

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
_TOPICS = """
freeze_account bank accounts; routing routing numbers; pin_change pin numbers; bill_due bills; pay_bill bills
account_blocked bank accounts; interest_rate interest rates; min_payment payments; bill_balance bills
transfer money transfers; order_checks checkbooks; balance bank accounts; spending_history spending
transactions bank transactions; report_fraud fraud reports; replacement_card_duration replacement cards
expiration_date bank cards; damaged_card bank cards; improve_credit_score credit scores; report_lost_card lost cards
card_declined declined cards; credit_limit_change credit limits; apr interest rates; redeem_rewards card rewards
credit_limit credit limits; rewards_balance card rewards; application_status applications; credit_score credit scores
new_card new cards; international_fees bank fees; food_last food safety; confirm_reservation reservations
how_busy restaurants; ingredients_list ingredients; calories calories; nutrition_info nutrition; recipe recipes
restaurant_reviews restaurants; restaurant_reservation reservations; meal_suggestion meal ideas
restaurant_suggestion restaurants; cancel_reservation reservations; ingredient_substitution cooking
cook_time cooking; accept_reservations restaurants; what_song songs; play_music music; todo_list_update to do lists
reminder reminder lists; calendar_update calendars; order_status orders; update_playlist playlists
shopping_list shopping lists; calendar calendars; next_song music; order orders; todo_list to do lists
shopping_list_update shopping lists; smart_home home devices; current_location locations; oil_change_when oil changes
oil_change_how oil changes; uber rides; traffic traffic; tire_pressure tires; schedule_maintenance car repairs
gas gas; mpg cars; distance distances; directions directions; last_maintenance car repairs; gas_type gas
tire_change tires; jump_start car batteries; plug_type plugs; travel_notification travel notices
translate translations; flight_status flights; international_visa visas; exchange_rate exchange rates
travel_suggestion travel; travel_alert travel alerts; vaccines vaccines; lost_luggage luggage; book_flight flights
book_hotel hotels; carry_on luggage; car_rental rental cars; find_phone finding phones; share_location locations
make_call phone calls; definition word meanings; flip_coin coin flips; spelling spelling; roll_dice dice
text text messages; pto_request_status time off; next_holiday holidays; insurance_change insurance
insurance insurance; meeting_schedule meetings; payday paydays; taxes taxes; income income; rollover_401k pensions
pto_balance time off; pto_request time off; w2 tax forms; schedule_meeting meetings; direct_deposit direct deposits
pto_used time off; change_speed my speaking speed; whisper_mode whispering; change_language other languages
change_accent accents; sync_device other devices; reset_settings settings
"""
TOPICS = dict(item.strip().split(" ", 1) for item in _TOPICS.replace("\n", ";").split(";") if item.strip())
TOPIC_REPLIES = ("I cannot help with {topic}, sorry.", "Sorry, I know too little about {topic}.",
                 "Sorry, {topic} are more than I can do.",
                 "That is beyond me. I cannot help with {topic}.")  # fmt: skip


OUT_OF_SCOPE_COPIES = 12
"""The 100 training utterances that are out of every scope would drown among 14,000 others."""
PLAIN_REPLIES = ("I cannot do that yet, sorry.", "Sorry, that is more than I know.", "That is beyond what I know.")


@dataclass(frozen=True, slots=True)
class Said:
    """One human utterance: `act` is a tool's name, "ask" plus a tool, a kind of talk, or "topic" plus its words."""

    text: str
    intent: str
    act: str
    detail: str = ""
    arguments: tuple[tuple[str, str], ...] = ()


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
        elif intent in TOPICS:
            said.append(Said(text, intent, "topic", TOPICS[intent]))
        else:
            said.append(Said(text, intent, "know_wh"))
    return said


def topic_reply(topic: str, said: str, rng: Random) -> str:
    """A refusal that names the topic only where the caller's words do: a topic that is guessed is often wrong."""
    stems = {word[:4] for word in said.lower().split()}
    if not any(word[:4] in stems for word in topic.split()):
        return rng.choices(PLAIN_REPLIES, (6, 1, 1))[0]
    return rng.choices(TOPIC_REPLIES, (12, 2, 1 if topic.endswith("s") else 0, 1))[0].format(topic=topic)
