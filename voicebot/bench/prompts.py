"""What the measurements say and ask: texts of the lengths that calls have."""

from __future__ import annotations

import re

SYSTEM = (
    "You are a friendly voice assistant who answers on the telephone . Answer in one or two short sentences , in plain "
    "words , without lists , headings or symbols , because everything that you write is read aloud to the caller . "
    "When the caller asks for a timer , a reminder , a sum , the time or the date , use the tool for it and then say "
    "what you have done . When you do not know something , say so at once and offer to find out . Never invent names , "
    "numbers or addresses . If the caller is in a hurry , be brief ; if the caller is upset , be calm and kind . Keep "
    "to the language of the caller . The office is open from nine to five on working days ; outside of these hours "
    "offer to take a message . Repeat every number , date and name that you are given , so that the caller can correct "
    "you . Ask only one question at a time , and wait for the answer before you go on . If you are interrupted , stop "
    "and listen . When the call is over , thank the caller and say goodbye ."
)
"""About 200 tokens, one a word."""
QUESTION = "could you please tell me whether the office is open on the working days before nine"
"""About 15 tokens."""
OTHER_QUESTION = "what is the time now and could you say the date of the next working day too"
REPLIES = (
    "That is fifty six. Is there anything else that I can do for you?",
    "It is ten past three in the afternoon, and the sun is still shining.",
    "All right, the timer is set for ten minutes. I will tell you when it is over.",
)
"""What models of random weights say in whole calls."""
ASKED = (
    "what time is it",
    "what is seven times eight",
    "set a timer for ten minutes",
    "what is your name",
    "what is twelve plus thirty",
)
"""The words of the recordings that whole calls are measured with."""
CLAUSE = "The office opens at nine."
SENTENCE = (
    "The office is open from nine to five on working days, and outside of these hours you can leave a message with me, "
    "which somebody will answer on the next morning."
)
SPEECH = (
    "Good morning. I would like to know whether your office is open tomorrow, because I have to bring you a form. "
    "It has to be signed by somebody, and I was told that this can only be done before noon. Is that right?"
)
"""Spoken by the embedded voice: the audio that recognisers are measured on, over ten seconds."""
_ROLES = ("system", "user", "assistant")


def _words() -> list[str]:
    """The words as a byte-level tokenizer cuts them: with "Ġ" for the space before each, but where a text begins."""
    texts = f"{SYSTEM} {QUESTION} {OTHER_QUESTION} call".split()
    texts += [word for text in (*ASKED, *REPLIES) for word in re.findall(r"\w+", text)]
    begin = [re.findall(r"\w+", text)[0] for text in (*ASKED, *REPLIES)]
    return [*dict.fromkeys(f"Ġ{word}" for word in texts), *dict.fromkeys([*_ROLES, *begin])]


def byte_alphabet() -> list[str]:
    """GPT-2's 256 stand-ins for the bytes. Source: bytes_to_unicode in its encoder.py."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


WORDS = tuple(_words())
