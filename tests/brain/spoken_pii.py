"""Writes tests/brain/data/spoken_pii.jsonl: callers' sentences with personal details as a recogniser writes them down.

    python -m tests.brain.spoken_pii > tests/brain/data/spoken_pii.jsonl

Each line: {"text", "private": the words that must go, "kind", "half"}. Values are random and belong to nobody. They are
said in the ways people say them (digit by digit, in pairs, "double", "hundred", spelled, as words, and as digits where
a recogniser writes digits); then every third line gets recogniser noise: homophones of digits, fillers, a misheard "at"
or "dot". Halves are drawn by line number: rules were tuned on "dev" alone, "held" is only measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from random import Random

ONES = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NATO = ("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec "
        "romeo sierra tango uniform victor whiskey xray yankee zulu").split()  # fmt: skip
MONTHS = "january february march april may june july august september october november december".split()
RANKS = ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
         "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()  # fmt: skip
NAMES = "maria john ahmed susan kowalski peter nguyen oliver schmidt priya lopez daniel fatima greene walsh".split()
HOMOPHONES = {"four": "for", "two": "to", "eight": "ate", "one": "won", "three": "tree"}
SAY = {
    "PHONE": ["call me back on {}", "my number is {}", "you can reach me at {} after six", "text {} when it's ready",
              "the phone number is {} thanks", "yeah it's {}", "please dial {} for me", "{}"],
    "CARD": ["my card number is {}", "put it on {} please", "the visa is {} and it expires soon", "charge {}",
             "okay the card is {}", "it's {}"],
    "SSN": ["my social security number is {}", "my social is {}", "ssn {}", "the last time i gave you {}"],
    "IBAN": ["my iban is {}", "send it to {}", "the account is {} okay"],
    "EMAIL": ["my email is {}", "send the receipt to {}", "it's {}", "you can write to {} any time", "use {} please",
              "the address is {} thanks", "email {} and tell them i'm late"],
    "DOB": ["i was born on {}", "my date of birth is {}", "my birthday is {} if you need it", "date of birth {}"],
    "ADDRESS": ["i live at {}", "deliver it to {} please", "my address is {}", "send a cab to {}"],
    "CODE": ["my pin is {}", "the security code is {}", "my account number is {}", "my zip code is {}",
             "the confirmation code is {}", "my passport number is {}", "the last four digits are {}"],
    "IP": ["the server is at {}", "ping {} please"],
}  # fmt: skip


def singly(rng: Random, digits: str) -> str:
    """ "four one five", with "oh" for some zeros and "double" for some pairs."""
    words: list[str] = []
    oh = rng.random() < 0.5
    doubles = rng.random() < 0.3
    at = 0
    while at < len(digits):
        if doubles and digits[at : at + 2] == digits[at] * 2:
            words += ["double", ONES[int(digits[at])]]
            at += 2
            continue
        words.append("oh" if digits[at] == "0" and oh else ONES[int(digits[at])])
        at += 1
    return " ".join(words)


def pair(number: int) -> str:
    if number < 10:
        return f"oh {ONES[number]}"
    if number < 20:
        return TEENS[number - 10]
    return TENS[number // 10 - 2] + (f" {ONES[number % 10]}" if number % 10 else "")


def in_pairs(rng: Random, digits: str) -> str:
    head = singly(rng, digits[0]) + " " if len(digits) % 2 else ""
    rest = digits[len(digits) % 2 :]
    return head + " ".join(pair(int(rest[at : at + 2])) for at in range(0, len(rest), 2))


def said(rng: Random, digits: str) -> str:
    return singly(rng, digits) if rng.random() < 0.7 else in_pairs(rng, digits)


def some_digits(rng: Random, count: int) -> str:
    return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(count - 1))


def phone(rng: Random) -> str:
    area, middle, last = str(rng.randint(201, 989)), str(rng.randint(200, 999)), f"{rng.randint(0, 9999):04}"
    way = rng.randrange(6)
    if way == 0:
        return f"{area}-{middle}-{last}"
    if way == 1:
        return f"one eight hundred {singly(rng, middle)} {in_pairs(rng, last)}"
    if way == 2:
        return f"{singly(rng, area)} {singly(rng, middle)} {in_pairs(rng, last)}"
    if way == 3:
        return f"plus four four {singly(rng, '7' + some_digits(rng, 9))}"
    return singly(rng, area + middle + last)


def luhn(digits: str) -> str:
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(digits))
    return digits + str(-total % 10)


def card(rng: Random) -> str:
    number = luhn("4" + "".join(str(rng.randint(0, 9)) for _ in range(14)))
    groups = [number[at : at + 4] for at in range(0, 16, 4)]
    return rng.choice([" ".join(groups), singly(rng, number), " ".join(said(rng, group) for group in groups)])


def ssn(rng: Random) -> str:
    parts = (str(rng.randint(100, 599)), f"{rng.randint(10, 99)}", f"{rng.randint(1000, 9999)}")
    return rng.choice(
        ["-".join(parts), " ".join(said(rng, p) for p in parts), " dash ".join(singly(rng, p) for p in parts)]
    )


def iban(rng: Random) -> str:
    digits = "".join(str(rng.randint(0, 9)) for _ in range(18))
    check = 98 - int(digits + "131400") % 97
    value = f"{check:02}{digits}"
    return rng.choice([f"DE{value}", f"d e {singly(rng, value)}", f"delta echo {singly(rng, value)}"])


def email(rng: Random) -> str:
    name, family = rng.sample(NAMES, 2)
    local = rng.choice([
        name, f"{name} dot {family}", f"{name} {family}", f"{name} underscore {family}", " ".join(name),
        f"{name[0]} dot {family}", f"{name} {said(rng, some_digits(rng, 2))}",
        f"{' '.join(name)} dot {' '.join(family)}",
        f"{name} dash {family} {singly(rng, some_digits(rng, 3))}",
    ])  # fmt: skip
    domain = rng.choice(["gmail dot com", "hotmail dot com", "yahoo dot co dot uk", "outlook dot com", "g mail dot com",
                         "icloud dot com", "acme dot org", "blue river dot net", "i b m dot com",
                         "proton dot me"])  # fmt: skip
    if rng.random() < 0.12:
        return f"{name}.{family}@example.com"
    return f"{local} at {domain}"


def birth(rng: Random) -> str:
    month, day, year = rng.choice(MONTHS), rng.randint(1, 20), rng.randint(1930, 2009)
    spoken = f"nineteen {pair(year - 1900)}" if year < 2000 else f"two thousand and {ONES[year - 2000]}"
    return rng.choice([f"{month} {RANKS[day - 1]} {spoken}", f"the {RANKS[day - 1]} of {month} {spoken}",
                       f"{rng.randint(1, 12)}/{day}/{year}", f"{month} {day}, {year}"])  # fmt: skip


def address(rng: Random) -> str:
    number = rng.choice([in_pairs(rng, some_digits(rng, 4)), singly(rng, some_digits(rng, 3)), some_digits(rng, 3)])
    street = rng.choice(["oak", "maple grove", "north main", "saint james", "second", "king william", "elm"])
    kind = rng.choice(["street", "avenue", "road", "lane", "drive", "boulevard", "court"])
    flat = rng.choice(["", "", " apartment five", " unit twelve", " apt 3"])
    return f"{number} {street} {kind}{flat}"


def code(rng: Random) -> str:
    letters = "".join(rng.choice("bcdfghjklmnpqrstvwxz") for _ in range(2))
    digits = some_digits(rng, rng.choice([4, 4, 5, 6]))
    return rng.choice([digits, singly(rng, digits), said(rng, digits), f"{' '.join(letters)} {singly(rng, digits)}",
                       f"{NATO[ord(letters[0]) - 97]} {singly(rng, digits)}"])  # fmt: skip


def address_of_a_machine(rng: Random) -> str:
    parts = [str(rng.randint(1, 254)) for _ in range(4)]
    return rng.choice([".".join(parts), " dot ".join(singly(rng, part) for part in parts)])


MAKERS: dict[str, Callable[[Random], str]] = {
    "PHONE": phone, "CARD": card, "SSN": ssn, "IBAN": iban, "EMAIL": email, "DOB": birth, "ADDRESS": address,
    "CODE": code, "IP": address_of_a_machine,
}  # fmt: skip
COUNTS = {"PHONE": 70, "CARD": 50, "SSN": 36, "IBAN": 24, "EMAIL": 80, "DOB": 36, "ADDRESS": 36, "CODE": 50, "IP": 10}


def noisy(rng: Random, words: str, kind: str) -> str:
    """What a recogniser makes of it: one or two of its usual mistakes, inside the detail."""
    parts = words.split()
    inner = range(1, len(parts) - 1)
    heard = [at for at in inner if parts[at] in HOMOPHONES and parts[at + 1] in ONES and parts[at - 1] in ONES]
    if kind == "EMAIL":
        wrong = rng.choice([("at", "add"), ("dot", "."), ("com", "calm"), ("at", "at uh"), ("dot com", "dot come")])
        return words.replace(*wrong, 1) if wrong[0] != "at" else words.replace(" at ", f" {wrong[1]} ", 1)
    if heard and rng.random() < 0.6:
        at = rng.choice(heard)
        return " ".join([*parts[:at], HOMOPHONES[parts[at]], *parts[at + 1 :]])
    spelled = [at for at in inner if parts[at] in ONES and parts[at - 1] in ONES]
    if spelled and kind not in ("DOB", "ADDRESS"):
        at = rng.choice(spelled)
        return " ".join([*parts[:at], rng.choice(["um", "uh", "er"]), *parts[at:]])
    return words


BY_HAND = [
    ("PHONE", "so the best one to get me on is oh two oh, seven nine four six, oh nine five eight",
     "oh two oh, seven nine four six, oh nine five eight"),
    ("PHONE", "area code six one seven then triple five oh one nine nine",
     "six one seven then triple five oh one nine nine"),
    ("PHONE", "My number is (415) 555-2671.", "(415) 555-2671"),
    ("PHONE", "it's +1 202 555 0143 if we get cut off", "1 202 555 0143"),
    ("CARD", "three seven eight two eight two two four six three one oh oh oh five",
     "three seven eight two eight two two four six three one oh oh oh five"),
    ("CARD", "fifty five fifty five, fifty five fifty five, fifty five fifty five, forty four forty four",
     "fifty five fifty five, fifty five fifty five, fifty five fifty five, forty four forty four"),
    ("CARD", "my card ending in forty two seventeen was stolen", "forty two seventeen"),
    ("CODE", "the cvv on the back is three nine one", "three nine one"),
    ("CODE", "routing number zero two one zero zero zero zero two one", "zero two one zero zero zero zero two one"),
    ("CODE", "my booking reference is x as in xray q as in queen seven nine two b",
     "x as in xray q as in queen seven nine two b"),
    ("CODE", "license plate is seven bravo x ray kilo two two one", "seven bravo x ray kilo two two one"),
    ("CODE", "member id w as in whiskey double four nine one oh two", "w as in whiskey double four nine one oh two"),
    ("EMAIL", "it's j dot f dot k at white house dot gov", "j dot f dot k at white house dot gov"),
    ("EMAIL", "s u s a n underscore b at a o l dot com is the one", "s u s a n underscore b at a o l dot com"),
    ("EMAIL", "try mike nineteen eighty four at hot mail dot com", "mike nineteen eighty four at hot mail dot com"),
    ("EMAIL", "the work one is p dot nguyen at acme dash tools dot co dot uk",
     "p dot nguyen at acme dash tools dot co dot uk"),
    ("EMAIL", "info at my little bakery dot com", "info at my little bakery dot com"),
    ("EMAIL", "Please write to anna.b+news@mail.example.org today.", "anna.b+news@mail.example.org"),
    ("DOB", "i was born the third of june nineteen fifty five in leeds", "third of june nineteen fifty five"),
    ("DOB", "d o b is oh four twenty two seventy nine", "oh four twenty two seventy nine"),
    ("ADDRESS", "i'm over at two twenty one b baker street", "two twenty one b baker street"),
    ("ADDRESS", "p o box four one seven please", "p o box four one seven"),
    ("ADDRESS", "ship it to 1600 pennsylvania avenue", "1600 pennsylvania avenue"),
    ("SSN", "social is oh seven eight, oh five, eleven twenty", "oh seven eight, oh five, eleven twenty"),
]  # fmt: skip


def lines(seed: int = 20) -> list[dict[str, str]]:
    """The whole set, in order."""
    rng = Random(seed)
    made = [{"text": text, "private": private, "kind": kind} for kind, text, private in BY_HAND]
    for kind, count in COUNTS.items():
        for number in range(count):
            words = MAKERS[kind](rng)
            if number % 3 == 2:
                words = noisy(rng, words, kind)
            private = words.removeprefix("plus ").removeprefix("the ")
            made.append({"text": rng.choice(SAY[kind]).format(words), "private": private, "kind": kind})
    return [line | {"half": "held" if number % 2 else "dev"} for number, line in enumerate(made)]


if __name__ == "__main__":
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines())
