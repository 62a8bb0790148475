from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from voicebot.near import is_own_page, on_this_machine


def asked(peer: str = "127.0.0.1", host: str = "localhost:8080", **headers: str) -> HTTPConnection:
    named = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    listed = [(name.encode(), value.encode()) for name, value in named.items()]
    return HTTPConnection({"type": "http", "client": (peer, 50_000), "headers": listed})


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_a_loopback_peer_that_asks_for_a_loopback_name_is_here(host: str) -> None:
    assert on_this_machine(asked(host=host))
    assert on_this_machine(asked(peer="::ffff:127.0.0.1", host=host))


@pytest.mark.parametrize(
    "connection",
    [
        asked(peer="192.0.2.7"),
        asked(host="bot.example.com"),
        asked(host="localhost.example.com"),
        asked(host=""),
        asked(host="[::1"),
        asked(x_forwarded_for="192.0.2.7"),
        asked(forwarded="for=192.0.2.7"),
        asked(via="1.1 proxy"),
        asked(peer="not an address"),
    ],
    ids=["peer", "name", "look-alike", "no name", "broken name", "proxy", "forwarded", "via", "odd peer"],
)
def test_a_proxy_before_it_or_another_name_is_not(connection: HTTPConnection) -> None:
    assert not on_this_machine(connection)


def test_a_page_is_ours_when_its_origin_is_the_host_that_it_asks() -> None:
    assert is_own_page(asked())
    assert is_own_page(asked(origin="http://localhost:8080"))
    assert not is_own_page(asked(origin="http://localhost:9999"))
    assert not is_own_page(asked(origin="https://elsewhere.example"))
