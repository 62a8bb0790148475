"""The table of what each telephone bridge can do, filled by trying it: two real servers, a simulated carrier a vendor.

    python -m tests.carriers.table [--write] [--at-once N] [VENDOR ...]

Engines are scripted, so that words and times are exact. `--write` keeps the table in docs/telephony/table.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.carriers.trials import MS_PER_CHAR, REPLY, SECRETS, Row, Site, VendorApi, try_vendor
from tests.carriers.vendors import VENDORS, Vendor
from tests.cli.server import running_server

FILE = Path(__file__).resolve().parents[2] / "docs" / "telephony" / "table.md"
ENGINES = (
    "engines.vad=scripted://",
    "engines.stt=scripted://?text=what+time+is+it",
    f"engines.llm=scripted://?reply={REPLY.replace(' ', '+')}",
    f"engines.tts=scripted://?ms_per_char={MS_PER_CHAR}",
)
CALL_LIMIT_S = 3
HEAD = """# What each bridge does, tried

Filled by `python -m tests.carriers.table --write`: a real server, real sockets on one machine, and a simulated carrier
for each vendor, made from its documentation. Engines are scripted: a tone of 60 ms a letter is the voice, so that the
words heard are known exactly. No live trunk has been called.

- **talk**: from the last sample of speech sent to the first sample of the answer heard.
- **clear**: from the first sample of the interrupting speech to the last of the answer that was heard. The answer
  is paused as soon as it can be told that somebody speaks.
- **words**: how many more words the server believes were heard than were, after the interruption.

"""
TITLES = ("vendor", "talk", "DTMF in", "clear", "words", "hang-up", "bad signature or token", "garbage survived")


@contextmanager
def site(home: Path, api: VendorApi) -> Iterator[Site]:
    ports = _free_ports(3)
    closed = f"http://127.0.0.1:{ports[0]}"
    apis = [f"telephony.{name}.api_url={api.url}" for name in ("twilio", "telnyx", "plivo")]
    settings = (f"telephony.public_url={closed}", f"telephony.audiosocket.port={ports[1]}", *apis)
    (home / "open").mkdir()
    (home / "closed").mkdir()
    open_ports = (f"telephony.audiosocket.port={ports[2]}", "server.max_calls=50")
    limit = (f"server.call_limit_s={CALL_LIMIT_S}", "server.max_calls=50")
    with (
        running_server(home / "open", *ENGINES, *open_ports) as open_url,
        running_server(
            home / "closed", *ENGINES, *settings, *limit, port=ports[0], env=os.environ | SECRETS
        ) as closed_url,
    ):
        yield Site(open_url.replace("localhost", "127.0.0.1"), ports[2], _numeric(closed_url), ports[1], api)


def _numeric(url: str) -> str:
    return url.replace("localhost", "127.0.0.1")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


async def fill(vendors: Sequence[Vendor], at_once: int) -> list[Row]:
    """A row for each; `at_once`: how many vendors' calls go on at the same time."""
    api = VendorApi()
    turn = asyncio.Semaphore(at_once)

    async def one(vendor: Vendor, here: Site) -> Row:
        async with turn:
            return await try_vendor(vendor, here)

    async with api.running():
        with tempfile.TemporaryDirectory() as home, site(Path(home), api) as here:
            return list(await asyncio.gather(*(one(vendor, here) for vendor in vendors)))


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(TITLES) + " |", "|---" * len(TITLES) + "|"]
    for row in rows:
        cells = (
            row.vendor,
            _ms(row.talk_ms),
            {True: "yes", False: "WRONG", None: "the dialplan's"}[row.digits],
            _ms(row.clear_ms),
            "–" if row.word_error is None else f"{row.word_error:+d}" if row.word_error else "0",
            row.hang_up or "–",
            row.refused or "LET IN",
            row.survived or "NO",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vendors", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--at-once", type=int, default=3)
    given = parser.parse_args()
    chosen = [vendor for vendor in VENDORS if not given.vendors or vendor.name in given.vendors]
    rows = asyncio.run(fill(chosen, given.at_once))
    sys.stdout.write(table(rows))
    for row in rows:
        sys.stdout.writelines(f"{row.vendor}: {fault}\n" for fault in row.faults)
    if given.write:
        FILE.write_text(HEAD + table(rows), encoding="utf-8")
    return int(any(row.faults for row in rows))


if __name__ == "__main__":
    sys.exit(main())
