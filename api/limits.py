"""Bounds on requests, as plain ASGI: a body is refused before it is read whole."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.concise import MEDIA_TYPE as CONCISE
from api.concise import concise_problem, is_concise
from api.errors import ServiceError
from api.problems import MEDIA_TYPE, problem, problem_bytes


class HeadAsGet:
    """Answers HEAD as GET without the body (RFC 9110 §9.3.2), for caches and monitors."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        headers = [each for each in scope["headers"] if each[0] != b"range"]  # §14.2: of GET only
        inner = {**scope, "method": "GET", "headers": headers}
        try:
            await self.app(inner, receive, without_body)
        finally:
            scope.update({name: inner[name] for name in ("route", "state") if name in inner})


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Answers 413 to bodies above `app.state.most_bytes`, by declared or by actual length.

    `exempt` says for which paths a larger bound holds elsewhere.
    """

    def __init__(self, app: ASGIApp, exempt: Callable[[str], bool]) -> None:
        self.app = app
        self.exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.exempt(scope["path"]):
            await self.app(scope, receive, send)
            return
        most: int = scope["app"].state.most_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            await self._refuse(scope["path"], most, send)
            return
        taken, started = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, bounded, noted)
        except _TooLarge:
            if started:
                raise
            await self._refuse(scope["path"], most, send)

    async def _refuse(self, path: str, most: int, send: Send) -> None:
        refusal = ServiceError("request-too-large", f"at most {most} bytes")
        document, media_type = problem(refusal, path), MEDIA_TYPE
        if is_concise(path):
            body, media_type = concise_problem(document), CONCISE
        else:
            body = problem_bytes(document)
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
