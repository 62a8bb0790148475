"""Whether the far side still wants our packets: ICE consent that a busy machine does not lose. Source: RFC 7675.

aioice asks once every 5 s, waits half a second, and closes the connection after six misses in a row: a loop held up
at the wrong moments, or a network that loses a quarter of its packets, ends a healthy call within the hour. Here each
question is asked three times over 3.5 s, and consent ends 30 s after the last answer (RFC 7675 section 5.1).
"""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial

from aioice import Connection
from aioice.stun import TransactionError

log = logging.getLogger(__name__)
EXPIRES_S = 30.0
ASK_EVERY_S = 2.5
"""As browsers do, which gives fifteen questions before consent has ended."""
REPEATS = 2
"""After half a second and one more second; then two seconds are waited."""
MISSES = 3
"""At least: after a stall that alone was longer than EXPIRES_S the far side is still asked that often."""


def keep_consent(connection: Connection) -> None:
    """Have `connection`, which must not have connected yet, ask our way. It is changed, its class is not."""
    assert asyncio.iscoroutinefunction(getattr(connection, "query_consent", None)), "aioice asks consent elsewhere now"
    connection.query_consent = partial(_ask_while_answered, connection)  # type: ignore[method-assign]


async def _ask_while_answered(connection: Connection) -> None:
    """Returns when consent has ended and the connection is closed."""
    loop = asyncio.get_running_loop()
    answered_s, misses = loop.time(), 0
    while misses < MISSES or loop.time() - answered_s < EXPIRES_S:
        await asyncio.sleep(ASK_EVERY_S * random.uniform(0.8, 1.2))
        if await _ask(connection):
            answered_s, misses = loop.time(), 0
        else:
            misses += 1
    log.info("the far side has not answered for %.0f s: the connection is closed", loop.time() - answered_s)
    connection._query_consent_task = None  # close() would cancel it, which is this task.
    await connection.close()


async def _ask(connection: Connection) -> bool:
    """Whether the far side answered on every pair of addresses in use."""
    assert connection.remote_password is not None
    key = connection.remote_password.encode()
    for pair in list(connection._nominated.values()):
        question = connection.build_request(pair, nominate=False)
        try:
            await pair.protocol.request(question, pair.remote_addr, integrity_key=key, retransmissions=REPEATS)
        except TransactionError:
            return False
    return True
