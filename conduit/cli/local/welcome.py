"""What `up` says when the gateway is ready: where it is, what it found, how to call it."""

import json
from collections.abc import Iterator, Sequence

from conduit import __version__
from conduit.cli.console import plain
from conduit.client.contexts import LOCAL
from conduit.core.announcement import AnnouncedProvider, Announcement


def welcome(
    announcement: Announcement, model: str | None, *, is_current: bool, program: str = "conduit"
) -> str:
    """The text of a start; secrets are in it only when they have just been made.

    `program` is how a shell calls this program, `is_current` whether that reaches this gateway.
    """
    call = program if is_current else f"{program} -C {LOCAL}"
    return plain("\n".join(_lines(announcement, model, call)))


def _lines(announcement: Announcement, model: str | None, call: str) -> Iterator[str]:
    yield f"Conduit {__version__} is running at {announcement.url}"
    if announcement.admin_url is not None:
        yield f"and is administered at {announcement.admin_url}"
    if announcement.port_changed_from is not None:
        yield f"(port {announcement.port_changed_from} was taken)"
    yield ""
    yield f"database   {announcement.database}"
    yield from _providers(announcement.providers)
    yield from _models(announcement.models)
    for warning in announcement.warnings:
        yield f"warning    {warning}"
    if announcement.master_key is not None:
        yield ""
        yield "Master key, for administration; shown this once, kept for this machine's context:"
        yield f"  {announcement.master_key}"
    if announcement.virtual_key is not None:
        yield ""
        yield f'Virtual key "{announcement.key_name}", for clients; shown this once:'
        yield f"  {announcement.virtual_key}"
    yield ""
    if model is None and announcement.models:
        yield from _without_example(announcement, call)
        return
    if model is None:
        yield "No model is mapped yet. Add a provider, then map one of its models:"
        yield f"  {call} providers add --help"
        return
    yield "Try it:"
    yield f'  {call} chat "hello"'
    if announcement.virtual_key is not None:
        yield ""
        yield from _curl(announcement.url, announcement.virtual_key, model)
        yield ""
        yield from _snippet(announcement.url, announcement.virtual_key, model)


def _without_example(announcement: Announcement, call: str) -> Iterator[str]:
    """Where no alias is known to chat, or none names a model: what there is, is asked for first."""
    yield "No model that chats is known by its name here. See what the providers have:"
    for provider in announcement.providers:
        yield f"  {call} providers models {provider.name}"
    wildcards = [alias for alias in announcement.models if alias.endswith("*")]
    if wildcards:
        yield f"and ask for one as an alias takes it ({', '.join(wildcards[:3])}):"
        yield f"  {call} chat --help"


def _providers(providers: Sequence[AnnouncedProvider]) -> Iterator[str]:
    title = "providers"
    if not providers:
        yield f"{title}  none yet"
    for provider in providers:
        kind = "" if provider.type == provider.name else f" ({provider.type})"
        noted = "; SIMULATED: answers are made up, no model is asked" if provider.simulated else ""
        models = f"{provider.models} model" + ("" if provider.models == 1 else "s")
        yield f"{title:9}  {provider.name}{kind}: {models}, {provider.found}{noted}"
        title = ""


def _models(models: Sequence[str]) -> Iterator[str]:
    if models:
        more = f" and {len(models) - 6} more" if len(models) > 6 else ""
        yield f"models     {', '.join(models[:6])}{more}"


def _curl(url: str, key: str, model: str) -> Iterator[str]:
    messages = [{"role": "user", "content": "Say hello."}]
    body = json.dumps({"model": model, "stream": True, "messages": messages})
    yield "From a shell:"
    yield ""
    # curl -N writes each chunk as it comes. One line, so that it survives being copied anywhere.
    yield (
        f"curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d {_shell_quoted(body)}"
    )


def _shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _snippet(url: str, key: str, model: str) -> Iterator[str]:
    yield "From Python, with the openai package:"
    yield ""
    yield "from openai import OpenAI"
    yield f"client = OpenAI(base_url={json.dumps(url + '/v1')}, api_key={json.dumps(key)})"
    yield 'messages = [{"role": "user", "content": "Say hello."}]'
    yield (
        f"stream = client.chat.completions.create(model={json.dumps(model)}, "
        "messages=messages, stream=True)"
    )
    yield "for chunk in stream:"
    yield '    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="")'
    # An empty line ends the loop where this is pasted into a prompt.
    yield ""
