"""The rules of the house, kept by a test: who imports whom, sizes, no swallowed errors, no traces of a place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "voicebot"
FUNCTION_LINES = 70
FILE_LINES = 400
FILE_BYTES = 40 * 2**20

IMPURE = {
    "asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "time", "datetime", "random", "secrets",
    "os", "pathlib", "shutil", "tempfile", "io", "logging", "socket", "ssl", "selectors", "http", "urllib.request",
    "signal", "queue", "sqlite3",
}  # fmt: skip
"""Standard modules that make a result depend on anything but the arguments."""

LOOP_OF_ITS_OWN = {"http_llm"}
"""Engines block and know no event loop; but a blocking read cannot be cancelled, so these drive a private one."""

OWN_LIBRARIES = {
    "silero": {"onnxruntime", "silero_vad"},
    "whisper": {"faster_whisper", "ctranslate2"},
    "pocketsphinx": {"pocketsphinx"},
    "llamacpp": {"llama_cpp"},
    "llama_c": {"llama_cpp"},
    "llama_grammar": {"llama_cpp"},
    "openai_chat": {"openai"},
    "anthropic_messages": {"anthropic"},
    "piper": {"piper"},
    "piper_graph": {"onnx", "onnxruntime"},
    "espeak": {"espeakng_loader"},
    "moonshine": {"moonshine_voice"},
    "turn_smart": {"onnxruntime"},
    "sentences": {"onnxruntime"},
}
ENGINE_LIBRARIES = set().union(*OWN_LIBRARIES.values())
PURE_BRAIN = {"router", "policy", "confidence", "rollout", "privacy", "prompts", "tools"}
NETWORK = {
    "socket",
    "ssl",
    "httpx",
    "openai",
    "anthropic",
    "websockets",
    "aiortc",
    "fastapi",
    "starlette",
    "uvicorn",
    "requests",
}


@cache
def sources() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module(path: Path) -> str:
    """E.g. "core.turn"."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it. Ours without the leading "voicebot."."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively; write the whole name"
            base = node.module or ""
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base == "voicebot" or is_package(base))


def is_package(name: str) -> bool:
    return name.startswith("voicebot") and (ROOT / Path(*name.split("."))).is_dir()


def ours(path: Path) -> set[str]:
    """Modules of the product that a file imports: "core.turn", "errors"."""
    names = {name.removeprefix("voicebot.") for name in imports(path) if name.startswith("voicebot.")}
    return {name for name in names if (PACKAGE / Path(*name.split("."))).with_suffix(".py").is_file()}


def theirs(path: Path) -> set[str]:
    """Top-level names of the foreign libraries that a file imports."""
    tops = {name.split(".")[0] for name in imports(path)}
    return tops - set(sys.stdlib_module_names) - {"voicebot", "__future__"}


def within(name: str, folders: tuple[str, ...]) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


def layer(path: Path) -> tuple[str, ...] | None:
    """What of the product a file may import; None for no limit but those below."""
    name = module(path)
    wire = within(name, ("transports.telephony",)) and not name.endswith(("socket", "__init__"))
    if within(name, ("core",)):
        return ("core", "errors")
    if wire:
        return ("core", "errors", "transports.telephony")
    if within(name, ("engines",)):
        return ("core", "errors", "engines")
    if within(name, ("transports",)):
        return ("core", "errors", "transports")
    if within(name, ("ledger",)):
        return ("core", "errors", "ledger")
    if name.removeprefix("brain.") in PURE_BRAIN:
        return ("core", "errors", "brain", "engines.base")
    if name == "brain.egress":
        return ("core", "errors", "brain", "engines.base", "engines.remote", "lane")
    if within(name, ("brain",)):
        return ("core", "errors", "brain", "engines.base", "lane")
    if name == "session":
        return ("core", "errors", "engines.base", "transports.base", "brain", "lane", "recorder", "metrics", "hearing",
                "windows", "speaker", "parting", "publisher", "faults")  # fmt: skip
    return None


@pytest.mark.parametrize("path", sources(), ids=module)
def test_a_file_imports_only_the_layers_below_it(path: Path) -> None:
    allowed = layer(path)
    wrong = sorted(name for name in ours(path) if allowed is not None and not within(name, allowed))
    assert not wrong, f"{module(path)} may import {allowed}, not {wrong}"


@pytest.mark.parametrize("path", [p for p in sources() if within(module(p), ("core",))], ids=module)
def test_the_core_is_pure(path: Path) -> None:
    wrong = {name for name in imports(path) if name in IMPURE or name.split(".")[0] in IMPURE}
    assert not wrong, f"{module(path)} imports {sorted(wrong)}; the shell does that"
    foreign = {"numpy", "soxr"} if module(path) == "core.audio" else set()
    assert theirs(path) <= foreign, f"{module(path)} imports {sorted(theirs(path) - foreign)}"


def test_nobody_imports_the_command_line() -> None:
    users = {
        module(p) for p in sources() if not within(module(p), ("cli",)) for name in ours(p) if within(name, ("cli",))
    }
    assert not users


def test_the_ledger_is_used_only_where_things_are_put_together() -> None:
    composers = ("evals.evening", "ledger", "server", "service", "assemble", "frontier", "books", "cli")
    users = [module(p) for p in sources() if any(within(n, ("ledger",)) for n in ours(p))]
    assert [name for name in users if not within(name, composers)] == []


def test_engines_know_no_event_loop_and_only_their_own_library() -> None:
    for path in sources():
        name = module(path)
        own = OWN_LIBRARIES.get(path.stem, set())
        if within(name, ("engines",)):
            loop = "asyncio" in set(imports(path)) and path.stem not in LOOP_OF_ITS_OWN
            assert not loop, f"{name} knows an event loop"
        if not within(name, ("training", "evals", "bench")):
            foreign = theirs(path) & ENGINE_LIBRARIES - (own if within(name, ("engines",)) else set())
            assert not foreign, f"{name} imports {sorted(foreign)}, which another driver owns"


def test_engine_libraries_are_imported_only_when_an_engine_is_loaded() -> None:
    for path in sources():
        if within(module(path), ("engines",)):
            top = {name.split(".")[0] for name in _top_level_imports(tree(path))}
            assert not top & ENGINE_LIBRARIES, f"{module(path)} imports {sorted(top & ENGINE_LIBRARIES)} at the top"


def _top_level_imports(parsed: ast.Module) -> Iterator[str]:
    for node in parsed.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_brain_opens_no_connection_but_in_egress() -> None:
    for path in sources():
        if within(module(path), ("brain",)) and path.stem != "egress":
            assert not NETWORK & {name.split(".")[0] for name in imports(path)}, module(path)


def test_threads_are_crossed_only_in_the_lane() -> None:
    allowed = ("lane", "engines", "cli", "training", "evals", "recorder", "ledger")
    users = [module(p) for p in sources() if "threading" in set(imports(p)) and not within(module(p), allowed)]
    assert not users


def test_init_files_are_empty() -> None:
    full = [str(path) for path in ROOT.glob("voicebot/**/__init__.py") if path.read_text().strip()]
    full += [str(path) for path in ROOT.glob("tests/**/__init__.py") if path.read_text().strip()]
    assert not full


def test_functions_and_files_are_short() -> None:
    long = []
    for path in sources():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            long.append(f"{module(path)}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    long.append(f"{module(path)}.{node.name}: {length} lines")
    assert not long


def test_no_exception_is_swallowed_unseen() -> None:
    silent = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (isinstance(node.type, ast.Name) and "Exception" in node.type.id)
                empty = all(isinstance(part, ast.Pass | ast.Continue) for part in node.body)
                if node.type is None or (broad and empty):
                    silent.append(f"{module(path)}:{node.lineno}")
    assert not silent


def test_nothing_that_serves_calls_logs_an_exceptions_own_words() -> None:
    """They may be a caller's; `faults.outline` tells kind and place."""
    serving = [path for path in sources() if not within(module(path), ("training", "evals", "bench", "cli"))]
    assert [module(path) for path in serving if "log.exception(" in path.read_text(encoding="utf-8")] == []


@cache
def tracked() -> tuple[Path, ...]:
    """What git tracks; the files on disk where there is no git (an unpacked archive)."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def test_no_tracked_file_is_large_and_no_tool_lock_is_committed() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > FILE_BYTES] == []
    assert [str(path) for path in tracked() if path.name == "uv.lock"] == []


HOSTS = ("files.python" + "hosted", "py" + "pi.org", "registry.npm" + "js", "index" + "-url =")
PLACES = re.compile(r"(?<![\w.])/(?:root|home|Users)/\w|(?<![\w./])/work/\w")


def test_no_tracked_file_names_a_package_registry_or_a_place_on_somebodys_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.name}: {host}" for host in HOSTS if host in text]
        found += [f"{path.name}: {match.group()}" for match in PLACES.finditer(text)]
    assert not found
