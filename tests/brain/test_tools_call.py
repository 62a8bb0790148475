"""Hang up, transfer and notes, as tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.brain.fake_context import FakeContext
from voicebot.brain.notes import NOTES_LIMIT, Notes
from voicebot.brain.tools import run_here
from voicebot.brain.tools_call import NO_TRANSFER, end_call, note_tools, press_keys, transfer_tool


@dataclass
class Call(FakeContext):
    call_id: str = "call-1"
    caller: str = ""
    can: bool = True
    did: list[str] = field(default_factory=list)

    def hang_up(self, reason: str) -> bool:
        self.did.append(reason)
        return self.can

    def send_digits(self, digits: str) -> bool:
        self.did += [digits] * self.can
        return self.can

    def transfer(self, target: str) -> bool:
        self.did += [target] * self.can
        return self.can


def said(tool: Any, call: Call, **arguments: Any) -> str:
    return run_here(tool, call, arguments).speech


def test_hanging_up_says_goodbye_or_that_it_cannot() -> None:
    call = Call()
    assert said(end_call, call) == "Goodbye." and call.did
    assert "cannot hang up" in said(end_call, Call(can=False))


def test_a_caller_is_put_through_only_to_whom_the_operator_has_named() -> None:
    transfer = transfer_tool({"Sales": "+15550001", "Help desk": "sip:help@example.com"})
    call = Call()
    assert said(transfer, call, to="help desk") == "One moment, I am putting you through to Help desk."
    assert "only put you through to Sales or Help desk" in said(transfer, call, to="+19005550000")
    assert call.did == ["sip:help@example.com"]
    assert said(transfer, Call(can=False), to="sales") == NO_TRANSFER
    assert transfer.acting and transfer.parameters["properties"]["to"]["enum"] == ["Sales", "Help desk"]


def test_keys_are_pressed_where_the_line_can_and_only_keys() -> None:
    call = Call()
    assert said(press_keys, call, keys="1 2 #") == "Done."
    assert "only press digits" in said(press_keys, call, keys="one")
    assert "cannot press" in said(press_keys, Call(can=False), keys="1")
    assert call.did == ["12#"]


def test_notes_without_a_folder_last_for_their_call() -> None:
    take, read = note_tools(Notes())
    call = Call(caller="+15550002")
    assert said(read, call) == "There are no notes yet."
    assert said(take, call, text="buy  milk") == "I have noted that."
    assert said(read, call) == "You have one note: buy milk."
    assert said(read, Call(call_id="call-2", caller="+15550002")) == "There are no notes yet."


def test_notes_in_a_folder_come_back_to_their_caller_and_nobody_else(tmp_path: Path) -> None:
    take, read = note_tools(Notes(tmp_path / "notes"))
    said(take, Call(caller="+15550002"), text="buy milk")
    assert said(read, Call(call_id="call-2", caller="+15550002")) == "You have one note: buy milk."
    assert said(read, Call(call_id="call-2", caller="+15550003")) == "There are no notes yet."
    (file,) = (tmp_path / "notes").iterdir()
    assert "5550002" not in file.name


def test_notes_have_a_limit_that_the_caller_is_told() -> None:
    notes = Notes()
    take, _ = note_tools(notes)
    for n in range(NOTES_LIMIT):
        notes.add("", "call-1", str(n))
    assert "cannot keep any more notes" in said(take, Call(), text="one more")


@pytest.mark.parametrize("text", ["", "   "])
def test_a_note_needs_words(text: str) -> None:
    take, _ = note_tools(Notes())
    assert "need to know the text" in said(take, Call(), text=text)
