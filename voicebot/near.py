"""Whether whoever asks is on this machine: what is open to its own programs alone rests on it.

A peer that is loopback proves little: behind a reverse proxy on the same machine everybody's is. So the name that is
asked for must be loopback too, and nothing may say that a proxy stands between.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def on_this_machine(connection: HTTPConnection) -> bool:
    """Peer and name are loopback, and no proxy is told of."""
    headers = connection.headers
    peer = connection.client.host if connection.client else ""
    between = any(name in headers for name in PROXY_HEADERS)
    return not between and is_loopback(peer) and is_loopback(_host(headers.get("host", "")))


def is_own_page(connection: HTTPConnection) -> bool:
    """Not a web page that another server has sent."""
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def is_loopback(host: str) -> bool:
    """Of a name or an address."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _host(header: str) -> str:
    """The name or address in a Host header; "" where there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
