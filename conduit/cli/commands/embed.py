"""`conduit embed`: vectors of texts, for programs and files."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.chat.answers import looked_up_model
from conduit.cli.chat.client_keys import virtual_key
from conduit.cli.failures import Failure
from conduit.cli.files import text_of
from conduit.cli.options import Force, KeyEnv, KeyFile, KeyStdin, Out
from conduit.cli.output import Column, View
from conduit.cli.vectors import npy_of
from conduit.cli.verbs import Noun, verb
from conduit.cli.writing import NewFile
from conduit.client.api import Record
from conduit.client.chat import Patience
from conduit.client.errors import ProviderFailed
from conduit.client.replay import post
from conduit.core import people

noun = Noun("Vectors of texts, by a model that embeds.")
_A_REQUEST = 256
_SHOWN = 4
_FILES = (".jsonl", ".npy")


def _beginning(row: Record) -> str:
    values = row["embedding"]
    shown = ", ".join(f"{value:.4f}" for value in values[:_SHOWN])
    return f"{shown}, and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else shown


VIEW = View(
    columns=(
        Column("index", "index", right=True),
        Column("text", "text"),
        Column("embedding", "embedding", _beginning, firm=True),
    ),
    id_path="index",
)


@verb(noun, "", "output")
def embed(
    call: Call,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT|-]...", help="Each gets a vector; - is all of stdin."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="ALIAS", help="The model to ask.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="A text a line; of NAME.jsonl each line's JSON text."
        ),
    ] = None,
    dims: Annotated[
        int | None, typer.Option("--dims", metavar="N", help="So many dimensions, if it can.")
    ] = None,
    out: Out = None,
    force: Force = False,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
) -> None:
    """Embed texts. --out NAME.jsonl has a line for each, NAME.npy a matrix of 32-bit numbers.

    conduit embed -m text-embedding-3-small --file texts.jsonl --out vectors.npy
    """
    if model is None:
        raise Failure("--model is needed: one that embeds", hint="conduit models list")
    if out is not None and PurePath(out).suffix not in _FILES:
        raise Failure(f"--out: NAME.jsonl or NAME.npy is expected, not {out!r}")
    wanted = _texts(texts or [], file, stdin_taken=key_stdin or key_file == "-")
    key = virtual_key(call, inputs.SecretSource(key_file, key_stdin, key_env))
    if out is None:
        rows, tokens = _embedded(call, wanted, key, model, dims)
        call.printer.rows(rows, VIEW, next_cursor=lambda: None)
    else:
        with NewFile(out, force=force) as opened:
            rows, tokens = _embedded(call, wanted, key, model, dims)
            opened.write(_file_of(out, rows))
            opened.keep()
    length = len(rows[0]["embedding"])
    where = f" to {out}" if out is not None else ""
    sizes = (people.counted(len(rows), "text"), people.counted(length, "dimension"))
    call.narrate(f"{', '.join(sizes)}, {people.counted(tokens, 'token')}{where}")


def _texts(given: Sequence[str], file: str | None, *, stdin_taken: bool) -> list[str]:
    """What is to be embedded. Raises Failure where there is nothing."""
    found = [sys.stdin.read().strip("\n") if each == "-" else each for each in given]
    if file is not None:
        found += _lines_of(file)
    elif not given and not stdin_taken and not sys.stdin.isatty():
        found = [sys.stdin.read().strip("\n")]
    if not [each for each in found if each]:
        raise Failure(
            "nothing to embed: give a text, - for standard input, or --file FILE",
            code="input_needed",
        )
    return found


def _lines_of(file: str) -> Iterator[str]:
    """The texts of a file, of which empty lines are none. Raises Failure."""
    lines = text_of(file, f"--file {file}").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not file.endswith(".jsonl"):
            yield line
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Failure(f"--file {file}, line {number}: no JSON", code="bad_file") from error
        text = value.get("text", value.get("input")) if isinstance(value, dict) else value
        if not isinstance(text, str):
            wanted = 'a text, or an object with "text" or "input", is expected'
            raise Failure(f"--file {file}, line {number}: {wanted}", code="bad_file")
        yield text


def _embedded(
    call: Call, texts: Sequence[str], key: str, model: str, dims: int | None
) -> tuple[list[Record], int]:
    """A row for each text, and how many tokens they had in all. Raises ApiError."""
    rows: list[Record] = []
    tokens = 0
    for start in range(0, len(texts), _A_REQUEST):
        some = list(texts[start : start + _A_REQUEST])
        answer = _asked(call, some, key, model, dims)
        vectors = sorted(answer["data"], key=lambda each: int(each["index"]))
        if len(vectors) != len(some):
            raise Failure(f"{len(some)} texts were sent, and {len(vectors)} vectors came back")
        tokens += int((answer.get("usage") or {}).get("prompt_tokens") or 0)
        for text, each in zip(some, vectors, strict=True):
            rows.append({"index": len(rows), "text": text, "embedding": each["embedding"]})
    return rows, tokens


def _asked(call: Call, texts: list[str], key: str, model: str, dims: int | None) -> Record:
    body: dict[str, Any] = {"model": model, "input": texts}
    if dims is not None:
        body["dimensions"] = dims
    patience = Patience(total_s=call.left_s(0) if call.options.timeout_s else None)
    with call.console.waiting(f"waiting for {model}"):
        content = json.dumps(body).encode()
        try:
            answer = post(call.client_target(key), "/v1/embeddings", content, key, patience)
        except ProviderFailed as error:
            _refuse_no_embedding(call, model, error)
            raise
    found: Record = json.loads(answer.content)
    return found


def _refuse_no_embedding(call: Call, model: str, error: ProviderFailed) -> None:
    """Raise Failure where a provider's refusal is of a model that, as far as known, has none."""
    known = looked_up_model(call, model) if error.status < 500 else None
    able = {} if known is None else known["capabilities"]
    embeds, chats = able.get("embeddings"), able.get("chat")
    if embeds is False or (embeds is None and chats is True):
        raise Failure(
            f"{model} makes no embeddings: {error.message}",
            code="not_an_embedding_model",
            hint="what there is: conduit models list",
        ) from error


def _file_of(name: str, rows: Sequence[Record]) -> str | bytes:
    if name.endswith(".npy"):
        return npy_of([row["embedding"] for row in rows])
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
