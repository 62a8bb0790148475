"""How well the documents are searched: `python -m voicebot.evals.documents [--embed MODEL]`.

A written handbook (`data/handbook.md`), questions that it answers in other words, questions about the same house that
it does not answer, and questions about anything else (`data/handbook.jsonl`); the unseen ones were written when all was
decided. What would be answered, from which passage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from voicebot.brain.jobs import CANDIDATES
from voicebot.config import load_config
from voicebot.documents import Documents, documents_of
from voicebot.evals.router import wilson
from voicebot.profiles import models_dir

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True, slots=True)
class Question:
    """`kind`: "same words", "other words", "near" or "far"; `title`: the heading that answers it, "" for none."""

    text: str
    kind: str
    title: str = ""


def read_questions() -> list[Question]:
    return [Question(**json.loads(line)) for line in (DATA / "handbook.jsonl").read_text("utf-8").splitlines()]


async def answered(documents: Documents, question: Question, extractive: bool) -> str | None:
    """The heading that it would be answered from; None: it is not there. As `brain.jobs.Retrieve` decides."""
    far = documents.sure if extractive else documents.least
    hits = await documents.search(question.text, CANDIDATES)
    return next((hit.passage.title for hit in hits if hit.coverage >= documents.least or hit.meaning >= far), None)


async def report(documents: Documents, questions: Sequence[Question]) -> dict[str, Any]:
    """Kind -> how many are answered, and how many of them from the right passage, for both kinds of reader."""
    told: dict[str, Any] = {}
    for reader in ("spoken as it is", "read by a model first"):
        told[reader] = {}
        for kind in dict.fromkeys(one.kind for one in questions):
            asked = [one for one in questions if one.kind == kind]
            found = [await answered(documents, one, reader == "spoken as it is") for one in asked]
            right = sum(bool(one.title) and one.title in (title or "") for one, title in zip(asked, found, strict=True))
            some = sum(title is not None for title in found)
            told[reader][kind] = {"n": len(asked), "answered": some, "answered_95": wilson(some, len(asked)),
                                  "rightly": right}  # fmt: skip
    return told


async def measure(embed: str) -> dict[str, Any]:
    """By words alone, and by meaning too where `embed` names a model."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "handbook.md").write_bytes((DATA / "handbook.md").read_bytes())
        told: dict[str, Any] = {}
        for name in dict.fromkeys(["", embed]):
            overrides = [f"documents.dir={folder}", f"documents.embed='{name}'"]
            documents = documents_of(load_config(env={}, overrides=overrides), models_dir())
            assert documents is not None, "the folder was set"
            try:
                await documents.load()
                await documents.embed()
                told[documents.how] = await report(documents, read_questions())
            finally:
                await documents.aclose()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description="How well the documents are searched.")
    parser.add_argument("--embed", default="", help="a sentence model: its folder, or the name of a pulled one")
    sys.stdout.write(json.dumps(asyncio.run(measure(parser.parse_args().embed)), indent=2) + "\n")


if __name__ == "__main__":
    main()
