"""`conduit embed`: a vector for each text, as rows and as files."""

import ast
import json
import struct
from pathlib import Path

import pytest

from conduit.cli.failures import Failure
from conduit.cli.vectors import npy_of
from tests.cli.conftest import Outcome, Shell

EMBED = ("embed", "-m", "simulated-embedding", "--dims", "4")


def test_each_text_has_a_vector_wherever_it_comes_from(
    lonely_shell: Shell, started: Outcome, tmp_path: Path
) -> None:
    told = lonely_shell(*EMBED, "hello", "two words", "--json")
    assert told.code == 0, told.err
    rows = json.loads(told.out)["data"]
    assert [(row["index"], row["text"]) for row in rows] == [(0, "hello"), (1, "two words")]
    assert all(len(row["embedding"]) == 4 for row in rows)
    assert "2 texts, 4 dimensions, 3 tokens" in told.err
    for words in ((), ("-",)):
        piped = lonely_shell(*EMBED, *words, "--json", stdin="hello\n")
        assert json.loads(piped.out)["data"] == rows[:1]
    lines = tmp_path / "texts.jsonl"
    lines.write_text('"hello"\n\n{"text": "two words"}\n')
    assert json.loads(lonely_shell(*EMBED, "--file", str(lines), "--json").out)["data"] == rows
    plain = tmp_path / "texts.txt"
    plain.write_text("hello\ntwo words\n")
    assert json.loads(lonely_shell(*EMBED, "--file", str(plain), "--json").out)["data"] == rows
    out = tmp_path / "vectors.jsonl"
    written = lonely_shell(*EMBED, "--file", str(plain), "--out", str(out))
    assert (written.code, written.out) == (0, "")
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    assert out.stat().st_mode & 0o777 == 0o600
    assert lonely_shell(*EMBED, "x", "--out", str(out)).code == 2  # it is there already
    matrix = tmp_path / "vectors.npy"
    assert lonely_shell(*EMBED, "--file", str(plain), "--out", str(matrix)).code == 0
    assert matrix.read_bytes() == npy_of([row["embedding"] for row in rows])


def test_more_texts_than_a_request_takes_are_sent_in_several(
    lonely_shell: Shell, started: Outcome, tmp_path: Path
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"text {number}\n" for number in range(300)))
    rows = lonely_shell(*EMBED, "--file", str(file), "-o", "jsonl").out.splitlines()
    assert [json.loads(row)["index"] for row in rows] == list(range(300))
    requests = json.loads(lonely_shell("usage", "--json").out)["total"]["requests"]
    assert requests == 2


def test_what_cannot_be_embedded_is_an_error_of_usage(
    lonely_shell: Shell, started: Outcome, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('"fine"\n{"words": 1}\n')
    for words, said in (
        (("embed", "hello"), "--model is needed"),
        ((*EMBED, "x", "--out", "vectors.csv"), "NAME.jsonl or NAME.npy is expected"),
        (EMBED, "nothing to embed"),
        ((*EMBED, "--file", str(bad)), "line 2: "),
        (("embed", "-m", "simulated-large", "x"), "simulated-large makes no embeddings: "),
    ):
        refused = lonely_shell(*words)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err


def test_a_matrix_is_in_the_format_that_numpy_reads() -> None:
    content = npy_of([[1.0, -0.5], [0.25, 2.0], [3.0, 4.0]])
    assert content[:8] == b"\x93NUMPY\x01\x00"
    length = int.from_bytes(content[8:10], "little")
    assert (10 + length) % 64 == 0
    head = ast.literal_eval(content[10 : 10 + length].decode("ascii"))
    assert head == {"descr": "<f4", "fortran_order": False, "shape": (3, 2)}
    values = struct.unpack("<6f", content[10 + length :])
    assert values == (1.0, -0.5, 0.25, 2.0, 3.0, 4.0)
    with pytest.raises(Failure, match="differ in length"):
        npy_of([[1.0], [1.0, 2.0]])
