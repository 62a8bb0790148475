"""The operator's folder: what is read, what is noticed, what is said of a file that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicebot.documents import Documents
from voicebot.errors import ConfigError


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
    hits = documents.search(question, 1)
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
