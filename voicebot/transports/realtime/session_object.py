"""The session object as clients see it: what holds, not what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voicebot.transports.realtime.settings import BETA_FORMATS, SessionSettings


@dataclass(frozen=True, slots=True)
class About:
    """What answers here, by the names that the session object shows."""

    model: str = "voicebot"
    voice: str = "default"
    recogniser: str = "default"
    member: str = ""
    """The member of the fleet that the client named as its model; "" for the router's choice."""


def shown(settings: SessionSettings, about: About, session_id: str, expires_at_s: int) -> dict[str, Any]:
    """The object as it is now. `expires_at_s`: Unix time."""
    audio = settings.audio
    detection, transcription = audio.input.turn_detection, audio.input.transcription
    heard = {"model": about.recogniser, "language": transcription.language, "prompt": None} if transcription else None
    return {
        "object": "realtime.session",
        "type": "realtime",
        "id": session_id,
        "model": about.model,
        "expires_at": expires_at_s,
        "output_modalities": list(settings.output_modalities),
        "instructions": settings.instructions,
        "tools": [tool.model_dump() for tool in settings.tools],
        "tool_choice": settings.tool_choice,
        "max_output_tokens": settings.max_output_tokens,
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": audio.input.format.shown(),
                "transcription": heard,
                "noise_reduction": None,
                "turn_detection": detection.model_dump() if detection else None,
            },
            "output": {"format": audio.output.format.shown(), "voice": about.voice, "speed": 1.0},
        },
    }


def shown_to_beta(session: dict[str, Any]) -> dict[str, Any]:
    """The same for a client that knows the beta names."""
    names = {kind: name for name, kind in BETA_FORMATS.items()}
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    kept = ("object", "id", "model", "expires_at", "instructions", "tools", "tool_choice")
    return {key: session[key] for key in kept} | {
        "modalities": ["audio", "text"] if session["output_modalities"] == ["audio"] else ["text"],
        "voice": spoken["voice"],
        "speed": spoken["speed"],
        "input_audio_format": names[heard["format"]["type"]],
        "output_audio_format": names[spoken["format"]["type"]],
        "input_audio_transcription": heard["transcription"],
        "input_audio_noise_reduction": None,
        "turn_detection": heard["turn_detection"],
        "max_response_output_tokens": session["max_output_tokens"],
    }
