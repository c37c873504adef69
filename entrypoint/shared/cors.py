"""Which web pages may read the server's answers: CORS, before and after the engine is ready.

The answers follow vLLM's options (``--allowed-origins`` and others) as Starlette's
``CORSMiddleware`` does in vLLM. That one adds headers only to answers of vLLM, so that a browser
cannot read a refusal, and the entrypoint does not import Starlette.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

ANY = "*"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
SAFE_HEADERS = ("Accept", "Accept-Language", "Content-Language", "Content-Type")
"""Headers that a page may always send."""
EXPOSED_HEADERS = ("X-Request-Id", "Retry-After")
"""Headers of an answer that a page may read. OpenAI's client in a browser needs both."""
SHOWN_CHARACTERS = 200
"""Characters of a request's header that an error shows."""
MAX_AGE_SECONDS = 600
"""How long a browser may remember the answer to a preflight."""


@dataclass(frozen=True, slots=True)
class Cors:
    """What pages of other origins may do.

    Attributes:
        origins: Origins whose pages may read answers; ``*`` stands for all.
        methods: Methods that they may use.
        headers: Headers that they may send, besides the safe ones.
        credentials: Whether browsers may send cookies.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = (ANY,)
    headers: tuple[str, ...] = (ANY,)
    credentials: bool = False

    @classmethod
    def from_options(
        cls, origins: object, methods: object, headers: object, credentials: bool
    ) -> Self:
        """Return the rules of vLLM's options, which hold any JSON value."""
        return cls(_names(origins), _names(methods), _names(headers), credentials)

    def allows(self, origin: str) -> bool:
        """Whether an origin's pages may read answers."""
        return ANY in self.origins or origin in self.origins

    def answer_headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers of every answer, besides ``Vary: Origin``.

        Args:
            origin: The request's ``Origin`` header, None without one.
        """
        if origin is None or not self.allows(origin):
            return {}
        anyone = ANY in self.origins and not self.credentials
        headers = {
            "access-control-allow-origin": ANY if anyone else origin,
            "access-control-expose-headers": ", ".join(EXPOSED_HEADERS),
        }
        if self.credentials:
            headers["access-control-allow-credentials"] = "true"
        return headers

    def preflight_headers(self, headers: str | None) -> dict[str, str]:
        """Return the headers of the answer to a preflight, besides those of every answer.

        Args:
            headers: The request's ``Access-Control-Request-Headers`` header, None without one.
        """
        answer = {
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "access-control-allow-methods": ", ".join(self._allowed_methods()),
            "access-control-max-age": str(MAX_AGE_SECONDS),
        }
        if ANY not in self.headers:
            answer["access-control-allow-headers"] = ", ".join((*SAFE_HEADERS, *self.headers))
        elif headers is not None:
            answer["access-control-allow-headers"] = headers
        return answer

    def preflight_problem(self, origin: str, method: str, headers: str | None) -> str | None:
        """Return why the browser must not send the request, None if it may.

        Args:
            origin: The request's ``Origin`` header.
            method: Its ``Access-Control-Request-Method`` header.
            headers: Its ``Access-Control-Request-Headers`` header, None without one.
        """
        if not self.allows(origin):
            return _problem("pages of", "--allowed-origins", origin)
        if method not in self._allowed_methods():
            return _problem("the method", "--allowed-methods", method)
        if ANY not in self.headers:
            allowed = {name.lower() for name in (*SAFE_HEADERS, *self.headers)}
            for name in map(str.strip, (headers or "").split(",")):
                if name and name.lower() not in allowed:
                    return _problem("the header", "--allowed-headers", name)
        return None

    def _allowed_methods(self) -> tuple[str, ...]:
        return METHODS if ANY in self.methods else self.methods


def _problem(what: str, option: str, value: str) -> str:
    shown = value[:SHOWN_CHARACTERS]
    return (
        f"This server does not allow {what} {shown} (CORS). The server's operator can allow it in "
        f"""ARG: {option} '["{shown}"]'."""
    )


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, Iterable) else ()
