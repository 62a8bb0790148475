"""ICE consent in virtual time, against a network that loses questions and answers."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import aioice
import pytest
from aioice.stun import RETRY_RTO, TransactionTimeout

from tests.virtual_time import run
from voicebot.transports.webrtc_consent import keep_consent


class Network:
    """One pair of addresses; each question and its answer come through with the chance `through`."""

    def __init__(self, seed: int, through: float) -> None:
        self.through = through
        self._random = Random(seed)

    async def request(self, message: Any, addr: Any, integrity_key: bytes, retransmissions: int) -> None:
        wait_s = RETRY_RTO
        for _ in range(1 + retransmissions):
            if self._random.random() < self.through**2:
                return
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise TransactionTimeout


class Connection(aioice.Connection):
    """Connected already, over `network`."""

    def __init__(self, network: Network) -> None:
        super().__init__(ice_controlling=False)
        self.remote_username, self.remote_password = "user", "password"
        pair: Any = SimpleNamespace(protocol=network, remote_addr=("192.0.2.1", 5000), component=1)
        self._nominated[1] = pair
        self.closed_s: float | None = None

    async def close(self) -> None:
        self.closed_s = asyncio.get_running_loop().time()


async def closed_after(connection: Connection, limit_s: float) -> float | None:
    asking = asyncio.create_task(connection.query_consent())
    await asyncio.wait({asking}, timeout=limit_s)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return connection.closed_s


def kept(through: float, seed: int) -> Connection:
    connection = Connection(Network(seed, through))
    keep_consent(connection)
    return connection


@pytest.mark.parametrize("seed", range(5))
def test_a_call_of_an_hour_outlives_a_network_that_loses_a_quarter_of_all_packets(seed: int) -> None:
    async def main() -> None:
        assert await closed_after(kept(0.75, seed), 3600.0) is None

    run(main())


def test_aioice_alone_ends_such_a_call_within_the_hour() -> None:
    """If this fails, aioice asks better now, and our asking may go."""

    async def main() -> None:
        ended = [await closed_after(Connection(Network(seed, 0.75)), 3600.0) is not None for seed in range(5)]
        assert any(ended)

    run(main())


def test_a_far_side_that_is_gone_is_given_up_after_half_a_minute() -> None:
    async def main() -> None:
        closed = await closed_after(kept(0.0, 1), 120.0)
        assert closed is not None and 30.0 <= closed <= 40.0

    run(main())


def test_a_machine_that_stood_still_for_a_minute_asks_again_before_it_gives_up() -> None:
    async def main() -> None:
        connection = kept(1.0, 1)
        asking = asyncio.create_task(connection.query_consent())
        await asyncio.sleep(7.0)
        connection._nominated[1].protocol.through = 0.0  # type: ignore[attr-defined]
        loop: Any = asyncio.get_running_loop()
        loop._jump.now += 60.0
        await asyncio.sleep(8.0)
        assert connection.closed_s is None
        connection._nominated[1].protocol.through = 1.0  # type: ignore[attr-defined]
        await asyncio.sleep(120.0)
        assert connection.closed_s is None
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    run(main())
