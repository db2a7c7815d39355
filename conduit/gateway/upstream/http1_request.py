"""The head of a request as bytes, of which all that does not change is made once."""

from collections.abc import Mapping
from re import compile as pattern
from typing import Final

from yarl import URL

from conduit import __version__
from conduit.gateway.upstream.egress import BaseUrl

_DEFAULTS: Final = {
    "User-Agent": f"conduit/{__version__}",
    "Accept": "*/*",
    # Compression would hold streamed events back, and cost more than it saves.
    "Accept-Encoding": "identity",
}
# They say where a request goes and where it ends, which is not for whoever calls to say.
_OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN: Final = pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = pattern(r"[\x00-\x08\x0a-\x1f\x7f]")
_TEMPLATES_KEPT: Final = 256


class UnsendableError(ValueError):
    """A request that cannot be sent; the message holds nothing of it."""


class RequestHeads:
    """Heads for one base URL; `through_proxy` are the fields of a proxy that takes whole URLs.

    For each path and set of names there is a template with a place for each value.
    """

    def __init__(self, base: BaseUrl, through_proxy: Mapping[str, str] | None = None) -> None:
        self._base_url = base.url
        self._host = base.url.split("/")[2]
        self._through_proxy = through_proxy
        self._templates: dict[tuple[str, ...], str] = {}

    def post(self, path: str, headers: Mapping[str, str], length: int) -> bytes:
        """Raises ValueError for a path or a header that cannot be sent."""
        return (self._places("POST", path, headers) % (*headers.values(), length)).encode()

    def get(self, path: str, headers: Mapping[str, str]) -> bytes:
        """Raises ValueError for a path or a header that cannot be sent."""
        return (self._places("GET", path, headers) % (*headers.values(),)).encode()

    def _places(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """The template for a request, whose values are good."""
        values = "".join(headers.values())  # looked at together, as nearly all are plain
        if not (values.isascii() and values.isprintable()) and _CONTROL.search(values):
            raise UnsendableError("a header holds a control character")
        named = (method, path, *headers)
        return self._templates.get(named) or self._remember(named)

    def _remember(self, named: tuple[str, ...]) -> str:
        template = self._template(*named)
        if len(self._templates) >= _TEMPLATES_KEPT:
            self._templates.clear()
        self._templates[named] = template
        return template

    def _template(self, method: str, path: str, *names: str) -> str:
        given = {name.lower() for name in names}
        if given & _OURS or not all(map(_TOKEN.fullmatch, names)):
            raise UnsendableError("a header that may not be given")
        fields = {"Host": self._host, **_DEFAULTS, **(self._through_proxy or {})}
        if method == "POST":
            fields["Content-Type"] = "application/json"
        lines = [f"{method} {self._target(path)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items() if name.lower() not in given]
        text = "\r\n".join(lines).replace("%", "%%")
        places = "".join("\r\n" + name.replace("%", "%%") + ": %s" for name in names)
        end = "\r\nContent-Length: %d\r\n\r\n" if method == "POST" else "\r\n\r\n"
        return text + places + end

    def _target(self, path: str) -> str:
        if path and not path.startswith("/"):
            raise UnsendableError("a path begins with a slash")
        if _CONTROL.search(path):
            raise UnsendableError("the path holds a control character")
        text = self._base_url + path
        # As it is written: a signature holds for this very text, and yarl makes %3A a colon.
        url = URL(text, encoded=text.isascii() and " " not in text)
        target = url.raw_path_qs
        if self._through_proxy is not None:
            target = f"{url.scheme}://{self._host}{target}"
        if not target.isascii() or not target.isprintable() or " " in target:
            raise UnsendableError("the path cannot be sent")
        return target
