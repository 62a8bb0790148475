"""The pattern recognisers of Microsoft Presidio, without its language models and without its network.

Importing the library costs about 2 s and 100 MB (it imports spaCy), so it is imported by `load`, once, when the server
starts with a remote model configured, and never by a call. Its e-mail recogniser is not used as it is: to check a
domain it fetches a list from the network. Its pattern is used without that check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MIN_SCORE = 0.4
"""Presidio's own score of a telephone number in a valid form; the weak patterns ("any nine digits") lie below."""
REGIONS = ("US", "GB")
"""Whose telephone numbers are recognised without a country code; long numbers are found by our own rules anyway."""

Spans = list[tuple[str, int, int]]
"""(kind, start, stop) of written characters."""


def load() -> Callable[[str], Spans]:
    """A function from written text to what the recognisers find in it. Raises: ImportError without Presidio."""
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        CryptoRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        MacAddressRecognizer,
        PhoneRecognizer,
        UkNinoRecognizer,
        UsItinRecognizer,
        UsSsnRecognizer,
    )

    email = PatternRecognizer(supported_entity="EMAIL_ADDRESS", patterns=EmailRecognizer.PATTERNS)
    recognisers: list[Any] = [email, PhoneRecognizer(supported_regions=REGIONS)]
    recognisers += [
        recogniser()
        for recogniser in (CreditCardRecognizer, IbanRecognizer, UsSsnRecognizer, UsItinRecognizer, UkNinoRecognizer,
                           IpRecognizer, MacAddressRecognizer, CryptoRecognizer)
    ]  # fmt: skip

    def find(text: str) -> Spans:
        return [
            (found.entity_type, found.start, found.end)
            for recogniser in recognisers
            for found in recogniser.analyze(text, recogniser.supported_entities, None)
            if found.score >= MIN_SCORE
        ]

    find("call 415 555 2671 or write to a@example.com")  # Tables are read at the first use.
    return find
