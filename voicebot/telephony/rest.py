"""Asking a vendor's HTTP interface to do something with a call. Bounded, and a failure is logged, never raised."""

from __future__ import annotations

import logging

import httpx

from voicebot.transports.telephony.rest import RestRequest

log = logging.getLogger(__name__)
TIMEOUT_S = 5.0
OVER = frozenset({404, 410, 422})
"""Statuses of a call that has ended already. Source: Twilio error 20404, Plivo 404, Telnyx error 90018 (422)."""


async def send(request: RestRequest, what: str, over: frozenset[int] = frozenset()) -> bool:
    """Whether it was done. `what`: for the log, with the call's name in it; `over`: statuses that count as done."""
    headers = {"authorization": f"Bearer {request.bearer}"} if request.bearer else {}
    auth = httpx.BasicAuth(*request.user) if request.user else None
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, auth=auth, headers=headers) as client:
            answer = await client.request(request.method, request.url, data=request.form, json=request.body)
    except httpx.HTTPError as error:
        log.warning("%s: %s at %s: %s", what, type(error).__name__, httpx.URL(request.url).host, error)
        return False
    if answer.is_success or answer.status_code in over:
        return True
    log.warning("%s: HTTP %d of %s", what, answer.status_code, httpx.URL(request.url).host)
    return False
