"""The operator's folder: what is read, what is noticed, what is said of a file that cannot be read."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tiny import write_sentences
from voicebot.brain.meanings import unrelated
from voicebot.brain.passages import best_sentences
from voicebot.config import load_config
from voicebot.documents import Documents, documents_of
from voicebot.engines.sentences import SentenceEngine
from voicebot.errors import ConfigError, EngineUnavailable
from voicebot.lane import Lane
from voicebot.vectors import Vectors


def pdf(text: str) -> bytes:
    """A PDF of one page with one line."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + table + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "hours.md").write_text("# Hours\n\nThe kitchen opens at seven.\n")
    (tmp_path / "sub" / "fees.txt").write_text("A parking space costs twelve euros.\n")
    (tmp_path / "pets.pdf").write_bytes(pdf("Dogs are welcome for fifteen euros."))
    (tmp_path / "photo.jpg").write_bytes(b"no text")
    return tmp_path


def found(documents: Documents, question: str) -> str:
    hits = asyncio.run(documents.search(question, 1))
    return hits[0].passage.source if hits else ""


def test_markdown_text_and_pdf_are_read_in_all_folders(folder: Path) -> None:
    documents = Documents(folder)
    assert documents.scan()
    assert documents.files == {"hours.md": 1, "pets.pdf": 1, "sub/fees.txt": 1}
    assert found(documents, "when does the kitchen open") == "hours.md"
    assert found(documents, "are dogs welcome") == "pets.pdf"
    assert found(documents, "what does parking cost") == "sub/fees.txt"


def test_what_changed_is_read_again_what_is_gone_is_forgotten_and_nothing_else_is_touched(folder: Path) -> None:
    documents = Documents(folder)
    documents.scan()
    before = documents.index
    assert not documents.scan() and documents.index is before
    (folder / "hours.md").write_text("# Hours\n\nThe sauna opens at nine.\n")
    os.utime(folder / "hours.md", ns=(1, 1))
    (folder / "pets.pdf").unlink()
    (folder / "new.txt").write_text("Breakfast is served on the terrace.\n")
    assert documents.scan()
    assert found(documents, "when does the sauna open") == "hours.md"
    assert found(documents, "is there breakfast on the terrace") == "new.txt"
    assert found(documents, "are dogs welcome") == ""


def test_a_file_that_cannot_be_read_is_named_and_the_others_serve(folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "latin.txt").write_bytes("Gr\xfc\xdfe".encode("latin-1"))
    documents = Documents(folder)
    documents.scan()
    assert set(documents.problems) == {"broken.pdf", "latin.txt"}
    assert found(documents, "when does the kitchen open") == "hours.md"
    (folder / "latin.txt").write_text("Greetings to everybody.\n")
    documents.scan()
    assert set(documents.problems) == {"broken.pdf"}


def test_a_folder_that_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        Documents(tmp_path / "none").scan()


# ---- by meaning

HOUSE = """# Rules

You may terminate the contract within four weeks. A letter is enough.

# Garden

Vegetables grow behind the shed.
"""
PARAPHRASE = "quit agreement inside one month"
"""No word of it is in the house's rules, and it means their first sentence."""
LIKE = {"quit": "terminate", "agreement": "contract", "inside": "within", "month": "weeks"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A pulled sentence model that knows the house's words, and some that mean the same."""
    words = {word.strip(".") for word in (HOUSE + " ".join(unrelated())).split()} - {"#", ""}
    write_sentences(tmp_path / "models" / "router" / "tiny", words, 64, LIKE)
    return tmp_path / "models"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "rules.md").write_text(HOUSE)
    return tmp_path / "house"


def by_meaning(house: Path, models: Path, work: Callable[[Documents], Awaitable[Any]]) -> Any:
    """What `work` makes of the documents, read with the model."""

    async def main() -> Any:
        documents = Documents(house, Vectors(Lane(SentenceEngine("tiny", models)), models.parent / "vectors", "house"))
        try:
            await documents.load()
            await documents.embed()
            return await work(documents)
        finally:
            await documents.aclose()

    return asyncio.run(main())


def test_a_question_in_other_words_is_found_by_its_meaning_and_its_sentence_is_spoken(
    house: Path, models: Path
) -> None:
    words = Documents(house)
    words.scan()
    assert words.index.search(PARAPHRASE) == [] and asyncio.run(words.covers(PARAPHRASE)) == 0.0

    async def work(documents: Documents) -> None:
        hit = (await documents.search(PARAPHRASE))[0]
        assert hit.passage.title == "Rules" and hit.coverage == 0.0 and hit.meaning >= documents.sure
        assert best_sentences(hit) == "You may terminate the contract within four weeks."
        assert await documents.covers(PARAPHRASE) == hit.meaning
        same = (await documents.search("terminate the contract"))[0]
        assert same.passage.title == "Rules" and same.coverage == 1.0

    by_meaning(house, models, work)


def test_what_is_not_there_stays_so_by_meaning_too(house: Path, models: Path) -> None:
    async def work(documents: Documents) -> None:
        asked = [*unrelated(), "zzz qqq"]
        covered = [await documents.covers(question) for question in asked]
        assert sum(share >= documents.least for share in covered) <= 0.05 * len(asked) + 1
        assert sum(share >= documents.sure for share in covered) <= 0.02 * len(asked) + 1
        assert covered[-1] == 0.0

    by_meaning(house, models, work)


def test_vectors_are_made_once_and_again_only_of_what_has_changed(house: Path, models: Path) -> None:
    async def first(documents: Documents) -> int:
        assert documents.vectors is not None
        return documents.vectors.made

    async def then(documents: Documents) -> tuple[int, int]:
        assert documents.vectors is not None
        before = documents.vectors.made
        (house / "rules.md").write_text(HOUSE.replace("behind the shed", "behind glass"))
        (house / "new.md").write_text("Bees hum.\n")
        documents.scan()
        assert documents.index.meanings is None, "until they are made, words alone serve"
        await documents.embed()
        assert (await documents.search(PARAPHRASE))[0].meaning >= documents.sure
        return before, documents.vectors.made

    assert by_meaning(house, models, first) == 2 + len(set(unrelated()))
    assert by_meaning(house, models, then) == (0, 2)
    (kept,) = (models.parent / "vectors").iterdir()
    assert kept.stat().st_mode & 0o077 == 0 and b"contract" not in kept.read_bytes()


def test_vectors_that_are_broken_or_another_models_are_made_again(
    house: Path, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def made(documents: Documents) -> int:
        assert documents.vectors is not None
        return documents.vectors.made

    whole = by_meaning(house, models, made)
    (kept,) = (models.parent / "vectors").iterdir()
    kept.write_bytes(b"PK nonsense")
    assert by_meaning(house, models, made) == whole and "made again" in caplog.text
    write_sentences(models / "router" / "other", {"terminate"}, 8)
    (models / "router" / "tiny").rename(models / "router" / "before")
    (models / "router" / "other").rename(models / "router" / "tiny")
    assert by_meaning(house, models, made) == whole
    assert len(list((models.parent / "vectors").iterdir())) == 2


def test_a_model_that_fails_leaves_the_words(house: Path, models: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(documents: Documents) -> None:
        assert documents.vectors is not None
        documents.vectors.lane.engine.close()
        assert [hit.passage.title for hit in await documents.search("terminate the contract")] == ["Rules"]
        assert await documents.covers("terminate the contract") == 1.0

    with caplog.at_level(logging.WARNING):
        by_meaning(house, models, work)
    assert "by words alone" in caplog.text and "contract" not in caplog.text


def settings(house: Path, *more: str) -> Any:
    return load_config(env={}, overrides=[f"documents.dir={house}", *more])


def test_a_pulled_model_is_used_by_itself_a_named_one_must_be_there_and_none_is_words_alone(
    house: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path / "home"))

    def how(models_dir: Path, *more: str) -> str:
        documents = documents_of(settings(house, *more), models_dir)
        assert documents is not None
        return documents.how

    assert how(models) == "words and meaning (sentences tiny)"
    assert how(tmp_path) == how(models, "documents.embed=''") == "words"
    missing = documents_of(settings(house, "documents.embed=nowhere"), models)
    assert missing is not None
    with pytest.raises(EngineUnavailable, match=r"no model\.onnx in nowhere; .*voicebot models pull"):
        asyncio.run(unloaded(missing))
    assert documents_of(load_config(env={}), models) is None


async def unloaded(documents: Documents) -> None:
    try:
        await documents.load()
    finally:
        await documents.aclose()


def test_the_watch_makes_vectors_after_the_first_scan_and_after_a_change(
    house: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebot.documents.SCAN_S", 0.01)

    async def main() -> None:
        documents = Documents(house, Vectors(Lane(SentenceEngine("tiny", models)), models.parent / "vectors", "house"))
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            watch = group.create_task(documents.watch())
            await documents.load()
            while documents.index.meanings is None:
                await asyncio.sleep(0.005)
            (house / "new.md").write_text("Bees hum.\n")
            while len(documents.index) == 2 or documents.index.meanings is None:
                await asyncio.sleep(0.005)
            watch.cancel()
        await documents.aclose()

    asyncio.run(main())
