"""What may happen to words once they are spoken: the label that every message of a prompt carries."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Label(IntEnum):
    """Ordered: the larger the stricter. `str(label)` is the name used in the configuration and on record."""

    OPEN = 0
    """May be sent to a remote model as it is."""
    REDACT = 1
    """May be sent with personal details replaced by placeholders."""
    LOCAL_ONLY = 2
    """Never leaves this machine."""

    def __str__(self) -> str:
        return self.name.lower()


def strictest(labels: Iterable[Label]) -> Label:
    """The label of a whole made of parts; OPEN for no parts."""
    return max(labels, default=Label.OPEN)


def label_named(name: str) -> Label:
    """The label called "open", "redact" or "local_only". Raises: ValueError."""
    try:
        return Label[name.upper()]
    except KeyError:
        known = ", ".join(str(label) for label in reversed(Label))
        raise ValueError(f"unknown privacy label {name!r}; known, strictest first: {known}") from None
