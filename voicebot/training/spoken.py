"""What callers say that bare commands lack: answers, greetings, and sentences that end in a preposition or a verb.

"What can you do", "where are you from" and "i think so too" are whole, whatever their last word is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

_CHOICE = re.compile(r"\{([^}]*)\}")

ANSWERS = tuple(
    " ".join(answer.split())
    for answer in """
    hello|hi|hi there|hey there|good morning|good evening|yes|yes please|yeah|yep|yes it is|yes i do|no|
    no thanks|no thank you|nope|no i do not|not really|okay|ok|sure|maybe|i think so|i do not know|
    i am not sure|right|correct|that is right|that is all|that is it|nothing else|thanks|thank you|
    thank you very much|great|perfect|stop|wait|hold on|never mind|cancel|help|goodbye|bye|bye bye|sorry|pardon|
    what|why|why not|who|when|where|how much|how many|how long|how far|say that again|say it again|
    one more time|turn it up|turn it off|read it again|tomorrow|today|tonight|next week|ten minutes|five|twenty|
    at noon|nine thirty|seven in the morning|two hours|tell me who you are|can you guess what this is|is it on|
    what time does it start at|how does that work|what do you think it is|who do you think you are|
    where does it come from|what does it start with|who did you talk to|what is it made of|
    do you know where it is|i do not know what it is|which one is it in|what are you waiting for|what else|
    anything else|what about me|and you|me too|what for|where to|since when|who with|yes please do|
    of course you can|what is that|what was that|where was it|who is that|what are those|how are you doing
    """.split("|")
)

PATTERNS = (
    "{|and |so }what {can|could|should|would|will|do|did} {you|i|we|they} {do|say|eat|wear|think|need}",
    "{|and |so }what {can|could|should|would|will|do|did} {you|i|we|they} {mean|know|see|use|like}",
    "what {else |}{can|could|should} {you|i|we} {do|try|ask for|look at|talk about}",
    "what would you {do|say|recommend|suggest|like|pick|do then|have done}",
    "what did i {ask you to do|ask for|just say|tell you|say|ask you|want to do|have to do}",
    "what do i {have|have to do|need|need to do|owe|want|look like}",
    "what {is|was} i {supposed to do|looking for|talking about}",
    "where {do|did} {you|they|we|i} {live|go|come from|work|stay|put it}",
    "where {are|were} {you|they|we} {from|at|going|going to|coming from|now}",
    "where {is|was} {it|that|this|he|she} {from|at|coming from|now|}",
    "{what|who} {is|was} {it|this|that} {for|about|from|with|like}",
    "{what|who} is {it|this|that} {called|made for|good for|used for|known for|based on|named after}",
    "what are {you|they|we} {up to|made of|good at|waiting for|talking about|looking for|thinking of|doing|for|about}",
    "who {are|were} you {with|talking to|looking at|thinking about|named after|again}",
    "how {do|did} {you|i|we|they} {do|do that|do it|know|know that|get in|get there|turn it on|log in}",
    "how does {it|that|this} {work|sound|look|feel|go|end}",
    "how {old|tall|far|big|smart|good|long|late|fast} {are you|is it|is that|was it}",
    "what {does|did} {it|that|he|she|this} {look like|sound like|mean|do|say|cost|run on|come with|consist of}",
    "{yes|no|yeah|sure|of course|well} {i|you|we|they} {do|did|can|could|will|would|should|have}",
    "{yes|no|yeah|of course} {it|that|he|she} {is|was|does|did|will|would|has|can}",
    "{yes|yeah|sure} {i am|you are|we are|they are|i was|you were}",
    "{|no |well |yeah } {i|you|we|they} {don't|can't|won't|didn't|couldn't|wouldn't|haven't|do not|cannot|will not}",
    "{|no |yes }{it|that|he|she} {isn't|wasn't|doesn't|didn't|won't|is not|was not}",
    "i {think|hope|guess|believe|suppose} {so|so too|not|you are|you can|it is|i do|i am|i can|i should|we will}",
    "{i|you|we|they} {do|did|can|will|would|should} too",
    "{do|did|can|could} you {know|remember|tell me|see|guess} {who i am|who you are|where i am|what it is}",
    "{do|did|can|could} you {know|remember|tell me|see|guess} what that is",
    "{do you know|tell me|i wonder|can you say} {how it works|what i mean|what it was|what i said}",
    "{do you know|tell me|i wonder|can you say} {where they are|who did}",
    "i {don't know|am not sure|have no idea|forgot|do not care} {what it is|what that is|who you are}",
    "i {don't know|am not sure|have no idea|forgot|do not care} {what to do|what to say}",
    "i {don't know|am not sure|forgot} {where it is|where to go|which one it is|how to do it|when it was}",
    "i {don't know|am not sure|forgot} how old it is",
    "that is {all|what|everything|not what} i {asked for|wanted|need|meant|was looking for|was thinking of|know|said}",
    "which {one|of them} {do you like|is it|should i take|would you pick|are you talking about|did you mean|is better}",
    "what {kind|sort} of {music|food|movies|books|things|jokes} {do you like|are you into|do you know|can you do}",
    "what {city|room|country|state|year|language} {are you in|am i in|is it in|is that in|is this in|are we in}",
    "what {day|time|date|channel} {is it on|does it start at|is it at|was it on|are we on|do you go by}",
    "{is|was} {it|that|this|he|she} {on|in|off|over|up|you|so|for me}",
    "{turn|switch} {it|that|them|the light|the music} {on|off|up|down}",
    "{who|what|which one} {made|built|trained|called|named} {you|it|that|this}",
    "what do you {mean|mean by that|think|think of it|think about it|want|call it|do for fun|work on|run on}",
    "what is {two|three|four|five|six|seven|nine|ten|twelve} {times|plus|minus|divided by} {eight|two|four}",
    "{|what's }{six|seven|eight|nine|eleven} {times|plus|minus|and} {eight|two|four}",
    "{what|how} about {you|me|it|that one|now|then}",
)
"""Each with all its choices is a set of whole sentences."""


def expanded(pattern: str) -> Iterator[str]:
    """Every sentence of a pattern: "{a|b} c" is "a c" and "b c"."""
    parts = _CHOICE.split(pattern)
    choices = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    for chosen in product(*choices):
        yield " ".join("".join(chosen).split())


def sentences() -> list[str]:
    """All sentences of the patterns, each once, in their order."""
    return list(dict.fromkeys(sentence for pattern in PATTERNS for sentence in expanded(pattern)))
