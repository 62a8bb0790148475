"""What is logged of a fault of ours: where it happened and of which kind, and none of the words that were in it.

An exception's message may hold what a caller has said ("invalid literal: 'my pin is ...'"), and a traceback prints it
together with those of its causes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

FRAMES = 12
"""The innermost ones are shown."""


def outline(error: BaseException) -> str:
    """Kinds and places, one line for each exception of it, its group and its causes, the outermost first."""
    return "\n  ".join(_lines(error))


def _lines(error: BaseException) -> Iterator[str]:
    yield f"{type(error).__name__} at {' < '.join(reversed(_places(error.__traceback__)[-FRAMES:])) or 'no place'}"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _lines(part)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _lines(cause)


def _places(trace: TracebackType | None) -> list[str]:
    """ "voicebot/session.py:120 _drain", from the outermost on."""
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{'/'.join(code.co_filename.split('/')[-2:])}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places
