"""Secrets taken out of text: by what they look like, and those in use by their value.

The one list of what keys look like. It is used by the gateway for logs, errors and events, where a
secret is replaced whole, and by the front-ends, which leave its beginning and its last characters
so that people can tell which key was meant.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

MARK = "[redacted]"
SECRET_FIELDS = frozenset({"secret", "master_key", "virtual_key", "api_key", "authorization"})
SHORTEST_HIDDEN = 6
"""Shorter values are words that stand everywhere ("x", "none"): they are not looked for."""

_LAST_SHOWN = 4
_SHORTEST_PART = 16  # shorter ones may be words ("postgres"), and only count as whole words
_SHORTEST_WITH_LAST = 12
_NAMES_KEPT = 256
_REPLACED_KEPT = 256

# Words with one of which every such secret begins, then what stands before it, and the secret.
# Asterisks are in it because some providers hide the middle of a key in their errors. No part of it
# matches a quote or a backslash, so that JSON which has been written already stays JSON.
_BEARER = r"[\w\-.~+/*]"
_LOOKS: tuple[tuple[str, str, str], ...] = (
    ("condt_", r"\bcondt_(?:[a-z]{2}_)?", r"[0-9A-Za-z*]{10,}"),
    # OpenAI and those who follow it, Stripe's kind; Groq, xAI, Cerebras, Fireworks, Together,
    # Perplexity, NVIDIA, Hugging Face, Replicate, GitHub.
    (
        "sk- sk_ pk- pk_ rk- rk_ gsk_ xai- csk- fw_ tgp_ pplx- nvapi- hf_ r8_ "
        "gho_ ghp_ ghs_ ghu_ github_pat_",
        r"\b(?:[spr]k[-_]|gsk_|xai-|csk-|fw_|tgp_|pplx-|nvapi-|hf_|r8_|gh[opsu]_|github_pat_)",
        r"[\w*.\-]{7,}[\w*\-]",
    ),
    ("aiza", r"\bAIza", r"[\w\-]{10,}"),
    ("akia asia", r"\bA[KS]IA", r"[0-9A-Z]{12,}"),
    ("eyj", r"\beyJ", r"[\w\-]{8,500}\.[\w\-]+\.[\w\-]*"),
    # With a digit, or longer than the words that follow "bearer" in a sentence.
    (
        "bearer",
        r"(?i:\bbearer)\s+",
        rf"(?:(?={_BEARER}*[\d*]){_BEARER}{{8,}}|{_BEARER}{{16,}})=*",
    ),
    ("://", r"(?<=:)//[^\s/:@\"'\\]*:", r"[^\s/@\"'\\]+(?=@)"),  # the password of a URL
)
_SECRETS = re.compile("|".join(f"{before}({secret})" for _, before, secret in _LOOKS))
_SIGNS = tuple(sign for signs, _, _ in _LOOKS for sign in signs.split())
_URL_SIGN = "://"


def scrubbed(text: str) -> str:
    """The text without anything that looks like a secret."""
    return _replaced(text, _blanked)


def redacted(text: str) -> str:
    """The text with every key shortened to its prefix and last four characters, for people."""
    return _replaced(text, _shortened)


def _replaced(text: str, replacement: Callable[[re.Match[str]], str]) -> str:
    """The text with what looks like a secret replaced.

    The pattern is tried where a sign stands, and nowhere else: a search over the whole text would
    hold up all that runs in the process, for a tenth of a second with a long prompt.
    """
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two: places would not be the same
        return _SECRETS.sub(replacement, text)
    pieces: list[str] = []
    end = 0
    for place in sorted(_places(lower)):
        if place >= end and (match := _SECRETS.match(text, place)) is not None:
            pieces += text[end:place], replacement(match)
            end = match.end()
    return "".join([*pieces, text[end:]]) if pieces else text


def _places(lower: str) -> Iterator[int]:
    """Where a secret may begin in a text of lower-case letters."""
    for sign in _SIGNS:
        offset = sign == _URL_SIGN  # its colon stands before the match
        place = lower.find(sign)
        while place >= 0:
            yield place + offset
            place = lower.find(sign, place + 1)


def redacted_fields(value: Any) -> Any:  # noqa: ANN401  # JSON
    """A JSON value with the contents of its secret fields replaced."""
    if isinstance(value, Mapping):
        return {
            name: "***" if name in SECRET_FIELDS and inner is not None else redacted_fields(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted_fields(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def _blanked(match: re.Match[str]) -> str:
    if not match[0].startswith("//"):
        return MARK
    return match[0].removesuffix(str(match[match.lastindex or 0])) + MARK


def _shortened(match: re.Match[str]) -> str:
    secret = str(match[match.lastindex or 0])
    before = match[0].removesuffix(secret)
    if len(secret) < _SHORTEST_WITH_LAST or before.startswith("//"):
        return f"{before}{MARK}"
    return f"{before}...{secret[-_LAST_SHOWN:]}"


class LiveSecrets:
    """The secrets in use, each owner's under its name, to be taken out by their value.

    A secret that its owner no longer names stays hidden for a while: calls that run still hold it,
    and it is most likely still good at the provider.
    """

    def __init__(self) -> None:
        self._held: dict[str, frozenset[str]] = {}
        self._replaced: deque[str] = deque(maxlen=_REPLACED_KEPT)
        self._forms = _Forms(())
        self.scrub_name = lru_cache(_NAMES_KEPT)(self.scrub)
        """As `scrub`, for what comes again and again, such as the name of a client's program."""

    def hold(self, owner: str, secrets: Iterable[str]) -> None:
        """Name all the secrets of an owner, in place of those it named before."""
        named = frozenset(each for each in secrets if len(each) >= SHORTEST_HIDDEN)
        before = self._held.get(owner, frozenset())
        if named == before:
            return
        self._replaced.extend(each for each in before - named if each not in self._replaced)
        self._held[owner] = named
        # One value put in place at once: other threads scrub meanwhile.
        self._forms = _Forms(frozenset(self._replaced).union(*self._held.values()))
        self.scrub_name.cache_clear()

    def scrub(self, text: str) -> str:
        """The text without the secrets in use and without anything that looks like one."""
        return scrubbed(self._forms.taken_out(text))

    def scrub_json(self, body: bytes) -> bytes:
        """The same for the texts in JSON; its numbers and its form stay."""
        text = body.decode("utf-8", "surrogateescape")
        if self.scrub(text) == text:
            return body
        value = self._scrubbed_texts(json.loads(text))
        clean = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return clean.encode("utf-8", "surrogateescape")

    def _scrubbed_texts(self, value: Any) -> Any:  # noqa: ANN401  # JSON
        match value:
            case str():
                return self.scrub(value)
            case list():
                return [self._scrubbed_texts(each) for each in value]
            case dict():
                return {
                    self.scrub(name): self._scrubbed_texts(each) for name, each in value.items()
                }
            case _:
                return value

    def __repr__(self) -> str:
        return f"LiveSecrets({sum(map(len, self._held.values()))} held)"


class _Forms:
    """The forms that some secrets may have in a text."""

    __slots__ = ("_ordered", "_pattern")

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms_of(secret)}
        # The longest first: of two that begin alike, the shorter would leave the other's end.
        self._ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(_searched, self._ordered)))

    def taken_out(self, text: str) -> str:
        # Looking for each by itself is far faster than the pattern of them all.
        found = any(form in text for form in self._ordered)
        return self._pattern.sub(MARK, text) if found else text


def _searched(form: str) -> str:
    pattern = re.escape(form)
    return pattern if len(form) >= _SHORTEST_PART else rf"(?<!\w){pattern}(?!\w)"


def _forms_of(secret: str) -> set[str]:
    """The secret as it is, and as it stands in JSON, in a `repr` and in a URL.

    Some who write JSON put a backslash before a slash.
    """
    in_json = json.dumps(secret)[1:-1]
    slashed = in_json.replace("/", "\\/")
    return {secret, in_json, slashed, repr(secret)[1:-1], quote(secret, safe="")}
