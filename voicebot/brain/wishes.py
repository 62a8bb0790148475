"""A client's wishes, laid over a member's own prompt and sampling. Pure."""

from __future__ import annotations

from dataclasses import replace

from voicebot.core.wishes import Wishes
from voicebot.engines.base import Message, Sampling


def instructed(messages: list[Message], wishes: Wishes) -> list[Message]:
    """The client's instructions go after the member's own, in the same message: many templates know only one."""
    if not wishes.instructions:
        return messages
    own = [one.text for one in messages[:1] if one.role == "system"]
    return [Message("system", "\n\n".join([*own, wishes.instructions])), *messages[len(own) :]]


def sampled(sampling: Sampling, wishes: Wishes) -> Sampling:
    """The member's sampling as far as the client has no other wish."""
    given = {name: getattr(wishes, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
    wished = {name: value for name, value in given.items() if value is not None}
    return replace(sampling, stop=(*sampling.stop, *wishes.stop), **wished)
