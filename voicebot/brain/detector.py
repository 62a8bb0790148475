"""The label that a caller's words call for by themselves; when it cannot tell, they stay on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from voicebot.brain.privacy import Verdict, request_in
from voicebot.brain.redaction import Finder, Finding
from voicebot.core.labels import Label

log = logging.getLogger(__name__)

Find = Callable[[str], Sequence[Finding]]


class Detector:
    """Reads each turn for personal details and for requests about privacy. Thread: any, one at a time."""

    def __init__(self, load: Callable[[], Finder] = Finder) -> None:
        """`load`: makes the finder. One that cannot be made is a detector that is down: see `problem`."""
        self.failures = 0
        """Turns kept on this machine because they could not be read."""
        self.problem = ""
        """Why it is down, in words for the operator; "" while it works."""
        self.finder: Finder | None = None
        try:
            self.finder = load()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the library, its words stay here
            self._is_down(f"cannot be loaded: {type(error).__name__}: {error}; install the extra voicebot[privacy]")

    def label_of(self, text: str) -> Verdict:
        """REDACT for personal details, LOCAL_ONLY for "keep this private" and whenever the detector fails."""
        try:
            if self.finder is None:
                raise LookupError("the detector was not loaded")
            request = request_in(text)
            kinds = tuple(sorted({finding.kind for finding in self.finder.find(text)}))
        except Exception as error:  # noqa: BLE001 - fail closed; the text itself goes into no log
            self.failures += 1
            if self.finder is not None:
                self._is_down(f"failed on a turn: {type(error).__name__}")
            return Verdict(Label.LOCAL_ONLY, ("detector down",))
        self.problem = ""
        label = Label.REDACT if kinds else Label.OPEN
        if request == "hold":
            return Verdict(Label.LOCAL_ONLY, ("asked", *kinds), request)
        return Verdict(label, kinds, request)

    def _is_down(self, why: str) -> None:
        """Said once for each new reason."""
        if why != self.problem:
            self.problem = why
            log.error("privacy detector %s; every turn stays on this machine until then", why)
