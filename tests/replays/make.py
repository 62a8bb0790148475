"""Makes the golden traces again: `python -m tests.replays.make`, after a wanted change of what the core decides.

Read the difference before committing it: each changed line is a changed decision. A fixed bug adds a scenario here, or
the trace of the call that showed it as a file of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.sim.script import Script, perform
from voicebot.engines.base import ToolCall

FOLDER = Path(__file__).parent
LONG = "River table seven green window letter. Garden morning copper silver planet market."


async def _asked(world: Script) -> None:
    await world.say("what is next")
    await world.until("speaking")


async def _plain(world: Script) -> None:
    await _asked(world)
    await world.until("listening")


async def _backchannel(world: Script) -> None:
    await _asked(world)
    await asyncio.sleep(1.0)
    await world.say("okay")
    await world.until("listening")


async def _interruption(world: Script) -> None:
    await _asked(world)
    await asyncio.sleep(2.0)
    await world.say("tell me about copper instead")
    await world.until("listening")


async def _reopen(world: Script) -> None:
    await _asked(world)
    await asyncio.sleep(0.1)
    await world.say("on the green table")
    await world.until("listening")


async def _hang_up(world: Script) -> None:
    await _asked(world)
    await asyncio.sleep(0.7)
    world.wire.say(world.caller_words.say("half", 400))
    await asyncio.sleep(0.2)


async def _typed(world: Script) -> None:
    world.wire.mute = True
    world.session.push_text("what is next")
    await world.until("speaking")
    await asyncio.sleep(2.0)
    world.session.push_text("never mind")
    await world.until("listening")


SCENARIOS: dict[str, Callable[[], Script]] = {
    "plain_turn": lambda: perform(_plain),
    "backchannel": lambda: perform(_backchannel, LONG),
    "interruption": lambda: perform(_interruption, LONG, "Copper it is."),
    "reopen": lambda: perform(_reopen, LONG, "Copper it is."),
    "hang_up_in_mid_word": lambda: perform(_hang_up, LONG),
    "stt_failure": lambda: perform(_plain, failing="sim stt"),
    "tool_turn": lambda: perform(_plain, ToolCall("call_1", "set_volume", {"level": "30"})),
    "typed_without_microphone": lambda: perform(_typed, LONG, "Very well."),
}


def main() -> None:
    for name, scenario in SCENARIOS.items():
        lines = scenario().writer.lines()
        (FOLDER / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
