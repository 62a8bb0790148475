"""What a vendor's HTTP interface is asked to do with a call, as a value; the wire files write it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

XML = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request. `user`: name and password of basic auth; `bearer`: a token; at most one of `form` and `body`."""

    method: str
    url: str
    user: tuple[str, str] | None = field(default=None, repr=False)
    bearer: str = field(default="", repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)


def dial_xml(target: str, number: str = "Number", sip: str = "Sip") -> str:
    """A document that connects the call to `target`. `number`, `sip`: the vendor's elements for either kind."""
    kind = sip if target.startswith("sip:") else number
    return f"{XML}<Response><Dial><{kind}>{escape(target)}</{kind}></Dial></Response>"
