"""A scripted evening against the whole server: `python -m voicebot.evals.evening [--turns 200] [--out evening.json]`.

    callers (voices of eSpeak) -> loopback -> the real server: Silero, the shipped talker and router, documents, tools
                                                  `- hard turns -> the gate -> a second model in a server of its own

What it shows: how many turns escalate and why, how soon an acknowledgement is audible, when late answers come, whether
one ever begins over the caller or after "never mind", and the bill against asking the frontier everything. The frontier
is a small GGUF behind an OpenAI-compatible server on loopback that waits 1 to 4 s (`--server llama_cpp`: the one that
comes with llama-cpp-python, where its extra is installed); it is treated, recorded and priced as the remote model
`--price-as`. Words are given to the server by a recogniser that knows the recordings (90 ms each), so that the run
measures the brain. All times are real; callers talk at their natural pace, several at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from voicebot.config import Config, load_config
from voicebot.engines.registry import DRIVERS, create
from voicebot.evals.evening_callers import VOICES, Ear, EveningCaller, Line, ToldStt, record
from voicebot.ledger.bill import make_bill
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.reader import reading
from voicebot.profiles import find_talker
from voicebot.service import VoiceServer

SCRIPT = Path(__file__).resolve().parent / "data" / "evening.txt"
MIX = {"tools": 0.46, "talk": 0.3, "documents": 0.1, "hard": 0.14}
"""Shares of what is said, an assumption: two of three calls to an assistant are chores; what is hard is one turn in
seven. Source for the last: escalation shares of 10 to 18 % in published cascades."""
WITHDRAWN = 0.25
"""Of the hard ones, so many are followed by "never mind" as soon as the acknowledgement is over."""
SLOWEST = 5
TOGETHER_S = 0.15
"""Two who begin within this time of each other began together: nobody can tell a voice from a breath sooner."""
KEY_ENV = "EVENING_KEY"
HANDBOOK = """# House

The kitchen closes at ten in the evening. A parking space costs twelve euros a night.

Dogs are welcome for a fee of fifteen euros.

The password of the wireless network is on the key card.
"""


def read_script() -> dict[str, list[str]]:
    """Kind -> what is said."""
    found: dict[str, list[str]] = {}
    for line in SCRIPT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            kind.append(line)
    return found


def draw(turns: int, rng: Random) -> list[tuple[str, str]]:
    """(kind, text) of a whole evening: the shares are exact, the order is drawn."""
    script = read_script()
    kinds = [kind for kind, share in MIX.items() for _ in range(round(share * turns))]
    rng.shuffle(kinds)
    drawn: list[tuple[str, str]] = []
    for kind in kinds:
        drawn.append((kind, rng.choice(script[kind])))
        if kind == "hard" and rng.random() < WITHDRAWN:
            drawn.append(("withdrawn", script["withdrawn"][0]))
    return drawn


def recorded(drawn: Sequence[tuple[str, str]]) -> list[Line]:
    """Everything that will be said, each time another recording."""
    voices = [create("tts", f"espeak://en-us?voice={voice}&rate=150") for voice in VOICES]
    for voice in voices:
        voice.load()
    noise = np.random.default_rng(1)
    lines = [record(voices[at % len(voices)], *one, noise) for at, one in enumerate(drawn)]
    for voice in voices:
        voice.close()
    return lines


def dealt(lines: Sequence[Line], calls: int) -> list[list[Line]]:
    """The lines of each caller, in turn; what is withdrawn is withdrawn by whoever asked for it."""
    hands: list[list[Line]] = [[] for _ in range(calls)]
    at = -1
    for line in lines:
        at += line.kind != "withdrawn"
        hands[at % calls].append(line)
    return hands


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def frontier(seed: int, server: str) -> Iterator[list[int]]:
    """The second model's server, and another's behind it where `server` names that; their ports, ours first."""
    model, ports = str(find_talker()), [free_port()]
    commands = [[sys.executable, "-m", "voicebot.evals.evening_frontier", model, str(ports[0]), str(seed)]]
    if server == "llama_cpp":
        ports.append(free_port())
        commands[0].append(str(ports[1]))
        commands.append([sys.executable, "-m", "llama_cpp.server", "--model", model, "--n_ctx", "2048",
                         "--host", "127.0.0.1", "--port", str(ports[1])])  # fmt: skip
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    try:
        yield ports
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def served_by_llama_cpp() -> bool:
    """Whether llama-cpp-python's own server can be started."""
    try:
        import llama_cpp.server.app  # noqa: F401
    except ImportError:
        return False
    return True


async def listening(port: int) -> None:
    """Until the server takes connections. Raises: TimeoutError."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def settings(home: Path, port: int, price_as: str, price: Price, calls: int) -> Config:
    """The shipped settings but for what this run is about."""
    documents = home / "documents"
    documents.mkdir()
    (documents / "house.md").write_text(HANDBOOK, encoding="utf-8")
    url = f"openai://127.0.0.1:{port}/v1?model={price_as}&locality=remote&tls=false&key_env={KEY_ENV}"
    return load_config(
        env={},
        overrides=[
            "profile=embedded", "engines.stt=told://", f"frontier.url={url}", f"documents.dir={documents}",
            f"trace.dir={home / 'traces'}", f"ledger.url=sqlite:///{home / 'ledger.db'}",
            f"ledger.journal_dir={home / 'journal'}", f"server.max_calls={calls}",
            f'ledger.prices={{"{price_as}" = {{input_usd = {price.input_usd}, output_usd = {price.output_usd}}}}}',
        ],
    )  # fmt: skip


async def evening(config: Config, lines: Sequence[Line], calls: int, rng: Random) -> list[EveningCaller]:
    """Have it: `calls` callers at once, the lines dealt out among them."""
    server, ready = VoiceServer(config), asyncio.Event()
    server.on_loaded = ready.set
    async with server.running():
        await ready.wait()
        if server.fault is not None:
            raise server.fault
        callers = [EveningCaller(hand, Random(rng.random())) for hand in dealt(lines, calls)]
        records = []
        for caller in callers:
            with server.calls.slot() as slot:
                records.append(await server.begin(slot, caller))
        for record in records:
            await record.over.wait()
    return callers


# ---- what came of it


def turns_of(caller: EveningCaller) -> list[dict[str, Any]]:
    """Each line with the first sound after it, and whether that was an acknowledgement."""
    ear, told = Ear(caller), []
    wanted = [at for at, event in caller.log if event["type"] == "errand" and event["state"] == "pending"]
    begun = [(at, event) for at, event in caller.log if event["type"] == "turn" and not event["ended"]]
    begun = [(at, event) for at, event in begun if event["heard"]]
    for number, said in enumerate(caller.said):
        until = caller.said[number + 1].start_s if number + 1 < len(caller.said) else math.inf
        start, turn = next(((at, event) for at, event in begun if said.start_s < at < until), (math.nan, {}))
        audible = ear.first_after(start) if start == start else math.nan
        told.append(
            {
                "kind": said.line.kind,
                "text": said.line.text,
                "errand": any(said.start_s < at < until for at in wanted),
                "ms": (audible - said.stop_s) * 1000,
                "stages": {one["name"]: one["stop_ms"] for one in turn.get("waterfall", {}).get("stages", ())},
            }
        )
    return told


def late_answers(caller: EveningCaller) -> list[dict[str, Any]]:
    """Each answer that came by itself: how long after the silence it could use it began, and over whom."""
    ear, ready, asked, told = Ear(caller), dict[int, float](), False, list[dict[str, Any]]()
    for at, event in caller.log:
        if event["type"] == "reply" and event["final"]:
            asked = event["heard"].rstrip().endswith("?")
        if event["type"] == "errand" and event["state"] == "ready":
            ready[event["errand"]] = at
        elif event["type"] == "errand" and event["state"] == "speaking":
            start = ear.first_after(at)
            quiet = max(ready[event["errand"]], ear.last_before(start), ear.last_said(start))
            told.append(
                {"ms": (start - quiet) * 1000, "into_a_line_s": ear.into_a_line(start), "after_a_question": asked}
            )
    return told


def withdrawals(caller: EveningCaller) -> list[dict[str, Any]]:
    """Each "never mind": whether it was said before anything of the answer was heard, and what became of that."""
    told = []
    states = [(at, event["errand"], event["state"]) for at, event in caller.log if event["type"] == "errand"]
    for said in caller.said:
        asked = [errand for at, errand, state in states if at < said.start_s and state == "pending"]
        if said.line.kind != "withdrawn" or not asked:
            continue
        of_it = [(at, state) for at, errand, state in states if errand == asked[-1]]
        heard_s = min((at for at, state in of_it if state == "speaking"), default=math.inf)
        told.append({"in_time": heard_s > said.stop_s, "ended": of_it[-1][1], "heard": heard_s < math.inf})
    return told


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Milliseconds."""
    known = sorted(value for value in values if value == value)
    if not known:
        return {"n": 0}
    at = [known[min(len(known) - 1, round(share * (len(known) - 1)))] for share in (0.5, 0.95)]
    return {"n": len(known), "p50": round(at[0]), "p95": round(at[1]), "max": round(known[-1]),
            "mean": round(statistics.fmean(known))}  # fmt: skip


def report(config: Config, callers: Sequence[EveningCaller], price_as: str, price: Price) -> dict[str, Any]:
    """The document."""
    turns = [turn for caller in callers for turn in turns_of(caller)]
    late = [answer for caller in callers for answer in late_answers(caller)]
    unwanted = [one for caller in callers for one in withdrawals(caller)]
    in_time = [one for one in unwanted if one["in_time"]]
    journal = config.ledger.journal_dir
    assert journal is not None
    with reading(config.ledger.url, journal, Prices()) as books:
        rows = [list(part) for part in (books.turns(0), books.attempts(0), books.escalations(0))]
        calls = list(books.export())
    bill = make_bill(*rows, reference=price_as, price=price)
    by_kind: dict[str, Counter[str]] = {}
    for turn in turns:
        by_kind.setdefault(turn["kind"], Counter())["errand" if turn["errand"] else "answered here"] += 1
    return {
        "turns": len(turns),
        "committed": len(rows[0]),
        "without_any_answer": sum(turn["ms"] != turn["ms"] for turn in turns),
        "escalated": sum(turn["errand"] for turn in turns),
        "escalated_share": round(sum(turn["errand"] for turn in turns) / len(turns), 3),
        "acknowledgement_ms": spread([turn["ms"] for turn in turns if turn["errand"]]),
        "answer_ms": spread([turn["ms"] for turn in turns if not turn["errand"]]),
        "slowest": sorted((turn for turn in turns if turn["ms"] == turn["ms"]), key=lambda turn: -turn["ms"])[:SLOWEST],
        "late_answers": {
            "n": len(late),
            "begun_over_the_caller": sum(answer["into_a_line_s"] > TOGETHER_S for answer in late),
            "begun_together_with_the_caller": sum(0 < answer["into_a_line_s"] <= TOGETHER_S for answer in late),
            "ms_after_the_silence": spread([answer["ms"] for answer in late if not answer["after_a_question"]]),
            "after_a_question_ms": spread([answer["ms"] for answer in late if answer["after_a_question"]]),
        },
        "withdrawn": {
            "n": len(unwanted),
            "before_the_answer": len(in_time),
            "of_those_cancelled": sum(one["ended"] == "cancelled" for one in in_time),
            "of_those_heard": sum(one["heard"] for one in in_time),
        },
        "errands_ended": dict(Counter(row["outcome"] or "open" for row in rows[2])),
        "by_kind": {kind: dict(counts) for kind, counts in by_kind.items()},
        "answered_by": dict(Counter(str(row["answered_by"] or "tool or nobody") for row in rows[0])),
        "reasons": dict(Counter(str(row["reason"]) for row in rows[0]).most_common()),
        "sent_out": dict(Counter(str(one["outcome"]) for call in calls for one in call["egress"])),
        "bill": {**bill.total.document(), "reference": price_as, "escalated_why": dict(bill.why)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted evening against the whole server.")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--calls", type=int, default=4, help="callers at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--price-as", default="gpt-5", help="the frontier's price, and the bill's reference")
    parser.add_argument("--server", choices=("ours", "llama_cpp"), default="ours", help="what serves the second model")
    parser.add_argument("--out", type=Path, help="write the document there too")
    given = parser.parse_args()
    rng = Random(given.seed)
    price = Prices().price(given.price_as, "openai://api.openai.com/v1")
    if price is None:
        parser.error(f"no price is known for {given.price_as}")
    if given.server == "llama_cpp" and not served_by_llama_cpp():
        parser.error("llama_cpp.server is not installed; pip install 'llama-cpp-python[server]'")
    os.environ.setdefault(KEY_ENV, "none")
    DRIVERS["stt", "told"] = f"{ToldStt.__module__}:{ToldStt.__name__}"
    lines = ToldStt.lines = recorded(draw(given.turns, rng))
    with tempfile.TemporaryDirectory() as folder, frontier(given.seed, given.server) as ports:
        config = settings(Path(folder), ports[0], given.price_as, price, given.calls)

        async def run() -> list[EveningCaller]:
            for port in ports:
                await listening(port)
            return await evening(config, lines, given.calls, rng)

        document = {"frontier": given.server} | report(config, asyncio.run(run()), given.price_as, price)
    text = json.dumps(document, indent=2)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
