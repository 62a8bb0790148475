"""Every door for clients that speak OpenAI's protocols."""

from __future__ import annotations

from fastapi import FastAPI

from voicebot.api_errors import add_error_handlers
from voicebot.api_keys import Keys
from voicebot.chat_api import chat_routes
from voicebot.realtime_api import realtime_routes
from voicebot.service import VoiceServer


def add_openai_routes(app: FastAPI, server: VoiceServer) -> None:
    """/v1/..., behind one set of keys."""
    keys = Keys(server.config.api.keys_env)
    app.include_router(realtime_routes(server, keys))
    app.include_router(chat_routes(server, keys))
    add_error_handlers(app)
