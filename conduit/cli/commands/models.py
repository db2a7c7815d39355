"""`conduit models`: what clients may call, and whether it answers."""

import time
from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.chat.client_keys import virtual_key
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.options import KeyEnv, KeyFile, KeyStdin
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.chat import ChatRequest, Patience, ask
from conduit.core import people
from conduit.core.capabilities import ABILITIES

noun = Noun("Models: what clients may call, and who serves it at this moment.")
_PING_S = 60.0
# A smaller cap is refused by some models.
_PING_TOKENS = 16


def _tone(model: Record) -> Tone:
    return "good" if model["available"] else "bad"


def _state(model: Record) -> str:
    state = "available" if model["available"] else "unavailable"
    return f"{state}, simulated" if model["simulated"] else state


def _served_by(model: Record) -> str:
    return f"{model['provider']}/{model['model']}" if model["provider"] else ""


def _can(model: Record) -> str:
    """`chat, tools; not vision; unknown: audio`; the sizes stand in columns of their own."""
    known = model.get("capabilities") or {}
    flags = {name: value for name, value in known.items() if not name.endswith("_tokens")}
    parts = (
        ("", [name for name, value in flags.items() if value is True]),
        ("not ", [name for name, value in flags.items() if value is False]),
        ("unknown: ", [name for name, value in flags.items() if value is None]),
    )
    return "; ".join(start + ", ".join(names) for start, names in parts if names)


VIEW = View(
    columns=(
        Column("model", "id"),
        Column("state", "available", _state, tone=_tone),
        Column("served by", "provider", _served_by),
        Column("input", "input", lambda m: people.money(m["input"]), right=True),
        Column("output", "output", lambda m: people.money(m["output"]), right=True),
        Column("context", "context_tokens", right=True, spare=1),
        Column("can", "capabilities", _can, wide=True),
        Column("operations", "operations", wide=True),
        Column("largest output", "max_output_tokens", wide=True, right=True),
        Column("price from", "price_source", wide=True),
        Column("why not", "reasons", wide=True),
    ),
    empty="no models; map some with: conduit mappings discover",
)
PINGED = View(
    columns=(
        Column("ok", "ok", tone=lambda ping: "good" if ping["ok"] else "bad"),
        Column("model", "model"),
        Column("latency", "latency_ms", lambda ping: people.milliseconds(ping["latency_ms"])),
        Column("in", "input_tokens", right=True),
        Column("out", "output_tokens", right=True),
        Column("cost", "cost", lambda ping: people.money(ping["cost"]), right=True),
        Column("provider", "provider"),
        Column("request", "request_id", wide=True),
    ),
    id_path="request_id",
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Any name that a client may use.")]


@verb(noun, "list", "listing")
def list_models(
    call: Call,
    capability: Annotated[
        str | None,
        typer.Option(
            "--capability", metavar="A,B", help="Only those known to: vision, tools, audio, …"
        ),
    ] = None,
) -> None:
    """List what clients may call; a key may be allowed fewer."""
    wanted = None if capability is None else ",".join(_abilities(capability))
    call.show_list("models.list", VIEW, query={"capability": wanted})


def _abilities(text: str) -> list[str]:
    found = inputs.names(text)
    if unknown := [name for name in found if name not in ABILITIES] or (
        [text] if not found else []
    ):
        raise Failure(f"--capability: {', '.join(ABILITIES)} are expected, not {unknown[0]!r}")
    return found


@verb(noun, "show", "output")
def show(call: Call, model: Model) -> None:
    """Show who would serve a model, at which price, and why others would not."""
    call.printer.record(call.fetch("models.show", model), VIEW)


@verb(noun, "ping", "output")
def ping(
    call: Call,
    model: Model,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
) -> None:
    """Send a real request of a few words, as a client would; it is charged to the virtual key."""
    key = virtual_key(call, inputs.SecretSource(key_file, key_stdin, key_env))
    call.printer.record(_pinged(call, model, key), PINGED)


def _pinged(call: Call, model: str, key: str) -> Record:
    request = ChatRequest(
        model=model,
        messages=[{"role": "user", "content": "ping"}],
        key=key,
        stream=False,
        parameters={"max_tokens": _PING_TOKENS},
    )
    patience = Patience(first_s=_PING_S, total_s=call.left_s(_PING_S))
    started = time.monotonic()
    with call.console.waiting(f"waiting for {model}"):
        answer = ask(call.client_target(), request, patience)
    with answer:
        return {
            "ok": True,
            "model": model,
            "latency_ms": round((time.monotonic() - started) * 1000),
            "input_tokens": answer.usage.input_tokens if answer.usage else None,
            "output_tokens": answer.usage.output_tokens if answer.usage else None,
            "cost": answer.headers.get("x-conduit-cost"),
            "provider": answer.headers.get("x-conduit-provider"),
            "simulated": answer.headers.get("x-conduit-simulated") == "true",
            "request_id": answer.request_id,
        }
