"""What every request must pass: it is for this computer, from this page, and not too long.

A web site may point its own name at 127.0.0.1 (DNS rebinding) or send requests from its own pages;
the Host and Origin headers give both away.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data: blob:; "
    "font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The browser loads nothing from elsewhere, whatever a page says (eval: Vue's templates)."""


class Guard:
    """ASGI middleware: refuses other hosts and origins, and bodies above `most_bytes`."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or web socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = refused(headers)
        if refusal is not None:
            await _refuse(scope, receive, send, 403, refusal)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._most_bytes:
            await _refuse(scope, receive, send, 413, "The request is too large.")
            return
        if scope["type"] == "http" and "transfer-encoding" in headers:
            await _refuse(scope, receive, send, 411, "The request does not tell its length.")
            return
        await self._app(scope, receive, _with_policy(send))


def refused(headers: Headers) -> str | None:
    """Why a request is not served, by its Host and Origin; None when it is."""
    host = headers.get("host", "")
    if _name(f"//{host}") not in LOCAL_NAMES:
        return "This page is only served to this computer, as 127.0.0.1 or localhost."
    origin = headers.get("origin")
    if origin is not None and _place(origin) != host:
        return "The request comes from another page."
    return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _place(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    await PlainTextResponse(text, status)(scope, receive, send)


def _with_policy(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
        await send(message)

    return sender
