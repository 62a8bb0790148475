"""The exception tree: every error that crosses a module border is one of these.

    VoicebotError
    ├── ConfigError            a setting, URL or file that the operator must change
    ├── ProtocolError          the far side broke its protocol (carries a WebSocket close code)
    ├── EgressDenied           a message that may not leave this machine (`reason` says why)
    └── EngineError            a speech or language engine failed (`retryable` says if again may help)
        ├── EngineUnavailable  it cannot be loaded or reached
        ├── EngineTimeout      it did not answer in its time
        ├── EngineOverloaded   its queue is full
        └── EngineBadOutput    it answered with something that cannot be used

A message says what failed, with which value, and what to do next.
"""

from __future__ import annotations

from typing import Literal


class VoicebotError(Exception):
    """Root of the tree, so that one `except` at an outermost frame catches all of ours."""


class ConfigError(VoicebotError):
    """A setting, engine URL or file is wrong; the operator must change it."""


class ProtocolError(VoicebotError):
    """The far side sent something that its protocol forbids."""

    def __init__(self, message: str, close_code: int = 1002) -> None:
        """`close_code`: WebSocket close code to end the call with (Source: RFC 6455 section 7.4.1)."""
        super().__init__(message)
        self.close_code = close_code


Refusal = Literal["label", "destination", "redaction", "budget", "record", "permit"]
"""Why nothing is sent: a private message, a host that is not allowed, details that could not be taken out, a cap on
money, a record that could not be written, or a request that went round the gate."""


class EgressDenied(VoicebotError):
    """A message may not leave this machine."""

    def __init__(self, message: str, reason: Refusal = "label") -> None:
        super().__init__(message)
        self.reason = reason


class EngineError(VoicebotError):
    """An engine failed; the call goes on without its answer."""

    retryable = False

    def __init__(self, message: str = "", *, retryable: bool | None = None) -> None:
        """`retryable`: whether again may help; None for what is usual of its kind."""
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable


class EngineUnavailable(EngineError):
    """The engine cannot be loaded or reached."""


class EngineTimeout(EngineError):
    """The engine did not answer in its time."""

    retryable = True


class EngineOverloaded(EngineError):
    """The engine's queue is full; the job was not taken."""

    retryable = True


class EngineBadOutput(EngineError):
    """The engine answered with something that cannot be used."""
