# syntax=docker/dockerfile:1
# Two stages: the first compiles llama-cpp-python and installs everything into /app/.venv, the second runs it.
# A build for other machines than this one: --build-arg CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF"

FROM python:3.12-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
ARG CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF"
ENV CMAKE_ARGS=${CMAKE_ARGS} UV_LINK_MODE=copy
RUN pip install --no-cache-dir uv && uv venv .venv
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python .venv/bin/python --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY voicebot voicebot
COPY models models
COPY web web
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python .venv/bin/python --no-deps --editable .

FROM python:3.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 voicebot \
    && install -d -o voicebot /var/lib/voicebot
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH VOICEBOT_HOME=/var/lib/voicebot
USER voicebot
VOLUME /var/lib/voicebot
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["voicebot"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
