"""End of turn by the words and the sound together: a logistic combination of `text://` and `smart://`.

P = sigmoid(text_weight * logit(text) + smart_weight * logit(smart) + bias). The default weights and what they were
fitted on are in `models/turn/README.md`.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from voicebot.engines.base import Locality, Pcm
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.turn_smart import SmartTurn
from voicebot.engines.turn_text import TextTurn, log_odds, sigmoid

SUREST = 0.001
"""A model that is surer than this is taken to be this sure: one of the two may not silence the other."""


class FusedTurn:
    """`fused://` for the pulled Smart Turn and the shipped text model, `fused:///path/smart.onnx?text=/path/x.npz`."""

    locality: Locality = "local"
    max_concurrency = 1
    wants_audio = True

    class Options(DriverOptions):
        text: str = ""
        """File of the text model; "" for the shipped one."""
        prior: float = Field(0.75, gt=0, lt=1)
        """As for `text://`."""
        text_weight: float = Field(1.0, ge=0, le=10)
        smart_weight: float = Field(0.5, ge=0, le=10)
        bias: float = Field(0.0, ge=-10, le=10)

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._text = TextTurn(replace(spec, target=options.text), TextTurn.Options(prior=options.prior))
        self._smart = SmartTurn(spec, SmartTurn.Options())

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        self._text.load()
        self._smart.load()

    def close(self) -> None:
        self._text.close()
        self._smart.close()

    def end_probability(self, pcm: Pcm, text: str) -> float:
        by_text = _bounded_logit(self._text.end_probability(pcm, text))
        by_sound = _bounded_logit(self._smart.end_probability(pcm, text))
        options = self._options
        return sigmoid(options.text_weight * by_text + options.smart_weight * by_sound + options.bias)


def _bounded_logit(probability: float) -> float:
    return log_odds(min(1 - SUREST, max(SUREST, probability)))
